/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/family.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/rule.h"
#include "results/sequential.h"

#define TESTS_LEAST 3
#define TRIMMED     0.1 /* of the tests, at either end */

struct tests {
    char name[TG_TEXT_SIZE];
    size_t *tests;
    size_t count;
};

struct tg_families {
    const struct tg_plan *plan;
    struct tests *families;
    size_t count;
    double **values; /* of each test of the plan, NULL for those of no family */
    size_t *counts;
    bool *wants; /* of each test: whether a family wants more rounds of it */
    bool is_stale;
};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* How much the first rounds of a test scatter around their median. */
static double scatter(const double *values, size_t count)
{
    double distances[64];
    if (count > 64) count = 64;
    double middle = tg_stats_median(values, count);
    for (size_t i = 0; i < count; i++) distances[i] = fabs(values[i] - middle);
    return tg_stats_median(distances, count);
}

/*
 * Marks the quietest tests, at most family_tests of those with rounds_min rounds. Returns how many.
 * `scratch` has room for one number a test.
 */
static size_t choose(const struct tg_limits *limits, const double *const values[],
                     const size_t counts[], size_t test_count, bool *chosen, double *scratch)
{
    size_t least = (size_t)limits->rounds_min, most = (size_t)limits->family_tests;
    size_t there = 0, found = 0;
    for (size_t i = 0; i < test_count; i++)
        if (counts[i] >= least) scratch[there++] = scatter(values[i], least);
    if (there == 0) return 0;
    qsort(scratch, there, sizeof *scratch, ascending);
    double line = scratch[(there < most ? there : most) - 1];
    for (size_t i = 0; i < test_count && found < most; i++) {
        chosen[i] = counts[i] >= least && scatter(values[i], least) <= line;
        found += chosen[i];
    }
    return found;
}

/* The trimmed mean over the chosen tests in one round, NAN if fewer than half of them have it. */
static double round_value(const double *const values[], const size_t counts[], size_t test_count,
                          const bool *chosen, size_t chosen_count, size_t round, double *scratch)
{
    size_t there = 0;
    double sum = 0;
    for (size_t i = 0; i < test_count; i++)
        if (chosen[i] && counts[i] > round) scratch[there++] = values[i][round];
    if (there < TESTS_LEAST || 2 * there < chosen_count) return NAN;
    qsort(scratch, there, sizeof *scratch, ascending);
    size_t cut = (size_t)(TRIMMED * (double)there);
    for (size_t i = cut; i < there - cut; i++) sum += scratch[i];
    return sum / (double)(there - 2 * cut);
}

static void follow(const struct tg_limits *limits, const double *const values[],
                   const size_t counts[], size_t test_count, const bool *chosen, double *scratch,
                   struct tg_family_verdict *v)
{
    size_t most = (size_t)limits->rounds_max;
    double *distances = scratch + test_count, *means = distances + most;
    struct tg_symmetry symmetry;
    struct tg_student student = {0};
    tg_sequential_symmetry_init(&symmetry, log1p(limits->family_tolerance), distances, most);
    for (; v->rounds < most; v->rounds++) {
        double d = round_value(values, counts, test_count, chosen, v->tests, v->rounds, scratch);
        if (!isfinite(d)) break;
        means[v->rounds] = d;
        tg_sequential_student_add(&student, d);
        double log_fail = tg_sequential_symmetry_add(&symmetry, d);
        if (!v->is_over) v->log_fail = log_fail;
        v->is_over = v->is_over || tg_stats_is_over(log_fail, v->log_line);
    }
    if (v->rounds == 0) return;
    struct tg_interval interval = tg_sequential_student_interval(&student, limits->confidence);
    v->estimate = expm1(tg_stats_hodges_lehmann(means, v->rounds));
    v->interval = (struct tg_interval){expm1(interval.low), expm1(interval.high)};
    v->wants_more = !v->is_over && (int64_t)v->rounds < limits->family_rounds;
}

