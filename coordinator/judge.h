/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_JUDGE_H
#define TG_COORDINATOR_JUDGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "coordinator/evidence.h"
#include "coordinator/plan.h"
#include "coordinator/rows.h"
#include "coordinator/rule.h"

/*
 * One test: its rows become rounds, the rounds a verdict of its rule, and what the rule does not
 * see is looked at besides: what broke, what no machine could do, nodes that disagree, and what
 * further rounds would bring. The gate makes one decision of all verdicts.
 */

/*
 * Judges one test on the rows of its block that were seen so far. `own` are its rounds where they
 * were gathered, while a run goes on: then an estimate that the answer does not need is left out.
 * NULL else.
 */
int tg_judge_test(const struct tg_plan *plan, size_t test, const struct tg_rows *rows,
                  const struct tg_rounds *own, struct tg_verdict *verdict, struct tg_error *err);

/* Adds to a verdict what its test can find, which is only told: nothing is decided by it. */
void tg_judge_foresee(const struct tg_plan *plan, struct tg_verdict *verdict);

/* What broken rounds say by themselves; false if they say nothing. */
bool tg_judge_broken(const struct tg_rounds *rounds, struct tg_verdict *verdict);

/*
 * After a rule has spoken: what broke must have been followed by a whole round, and is told; rounds
 * may run out.
 */
void tg_judge_complete(const struct tg_limits *limits, const struct tg_rounds *rounds,
                       struct tg_verdict *verdict);

/*
 * Holds times against what the machines can do. A call that none of them can make so fast did not
 * do its work, whatever its results: nothing is decided on it.
 */
void tg_judge_limits(const struct tg_rule *rule, const struct tg_test *test,
                     const struct tg_rounds *rounds, struct tg_verdict *verdict);

/* The rounds of a test, to be released by tg_evidence_release. */
int tg_judge_gather(const struct tg_plan *plan, size_t test, const struct tg_rows *rows,
                    struct tg_rounds *rounds, struct tg_error *err);

#endif
