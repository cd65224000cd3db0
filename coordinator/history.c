/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/history.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/candidate.h"
#include "coordinator/coverage.h"
#include "coordinator/shard.h"
#include "results/digest.h"

static const double BOUND = 0.95; /* of the one-sided bounds */

static int accept_library(const char *name, const struct tg_survey *survey, struct tg_error *err)
{
    if (survey->injected_percent)
        return tg_fail(err, "%s is slowed by %lld %% on purpose", name,
                       (long long)survey->injected_percent);
    if (survey->is_debug) return tg_fail(err, "%s was built with assertions in it", name);
    return 0;
}

int tg_history_accept(const struct tg_plan *plan, const struct tg_run *run, struct tg_error *err)
{
    const struct tg_capability *first = &plan->workers[0];
    if (!run->is_sealed) return tg_fail(err, "it was not ended in order; run --resume ends it");
    if (plan->asked.is_imported) return tg_fail(err, "it was imported, not measured here");
    char text[TG_TEXT_SIZE];
    if (!tg_shard_note(plan, text, sizeof text))
        return tg_fail(err, "it is not whole; keep what merge makes of all shards");
    if (accept_library("head", &first->head, err) < 0 ||
        (plan->has_base && accept_library("base", &first->base, err) < 0))
        return -1;
    if (!tg_gate_has_its_libraries(plan, run))
        return tg_fail(err, "a library was changed while it was measured");
    return 0;
}

/*
 * The digest of how a run began, of its seed and its first row by attempt and date: the same when
 * it was gone on with, which only adds rows of later attempts.
 */
static int find_origin(const struct tg_plan *plan, const struct tg_run *run,
                       char origin[TG_DIGEST_SIZE], struct tg_error *err)
{
    char first[4 * TG_TEXT_SIZE + TG_BLOCK_TEXT_SIZE] = "", text[sizeof first];
    for (size_t i = 0; i < run->count; i++) {
        const struct tg_measurement *m = &run->rows[i];
        snprintf(text, sizeof text, "%09lld %s %s %lld %s %s", (long long)m->attempt, m->facts.date,
                 m->facts.host, (long long)m->facts.pid, m->block, plan->asked.seed);
        if (i == 0 || strcmp(text, first) < 0) memcpy(first, text, sizeof first);
    }
    return tg_digest_text(first, origin, err);
}

static int take_run(const struct tg_plan *plan, const struct tg_run *run,
                    const struct tg_decision *d, size_t hardware, struct tg_history_run *taken,
                    struct tg_error *err)
{
    snprintf(taken->date, sizeof taken->date, "%s", d->date);
    snprintf(taken->evidence, sizeof taken->evidence, "%s", d->evidence);
    snprintf(taken->version, sizeof taken->version, "%s", TRITGATE_VERSION);
    snprintf(taken->flow, sizeof taken->flow, "%s", plan->policy.flow);
    snprintf(taken->head, sizeof taken->head, "%s", plan->workers[0].head.digest);
    if (plan->has_base)
        snprintf(taken->base, sizeof taken->base, "%s", plan->workers[0].base.digest);
    snprintf(taken->model, sizeof taken->model, "%s", tg_candidate_model(plan));
    const bool by_family = plan->policy.limits.family_fail && d->families_over;
    snprintf(taken->family, sizeof taken->family, "%s",
             tg_gate_word(by_family ? TG_FAIL : TG_PASS));
    snprintf(taken->cpu, sizeof taken->cpu, "unknown");
    for (size_t i = 0; i < run->count; i++)
        if (strcmp(run->rows[i].facts.hardware, plan->classes[hardware]) == 0) {
            snprintf(taken->cpu, sizeof taken->cpu, "%s", run->rows[i].facts.cpu);
            break;
        }
    return find_origin(plan, run, taken->origin, err);
}

/* What the canaries took beside the measured rows of `of`, if all had the same. */
static int take_canaries(const struct tg_plan *plan, const struct tg_run *run,
                         const struct tg_test *test, struct tg_history_verdict *kept,
                         struct tg_error *err)
{
    double *dots = calloc(2 * run->count + 1, sizeof *dots);
    if (!dots) return tg_fail(err, "out of memory");
    double *reads = dots + run->count;
    size_t dot_count = 0, read_count = 0;
    const char *canary = NULL;
    bool is_one = true;
    for (size_t i = 0; is_one && i < run->count; i++) {
        const struct tg_measurement *m = &run->rows[i];
        if (m->outcome != TG_MEASURED || memcmp(&m->cell, &test->of, sizeof m->cell) != 0 ||
            !tg_plan_is_of(plan, &plan->spec.blocks[test->block], m))
            continue;
        if (!canary) canary = m->facts.canary;
        is_one = strcmp(canary, m->facts.canary) == 0;
        if (isfinite(m->facts.canary_dot_s)) dots[dot_count++] = m->facts.canary_dot_s;
        if (isfinite(m->facts.canary_read_s)) reads[read_count++] = m->facts.canary_read_s;
    }
    snprintf(kept->canary, sizeof kept->canary, "%s", is_one && canary ? canary : "unknown");
    if (is_one && dot_count) kept->canary_dot_s = tg_stats_median(dots, dot_count);
    if (is_one && read_count) kept->canary_read_s = tg_stats_median(reads, read_count);
    free(dots);
    return 0;
}

