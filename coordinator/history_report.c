/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/history_report.h"

#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/report.h"
#include "results/metric.h"

/* The axis in which two cells differ first, or NULL. */
static const struct tg_field *differing_axis(const struct tg_cell *of, const struct tg_cell *to)
{
    char a[TG_TEXT_SIZE], b[TG_TEXT_SIZE];
    for (size_t i = 0; i < tg_cell_type.field_count; i++) {
        const struct tg_field *field = &tg_cell_type.fields[i];
        if (strcmp(tg_record_get(field, of, a, sizeof a), tg_record_get(field, to, b, sizeof b)))
            return field;
    }
    return NULL;
}

/* "head against base", or "" for a test of one cell. */
static char *compared(const struct tg_history_test *test, const char *between, char *out,
                      size_t size)
{
    struct tg_cell of, to;
    char a[TG_TEXT_SIZE], b[TG_TEXT_SIZE];
    out[0] = 0;
    if (!*test->to || tg_cell_parse(test->of, &of, NULL) < 0 ||
        tg_cell_parse(test->to, &to, NULL) < 0)
        return out;
    const struct tg_field *axis = differing_axis(&of, &to);
    if (axis)
        snprintf(out, size, "%s %s %s", tg_record_get(axis, &of, a, sizeof a), between,
                 tg_record_get(axis, &to, b, sizeof b));
    return out;
}

/* "i2s_avx2, attn_q: head vs base", "i2s_avx2 vs i2s_scalar, attn_q"; the text of no cell as it is
 */
static void brief_of(const struct tg_history_test *test, char *out, size_t size)
{
    struct tg_cell of, to;
    char pair[2 * TG_TEXT_SIZE + 16];
    const struct tg_field *axis = NULL;
    out[0] = 0;
    if (tg_cell_parse(test->of, &of, NULL) < 0) {
        snprintf(out, size, "%s", test->of);
        return;
    }
    if (*compared(test, "vs", pair, sizeof pair) && tg_cell_parse(test->to, &to, NULL) == 0)
        axis = differing_axis(&of, &to);
    bool is_kernel = axis && strcmp(axis->name, "kernel") == 0;
    if (is_kernel) snprintf(out, size, "%s", pair);
    tg_report_add_axes(&of, axis ? axis->name : "", "", out, size);
    size_t used = strlen(out);
    if (axis && !is_kernel) snprintf(out + used, size - used, ": %s", pair);
}

static bool matches(const char *title, const char *pattern)
{
    char anywhere[4096];
    if (!pattern) return true;
    snprintf(anywhere, sizeof anywhere, "*%s*", pattern);
    return fnmatch(anywhere, title, 0) == 0;
}

/* Counts the runs of a series, each once, and finds the first and last date. */
static void look_at_runs(const struct tg_history *h, struct tg_history_series *s)
{
    int64_t last = -1;
    for (size_t i = 0; i < h->verdict_count; i++) {
        if (h->verdicts[i].test != (int64_t)s->test || h->verdicts[i].run == last) continue;
        last = h->verdicts[i].run; /* the verdicts of a run lie together */
        const char *date = h->runs[h->verdicts[i].run].date;
        if (s->run_count == 0 || strcmp(date, s->first) < 0) s->first = date;
        if (s->run_count == 0 || strcmp(date, s->last) > 0) s->last = date;
        s->run_count++;
    }
}

int tg_history_report_make(const struct tg_history *history, const char *pattern,
                           const struct tg_watch *watch, struct tg_history_report *report,
                           struct tg_error *err)
{
    struct tg_history_report made = {.history = history};
    made.series = calloc(history->test_count + 1, sizeof *made.series);
    int rc = made.series ? 0 : tg_fail(err, "out of memory");
    for (size_t t = 0; rc == 0 && t < history->test_count; t++) {
        struct tg_history_series *s = &made.series[made.count];
        *s = (struct tg_history_series){.test = t};
        brief_of(&history->tests[t], s->brief, sizeof s->brief);
        snprintf(s->title, sizeof s->title, "%s %s, %s", history->tests[t].rule,
                 history->tests[t].metric, s->brief);
        look_at_runs(history, s);
        if (s->run_count == 0 || !matches(s->title, pattern)) continue;
        made.count++;
        rc = tg_course_compare(history, t, watch, &s->courses[0], err);
        if (rc == 0) rc = tg_course_absolute(history, t, watch, &s->courses[1], err);
    }
    if (rc < 0)
        tg_history_report_release(&made);
    else
        *report = made;
    return rc;
}

void tg_history_report_release(struct tg_history_report *report)
{
    for (size_t i = 0; i < report->count; i++)
        for (int c = 0; c < 2; c++) tg_course_release(&report->series[i].courses[c]);
    free(report->series);
    *report = (struct tg_history_report){0};
}

static bool shows(const struct tg_course *course)
{
    return course->step_count > 0 || course->creep.is_found;
}

