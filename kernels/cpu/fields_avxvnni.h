/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_FIELDS_AVXVNNI_H
#define TG_KERNELS_FIELDS_AVXVNNI_H

/*
 * Products of rows of 2-bit codes on AVX-VNNI, two rows and 128 weights at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * 32 bytes of codes are a group of 128 columns, the first 32 in the highest bits or in the lowest.
 * For one column of activations a field is kept where it lies, by a mask, and has a sum of its own,
 * which is 64, 16, 4 or 1 times too large; they are brought to 64 at the end and divided by an
 * exact shift. Several columns share fields that are shifted, and have one sum each. Two rows give
 * eight sums, enough to hide most of the latency of dpbusd.
 *
 * Limits: cols a multiple of 128 and at most 2^17: 64 * 2 * 128 * 2^17 is the largest sum before
 * the shift; all is modulo 2^32, and 2^31 is only reached from below. Only for kernels that are
 * compiled for AVX-VNNI; elsewhere there is nothing here.
 * Source: masks in place of shifts are ours.
 */

#ifdef __AVXVNNI__

#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/ahead.h"
#include "kernels/op.h"

enum {
    TG_FIELDS_AVXVNNI_FIELDS = 4,
    TG_FIELDS_AVXVNNI_ROWS = 2,
    TG_FIELDS_AVXVNNI_COLUMNS = 4,
    TG_FIELDS_AVXVNNI_GROUP_COLS = 128
};

/*
 * How rows lie, all constants: 256 columns are block_bytes, of which 64 are codes, and the first 32
 * of 128 columns are in the lowest bits of bytes or in the highest.
 */
struct tg_fields_avxvnni {
    int64_t block_bytes;
    int is_low_first;
};

/* From the group that begins with column c to the next. */
static inline __attribute__((always_inline)) int64_t
tg_fields_avxvnni_step(struct tg_fields_avxvnni layout, int64_t c)
{
    return c % 256 == 0 ? 32 : layout.block_bytes - 32;
}

/* The columns that the bits 2 f and 2 f + 1 have, from those of the group. */
static inline __attribute__((always_inline)) int64_t
tg_fields_avxvnni_field(struct tg_fields_avxvnni layout, int f)
{
    return 32 * (layout.is_low_first ? f : 3 - f);
}

/* Accumulators are vectors of int: gcc 12 copies those whose type changes in the loop. */
static inline __v8si tg_fields_avxvnni_dot(__v8si sums, __m256i codes, const int8_t *activations)
{
    return (__v8si)_mm256_dpbusd_avx_epi32((__m256i)sums, codes,
                                           _mm256_loadu_si256((const __m256i *)activations));
}

static inline int32_t tg_fields_avxvnni_lane_sum(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
}

/* Sums of `rows` (1 or 2) rows, row_bytes apart, for one column of activations. */
static inline __attribute__((always_inline)) void
tg_fields_avxvnni_one(struct tg_fields_avxvnni layout, int rows, const uint8_t *weights,
                      int64_t row_bytes, const int8_t *activations, int64_t cols, int32_t *sums)
{
    const uint8_t *at = weights;
    __v8si of[TG_FIELDS_AVXVNNI_ROWS][TG_FIELDS_AVXVNNI_FIELDS] = {0};

    for (int64_t c = 0; c < cols; c += TG_FIELDS_AVXVNNI_GROUP_COLS) {
        tg_ahead_fetch(weights + rows * (at - weights));
        for (int i = 0; i < rows; i++) {
            const __m256i codes = _mm256_loadu_si256((const __m256i *)(at + i * row_bytes));
            for (int f = 0; f < TG_FIELDS_AVXVNNI_FIELDS; f++) {
                const __m256i field = _mm256_and_si256(codes, _mm256_set1_epi8((char)(3 << 2 * f)));
                const int8_t *with = activations + c + tg_fields_avxvnni_field(layout, f);
                of[i][f] = tg_fields_avxvnni_dot(of[i][f], field, with);
            }
        }
        at += tg_fields_avxvnni_step(layout, c);
    }
    for (int i = 0; i < rows; i++) {
        const __v8si whole = of[i][3] + (of[i][2] << 2) + (of[i][1] << 4) + (of[i][0] << 6);
        sums[i] = tg_fields_avxvnni_lane_sum((__m256i)whole) >> 6;
    }
}

