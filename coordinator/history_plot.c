/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/history_plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/plot.h"
#include "coordinator/rule.h"

enum { RUNS, LEVELS, CREEP, SERIES_MOST };
enum { LABEL_SIZE = 96, TEXT_SIZE = TG_HISTORY_TITLE_SIZE + 256 };

/* What a panel is made of; it lends its texts and lists to the panel. */
struct sheet {
    char title[TEXT_SIZE], x_title[256], y_title[96];
    struct tg_plot_point *points[SERIES_MOST];
    struct tg_plot_series series[SERIES_MOST];
    size_t series_count;
    struct tg_plot_mark *marks;
    char (*labels)[LABEL_SIZE];
    size_t mark_count;
};

static void release(struct sheet *sheets, size_t count)
{
    for (size_t i = 0; sheets && i < count; i++) {
        for (int s = 0; s < SERIES_MOST; s++) free(sheets[i].points[s]);
        free(sheets[i].marks);
        free(sheets[i].labels);
    }
    free(sheets);
}

/* How logarithms are drawn: in per cent off a zero, or as factors. */
struct scale {
    bool is_factor;
    double zero;
};

static double drawn(const struct scale *scale, double logarithm)
{
    return scale->is_factor ? exp(logarithm) : 100 * expm1(logarithm - scale->zero);
}

/*
 * The levels between steps, up to before creep: the median of the points of each segment, held
 * until the next. Returns for how many points.
 */
static size_t fill_levels(const struct tg_course *c, const struct scale *scale, double *work,
                          struct sheet *sheet)
{
    const size_t most = c->creep.is_found ? c->creep.first : c->count;
    for (size_t s = 0; s <= c->step_count; s++) {
        const size_t first = s ? c->steps[s - 1].point : 0;
        size_t end = s < c->step_count ? c->steps[s].point : c->count;
        if (end > most) end = most;
        if (first >= end) break;
        for (size_t i = first; i < end; i++) work[i - first] = c->points[i].value;
        const double level = drawn(scale, tg_stats_median(work, end - first));
        for (size_t i = first; i < end; i++)
            sheet->points[LEVELS][i] = (struct tg_plot_point){(double)(i + 1), level, NAN, NAN};
    }
    return most;
}

/* The line of creep, through the middle of what it explains. */
static void fill_creep(const struct tg_course *c, const struct scale *scale, double *work,
                       struct sheet *sheet)
{
    const size_t first = c->creep.first, count = c->creep.count;
    /* Increments begin before the first run of the window, levels at it. */
    const double rises = (double)(c->kind == TG_COURSE_SUMMED ? count : count - 1);
    const double slope = log1p(c->creep.total) / rises;
    for (size_t i = 0; i < count; i++) work[i] = c->points[first + i].value - slope * (double)i;
    const double begin = tg_stats_median(work, count);
    for (size_t i = 0; i < count; i++)
        sheet->points[CREEP][i] = (struct tg_plot_point){
            (double)(first + i + 1), drawn(scale, begin + slope * (double)i), NAN, NAN};
}

static void add_mark(struct sheet *sheet, const struct tg_history *h, const struct tg_course *c,
                     size_t point, double size, const char *what)
{
    char head[16];
    const size_t i = sheet->mark_count++;
    snprintf(sheet->labels[i], LABEL_SIZE, "%s%+.2f %%, %s", what, tg_rule_percent(size),
             tg_history_report_head(&h->runs[c->points[point].run], head));
    sheet->marks[i] = (struct tg_plot_mark){(double)(point + 1), sheet->labels[i]};
}

static void put_series(struct sheet *sheet, const char *name, enum tg_plot_kind kind, int colour,
                       int points, size_t count)
{
    sheet->series[sheet->series_count++] = (struct tg_plot_series){name, kind, colour,
                                                                   sheet->points[points], count};
}

/* What the numbers of a course are. */
static void name_axis(const struct tg_history_test *test, const struct tg_course *c,
                      struct sheet *sheet, struct scale *scale)
{
    const struct tg_rule_kind *kind = tg_rule_find(test->rule);
    const bool is_off = c->kind == TG_COURSE_ABSOLUTE || c->kind == TG_COURSE_RELATIVE;
    scale->is_factor = !is_off && kind && strcmp(kind->reading, "factor") == 0;
    if (scale->is_factor)
        snprintf(sheet->y_title, sizeof sheet->y_title, "times as good");
    else if (is_off)
        snprintf(sheet->y_title, sizeof sheet->y_title, "%% off the median");
    else if (kind && strcmp(kind->reading, "slowdown") == 0)
        snprintf(sheet->y_title, sizeof sheet->y_title, "%% %s",
                 tg_metric_worse(tg_metric_find(test->metric)));
    else
        snprintf(sheet->y_title, sizeof sheet->y_title, "%%");
}

