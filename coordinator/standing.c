/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/standing.h"

#include <math.h>
#include <stdlib.h>

#include "coordinator/family.h"
#include "coordinator/gate.h"
#include "coordinator/judge.h"
#include "coordinator/rows.h"
#include "worker/pulse.h"

#define FAILS_SOON 2.302585092994046 /* log 10: evidence that makes a test suspicious */
#define SUSPICIOUS 1e6               /* urgency of such a test */

struct tg_standing {
    const struct tg_plan *plan;
    struct tg_rows *rows; /* every one, block by block */
    struct tg_verdict *verdicts;
    struct tg_families *families;
    size_t *others; /* see tg_standing_others */
    size_t other_count;
    bool has_failed;
};

int tg_standing_create(const struct tg_plan *plan, struct tg_standing **standing,
                       struct tg_error *err)
{
    struct tg_standing *s = calloc(1, sizeof *s);
    if (!s) return tg_fail(err, "out of memory");
    s->plan = plan;
    s->verdicts = calloc(plan->spec.test_count + 1, sizeof *s->verdicts);
    s->others = calloc(plan->spec.test_count + plan->spec.block_count + 1, sizeof *s->others);
    int rc = s->verdicts && s->others ? 0 : tg_fail(err, "out of memory");
    if (rc == 0) rc = tg_rows_create(plan, &s->rows, err);
    if (rc == 0) rc = tg_family_create(plan, &s->families, err);
    if (rc < 0)
        tg_standing_destroy(s);
    else
        *standing = s;
    return rc;
}

void tg_standing_destroy(struct tg_standing *standing)
{
    if (!standing) return;
    tg_family_destroy(standing->families);
    tg_rows_destroy(standing->rows);
    free(standing->verdicts);
    free(standing->others);
    free(standing);
}

int tg_standing_take(struct tg_standing *standing, const struct tg_measurement *row,
                     struct tg_error *err)
{
    return tg_rows_keep(standing->rows, row, err);
}

/*
 * How urgent the next round of a test is: the chance that it decides, for what it costs, which is
 * one over the rounds that it still needs as it looks now. What seems to fail comes first, so that
 * a run that fails does so soon; what is decided and only wants its severity made certain comes
 * behind all that is open.
 */
static double urgency_of(const struct tg_verdict *v, double cost_s)
{
    double needed = isfinite(v->rounds_needed) ? v->rounds_needed : 1e6;
    double soon = 1 / (needed * fmax(cost_s, 0.001));
    if (v->answer != TG_INCONCLUSIVE) return 1;
    return v->log_fail > FAILS_SOON ? SUSPICIOUS + soon : 2 + soon;
}

/* Judges a test again, and tells its family of it. */
static int judge_test(struct tg_standing *s, size_t test, struct tg_error *err)
{
    struct tg_verdict *v = &s->verdicts[test];
    struct tg_rounds rounds;
    tg_pulse();
    if (tg_judge_test(s->plan, test, s->rows, v, err) < 0) return -1;
    struct tg_verdict counted = *v;
    tg_acceptance_apply(s->plan, "", test, &counted);
    if (s->plan->policy.limits.fail_fast && counted.answer == TG_FAIL &&
        tg_gate_counts(s->plan, test, &counted))
        s->has_failed = true;
    if (tg_family_count(s->families) == 0) return 0;
    if (tg_judge_gather(s->plan, test, s->rows, &rounds, err) < 0) return -1;
    int rc = tg_family_take(s->families, test, rounds.values, rounds.count, err);
    tg_evidence_release(&rounds);
    return rc;
}

/*
 * What a test still wants of a block, as an urgency: above 1 while it is open, 1 for its severity,
 * 0.5 for its family, 0.25 for what decides nothing; below 0 for nothing.
 */
