/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/family.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/rule.h"
#include "results/sequential.h"

#define KINDS   2   /* of families: of devices, and of models */
#define TRIMMED 0.1 /* of the tests, at either end */

/*
 * A family, and what is known of it so far. A round of one of its tests changes little of that:
 * which are the quietest is asked again only where its scatter may be among theirs, and of the
 * means only those of its own rounds are.
 */
struct tests {
    char name[TG_TEXT_SIZE];
    size_t *tests;
    size_t count;
    const double **values; /* of each of its tests, NULL before it has any; those of the plan's */
    size_t *counts;
    double *scatters;          /* likewise, NAN where there are too few rounds */
    bool *chosen, *was_chosen; /* the quietest */
    size_t *picks;             /* those, one after the other */
    size_t pick_count;
    double line;   /* the most scatter of these */
    bool is_whole; /* they are as many as may be */
    double *means, *scratch;
    size_t known; /* means, but for those of the rounds from stale_first to before stale_end */
    size_t stale_first, stale_end;
    bool is_stale, is_choice_stale, wants_more;
};

/* Where a test is in a family. */
struct place {
    size_t family, at;
};

struct tg_families {
    const struct tg_plan *plan;
    struct tests *families;
    size_t count;
    struct place (*places)[KINDS]; /* of each test of the plan; `count` stands for none */
    double **values;               /* likewise, NULL for those of no family */
    bool is_stale;
    bool *is_turned; /* likewise: a family may want it and did not before, or the other way round */
    size_t *turned;  /* those */
    size_t turned_count;
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

/* The same of tests with rounds_min rounds, NAN of others. */
static double scatter_of(const struct tg_limits *limits, const double *values, size_t count)
{
    size_t least = (size_t)limits->rounds_min;
    return count >= least ? scatter(values, least) : NAN;
}

/*
 * Marks the quietest tests, at most family_tests of those that have a scatter, lists them, and
 * tells the most that one of them has. Returns how many. `scratch` has room for one number a test.
 */
static size_t choose(const struct tg_limits *limits, const double scatters[], size_t test_count,
                     bool *chosen, size_t *picks, double *line, double *scratch)
{
    size_t most = (size_t)limits->family_tests, there = 0, found = 0;
    for (size_t i = 0; i < test_count; i++)
        if (!isnan(scatters[i])) scratch[there++] = scatters[i];
    memset(chosen, 0, test_count * sizeof *chosen);
    if (there == 0) return 0;
    qsort(scratch, there, sizeof *scratch, ascending);
    *line = scratch[(there < most ? there : most) - 1];
    for (size_t i = 0; i < test_count && found < most; i++) {
        chosen[i] = scatters[i] <= *line;
        if (chosen[i]) picks[found++] = i;
    }
    return found;
}

double tg_family_mean(double *values, size_t count)
{
    size_t cut = (size_t)(TRIMMED * (double)count);
    double sum = 0;
    qsort(values, count, sizeof *values, ascending);
    for (size_t i = cut; i < count - cut; i++) sum += values[i];
    return sum / (double)(count - 2 * cut);
}

/* The trimmed mean over the picked tests in one round, NAN if fewer than half of them have it. */
static double round_value(const double *const values[], const size_t counts[], const size_t picks[],
                          size_t pick_count, size_t round, double *scratch)
{
    size_t there = 0;
    for (size_t i = 0; i < pick_count; i++)
        if (counts[picks[i]] > round) scratch[there++] = values[picks[i]][round];
    if (there < TG_FAMILY_LEAST || 2 * there < pick_count) return NAN;
    return tg_family_mean(scratch, there);
}

/*
 * Follows the means that are known. Without `estimates` only what is wanted is found out.
 * `log_fails`, if not NULL, receives the evidence after each round.
 */
static void follow(const struct tg_limits *limits, const struct tests *f, bool estimates,
                   double *log_fails, struct tg_family_verdict *v)
{
    struct tg_symmetry symmetry;
    struct tg_student student = {0};
    tg_sequential_symmetry_init(&symmetry, log1p(limits->family_tolerance), f->scratch,
                                (size_t)limits->rounds_max);
    for (; v->rounds < f->known && isfinite(f->means[v->rounds]); v->rounds++) {
        double mean = f->means[v->rounds];
        if (estimates) tg_sequential_student_add(&student, mean);
        double log_fail = tg_sequential_symmetry_add(&symmetry, mean);
        if (log_fails) log_fails[v->rounds] = log_fail;
        if (!v->is_over) v->log_fail = log_fail;
        v->is_over = v->is_over || tg_stats_is_over(log_fail, v->log_line);
    }
    if (v->rounds == 0) return;
    v->wants_more = !v->is_over && (int64_t)v->rounds < limits->family_rounds;
    if (!estimates) return;
    struct tg_interval interval = tg_sequential_student_interval(&student, limits->confidence);
    v->estimate = expm1(tg_stats_hodges_lehmann(f->means, v->rounds));
    v->interval = tg_stats_ratios(interval);
}

static double log_line(const struct tg_limits *limits, size_t family_count)
{
    return log((double)family_count) - log(limits->alpha_family);
}

static void free_tests(struct tests *f)
{
    free(f->tests);
    free(f->values);
    free(f->counts);
    free(f->scatters);
    free(f->chosen);
    free(f->was_chosen);
    free(f->picks);
    free(f->means);
    free(f->scratch);
}

/* Room for what is to be known of `count` tests. */
static bool make_room(const struct tg_limits *limits, struct tests *f, size_t count)
{
    size_t most = (size_t)limits->rounds_max;
    f->values = calloc(count + 1, sizeof *f->values);
    f->counts = calloc(count + 1, sizeof *f->counts);
    f->scatters = malloc((count + 1) * sizeof *f->scatters);
    f->chosen = calloc(count + 1, sizeof *f->chosen);
    f->was_chosen = calloc(count + 1, sizeof *f->was_chosen);
    f->picks = malloc((count + 1) * sizeof *f->picks);
    f->means = malloc((most + 1) * sizeof *f->means);
    f->scratch = malloc((count + most + 1) * sizeof *f->scratch);
    if (!f->values || !f->counts || !f->scatters || !f->chosen || !f->was_chosen || !f->picks ||
        !f->means || !f->scratch)
        return false;
    for (size_t i = 0; i < count; i++) f->scatters[i] = NAN;
    f->count = count;
    return true;
}

/* Finds out again what is stale: who is chosen, and the means up to the first that is missing. */
static void refresh(const struct tg_limits *limits, struct tests *f)
{
    if (f->is_choice_stale) {
        f->pick_count = choose(limits, f->scatters, f->count, f->chosen, f->picks, &f->line,
                               f->scratch);
        f->is_whole = f->pick_count == (size_t)limits->family_tests;
        f->known = 0;
    }
    for (size_t r = f->stale_first; r < f->stale_end && r < f->known; r++)
        f->means[r] = round_value(f->values, f->counts, f->picks, f->pick_count, r, f->scratch);
    while (f->known < (size_t)limits->rounds_max &&
           (f->known == 0 || isfinite(f->means[f->known - 1]))) {
        f->means[f->known] = round_value(f->values, f->counts, f->picks, f->pick_count, f->known,
                                         f->scratch);
        f->known++;
    }
    f->stale_first = f->stale_end = 0;
    f->is_stale = f->is_choice_stale = false;
}

void tg_family_judge(const struct tg_limits *limits, size_t family_count,
                     const double *const values[], const size_t counts[], size_t test_count,
                     bool *chosen, double *log_fails, struct tg_family_verdict *verdict)
{
    struct tg_family_verdict v = {.estimate = NAN, .interval = {-INFINITY, INFINITY}};
    struct tests f = {.is_choice_stale = true};
    memcpy(v.name, verdict->name, sizeof v.name);
    v.log_line = log_line(limits, family_count);
    if (make_room(limits, &f, test_count)) {
        for (size_t i = 0; i < test_count; i++) {
            f.values[i] = values[i];
            f.counts[i] = counts[i];
            f.scatters[i] = scatter_of(limits, values[i], counts[i]);
        }
        refresh(limits, &f);
        if (f.pick_count >= TG_FAMILY_LEAST) v.tests = f.pick_count;
        if (v.tests) follow(limits, &f, true, log_fails, &v);
    }
    for (size_t i = 0; chosen && i < test_count; i++) chosen[i] = v.tests && f.chosen[i];
    free_tests(&f);
    *verdict = v;
}

/* Whether a test can be one of a family: it compares builds, and counts. */
static bool is_eligible(const struct tg_plan *plan, size_t test)
{
    const struct tg_test *t = &plan->spec.tests[test];
    const struct tg_rule *rule = &plan->policy.rules[t->rule];
    return !t->is_shadow && !tg_plan_is_optional(plan, test) &&
           plan->prospects[test].fate == TG_TO_MEASURE && t->has_to &&
           strcmp(rule->axis, "build") == 0 &&
           strcmp(tg_rule_find(rule->rule)->reading, "slowdown") == 0;
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
        bool is_new = f->families[i].count >= TG_FAMILY_LEAST;
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

/* Gives each family its room, and tells each test its places. */
static int settle(struct tg_families *f, struct tg_error *err)
{
    for (size_t t = 0; t < f->plan->spec.test_count; t++)
        for (size_t k = 0; k < KINDS; k++) f->places[t][k].family = f->count;
    for (size_t i = 0; i < f->count; i++) {
        struct tests *own = &f->families[i];
        if (!make_room(&f->plan->policy.limits, own, own->count))
            return tg_fail(err, "out of memory");
        for (size_t k = 0; k < own->count; k++) {
            struct place *places = f->places[own->tests[k]];
            places[places[0].family == f->count ? 0 : 1] = (struct place){i, k};
        }
    }
    return 0;
}

int tg_family_create(const struct tg_plan *plan, struct tg_families **families,
                     struct tg_error *err)
{
    struct tg_families *f = calloc(1, sizeof *f);
    if (!f) return tg_fail(err, "out of memory");
    f->plan = plan;
    f->places = calloc(plan->spec.test_count + 1, sizeof *f->places);
    f->values = calloc(plan->spec.test_count + 1, sizeof *f->values);
    f->is_turned = calloc(plan->spec.test_count + 1, sizeof *f->is_turned);
    f->turned = calloc(plan->spec.test_count + 1, sizeof *f->turned);
    int rc = f->places && f->values && f->is_turned && f->turned ? 0
                                                                 : tg_fail(err, "out of memory");
    if (rc == 0 && plan->policy.limits.family_watch) rc = find_families(f, err);
    if (rc == 0) rc = settle(f, err);
    if (rc < 0)
        tg_family_destroy(f);
    else
        *families = f;
    return rc;
}

void tg_family_destroy(struct tg_families *families)
{
    if (!families) return;
    for (size_t i = 0; i < families->count; i++) free_tests(&families->families[i]);
    for (size_t i = 0; families->values && i < families->plan->spec.test_count; i++)
        free(families->values[i]);
    free(families->families);
    free(families->places);
    free(families->values);
    free(families->is_turned);
    free(families->turned);
    free(families);
}

/* From which round on two lists of values differ. */
static size_t same_until(const double *a, size_t a_count, const double *b, size_t b_count)
{
    size_t r = 0;
    while (r < a_count && r < b_count && a[r] == b[r]) r++;
    return r;
}

/* Takes a member's values; what was known and depends on the rounds that differ becomes stale. */
static void take(const struct tg_limits *limits, struct tests *f, size_t at, const double *values,
                 size_t count)
{
    double scattered = scatter_of(limits, values, count), before = f->scatters[at];
    size_t first = same_until(f->values[at], f->counts[at], values, count);
    size_t end = count > f->counts[at] ? count : f->counts[at];
    bool is_same = scattered == before || (isnan(scattered) && isnan(before));
    /* One more that is noisier than all of the quietest leaves these as they are. */
    if (!is_same && !(isnan(before) && f->is_whole && scattered > f->line))
        f->is_choice_stale = f->is_stale = true;
    if (f->chosen[at] && first < end) {
        if (f->stale_first == f->stale_end) f->stale_first = f->stale_end = first;
        if (first < f->stale_first) f->stale_first = first;
        if (end > f->stale_end) f->stale_end = end;
        f->is_stale = true;
    }
    f->values[at] = values;
    f->counts[at] = count;
    f->scatters[at] = scattered;
}

int tg_family_take(struct tg_families *families, size_t test, const double *values, size_t count,
                   struct tg_error *err)
{
    const struct place *places = families->places[test];
    if (places[0].family == families->count) return 0;
    const struct tg_rule *rule =
        &families->plan->policy.rules[families->plan->spec.tests[test].rule];
    double sign = tg_metric_find(rule->metric)->better == TG_LOWER ? 1 : -1;
    double *copy = malloc((count + 1) * sizeof *copy);
    if (!copy) return tg_fail(err, "out of memory");
    for (size_t i = 0; i < count; i++) copy[i] = sign * values[i];
    for (size_t k = 0; k < KINDS && places[k].family < families->count; k++)
        take(&families->plan->policy.limits, &families->families[places[k].family], places[k].at,
             copy, count);
    free(families->values[test]);
    families->values[test] = copy;
    families->is_stale = true;
    return 0;
}

size_t tg_family_count(const struct tg_families *families)
{
    return families->count;
}

size_t tg_family_tests(const struct tg_families *families, size_t family, const size_t **tests)
{
    *tests = families->families[family].tests;
    return families->families[family].count;
}

void tg_family_look(const struct tg_families *families, size_t family, bool *chosen,
                    double *log_fails, struct tg_family_verdict *verdict)
{
    const struct tests *f = &families->families[family];
    memcpy(verdict->name, f->name, sizeof verdict->name);
    tg_family_judge(&families->plan->policy.limits, families->count, f->values, f->counts, f->count,
                    chosen, log_fails, verdict);
}

static void turn(struct tg_families *families, size_t test)
{
    if (families->is_turned[test]) return;
    families->is_turned[test] = true;
    families->turned[families->turned_count++] = test;
}

/* Asks a family again, and tells which of its tests it wants now or wanted before, not both. */
static void ask_again(struct tg_families *families, struct tests *f)
{
    const struct tg_limits *limits = &families->plan->policy.limits;
    struct tg_family_verdict v = {.log_line = log_line(limits, families->count)};
    bool wanted = f->wants_more, is_other_choice = f->is_choice_stale;
    if (is_other_choice) memcpy(f->was_chosen, f->chosen, f->count * sizeof *f->chosen);
    refresh(limits, f);
    if (f->pick_count >= TG_FAMILY_LEAST) follow(limits, f, false, NULL, &v);
    f->wants_more = v.wants_more;
    for (size_t i = 0; is_other_choice && i < f->count; i++)
        if ((wanted && f->was_chosen[i]) != (v.wants_more && f->chosen[i]))
            turn(families, f->tests[i]);
    for (size_t i = 0; !is_other_choice && wanted != v.wants_more && i < f->pick_count; i++)
        turn(families, f->tests[f->picks[i]]);
}

static void ask_all_again(struct tg_families *families)
{
    for (size_t i = 0; families->is_stale && i < families->count; i++)
        if (families->families[i].is_stale) ask_again(families, &families->families[i]);
    families->is_stale = false;
}

bool tg_family_wants(struct tg_families *families, size_t test)
{
    const struct place *places = families->places[test];
    ask_all_again(families);
    for (size_t k = 0; k < KINDS && places[k].family < families->count; k++) {
        const struct tests *f = &families->families[places[k].family];
        if (f->wants_more && f->chosen[places[k].at] &&
            (int64_t)f->counts[places[k].at] < families->plan->policy.limits.family_rounds)
            return true;
    }
    return false;
}

size_t tg_family_turned(struct tg_families *families, const size_t **tests)
{
    ask_all_again(families);
    size_t count = families->turned_count;
    for (size_t i = 0; i < count; i++) families->is_turned[families->turned[i]] = false;
    families->turned_count = 0;
    *tests = families->turned;
    return count;
}
