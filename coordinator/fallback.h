/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_FALLBACK_H
#define TG_COORDINATOR_FALLBACK_H

#include <stddef.h>

#include "base/error.h"
#include "coordinator/plan.h"
#include "coordinator/rule.h"
#include "results/store.h"

/*
 * What was measured instead. A policy's chain of fallbacks that is for each cell ("each") is told
 * for every cell of its first level that a test asks for and that no process measured: how often it
 * was tried, why that came to nothing, and the first of the other levels that another cell of the
 * run reached. Such a cell has a passed or failed test, and is the same in what the level says
 * ("same"). The last level is for what nothing stands in for.
 *
 * It is a record and excuses nothing: the tests of the cell have their verdicts, skipped,
 * inconclusive or failed. What crashed is tried twice in each test (judge.h), what was skipped
 * once.
 */

struct tg_fallback {
    const struct tg_flow_chain *chain;
    const struct tg_cell *cell;        /* that was not measured */
    size_t tries;                      /* the most that one of its blocks saw */
    char reason[400];                  /* why it was not */
    const struct tg_flow_level *level; /* that was reached */
    const struct tg_cell *instead;     /* the cell that reached it, NULL if none did */
    enum tg_answer answer;             /* of that cell: passed, or failed if none passed */
};

/* Of all chains, in the order of chains and cells. The list is the caller's, to be freed. */
int tg_fallback_find(const struct tg_plan *plan, const struct tg_run *run,
                     const struct tg_verdict verdicts[], struct tg_fallback **list, size_t *count,
                     struct tg_error *err);

/* "gpu: 56 cells were not measured; instead: 40 cpu-fallback, 16 no-gpu-available", or "" */
char *tg_fallback_note(const struct tg_flow_chain *chain, const struct tg_fallback list[],
                       size_t count, char *out, size_t size);

#endif