void tg_family_judge(const struct tg_limits *limits, size_t family_count,
                     const double *const values[], const size_t counts[], size_t test_count,
                     bool *chosen, struct tg_family_verdict *verdict)
{
    struct tg_family_verdict v = {.estimate = NAN, .interval = {-INFINITY, INFINITY}};
    bool *marks = calloc(test_count + 1, sizeof *marks);
    double *scratch = malloc((test_count + 2 * (size_t)limits->rounds_max) * sizeof *scratch);
    memcpy(v.name, verdict->name, sizeof v.name);
    v.log_line = log((double)family_count) - log(limits->alpha_family);
    if (marks && scratch) {
        v.tests = choose(limits, values, counts, test_count, marks, scratch);
        if (v.tests >= TESTS_LEAST)
            follow(limits, values, counts, test_count, marks, scratch, &v);
        else
            v.tests = 0;
    }
    for (size_t i = 0; chosen && i < test_count; i++) chosen[i] = v.tests && marks && marks[i];
    free(marks);
    free(scratch);
    *verdict = v;
}

/* Whether a test can be one of a family: it compares builds, and counts. */
static bool is_eligible(const struct tg_plan *plan, size_t test)
{
    const struct tg_test *t = &plan->spec.tests[test];
    const struct tg_rule *rule = &plan->policy.rules[t->rule];
    return !t->is_shadow && plan->prospects[test].fate == TG_TO_MEASURE && t->has_to &&
           strcmp(rule->axis, "build") == 0 &&
           strcmp(tg_rule_find(rule->rule)->reading, "slowdown") == 0;
}

static bool has_test(const struct tests *family, size_t test)
{
    for (size_t i = 0; i < family->count; i++)
        if (family->tests[i] == test) return true;
    return false;
}

static bool is_same(const struct tests *a, const struct tests *b)
{
    return a->count == b->count && memcmp(a->tests, b->tests, a->count * sizeof *a->tests) == 0;
}

/* Adds a test to the family of that name, which is made if it is new. */
static int join(struct tg_families *f, const char *name, size_t test, struct tg_error *err)
{
    size_t i = 0;
    while (i < f->count && strcmp(f->families[i].name, name) != 0) i++;
    if (i == f->count) {
        struct tests *grown = realloc(f->families, (f->count + 1) * sizeof *grown);
        if (!grown) return tg_fail(err, "out of memory");
        f->families = grown;
        grown[f->count] = (struct tests){.tests = calloc(f->plan->spec.test_count, sizeof(size_t))};
        if (!grown[f->count].tests) return tg_fail(err, "out of memory");
        snprintf(grown[f->count++].name, TG_TEXT_SIZE, "%s", name);
    }
    f->families[i].tests[f->families[i].count++] = test;
    return 0;
}

