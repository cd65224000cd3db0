/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/course.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/history.h"
#include "results/metric.h"
#include "worker/model/model_source.h"

static const uint64_t SEED = 1; /* the same history gives the same answer */

static const struct tg_field fields[] = {
#define FIELD(name, KIND, fallback, unit, meaning)                                                 \
    {#name, TG_##KIND, offsetof(struct tg_watch, name), fallback, unit, meaning},
#include "coordinator/watch.def"
#undef FIELD
};

const struct tg_record_type tg_watch_type = {"watch", fields, sizeof fields / sizeof *fields,
                                             sizeof(struct tg_watch)};

int tg_course_check(const struct tg_watch *w, struct tg_error *err)
{
    if (!(w->level > 0 && w->level < 1 && w->confidence > 0 && w->confidence < 1))
        return tg_fail(err, "'level' and 'confidence' are between 0 and 1");
    if (w->segment_min < 2 || w->creep_min < 2)
        return tg_fail(err, "'segment_min' and 'creep_min' are at least 2");
    if (w->runs_max < 1 || w->runs_max > 10000)
        return tg_fail(err, "'runs_max' is between 1 and 10000");
    if (w->permutations < 1 || w->permutations > 1000000 ||
        (double)(w->permutations + 1) * w->level < 1 - 1e-9)
        return tg_fail(err, "%lld permutations are not enough for a level of %g, or too many",
                       (long long)w->permutations, w->level);
    return 0;
}

void tg_course_release(struct tg_course *course)
{
    free(course->points);
    free(course->steps);
    *course = (struct tg_course){0};
}

/* A verdict of the test, to be sorted by the date of its run. */
struct entry {
    const struct tg_history_run *run;
    const struct tg_history_verdict *verdict;
};

static int by_date(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = strcmp(x->run->date, y->run->date);
    return order ? order : strcmp(x->run->evidence, y->run->evidence);
}

/*
 * Takes out, where a test is of the file of --model, what was measured of another file than the
 * last run's; returns how many entries are left.
 */
static size_t keep_model(const struct tg_history_test *test, struct entry *entries, size_t count)
{
    struct tg_cell of;
    size_t kept = 0;
    if (tg_cell_parse(test->of, &of, NULL) < 0 || strcmp(of.model, TG_MODEL_FILE) != 0)
        return count;
    for (size_t i = 0; i < count; i++)
        if (strcmp(entries[i].run->model, entries[count - 1].run->model) == 0)
            entries[kept++] = entries[i];
    return kept;
}

/* Leaves one entry of each run: two rules of a policy may ask the same of a pair. */
static size_t keep_once(struct entry *entries, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || entries[kept - 1].run != entries[i].run) entries[kept++] = entries[i];
    return kept;
}

/* The verdicts of a test in the order of their runs; the caller frees. */
static struct entry *entries_of(const struct tg_history *h, size_t test, size_t *count,
                                struct tg_error *err)
{
    struct entry *entries = calloc(h->verdict_count + 1, sizeof *entries);
    if (!entries) {
        tg_fail(err, "out of memory");
        return NULL;
    }
    *count = 0;
    for (size_t i = 0; i < h->verdict_count; i++)
        if (h->verdicts[i].test == (int64_t)test)
            entries[(*count)++] = (struct entry){&h->runs[h->verdicts[i].run], &h->verdicts[i]};
    qsort(entries, *count, sizeof *entries, by_date);
    *count = keep_model(&h->tests[test], entries, *count);
    return entries;
}

/* ln(1 + ratio), or no end. */
static double logarithm(double ratio, double none)
{
    return ratio > -1 && isfinite(ratio) ? log1p(ratio) : none;
}

static struct tg_course_point point_of(const struct tg_history *h, const struct entry *e)
{
    const struct tg_history_verdict *v = e->verdict;
    return (struct tg_course_point){(size_t)(e->run - h->runs),
                                    log1p(v->estimate),
                                    {logarithm(v->low, -INFINITY), logarithm(v->high, INFINITY)}};
}

/* Whether a verdict compares head with another build, so that it can be followed along builds. */
static bool is_of_builds(const struct tg_history *h, const struct entry *e)
{
    struct tg_cell to;
    return tg_cell_parse(h->tests[e->verdict->test].to, &to, NULL) == 0 &&
           strcmp(to.build, "base") == 0 && *e->run->base;
}

