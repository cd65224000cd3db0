/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_MADE_RUN_H
#define TG_TESTS_MADE_RUN_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/gate.h"
#include "coordinator/plan.h"

/*
 * Runs that nobody measured, for the tests of the coordinator: workers that announce what they are
 * told to, plans of their texts, and rows whose round values are chosen.
 */

#define MADE_HEAD "1111111111111111111111111111111111111111111111111111111111111111"
#define MADE_BASE "2222222222222222222222222222222222222222222222222222222222222222"

enum { MADE_QUADS = 5 };

/* A survey of these kernels; all can be run but those of avx512vnni. */
static inline void made_survey(const char *digest, struct tg_survey *survey)
{
    static const char *const rows[][3] = {{"i2s_scalar", "product", "scalar"},
                                          {"i2s_avx2", "product", "avx2"},
                                          {"i2s_avx512vnni", "product", "avx512vnni"},
                                          {"i2s_scalar_unpack", "unpack", "scalar"},
                                          {"i2s_avx2_unpack", "unpack", "avx2"}};
    *survey = (struct tg_survey){.count = sizeof rows / sizeof *rows};
    snprintf(survey->path, sizeof survey->path, "/somewhere/libtritgate-kernels.so");
    snprintf(survey->digest, sizeof survey->digest, "%s", digest);
    snprintf(survey->build, sizeof survey->build, "GNU 13.2.0 x86_64 Release -O3");
    survey->kernels = calloc(survey->count, sizeof *survey->kernels);
    assert_non_null(survey->kernels);
    for (size_t i = 0; i < survey->count; i++) {
        struct tg_survey_kernel *k = &survey->kernels[i];
        snprintf(k->name, sizeof k->name, "%s", rows[i][0]);
        snprintf(k->op, sizeof k->op, "%s", rows[i][1]);
        snprintf(k->isa, sizeof k->isa, "%s", rows[i][2]);
        snprintf(k->format, sizeof k->format, "i2s");
        snprintf(k->device, sizeof k->device, "cpu");
        k->built = true;
        k->here = strcmp(k->isa, "avx512vnni") != 0;
        k->column_multiple = 128;
    }
}

/* A worker; base is the digest of its base, or NULL if it has none. */
static inline struct tg_capability made_worker(const char *host, const char *base)
{
    struct tg_capability worker = {.has_base = base != NULL};
    snprintf(worker.host, sizeof worker.host, "%s", host);
    snprintf(worker.domain, sizeof worker.domain, "0");
    snprintf(worker.hardware, sizeof worker.hardware, "unknown");
    made_survey(MADE_HEAD, &worker.head);
    if (base) made_survey(base, &worker.base);
    return worker;
}

static inline struct tg_survey_kernel *made_kernel(struct tg_survey *survey, const char *name)
{
    for (size_t i = 0; i < survey->count; i++)
        if (strcmp(survey->kernels[i].name, name) == 0) return &survey->kernels[i];
    fail_msg("no kernel %s", name);
    return NULL;
}

/* Takes a kernel out of a survey. */
static inline void made_lose(struct tg_survey *survey, const char *name)
{
    struct tg_survey_kernel *k = made_kernel(survey, name);
    *k = survey->kernels[--survey->count];
}

static const struct tg_asked made_asked = {.seed = "7", .budget_s = 60};

/* Plans and takes the workers, which are released. Returns what tg_plan_make does. */
static inline int made_try(const char *matrix, const char *policy, struct tg_capability *workers,
                           size_t worker_count, const struct tg_asked *asked, struct tg_plan *plan,
                           struct tg_error *err)
{
    char *text = tg_plan_text(asked, workers, worker_count);
    int rc = tg_plan_make(matrix, "a.json", policy, text, plan, err);
    free(text);
    for (size_t i = 0; i < worker_count; i++) tg_plan_capability_release(&workers[i]);
    return rc;
}

static inline void made_plan(const char *matrix, const char *policy, struct tg_capability *workers,
                             size_t worker_count, const struct tg_asked *asked,
                             struct tg_plan *plan)
{
    struct tg_error err;
    if (made_try(matrix, policy, workers, worker_count, asked, plan, &err) < 0)
        fail_msg("%s", err.text);
}

