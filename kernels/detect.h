/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_DETECT_H
#define TG_KERNELS_DETECT_H

#include <stdint.h>

#include "kernels/format.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Which formats some bytes can be, where nothing says it: three layouts have been written as tensor
 * type 36, and others have their size and codes.
 *
 * A set of formats has bit i for row i of formats.def. It begins with those that are possible, and
 * each further kind of evidence leaves a part of it. What a file says of its producer comes before
 * all this. If more than one is left in the end, the layout is unknown, and whoever asked must
 * refuse the bytes: a wrong layout reads as a matrix like any other, and no check of the kernels
 * notices.
 *
 * Scratch is the caller's: rows x cols int8.
 */

/*
 * The formats with these columns whose matrix of rows x cols has as many bytes, and in which every
 * code stands for weights. Bytes are those of the codes, without the scale that a file may keep
 * behind them. One code 3 rules a layout of type 36 out; without it nothing does, since they are
 * permutations of the same fields.
 */
uint64_t tg_detect_possible(const uint8_t *packed, int64_t bytes, int64_t rows, int64_t cols,
                            int8_t *scratch);

/*
 * By the margins: rows and columns of a trained matrix differ in how many zeros they have, and a
 * layout that takes weights of several rows or columns for one evens that out. The excess of
 * Pearson's chi-squares of the zeros of rows and of columns over their degrees of freedom shrinks
 * to a quarter where four are mixed, so formats with less than half of the largest are ruled out;
 * but only if the largest is at least `least` standard deviations, sqrt(2 (rows + cols - 2)), of a
 * matrix whose rows and columns are alike. That is an argument for permutations of the same
 * weights: if the formats of the set do not all read as many zeros, it says nothing. And it cannot
 * tell layouts apart that change the order of columns within a row only, as groups of 64 and of 128
 * do.
 */
uint64_t tg_detect_by_margins(uint64_t set, const uint8_t *packed, int64_t rows, int64_t cols,
                              double least, int8_t *scratch);

/*
 * By a known answer: the formats for which the product of each row with these activations (cols) is
 * the result (rows) that someone who knows the layout had. Two that are left mean the same weights
 * as far as these activations can see.
 */
uint64_t tg_detect_by_answer(uint64_t set, const uint8_t *packed, int64_t rows, int64_t cols,
                             const int8_t *activations, const int32_t *results, int8_t *scratch);

/* The one format of the set, or NULL: none, or unknown. */
const struct tg_format *tg_detect_only(uint64_t set);

#ifdef __cplusplus
}
#endif
#endif