static void fill_runs(const struct tg_course *c, const struct scale *scale, struct sheet *sheet)
{
    for (size_t i = 0; i < c->count; i++) {
        const struct tg_course_point *p = &c->points[i];
        const bool has_ends = isfinite(p->ends.low) || isfinite(p->ends.high);
        sheet->points[RUNS][i] = (struct tg_plot_point){
            (double)(i + 1), drawn(scale, p->value), has_ends ? drawn(scale, p->ends.low) : NAN,
            has_ends ? drawn(scale, p->ends.high) : NAN};
    }
}

static void fill(const struct tg_history_report *report, size_t series, size_t which, double *work,
                 struct sheet *sheet)
{
    const struct tg_history *h = report->history;
    const struct tg_history_series *s = &report->series[series];
    const struct tg_course *c = &s->courses[which];
    struct scale scale = {0};
    char subject[256];
    name_axis(&h->tests[s->test], c, sheet, &scale);
    for (size_t i = 0; i < c->count; i++) work[i] = c->points[i].value;
    if (which == 1) scale.zero = tg_stats_median(work, c->count);
    fill_runs(c, &scale, sheet);
    if (c->kind == TG_COURSE_SUMMED)
        put_series(sheet, "", TG_PLOT_LINE, 0, RUNS, c->count);
    else
        put_series(sheet, "level", TG_PLOT_STEPS, 1, LEVELS, fill_levels(c, &scale, work, sheet));
    put_series(sheet, "run", TG_PLOT_POINTS, 0, RUNS, c->count);
    if (c->creep.is_found) {
        fill_creep(c, &scale, work, sheet);
        put_series(sheet, "creep", TG_PLOT_LINE, 4, CREEP, c->creep.count);
    }
    for (size_t i = 0; i < c->step_count; i++)
        add_mark(sheet, h, c, c->steps[i].point, c->steps[i].size, "");
    if (c->creep.is_found) add_mark(sheet, h, c, c->creep.first, c->creep.total, "creep ");
    tg_history_report_subject(report, series, which, subject, sizeof subject);
    snprintf(sheet->title, sizeof sheet->title, "%s, %s", h->tests[s->test].metric, s->brief);
    snprintf(sheet->x_title, sizeof sheet->x_title, "%s; runs from %.10s to %.10s, hardware %s",
             subject, h->runs[c->points[0].run].date, h->runs[c->points[c->count - 1].run].date,
             h->hardware);
}

static int make_sheet(const struct tg_history_report *report, size_t series, size_t which,
                      struct sheet *sheet, struct tg_error *err)
{
    const struct tg_course *c = &report->series[series].courses[which];
    double *work = calloc(c->count, sizeof *work);
    bool good = work != NULL;
    for (int s = 0; s < SERIES_MOST; s++)
        good = (sheet->points[s] = calloc(c->count, sizeof *sheet->points[s])) && good;
    good = (sheet->marks = calloc(c->step_count + 1, sizeof *sheet->marks)) && good;
    good = (sheet->labels = calloc(c->step_count + 1, sizeof *sheet->labels)) && good;
    if (good) fill(report, series, which, work, sheet);
    free(work);
    return good ? 0 : tg_fail(err, "out of memory");
}

static int draw(struct sheet *sheets, size_t count, FILE *out, struct tg_error *err)
{
    struct tg_plot_panel *panels = calloc(count + 1, sizeof *panels);
    if (!panels) return tg_fail(err, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const struct sheet *s = &sheets[i];
        panels[i] = (struct tg_plot_panel){.title = s->title,
                                           .x_title = s->x_title,
                                           .y_title = s->y_title,
                                           .series = s->series,
                                           .series_count = s->series_count,
                                           .marks = s->marks,
                                           .mark_count = s->mark_count,
                                           .has_counts = true};
    }
    const struct tg_plot plot = {"tritgate history", panels, count};
    tg_plot_write(&plot, out);
    free(panels);
    return 0;
}

int tg_history_plot_write(const struct tg_history_report *reports, size_t count, FILE *out,
                          struct tg_error *err)
{
    size_t most = 0, made = 0;
    int rc = 0;
    for (size_t r = 0; r < count; r++) most += 2 * reports[r].count;
    struct sheet *sheets = calloc(most + 1, sizeof *sheets);
    if (!sheets) return tg_fail(err, "out of memory");
    for (size_t r = 0; r < count; r++)
        for (size_t i = 0; rc == 0 && i < 2 * reports[r].count; i++)
            if (reports[r].series[i / 2].courses[i % 2].count > 1)
                rc = make_sheet(&reports[r], i / 2, i % 2, &sheets[made++], err);
    if (rc == 0) rc = draw(sheets, made, out, err);
    release(sheets, made);
    return rc;
}
