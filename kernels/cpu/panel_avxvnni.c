/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/ahead.h"
#include "kernels/kernel.h"

/*
 * panel_avxvnni: ternary product, the 16 rows of a panel side by side.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * 64 bytes of codes are a step: 16 rows and 16 columns; each half of them is eight rows, one in
 * each 32-bit lane. Field f of a lane (bits 1-0 of its bytes for f = 0, then 3-2, 5-4, 7-6) has
 * columns 4f to 4f + 3, and dpbusd adds its products with these four activations, given to all
 * lanes, to the row's sum. For one column of activations a field is kept where it lies, by a mask,
 * and has a sum of its own, which is 1, 4, 16 or 64 times too large and divided by an exact shift
 * at the end. Two or four columns share fields that are shifted, and have one sum each.
 *
 * Limits: cols a multiple of 16 and at most 2^19: 128 * 128 * 2^17 is the largest sum of the last
 * field before the shift.
 * Source: the layout is ours; the instruction as in panel_avx512vnni.
 */

enum { FIELDS = 4, HALVES = 2, COLUMNS = 4, STEP_COLUMNS = 16 };

/* Accumulators are vectors of int: gcc 12 copies those whose type changes in the loop. */
static inline __v8si dot(__v8si sums, __m256i codes, __m256i activations)
{
    return (__v8si)_mm256_dpbusd_avx_epi32((__m256i)sums, codes, activations);
}

/* Four neighbouring activations in every lane. */
static inline __m256i four(const int8_t *activations)
{
    int32_t bytes;

    memcpy(&bytes, activations, sizeof bytes);
    return _mm256_set1_epi32(bytes);
}

static inline __m256i half_step(const uint8_t *weights, int half)
{
    return _mm256_loadu_si256((const __m256i *)weights + half);
}

/* Sums of a panel for one column of activations. */
static inline void one_column(const uint8_t *weights, const int8_t *activations, int64_t cols,
                              __v8si sums[HALVES])
{
    __v8si of[HALVES][FIELDS] = {0};

    for (int64_t c = 0; c < cols; c += STEP_COLUMNS) {
        const __m256i codes[HALVES] = {half_step(weights + 4 * c, 0),
                                       half_step(weights + 4 * c, 1)};
        tg_ahead_fetch(weights + 4 * c);
        for (int f = 0; f < FIELDS; f++) {
            const __m256i mask = _mm256_set1_epi8((char)(0x03 << 2 * f));
            const __m256i activations4 = four(activations + c + 4 * f);
            for (int h = 0; h < HALVES; h++) {
                of[h][f] = dot(of[h][f], _mm256_and_si256(codes[h], mask), activations4);
            }
        }
    }
    for (int h = 0; h < HALVES; h++) {
        sums[h] = of[h][0] + (of[h][1] >> 2) + (of[h][2] >> 4) + (of[h][3] >> 6);
    }
}

/* Sums of a panel for `columns` (2 or 4) columns of activations, which are cols apart. */
static inline __attribute__((always_inline)) void columns_of(int columns, const uint8_t *weights,
                                                             const int8_t *activations,
                                                             int64_t cols,
                                                             __v8si sums[COLUMNS][HALVES])
{
    const __m256i mask = _mm256_set1_epi8(3);
    __v8si of[COLUMNS][HALVES] = {0};

    for (int64_t c = 0; c < cols; c += STEP_COLUMNS) {
        __m256i codes[HALVES] = {half_step(weights + 4 * c, 0), half_step(weights + 4 * c, 1)};
        for (int f = 0; f < FIELDS; f++) {
            const __m256i fields[HALVES] = {_mm256_and_si256(codes[0], mask),
                                            _mm256_and_si256(codes[1], mask)};
            for (int b = 0; b < columns; b++) {
                const __m256i activations4 = four(activations + b * cols + c + 4 * f);
                for (int h = 0; h < HALVES; h++) {
                    of[b][h] = dot(of[b][h], fields[h], activations4);
                }
            }
            for (int h = 0; h < HALVES; h++) codes[h] = _mm256_srli_epi16(codes[h], 2);
        }
    }
    for (int b = 0; b < columns; b++) {
        for (int h = 0; h < HALVES; h++) sums[b][h] = of[b][h];
    }
}

static int32_t sum_of(const int8_t *activations, int64_t cols)
{
    int32_t sum = 0;

    for (int64_t c = 0; c < cols; c++) sum += activations[c];
    return sum;
}

/* Stores the sums of eight rows from `row`, those that are of the call. */
static inline void store(const struct tg_problem *p, int64_t b, int64_t row, __v8si sums)
{
    int32_t *results = (int32_t *)p->results + b * p->rows;
    int32_t lanes[8];

    if (p->row_begin <= row && row + 8 <= p->row_end) {
        _mm256_storeu_si256((__m256i *)(results + row), (__m256i)sums);
        return;
    }
    _mm256_storeu_si256((__m256i *)lanes, (__m256i)sums);
    for (int i = 0; i < 8; i++) {
        if (p->row_begin <= row + i && row + i < p->row_end) results[row + i] = lanes[i];
    }
}

/* All rows of the call for `columns` (1, 2 or 4) columns from `first`. */
static inline __attribute__((always_inline)) void tile(int columns, const struct tg_problem *p,
                                                       int64_t first)
{
    const int8_t *activations = p->activations + first * p->cols;
    int32_t minus[COLUMNS];

    for (int b = 0; b < columns; b++) minus[b] = sum_of(activations + b * p->cols, p->cols);
    for (int64_t row = p->row_begin / 16 * 16; row < p->row_end; row += 16) {
        const uint8_t *weights = p->weights + row / 16 * (4 * p->cols);
        __v8si sums[COLUMNS][HALVES];
        if (columns == 1) {
            one_column(weights, activations, p->cols, sums[0]);
        } else {
            columns_of(columns, weights, activations, p->cols, sums);
        }
        for (int b = 0; b < columns; b++) {
            for (int h = 0; h < HALVES; h++) {
                store(p, first + b, row + 8 * h, sums[b][h] - minus[b]);
            }
        }
    }
}

void tg_kernel_panel_avxvnni(const struct tg_problem *p)
{
    int64_t b = 0;

    assert(p->cols % STEP_COLUMNS == 0 && p->cols <= 1 << 19);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (; b + 4 <= p->batch; b += 4) tile(4, p, b);
    for (; b + 2 <= p->batch; b += 2) tile(2, p, b);
    for (; b < p->batch; b++) tile(1, p, b);
}
