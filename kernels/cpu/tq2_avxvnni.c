/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "kernels/cpu/fields_avxvnni.h"
#include "kernels/kernel.h"

/*
 * tq2_avxvnni: ternary product, two rows and 128 weights at a time.
 *
 *   results[b][r] = sum over c of code[r][c] * activations[b][c] - sum over c of activations[b][c]
 *
 * As kernels/cpu/fields_avxvnni.h says: a block of 256 columns is twice 32 bytes of codes, the
 * first 32 columns of each in the lowest bits, and a scale that is not loaded.
 *
 * Limits: cols a multiple of 256 and at most 2^17 (int32 sums).
 * Source: the layout is ggml's.
 */

enum { BLOCK_COLS = 256, BLOCK_BYTES = 66 };

void tg_kernel_tq2_avxvnni(const struct tg_problem *p)
{
    const struct tg_fields_avxvnni layout = {.block_bytes = BLOCK_BYTES, .is_low_first = 1};

    assert(p->cols % BLOCK_COLS == 0);
    tg_fields_avxvnni_multiply(p, p->cols / BLOCK_COLS * BLOCK_BYTES, layout);
}
