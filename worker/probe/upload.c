/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/upload.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"

#define LINE         256 /* matrices begin at multiples of it */
#define CACHE_LINE   128
#define LEAK_CALLS   4096 /* as many as show a leak, for memory is given out in larger pieces */
#define LEAK_AT_ONCE 64
#define LEAK_S       0.1
#define LEAK_WINDOWS 3

int tg_upload_open(const struct tg_kernel *kernel, struct tg_facts *facts, struct tg_upload *upload,
                   struct tg_error *err)
{
    struct tg_upload u = {.kernel = kernel};
    if (tg_device_open(kernel->device, facts, &u.device, &u.state, err) < 0) return -1;
    *upload = u;
    return 0;
}

int tg_upload_copy(struct tg_upload *u, const struct tg_upload_from *from, struct tg_facts *facts,
                   struct tg_error *err)
{
    const int64_t stride = (from->packed_bytes + LINE - 1) / LINE * LINE;
    void *set, *activations, *results;
    u->activation_bytes = from->activation_bytes;
    u->result_bytes = from->result_bytes;
    /* A matrix smaller than a cache line fills one all the same. */
    const int64_t each = from->packed_bytes > CACHE_LINE ? from->packed_bytes : CACHE_LINE;
    u->count = from->over_bytes > 0 ? from->over_bytes / each + 1 : 1;
    if (from->over_bytes > 0 && u->count < 2) u->count = 2;
    u->walk = calloc((size_t)u->count, sizeof *u->walk);
    if (!u->walk) return tg_fail(err, "out of memory");
    if (u->device->allocate(u->state, stride * u->count, &set, err) < 0 ||
        u->device->allocate(u->state, from->activation_bytes, &activations, err) < 0 ||
        u->device->allocate(u->state, from->activation_bytes, &u->activations, err) < 0 ||
        u->device->allocate(u->state, from->result_bytes, &results, err) < 0)
        return -1;
    for (int64_t i = 0; i < u->count; i++) {
        uint8_t *to = (uint8_t *)set + stride * i;
        u->walk[i] = to;
        if (u->device->put(u->state, to, from->problem->weights, from->packed_bytes, err) < 0)
            return -1;
    }
    u->problem = *from->problem;
    u->problem.weights = u->walk[0];
    u->problem.activations = activations;
    u->problem.results = results;
    u->problem.stream = u->device->stream(u->state);
    facts->gpu_bytes = stride * u->count + 2 * from->activation_bytes + from->result_bytes;
    return u->device->put(u->state, activations, from->problem->activations, from->activation_bytes,
                          err) < 0
               ? -1
               : u->device->put(u->state, u->activations, from->problem->activations,
                                from->activation_bytes, err);
}

int tg_upload_poison(struct tg_upload *u, uint8_t byte, struct tg_error *err)
{
    return u->device->fill(u->state, u->problem.results, byte, u->result_bytes, err);
}

static void put_calls(void *opaque, int64_t first, int64_t calls)
{
    struct tg_upload *u = opaque;
    int64_t at = first % u->count;
    for (int64_t i = 0; i < calls; i++) {
        u->problem.weights = u->walk[at];
        u->kernel->run(&u->problem);
        if (++at == u->count) at = 0;
    }
}

void tg_upload_run(struct tg_upload *u, int64_t first, int64_t calls)
{
    const struct tg_device_work work = {put_calls, u};
    u->device->run(u->state, &work, first, calls);
}

int tg_upload_relay(struct tg_upload *u, int64_t first, uint8_t byte, struct tg_error *err)
{
    const struct tg_device_work work = {put_calls, u};
    void *activations = (void *)(uintptr_t)u->problem.activations;
    tg_upload_run(u, first, 1); /* a kernel's first launch loads it, and is late itself */
    if (tg_upload_poison(u, byte, err) < 0 ||
        u->device->fill(u->state, activations, byte, u->activation_bytes, err) < 0)
        return -1;
    u->device->relay(u->state, activations, u->activations, u->activation_bytes, &work, first);
    return 0;
}

void tg_upload_rehearse(struct tg_upload *u)
{
    const struct tg_device_work work = {put_calls, u};
    u->device->rehearse(u->state, &work);
}

int tg_upload_fetch(struct tg_upload *u, void *results, struct tg_error *err)
{
    return u->device->get(u->state, results, u->problem.results, u->result_bytes, err);
}

struct tg_turn tg_upload_time(struct tg_upload *u, int64_t first, int64_t calls)
{
    const struct tg_device_work work = {put_calls, u};
    return u->device->time(u->state, &work, first, calls);
}

double tg_upload_leak(struct tg_upload *u)
{
    double least = INFINITY;
    for (int i = 0; i < LEAK_WINDOWS; i++) {
        double begun_s = tg_now();
        int64_t calls = 0, before = u->device->taken_bytes(u->state);
        for (; calls < LEAK_CALLS && tg_now() - begun_s < LEAK_S; calls += LEAK_AT_ONCE)
            tg_upload_run(u, 0, LEAK_AT_ONCE);
        int64_t after = u->device->taken_bytes(u->state);
        if (before < 0 || after < 0) return NAN;
        double grown = after > before ? (double)(after - before) / (double)calls : 0;
        least = fmin(least, grown);
    }
    return least;
}

void tg_upload_close(struct tg_upload *u)
{
    free(u->walk);
    if (u->device) u->device->close(u->state);
    *u = (struct tg_upload){0};
}
