/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/fields_neon.h"
#include "kernels/kernel.h"

/*
 * i2s64_neon: ternary product, 64 weights at a time, multiplied to 16 bits and widened before they
 * overflow.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * As kernels/cpu/fields_neon.h says, with groups of 64 columns.
 *
 * Limits: cols a multiple of 64 and below 2^23 (int32 sums).
 * Source: the layout is bitnet.cpp's, arXiv:2502.11880.
 */

void tg_kernel_i2s64_neon(const struct tg_problem *p)
{
    tg_fields_neon_multiply(16, p);
}
