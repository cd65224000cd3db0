/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/calibrate.h"
#include "coordinator/plot.h"

/* Power by effect, drawn: two panels for each noise, shares and rounds. */

enum { OVER, FAILS, CLEAN, SHARES, SHEETS_MOST = 16, EFFECTS_MOST = 40 };

/* The power of one noise; lends its texts and lists to its panels. */
struct sheet {
    char title[TG_TEXT_SIZE];
    struct tg_plot_point shares[SHARES][EFFECTS_MOST], decided[EFFECTS_MOST], rounds[EFFECTS_MOST];
    struct tg_plot_series series[2 * SHARES], lasting[2];
    struct tg_plot_mark marks[2];
};

static int by_effect(const void *a, const void *b)
{
    const double x = (*(const struct tg_point *const *)a)->effect;
    const double y = (*(const struct tg_point *const *)b)->effect;
    return x < y ? -1 : x > y;
}

/* The power points of that noise, by effect. */
static size_t points_of(const struct tg_calibration *c, const char *name,
                        const struct tg_point *found[EFFECTS_MOST])
{
    size_t count = 0;
    for (size_t i = 0; i < c->point_count && count < EFFECTS_MOST; i++) {
        const struct tg_point *p = &c->points[i];
        if (p->is_done && strcmp(p->part, "power") == 0 && strcmp(p->name, name) == 0)
            found[count++] = p;
    }
    qsort(found, count, sizeof *found, by_effect);
    return count;
}

static struct tg_plot_point share_at(double x, size_t events, size_t trials)
{
    struct tg_interval bounds = tg_stats_clopper_pearson(events, trials, 0.95);
    return (struct tg_plot_point){x, 100 * (double)events / (double)trials, 100 * bounds.low,
                                  100 * bounds.high};
}

static void fill(const struct tg_calibration *c, const char *name, struct sheet *s)
{
    static const char *const names[SHARES] = {"over its line", "fails", "clean"};
    const struct tg_point *found[EFFECTS_MOST];
    const size_t count = points_of(c, name, found);
    snprintf(s->title, sizeof s->title, "%s noise, sd %.3g %%", name, 100 * found[0]->sd);
    for (size_t i = 0; i < count; i++) {
        const struct tg_tally *t = &found[i]->seen;
        const double x = 100 * found[i]->effect, decided = (double)(t->over + t->clean);
        s->shares[OVER][i] = share_at(x, t->over, t->tests);
        s->shares[FAILS][i] = share_at(x, t->failed, t->tests);
        s->shares[CLEAN][i] = share_at(x, t->clean, t->tests);
        s->decided[i] = (struct tg_plot_point){x, (double)t->decided_rounds / decided, NAN, NAN};
        s->rounds[i] = (struct tg_plot_point){x, (double)t->rounds / (double)t->tests, NAN, NAN};
    }
    for (int i = 0; i < SHARES; i++) {
        s->series[2 * i] = (struct tg_plot_series){names[i], TG_PLOT_LINE, i, s->shares[i], count};
        s->series[2 * i + 1] = (struct tg_plot_series){"", TG_PLOT_POINTS, i, s->shares[i], count};
    }
    s->lasting[0] = (struct tg_plot_series){"to the decision", TG_PLOT_LINE, 0, s->decided, count};
    s->lasting[1] = (struct tg_plot_series){"with its severity", TG_PLOT_LINE, 1, s->rounds, count};
    s->marks[0] = (struct tg_plot_mark){100 * c->rule->tolerance, "tolerance"};
    s->marks[1] = (struct tg_plot_mark){100 * c->rule->margin, "margin"};
}

static void fill_panels(const struct sheet *s, struct tg_plot_panel panels[2])
{
    panels[0] = (struct tg_plot_panel){.title = s->title,
                                       .x_title = "true slow-down, %",
                                       .y_title = "tests, %",
                                       .series = s->series,
                                       .series_count = 2 * SHARES,
                                       .marks = s->marks,
                                       .mark_count = 2};
    panels[1] = panels[0];
    panels[1].y_title = "rounds, mean";
    panels[1].series = s->lasting;
    panels[1].series_count = 2;
}

/* The noises that have power points, each once. */
static size_t noises_of(const struct tg_calibration *c, const char *names[SHEETS_MOST])
{
    size_t count = 0;
    for (size_t i = 0; i < c->point_count; i++) {
        size_t n = 0;
        if (!c->points[i].is_done || strcmp(c->points[i].part, "power") != 0) continue;
        while (n < count && strcmp(names[n], c->points[i].name) != 0) n++;
        if (n == count && count < SHEETS_MOST) names[count++] = c->points[i].name;
    }
    return count;
}

int tg_calibrate_plot(const char *path, const struct tg_calibration *calibration,
                      struct tg_error *err)
{
    const char *names[SHEETS_MOST];
    struct tg_plot_panel panels[2 * SHEETS_MOST];
    const size_t count = noises_of(calibration, names);
    struct sheet *sheets = calloc(count + 1, sizeof *sheets);
    if (!sheets) return tg_fail(err, "out of memory");
    for (size_t i = 0; i < count; i++) {
        fill(calibration, names[i], &sheets[i]);
        fill_panels(&sheets[i], &panels[2 * i]);
    }
    int rc = 0;
    FILE *out = fopen(path, "w");
    if (out) tg_plot_write(&(struct tg_plot){"What the gate finds", panels, 2 * count}, out);
    if (!out || ferror(out)) rc = -1;
    if (out && fclose(out) != 0) rc = -1;
    free(sheets);
    return rc < 0 ? tg_fail(err, "cannot write '%s': %s", path, strerror(errno)) : 0;
}
