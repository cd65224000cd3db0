/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/model_device.h"

#include <math.h>

enum { CACHES = 4 };

int tg_model_device_open(const char *name, struct tg_facts *facts, struct tg_model_device *device,
                         struct tg_error *err)
{
    struct tg_model_device d = {0};
    if (tg_device_open(name, facts, &d.device, &d.state, err) < 0) return -1;
    *device = d;
    return 0;
}

static void put_nothing(void *state, int64_t first, int64_t calls)
{
    (void)state, (void)first, (void)calls;
}

double tg_model_device_clock(const struct tg_model_device *d)
{
    const struct tg_device_work nothing = {put_nothing, NULL};
    if (!d->device) return 0;
    const double hz = d->device->time(d->state, &nothing, 0, 1).clock_hz;
    return isfinite(hz) && hz > 0 ? hz : 0;
}

void tg_model_device_look(const struct tg_model_device *d, struct tg_facts *facts)
{
    if (d->device) d->device->look(d->state, facts);
}

void tg_model_device_rates(const struct tg_model_device *d, struct tg_facts *facts)
{
    struct tg_measurement scratch;
    struct tg_roof_call call = {.isa = facts->isa_requested, .count = 1};
    void *state, *set = NULL, *results = NULL;
    tg_measurement_init(&scratch);
    if (d->device && d->device->open(&scratch.facts, &state, NULL) == 0) {
        call.result_bytes = d->device->cache_bytes(state);
        call.weight_bytes = CACHES * call.result_bytes;
        if (call.result_bytes > 0 &&
            d->device->allocate(state, call.weight_bytes, &set, NULL) == 0 &&
            d->device->allocate(state, call.result_bytes, &results, NULL) == 0) {
            const uint8_t *const walk[] = {set};
            call.walk = walk;
            call.results = results;
            d->device->roof(state, &call, &scratch.facts);
            facts->read_rate = scratch.facts.read_rate;
            facts->dot_rate = scratch.facts.dot_rate;
        }
        d->device->close(state);
    }
    tg_measurement_free(&scratch);
}

void tg_model_device_close(struct tg_model_device *d)
{
    if (d->device) d->device->close(d->state);
    *d = (struct tg_model_device){0};
}