/* The last entry before `end` whose head that is, or `end`. */
static size_t measured_before(const struct entry *entries, size_t end, const char *head)
{
    for (size_t i = end; i-- > 0;)
        if (strcmp(entries[i].run->head, head) == 0) return i;
    return end;
}

/*
 * The mean of all runs of the same two builds as entry `at`, as a point of the first of them: an
 * increment.
 */
static struct tg_course_point increment_of(const struct tg_history *h, const struct entry *entries,
                                           size_t count, size_t at)
{
    struct tg_course_point mean = {0};
    double n = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(entries[i].run->head, entries[at].run->head) != 0 ||
            strcmp(entries[i].run->base, entries[at].run->base) != 0)
            continue;
        const struct tg_course_point p = point_of(h, &entries[i]);
        if (n == 0) mean.run = p.run;
        mean.value += p.value;
        mean.ends.low += p.ends.low;
        mean.ends.high += p.ends.high;
        n++;
    }
    mean.value /= n;
    mean.ends.low /= n;
    mean.ends.high /= n;
    return mean;
}

/* Takes out what cannot be followed; returns how many entries are left, one of each run. */
static size_t keep_useful(const struct tg_history *h, struct entry *entries, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const struct tg_history_verdict *v = entries[i].verdict;
        bool is_same = !v->is_shadow && tg_history_is_null(h, v);
        if (v->estimate > -1 && tg_history_is_pair(v) && !is_same) entries[kept++] = entries[i];
    }
    return keep_once(entries, kept);
}

/*
 * Fills the points with increments along the line of ancestors of the last entry, from the oldest
 * on. One increment is no line.
 */
static void take_line(const struct tg_history *h, const struct entry *entries, size_t count,
                      struct tg_course *course)
{
    size_t at = count - 1, made = 0;
    for (;;) {
        course->points[made++] = increment_of(h, entries, count, at);
        size_t parent = measured_before(entries, at, entries[at].run->base);
        if (parent == at) break;
        at = parent;
    }
    for (size_t i = 0; i < made / 2; i++) {
        const struct tg_course_point kept = course->points[i];
        course->points[i] = course->points[made - 1 - i];
        course->points[made - 1 - i] = kept;
    }
    course->count = made;
}

/* How many heads were compared with that base. */
static size_t heads_against(const struct entry *entries, size_t count, const char *base)
{
    size_t heads = 0;
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        if (strcmp(entries[i].run->base, base) != 0) continue;
        while (strcmp(entries[k].run->base, base) != 0 ||
               strcmp(entries[k].run->head, entries[i].run->head) != 0)
            k++;
        heads += k == i; /* the first run of that head */
    }
    return heads;
}

/* The last runs_max points. */
static void keep_last(struct tg_course *course, const struct tg_watch *watch)
{
    const size_t most = (size_t)watch->runs_max;
    if (course->count <= most) return;
    memmove(course->points, course->points + course->count - most, most * sizeof *course->points);
    course->count = most;
}

static struct tg_change_demands demands_of(const struct tg_watch *w)
{
    return (struct tg_change_demands){w->level, (size_t)w->permutations, (size_t)w->segment_min,
                                      (size_t)w->creep_min, SEED};
}

static void creep_as_ratios(struct tg_creep *creep)
{
    creep->total = expm1(creep->total);
    creep->interval = tg_stats_ratios(creep->interval);
}

