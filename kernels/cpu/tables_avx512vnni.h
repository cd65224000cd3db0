/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_TABLES_AVX512VNNI_H
#define TG_KERNELS_TABLES_AVX512VNNI_H

/*
 * What kernels with tables of sums (kernels/cpu/tables_avx2.h) share on AVX-512: how looked up
 * halves are joined, and how the indices of twos are cut into codes for batches. Only for kernels
 * that are compiled for it; elsewhere there is nothing here.
 */

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)

#include <immintrin.h>

#include "kernels/cpu/tables_avx2.h"

/* The low and the high halves of sums, of one row a byte; at most TG_TABLES_SUMS were added. */
struct tg_tables_halves {
    __m512i low, high;
};

/*
 * Adds halves to 16-bit sums: those of the first eight bytes of each 128 bits to narrow[0], those
 * of the last eight to narrow[1].
 */
static inline void tg_tables_avx512vnni_join(const struct tg_tables_halves *halves,
                                             __m512i narrow[2])
{
    const __m512i scale = _mm512_set1_epi16(TG_TABLES_RADIX << 8 | 1);
    const __m512i first = _mm512_unpacklo_epi8(halves->low, halves->high);
    const __m512i last = _mm512_unpackhi_epi8(halves->low, halves->high);

    narrow[0] = _mm512_add_epi16(narrow[0], _mm512_maddubs_epi16(scale, first));
    narrow[1] = _mm512_add_epi16(narrow[1], _mm512_maddubs_epi16(scale, last));
}

/* Four codes of one byte (the weight plus one) in each lane, of 16 bytes of two indices of twos. */
static inline __m512i tg_tables_avx512vnni_codes(__m128i bytes)
{
    const __m512i two = _mm512_setr_epi32(0x000, 0x100, 0x200, 0x001, 0x101, 0x201, 0x002, 0x102,
                                          0x202, 0, 0, 0, 0, 0, 0, 0);
    const __m512i lanes = _mm512_cvtepu8_epi32(bytes);
    const __m512i first = _mm512_permutexvar_epi32(_mm512_srli_epi32(lanes, 4), two);
    const __m512i last = _mm512_permutexvar_epi32(lanes, two);

    return _mm512_or_si512(first, _mm512_slli_epi32(last, 16));
}

#endif
#endif
