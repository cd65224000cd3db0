/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/standing.h"

#include <math.h>
#include <stdlib.h>

#include "base/pulse.h"
#include "coordinator/coverage.h"
#include "coordinator/family.h"
#include "coordinator/gate.h"
#include "coordinator/judge.h"
#include "coordinator/rows.h"

#define FAILS_SOON 2.302585092994046 /* log 10: evidence that makes a test suspicious */
#define SUSPICIOUS 1e6               /* urgency of such a test */

struct tg_standing {
    const struct tg_plan *plan;
    struct tg_rows *rows; /* every one, block by block */
    struct tg_verdict *verdicts;
    struct tg_rounds **rounds; /* of each test as they were last gathered, NULL for none */
    struct tg_families *families;
    size_t *first;  /* for each block, and behind the last: place of its first test in `about` */
    size_t *about;  /* tests, block by block, that its rounds may change, in the plan's order */
    size_t last;    /* block that was judged last, block_count before that */
    size_t *others; /* see tg_standing_others */
    size_t other_count;
    struct tg_tally tally;
};

/* The blocks whose rounds may change a test's verdict: its own, and that in which it is watched. */
static size_t blocks_of(const struct tg_plan *plan, size_t test, size_t blocks[2])
{
    const struct tg_lookout *lookout = &plan->lookouts[test];
    blocks[0] = plan->spec.tests[test].block;
    blocks[1] = lookout->block;
    return lookout->cell && blocks[1] != blocks[0] ? 2 : 1;
}

/* Whether a test is one of those that are to be decided. */
static bool is_counted(const struct tg_plan *plan, size_t test)
{
    return tg_gate_is_required(plan, test) && plan->prospects[test].fate != TG_TO_MISS;
}

static void index_tests(struct tg_standing *s)
{
    const struct tg_spec *spec = &s->plan->spec;
    size_t blocks[2];
    for (size_t t = 0; t < spec->test_count; t++)
        for (size_t k = blocks_of(s->plan, t, blocks); k-- > 0;) s->first[blocks[k] + 1]++;
    for (size_t b = 0; b < spec->block_count; b++) s->first[b + 1] += s->first[b];
    size_t all = s->first[spec->block_count];
    for (size_t t = spec->test_count; t-- > 0;) /* from behind: ends become begins */
        for (size_t k = blocks_of(s->plan, t, blocks); k-- > 0;)
            s->about[--s->first[blocks[k] + 1]] = t;
    for (size_t b = 0; b < spec->block_count; b++) s->first[b] = s->first[b + 1];
    s->first[spec->block_count] = all;
}

int tg_standing_create(const struct tg_plan *plan, struct tg_standing **standing,
                       struct tg_error *err)
{
    struct tg_standing *s = calloc(1, sizeof *s);
    if (!s) return tg_fail(err, "out of memory");
    s->plan = plan;
    size_t tests = plan->spec.test_count, blocks = plan->spec.block_count;
    s->last = blocks;
    s->verdicts = calloc(tests + 1, sizeof *s->verdicts);
    s->rounds = calloc(tests + 1, sizeof *s->rounds);
    s->first = calloc(blocks + 2, sizeof *s->first);
    s->about = calloc(2 * tests + 1, sizeof *s->about);
    s->others = calloc(4 * tests + 1, sizeof *s->others);
    bool good = s->verdicts && s->rounds && s->first && s->about && s->others;
    int rc = good ? 0 : tg_fail(err, "out of memory");
    if (good) index_tests(s);
    for (size_t t = 0; t < tests; t++) s->tally.required += is_counted(plan, t);
    s->tally.done = s->tally.required; /* as long as nothing was judged, nothing is wanted */
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
    for (size_t t = 0; standing->rounds && t < standing->plan->spec.test_count; t++) {
        if (standing->rounds[t]) tg_evidence_release(standing->rounds[t]);
        free(standing->rounds[t]);
    }
    tg_rows_destroy(standing->rows);
    free(standing->rounds);
    free(standing->verdicts);
    free(standing->first);
    free(standing->about);
    free(standing->others);
    free(standing);
}

void tg_standing_expect(struct tg_standing *standing, size_t block)
{
    tg_rows_expect(standing->rows, block);
}

int tg_standing_take(struct tg_standing *standing, struct tg_measurement *row, struct tg_error *err)
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

/* Judges a test again on its rounds. */
static int judge_rounds(struct tg_standing *s, size_t test, const struct tg_rounds *own,
                        struct tg_error *err)
{
    struct tg_verdict *v = &s->verdicts[test];
    bool is_tallied = is_counted(s->plan, test);
    if (is_tallied) s->tally.done -= !v->wants_more;
    if (tg_judge_test(s->plan, test, s->rows, own, v, err) < 0) return -1;
    if (is_tallied) s->tally.done += !v->wants_more;
    if (!s->plan->policy.limits.fail_fast || v->answer != TG_FAIL) return 0;
    struct tg_verdict counted = *v;
    tg_acceptance_apply(s->plan, "", test, &counted);
    if (counted.answer == TG_FAIL && tg_gate_counts(s->plan, test, &counted))
        s->tally.has_failed = true;
    return 0;
}