/* Devices first, then models; a family of the same tests as one before, or of too few, is none. */
static int find_families(struct tg_families *f, struct tg_error *err)
{
    const struct tg_plan *plan = f->plan;
    for (int by_model = 0; by_model < 2; by_model++) {
        for (size_t i = 0; i < plan->spec.test_count; i++) {
            char name[TG_TEXT_SIZE] = "";
            const struct tg_cell *cell = &plan->spec.tests[i].of;
            const struct tg_word *kernel = tg_words_find(&plan->words, "kernel", cell->kernel);
            if (by_model)
                memcpy(name, cell->model, sizeof name);
            else if (kernel)
                tg_words_trait(kernel, "device", name, sizeof name);
            if (is_eligible(plan, i) && *name && join(f, name, i, err) < 0) return -1;
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < f->count; i++) {
        bool is_new = f->families[i].count >= TESTS_LEAST;
        for (size_t k = 0; k < kept; k++)
            is_new = is_new && !is_same(&f->families[k], &f->families[i]);
        if (is_new)
            f->families[kept++] = f->families[i];
        else
            free(f->families[i].tests);
    }
    f->count = kept;
    return 0;
}

int tg_family_create(const struct tg_plan *plan, struct tg_families **families,
                     struct tg_error *err)
{
    struct tg_families *f = calloc(1, sizeof *f);
    if (!f) return tg_fail(err, "out of memory");
    f->plan = plan;
    f->values = calloc(plan->spec.test_count + 1, sizeof *f->values);
    f->counts = calloc(plan->spec.test_count + 1, sizeof *f->counts);
    f->wants = calloc(plan->spec.test_count + 1, sizeof *f->wants);
    int rc = f->values && f->counts && f->wants ? 0 : tg_fail(err, "out of memory");
    if (rc == 0 && plan->policy.limits.family_watch) rc = find_families(f, err);
    if (rc < 0)
        tg_family_destroy(f);
    else
        *families = f;
    return rc;
}

void tg_family_destroy(struct tg_families *families)
{
    if (!families) return;
    for (size_t i = 0; i < families->count; i++) free(families->families[i].tests);
    for (size_t i = 0; families->values && i < families->plan->spec.test_count; i++)
        free(families->values[i]);
    free(families->families);
    free(families->values);
    free(families->counts);
    free(families->wants);
    free(families);
}

int tg_family_take(struct tg_families *families, size_t test, const double *values, size_t count,
                   struct tg_error *err)
{
    const struct tg_rule *rule =
        &families->plan->policy.rules[families->plan->spec.tests[test].rule];
    double sign = tg_metric_find(rule->metric)->better == TG_LOWER ? 1 : -1;
    bool is_member = false;
    for (size_t i = 0; i < families->count; i++)
        is_member = is_member || has_test(&families->families[i], test);
    if (!is_member) return 0;
    double *copy = malloc((count + 1) * sizeof *copy);
    if (!copy) return tg_fail(err, "out of memory");
    for (size_t i = 0; i < count; i++) copy[i] = sign * values[i];
    free(families->values[test]);
    families->values[test] = copy;
    families->counts[test] = count;
    families->is_stale = true;
    return 0;
}

size_t tg_family_count(const struct tg_families *families)
{
    return families->count;
}

/* Judges a family, and says which of the plan's tests were looked at if `looked_at` is not NULL. */
static void look(const struct tg_families *f, size_t family, bool *looked_at,
                 struct tg_family_verdict *verdict)
{
    const struct tests *own = &f->families[family];
    const double **values = calloc(own->count, sizeof *values);
    size_t *counts = calloc(own->count, sizeof *counts);
    memcpy(verdict->name, own->name, sizeof verdict->name);
    for (size_t i = 0; values && counts && i < own->count; i++) {
        values[i] = f->values[own->tests[i]];
        counts[i] = values[i] ? f->counts[own->tests[i]] : 0;
    }
    if (values && counts)
        tg_family_judge(&f->plan->policy.limits, f->count, values, counts, own->count, looked_at,
                        verdict);
    free(values);
    free(counts);
}

void tg_family_look(const struct tg_families *families, size_t family,
                    struct tg_family_verdict *verdict)
{
    *verdict = (struct tg_family_verdict){.estimate = NAN, .interval = {-INFINITY, INFINITY}};
    look(families, family, NULL, verdict);
}

/* Asks every family anew which tests it wants more rounds of. */
static void refresh(struct tg_families *f)
{
    const struct tg_limits *limits = &f->plan->policy.limits;
    memset(f->wants, 0, f->plan->spec.test_count * sizeof *f->wants);
    for (size_t i = 0; i < f->count; i++) {
        const struct tests *own = &f->families[i];
        struct tg_family_verdict v = {0};
        bool *looked_at = calloc(own->count, sizeof *looked_at);
        if (!looked_at) continue;
        look(f, i, looked_at, &v);
        for (size_t k = 0; v.wants_more && k < own->count; k++)
            if (looked_at[k] && (int64_t)f->counts[own->tests[k]] < limits->family_rounds)
                f->wants[own->tests[k]] = true;
        free(looked_at);
    }
    f->is_stale = false;
}

bool tg_family_wants(struct tg_families *families, size_t test)
{
    if (families->is_stale) refresh(families);
    return families->wants[test];
}
