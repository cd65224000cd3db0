/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_TABLES_AVX2_H
#define TG_KERNELS_TABLES_AVX2_H

/*
 * Tables of sums of two or three activations, for the kernels of TL1 and TL2 on x86.
 *
 * An instruction that looks up bytes gives a byte, and a sum needs more: up to 381 in size. So each
 * sum v is split into two bytes that are small enough to be added up as bytes a while,
 *
 *   v = 31 * high + low,  -15 <= low <= 15,  -12 <= high <= 12
 *
 * Eight of each stay within a byte, and are then multiplied by 1 and 31 and added in 16 bits: that
 * is 3048 at most, and ten times that fits. Both halves change their signs with v.
 *
 * Limits: activations -127..127. Only for kernels that are compiled for AVX2; elsewhere there is
 * nothing here.
 * Source: tables of sums as in T-MAC (arXiv:2407.00088) and bitnet.cpp (arXiv:2502.11880); to split
 * them by 31 and to add bytes is ours.
 */

#ifdef __AVX2__

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/op.h"

enum {
    TG_TABLES_RADIX = 31,
    TG_TABLES_INVERSE = 1057, /* 2^15 / 31: every v is divided and rounded right */
    TG_TABLES_SUMS = 8        /* that a byte can hold */
};

/* The low halves of 16 sums in the first 16 bytes, the high halves in the others. */
static inline __m256i tg_tables_avx2_split(__m256i sums)
{
    const __m256i high = _mm256_mulhrs_epi16(sums, _mm256_set1_epi16(TG_TABLES_INVERSE));
    const __m256i times = _mm256_mullo_epi16(high, _mm256_set1_epi16(TG_TABLES_RADIX));
    const __m256i low = _mm256_sub_epi16(sums, times);

    return _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xd8);
}

/* Of two neighbouring activations, the sums of index 3 * w[0] + w[1] + 4, from 0 to 8. */
static inline __m256i tg_tables_avx2_twos(const int8_t *activations)
{
    const __m256i weights = _mm256_setr_epi8(-1, -1, -1, 0, -1, 1, 0, -1, 0, 0, 0, 1, 1, -1, 1, 0,
                                             1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    int16_t both;

    memcpy(&both, activations, sizeof both);
    return tg_tables_avx2_split(_mm256_maddubs_epi16(
        _mm256_set1_epi8(1), _mm256_sign_epi8(_mm256_set1_epi16(both), weights)));
}

/* Of three, the sums of 9 * w[0] + 3 * w[1] + w[2], from 0 to 13; the last two are 0. */
static inline __m256i tg_tables_avx2_threes(const int8_t *activations)
{
    const __m256i first = _mm256_setr_epi8(0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 1, -1, 1, -1, 1, -1, 1, 0,
                                           1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0);
    const __m256i third = _mm256_setr_epi8(0, 0, 1, 0, -1, 0, 0, 0, 1, 0, -1, 0, 0, 0, 1, 0, -1, 0,
                                           0, 0, 1, 0, -1, 0, 0, 0, 1, 0, 0, 0, 0, 0);
    const __m256i ones = _mm256_set1_epi8(1);
    int16_t both;

    memcpy(&both, activations, sizeof both);
    const __m256i two = _mm256_sign_epi8(_mm256_set1_epi16(both), first);
    const __m256i one = _mm256_sign_epi8(_mm256_set1_epi8(activations[2]), third);
    return tg_tables_avx2_split(
        _mm256_add_epi16(_mm256_maddubs_epi16(ones, two), _mm256_maddubs_epi16(ones, one)));
}

/* The low and the high halves of looked up sums; at most TG_TABLES_SUMS were added. */
struct tg_tables_avx2_halves {
    __m256i low, high;
};

/* Adds what the two halves of a table have at the places. */
static inline void tg_tables_avx2_add(__m256i low, __m256i high, __m256i places,
                                      struct tg_tables_avx2_halves *sums)
{
    sums->low = _mm256_add_epi8(sums->low, _mm256_shuffle_epi8(low, places));
    sums->high = _mm256_add_epi8(sums->high, _mm256_shuffle_epi8(high, places));
}

/*
 * Adds halves to 16-bit sums: those of the first eight bytes of each 128 bits to narrow[0], those
 * of the last eight to narrow[1].
 */
static inline void tg_tables_avx2_join(const struct tg_tables_avx2_halves *halves,
                                       __m256i narrow[2])
{
    const __m256i scale = _mm256_set1_epi16(TG_TABLES_RADIX << 8 | 1);
    const __m256i first = _mm256_unpacklo_epi8(halves->low, halves->high);
    const __m256i last = _mm256_unpackhi_epi8(halves->low, halves->high);

    narrow[0] = _mm256_add_epi16(narrow[0], _mm256_maddubs_epi16(scale, first));
    narrow[1] = _mm256_add_epi16(narrow[1], _mm256_maddubs_epi16(scale, last));
}

/* Adds 16 sums of 16 bits, the first eight to sums[0], the last to sums[1]. */
static inline void tg_tables_avx2_widen(__m256i narrow, __m256i sums[2])
{
    const __m128i last = _mm256_extracti128_si256(narrow, 1);

    sums[0] = _mm256_add_epi32(sums[0], _mm256_cvtepi16_epi32(_mm256_castsi256_si128(narrow)));
    sums[1] = _mm256_add_epi32(sums[1], _mm256_cvtepi16_epi32(last));
}

/*
 * Makes eight results of batch column b from `row` on, or adds to them where they are not the
 * first; only those of rows from row_begin to row_end are touched.
 */
static inline void tg_tables_avx2_store(const struct tg_problem *p, int64_t b, int64_t row,
                                        int is_first, __m256i sums)
{
    const __m256i rows = _mm256_add_epi32(_mm256_set1_epi32((int32_t)row),
                                          _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    const __m256i below = _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)p->row_end), rows);
    const __m256i before = _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)p->row_begin), rows);
    const __m256i mask = _mm256_andnot_si256(before, below);
    int32_t *results = (int32_t *)p->results + b * p->rows + row;

    if (!is_first) sums = _mm256_add_epi32(sums, _mm256_maskload_epi32(results, mask));
    _mm256_maskstore_epi32(results, mask, sums);
}

#endif
#endif
