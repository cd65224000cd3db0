/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/fields_avx512vnni.h"
#include "kernels/kernel.h"

/*
 * tq2_avx512vnni: ternary product without a shift, four rows at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * As kernels/cpu/fields_avx512vnni.h says. The codes of a block of 256 columns are the first 64 of
 * its 66 bytes; the scale behind them is never loaded. Blocks of 66 bytes make most loads cross a
 * cache line.
 *
 *   codes          bytes 0..31          bytes 32..63
 *   & 11000000     columns  96..127     columns 224..255
 *   & 00110000     columns  64.. 95     columns 192..223
 *   & 00001100     columns  32.. 63     columns 160..191
 *   & 00000011     columns   0.. 31     columns 128..159
 *
 * Limits: cols a multiple of 256, at most 2^17. 128 KiB of stack.
 * Source: the layout is ggml's.
 */

enum { BLOCK_BYTES = 66 };

static inline void order(const int8_t *activations, int64_t cols, __m512i ordered[TG_FIELDS])
{
    const __m256i *from = (const __m256i *)activations;

    (void)cols;
    for (int f = 0; f < TG_FIELDS; f++) {
        const __m512i first = _mm512_castsi256_si512(_mm256_loadu_si256(from + 3 - f));
        ordered[f] = _mm512_inserti64x4(first, _mm256_loadu_si256(from + 7 - f), 1);
    }
}

void tg_kernel_tq2_avx512vnni(const struct tg_problem *p)
{
    assert(p->cols % TG_FIELDS_BLOCK_COLS == 0);
    tg_fields_avx512vnni_multiply(p, BLOCK_BYTES, p->cols / TG_FIELDS_BLOCK_COLS * BLOCK_BYTES,
                                  order);
}