size_t tg_history_report_found(const struct tg_history_report *report)
{
    size_t found = 0;
    for (size_t i = 0; i < report->count; i++)
        found += shows(&report->series[i].courses[0]) || shows(&report->series[i].courses[1]);
    return found;
}

size_t tg_history_report_looks(const struct tg_history_report *report, const struct tg_watch *watch)
{
    size_t looks = 0;
    for (size_t i = 0; i < report->count; i++)
        for (int which = 0; which < 2; which++) {
            const struct tg_course *c = &report->series[i].courses[which];
            /* A step of sums is one run's own, with the confidence of that run. */
            looks += c->kind != TG_COURSE_SUMMED && c->count >= 2 * (size_t)watch->segment_min;
            looks += c->count >= (size_t)watch->creep_min;
        }
    return looks;
}

char *tg_history_report_subject(const struct tg_history_report *report, size_t series,
                                size_t course, char *out, size_t size)
{
    const struct tg_history_test *test = &report->history->tests[report->series[series].test];
    const struct tg_course *c = &report->series[series].courses[course];
    char pair[2 * TG_TEXT_SIZE + 16];
    compared(test, "against", pair, sizeof pair);
    switch (c->kind) {
    case TG_COURSE_COMPARED: snprintf(out, size, "%s", pair); break;
    case TG_COURSE_SUMMED: snprintf(out, size, "%s, summed over builds", pair); break;
    case TG_COURSE_ABSOLUTE: snprintf(out, size, "%s", test->metric); break;
    case TG_COURSE_RELATIVE: snprintf(out, size, "%s in canaries", test->metric); break;
    }
    return out;
}

char *tg_history_report_head(const struct tg_history_run *run, char out[16])
{
    snprintf(out, 16, "%.12s", run->head);
    return out;
}

/* "+3.10 % [+2.20, +4.00]" */
static char *size_text(double size, struct tg_interval interval, char *out, size_t out_size)
{
    int used = snprintf(out, out_size, "%+.2f %%", tg_rule_percent(size));
    if (isfinite(interval.low) && isfinite(interval.high))
        snprintf(out + used, out_size - (size_t)used, " [%+.2f, %+.2f]",
                 tg_rule_percent(interval.low), tg_rule_percent(interval.high));
    return out;
}

/* "33.1 us", "+0.31 %", "2.51 canaries": how a point is said. */
static char *point_text(const struct tg_history_test *test, const struct tg_course *course,
                        const struct tg_course_point *point, char *out, size_t size)
{
    const struct tg_metric *metric = tg_metric_find(test->metric);
    const struct tg_rule_kind *kind = tg_rule_find(test->rule);
    if (course->kind == TG_COURSE_ABSOLUTE && metric)
        tg_metric_text(metric, exp(point->value), out, size);
    else if (course->kind == TG_COURSE_ABSOLUTE || course->kind == TG_COURSE_RELATIVE)
        snprintf(out, size, "%.4g", exp(point->value));
    else if (kind && strcmp(kind->reading, "factor") == 0)
        snprintf(out, size, "%.4gx", exp(point->value));
    else
        snprintf(out, size, "%+.2f %%", tg_rule_percent(expm1(point->value)));
    return out;
}

static void print_begin(const struct tg_history_report *report, const struct tg_course *course,
                        size_t point, FILE *out)
{
    const struct tg_history_run *run = &report->history->runs[course->points[point].run];
    char head[16];
    fprintf(out, "from %s on, head %s\n", run->date, tg_history_report_head(run, head));
}

/* Whether what it compares is told as how much more time it takes, also of a rate. */
static bool is_slowdown(const struct tg_history_test *test)
{
    const struct tg_rule_kind *kind = tg_rule_find(test->rule);
    return kind && strcmp(kind->reading, "slowdown") == 0;
}

static void print_course(const struct tg_history_report *report, size_t series, size_t which,
                         FILE *out)
{
    const struct tg_history_series *s = &report->series[series];
    const struct tg_history_test *test = &report->history->tests[s->test];
    const struct tg_course *c = &s->courses[which];
    char text[TG_REPORT_TEXT_SIZE], first[64], last[64];
    if (c->count == 0) return;
    fprintf(out, "    %s", tg_history_report_subject(report, series, which, text, sizeof text));
    if (which == 0 && is_slowdown(test))
        fprintf(out, ", %s by", tg_metric_worse(tg_metric_find(test->metric)));
    fprintf(out, ": %s", point_text(test, c, &c->points[c->count - 1], last, sizeof last));
    if (c->count > 1)
        fprintf(out, ", %zu run%s ago %s", c->count - 1, c->count == 2 ? "" : "s",
                point_text(test, c, &c->points[0], first, sizeof first));
    fputc('\n', out);
    for (size_t i = 0; i < c->step_count; i++) {
        const struct tg_course_step *step = &c->steps[i];
        fprintf(out, "      step   %s ", size_text(step->size, step->interval, text, sizeof text));
        print_begin(report, c, step->point, out);
    }
    if (!c->creep.is_found) return;
    fprintf(out, "      creep  %s over %zu runs, ",
            size_text(c->creep.total, c->creep.interval, text, sizeof text), c->creep.count);
    print_begin(report, c, c->creep.first, out);
}

