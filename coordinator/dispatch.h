/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_DISPATCH_H
#define TG_COORDINATOR_DISPATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "coordinator/crew.h"
#include "coordinator/plan.h"
#include "results/store.h"

/*
 * Rank 0 at work: it gives out rounds where they decide most, until every test that counts is
 * resolved or the budget is spent, and shows how far it is. The rounds of workers that are lost go
 * to others (lease.h).
 */

/* What came of it. */
struct tg_dispatched {
    size_t rounds;
    bool is_lost;      /* something could not be stored, or is open since workers are lost */
    char reason[1024]; /* ... and why; or the last worker that was lost */
    size_t *rows;      /* that each worker said it has stored; the caller frees */
};

/*
 * Gives out the rounds of a plan to a crew, whose `workers` have announced what they can do. `run`
 * has the plan's texts and the rows of earlier attempts; `directory` and `attempt` say where
 * workers store. Workers are told to open, not to close.
 */
int tg_dispatch(struct tg_crew *crew, const struct tg_capability *workers,
                const struct tg_plan *plan, const struct tg_run *run, const char *directory,
                int64_t attempt, struct tg_dispatched *dispatched, struct tg_error *err);

#endif
