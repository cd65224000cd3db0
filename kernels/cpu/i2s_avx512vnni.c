/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/fields_avx512vnni.h"
#include "kernels/kernel.h"

/*
 * i2s_avx512vnni: ternary product without a shift, four rows at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * As kernels/cpu/fields_avx512vnni.h says. 64 bytes of codes are two groups of 128 columns:
 *
 *   codes          bytes 0..31          bytes 32..63
 *   & 11000000     columns   0.. 31     columns 128..159
 *   & 00110000     columns  32.. 63     columns 160..191
 *   & 00001100     columns  64.. 95     columns 192..223
 *   & 00000011     columns  96..127     columns 224..255
 *
 * Limits: cols a multiple of 128, at most 2^17. 128 KiB of stack.
 * Source: the layout is bitnet.cpp's, arXiv:2502.11880.
 */

static inline void order(const int8_t *activations, int64_t cols, __m512i ordered[TG_FIELDS])
{
    const __m256i *from = (const __m256i *)activations;

    for (int f = 0; f < TG_FIELDS; f++) {
        const __m512i first = _mm512_castsi256_si512(_mm256_loadu_si256(from + f));
        const __m256i second = cols >= TG_FIELDS_BLOCK_COLS ? _mm256_loadu_si256(from + 4 + f)
                                                            : _mm256_setzero_si256();
        ordered[f] = _mm512_inserti64x4(first, second, 1);
    }
}

void tg_kernel_i2s_avx512vnni(const struct tg_problem *p)
{
    assert(p->cols % 128 == 0);
    tg_fields_avx512vnni_multiply(p, 64, p->cols / 4, order);
}
