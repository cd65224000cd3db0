/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/plot.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "worker/model/pretokenizer.h"

/* All in pixels. */
enum {
    WIDTH = 900,
    TITLE_HEIGHT = 34,
    PANEL_HEIGHT = 280,
    LEFT = 78,   /* of the axes within a panel, for ticks and title */
    RIGHT = 24,  /* beside them */
    TOP = 34,    /* above them: title and legend */
    BOTTOM = 52, /* below them: ticks and title */
    LABEL_ROWS = 3,
    ROW_HEIGHT = 14
};

static const double LETTER = 7.2; /* about as wide as a letter of the small text */
static const char *const colours[] = {"#1f5fa8", "#b4500f", "#2b7a4b",
                                      "#7b3f9e", "#a02238", "#4d4d4d"};

enum { COLOURS = sizeof colours / sizeof *colours };

/* The axes of a panel: where they lie, and what they span. */
struct axes {
    double left, top, right, bottom; /* on the page */
    double x_low, x_high, y_low, y_high;
};

/* Bytes of a well-formed UTF-8 letter that XML may hold (not all do from U+F000 on), or 0. */
static size_t letter_size(const char *text)
{
    const unsigned char first = (unsigned char)*text;
    if (first < ' ' || first == 0x7f || first >= 0xef) return 0;
    return tg_pretokenizer_character((struct tg_gguf_text){text, strnlen(text, 4)});
}

/* Writes a text as content; what XML may not hold becomes a question mark. */
static void put_text(FILE *out, const char *text)
{
    while (*text) {
        size_t size = letter_size(text);
        switch (*text) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '"': fputs("&quot;", out); break;
        default:
            if (size == 0) fputc('?', out);
            for (size_t i = 0; i < size; i++) fputc(text[i], out);
        }
        text += size ? size : 1;
    }
}

static double width_of(const char *text)
{
    size_t letters = 0;
    for (; *text; text++) letters += ((unsigned char)*text & 0xc0) != 0x80;
    return LETTER * (double)letters;
}

/* A text at a place of the page; `more` are further attributes. */
static void put_label(FILE *out, double x, double y, const char *anchor, const char *more,
                      const char *text)
{
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>", x, y, anchor, more);
    put_text(out, text);
    fputs("</text>\n", out);
}

static void put_line(FILE *out, double x1, double y1, double x2, double y2, const char *look)
{
    fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1, x2, y2,
            look);
}

struct tg_plot_ticks tg_plot_ticks(double low, double high, int most)
{
    static const double factors[] = {1, 2, 5, 10};
    struct tg_plot_ticks ticks = {0};
    double power = 1;

    assert(most >= 2 && low < high);
    const double wanted = high / most - low / most; /* the step may not be less */
    while (power * 10 <= wanted) power *= 10;
    while (power > wanted && power > 1e-300) {
        power /= 10;
        if (ticks.decimals < 300) ticks.decimals++;
    }
    for (size_t i = 0; i < 4; i++) {
        ticks.step = power * factors[i];
        ticks.first = ceil(low / ticks.step - 1e-9) * ticks.step;
        ticks.count = (int)floor(high / ticks.step + 1e-9) - (int)ceil(low / ticks.step - 1e-9) + 1;
        if (ticks.count <= most) break;
    }
    if (ticks.decimals > 0 && ticks.step >= power * 10) ticks.decimals--;
    return ticks;
}

/* What a tick says: plain where that is short, else with an exponent. */
static void tick_text(const struct tg_plot_ticks *ticks, int i, char *out, size_t size)
{
    double value = ticks->first + i * ticks->step;
    if (fabs(value) < ticks->step / 2) value = 0;
    if (ticks->decimals <= 9 && fabs(value) < 1e7)
        snprintf(out, size, "%.*f", ticks->decimals, value);
    else
        snprintf(out, size, "%.4g", value);
}

static double x_of(const struct axes *a, double x)
{
    return a->left + (x - a->x_low) / (a->x_high - a->x_low) * (a->right - a->left);
}

/* Kept on the panel: what lies beyond is drawn at its edge. */
static double y_of(const struct axes *a, double y)
{
    const double share = (y - a->y_low) / (a->y_high - a->y_low);
    return a->bottom - fmin(1, fmax(0, share)) * (a->bottom - a->top);
}

static void widen(double value, double *low, double *high)
{
    if (!isfinite(value)) return;
    *low = fmin(*low, value);
    *high = fmax(*high, value);
}

/* Some room around what is to be seen, or around a single value. */
static void pad(double *low, double *high, double share)
{
    if (*low > *high) *low = 0, *high = 1;
    double room = share * (*high - *low);
    if (room <= 0) room = *low == 0 ? 1 : 0.1 * fabs(*low);
    *low -= room;
    *high += room;
}

