/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PROBE_DEVICE_H
#define TG_WORKER_PROBE_DEVICE_H

#include <stdint.h>

#include "base/error.h"
#include "kernels/kernel.h"
#include "results/measurement.h"
#include "worker/probe/roof.h"
#include "worker/turns.h"

/*
 * What kernels run on when it is not the host: a memory of its own, a stream into which calls are
 * put, and a clock. The host needs no row. One device is open in a process, the first that the
 * process may use:
 *
 *   open -> allocate, put -> run, get -> time, time, ... -> close
 *
 * What cannot be had (a device, memory) is an error. A device that fails while a kernel runs ends
 * the process with one line on stderr: after that it can do nothing more, and the rank sees a
 * crash and its reason. One that hangs is killed with its process, at the deadline.
 */

/* Calls first..first+calls-1 of a sequence, put into the device's stream and not waited for. */
struct tg_device_work {
    void (*put)(void *state, int64_t first, int64_t calls);
    void *state;
};

struct tg_device {
    const char *name;
    const char *meaning;
    double beside_s; /* what a sample takes at least besides its calls */

    /* Sets the facts gpu, gpu_uuid and driver_s. `state` is what the other functions are given. */
    int (*open)(struct tg_facts *facts, void **state, struct tg_error *err);

    /*
     * Times how long it takes to find out which devices there are, `count` times; the driver runs
     * by then. How long it took to start is the fact driver_s, which open sets.
     */
    void (*detect)(void *state, double *seconds, size_t count);

    /* What a kernel's problem has as its stream. */
    void *(*stream)(void *state);

    /* Bytes of the last cache before its memory. */
    int64_t (*cache_bytes)(void *state);

    /* Memory of the device, at multiples of 256 bytes; released by close. */
    int (*allocate)(void *state, int64_t bytes, void **memory, struct tg_error *err);

    /* Copies from the host, to it, and sets every byte. They wait for what is in the stream. */
    int (*put)(void *state, void *to, const void *from, int64_t bytes, struct tg_error *err);
    int (*get)(void *state, void *to, const void *from, int64_t bytes, struct tg_error *err);
    int (*fill)(void *state, void *to, uint8_t byte, int64_t bytes, struct tg_error *err);

    /* Makes the calls and returns when they have ended. */
    void (*run)(void *state, const struct tg_device_work *work, int64_t first, int64_t calls);

    /*
     * Copies within the device, as a kernel does that lets the next begin at once and ends late;
     * then makes a call and returns when it has ended. One that waits for what is ahead of it in
     * its stream finds the copy.
     */
    void (*relay)(void *state, void *to, const void *from, int64_t bytes,
                  const struct tg_device_work *work, int64_t first);

    /*
     * Puts one call as a sample's are put, without letting it begin, and waits for whatever began
     * all the same: nothing, where a kernel keeps to the stream of its problem.
     */
    void (*rehearse)(void *state, const struct tg_device_work *work);

    /*
     * One sample: with the device busy before, an untimed call, number `first`, then `calls` timed
     * as one interval by the device's clock, with nothing of the host in between.
     */
    struct tg_turn (*time)(void *state, const struct tg_device_work *work, int64_t first,
                           int64_t calls);

    /* Sets read_rate, write_rate, dot_rate, limit_s and limited_by as roof.h says. */
    void (*roof)(void *state, const struct tg_roof_call *call, struct tg_facts *facts);

    /* Bytes of the device's memory that are taken, by whomever; -1 if that is unknown. */
    int64_t (*taken_bytes)(void *state);

    /* Sets what is known of the device's condition: throttle, temperature, power. */
    void (*look)(void *state, struct tg_facts *facts);

    void (*close)(void *state);
};

/* The row of devices.def of that name; NULL for the host, and where the build has no such row. */
const struct tg_device *tg_device_find(const char *name);

/* Opens the device of that name; "cpu" is the host, of which *device becomes NULL. */
int tg_device_open(const char *name, struct tg_facts *facts, const struct tg_device **device,
                   void **state, struct tg_error *err);

/* Starts the driver of a device, if it can: what prevents it is said by the next that opens it. */
void tg_device_wake(const char *name);

/*
 * Calls the kernel once on a problem whose memory is the host's: here if the kernel is the host's,
 * else on a device that is opened for it, to which operands and results are copied before, and
 * results back after. `op` is the kernel's.
 */
int tg_device_call(const struct tg_kernel *kernel, const struct tg_op *op,
                   const struct tg_problem *problem, struct tg_error *err);

/* The rows, each in its device_<name>.c or .cu. */
#define DEVICE(name) extern const struct tg_device tg_device_##name;
#include "worker/probe/devices.def"
#undef DEVICE

#endif
