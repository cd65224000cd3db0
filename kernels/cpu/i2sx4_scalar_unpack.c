/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * i2sx4_scalar_unpack: codes to weights, one at a time.
 *
 *   results[r][c] = code[r][c] - 1
 *
 * Of the four rows that share bytes, row i has bits 7-6 for i = 0, then 5-4, 3-2, 1-0, and byte c
 * is column c. Limits: codes 0..2.
 */

void tg_kernel_i2sx4_scalar_unpack(const struct tg_problem *p)
{
    int8_t *results = p->results;

    assert(p->cols > 0);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const uint8_t *four = p->weights + r / 4 * p->cols;
        for (int64_t c = 0; c < p->cols; c++) {
            results[r * p->cols + c] = (int8_t)((four[c] >> (6 - 2 * (r % 4)) & 3) - 1);
        }
    }
}
