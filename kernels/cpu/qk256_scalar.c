/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * qk256_scalar: ternary product, one weight at a time.
 *
 *   results[b][r] = sum over c of (code[r][c] - 1) * activations[b][c]
 *
 * The plainest loop over the layout: field f (bits 1-0 for f = 0, then 3-2, 5-4, 7-6) of byte i of
 * a row is the code of column 4 * i + f. Limits: cols a multiple of 256 and below 2^24 (int32
 * sums).
 */

static int32_t row_sum(const uint8_t *weights, const int8_t *activations, int64_t cols)
{
    int32_t sum = 0;

    for (int64_t c = 0; c < cols; c++)
        sum += ((weights[c / 4] >> 2 * (c % 4) & 3) - 1) * activations[c];
    return sum;
}

void tg_kernel_qk256_scalar(const struct tg_problem *p)
{
    int32_t *results = p->results;

    assert(p->cols % 256 == 0 && p->cols < 1 << 24);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t b = 0; b < p->batch; b++) {
        for (int64_t r = p->row_begin; r < p->row_end; r++) {
            results[b * p->rows + r] = row_sum(p->weights + r * (p->cols / 4),
                                               p->activations + b * p->cols, p->cols);
        }
    }
}
