/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>

#include "kernels/cpu/fields_avx2.h"
#include "kernels/kernel.h"

/*
 * i2s_avx2: ternary product, 128 weights at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * As kernels/cpu/fields_avx2.h says: 32 bytes are a group of 128 columns, the first 32 in the
 * highest bits.
 *
 * Limits: cols a multiple of 128 and below 2^23 (int32 sums).
 * Source: bitnet.cpp, arXiv:2502.11880 (the layout and the idea).
 */

static const struct tg_fields_avx2 format = {0, 64};

void tg_kernel_i2s_avx2(const struct tg_problem *p)
{
    assert(p->cols % 128 == 0);
    tg_fields_avx2_multiply(p, p->cols / 4, format);
}
