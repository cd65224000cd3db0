/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_FAULTS_H
#define TG_COORDINATOR_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

#include "results/measurement.h"

/*
 * Whose fault it is that a cell broke: made empty, given the rows of a run one at a time, those of
 * a worker in their order, and asked about a kernel, of which any cells may be. What breaks in two
 * rounds in which the other side was measured, by its device or where there is none, is the
 * kernel's. One device that breaks is no kernel's fault; what breaks on two is, and what breaks on
 * one again that measured the kernel in order in between. On no device, where a build breaks twice
 * and the other one did once, it is both's: then the machine may be at fault.
 */

struct tg_faults;

/* NULL when there is no memory. */
struct tg_faults *tg_faults_create(void);

/* Accepts NULL. */
void tg_faults_destroy(struct tg_faults *faults);

/* Takes the last of the `count` rows of a block. Returns 0, or -1 without memory. It is borrowed.
 */
int tg_faults_take(struct tg_faults *faults, const struct tg_measurement *const rows[],
                   size_t count);

/*
 * Whether it is the fault of this cell's kernel, of base or of head (a copy is head); and whether
 * what it did on devices says so. False without `faults`.
 */
bool tg_faults_is_kernels(const struct tg_faults *faults, const struct tg_cell *cell);
bool tg_faults_is_kernels_there(const struct tg_faults *faults, const struct tg_cell *cell);

/* Whether a cell ran, or was to run, on a device of its own. */
bool tg_faults_is_on_device(const struct tg_measurement *m);

/* Whether a cell ended as it would on a broken device, or was not begun; not: killed from outside.
 */
bool tg_faults_failed_there(const struct tg_measurement *m);

/* Whether it is known which device that was; and its name, "GPU-1 of node-1". */
bool tg_faults_is_named(const struct tg_measurement *m);
char *tg_faults_device(const struct tg_measurement *m, char out[TG_DEVICE_NAME_SIZE]);

/*
 * Whether two cells may have had the same device: by their names. One whose name is not known may
 * be any of its node; and instances of divided GPUs may be of one GPU.
 */
bool tg_faults_may_share(const struct tg_measurement *a, const struct tg_measurement *b);

/* Whether two rows are of one round. */
bool tg_faults_is_same_round(const struct tg_measurement *a, const struct tg_measurement *b);

#endif
