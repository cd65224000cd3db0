/* SPDX-License-Identifier: Apache-2.0 */
#include "matrix/template.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789_-"
#define DEEPEST      6

static const struct {
    char prefix;
    double factor;
} prefixes[] = {{'n', 1e-9}, {'u', 1e-6}, {'m', 1e-3}, {'k', 1e3}, {'M', 1e6}, {'G', 1e9}};

/* Takes a name from *p into out. False if there is none or it is too long. */
static bool take_name(const char **p, char *out, size_t size)
{
    size_t length = strspn(*p, NAME_LETTERS);
    if (length == 0 || length >= size) return false;
    memcpy(out, *p, length);
    out[length] = 0;
    *p += length;
    return true;
}

/* The digits and the prefix behind a colon. */
static bool take_format(const char **p, struct tg_hole *hole)
{
    if (**p >= '0' && **p <= '9') hole->digits = *(*p)++ - '0';
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes && !hole->prefix; i++)
        if (**p == prefixes[i].prefix) hole->prefix = *(*p)++;
    return hole->digits >= 0 || hole->prefix;
}

/* Reads a hole from behind its brace to behind the closing one. */
static bool take_hole(const char **p, struct tg_hole *hole)
{
    *hole = (struct tg_hole){.digits = -1};
    if (**p == '?') {
        hole->is_condition = true;
        ++*p;
        hole->is_negated = **p == '!';
        *p += hole->is_negated;
    }
    if (!take_name(p, hole->name, sizeof hole->name)) return false;
    if (**p == '.') {
        ++*p;
        if (!take_name(p, hole->part, sizeof hole->part)) return false;
    }
    if (!hole->is_condition && **p == '%') {
        hole->is_percent = true;
        ++*p;
    }
    if (!hole->is_condition && **p == ':') {
        ++*p;
        if (!take_format(p, hole)) return false;
    }
    if (**p != '}') return false;
    ++*p;
    return true;
}

int tg_template_check(const char *text, tg_template_known known, void *context,
                      struct tg_error *err)
{
    int depth = 0;
    for (const char *p = text; *p;) {
        struct tg_hole hole;
        const char *begin = p++;
        if (*begin == '\\' && !*p) return tg_fail(err, "a template ends with a backslash");
        if (*begin == '\\') p++;
        if (*begin == '[' && ++depth > DEEPEST)
            return tg_fail(err, "more than %d groups within each other", DEEPEST);
        if (*begin == ']' && --depth < 0) return tg_fail(err, "a group is closed that is not open");
        if (*begin == '}') return tg_fail(err, "a hole is closed that is not open");
        if (*begin != '{') continue;
        if (!take_hole(&p, &hole)) return tg_fail(err, "no hole of a template: '%.40s'", begin);
        if (known(context, &hole, err) < 0) return -1;
    }
    return depth ? tg_fail(err, "a group is not closed") : 0;
}

/* A number as it is written: without exponent, and never as a zero with a sign. */
static void number(const struct tg_hole *hole, const struct tg_figure *figure, char *out,
                   size_t size)
{
    double value = figure->value * (hole->is_percent ? 100 : 1);
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (hole->prefix == prefixes[i].prefix) value /= prefixes[i].factor;
    int digits = hole->digits;
    if (digits < 0) {
        int size10 = fabs(value) > 0 ? (int)floor(log10(fabs(value) * (1 + 1e-9))) : 0;
        digits = size10 >= 2 ? 0 : size10 < -4 ? 6 : 2 - size10;
    }
    /* What misses a limit must not read as if it met it; the slack is for what is not exact. */
    double unit = pow(10, digits), scaled = value * unit;
    double slack = 1e-9 * fmax(1, fabs(scaled));
    if (figure->toward < 0) value = floor(scaled + slack) / unit;
    if (figure->toward > 0) value = ceil(scaled - slack) / unit;
    snprintf(out, size, figure->is_signed ? "%+.*f" : "%.*f", digits, value);
    if (hole->digits < 0 && strchr(out, '.')) {
        size_t end = strlen(out);
        while (out[end - 1] == '0') end--;
        if (out[end - 1] == '.') end--;
        out[end] = 0;
    }
    if (strtod(out, NULL) == 0 && (*out == '-' || *out == '+')) memmove(out, out + 1, strlen(out));
}

