/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PROBE_MODEL_DEVICE_H
#define TG_WORKER_PROBE_MODEL_DEVICE_H

#include "base/error.h"
#include "results/measurement.h"
#include "worker/probe/device.h"

/*
 * The device that a whole model runs on, as it is seen beside the forward pass: which one it is,
 * its clock, its condition, and how fast it can read. Nothing of it is there, and nothing is done,
 * where the host computes.
 *
 *   open -> look -> clock, clock, ... -> look -> close
 */

struct tg_model_device {
    const struct tg_device *device; /* NULL on the host */
    void *state;
};

/* Opens the device of that name ("cpu": none): sets the facts gpu, gpu_uuid and driver_s. */
int tg_model_device_open(const char *name, struct tg_facts *facts, struct tg_model_device *device,
                         struct tg_error *err);

/*
 * Keeps the device at work for some milliseconds, so that its clock is up, and returns that clock
 * in Hz; 0 if it has none.
 */
double tg_model_device_clock(const struct tg_model_device *device);

/* Sets throttle, gpu_temperature_c and gpu_power_w. */
void tg_model_device_look(const struct tg_model_device *device, struct tg_facts *facts);

/*
 * Sets read_rate, over four times its last cache, and dot_rate, where they can be had. The memory
 * for it is taken and given back.
 */
void tg_model_device_rates(const struct tg_model_device *device, struct tg_facts *facts);

/* May be called on what was never opened, if it was 0 throughout. */
void tg_model_device_close(struct tg_model_device *device);

#endif
