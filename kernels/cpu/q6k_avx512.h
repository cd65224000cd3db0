/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_Q6K_AVX512_H
#define TG_KERNELS_Q6K_AVX512_H

#include <immintrin.h>
#include <stdint.h>

/*
 * Products of blocks of Q6_K, whose codes go from bytes to lanes by one shuffle within each quarter
 * of a register, not through memory. So of 64 codes, sixteen to a quarter, a register has four of
 * each sixteen:
 *
 *   codes  0..15 | 16..31 | 32..47 | 48..63        ->        0..3 | 16..19 | 32..35 | 48..51
 *                                                            4..7 | 20..23 | 36..39 | 52..55, ...
 *
 * What they are multiplied with must lie in the same order (tg_q6k_turn), and sums come in it.
 */

/* Four registers, of which quarter q of register r becomes quarter r of register q. */
static inline void tg_q6k_turn(const __m512 in[4], __m512 out[4])
{
    const __m512 a = _mm512_shuffle_f32x4(in[0], in[1], 0x44);
    const __m512 b = _mm512_shuffle_f32x4(in[0], in[1], 0xee);
    const __m512 c = _mm512_shuffle_f32x4(in[2], in[3], 0x44);
    const __m512 d = _mm512_shuffle_f32x4(in[2], in[3], 0xee);
    out[0] = _mm512_shuffle_f32x4(a, c, 0x88);
    out[1] = _mm512_shuffle_f32x4(a, c, 0xdd);
    out[2] = _mm512_shuffle_f32x4(b, d, 0x88);
    out[3] = _mm512_shuffle_f32x4(b, d, 0xdd);
}

/* The same of n numbers, a multiple of 64, sixteen to a register. */
static inline void tg_q6k_turn_all(const float *x, int64_t n, float *turned)
{
    for (int64_t i = 0; i < n; i += 64) {
        __m512 in[4], out[4];
        for (int k = 0; k < 4; k++) in[k] = _mm512_loadu_ps(x + i + 16 * k);
        tg_q6k_turn(in, out);
        for (int k = 0; k < 4; k++) _mm512_storeu_ps(turned + i + 16 * k, out[k]);
    }
}

/* Half a block, 128 codes in order, as signed bytes from -32 on: as q6k_avx2.h does it. */
static inline void tg_q6k_codes_avx512(const uint8_t *low, const uint8_t *high, __m512i codes[2])
{
    const __m512i nibble = _mm512_set1_epi8(15), pair = _mm512_set1_epi8(48);
    const __m512i middle = _mm512_set1_epi8(32);
    const __m512i left = _mm512_inserti64x4(_mm512_set1_epi16(4), _mm256_set1_epi16(2), 1);
    const __m512i right = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(2), 1);
    const __m512i n = _mm512_loadu_si512(low);
    const __m256i two = _mm256_loadu_si256((const __m256i *)(const void *)high);
    const __m512i h = _mm512_broadcast_i64x4(two);
    const __m512i lower[2] = {n, _mm512_srli_epi16(n, 4)};
    const __m512i upper[2] = {_mm512_sllv_epi16(h, left), _mm512_srlv_epi16(h, right)};
    for (int i = 0; i < 2; i++) {
        const __m512i nibbles = _mm512_and_si512(lower[i], nibble);
        const __m512i code = _mm512_ternarylogic_epi64(nibbles, upper[i], pair, 0xf8);
        codes[i] = _mm512_sub_epi8(code, middle); /* nibbles | (upper & pair), less 32 */
    }
}

/*
 * Adds the products of a block's 256 numbers with x to four sums, both turned. `scales` are those
 * of each sixteen codes, times 2^-24: a code lies in the highest byte of its lane.
 */
static inline void tg_q6k_add_avx512(const uint8_t *block, __m512 scales, const float *x,
                                     __m512 sums[4])
{
    __m512i codes[4];
    tg_q6k_codes_avx512(block, block + 128, codes);
    tg_q6k_codes_avx512(block + 64, block + 160, codes + 2);
    for (int i = 0; i < 4; i++) {
        const __m512i quarters = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
        const __m512i place = _mm512_add_epi32(quarters, _mm512_set1_epi32(4 * i));
        const __m512 scale = _mm512_permutexvar_ps(place, scales);
        for (int j = 0; j < 4; j++) {
            const __m128i four = _mm_add_epi8(
                _mm_set_epi8(3, -1, -1, -1, 2, -1, -1, -1, 1, -1, -1, -1, 0, -1, -1, -1),
                _mm_set1_epi32(4 * j << 24));
            const __m512i lanes = _mm512_shuffle_epi8(codes[i], _mm512_broadcast_i32x4(four));
            const __m512 number = _mm512_mul_ps(scale, _mm512_cvtepi32_ps(lanes));
            sums[j] = _mm512_add_ps(sums[j],
                                    _mm512_mul_ps(number, _mm512_loadu_ps(x + 64 * i + 16 * j)));
        }
    }
}

#endif
