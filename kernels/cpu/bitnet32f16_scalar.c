/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * bitnet32f16_scalar: ternary product, one weight at a time.
 *
 *   results[b][r] = sum over c of (code[r][c] - 2) * activations[b][c]
 *
 * The plainest loop over the layout: in each block of 32 columns and 10 bytes, field f (bits 1-0
 * for f = 0, then 3-2, 5-4, 7-6) of byte i is the code of column 4 * i + f. The scales, in the last
 * two bytes of blocks, are left out. Limits: cols a multiple of 32 and below 2^24 (int32 sums).
 */

static int32_t row_sum(const uint8_t *blocks, const int8_t *activations, int64_t cols)
{
    int32_t sum = 0;

    for (int64_t c = 0; c < cols; c++) {
        const int code = blocks[c / 32 * 10 + c % 32 / 4] >> 2 * (c % 4) & 3;
        sum += (code - 2) * activations[c];
    }
    return sum;
}

void tg_kernel_bitnet32f16_scalar(const struct tg_problem *p)
{
    int32_t *results = p->results;

    assert(p->cols % 32 == 0 && p->cols < 1 << 24);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t b = 0; b < p->batch; b++) {
        for (int64_t r = p->row_begin; r < p->row_end; r++) {
            results[b * p->rows + r] = row_sum(p->weights + r * (p->cols / 32 * 10),
                                               p->activations + b * p->cols, p->cols);
        }
    }
}
