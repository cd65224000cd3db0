/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * i2s64_scalar: ternary product, one weight at a time.
 *
 *   results[b][r] = sum over c of (code[r][c] - 1) * activations[b][c]
 *
 * The plainest loop over the layout: in each group of 64 columns, field f (bits 7-6 for f = 0, then
 * 5-4, 3-2, 1-0) of byte i is the code of column 16 * f + i. Limits: cols a multiple of 64 and
 * below 2^24 (int32 sums).
 */

static int32_t row_sum(const uint8_t *weights, const int8_t *activations, int64_t cols)
{
    int32_t sum = 0;

    for (int64_t group = 0; group < cols / 64; group++) {
        for (int field = 0; field < 4; field++) {
            for (int i = 0; i < 16; i++) {
                const int code = weights[16 * group + i] >> (6 - 2 * field) & 3;
                sum += (code - 1) * activations[64 * group + 16 * field + i];
            }
        }
    }
    return sum;
}

void tg_kernel_i2s64_scalar(const struct tg_problem *p)
{
    int32_t *results = p->results;

    assert(p->cols % 64 == 0 && p->cols < 1 << 24);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t b = 0; b < p->batch; b++) {
        for (int64_t r = p->row_begin; r < p->row_end; r++) {
            results[b * p->rows + r] = row_sum(p->weights + r * (p->cols / 4),
                                               p->activations + b * p->cols, p->cols);
        }
    }
}
