/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * panel_scalar: ternary product, one weight at a time.
 *
 *   results[b][r] = sum over c of (code[r][c] - 1) * activations[b][c]
 *
 * The plainest loop over the layout: row r is lane r % 16 of panel r / 16; in each 64-byte step of
 * 16 columns, field f (bits 1-0 for f = 0, then 3-2, 5-4, 7-6) of byte 4 * lane + i is the code of
 * column 4 * f + i. Limits: cols a multiple of 16 and below 2^24 (int32 sums).
 */

static int32_t lane_sum(const uint8_t *lane, const int8_t *activations, int64_t cols)
{
    int32_t sum = 0;

    for (int64_t step = 0; step < cols / 16; step++) {
        for (int field = 0; field < 4; field++) {
            for (int i = 0; i < 4; i++) {
                const int code = lane[64 * step + i] >> 2 * field & 3;
                sum += (code - 1) * activations[16 * step + 4 * field + i];
            }
        }
    }
    return sum;
}

void tg_kernel_panel_scalar(const struct tg_problem *p)
{
    int32_t *results = p->results;

    assert(p->cols % 16 == 0 && p->cols < 1 << 24);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t b = 0; b < p->batch; b++) {
        for (int64_t r = p->row_begin; r < p->row_end; r++) {
            const uint8_t *lane = p->weights + r / 16 * (4 * p->cols) + r % 16 * 4;
            results[b * p->rows + r] = lane_sum(lane, p->activations + b * p->cols, p->cols);
        }
    }
}
