/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/fields_avx2.h"
#include "kernels/kernel.h"

/*
 * tq2_avx2: ternary product, 128 weights at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * As kernels/cpu/fields_avx2.h says: a block of 256 columns is twice 32 bytes of codes, the first
 * 32 columns of each in the lowest bits, and a scale that is not loaded.
 *
 * Limits: cols a multiple of 256 and below 2^23 (int32 sums).
 * Source: the layout is ggml's.
 */

enum { BLOCK_COLS = 256, BLOCK_BYTES = 66 };

static const struct tg_fields_avx2 format = {1, BLOCK_BYTES};

void tg_kernel_tq2_avx2(const struct tg_problem *p)
{
    assert(p->cols % BLOCK_COLS == 0);
    tg_fields_avx2_multiply(p, p->cols / BLOCK_COLS * BLOCK_BYTES, format);
}
