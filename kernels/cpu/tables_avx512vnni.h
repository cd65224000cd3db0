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

/* The codes of three weights in three bytes, v being 9, 3 and 1 times them. */
#define TG_TABLES_CODES(v) ((13 + (v)) / 9 | (13 + (v)) / 3 % 3 << 8 | (13 + (v)) % 3 << 16)

#ifdef __AVX512VBMI__

/*
 * Lines of 64 bytes of threes, two at a time: the low halves of the sums of each index, these with
 * the other sign, and the high halves likewise. dpbusd sums activations that are raised by 128, one
 * index a lane; what that adds is taken away before. Each 128 bits get four sums of the first
 * line, and of the second, and then their halves. `raised` has a byte behind the last.
 */
static inline void tg_tables_avx512vbmi_lines(const int8_t *raised, int64_t cols, int8_t *lines)
{
    const __m512i zero = _mm512_setzero_si512();
    const __m512i codes = _mm512_setr_epi32(
        TG_TABLES_CODES(0), TG_TABLES_CODES(1), TG_TABLES_CODES(2), TG_TABLES_CODES(3),
        TG_TABLES_CODES(4), TG_TABLES_CODES(5), TG_TABLES_CODES(6), TG_TABLES_CODES(7),
        TG_TABLES_CODES(8), TG_TABLES_CODES(9), TG_TABLES_CODES(10), TG_TABLES_CODES(11),
        TG_TABLES_CODES(12), TG_TABLES_CODES(13), TG_TABLES_CODES(0), TG_TABLES_CODES(0));
    const __m512i weights = _mm512_sub_epi8(codes, _mm512_set1_epi32(TG_TABLES_CODES(0)));
    const __m512i before = _mm512_sub_epi32(
        zero, _mm512_dpbusd_epi32(zero, _mm512_set1_epi8(-128), weights));
    const __m512i fours = _mm512_broadcast_i32x4(
        _mm_setr_epi32(0x03020100, 0x13121110, 0x23222120, 0x33323130));
    const __m512i first = _mm512_mask_add_epi8(fours, ~0ull << 32, fours, _mm512_set1_epi8(8));
    const __m512i of_line[2] = {first, _mm512_add_epi8(first, _mm512_set1_epi8(4))};

    for (int64_t c = 0; c < cols; c += 6) {
        int32_t three[2];
        memcpy(&three[0], raised + c, sizeof three[0]);
        memcpy(&three[1], raised + c + 3, sizeof three[1]);
        const __m512i sums = _mm512_packs_epi32(
            _mm512_dpbusd_epi32(before, _mm512_set1_epi32(three[0]), weights),
            _mm512_dpbusd_epi32(before, _mm512_set1_epi32(three[1]), weights));
        const __m512i high = _mm512_mulhrs_epi16(sums, _mm512_set1_epi16(TG_TABLES_INVERSE));
        const __m512i times = _mm512_mullo_epi16(high, _mm512_set1_epi16(TG_TABLES_RADIX));
        const __m512i halves = _mm512_packs_epi16(_mm512_sub_epi16(sums, times), high);
        for (int i = 0; i < 2; i++) {
            const __m512i line = _mm512_permutexvar_epi8(of_line[i], halves);
            _mm512_store_si512(lines + 64 * i,
                               _mm512_mask_sub_epi8(line, 0xffff0000ffff0000u, zero, line));
        }
        lines += 128;
    }
}

#endif

#endif
#endif