static int take_verdict(const struct tg_plan *plan, const struct tg_run *run,
                        const struct tg_decision *d, size_t i, struct tg_history *taken,
                        struct tg_error *err)
{
    const struct tg_test *test = &plan->spec.tests[i];
    const struct tg_rule *rule = &plan->policy.rules[test->rule];
    const struct tg_verdict *v = &d->verdicts[i];
    struct tg_history_test *t = &taken->tests[taken->test_count];
    snprintf(t->rule, sizeof t->rule, "%s", rule->rule);
    snprintf(t->metric, sizeof t->metric, "%s", rule->metric);
    tg_cell_text(&test->of, t->of);
    if (test->has_to) tg_cell_text(&test->to, t->to);
    struct tg_history_verdict *kept = &taken->verdicts[taken->verdict_count++];
    *kept = (struct tg_history_verdict){.test = (int64_t)taken->test_count++,
                                        .is_shadow = test->is_shadow,
                                        .rounds = (int64_t)v->rounds,
                                        .estimate = v->estimate,
                                        .low = v->interval.low,
                                        .high = v->interval.high,
                                        .of_median = v->of_median,
                                        .to_median = v->to_median,
                                        .canary_dot_s = NAN,
                                        .canary_read_s = NAN};
    /* A false alarm is one, whoever accepted it. */
    snprintf(kept->answer, sizeof kept->answer, "%s",
             tg_gate_word(!v->accepted ? v->answer
                          : v->is_held ? TG_INCONCLUSIVE
                                       : TG_FAIL));
    snprintf(kept->word, sizeof kept->word, "%s", v->word);
    return take_canaries(plan, run, test, kept, err);
}

int tg_history_take(const struct tg_plan *plan, const struct tg_run *run,
                    const struct tg_decision *decision, size_t hardware, struct tg_history *taken,
                    struct tg_error *err)
{
    struct tg_history h = {0};
    h.runs = calloc(1, sizeof *h.runs);
    h.tests = calloc(plan->spec.test_count + 1, sizeof *h.tests);
    h.verdicts = calloc(plan->spec.test_count + 1, sizeof *h.verdicts);
    if (!h.runs || !h.tests || !h.verdicts) {
        tg_store_history_release(&h);
        return tg_fail(err, "out of memory");
    }
    snprintf(h.hardware, sizeof h.hardware, "%s", plan->classes[hardware]);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < plan->spec.test_count; i++)
        if (plan->spec.tests[i].hardware == hardware && isfinite(decision->verdicts[i].estimate) &&
            !tg_coverage_is_new(plan, i))
            rc = take_verdict(plan, run, decision, i, &h, err);
    if (rc == 0 && h.verdict_count > 0) {
        rc = take_run(plan, run, decision, hardware, h.runs, err);
        h.run_count = 1;
    }
    if (rc < 0)
        tg_store_history_release(&h);
    else
        *taken = h;
    return rc;
}

/* Whether two cells are one but for the build. */
static bool differ_in_build(const char *of_text, const char *to_text)
{
    struct tg_cell of, to;
    if (!*to_text || tg_cell_parse(of_text, &of, NULL) < 0 || tg_cell_parse(to_text, &to, NULL) < 0)
        return false;
    memcpy(to.build, of.build, sizeof to.build);
    char of_kept[TG_CELL_TEXT_SIZE], to_kept[TG_CELL_TEXT_SIZE];
    return strcmp(tg_cell_text(&of, of_kept), tg_cell_text(&to, to_kept)) == 0;
}

bool tg_history_is_pair(const struct tg_history_verdict *verdict)
{
    return isfinite(verdict->of_median) && isfinite(verdict->to_median);
}

