/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_HISTORY_H
#define TG_COORDINATOR_HISTORY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "coordinator/gate.h"
#include "coordinator/plan.h"
#include "results/store.h"
#include "results/store_history.h"

/*
 * Between decided runs and their history: what of a run is kept, and what the history says about
 * the gate itself. How a series went is in coordinator/course.h.
 */

/*
 * Fails, with the reason, if the run is none to remember: it was not sealed, was not measured here,
 * or its libraries were slowed on purpose, built with assertions, or changed while they were
 * measured.
 */
int tg_history_accept(const struct tg_plan *plan, const struct tg_run *run, struct tg_error *err);

/*
 * What is kept of a decided run for one class of hardware (its place in plan->classes): the
 * verdicts that have an estimate, whatever the answer. To be released by tg_store_history_release;
 * it has no run if there are none.
 */
int tg_history_take(const struct tg_plan *plan, const struct tg_run *run,
                    const struct tg_decision *decision, size_t hardware, struct tg_history *taken,
                    struct tg_error *err);

/*
 * Whether a verdict is of two cells that were measured together. What was held against the numbers
 * of a stored baseline has no medians.
 */
bool tg_history_is_pair(const struct tg_history_verdict *verdict);

/*
 * Whether a verdict is about a slow-down of a build against itself, measured together: a shadow, or
 * base and head the same file.
 */
bool tg_history_is_null(const struct tg_history *history, const struct tg_history_verdict *verdict);

/* How often the gate was wrong where nothing can be slower: a build compared with itself. */
struct tg_alarms {
    size_t tests, failed;     /* such tests, and those that failed */
    size_t runs, failed_runs; /* runs that have any, and those in which any failed */
    double tests_most,
        runs_most; /* upper 95 % bounds of the shares that fail; 1 if there are none */
};

/*
 * Counts them in all classes of a history; a run that is in several is one. A directory that is not
 * there is an error.
 *
 * Source of the bounds: Clopper & Pearson, Biometrika 26 (1934) 404-413.
 */
int tg_history_alarms(const char *directory, struct tg_alarms *alarms, struct tg_error *err);

/*
 * "false alarms so far: 0 of 12 runs (at most 22.1 %), 0 of 214 tests (at most 1.39 %)"; at most
 * size - 1 bytes. Returns out.
 */
char *tg_history_alarms_text(const struct tg_alarms *alarms, char *out, size_t size);

#endif
