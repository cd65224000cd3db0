/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "worker/probe/device.h"
#include "worker/probe/fake.h"

/*
 * A device that is not one, for tests: its memory is the host's, its time the host's clock, and its
 * manners are those that the environment asks for, as TRITGATE_FAKE_GPU='clock_hz=1.5e9
 * throttle=8': see fake.def. What is not asked for is as on a device in order.
 */

#define NOMINAL_HZ  1.7e9
#define BLOCKS_MOST 64

struct fake {
    struct tg_fake manners;
    void *memory[BLOCKS_MOST];
    int count;
    int64_t bytes, calls, samples;
};

static int fake_open(struct tg_facts *facts, void **state, struct tg_error *err)
{
    struct tg_fake manners;
    if (tg_fake_read(facts->library, &manners, err) < 0) return -1;
    if (manners.absent) return tg_fail(err, "there is no fake device");
    struct fake *f = calloc(1, sizeof *f);
    if (!f) return tg_fail(err, "out of memory");
    f->manners = manners;
    facts->driver_s = 0.001;
    snprintf(facts->gpu, sizeof facts->gpu, "fake");
    snprintf(facts->gpu_uuid, sizeof facts->gpu_uuid, "%s", manners.uuid);
    *state = f;
    return 0;
}

static void fake_close(void *opaque)
{
    struct fake *f = opaque;
    for (int i = 0; i < f->count; i++) free(f->memory[i]);
    free(f);
}

static void fake_detect(void *opaque, double *seconds, size_t count)
{
    const struct fake *f = opaque;
    for (size_t i = 0; i < count; i++) seconds[i] = f->manners.detect_s;
}

static void *fake_stream(void *opaque)
{
    return opaque;
}

static int64_t fake_cache_bytes(void *opaque)
{
    return ((struct fake *)opaque)->manners.cache_bytes;
}

static int64_t fake_taken_bytes(void *opaque)
{
    const struct fake *f = opaque;
    const int64_t piece = f->manners.piece_bytes > 0 ? f->manners.piece_bytes : 1;
    return f->bytes + (f->calls * f->manners.leak_bytes + piece - 1) / piece * piece;
}

static int fake_allocate(void *opaque, int64_t bytes, void **memory, struct tg_error *err)
{
    struct fake *f = opaque;
    if (f->count == BLOCKS_MOST || bytes > f->manners.memory_bytes - fake_taken_bytes(f))
        return tg_fail(err, "the fake device has no %lld bytes left", (long long)bytes);
    void *block = aligned_alloc(256, ((size_t)bytes + 255) / 256 * 256);
    if (!block) return tg_fail(err, "out of memory");
    f->memory[f->count++] = *memory = block;
    f->bytes += bytes;
    return 0;
}

static int fake_copy(void *opaque, void *to, const void *from, int64_t bytes, struct tg_error *err)
{
    (void)opaque, (void)err;
    memcpy(to, from, (size_t)bytes);
    return 0;
}

static int fake_fill(void *opaque, void *to, uint8_t byte, int64_t bytes, struct tg_error *err)
{
    (void)opaque, (void)err;
    memset(to, byte, (size_t)bytes);
    return 0;
}

static void fake_run(void *opaque, const struct tg_device_work *work, int64_t first, int64_t calls)
{
    struct fake *f = opaque;
    work->put(work->state, first, calls);
    f->calls += calls;
    while (f->manners.hang_after && f->calls >= f->manners.hang_after) pause();
    if (f->manners.fault_after == 0 || f->calls < f->manners.fault_after) return;
    fprintf(stderr, "fake device: a fault on command\n");
    abort();
}

static void fake_relay(void *opaque, void *to, const void *from, int64_t bytes,
                       const struct tg_device_work *work, int64_t first)
{
    struct fake *f = opaque;
    if (f->manners.hasty) fake_run(f, work, first, 1);
    memcpy(to, from, (size_t)bytes);
    if (!f->manners.hasty) fake_run(f, work, first, 1);
}

static void fake_rehearse(void *opaque, const struct tg_device_work *work)
{
    const struct fake *f = opaque;
    if (f->manners.strays) work->put(work->state, 0, 1);
}

/* A lower clock makes a call as much longer. */
static struct tg_turn fake_time(void *opaque, const struct tg_device_work *work, int64_t first,
                                int64_t calls)
{
    struct fake *f = opaque;
    fake_run(f, work, first, 1);
    double hz = f->samples++ % 2 ? f->manners.low_hz : f->manners.clock_hz;
    if (hz > f->manners.clock_hz) hz = f->manners.clock_hz;
    int64_t begun = tg_now_ns();
    fake_run(f, work, first + 1, calls);
    double seconds = (double)(tg_now_ns() - begun) * 1e-9 / (double)calls;
    if (hz > 0) seconds *= NOMINAL_HZ / hz;
    return (struct tg_turn){.seconds = seconds, .begun = begun, .clock_hz = hz};
}

static void fake_roof(void *opaque, const struct tg_roof_call *call, struct tg_facts *facts)
{
    (void)opaque, (void)call, (void)facts; /* what the host's memory can do says nothing here */
}

static void fake_look(void *opaque, struct tg_facts *facts)
{
    const struct fake *f = opaque;
    facts->throttle = (facts->throttle < 0 ? 0 : facts->throttle) | f->manners.throttle;
    facts->gpu_temperature_c = 40;
    facts->gpu_power_w = 100;
}

const struct tg_device tg_device_fake = {
    .name = "fake",
    .meaning = "none at all: the host's memory and clock, and manners on command, for tests",
    .open = fake_open,
    .detect = fake_detect,
    .stream = fake_stream,
    .cache_bytes = fake_cache_bytes,
    .allocate = fake_allocate,
    .put = fake_copy,
    .get = fake_copy,
    .fill = fake_fill,
    .run = fake_run,
    .relay = fake_relay,
    .rehearse = fake_rehearse,
    .time = fake_time,
    .roof = fake_roof,
    .taken_bytes = fake_taken_bytes,
    .look = fake_look,
    .close = fake_close,
};
