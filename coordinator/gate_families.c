/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/pulse.h"
#include "coordinator/digits.h"
#include "coordinator/gate.h"

/* What the tests of a decision make together, and how many runs and nodes saw it. */

/* The rounds that families may look at, one test after the other. */
struct sights {
    struct tg_family_sight *list;
    size_t *firsts, *counts; /* of each test of the plan */
    size_t count;
};

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

static int add_sights(const struct tg_plan *plan, size_t test, const struct tg_rounds *rounds,
                      size_t count, struct sights *sights, struct tg_error *err)
{
    const struct tg_rule *rule = &plan->policy.rules[plan->spec.tests[test].rule];
    const bool is_one_run = plan->asked.shard_count > 0; /* shards are never those of two */
    double sign = tg_metric_find(rule->metric)->better == TG_LOWER ? 1 : -1;
    struct tg_family_sight *grown = realloc(sights->list,
                                            (sights->count + count + 1) * sizeof *grown);
    if (!grown) return tg_fail(err, "out of memory");
    sights->list = grown;
    sights->firsts[test] = sights->count;
    sights->counts[test] = count;
    for (size_t r = 0; r < count; r++)
        grown[sights->count++] = (struct tg_family_sight){
            .d = sign * rounds->values[r],
            .test = test,
            .round = r,
            .node = rounds->of_rows[r]->facts.host,
            .session = is_one_run ? 0 : rounds->sessions[r]};
    return 0;
}

/* Tells the families the rounds of their tests. */
static int take_tests(const struct tg_plan *plan, const struct tg_rows *rows,
                      const struct tg_decision *d, struct tg_families *families,
                      struct sights *sights, struct tg_error *err)
{
    struct tg_rounds rounds = {0};
    int rc = 0;
    for (size_t i = 0; tg_family_count(families) && rc == 0 && i < plan->spec.test_count; i++) {
        const struct tg_test *test = &plan->spec.tests[i];
        if (!test->has_to || test->is_shadow || is_left_out(&d->verdicts[i])) continue;
        tg_pulse();
        rc = tg_judge_gather(plan, i, rows, &rounds, err);
        if (rc < 0) break;
        size_t count = tg_digits_of_family(plan, i, &rounds);
        rc = tg_family_take(families, i, rounds.values, count, err);
        if (rc == 0) rc = add_sights(plan, i, &rounds, count, sights, err);
        tg_evidence_release(&rounds);
    }
    return rc;
}

/* Looks at one family, and at who saw what it did. */
static int look(const struct tg_plan *plan, const struct tg_families *families, size_t family,
                const struct sights *sights, struct tg_family_verdict *v, struct tg_error *err)
{
    const struct tg_limits *limits = &plan->policy.limits;
    const size_t *tests;
    size_t test_count = tg_family_tests(families, family, &tests), count = 0;
    bool *chosen = calloc(test_count + 1, sizeof *chosen);
    struct tg_family_sight *own = malloc((sights->count + 1) * sizeof *own);
    double *scratch = malloc((sights->count + 1) * sizeof *scratch);
    double *log_fails = malloc(((size_t)limits->rounds_max + 1) * sizeof *log_fails);
    int rc = chosen && own && scratch && log_fails ? 0 : tg_fail(err, "out of memory");
    if (rc == 0) tg_family_look(families, family, chosen, log_fails, v);
    if (rc == 0 && v->is_over && limits->family_fail && limits->min_sessions > 1) {
        for (size_t i = 0; i < test_count; i++)
            for (size_t r = 0; chosen[i] && r < sights->counts[tests[i]]; r++)
                own[count++] = sights->list[sights->firsts[tests[i]] + r];
        tg_family_hold(limits, log_fails, own, count, scratch, v);
    }
    free(chosen);
    free(own);
    free(scratch);
    free(log_fails);
    return rc;
}

int tg_gate_look_at_families(const struct tg_plan *plan, const struct tg_rows *rows,
                             struct tg_decision *decision, struct tg_error *err)
{
    struct tg_families *families;
    struct sights sights = {0};
    if (tg_family_create(plan, &families, err) < 0) return -1;
    sights.firsts = calloc(plan->spec.test_count + 1, sizeof *sights.firsts);
    sights.counts = calloc(plan->spec.test_count + 1, sizeof *sights.counts);
    decision->families = calloc(tg_family_count(families) + 1, sizeof *decision->families);
    int rc = sights.firsts && sights.counts && decision->families ? 0
                                                                  : tg_fail(err, "out of memory");
    if (rc == 0) rc = take_tests(plan, rows, decision, families, &sights, err);
    for (size_t i = 0; rc == 0 && i < tg_family_count(families); i++) {
        struct tg_family_verdict *v = &decision->families[decision->family_count++];
        rc = look(plan, families, i, &sights, v, err);
        decision->families_over += v->is_over && !v->is_held;
    }
    tg_family_destroy(families);
    free(sights.list);
    free(sights.firsts);
    free(sights.counts);
    return rc;
}