bool tg_history_is_null(const struct tg_history *history, const struct tg_history_verdict *verdict)
{
    const struct tg_history_run *run = &history->runs[verdict->run];
    const struct tg_history_test *test = &history->tests[verdict->test];
    const struct tg_rule_kind *kind = tg_rule_find(test->rule);
    if (!kind || strcmp(kind->reading, "slowdown") != 0) return false;
    if (!tg_history_is_pair(verdict)) return false;
    if (!verdict->is_shadow && strcmp(run->head, run->base) != 0) return false;
    return differ_in_build(test->of, test->to);
}

/* A run that compared a build with itself: one of each class of hardware that it was kept for. */
struct null_run {
    char name[TG_DIGEST_SIZE]; /* its origin, or its evidence where that is not known */
    bool failed;
};

struct null_runs {
    struct null_run *runs;
    size_t count;
};

static int count_class(const struct tg_history *h, struct null_runs *nulls,
                       struct tg_alarms *alarms, struct tg_error *err)
{
    enum { SEEN = 1, FAILED = 2 };
    unsigned char *seen = calloc(h->run_count + 1, 1);
    struct null_run *runs = realloc(nulls->runs, (nulls->count + h->run_count + 1) * sizeof *runs);
    if (runs) nulls->runs = runs;
    for (size_t i = 0; seen && runs && i < h->verdict_count; i++) {
        const struct tg_history_verdict *v = &h->verdicts[i];
        if (!tg_history_is_null(h, v)) continue;
        bool failed = strcmp(v->answer, tg_gate_word(TG_FAIL)) == 0;
        alarms->tests++;
        alarms->failed += failed;
        seen[v->run] |= SEEN | (failed ? FAILED : 0);
    }
    for (size_t r = 0; seen && runs && r < h->run_count; r++) {
        if (!(seen[r] & SEEN)) continue;
        struct null_run *run = &runs[nulls->count++];
        const char *name = *h->runs[r].origin ? h->runs[r].origin : h->runs[r].evidence;
        snprintf(run->name, sizeof run->name, "%s", name);
        /* A family is of what was compared with base, which need not be this build. */
        run->failed = seen[r] & FAILED || (strcmp(h->runs[r].head, h->runs[r].base) == 0 &&
                                           strcmp(h->runs[r].family, tg_gate_word(TG_FAIL)) == 0);
    }
    int rc = seen && runs ? 0 : tg_fail(err, "out of memory");
    free(seen);
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct null_run *)a)->name, ((const struct null_run *)b)->name);
}

/* Each run once, however many classes of hardware it was measured on. */
static void count_runs(struct null_runs *nulls, struct tg_alarms *alarms)
{
    if (nulls->count) qsort(nulls->runs, nulls->count, sizeof *nulls->runs, by_name);
    for (size_t i = 0, next; i < nulls->count; i = next) {
        bool failed = false;
        for (next = i; next < nulls->count && !by_name(&nulls->runs[i], &nulls->runs[next]); next++)
            failed = failed || nulls->runs[next].failed;
        alarms->runs++;
        alarms->failed_runs += failed;
    }
}

static double most(size_t failed, size_t all)
{
    return all ? tg_stats_clopper_pearson(failed, all, 2 * BOUND - 1).high : 1;
}

int tg_history_alarms(const char *directory, struct tg_alarms *alarms, struct tg_error *err)
{
    char(*classes)[TG_TEXT_SIZE];
    size_t count;
    struct tg_alarms counted = {0};
    struct null_runs nulls = {0};
    int rc = 0;
    if (tg_store_history_classes(directory, &classes, &count, err) < 0) return -1;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct tg_history h;
        rc = tg_store_history_read(directory, classes[i], &h, err);
        if (rc < 0) break;
        rc = count_class(&h, &nulls, &counted, err);
        tg_store_history_release(&h);
    }
    count_runs(&nulls, &counted);
    free(nulls.runs);
    free(classes);
    if (rc < 0) return -1;
    counted.tests_most = most(counted.failed, counted.tests);
    counted.runs_most = most(counted.failed_runs, counted.runs);
    *alarms = counted;
    return 0;
}

char *tg_history_alarms_text(const struct tg_alarms *a, char *out, size_t size)
{
    if (a->tests == 0)
        snprintf(out, size, "false alarms so far: none, for no run compared a build with itself");
    else
        snprintf(out, size,
                 "false alarms so far: %zu of %zu run%s (at most %.3g %%), %zu of %zu test%s (at "
                 "most %.3g %%)",
                 a->failed_runs, a->runs, a->runs == 1 ? "" : "s", 100 * a->runs_most, a->failed,
                 a->tests, a->tests == 1 ? "" : "s", 100 * a->tests_most);
    return out;
}