/*
 * What the axes span: all points and lines, and of the intervals as much as is no longer than that
 * on either side.
 */
static void span(const struct tg_plot_panel *panel, struct axes *a)
{
    double low = INFINITY, high = -INFINITY;
    a->x_low = a->y_low = INFINITY;
    a->x_high = a->y_high = -INFINITY;
    for (size_t s = 0; s < panel->series_count; s++)
        for (size_t i = 0; i < panel->series[s].count; i++) {
            const struct tg_plot_point *p = &panel->series[s].points[i];
            widen(p->x, &a->x_low, &a->x_high);
            widen(p->y, &a->y_low, &a->y_high);
            widen(p->low, &low, &high);
            widen(p->high, &low, &high);
        }
    for (size_t i = 0; i < panel->mark_count; i++) widen(panel->marks[i].at, &a->x_low, &a->x_high);
    for (size_t i = 0; i < panel->line_count; i++) widen(panel->lines[i].at, &a->y_low, &a->y_high);
    const double most = a->y_high > a->y_low ? a->y_high - a->y_low : INFINITY;
    if (low < a->y_low) a->y_low = fmax(low, a->y_low - most);
    if (high > a->y_high) a->y_high = fmin(high, a->y_high + most);
    pad(&a->x_low, &a->x_high, 0.02);
    pad(&a->y_low, &a->y_high, 0.06);
    /* Above everything, room for the labels of marks. */
    const size_t rows = panel->mark_count < LABEL_ROWS ? panel->mark_count : LABEL_ROWS;
    const double share = (double)rows * ROW_HEIGHT / (a->bottom - a->top);
    a->y_high += (a->y_high - a->y_low) * share / (1 - share);
}

static void put_axes(FILE *out, const struct tg_plot_panel *panel, const struct axes *a)
{
    static const char grid[] = "stroke=\"#e3e3e3\"";
    char text[64], turn[64];
    struct tg_plot_ticks x = tg_plot_ticks(a->x_low, a->x_high, 12);
    if (panel->has_counts && x.step < 1) {
        const double first = ceil(a->x_low), last = floor(a->x_high);
        x = (struct tg_plot_ticks){first, 1, (int)(last - first) + 1, 0};
    }
    const struct tg_plot_ticks y = tg_plot_ticks(a->y_low, a->y_high, 7);
    for (int i = 0; i < x.count; i++) {
        const double at = x_of(a, x.first + i * x.step);
        tick_text(&x, i, text, sizeof text);
        put_line(out, at, a->top, at, a->bottom, grid);
        put_label(out, at, a->bottom + 16, "middle", "", text);
    }
    for (int i = 0; i < y.count; i++) {
        const double at = y_of(a, y.first + i * y.step);
        tick_text(&y, i, text, sizeof text);
        put_line(out, a->left, at, a->right, at, grid);
        put_label(out, a->left - 7, at + 4, "end", "", text);
    }
    fprintf(out,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" "
            "stroke=\"#555\"/>\n",
            a->left, a->top, a->right - a->left, a->bottom - a->top);
    put_label(out, (a->left + a->right) / 2, a->bottom + 36, "middle", "", panel->x_title);
    const double middle = (a->top + a->bottom) / 2;
    snprintf(turn, sizeof turn, " transform=\"rotate(-90 16 %.1f)\"", middle);
    put_label(out, 16, middle, "middle", turn, panel->y_title);
}

static const char *colour_of(const struct tg_plot_series *s)
{
    return colours[(unsigned)s->colour % COLOURS];
}

static bool is_there(const struct tg_plot_point *p)
{
    return isfinite(p->x) && isfinite(p->y);
}

static void put_path(FILE *out, const struct tg_plot_series *s, const struct axes *a)
{
    bool begun = false;
    double before = 0;
    fputs("<path d=\"", out);
    for (size_t i = 0; i < s->count; i++) {
        const struct tg_plot_point *p = &s->points[i];
        if (!is_there(p)) {
            begun = false;
            continue;
        }
        const double x = x_of(a, p->x), y = y_of(a, p->y);
        if (begun && s->kind == TG_PLOT_STEPS) fprintf(out, " L%.1f %.1f", x, before);
        fprintf(out, "%s%.1f %.1f", begun ? " L" : i ? " M" : "M", x, y);
        begun = true;
        before = y;
    }
    fprintf(out, "\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.6\"/>\n", colour_of(s));
}

