/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_CANDIDATE_H
#define TG_COORDINATOR_CANDIDATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "coordinator/gate.h"
#include "coordinator/plan.h"
#include "coordinator/rows.h"
#include "results/baseline.h"

/*
 * What one run says of head by itself: a value for each cell that another run could measure in the
 * same way. Runs are compared by it when a baseline is made of them, and when one is used
 * (trigger.h).
 *
 * The value is of the first `rounds_min` whole rounds that count, in every run the same number, so
 * that no run is surer of itself than another. Rounds that the gate leaves out count here as little
 * (clocks.h, disturbance.h), and with more of them than the policy allows there is no value. What
 * shares the core with a cell shifts its time: only blocks of head alone, or of head and its own
 * copy, can be the same in two runs.
 */

struct tg_candidate {
    int64_t rounds;                        /* that it is of, 0 if there were too few */
    double value, canary_dot, canary_read; /* as in struct tg_baseline_value */
    char canary[TG_TEXT_SIZE];             /* which canaries ran, "unknown" if none, or several */
    char limited_by[TG_TEXT_SIZE]; /* "dot" or "read"; "none" if that is not known, or a device's */
};

/* What the `count` rows of its block, all of one run, say of a cell, for a metric. */
int tg_candidate_take(const struct tg_measurement *const rows[], size_t count,
                      const struct tg_cell *cell, const char *metric,
                      const struct tg_limits *limits, struct tg_candidate *candidate,
                      struct tg_error *err);

/*
 * The block in which another run could measure the head of a test again: head alone, if another
 * test needs that, else head and its copy. Its place in the plan, or block_count if the plan has
 * none.
 */
size_t tg_candidate_block(const struct tg_plan *plan, size_t test);

/* Whether a test compares head with an earlier build (or, for want of one, with its copy). */
bool tg_candidate_is_of(const struct tg_plan *plan, size_t test);

/*
 * What must be the same in two runs beside their texts and libraries, "" where nothing depends on
 * it: the SHA-256 of the program, whose own code measures whole models, and that of the file of
 * --model. Borrowed from the plan.
 */
const char *tg_candidate_program(const struct tg_plan *plan);
const char *tg_candidate_model(const struct tg_plan *plan);

/*
 * The key of what a run measures on one class of hardware; its canary is "", since only rows know
 * that.
 */
int tg_candidate_key(const struct tg_plan *plan, size_t hardware, struct tg_baseline_key *key,
                     struct tg_error *err);

/*
 * What a run measured on one class of hardware, as a baseline of one session (without dates): its
 * cells with their margin, the narrowest of their tests. `run` is the digest of its first row, and
 * `date` that of its last row.
 */
int tg_candidate_baseline(const struct tg_plan *plan, const struct tg_rows *rows, size_t hardware,
                          const char *run, const char *date, struct tg_baseline *baseline,
                          struct tg_error *err);

/* Fails with why that has no cells: what of head's could be measured again, and lacks what. */
int tg_candidate_why_none(const struct tg_plan *plan, const struct tg_rows *rows, size_t hardware,
                          struct tg_error *err);

/*
 * Whether a run may stand for its build, whatever it measured: ended in order, with all of its
 * rows, neither failed nor held, of a library that was one all along. Fails with the reason.
 */
int tg_candidate_accept(const struct tg_plan *plan, const struct tg_run *run,
                        const struct tg_decision *decision, struct tg_error *err);

#endif
