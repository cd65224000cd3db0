/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/fields_neon.h"
#include "kernels/kernel.h"

/*
 * i2s64_neondot: ternary product, 64 weights at a time, by dot products, four codes to a sum.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * As kernels/cpu/fields_neon.h says, with groups of 64 columns.
 *
 * Limits: cols a multiple of 64 and below 2^23 (int32 sums).
 * Source: the layout is bitnet.cpp's, arXiv:2502.11880.
 */

void tg_kernel_i2s64_neondot(const struct tg_problem *p)
{
    tg_fields_neon_multiply(16, p);
}
