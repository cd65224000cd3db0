/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_LOOKUPS_AVX2_H
#define TG_KERNELS_LOOKUPS_AVX2_H

/*
 * Tables of sums (kernels/lookups.h) on AVX2, two at a time: one in each half of a register.
 *
 * maddubs multiplies unsigned bytes with signed ones. The unsigned are activations plus 128, given
 * to all 16-bit lanes of a half; the signed are the weights that the lane's index stands for. What
 * the 128 adds is the same for all activations, and taken away. Lanes 0 to 7 and 8 to 15 of a table
 * are two registers; a shuffle parts lower from upper bytes, and unpacking joins the two.
 *
 * Limits: activations -128..127. Only for kernels that are compiled for AVX2; elsewhere there is
 * nothing here.
 * Source: the tables are those of bitnet.cpp, arXiv:2502.11880; the rest is ours.
 */

#ifdef __AVX2__

#include <immintrin.h>
#include <string.h>

#include "kernels/lookups.h"

/* Weights of 16-bit lanes, the second in the upper byte; those of one index each. */
#define TG_LOOKUPS_PAIR(first, second) (int16_t)((second)*256 + ((first)&255))

/* Pairs of weights of the indices 0..7 and 8..15 of twos; of threes the first two; the third. */
static const int16_t tg_lookups_of_twos[16] = {
    TG_LOOKUPS_PAIR(-1, -1), TG_LOOKUPS_PAIR(-1, 0), TG_LOOKUPS_PAIR(-1, 1),
    TG_LOOKUPS_PAIR(0, -1),  TG_LOOKUPS_PAIR(0, 0),  TG_LOOKUPS_PAIR(0, 1),
    TG_LOOKUPS_PAIR(1, -1),  TG_LOOKUPS_PAIR(1, 0),  TG_LOOKUPS_PAIR(1, 1)};
static const int16_t tg_lookups_of_threes[16] = {
    TG_LOOKUPS_PAIR(0, 0), TG_LOOKUPS_PAIR(0, 0),  TG_LOOKUPS_PAIR(0, 1),  TG_LOOKUPS_PAIR(0, 1),
    TG_LOOKUPS_PAIR(0, 1), TG_LOOKUPS_PAIR(1, -1), TG_LOOKUPS_PAIR(1, -1), TG_LOOKUPS_PAIR(1, -1),
    TG_LOOKUPS_PAIR(1, 0), TG_LOOKUPS_PAIR(1, 0),  TG_LOOKUPS_PAIR(1, 0),  TG_LOOKUPS_PAIR(1, 1),
    TG_LOOKUPS_PAIR(1, 1), TG_LOOKUPS_PAIR(1, 1)};
static const int16_t tg_lookups_of_thirds[16] = {
    TG_LOOKUPS_PAIR(0, 0),  TG_LOOKUPS_PAIR(1, 0),  TG_LOOKUPS_PAIR(-1, 0), TG_LOOKUPS_PAIR(0, 0),
    TG_LOOKUPS_PAIR(1, 0),  TG_LOOKUPS_PAIR(-1, 0), TG_LOOKUPS_PAIR(0, 0),  TG_LOOKUPS_PAIR(1, 0),
    TG_LOOKUPS_PAIR(-1, 0), TG_LOOKUPS_PAIR(0, 0),  TG_LOOKUPS_PAIR(1, 0),  TG_LOOKUPS_PAIR(-1, 0),
    TG_LOOKUPS_PAIR(0, 0),  TG_LOOKUPS_PAIR(1, 0)};

/* The weights of eight indices from `from` on, in both halves. */
static inline __m256i tg_lookups_avx2_weights(const int16_t of[16], int from)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(of + from)));
}

/* The products of activations plus 128, in the lanes of their table, less what the 128 adds. */
static inline __m256i tg_lookups_avx2_sums(__m256i raised, __m256i weights)
{
    const __m256i extra = _mm256_maddubs_epi16(_mm256_set1_epi8((char)0x80), weights);

    return _mm256_sub_epi16(_mm256_maddubs_epi16(raised, weights), extra);
}

/* Writes two tables, of sums 0..7 and 8..15 in the halves of two registers. */
static inline void tg_lookups_avx2_store(__m256i first, __m256i last, uint8_t *tables)
{
    const __m256i parted = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(1, 3, 5, 7, 9, 11, 13, 15, 0, 2, 4, 6, 8, 10, 12, 14));
    const __m256i a = _mm256_shuffle_epi8(first, parted), b = _mm256_shuffle_epi8(last, parted);
    const __m256i upper = _mm256_unpacklo_epi64(a, b), lower = _mm256_unpackhi_epi64(a, b);

    _mm256_storeu_si256((__m256i *)tables, _mm256_permute2x128_si256(upper, lower, 0x20));
    _mm256_storeu_si256((__m256i *)(tables + TG_LOOKUPS_BYTES),
                        _mm256_permute2x128_si256(upper, lower, 0x31));
}

/* The tables of so many twos, an even number. */
static inline void tg_lookups_avx2_twos(const int8_t *activations, int64_t twos, uint8_t *tables)
{
    const __m256i places = _mm256_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2,
                                            3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3);
    const __m256i first = tg_lookups_avx2_weights(tg_lookups_of_twos, 0);
    const __m256i last = tg_lookups_avx2_weights(tg_lookups_of_twos, 8);

    for (int64_t i = 0; i < twos; i += 2) {
        uint32_t four;
        memcpy(&four, activations + 2 * i, sizeof four);
        const __m256i raised = _mm256_shuffle_epi8(_mm256_set1_epi32((int)(four ^ 0x80808080u)),
                                                   places);
        tg_lookups_avx2_store(tg_lookups_avx2_sums(raised, first),
                              tg_lookups_avx2_sums(raised, last), tables + TG_LOOKUPS_BYTES * i);
    }
}

/* The tables of so many threes, an even number; reads no more than these. */
static inline void tg_lookups_avx2_threes(const int8_t *activations, int64_t threes,
                                          uint8_t *tables)
{
    const __m256i pairs = _mm256_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 3, 4, 3,
                                           4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4);
    const __m256i thirds = _mm256_setr_epi8(2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 5, 5, 5,
                                            5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5);
    const __m256i first[2] = {tg_lookups_avx2_weights(tg_lookups_of_threes, 0),
                              tg_lookups_avx2_weights(tg_lookups_of_thirds, 0)};
    const __m256i last[2] = {tg_lookups_avx2_weights(tg_lookups_of_threes, 8),
                             tg_lookups_avx2_weights(tg_lookups_of_thirds, 8)};

    for (int64_t i = 0; i < threes; i += 2) {
        uint32_t four;
        uint16_t two;
        memcpy(&four, activations + 3 * i, sizeof four);
        memcpy(&two, activations + 3 * i + 4, sizeof two);
        const uint64_t six = (four | (uint64_t)two << 32) ^ 0x808080808080u;
        const __m256i all = _mm256_set1_epi64x((long long)six);
        const __m256i pair = _mm256_shuffle_epi8(all, pairs);
        const __m256i third = _mm256_shuffle_epi8(all, thirds);
        tg_lookups_avx2_store(_mm256_add_epi16(tg_lookups_avx2_sums(pair, first[0]),
                                               tg_lookups_avx2_sums(third, first[1])),
                              _mm256_add_epi16(tg_lookups_avx2_sums(pair, last[0]),
                                               tg_lookups_avx2_sums(third, last[1])),
                              tables + TG_LOOKUPS_BYTES * i);
    }
}

#endif
#endif
