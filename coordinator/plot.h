/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_PLOT_H
#define TG_COORDINATOR_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Plots as SVG 1.1: panels one below the other, each with axes, round ticks, series, lines across
 * and marks. Dark on white, with the reader's own sans-serif font and nothing to load. The same
 * plot gives the same bytes.
 *
 * The caller fills the structs, whose texts (UTF-8) and lists it keeps, and writes. Numbers that
 * are not finite are left out; texts may hold anything.
 */

enum tg_plot_kind {
    TG_PLOT_LINE,   /* from point to point */
    TG_PLOT_POINTS, /* dots, with their intervals */
    TG_PLOT_STEPS   /* level from each point to the next */
};

struct tg_plot_point {
    double x, y;
    double low, high; /* of its interval; NAN for none, infinite for no end */
};

struct tg_plot_series {
    const char *name; /* for the legend, "" for none */
    enum tg_plot_kind kind;
    int colour; /* series of the same number, from 0, look alike */
    const struct tg_plot_point *points;
    size_t count;
};

/* A line at a place of one axis, with a label. */
struct tg_plot_mark {
    double at;
    const char *label; /* "" for none */
};

struct tg_plot_panel {
    const char *title, *x_title, *y_title;
    const struct tg_plot_series *series;
    size_t series_count;
    const struct tg_plot_mark *lines; /* across, at a y */
    size_t line_count;
    const struct tg_plot_mark *marks; /* upright, at an x */
    size_t mark_count;
    bool has_counts; /* every x is a whole number, and so is every tick there */
};

struct tg_plot {
    const char *title;
    const struct tg_plot_panel *panels;
    size_t panel_count;
};

/* Writes the plot; whether that worked, ferror says. */
void tg_plot_write(const struct tg_plot *plot, FILE *out);

/* Ticks of an axis: the first, the distance to the next, how many, and the digits they need. */
struct tg_plot_ticks {
    double first, step;
    int count, decimals;
};

/*
 * Round ticks from low to high (finite, low < high): multiples of 1, 2 or 5 times a power of ten,
 * at most `most` (at least 2) of them.
 */
struct tg_plot_ticks tg_plot_ticks(double low, double high, int most);

#endif