/* Steps and creep of levels, whose noise is new in each run. */
static int watch_levels(struct tg_course *course, const struct tg_watch *watch,
                        struct tg_error *err)
{
    const struct tg_change_demands demands = demands_of(watch);
    struct tg_changes changes = {0};
    double *levels = calloc(course->count + 1, sizeof *levels);
    int rc = levels ? 0 : tg_fail(err, "out of memory");
    for (size_t i = 0; rc == 0 && i < course->count; i++) levels[i] = course->points[i].value;
    if (rc == 0) rc = tg_changes_creep(levels, course->count, &demands, &course->creep, err);
    /* What creep explains is no step. */
    for (size_t i = course->creep.first; rc == 0 && course->creep.is_found && i < course->count;
         i++)
        levels[i] -= course->creep.total * (double)(i - course->creep.first) /
                     (double)(course->creep.count - 1);
    if (rc == 0)
        rc = tg_changes_find(levels, course->count, &demands, watch->confidence, &changes, err);
    free(levels);
    if (rc < 0) return -1;
    course->steps = calloc(changes.count + 1, sizeof *course->steps);
    if (!course->steps) rc = tg_fail(err, "out of memory");
    for (size_t i = 0; rc == 0 && i < changes.count; i++)
        course->steps[course->step_count++] = (struct tg_course_step){
            changes.list[i].at, expm1(changes.list[i].size.estimate),
            tg_stats_ratios(changes.list[i].size.interval), changes.list[i].p_value};
    tg_changes_release(&changes);
    creep_as_ratios(&course->creep);
    return rc;
}

/*
 * Steps and creep of increments, which become sums. Such sums wander, so a step is a run whose own
 * interval lies off 0.
 */
static int watch_increments(struct tg_course *course, const struct tg_watch *watch,
                            struct tg_error *err)
{
    const struct tg_change_demands demands = demands_of(watch);
    double sum = 0, *increments = calloc(course->count + 1, sizeof *increments);
    course->steps = calloc(course->count + 1, sizeof *course->steps);
    int rc = increments && course->steps ? 0 : tg_fail(err, "out of memory");
    for (size_t i = 0; rc == 0 && i < course->count; i++) {
        struct tg_course_point *p = &course->points[i];
        increments[i] = p->value;
        if (p->ends.low > 0 || p->ends.high < 0)
            course->steps[course->step_count++] = (struct tg_course_step){
                i, expm1(p->value), tg_stats_ratios(p->ends), NAN};
        p->ends.low += sum;
        p->ends.high += sum;
        p->value = sum += increments[i];
    }
    if (rc == 0) rc = tg_changes_drift(increments, course->count, &demands, &course->creep, err);
    creep_as_ratios(&course->creep);
    free(increments);
    return rc;
}

/* Whether the estimates of a test are ratios less 1. */
static bool has_ratios(const struct tg_history_test *test)
{
    static const char *const readings[] = {"slowdown", "factor", "growth"};
    const struct tg_rule_kind *kind = tg_rule_find(test->rule);
    for (size_t i = 0; kind && i < sizeof readings / sizeof *readings; i++)
        if (strcmp(kind->reading, readings[i]) == 0) return *test->to != 0;
    return false;
}

int tg_course_compare(const struct tg_history *history, size_t test, const struct tg_watch *watch,
                      struct tg_course *course, struct tg_error *err)
{
    struct tg_course made = {.kind = TG_COURSE_COMPARED};
    size_t count;
    struct entry *entries = entries_of(history, test, &count, err);
    if (!entries) return -1;
    int rc = 0;
    count = has_ratios(&history->tests[test]) ? keep_useful(history, entries, count) : 0;
    made.points = calloc(count + 1, sizeof *made.points);
    if (!made.points) rc = tg_fail(err, "out of memory");
    if (rc == 0 && count > 0 && is_of_builds(history, &entries[count - 1])) {
        const char *base = entries[count - 1].run->base;
        take_line(history, entries, count, &made);
        if (made.count > 1 && made.count >= heads_against(entries, count, base))
            made.kind = TG_COURSE_SUMMED;
        else
            made.count = 0;
        for (size_t i = 0; made.kind == TG_COURSE_COMPARED && i < count; i++)
            if (strcmp(entries[i].run->base, base) == 0)
                made.points[made.count++] = point_of(history, &entries[i]);
    } else if (rc == 0) {
        for (size_t i = 0; i < count; i++)
            made.points[made.count++] = point_of(history, &entries[i]);
    }
    free(entries);
    keep_last(&made, watch);
    if (rc == 0)
        rc = made.kind == TG_COURSE_SUMMED ? watch_increments(&made, watch, err)
                                           : watch_levels(&made, watch, err);
    if (rc < 0)
        tg_course_release(&made);
    else
        *course = made;
    return rc;
}

/* What `of` took, or the value of the one cell. */
static double quantity_of(const struct tg_history *h, const struct tg_history_verdict *v)
{
    return *h->tests[v->test].to ? v->of_median : v->estimate;
}

