/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_FIELDS_AVX512VNNI_H
#define TG_KERNELS_FIELDS_AVX512VNNI_H

/*
 * Products of rows of 2-bit codes without a shift, four rows at a time, on AVX-512 VNNI.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * 64 bytes of codes are 256 columns. A field is kept where it lies in its byte, by a mask, and
 * meets the 64 activations of its codes. A format says which these are: it puts a column of
 * activations in that order once, on the stack, for all rows of the call:
 *
 *   codes          ordered       times
 *   & 11000000       0.. 63     64
 *   & 00110000      64..127     16
 *   & 00001100     128..191      4
 *   & 00000011     192..255      1
 *
 * Each field has its own accumulator, so all terms of one have the same scale. At the end of the
 * rows they are brought to 64, added, and divided by one exact shift. The last bytes of a row may
 * be fewer than 64, and are loaded below zeros. Four rows at once are four streams, which hardware
 * prefetchers lose from memory; so the bytes to come are fetched as the one stream that they are
 * (kernels/cpu/ahead.h).
 *
 * Limits: at most 2^17 columns: 64 * 2 * 128 * 2^17 is the largest sum before the shift; all is
 * modulo 2^32, and 2^31 is only reached from below. The ordered activations are 128 KiB of stack,
 * one column of that limit. Only for kernels that are compiled for AVX-512 VNNI; elsewhere there is
 * nothing here.
 * Source: masks and scales in place of shifts are ours.
 */

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)

#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/ahead.h"
#include "kernels/op.h"

enum {
    TG_FIELDS = 4,
    TG_FIELDS_ROWS = 4,
    TG_FIELDS_COLUMNS = 8, /* of activations at once */
    TG_FIELDS_FEW = 5,     /* more of them are a batch for kernels/cpu/batch_avx512vnni.h */
    TG_FIELDS_BLOCK_COLS = 256,
    TG_FIELDS_ORDERED_BYTES = 1 << 17
};

/* Orders 256 activations, or `cols` and zeros behind where that is less. */
typedef void (*tg_fields_avx512vnni_order_fn)(const int8_t *activations, int64_t cols,
                                              __m512i ordered[TG_FIELDS]);

/*
 * The accumulators of some rows. They are vectors of int as dpbusd gives them, not of long long as
 * __m512i is: gcc 12 copies an accumulator twice in each step when its type changes in the loop.
 */
struct tg_fields_sums {
    __v16si of[TG_FIELDS_ROWS][TG_FIELDS];
};

/*
 * Adds up to 64 bytes, those of `lanes` of 8 bytes, of `rows` rows, which is a constant. A row's
 * fields are cut first and multiplied then: where the two alternate, as compilers arrange a plain
 * `and`, Zen 4 is 5 to 8 % slower. gcc 12 moves the masked `and` less; look at its order after a
 * change.
 */
static inline __attribute__((always_inline)) void
tg_fields_avx512vnni_add(__mmask8 lanes, int rows, const uint8_t *weights, int64_t row_bytes,
                         const int8_t *ordered, struct tg_fields_sums *sums)
{
    __m512i codes[TG_FIELDS_ROWS], both[TG_FIELDS];

    for (int i = 0; i < rows; i++) {
        codes[i] = _mm512_maskz_loadu_epi64(lanes, weights + i * row_bytes);
    }
    for (int f = 0; f < TG_FIELDS; f++) both[f] = _mm512_loadu_si512(ordered + 64 * f);
    for (int i = 0; i < rows; i++) {
        __m512i field[TG_FIELDS];
        for (int f = 0; f < TG_FIELDS; f++) {
            const __m512i mask = _mm512_set1_epi8((char)(0xc0 >> 2 * f));
            field[f] = _mm512_maskz_and_epi64(0xff, codes[i], mask);
        }
        for (int f = 0; f < TG_FIELDS; f++) {
            sums->of[i][f] = (__v16si)_mm512_dpbusd_epi32((__m512i)sums->of[i][f], field[f],
                                                          both[f]);
        }
    }
}

/* All fields of one row, on the scale of the first. */
static inline __m512i tg_fields_avx512vnni_joined(const __v16si of[TG_FIELDS])
{
    const __m512i s01 = _mm512_add_epi32((__m512i)of[0], _mm512_slli_epi32((__m512i)of[1], 2));
    const __m512i s23 = _mm512_add_epi32(_mm512_slli_epi32((__m512i)of[2], 4),
                                         _mm512_slli_epi32((__m512i)of[3], 6));
    return _mm512_add_epi32(s01, s23);
}

