/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * tq2_scalar: ternary product, one weight at a time.
 *
 *   results[b][r] = sum over c of (code[r][c] - 1) * activations[b][c]
 *
 * The plainest loop over the layout: in each block of 256 columns and 66 bytes, field f (bits 1-0
 * for f = 0, then 3-2, 5-4, 7-6) of byte 32 * half + i is the code of column 128 * half + 32 * f +
 * i. The scales, in the last two bytes of blocks, are left out.
 * Limits: cols a multiple of 256 and below 2^24 (int32 sums).
 */

static int32_t block_sum(const uint8_t *block, const int8_t *activations)
{
    int32_t sum = 0;

    for (int half = 0; half < 2; half++) {
        for (int field = 0; field < 4; field++) {
            for (int i = 0; i < 32; i++) {
                const int code = block[32 * half + i] >> 2 * field & 3;
                sum += (code - 1) * activations[128 * half + 32 * field + i];
            }
        }
    }
    return sum;
}

static int32_t row_sum(const uint8_t *blocks, const int8_t *activations, int64_t cols)
{
    int32_t sum = 0;

    for (int64_t i = 0; i < cols / 256; i++)
        sum += block_sum(blocks + 66 * i, activations + 256 * i);
    return sum;
}

void tg_kernel_tq2_scalar(const struct tg_problem *p)
{
    int32_t *results = p->results;

    assert(p->cols % 256 == 0 && p->cols < 1 << 24);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t b = 0; b < p->batch; b++) {
        for (int64_t r = p->row_begin; r < p->row_end; r++) {
            results[b * p->rows + r] = row_sum(p->weights + r * (p->cols / 256 * 66),
                                               p->activations + b * p->cols, p->cols);
        }
    }
}