/*
 * Whether a test is open and has had one round, in which nothing broke, where several are demanded:
 * that decides nothing, and says nothing of noise. Of a kernel that base has not it says that it
 * ran.
 */
static bool is_too_early(const struct tg_standing *s, size_t test, const struct tg_rounds *rounds)
{
    const struct tg_verdict *v = &s->verdicts[test];
    return s->plan->policy.limits.rounds_min > 1 && rounds->count == 1 && rounds->last == 0 &&
           rounds->since_broken == 1 && v->wants_more && !v->wants_head &&
           !tg_coverage_is_new(s->plan, test);
}

/* Judges a test again, and tells its family of it. Rounds that it had are not looked at again. */
static int judge_test(struct tg_standing *s, size_t test, struct tg_error *err)
{
    struct tg_rounds none = {0}, *rounds = s->rounds[test];
    size_t count;
    tg_pulse();
    tg_rows_of(s->rows, s->plan->spec.tests[test].block, &count);
    if (!rounds && count > 0) rounds = s->rounds[test] = calloc(1, sizeof *rounds);
    if (!rounds && count > 0) return tg_fail(err, "out of memory");
    if (!rounds) rounds = &none;
    int rc = tg_judge_gather(s->plan, test, s->rows, rounds, err);
    if (rc == 0 && !is_too_early(s, test, rounds)) rc = judge_rounds(s, test, rounds, err);
    if (rc == 0) rc = tg_family_take(s->families, test, rounds->values, rounds->count, err);
    tg_evidence_release(&none);
    return rc;
}

/*
 * The rounds that a shadow gets at most. Of a kernel that base has not one is enough: nobody asks
 * for its noise.
 */
static int64_t most_of_shadow(const struct tg_plan *plan, size_t test)
{
    return tg_coverage_is_new(plan, test) ? 1 : plan->policy.limits.rounds_last;
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
    if (s->plan->spec.tests[test].is_shadow && !tg_gate_counts(s->plan, test, v))
        return v->wants_more && rounds < most_of_shadow(s->plan, test) ? 0 : -1;
    if (v->wants_more) return urgency_of(v, cost_s);
    if (rounds >= limits->rounds_max || v->answer == TG_SKIP) return -1;
    if (tg_family_wants(s->families, test)) return 0.5;
    return v->wants_last ? 0.25 : -1;
}

/* How many rounds a test still needs, as it looks now: none if that cannot be said. */
static double rounds_needed(const struct tg_verdict *v)
{
    return v->wants_more && isfinite(v->rounds_needed) ? v->rounds_needed : 0;
}

static void add_other(struct tg_standing *s, size_t judged, size_t block)
{
    if (block != judged) s->others[s->other_count++] = block;
}

/*
 * An alarm opens the test's own block. With families, the block before is told as others are, by a
 * cost of 1 s, as are all blocks of the tests that were judged, and of those that a family wants
 * otherwise now.
 */
static void find_others(struct tg_standing *s, size_t block)
{
    const size_t *turned, *about = s->about + s->first[block];
    size_t blocks[2], count = s->first[block + 1] - s->first[block];
    s->other_count = 0;
    for (size_t i = 0; i < count; i++) add_other(s, block, s->plan->spec.tests[about[i]].block);
    if (tg_family_count(s->families) == 0) return;
    for (size_t i = 0; i < count; i++)
        if (blocks_of(s->plan, about[i], blocks) == 2) add_other(s, block, blocks[1]);
    if (s->last < s->plan->spec.block_count) add_other(s, block, s->last);
    size_t turned_count = tg_family_turned(s->families, &turned);
    for (size_t i = 0; i < turned_count; i++)
        add_other(s, block, s->plan->spec.tests[turned[i]].block);
    s->last = block;
}

int tg_standing_judge(struct tg_standing *standing, size_t block, struct tg_error *err)
{
    for (size_t i = standing->first[block]; i < standing->first[block + 1]; i++)
        if (judge_test(standing, standing->about[i], err) < 0) return -1;
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
    for (size_t i = standing->first[block]; i < standing->first[block + 1]; i++) {
        size_t test = standing->about[i];
        wish.urgency = fmax(wish.urgency, wish_of(standing, test, block, cost_s, rounds));
        wish.rounds = fmax(wish.rounds, rounds_needed(&standing->verdicts[test]));
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

bool tg_standing_is_spoiled(const struct tg_standing *s)
{
    return tg_rows_has_others(s->rows);
}

struct tg_tally tg_standing_tally(const struct tg_standing *standing)
{
    return standing->tally;
}