/* The sums of four registers, one a lane. */
static inline __m128i tg_fields_avx512vnni_lane_sums(__m512i a, __m512i b, __m512i c, __m512i d)
{
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const __m512i quarters = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd),
                                              _mm512_unpackhi_epi64(ab, cd));
    const __m256i halves = _mm256_add_epi32(_mm512_castsi512_si256(quarters),
                                            _mm512_extracti64x4_epi64(quarters, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}

/*
 * Sums of code times activation of `rows` (1 or 4) neighbouring rows; the other lanes are 0. From
 * one block of 64 bytes to the next are block_bytes; both are constants.
 */
static inline __attribute__((always_inline)) __m128i
tg_fields_avx512vnni_sums(int rows, int64_t block_bytes, const uint8_t *weights, int64_t row_bytes,
                          const int8_t *ordered, int64_t cols)
{
    const int64_t blocks = cols / TG_FIELDS_BLOCK_COLS, rest = cols % TG_FIELDS_BLOCK_COLS;
    struct tg_fields_sums sums;

    for (int i = 0; i < TG_FIELDS_ROWS; i++) {
        for (int f = 0; f < TG_FIELDS; f++) sums.of[i][f] = (__v16si)_mm512_setzero_si512();
    }
    for (int64_t n = 0; n < blocks; n++) {
        for (int i = 0; i < rows; i++) {
            tg_ahead_fetch(weights + block_bytes * (rows * n + i));
        }
        tg_fields_avx512vnni_add(0xff, rows, weights + block_bytes * n, row_bytes,
                                 ordered + TG_FIELDS_BLOCK_COLS * n, &sums);
    }
    if (rest > 0) {
        tg_fields_avx512vnni_add((__mmask8)((1 << rest / 32) - 1), rows,
                                 weights + block_bytes * blocks, row_bytes,
                                 ordered + TG_FIELDS_BLOCK_COLS * blocks, &sums);
    }
    return _mm_srai_epi32(tg_fields_avx512vnni_lane_sums(tg_fields_avx512vnni_joined(sums.of[0]),
                                                         tg_fields_avx512vnni_joined(sums.of[1]),
                                                         tg_fields_avx512vnni_joined(sums.of[2]),
                                                         tg_fields_avx512vnni_joined(sums.of[3])),
                          6);
}

/* Orders a column of activations and returns their sum. */
static inline __attribute__((always_inline)) int32_t
tg_fields_avx512vnni_order(tg_fields_avx512vnni_order_fn order, const int8_t *activations,
                           int64_t cols, int8_t *ordered)
{
    const __m512i one = _mm512_set1_epi8(1);
    __m512i sums[TG_FIELDS] = {_mm512_setzero_si512(), _mm512_setzero_si512(),
                               _mm512_setzero_si512(), _mm512_setzero_si512()};

    for (int64_t c = 0; c < cols; c += TG_FIELDS_BLOCK_COLS) {
        __m512i block[TG_FIELDS];
        order(activations + c, cols - c, block);
        for (int f = 0; f < TG_FIELDS; f++) {
            _mm512_storeu_si512(ordered + c + 64 * f, block[f]);
            sums[f] = _mm512_dpbusd_epi32(sums[f], one, block[f]);
        }
    }
    return _mm512_reduce_add_epi32(
        _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3])));
}

/* All rows of the call for `columns` columns from `first`, as many as fit when ordered. */
static inline __attribute__((always_inline)) void
tg_fields_avx512vnni_tile(const struct tg_problem *p, int64_t block_bytes, int64_t row_bytes,
                          tg_fields_avx512vnni_order_fn order, int64_t first, int64_t columns)
{
    const int64_t ordered_bytes = (p->cols + TG_FIELDS_BLOCK_COLS - 1) / TG_FIELDS_BLOCK_COLS *
                                  TG_FIELDS_BLOCK_COLS;
    int32_t *results = (int32_t *)p->results + first * p->rows;
    int32_t minus[TG_FIELDS_COLUMNS];
    _Alignas(64) int8_t ordered[TG_FIELDS_ORDERED_BYTES];
    int64_t r = p->row_begin;

    for (int64_t b = 0; b < columns; b++) {
        minus[b] = tg_fields_avx512vnni_order(order, p->activations + (first + b) * p->cols,
                                              p->cols, ordered + b * ordered_bytes);
    }
    for (; r + TG_FIELDS_ROWS <= p->row_end; r += TG_FIELDS_ROWS) {
        const uint8_t *weights = p->weights + r * row_bytes;
        for (int64_t b = 0; b < columns; b++) {
            const __m128i sums = tg_fields_avx512vnni_sums(TG_FIELDS_ROWS, block_bytes, weights,
                                                           row_bytes, ordered + b * ordered_bytes,
                                                           p->cols);
            _mm_storeu_si128((__m128i *)(results + b * p->rows + r),
                             _mm_sub_epi32(sums, _mm_set1_epi32(minus[b])));
        }
    }
    for (; r < p->row_end; r++) {
        const uint8_t *weights = p->weights + r * row_bytes;
        for (int64_t b = 0; b < columns; b++) {
            const __m128i sums = tg_fields_avx512vnni_sums(1, block_bytes, weights, row_bytes,
                                                           ordered + b * ordered_bytes, p->cols);
            results[b * p->rows + r] = _mm_cvtsi128_si32(sums) - minus[b];
        }
    }
}

/* The whole call, of rows that follow each other; all but p are constants. */
static inline __attribute__((always_inline)) void
tg_fields_avx512vnni_multiply(const struct tg_problem *p, int64_t block_bytes, int64_t row_bytes,
                              tg_fields_avx512vnni_order_fn order)
{
    const int64_t ordered_bytes = (p->cols + TG_FIELDS_BLOCK_COLS - 1) / TG_FIELDS_BLOCK_COLS *
                                  TG_FIELDS_BLOCK_COLS;
    int64_t at_once = TG_FIELDS_COLUMNS;

    assert(p->cols <= 1 << 17);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    while (at_once * ordered_bytes > TG_FIELDS_ORDERED_BYTES) at_once /= 2;
    for (int64_t b = 0; b < p->batch; b += at_once) {
        tg_fields_avx512vnni_tile(p, block_bytes, row_bytes, order, b,
                                  p->batch - b < at_once ? p->batch - b : at_once);
    }
}

#endif
#endif