static double wish_of(const struct tg_standing *s, size_t test, size_t block, double cost_s,
                      int64_t rounds)
{
    const struct tg_verdict *v = &s->verdicts[test];
    const struct tg_limits *limits = &s->plan->policy.limits;
    bool is_watching = v->wants_more && v->wants_head;
    if (is_watching) return block == s->plan->lookouts[test].block ? urgency_of(v, cost_s) : -1;
    if (block != s->plan->spec.tests[test].block) return -1;
    if (s->plan->spec.tests[test].is_shadow)
        return v->wants_more && rounds < limits->rounds_last ? 0 : -1;
    if (v->wants_more) return urgency_of(v, cost_s);
    if (rounds >= limits->rounds_max || v->answer == TG_SKIP) return -1;
    if (tg_family_wants(s->families, test)) return 0.5;
    return v->wants_last ? 0.25 : -1;
}

/* Whether rounds of a block may change a test's verdict. */
static bool is_about(const struct tg_standing *s, size_t test, size_t block)
{
    return s->plan->spec.tests[test].block == block ||
           (s->plan->lookouts[test].cell && s->plan->lookouts[test].block == block);
}

/* How many rounds a test still needs, as it looks now: none if that cannot be said. */
static double rounds_needed(const struct tg_verdict *v)
{
    return v->wants_more && isfinite(v->rounds_needed) ? v->rounds_needed : 0;
}

/* An alarm opens the test's own block; a family may want more of any. */
static void find_others(struct tg_standing *s, size_t block)
{
    s->other_count = 0;
    for (size_t i = 0; i < s->plan->spec.test_count; i++)
        if (s->plan->lookouts[i].cell && s->plan->lookouts[i].block == block &&
            s->plan->spec.tests[i].block != block)
            s->others[s->other_count++] = s->plan->spec.tests[i].block;
    for (size_t b = 0; tg_family_count(s->families) && b < s->plan->spec.block_count; b++)
        if (b != block) s->others[s->other_count++] = b;
}

int tg_standing_judge(struct tg_standing *standing, size_t block, struct tg_error *err)
{
    for (size_t i = 0; i < standing->plan->spec.test_count; i++)
        if (is_about(standing, i, block) && judge_test(standing, i, err) < 0) return -1;
    find_others(standing, block);
    return 0;
}

const size_t *tg_standing_others(const struct tg_standing *standing, size_t *count)
{
    *count = standing->other_count;
    return standing->others;
}

struct tg_wish tg_standing_wish(const struct tg_standing *standing, size_t block, double cost_s)
{
    struct tg_wish wish = {-1, 0};
    int64_t rounds = tg_rows_rounds(standing->rows, block);
    for (size_t i = 0; i < standing->plan->spec.test_count; i++) {
        if (!is_about(standing, i, block)) continue;
        wish.urgency = fmax(wish.urgency, wish_of(standing, i, block, cost_s, rounds));
        wish.rounds = fmax(wish.rounds, rounds_needed(&standing->verdicts[i]));
    }
    double left = (double)(standing->plan->policy.limits.rounds_max - rounds);
    wish.rounds = fmin(wish.rounds, left);
    return wish;
}

int64_t tg_standing_rounds(const struct tg_standing *standing, size_t block)
{
    return tg_rows_rounds(standing->rows, block);
}

bool tg_standing_is_unchecked(const struct tg_standing *standing, size_t block)
{
    size_t count;
    const struct tg_measurement *const *rows = tg_rows_of(standing->rows, block, &count);
    for (size_t i = 0; i < count; i++)
        if (rows[i]->outcome == TG_MEASURED && !rows[i]->unpaired) return false;
    return true;
}

struct tg_tally tg_standing_tally(const struct tg_standing *standing)
{
    struct tg_tally tally = {.has_failed = standing->has_failed};
    for (size_t i = 0; i < standing->plan->spec.test_count; i++) {
        if (!tg_gate_is_required(standing->plan, i) ||
            standing->plan->prospects[i].fate == TG_TO_MISS)
            continue;
        tally.required++;
        tally.decided += !standing->verdicts[i].wants_more;
    }
    return tally;
}
