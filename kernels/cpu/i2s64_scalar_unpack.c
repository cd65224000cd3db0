/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * i2s64_scalar_unpack: codes to weights, one at a time.
 *
 *   results[r][c] = code[r][c] - 1
 *
 * In each group of 64 columns, field f (bits 7-6 for f = 0, then 5-4, 3-2, 1-0) of byte i is the
 * code of column 16 * f + i. Limits: cols a multiple of 64; codes 0..2.
 */

void tg_kernel_i2s64_scalar_unpack(const struct tg_problem *p)
{
    int8_t *results = p->results;

    assert(p->cols % 64 == 0);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const uint8_t *row = p->weights + r * (p->cols / 4);
        for (int64_t c = 0; c < p->cols; c++) {
            const int code = row[c / 64 * 16 + c % 16] >> (6 - 2 * (c % 64 / 16)) & 3;
            results[r * p->cols + c] = (int8_t)(code - 1);
        }
    }
}
