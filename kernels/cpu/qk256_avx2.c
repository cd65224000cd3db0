/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/fields_avx2.h"
#include "kernels/kernel.h"

/*
 * qk256_avx2: ternary product, 128 weights at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * As kernels/cpu/fields_avx2.h says. Byte i of 32 bytes of codes has the columns 4i to 4i + 3, the
 * first in the lowest bits, so a field meets every fourth activation: these are put in order once,
 * on the stack, for all rows of the call.
 *
 * Limits: cols a multiple of 256, at most 2^17. 128 KiB of stack.
 * Source: the layout is that of BitNet-rs.
 */

static inline void order(const int8_t *activations, __m256i ordered[4])
{
    const __m256i apart = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m256i pairs = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i x[4];

    for (int i = 0; i < 4; i++) {
        const __m256i from = _mm256_loadu_si256((const __m256i *)(activations + 32 * i));
        x[i] = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(from, apart), pairs);
    }
    /* Field f has eight bytes of each, those at 8f. */
    const __m256i even01 = _mm256_unpacklo_epi64(x[0], x[1]);
    const __m256i even23 = _mm256_unpacklo_epi64(x[2], x[3]);
    const __m256i odd01 = _mm256_unpackhi_epi64(x[0], x[1]);
    const __m256i odd23 = _mm256_unpackhi_epi64(x[2], x[3]);
    ordered[0] = _mm256_permute2x128_si256(even01, even23, 0x20);
    ordered[1] = _mm256_permute2x128_si256(odd01, odd23, 0x20);
    ordered[2] = _mm256_permute2x128_si256(even01, even23, 0x31);
    ordered[3] = _mm256_permute2x128_si256(odd01, odd23, 0x31);
}

static const struct tg_fields_avx2 format = {1, 64};

void tg_kernel_qk256_avx2(const struct tg_problem *p)
{
    _Alignas(32) int8_t ordered[TG_COLUMNS_MOST];
    struct tg_problem some = *p;
    int64_t at_once = TG_FIELDS_AVX2_COLUMNS;

    assert(p->cols % 256 == 0 && p->cols <= TG_COLUMNS_MOST);
    while (at_once * p->cols > TG_COLUMNS_MOST) at_once /= 2;
    some.activations = ordered;
    for (int64_t b = 0; b < p->batch; b += at_once) {
        some.batch = p->batch - b < at_once ? p->batch - b : at_once;
        some.results = (int32_t *)p->results + b * p->rows;
        for (int64_t i = 0; i < some.batch * p->cols; i += 128) {
            order(p->activations + b * p->cols + i, (__m256i *)(ordered + i));
        }
        tg_fields_avx2_multiply(&some, p->cols / 4, format);
    }
}
