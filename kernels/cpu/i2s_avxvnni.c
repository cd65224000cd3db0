/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/ahead.h"
#include "kernels/kernel.h"

/*
 * i2s_avxvnni: ternary product, two rows and 128 weights at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * 32 bytes of codes are a group of 128 columns, the first 32 in the highest bits. For one column of
 * activations a field is kept where it lies, by a mask, and has a sum of its own, which is 64, 16,
 * 4 or 1 times too large; they are brought to 64 at the end and divided by an exact shift. Several
 * columns share fields that are shifted, and have one sum each. Two rows give eight sums, enough to
 * hide most of the latency of dpbusd.
 *
 * Limits: cols a multiple of 128 and at most 2^17: 64 * 2 * 128 * 2^17 is the largest sum before
 * the shift; all is modulo 2^32, and 2^31 is only reached from below. Source: the layout is
 * bitnet.cpp's, arXiv:2502.11880; masks in place of shifts are ours.
 */

enum { FIELDS = 4, ROWS = 2, COLUMNS = 4, GROUP_COLS = 128 };

/* Accumulators are vectors of int: gcc 12 copies those whose type changes in the loop. */
static inline __v8si dot(__v8si sums, __m256i codes, const int8_t *activations)
{
    return (__v8si)_mm256_dpbusd_avx_epi32((__m256i)sums, codes,
                                           _mm256_loadu_si256((const __m256i *)activations));
}

static int32_t lane_sum(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
}

/* Sums of `rows` (1 or 2) rows, row_bytes apart, for one column of activations. */
static inline __attribute__((always_inline)) void
one_column(int rows, const uint8_t *weights, const int8_t *activations, int64_t cols, int32_t *sums)
{
    const int64_t row_bytes = cols / 4;
    __v8si of[ROWS][FIELDS] = {0};

    for (int64_t c = 0; c < cols; c += GROUP_COLS) {
        for (int i = 0; i < rows; i++) {
            const uint8_t *from = weights + i * row_bytes + c / 4;
            const __m256i codes = _mm256_loadu_si256((const __m256i *)from);
            if (i == 0) tg_ahead_fetch(weights + rows * c / 4);
            for (int f = 0; f < FIELDS; f++) {
                const __m256i mask = _mm256_set1_epi8((char)(0xc0 >> 2 * f));
                of[i][f] = dot(of[i][f], _mm256_and_si256(codes, mask), activations + c + 32 * f);
            }
        }
    }
    for (int i = 0; i < rows; i++) {
        const __v8si whole = of[i][0] + (of[i][1] << 2) + (of[i][2] << 4) + (of[i][3] << 6);
        sums[i] = lane_sum((__m256i)whole) >> 6;
    }
}

/* Sums of `rows` rows for `columns` (2 or 4) columns of activations: sums[row][column]. */
static inline __attribute__((always_inline)) void
columns_of(int rows, int columns, const uint8_t *weights, const int8_t *activations, int64_t cols,
           int32_t sums[ROWS][COLUMNS])
{
    const __m256i mask = _mm256_set1_epi8(3);
    const int64_t row_bytes = cols / 4;
    __v8si of[ROWS][COLUMNS] = {0};

    for (int64_t c = 0; c < cols; c += GROUP_COLS) {
        for (int i = 0; i < rows; i++) {
            const uint8_t *from = weights + i * row_bytes + c / 4;
            const __m256i codes = _mm256_loadu_si256((const __m256i *)from);
            const __m256i fields[FIELDS] = {_mm256_and_si256(_mm256_srli_epi16(codes, 6), mask),
                                            _mm256_and_si256(_mm256_srli_epi16(codes, 4), mask),
                                            _mm256_and_si256(_mm256_srli_epi16(codes, 2), mask),
                                            _mm256_and_si256(codes, mask)};
            for (int f = 0; f < FIELDS; f++) {
                for (int b = 0; b < columns; b++) {
                    of[i][b] = dot(of[i][b], fields[f], activations + b * cols + c + 32 * f);
                }
            }
        }
    }
    for (int i = 0; i < rows; i++) {
        for (int b = 0; b < columns; b++) sums[i][b] = lane_sum((__m256i)of[i][b]);
    }
}

static int32_t activation_sum(const int8_t *activations, int64_t cols)
{
    const __m256i ones = _mm256_set1_epi8(1);
    __v8si sum = {0};

    for (int64_t c = 0; c < cols; c += 32) sum = dot(sum, ones, activations + c);
    return lane_sum((__m256i)sum);
}

/* `rows` (1 or 2) rows from r on, and `columns` columns from `first`. */
static inline __attribute__((always_inline)) void some_rows(int rows, int columns,
                                                            const struct tg_problem *p, int64_t r,
                                                            int64_t first, const int32_t *minus)
{
    const uint8_t *weights = p->weights + r * (p->cols / 4);
    const int8_t *activations = p->activations + first * p->cols;
    int32_t *results = (int32_t *)p->results + first * p->rows + r;
    int32_t sums[ROWS][COLUMNS], singles[ROWS];

    if (columns == 1) {
        one_column(rows, weights, activations, p->cols, singles);
        for (int i = 0; i < rows; i++) results[i] = singles[i] - minus[0];
        return;
    }
    columns_of(rows, columns, weights, activations, p->cols, sums);
    for (int i = 0; i < rows; i++) {
        for (int b = 0; b < columns; b++) results[b * p->rows + i] = sums[i][b] - minus[b];
    }
}

/* All rows of the call for `columns` (1, 2 or 4) columns from `first`. */
static inline __attribute__((always_inline)) void tile(int columns, const struct tg_problem *p,
                                                       int64_t first)
{
    int32_t minus[COLUMNS];
    int64_t r = p->row_begin;

    for (int b = 0; b < columns; b++) {
        minus[b] = activation_sum(p->activations + (first + b) * p->cols, p->cols);
    }
    for (; r + ROWS <= p->row_end; r += ROWS) some_rows(ROWS, columns, p, r, first, minus);
    if (r < p->row_end) some_rows(1, columns, p, r, first, minus);
}

void tg_kernel_i2s_avxvnni(const struct tg_problem *p)
{
    int64_t b = 0;

    assert(p->cols % GROUP_COLS == 0 && p->cols <= 1 << 17);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (; b + 4 <= p->batch; b += 4) tile(4, p, b);
    for (; b + 2 <= p->batch; b += 2) tile(2, p, b);
    for (; b < p->batch; b++) tile(1, p, b);
}
