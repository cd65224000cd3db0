/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PROBE_UPLOAD_H
#define TG_WORKER_PROBE_UPLOAD_H

#include <stdint.h>

#include "base/error.h"
#include "kernels/kernel.h"
#include "results/measurement.h"
#include "worker/probe/device.h"

/*
 * What a cell has on its kernel's device: one packed matrix or a set of equal ones, called in turn,
 * the activations, and the results. The two processes of a block each have their own: nothing of a
 * device's memory is shared.
 *
 *   open -> copy -> poison, relay, fetch -> poison, rehearse, fetch -> time, time, ...
 *        -> fetch -> close
 */

struct tg_upload {
    const struct tg_device *device; /* NULL on the host, where nothing is uploaded */
    void *state;
    const struct tg_kernel *kernel;
    struct tg_problem problem; /* its pointers are the device's */
    void *activations;         /* once more, for tg_upload_relay */
    int64_t activation_bytes, result_bytes;
    int64_t count; /* matrices */
    const uint8_t **walk;
};

/* Opens the device of the kernel, if it has one: sets the facts gpu and gpu_uuid. */
int tg_upload_open(const struct tg_kernel *kernel, struct tg_facts *facts, struct tg_upload *upload,
                   struct tg_error *err);

/* What is copied: the host's problem, and how much of it. */
struct tg_upload_from {
    const struct tg_problem *problem;
    int64_t packed_bytes, activation_bytes, result_bytes;
    int64_t over_bytes; /* what the set is to be larger than; 0: one matrix */
};

/* Copies the operands; sets the fact gpu_bytes. */
int tg_upload_copy(struct tg_upload *upload, const struct tg_upload_from *from,
                   struct tg_facts *facts, struct tg_error *err);

/* Sets every byte of the results. */
int tg_upload_poison(struct tg_upload *upload, uint8_t byte, struct tg_error *err);

/* Makes calls first..first+calls-1 and waits for their end: call i is of matrix i of the walk. */
void tg_upload_run(struct tg_upload *upload, int64_t first, int64_t calls);

/*
 * Makes call number `first` twice, the second time on activations that something ahead of it in the
 * stream writes: until then every byte of them, and of the results, is `byte` (see
 * tg_device.relay).
 */
int tg_upload_relay(struct tg_upload *upload, int64_t first, uint8_t byte, struct tg_error *err);

/* Puts a call and lets it not begin (see tg_device.rehearse). */
void tg_upload_rehearse(struct tg_upload *upload);

/* Copies the results to the host. */
int tg_upload_fetch(struct tg_upload *upload, void *results, struct tg_error *err);

/* One sample (see tg_device.time). */
struct tg_turn tg_upload_time(struct tg_upload *upload, int64_t first, int64_t calls);

/*
 * The metric gpu_leak: bytes of the device's memory that a call leaves taken, the least of three
 * times 4096 calls, for others may take memory meanwhile. A device gives memory out in pieces of 2
 * MiB, of which no call is given less than 512 bytes: so many calls fill one. Slow ones are fewer,
 * as many as a tenth of a second takes. NAN if the device does not tell.
 */
double tg_upload_leak(struct tg_upload *upload);

/* May be called on what was never opened, if it was 0 throughout. */
void tg_upload_close(struct tg_upload *upload);

#endif
