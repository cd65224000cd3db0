/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_FIELDS_AVX2_H
#define TG_KERNELS_FIELDS_AVX2_H

/*
 * Products of rows of codes on AVX2: one row, and up to eight columns of activations, at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * A format says how a row of 2-bit codes lies, 32 bytes for 128 columns. maddubs multiplies codes
 * with activations and adds neighbouring products in 16-bit lanes. For one column of activations
 * two fields of the codes are kept where they lie, and two after one shift by 4, so that two have
 * codes times 1 and two times 4. Their sums are kept apart; widening multiplies the first by 4, and
 * the end divides all by 4 without rest. Several columns share three shifts, and have half as many
 * sums; eight do where the first cache holds their activations, else four.
 *
 * Limits: below 2^23 columns (int32 sums; the lanes that are times 4 are divided before they are
 * added). 32 bytes add products of pairs of -2048 to 2032 together to a 16-bit lane, so sums are
 * widened after 16 of them (-32768 to 32512), never later; with codes times 4 after 8. Only for
 * kernels that are compiled for AVX2; elsewhere there is nothing here.
 * Source: maddubs on codes is bitnet.cpp's, arXiv:2502.11880; fewer shifts are ours.
 */

#ifdef __AVX2__

#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/ahead.h"
#include "kernels/op.h"

enum {
    TG_FIELDS_AVX2_COLUMNS = 8,
    TG_FIELDS_AVX2_FLUSH = 2048,    /* columns between widenings; half as many with codes times 4 */
    TG_FIELDS_AVX2_CACHE = 24 << 10 /* bytes of activations that the first cache holds */
};

/* How a row lies; constants of a kernel. */
struct tg_fields_avx2 {
    int is_low_first;    /* the first 32 of 128 columns are in the lowest bits, or in the highest */
    int64_t block_bytes; /* from 256 columns to the next 256 */
};

static inline int32_t tg_fields_avx2_lane_sum(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
}

static inline __m256i tg_fields_avx2_products(__m256i codes, const int8_t *activations)
{
    return _mm256_maddubs_epi16(codes, _mm256_loadu_si256((const __m256i *)activations));
}

/* The 16-bit sums of some columns: of codes, and of one column of codes times 4. */
struct tg_fields_avx2_narrow {
    __m256i once[TG_FIELDS_AVX2_COLUMNS], fourfold;
};

/* Adds 128 columns, whose first 32 are in the lowest bits of bytes, or in the highest. */
static inline __attribute__((always_inline)) void
tg_fields_avx2_add(int columns, int is_low_first, const uint8_t *weights, const int8_t *activations,
                   int64_t cols, struct tg_fields_avx2_narrow *sums)
{
    const __m256i low = _mm256_set1_epi8(0x03), high = _mm256_set1_epi8(0x0c);
    const __m256i w = _mm256_loadu_si256((const __m256i *)weights);
    const __m256i shifted = _mm256_srli_epi16(w, 4);
    const int first = is_low_first ? 0 : 96, step = is_low_first ? 32 : -32;
    __m256i codes[4] = {w, columns == 1 ? w : _mm256_srli_epi16(w, 2), shifted,
                        columns == 1 ? shifted : _mm256_srli_epi16(w, 6)};

    for (int f = 0; f < 4; f++) {
        codes[f] = _mm256_and_si256(codes[f], columns == 1 && f % 2 == 1 ? high : low);
    }
    for (int b = 0; b < columns; b++) {
        const int8_t *a = activations + b * cols + first;
        const __m256i even = _mm256_add_epi16(tg_fields_avx2_products(codes[0], a),
                                              tg_fields_avx2_products(codes[2], a + 2 * step));
        const __m256i odd = _mm256_add_epi16(tg_fields_avx2_products(codes[1], a + step),
                                             tg_fields_avx2_products(codes[3], a + 3 * step));
        if (columns == 1) {
            sums->once[b] = _mm256_add_epi16(sums->once[b], even);
            sums->fourfold = _mm256_add_epi16(sums->fourfold, odd);
        } else {
            sums->once[b] = _mm256_add_epi16(sums->once[b], _mm256_add_epi16(even, odd));
            __asm__("" : "+x"(sums->once[b])); /* gcc 12 would keep products of all, and spill */
        }
    }
}