void tg_history_report_print(const struct tg_history_report *report, FILE *out)
{
    const struct tg_history *h = report->history;
    fprintf(out, "hardware %s", h->hardware);
    if (h->run_count > 0) fprintf(out, " (%s)", h->runs[h->run_count - 1].cpu);
    fprintf(out, ", %zu run%s\n", h->run_count, h->run_count == 1 ? "" : "s");
    for (size_t i = 0; i < report->count; i++) {
        const struct tg_history_series *s = &report->series[i];
        bool found = shows(&s->courses[0]) || shows(&s->courses[1]);
        fprintf(out, "  %s  %s\n", found ? "changed" : "quiet  ", s->title);
        if (s->run_count == 1)
            fprintf(out, "    1 run, %s\n", s->first);
        else
            fprintf(out, "    %zu runs, %s to %s\n", s->run_count, s->first, s->last);
        for (size_t c = 0; c < 2; c++) print_course(report, i, c, out);
    }
}

static struct tg_json *add_begin(struct tg_json *list, const char *key,
                                 const struct tg_history_report *report,
                                 const struct tg_course *course, size_t point)
{
    const struct tg_history_run *run = &report->history->runs[course->points[point].run];
    struct tg_json *item = tg_json_object(list, key);
    tg_json_add_text(item, "date", run->date);
    tg_json_add_text(item, "head", run->head);
    return item;
}

static void add_course(struct tg_json *list, const struct tg_history_report *report,
                       const struct tg_course *c)
{
    static const char *const kinds[] = {"compared", "summed", "absolute", "relative"};
    bool is_quantity = c->kind == TG_COURSE_ABSOLUTE || c->kind == TG_COURSE_RELATIVE;
    if (c->count == 0) return;
    struct tg_json *course = tg_json_object(list, NULL);
    tg_json_add_text(course, "kind", kinds[c->kind]);
    struct tg_json *points = tg_json_array(course, "points");
    for (size_t i = 0; i < c->count; i++) {
        const struct tg_course_point *p = &c->points[i];
        struct tg_json *item = add_begin(points, NULL, report, c, i);
        tg_json_add_rounded(item, "value", is_quantity ? exp(p->value) : expm1(p->value));
        if (is_quantity) continue;
        tg_json_add_rounded(item, "low", tg_stats_ratios(p->ends).low);
        tg_json_add_rounded(item, "high", tg_stats_ratios(p->ends).high);
    }
    struct tg_json *steps = tg_json_array(course, "steps");
    for (size_t i = 0; i < c->step_count; i++) {
        struct tg_json *item = add_begin(steps, NULL, report, c, c->steps[i].point);
        tg_json_add_rounded(item, "size", c->steps[i].size);
        tg_json_add_rounded(item, "low", c->steps[i].interval.low);
        tg_json_add_rounded(item, "high", c->steps[i].interval.high);
        tg_json_add_rounded(item, "p", c->steps[i].p_value);
    }
    if (!c->creep.is_found) return;
    struct tg_json *creep = add_begin(course, "creep", report, c, c->creep.first);
    tg_json_add_number(creep, "runs", (double)c->creep.count);
    tg_json_add_rounded(creep, "size", c->creep.total);
    tg_json_add_rounded(creep, "low", c->creep.interval.low);
    tg_json_add_rounded(creep, "high", c->creep.interval.high);
}

void tg_history_report_json(const struct tg_history_report *report, struct tg_json *list)
{
    const struct tg_history *h = report->history;
    struct tg_json *class = tg_json_object(list, NULL);
    tg_json_add_text(class, "hardware", h->hardware);
    tg_json_add_number(class, "runs", (double)h->run_count);
    struct tg_json *series = tg_json_array(class, "series");
    for (size_t i = 0; i < report->count; i++) {
        const struct tg_history_series *s = &report->series[i];
        const struct tg_history_test *test = &h->tests[s->test];
        struct tg_json *item = tg_json_object(series, NULL);
        tg_json_add_text(item, "rule", test->rule);
        tg_json_add_text(item, "metric", test->metric);
        tg_json_add_text(item, "of", test->of);
        if (*test->to) tg_json_add_text(item, "to", test->to);
        tg_json_add_number(item, "runs", (double)s->run_count);
        tg_json_add_text(item, "first", s->first);
        tg_json_add_text(item, "last", s->last);
        struct tg_json *courses = tg_json_array(item, "courses");
        for (int c = 0; c < 2; c++) add_course(courses, report, &s->courses[c]);
    }
}
