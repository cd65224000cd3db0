/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/ahead.h"
#include "kernels/kernel.h"

/*
 * panel_avx2: ternary product, eight rows side by side.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * 64 bytes of codes are 16 rows and 16 columns, and each half of them is eight rows, one in each
 * 32-bit lane. Field f of a lane (bits 1-0 of its bytes for f = 0, then 3-2, 5-4, 7-6) has columns
 * 4f to 4f + 3; maddubs multiplies it with these four activations, given to all lanes, and adds
 * neighbours, so a row has two 16-bit sums. They are widened to the row's 32-bit sum, and nothing
 * is added across rows. One column of activations meets both halves, two or four meet a half.
 *
 * Limits: cols a multiple of 16 and below 2^23 (int32 sums). A step adds at most 4 * 508 to a
 * 16-bit sum, in size, with activations from -127 to 127, and 4 * 512 with -128; so sums are
 * widened after every 15 steps (30720).
 * Source: the layout is ours; the instruction and the flush as in i2s_avx2.
 */

enum { FIELDS = 4, STEP_COLUMNS = 16, FLUSH_COLUMNS = 15 * STEP_COLUMNS, SUMS = 4 };

static inline __m256i four(const int8_t *activations)
{
    int32_t bytes;

    memcpy(&bytes, activations, sizeof bytes);
    return _mm256_set1_epi32(bytes);
}

/* The sum of four fields times their activations, two 16-bit sums a row. */
static inline __m256i products(const __m256i fields[FIELDS], const int8_t *activations)
{
    const __m256i s01 = _mm256_add_epi16(_mm256_maddubs_epi16(fields[0], four(activations)),
                                         _mm256_maddubs_epi16(fields[1], four(activations + 4)));
    const __m256i s23 = _mm256_add_epi16(_mm256_maddubs_epi16(fields[2], four(activations + 8)),
                                         _mm256_maddubs_epi16(fields[3], four(activations + 12)));
    return _mm256_add_epi16(s01, s23);
}

/* Sums of `halves` (1 or 2) halves of a panel times `columns` columns: sums[half * columns + b]. */
static inline __attribute__((always_inline)) void code_sums(int halves, int columns,
                                                            const uint8_t *weights,
                                                            const int8_t *activations, int64_t cols,
                                                            __m256i sums[SUMS])
{
    const __m256i mask = _mm256_set1_epi8(3), ones = _mm256_set1_epi16(1);

    for (int i = 0; i < halves * columns; i++) sums[i] = _mm256_setzero_si256();
    for (int64_t begin = 0; begin < cols; begin += FLUSH_COLUMNS) {
        const int64_t end = begin + FLUSH_COLUMNS < cols ? begin + FLUSH_COLUMNS : cols;
        __m256i narrow[SUMS];
        for (int i = 0; i < halves * columns; i++) narrow[i] = _mm256_setzero_si256();
        for (int64_t c = begin; c < end; c += STEP_COLUMNS) {
            tg_ahead_fetch(weights + 4 * c);
            for (int h = 0; h < halves; h++) {
                const __m256i w = _mm256_loadu_si256((const __m256i *)(weights + 4 * c + 32 * h));
                const __m256i fields[FIELDS] = {_mm256_and_si256(w, mask),
                                                _mm256_and_si256(_mm256_srli_epi16(w, 2), mask),
                                                _mm256_and_si256(_mm256_srli_epi16(w, 4), mask),
                                                _mm256_and_si256(_mm256_srli_epi16(w, 6), mask)};
                for (int b = 0; b < columns; b++) {
                    __m256i *sum = &narrow[h * columns + b];
                    *sum = _mm256_add_epi16(*sum, products(fields, activations + b * cols + c));
                }
            }
        }
        for (int i = 0; i < halves * columns; i++) {
            sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(narrow[i], ones));
        }
    }
}

static int32_t sum_of(const int8_t *activations, int64_t cols)
{
    int32_t sum = 0;

    for (int64_t c = 0; c < cols; c++) sum += activations[c];
    return sum;
}

/* Stores the sums of eight rows from `row`, those that are of the call. */
static inline void store(const struct tg_problem *p, int64_t b, int64_t row, __m256i sums)
{
    int32_t *results = (int32_t *)p->results + b * p->rows;
    int32_t lanes[8];

    if (p->row_begin <= row && row + 8 <= p->row_end) {
        _mm256_storeu_si256((__m256i *)(results + row), sums);
        return;
    }
    _mm256_storeu_si256((__m256i *)lanes, sums);
    for (int i = 0; i < 8; i++) {
        if (p->row_begin <= row + i && row + i < p->row_end) results[row + i] = lanes[i];
    }
}

/* All rows of the call for `columns` columns from `first`; `halves` at once. */
static inline __attribute__((always_inline)) void tile(int halves, int columns,
                                                       const struct tg_problem *p, int64_t first)
{
    const int8_t *activations = p->activations + first * p->cols;
    int32_t minus[SUMS];

    for (int b = 0; b < columns; b++) minus[b] = sum_of(activations + b * p->cols, p->cols);
    for (int64_t row = p->row_begin / 16 * 16; row < p->row_end; row += 8 * halves) {
        const uint8_t *weights = p->weights + row / 16 * (4 * p->cols) + row % 16 * 4;
        __m256i sums[SUMS];
        code_sums(halves, columns, weights, activations, p->cols, sums);
        for (int h = 0; h < halves; h++) {
            for (int b = 0; b < columns; b++) {
                store(p, first + b, row + 8 * h,
                      _mm256_sub_epi32(sums[h * columns + b], _mm256_set1_epi32(minus[b])));
            }
        }
    }
}

void tg_kernel_panel_avx2(const struct tg_problem *p)
{
    int64_t b = 0;

    assert(p->cols % STEP_COLUMNS == 0 && p->cols < 1 << 23);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (; b + 4 <= p->batch; b += 4) tile(1, 4, p, b);
    for (; b + 2 <= p->batch; b += 2) tile(1, 2, p, b);
    for (; b < p->batch; b++) tile(2, 1, p, b);
}
