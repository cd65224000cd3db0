/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_ROWS_H
#define TG_COORDINATOR_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "coordinator/faults.h"
#include "coordinator/plan.h"
#include "results/measurement.h"

/*
 * The rows of a run, sorted to the blocks of its plan: made empty, given rows one at a time, and
 * asked for those of a block. It keeps pointers; rows are the caller's, but for those that it is
 * told to keep.
 */

struct tg_rows;

int tg_rows_create(const struct tg_plan *plan, struct tg_rows **rows, struct tg_error *err);

/* Accepts NULL. */
void tg_rows_destroy(struct tg_rows *rows);

/*
 * Takes a row, but for one of another library or model file than the run was begun with: what was
 * put in their place since is not judged, and lets no run pass (gate.c).
 */
int tg_rows_add(struct tg_rows *rows, const struct tg_measurement *row, struct tg_error *err);

/* The same for a row that was allocated, and is freed with the others or when it fails. */
int tg_rows_keep(struct tg_rows *rows, struct tg_measurement *row, struct tg_error *err);

/* Says of which block the next rows should be: it is looked at first. */
void tg_rows_expect(struct tg_rows *rows, size_t block);

/* The rows of a block, in the order in which they came. */
const struct tg_measurement *const *tg_rows_of(const struct tg_rows *rows, size_t block,
                                               size_t *count);

/*
 * Whether a test of one cell, whose rule is not optional, has no rows only since these are of a
 * block of two: its cell with its metric beside another.
 */
bool tg_rows_are_beside(const struct tg_rows *rows, size_t test);

/* How many rounds of a block have numbers that are taken: one more than its last row has. */
int64_t tg_rows_rounds(const struct tg_rows *rows, size_t block);

/* What broke on devices, in all blocks together. */
const struct tg_faults *tg_rows_faults(const struct tg_rows *rows);

/* Whether a row was of another library or model file, so that no pass is possible any more. */
bool tg_rows_has_others(const struct tg_rows *rows);

/* How many rows belong to no block: of other cells, or of hardware that the plan does not know. */
size_t tg_rows_strays(const struct tg_rows *rows);

/*
 * Whether these rows let a run pass, and the note on them, "" if there are none; also how many
 * rounds have a number that was given out, and no row. Where one says
 * that head was wrong or broke, nothing passes: nobody judges it. Another policy than the run was
 * measured for, or another step, may ask for less on purpose: then that is only said.
 */
bool tg_rows_may_pass(const struct tg_rows *rows, char *note, size_t size);

#endif
