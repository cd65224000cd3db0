/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_Q6K_AVX2_H
#define TG_KERNELS_Q6K_AVX2_H

#include <immintrin.h>
#include <stdint.h>

/*
 * Half a block of Q6_K, 128 codes of six bits in order, as signed bytes from -32 on: of `low`, 64
 * bytes, the nibbles, and of `high`, 32 bytes, two bits of each. What kernels/lanes.h does one by
 * one.
 */
static inline void tg_q6k_codes_avx2(const uint8_t *low, const uint8_t *high, int8_t *codes)
{
    const __m256i nibble = _mm256_set1_epi8(15), pair = _mm256_set1_epi8(48);
    const __m256i middle = _mm256_set1_epi8(32);
    const __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)low);
    const __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(low + 32));
    const __m256i h = _mm256_loadu_si256((const __m256i *)(const void *)high);
    const __m256i lower[4] = {a, b, _mm256_srli_epi16(a, 4), _mm256_srli_epi16(b, 4)};
    const __m256i upper[4] = {_mm256_slli_epi16(h, 4), _mm256_slli_epi16(h, 2), h,
                              _mm256_srli_epi16(h, 2)};
    for (int q = 0; q < 4; q++) {
        const __m256i code = _mm256_or_si256(_mm256_and_si256(lower[q], nibble),
                                             _mm256_and_si256(upper[q], pair));
        _mm256_storeu_si256((__m256i *)(void *)(codes + 32 * q), _mm256_sub_epi8(code, middle));
    }
}

#endif