/* The test of that rule whose cell `of` has this kernel and batch. */
static inline size_t made_test(const struct tg_plan *plan, size_t rule, const char *kernel,
                               int64_t batch)
{
    for (size_t i = 0; i < plan->spec.test_count; i++) {
        const struct tg_test *t = &plan->spec.tests[i];
        if (t->rule == rule && strcmp(t->of.kernel, kernel) == 0 && t->of.batch == batch) return i;
    }
    fail_msg("rule %zu has no test of %s", rule, kernel);
    return 0;
}

/* Adds a row for one side (0: of) of a test. It is the run's, and moves when another is added. */
static inline struct tg_measurement *made_row(struct tg_run *run, const struct tg_plan *plan,
                                              size_t test, int side, int64_t round,
                                              enum tg_outcome outcome)
{
    const struct tg_test *t = &plan->spec.tests[test];
    if ((run->count & (run->count - 1)) == 0) { /* full: there was room for a power of two */
        run->rows = realloc(run->rows, (run->count ? 2 * run->count : 1) * sizeof *run->rows);
        assert_non_null(run->rows);
    }
    struct tg_measurement *m = &run->rows[run->count++];
    tg_measurement_init(m);
    m->cell = side ? t->to : t->of;
    memcpy(m->block, plan->spec.blocks[t->block].text, sizeof m->block);
    m->round = round;
    m->outcome = outcome;
    m->facts.packed_bytes = 1638400;
    memcpy(m->facts.hardware, plan->classes[t->hardware], sizeof m->facts.hardware);
    snprintf(m->facts.host, sizeof m->facts.host, "a");
    snprintf(m->facts.cpu, sizeof m->facts.cpu, "A_Processor");
    snprintf(m->facts.date, sizeof m->facts.date, "2026-01-02T03:04:%02lldZ", (long long)round);
    snprintf(m->facts.library, sizeof m->facts.library, "%s",
             strcmp(m->cell.build, "base") == 0 ? MADE_BASE : MADE_HEAD);
    return m;
}

/* Adds samples of a metric, in turns ABBA (side 0) or what is left of them (side 1). */
static inline void made_samples(struct tg_measurement *m, const char *metric, int side,
                                double value)
{
    struct tg_series *s = tg_measurement_add(m, metric, 2 * MADE_QUADS);
    assert_non_null(s);
    m->facts.quads = MADE_QUADS;
    for (int64_t i = 0; i < 2 * MADE_QUADS; i++) {
        s->samples[i] = value;
        s->turns[i] = side ? i / 2 * 4 + 1 + i % 2 : i / 2 * 4 + 3 * (i % 2);
    }
}

/* A whole round of a pair, whose value is d: `to` takes 100 us, `of` e^d times as long. */
static inline void made_round(struct tg_run *run, const struct tg_plan *plan, size_t test,
                              int64_t round, double d)
{
    made_samples(made_row(run, plan, test, 0, round, TG_MEASURED), "call_time", 0, 1e-4 * exp(d));
    made_samples(made_row(run, plan, test, 1, round, TG_MEASURED), "call_time", 1, 1e-4);
}

/* The rounds from `first` to before `end` of a pair, d and d + noise in turn. */
static inline void made_rounds(struct tg_run *run, const struct tg_plan *plan, size_t test,
                               int64_t first, int64_t end, double d, double noise)
{
    for (int64_t r = first; r < end; r++)
        made_round(run, plan, test, r, d + (r % 2 ? noise : -noise));
}

/* A round of one cell with a fixed value. */
static inline void made_fixed(struct tg_run *run, const struct tg_plan *plan, size_t test,
                              int64_t round, double value)
{
    struct tg_measurement *m = made_row(run, plan, test, 0, round, TG_MEASURED);
    struct tg_series *s = tg_measurement_add(
        m, plan->policy.rules[plan->spec.tests[test].rule].metric, 1);
    assert_non_null(s);
    s->samples[0] = value;
}

/* A round that broke: how each side ended; what was measured beside it is unpaired. */
static inline void made_broken(struct tg_run *run, const struct tg_plan *plan, size_t test,
                               int64_t round, enum tg_outcome of, enum tg_outcome to,
                               const char *reason)
{
    const enum tg_outcome outcomes[] = {of, to};
    for (int side = 0; side < 2; side++) {
        struct tg_measurement *m = made_row(run, plan, test, side, round, outcomes[side]);
        m->unpaired = outcomes[1 - side] != TG_MEASURED;
        if (m->outcome == TG_MEASURED)
            made_samples(m, "call_time", side, 1e-4);
        else
            snprintf(m->reason, sizeof m->reason, "%s", reason);
    }
}

#endif
