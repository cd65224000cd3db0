/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * i2sx4_scalar: ternary product, one weight at a time.
 *
 *   results[b][r] = sum over c of (code[r][c] - 1) * activations[b][c]
 *
 * The plainest loop over the layout: of the four rows that share bytes, row i has bits 7-6 for
 * i = 0, then 5-4, 3-2, 1-0, and byte c is column c. Limits: cols below 2^24 (int32 sums).
 */

static int32_t row_sum(const uint8_t *weights, int shift, const int8_t *activations, int64_t cols)
{
    int32_t sum = 0;

    for (int64_t c = 0; c < cols; c++) sum += ((weights[c] >> shift & 3) - 1) * activations[c];
    return sum;
}

void tg_kernel_i2sx4_scalar(const struct tg_problem *p)
{
    int32_t *results = p->results;

    assert(p->cols < 1 << 24);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t b = 0; b < p->batch; b++) {
        for (int64_t r = p->row_begin; r < p->row_end; r++) {
            results[b * p->rows + r] = row_sum(p->weights + r / 4 * p->cols, 6 - 2 * (int)(r % 4),
                                               p->activations + b * p->cols, p->cols);
        }
    }
}