/* Sums of a row for `columns` (1, 2, 4 or 8, a constant) columns, which are `cols` apart. */
static inline __attribute__((always_inline)) void
tg_fields_avx2_sums(int columns, struct tg_fields_avx2 format, const uint8_t *weights,
                    const int8_t *activations, int64_t cols, int32_t *sums)
{
    const __m256i one = _mm256_set1_epi16(1), four = _mm256_set1_epi16(4);
    const int64_t flush = columns == 1 ? TG_FIELDS_AVX2_FLUSH / 2 : TG_FIELDS_AVX2_FLUSH;
    __m256i wide[TG_FIELDS_AVX2_COLUMNS];
    int64_t c = 0;

    for (int b = 0; b < columns; b++) wide[b] = _mm256_setzero_si256();
    while (c < cols) {
        const int64_t end = cols - c < flush ? cols : c + flush;
        struct tg_fields_avx2_narrow narrow;
        narrow.fourfold = _mm256_setzero_si256();
        for (int b = 0; b < columns; b++) narrow.once[b] = _mm256_setzero_si256();
        for (; columns == 1 && c + 256 <= end; c += 256) {
            const int8_t *with = activations + c;
            tg_ahead_fetch(weights);
            tg_fields_avx2_add(1, format.is_low_first, weights, with, cols, &narrow);
            tg_fields_avx2_add(1, format.is_low_first, weights + 32, with + 128, cols, &narrow);
            weights += format.block_bytes;
        }
        for (; c < end; c += 128) {
            tg_ahead_fetch(weights);
            tg_fields_avx2_add(columns, format.is_low_first, weights, activations + c, cols,
                               &narrow);
            weights += c % 256 == 0 ? 32 : format.block_bytes - 32;
        }
        for (int b = 0; b < columns; b++) {
            const __m256i scale = columns == 1 ? four : one;
            wide[b] = _mm256_add_epi32(wide[b], _mm256_madd_epi16(narrow.once[b], scale));
        }
        if (columns == 1) {
            wide[0] = _mm256_add_epi32(wide[0], _mm256_madd_epi16(narrow.fourfold, one));
        }
    }
    for (int b = 0; b < columns; b++) {
        const __m256i whole = columns == 1 ? _mm256_srai_epi32(wide[b], 2) : wide[b];
        sums[b] = tg_fields_avx2_lane_sum(whole);
    }
}

/* The sum of one column of activations, a multiple of 32. */
static inline int32_t tg_fields_avx2_activation_sum(const int8_t *activations, int64_t cols)
{
    const __m256i ones = _mm256_set1_epi8(1);
    __m256i sum = _mm256_setzero_si256();

    for (int64_t c = 0; c < cols; c += 32) {
        const __m256i pairs = tg_fields_avx2_products(ones, activations + c);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    return tg_fields_avx2_lane_sum(sum);
}

/* All rows of the call for `columns` (1, 2, 4 or 8) columns from `first`. */
static inline __attribute__((always_inline)) void
tg_fields_avx2_tile(int columns, const struct tg_problem *p, int64_t row_bytes,
                    struct tg_fields_avx2 format, int64_t first)
{
    const int8_t *activations = p->activations + first * p->cols;
    int32_t *results = (int32_t *)p->results + first * p->rows;
    int32_t minus[TG_FIELDS_AVX2_COLUMNS], sums[TG_FIELDS_AVX2_COLUMNS];

    for (int b = 0; b < columns; b++) {
        minus[b] = tg_fields_avx2_activation_sum(activations + b * p->cols, p->cols);
    }
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const uint8_t *weights = p->weights + r * row_bytes;
        tg_fields_avx2_sums(columns, format, weights, activations, p->cols, sums);
        for (int b = 0; b < columns; b++) results[b * p->rows + r] = sums[b] - minus[b];
    }
}

/* The whole call, of rows that follow each other. */
static inline __attribute__((always_inline)) void
tg_fields_avx2_multiply(const struct tg_problem *p, int64_t row_bytes, struct tg_fields_avx2 format)
{
    int64_t b = 0;

    assert(p->cols < 1 << 23);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (; 8 * p->cols <= TG_FIELDS_AVX2_CACHE && b + 8 <= p->batch; b += 8) {
        tg_fields_avx2_tile(8, p, row_bytes, format, b);
    }
    for (; b + 4 <= p->batch; b += 4) tg_fields_avx2_tile(4, p, row_bytes, format, b);
    for (; b + 2 <= p->batch; b += 2) tg_fields_avx2_tile(2, p, row_bytes, format, b);
    for (; b < p->batch; b++) tg_fields_avx2_tile(1, p, row_bytes, format, b);
}

#endif
#endif
