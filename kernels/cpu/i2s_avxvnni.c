/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "kernels/cpu/fields_avxvnni.h"
#include "kernels/kernel.h"

/*
 * i2s_avxvnni: ternary product, two rows and 128 weights at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * As kernels/cpu/fields_avxvnni.h says: a group of 128 columns is 32 bytes, the first 32 in the
 * highest bits.
 *
 * Limits: cols a multiple of 128 and at most 2^17 (int32 sums).
 * Source: the layout is bitnet.cpp's, arXiv:2502.11880.
 */

void tg_kernel_i2s_avxvnni(const struct tg_problem *p)
{
    const struct tg_fields_avxvnni layout = {.block_bytes = 64};

    tg_fields_avxvnni_multiply(p, p->cols / 4, layout);
}