/*
 * Takes out the entries of runs that do not know the quantity, and all but the last runs_max of the
 * others; returns how many are left.
 */
static size_t keep_known(const struct tg_history *h, const struct tg_watch *watch,
                         struct entry *entries, size_t count)
{
    const size_t most = (size_t)watch->runs_max;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!isnan(quantity_of(h, entries[i].verdict))) entries[kept++] = entries[i];
    kept = keep_once(entries, kept);
    if (kept <= most) return kept;
    memmove(entries, entries + kept - most, most * sizeof *entries);
    return most;
}

enum { NO_CANARY, DOT, READ, CANARIES };

static double canary_of(const struct tg_history_verdict *v, int canary)
{
    return canary == NO_CANARY ? 1 : canary == DOT ? v->canary_dot_s : v->canary_read_s;
}

/* Whether a test's values are times, which can be held against those of canaries. */
static bool is_timed(const struct tg_history_test *test)
{
    const struct tg_metric *metric = tg_metric_find(test->metric);
    return metric && metric->nature != TG_FIXED && strcmp(metric->unit, "s") == 0;
}

/*
 * Fills the points with ln(quantity / canary), of the runs whose canary that was had the code of
 * the last run's. Returns what is left between one point and the next, in the middle, which is
 * infinite where a quantity has no logarithm.
 */
static double take_quantities(const struct tg_history *h, const struct entry *entries, size_t count,
                              int canary, double *work, struct tg_course *course)
{
    course->count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct tg_history_verdict *v = entries[i].verdict;
        const double ratio = quantity_of(h, v) / canary_of(v, canary);
        const bool has_code = strcmp(v->canary, entries[count - 1].verdict->canary) == 0;
        if (canary != NO_CANARY && (!has_code || isnan(ratio))) continue;
        if (!(ratio > 0 && isfinite(ratio))) {
            course->count = 0;
            return INFINITY;
        }
        course->points[course->count++] = (struct tg_course_point){
            (size_t)(entries[i].run - h->runs), log(ratio), {-INFINITY, INFINITY}};
    }
    for (size_t i = 0; i + 1 < course->count; i++)
        work[i] = fabs(course->points[i + 1].value - course->points[i].value);
    return course->count > 1 ? tg_stats_median(work, course->count - 1) : 0;
}

/*
 * The canary that leaves the least, of those that as many runs have as steps are sought in, or all;
 * NO_CANARY if there is none.
 */
static int choose_canary(const struct tg_history *h, const struct entry *entries, size_t count,
                         const struct tg_watch *watch, double *work, struct tg_course *course)
{
    const size_t least_runs = 2 * (size_t)watch->segment_min;
    const size_t enough = count < least_runs ? count : least_runs;
    double least = INFINITY;
    int best = NO_CANARY;
    for (int c = DOT; count > 0 && c < CANARIES; c++) {
        const double rest = take_quantities(h, entries, count, c, work, course);
        if (course->count < enough || !(rest < least)) continue;
        least = rest;
        best = c;
    }
    return best;
}

int tg_course_absolute(const struct tg_history *history, size_t test, const struct tg_watch *watch,
                       struct tg_course *course, struct tg_error *err)
{
    struct tg_course made = {.kind = TG_COURSE_ABSOLUTE};
    size_t count;
    struct entry *entries = entries_of(history, test, &count, err);
    if (!entries) return -1;
    count = keep_known(history, watch, entries, count);
    double *work = calloc(count + 1, sizeof *work);
    made.points = calloc(count + 1, sizeof *made.points);
    int rc = work && made.points ? 0 : tg_fail(err, "out of memory");
    if (rc == 0) {
        const int best = is_timed(&history->tests[test])
                             ? choose_canary(history, entries, count, watch, work, &made)
                             : NO_CANARY;
        take_quantities(history, entries, count, best, work, &made);
        if (best != NO_CANARY && made.count > 0) made.kind = TG_COURSE_RELATIVE;
        rc = watch_levels(&made, watch, err);
    }
    free(work);
    free(entries);
    if (rc < 0)
        tg_course_release(&made);
    else
        *course = made;
    return rc;
}
