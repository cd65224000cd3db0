/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/pulse.h"
#include "coordinator/digits.h"
#include "coordinator/gate.h"

/* What the tests of a decision make together. */

/*
 * Whether a family has nothing of a test: of an accepted loss, of one of the clock, and of what
 * decides nothing. But only what would pass is "missing" values: without it losses would stay.
 */
static bool is_left_out(const struct tg_verdict *v)
{
    return v->accepted || v->is_clock_effect ||
           (v->answer == TG_INCONCLUSIVE && strcmp(v->word, "inconclusive") != 0 &&
            strcmp(v->word, "missing") != 0);
}

/* Tells the families the rounds of their tests. */
static int take_tests(const struct tg_plan *plan, const struct tg_rows *rows,
                      const struct tg_decision *d, struct tg_families *families,
                      struct tg_error *err)
{
    struct tg_rounds rounds = {0};
    int rc = 0;
    for (size_t i = 0; tg_family_count(families) && rc == 0 && i < plan->spec.test_count; i++) {
        const struct tg_test *test = &plan->spec.tests[i];
        if (!test->has_to || test->is_shadow || is_left_out(&d->verdicts[i])) continue;
        tg_pulse();
        rc = tg_judge_gather(plan, i, rows, &rounds, err);
        if (rc < 0) break;
        rc = tg_family_take(families, i, rounds.values, tg_digits_of_family(plan, i, &rounds), err);
        tg_evidence_release(&rounds);
    }
    return rc;
}

int tg_gate_look_at_families(const struct tg_plan *plan, const struct tg_rows *rows,
                             struct tg_decision *decision, struct tg_error *err)
{
    struct tg_families *families;
    if (tg_family_create(plan, &families, err) < 0) return -1;
    decision->families = calloc(tg_family_count(families) + 1, sizeof *decision->families);
    int rc = decision->families ? take_tests(plan, rows, decision, families, err)
                                : tg_fail(err, "out of memory");
    for (size_t i = 0; rc == 0 && i < tg_family_count(families); i++) {
        struct tg_family_verdict *v = &decision->families[decision->family_count++];
        tg_family_look(families, i, v);
        decision->families_over += v->is_over;
    }
    tg_family_destroy(families);
    return rc;
}
