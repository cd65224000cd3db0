/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_LOOKUPS_AVX512VNNI_H
#define TG_KERNELS_LOOKUPS_AVX512VNNI_H

/*
 * Tables of sums (kernels/lookups.h) on AVX-512, four at a time: one in each quarter of a register,
 * as kernels/cpu/lookups_avx2.h does two. Only for kernels that are compiled for it; elsewhere
 * there is nothing here.
 */

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)

#include <immintrin.h>

#include "kernels/cpu/lookups_avx2.h"

static inline __m512i tg_lookups_avx512vnni_weights(const int16_t of[16], int from)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(of + from)));
}

static inline __m512i tg_lookups_avx512vnni_sums(__m512i raised, __m512i weights)
{
    const __m512i extra = _mm512_maddubs_epi16(_mm512_set1_epi8((char)0x80), weights);

    return _mm512_sub_epi16(_mm512_maddubs_epi16(raised, weights), extra);
}

/* Writes four tables, of sums 0..7 and 8..15 in the quarters of two registers. */
static inline void tg_lookups_avx512vnni_store(__m512i first, __m512i last, uint8_t *tables)
{
    const __m512i parted = _mm512_broadcast_i32x4(
        _mm_setr_epi8(1, 3, 5, 7, 9, 11, 13, 15, 0, 2, 4, 6, 8, 10, 12, 14));
    const __m512i near = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
    const __m512i far = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
    const __m512i a = _mm512_shuffle_epi8(first, parted), b = _mm512_shuffle_epi8(last, parted);

    _mm512_storeu_si512(tables, _mm512_permutex2var_epi64(a, near, b));
    _mm512_storeu_si512(tables + 2 * TG_LOOKUPS_BYTES, _mm512_permutex2var_epi64(a, far, b));
}

/* A quarter of places for each table, the first two bytes of it from `step` on. */
static inline __m512i tg_lookups_avx512vnni_places(int step, int first, int second)
{
    const __m512i quarters = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    const __m512i places = _mm512_mullo_epi32(
        quarters, _mm512_set1_epi32(step * 0x01010101)); /* below 16: no byte carries */

    return _mm512_add_epi32(places, _mm512_set1_epi32((first | second << 8) * 0x00010001));
}

/* The tables of so many twos, a multiple of four. */
static inline void tg_lookups_avx512vnni_twos(const int8_t *activations, int64_t twos,
                                              uint8_t *tables)
{
    const __m512i top = _mm512_set1_epi8((char)0x80);
    const __m512i places = tg_lookups_avx512vnni_places(2, 0, 1);
    const __m512i first = tg_lookups_avx512vnni_weights(tg_lookups_of_twos, 0);
    const __m512i last = tg_lookups_avx512vnni_weights(tg_lookups_of_twos, 8);

    for (int64_t i = 0; i < twos; i += 4) {
        const __m128i eight = _mm_loadl_epi64((const __m128i *)(activations + 2 * i));
        const __m512i all = _mm512_xor_si512(_mm512_broadcastq_epi64(eight), top);
        const __m512i raised = _mm512_shuffle_epi8(all, places);
        tg_lookups_avx512vnni_store(tg_lookups_avx512vnni_sums(raised, first),
                                    tg_lookups_avx512vnni_sums(raised, last),
                                    tables + TG_LOOKUPS_BYTES * i);
    }
}

/* The tables of so many threes, a multiple of four; reads no more than these. */
static inline void tg_lookups_avx512vnni_threes(const int8_t *activations, int64_t threes,
                                                uint8_t *tables)
{
    const __m512i top = _mm512_set1_epi8((char)0x80);
    const __m512i pairs = tg_lookups_avx512vnni_places(3, 0, 1);
    const __m512i thirds = tg_lookups_avx512vnni_places(3, 2, 2);
    const __m512i first[2] = {tg_lookups_avx512vnni_weights(tg_lookups_of_threes, 0),
                              tg_lookups_avx512vnni_weights(tg_lookups_of_thirds, 0)};
    const __m512i last[2] = {tg_lookups_avx512vnni_weights(tg_lookups_of_threes, 8),
                             tg_lookups_avx512vnni_weights(tg_lookups_of_thirds, 8)};

    for (int64_t i = 0; i < threes; i += 4) {
        const __m128i twelve = _mm_maskz_loadu_epi32(7, activations + 3 * i);
        const __m512i all = _mm512_xor_si512(_mm512_broadcast_i32x4(twelve), top);
        const __m512i pair = _mm512_shuffle_epi8(all, pairs);
        const __m512i third = _mm512_shuffle_epi8(all, thirds);
        tg_lookups_avx512vnni_store(_mm512_add_epi16(tg_lookups_avx512vnni_sums(pair, first[0]),
                                                     tg_lookups_avx512vnni_sums(third, first[1])),
                                    _mm512_add_epi16(tg_lookups_avx512vnni_sums(pair, last[0]),
                                                     tg_lookups_avx512vnni_sums(third, last[1])),
                                    tables + TG_LOOKUPS_BYTES * i);
    }
}

#endif
#endif