static void put_intervals(FILE *out, const struct tg_plot_series *s, const struct axes *a)
{
    char look[64];
    snprintf(look, sizeof look, "stroke=\"%s\" stroke-opacity=\"0.45\"", colour_of(s));
    for (size_t i = 0; i < s->count; i++) {
        const struct tg_plot_point *p = &s->points[i];
        if (!is_there(p) || isnan(p->low) || isnan(p->high)) continue;
        const double x = x_of(a, p->x);
        put_line(out, x, y_of(a, p->low), x, y_of(a, p->high), look);
    }
}

static void put_series(FILE *out, const struct tg_plot_series *s, const struct axes *a)
{
    put_intervals(out, s, a);
    if (s->kind != TG_PLOT_POINTS) put_path(out, s, a);
    for (size_t i = 0; s->kind == TG_PLOT_POINTS && i < s->count; i++)
        if (is_there(&s->points[i]))
            fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.8\" fill=\"%s\"/>\n",
                    x_of(a, s->points[i].x), y_of(a, s->points[i].y), colour_of(s));
}

static void put_lines(FILE *out, const struct tg_plot_panel *panel, const struct axes *a)
{
    for (size_t i = 0; i < panel->line_count; i++) {
        const struct tg_plot_mark *line = &panel->lines[i];
        if (!isfinite(line->at)) continue;
        const double y = y_of(a, line->at);
        put_line(out, a->left, y, a->right, y, "stroke=\"#777\" stroke-dasharray=\"6 3\"");
        put_label(out, a->right - 4, y - 4, "end", " fill=\"#555\"", line->label);
    }
}

/* Marks, whose labels stand beside them in the first row where nothing is yet. */
static void put_marks(FILE *out, const struct tg_plot_panel *panel, const struct axes *a)
{
    static const char look[] = "stroke=\"#a02238\" stroke-dasharray=\"3 3\"";
    double ends[LABEL_ROWS];
    for (int r = 0; r < LABEL_ROWS; r++) ends[r] = a->left;
    for (size_t i = 0; i < panel->mark_count; i++) {
        const struct tg_plot_mark *mark = &panel->marks[i];
        if (!isfinite(mark->at)) continue;
        const double at = x_of(a, mark->at), width = width_of(mark->label) + 8;
        const bool is_left = at + width > a->right;
        const double begin = is_left ? at - width : at;
        int row = 0;
        while (row + 1 < LABEL_ROWS && ends[row] > begin) row++;
        put_line(out, at, a->top, at, a->bottom, look);
        put_label(out, is_left ? at - 4 : at + 4, a->top + ROW_HEIGHT * (row + 1) - 2,
                  is_left ? "end" : "start",
                  " fill=\"#a02238\" stroke=\"#fff\" stroke-width=\"3\" paint-order=\"stroke\"",
                  mark->label);
        ends[row] = begin + width;
    }
}

/* The names of series, from the right, on the line of the title. */
static void put_legend(FILE *out, const struct tg_plot_panel *panel, const struct axes *a)
{
    double right = a->right;
    for (size_t s = panel->series_count; s-- > 0;) {
        const struct tg_plot_series *series = &panel->series[s];
        if (!*series->name) continue;
        right -= width_of(series->name);
        put_label(out, right, a->top - 9, "start", "", series->name);
        right -= 16;
        fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"11\" height=\"3\" fill=\"%s\"/>\n", right,
                a->top - 14.5, colour_of(series));
        right -= 14;
    }
}

static void put_panel(FILE *out, const struct tg_plot_panel *panel, double top)
{
    struct axes a = {.left = LEFT,
                     .top = top + TOP,
                     .right = WIDTH - RIGHT,
                     .bottom = top + PANEL_HEIGHT - BOTTOM};
    span(panel, &a);
    put_label(out, a.left, a.top - 9, "start", " font-weight=\"bold\"", panel->title);
    put_legend(out, panel, &a);
    put_axes(out, panel, &a);
    put_lines(out, panel, &a);
    for (size_t s = 0; s < panel->series_count; s++) put_series(out, &panel->series[s], &a);
    put_marks(out, panel, &a);
}

void tg_plot_write(const struct tg_plot *plot, FILE *out)
{
    const size_t height = TITLE_HEIGHT + plot->panel_count * PANEL_HEIGHT;
    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%zu\" "
            "viewBox=\"0 0 %d %zu\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#1a1a1a\">\n"
            "<title>",
            WIDTH, height, WIDTH, height);
    put_text(out, plot->title);
    fputs("</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n", out);
    put_label(out, LEFT, 23, "start", " font-size=\"16\" font-weight=\"bold\"", plot->title);
    for (size_t p = 0; p < plot->panel_count; p++)
        put_panel(out, &plot->panels[p], (double)(TITLE_HEIGHT + p * PANEL_HEIGHT));
    fputs("</svg>\n", out);
}
