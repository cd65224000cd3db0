/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_DECIDED_RUN_H
#define TG_TESTS_DECIDED_RUN_H

#include "tests/made_run.h"

/* One made run, its plan and its decision, for the tests of what is decided and told. */

static struct tg_plan plan;
static struct tg_run run;
static struct tg_decision decision;

/* As if nothing had been made. */
static inline int end(void **state)
{
    (void)state;
    tg_gate_release(&decision);
    tg_plan_release(&plan);
    tg_store_release(&run);
    return 0;
}

/* A sealed run without rows of one worker, with a base. */
static inline void begin_run(const char *matrix, const char *policy)
{
    struct tg_capability worker = made_worker("a", MADE_BASE);
    end(NULL);
    made_plan(matrix, policy, &worker, 1, &made_asked, &plan);
    run.is_sealed = 1;
}

static inline enum tg_answer decide_run(void)
{
    struct tg_error err;
    tg_gate_release(&decision);
    if (tg_gate_decide(&plan, &run, &decision, &err) < 0) fail_msg("%s", err.text);
    return decision.answer;
}

#endif
