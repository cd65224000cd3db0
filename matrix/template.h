/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_MATRIX_TEMPLATE_H
#define TG_MATRIX_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/*
 * A line with holes, that figures fill. What cannot be filled is left out, never guessed.
 *
 *   quantization: [I2S: {i2s_accuracy%:1}][, TL1: {tl1_accuracy%:1}] accuracy[; {?simd}SIMD faster]
 *
 *   {name}      a figure; {name.part} one of several that a name has
 *   {name%}     times 100, with the sign %
 *   {name:2}    with two digits behind the point; without it, three significant digits
 *   {name:1M}   in millions: n, u, m, k, M and G are divided by, and not written
 *   {?name}     writes nothing, but what it stands in is left out unless the condition holds;
 *               {?!name} unless it does not
 *   [text]      a group: left out if one of its own holes cannot be filled, or if it has no holes
 *               of its own and none of its inner groups was written
 *   [a|b]       the first of them that can be written
 *   \           takes { [ ] | and \ literally; outside of groups | needs none
 *
 * The whole line is a group, too. A group that begins with ", " or "; " loses them where there is
 * nothing to separate it from: at the beginning of the line, or behind a blank or a bracket.
 */

/* A hole as it is written. */
struct tg_hole {
    char name[48], part[48];
    bool is_condition, is_negated, is_percent;
    int digits;  /* behind the point, -1 if not given */
    char prefix; /* n u m k M G, or 0 */
};

/* What fills it. A condition is only there or not. */
struct tg_figure {
    bool is_there;
    const char *text; /* as it is to be written; NULL: the number */
    double value;
    bool is_signed; /* a number with its sign */
    int toward;     /* -1: rounded down, 1: up, 0: to the nearest */
};

typedef int (*tg_template_known)(void *context, const struct tg_hole *hole, struct tg_error *err);
typedef void (*tg_template_figure)(void *context, const struct tg_hole *hole,
                                   struct tg_figure *figure);

/* Fails if the text is not of this form, or if `known` fails for one of its holes. */
int tg_template_check(const char *text, tg_template_known known, void *context,
                      struct tg_error *err);

/*
 * Fills a text that was checked into `out`, at most size - 1 bytes and whole pieces of text only.
 * False, and "" in `out`, if the line is left out.
 */
bool tg_template_write(const char *text, tg_template_figure figure, void *context, char *out,
                       size_t size);

#endif