/* Sums of `rows` rows for `columns` (2 or 4) columns of activations: sums[row][column]. */
static inline __attribute__((always_inline)) void
tg_fields_avxvnni_several(struct tg_fields_avxvnni layout, int rows, int columns,
                          const uint8_t *weights, int64_t row_bytes, const int8_t *activations,
                          int64_t cols,
                          int32_t sums[TG_FIELDS_AVXVNNI_ROWS][TG_FIELDS_AVXVNNI_COLUMNS])
{
    const __m256i mask = _mm256_set1_epi8(3);
    __v8si of[TG_FIELDS_AVXVNNI_ROWS][TG_FIELDS_AVXVNNI_COLUMNS] = {0};

    for (int64_t c = 0; c < cols; c += TG_FIELDS_AVXVNNI_GROUP_COLS) {
        for (int i = 0; i < rows; i++) {
            const uint8_t *at = weights + i * row_bytes;
            const __m256i codes = _mm256_loadu_si256((const __m256i *)at);
            const __m256i fields[TG_FIELDS_AVXVNNI_FIELDS] = {
                _mm256_and_si256(codes, mask), _mm256_and_si256(_mm256_srli_epi16(codes, 2), mask),
                _mm256_and_si256(_mm256_srli_epi16(codes, 4), mask),
                _mm256_and_si256(_mm256_srli_epi16(codes, 6), mask)};
            for (int f = 0; f < TG_FIELDS_AVXVNNI_FIELDS; f++) {
                const int8_t *with = activations + c + tg_fields_avxvnni_field(layout, f);
                for (int b = 0; b < columns; b++) {
                    of[i][b] = tg_fields_avxvnni_dot(of[i][b], fields[f], with + b * cols);
                }
            }
        }
        weights += tg_fields_avxvnni_step(layout, c);
    }
    for (int i = 0; i < rows; i++) {
        for (int b = 0; b < columns; b++) {
            sums[i][b] = tg_fields_avxvnni_lane_sum((__m256i)of[i][b]);
        }
    }
}

static inline int32_t tg_fields_avxvnni_activation_sum(const int8_t *activations, int64_t cols)
{
    const __m256i ones = _mm256_set1_epi8(1);
    __v8si sum = {0};

    for (int64_t c = 0; c < cols; c += 32) {
        sum = tg_fields_avxvnni_dot(sum, ones, activations + c);
    }
    return tg_fields_avxvnni_lane_sum((__m256i)sum);
}

/* `rows` (1 or 2) rows from r on, and `columns` columns from `first`. */
static inline __attribute__((always_inline)) void
tg_fields_avxvnni_rows(struct tg_fields_avxvnni layout, int64_t row_bytes, int rows, int columns,
                       const struct tg_problem *p, int64_t r, int64_t first, const int32_t *minus)
{
    const uint8_t *weights = p->weights + r * row_bytes;
    const int8_t *activations = p->activations + first * p->cols;
    int32_t *results = (int32_t *)p->results + first * p->rows + r;
    int32_t sums[TG_FIELDS_AVXVNNI_ROWS][TG_FIELDS_AVXVNNI_COLUMNS], singles[2];

    if (columns == 1) {
        tg_fields_avxvnni_one(layout, rows, weights, row_bytes, activations, p->cols, singles);
        for (int i = 0; i < rows; i++) results[i] = singles[i] - minus[0];
        return;
    }
    tg_fields_avxvnni_several(layout, rows, columns, weights, row_bytes, activations, p->cols,
                              sums);
    for (int i = 0; i < rows; i++) {
        for (int b = 0; b < columns; b++) results[b * p->rows + i] = sums[i][b] - minus[b];
    }
}

/* All rows of the call for `columns` (1, 2 or 4) columns from `first`. */
static inline __attribute__((always_inline)) void
tg_fields_avxvnni_tile(struct tg_fields_avxvnni layout, int64_t row_bytes, int columns,
                       const struct tg_problem *p, int64_t first)
{
    int32_t minus[TG_FIELDS_AVXVNNI_COLUMNS];
    int64_t r = p->row_begin;

    for (int b = 0; b < columns; b++) {
        const int8_t *activations = p->activations + (first + b) * p->cols;
        minus[b] = tg_fields_avxvnni_activation_sum(activations, p->cols);
    }
    for (; r + 2 <= p->row_end; r += 2) {
        tg_fields_avxvnni_rows(layout, row_bytes, 2, columns, p, r, first, minus);
    }
    if (r < p->row_end) {
        tg_fields_avxvnni_rows(layout, row_bytes, 1, columns, p, r, first, minus);
    }
}

/* The whole call, of rows that follow each other. */
static inline __attribute__((always_inline)) void
tg_fields_avxvnni_multiply(const struct tg_problem *p, int64_t row_bytes,
                           struct tg_fields_avxvnni layout)
{
    int64_t b = 0;

    assert(p->cols % TG_FIELDS_AVXVNNI_GROUP_COLS == 0 && p->cols <= 1 << 17);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (; b + 4 <= p->batch; b += 4) tg_fields_avxvnni_tile(layout, row_bytes, 4, p, b);
    for (; b + 2 <= p->batch; b += 2) tg_fields_avxvnni_tile(layout, row_bytes, 2, p, b);
    for (; b < p->batch; b++) tg_fields_avxvnni_tile(layout, row_bytes, 1, p, b);
}

#endif
#endif