struct writer {
    tg_template_figure figure;
    void *context;
    char *out;
    size_t used, size;
    bool is_mute; /* what is read is not written */
    bool is_full;
};

static void put(struct writer *w, const char *text, size_t length)
{
    if (w->is_mute || w->is_full) return;
    w->is_full = w->used + length >= w->size;
    if (w->is_full) return;
    memcpy(w->out + w->used, text, length);
    w->used += length;
    w->out[w->used] = 0;
}

/* Writes a hole; false if it cannot be filled. */
static bool fill(struct writer *w, const struct tg_hole *hole)
{
    struct tg_figure figure = {0};
    char text[400];
    if (w->is_mute) return false;
    w->figure(w->context, hole, &figure);
    if (hole->is_condition) return figure.is_there != hole->is_negated;
    if (!figure.is_there || (!figure.text && !isfinite(figure.value))) return false;
    if (figure.text)
        put(w, figure.text, strlen(figure.text));
    else
        number(hole, &figure, text, sizeof text);
    if (!figure.text) put(w, text, strlen(text));
    if (hole->is_percent) put(w, "%", 1);
    return true;
}

static bool write_group(struct writer *w, const char **p);

/* Writes what stands until the end of a group or of one of its alternatives. */
static bool write_sequence(struct writer *w, const char **p, bool is_group)
{
    size_t begin = w->used, holes = 0, groups = 0, written = 0;
    bool is_whole = true;
    if (is_group && (strncmp(*p, ", ", 2) == 0 || strncmp(*p, "; ", 2) == 0) &&
        (w->used == 0 || strchr(" ([", w->out[w->used - 1])))
        *p += 2;
    while (**p && !(is_group && strchr("]|", **p))) {
        struct tg_hole hole;
        const char *at = (*p)++;
        if (*at == '{' && take_hole(p, &hole)) {
            holes++;
            if (!fill(w, &hole)) is_whole = false;
        } else if (*at == '[') {
            groups++;
            if (write_group(w, p)) written++;
        } else {
            if (*at == '\\') at = (*p)++;
            put(w, at, 1);
        }
    }
    if (is_whole && (holes || !groups || written)) return true;
    if (!w->is_mute) {
        w->used = begin;
        w->out[begin] = 0;
    }
    return false;
}

/* Writes the first alternative of a group that can be; *p is behind its bracket, and goes on so. */
static bool write_group(struct writer *w, const char **p)
{
    bool was_mute = w->is_mute, is_done = false;
    for (;;) {
        if (is_done) w->is_mute = true;
        bool written = write_sequence(w, p, true);
        if (!was_mute && !is_done && written) is_done = true;
        if (**p != '|') break;
        ++*p;
    }
    if (**p) ++*p;
    w->is_mute = was_mute;
    return is_done;
}

/* Takes off the first bytes of a UTF-8 character whose last ones are missing. */
static void cut_half_character(char *text)
{
    size_t end = strlen(text), last = end;
    while (last > 0 && ((unsigned char)text[last - 1] & 0xc0) == 0x80) last--;
    if (last == 0) return;
    unsigned char lead = (unsigned char)text[last - 1];
    size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (end - (last - 1) < length) text[last - 1] = 0;
}

bool tg_template_write(const char *text, tg_template_figure figure, void *context, char *out,
                       size_t size)
{
    struct writer w = {.figure = figure, .context = context, .out = out, .size = size};
    out[0] = 0;
    bool is_written = write_sequence(&w, &text, false);
    if (w.is_full) cut_half_character(out);
    return is_written;
}
