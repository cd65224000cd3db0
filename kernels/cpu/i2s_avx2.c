/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/kernel.h"

/*
 * i2s_avx2: ternary product, 128 weights at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * Reads 32 bytes of 2-bit codes, splits them into four vectors of 32 codes, and multiplies codes
 * (0..2, unsigned) with activations (signed) by maddubs, which adds neighbouring products. Taking
 * the activations' own sum away at the end turns codes 0..2 into weights -1..1. Up to four batch
 * columns share the splitting of a row.
 * Limits: cols a multiple of 128 and below 2^23 (int32 sums). A group adds at most 4 * 508 to a
 * 16-bit lane, so sums are widened after every 16 groups (32512), never later.
 * Source: bitnet.cpp, arXiv:2502.11880 (the layout and the idea).
 */

enum { FLUSH_COLS = 16 * 128, TILE_COLUMNS = 4, AHEAD_BYTES = 4096 };

static int32_t lane_sum(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
}

static inline __m256i products(__m256i codes, const int8_t *activations)
{
    return _mm256_maddubs_epi16(codes, _mm256_loadu_si256((const __m256i *)activations));
}

/* Sums of code times activation of one row with `columns` (1, 2 or 4) columns. */
static inline void code_sums(int columns, const uint8_t *weights, const int8_t *activations,
                             int64_t cols, int32_t *sums)
{
    const __m256i mask = _mm256_set1_epi8(3), ones = _mm256_set1_epi16(1);
    __m256i wide[TILE_COLUMNS];

    for (int b = 0; b < columns; b++) wide[b] = _mm256_setzero_si256();
    for (int64_t begin = 0; begin < cols; begin += FLUSH_COLS) {
        const int64_t end = begin + FLUSH_COLS < cols ? begin + FLUSH_COLS : cols;
        __m256i narrow[TILE_COLUMNS];
        for (int b = 0; b < columns; b++) narrow[b] = _mm256_setzero_si256();
        for (int64_t c = begin; c < end; c += 128) {
            const __m256i w = _mm256_loadu_si256((const __m256i *)(weights + c / 4));
            _mm_prefetch((const char *)(weights + c / 4 + AHEAD_BYTES), _MM_HINT_T0);
            const __m256i w0 = _mm256_and_si256(_mm256_srli_epi16(w, 6), mask);
            const __m256i w1 = _mm256_and_si256(_mm256_srli_epi16(w, 4), mask);
            const __m256i w2 = _mm256_and_si256(_mm256_srli_epi16(w, 2), mask);
            const __m256i w3 = _mm256_and_si256(w, mask);
            for (int b = 0; b < columns; b++) {
                const int8_t *a = activations + b * cols + c;
                const __m256i s01 = _mm256_add_epi16(products(w0, a), products(w1, a + 32));
                const __m256i s23 = _mm256_add_epi16(products(w2, a + 64), products(w3, a + 96));
                narrow[b] = _mm256_add_epi16(narrow[b], _mm256_add_epi16(s01, s23));
            }
        }
        for (int b = 0; b < columns; b++) {
            wide[b] = _mm256_add_epi32(wide[b], _mm256_madd_epi16(narrow[b], ones));
        }
    }
    for (int b = 0; b < columns; b++) sums[b] = lane_sum(wide[b]);
}

static int32_t activation_sum(const int8_t *activations, int64_t cols)
{
    const __m256i ones = _mm256_set1_epi8(1);
    __m256i sum = _mm256_setzero_si256();

    for (int64_t c = 0; c < cols; c += 32) {
        const __m256i pairs = products(ones, activations + c);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    return lane_sum(sum);
}

/* All rows of the call for `columns` (1, 2 or 4) columns from `first`. */
static inline void tile(int columns, const struct tg_problem *p, int64_t first)
{
    const int8_t *activations = p->activations + first * p->cols;
    int32_t *results = (int32_t *)p->results + first * p->rows;
    int32_t minus[TILE_COLUMNS], sums[TILE_COLUMNS];

    for (int b = 0; b < columns; b++) {
        minus[b] = activation_sum(activations + b * p->cols, p->cols);
    }
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        code_sums(columns, p->weights + r * (p->cols / 4), activations, p->cols, sums);
        for (int b = 0; b < columns; b++) results[b * p->rows + r] = sums[b] - minus[b];
    }
}

void tg_kernel_i2s_avx2(const struct tg_problem *p)
{
    int64_t b = 0;

    assert(p->cols % 128 == 0 && p->cols < 1 << 23);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (; b + 4 <= p->batch; b += 4) tile(4, p, b);
    for (; b + 2 <= p->batch; b += 2) tile(2, p, b);
    for (; b < p->batch; b++) tile(1, p, b);
}
