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

#endif
#endif
