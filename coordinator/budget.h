/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_BUDGET_H
#define TG_COORDINATOR_BUDGET_H

#include <stddef.h>

#include "coordinator/plan.h"

/*
 * What a run takes at least, held against its budget before anything is measured. Counted is what
 * cannot be avoided: sampling and the shortest warm-up, in the least number of rounds; of whole
 * models also, roughly by their size, loading them, their check, and the calls. Starting processes
 * and making operands comes on top, and so do the rounds that noise asks for. What decides nothing
 * has one round.
 */

/* Seconds that a block takes at least; 0 for a kernel of which nothing is timed. */
double tg_budget_block_s(const struct tg_plan *plan, const struct tg_block *block);

/*
 * Seconds until the plan's workers, each part of a node measuring one block at a time, have given
 * each block that one of them can run its least rounds.
 */
double tg_budget_least_s(const struct tg_plan *plan);

/*
 * Where the plan's budget is less than that: "the budget of 55 s cannot cover the least number of
 * rounds, which takes 696 s: give `run` --budget 1400 or more, fewer cells (--filter), or 13 parts
 * (--shard 1/13 to 13/13)", else "". The budget named is twice what is needed, for what comes on
 * top.
 */
char *tg_budget_say(const struct tg_plan *plan, char *out, size_t size);

#endif
