/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * qk256_scalar_unpack: codes to weights, one at a time.
 *
 *   results[r][c] = code[r][c] - 1
 *
 * Field f (bits 1-0 for f = 0, then 3-2, 5-4, 7-6) of byte i of a row is the code of column 4 * i +
 * f. Limits: cols a multiple of 256; codes 0..2.
 */

void tg_kernel_qk256_scalar_unpack(const struct tg_problem *p)
{
    int8_t *results = p->results;

    assert(p->cols % 256 == 0);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const uint8_t *row = p->weights + r * (p->cols / 4);
        for (int64_t c = 0; c < p->cols; c++)
            results[r * p->cols + c] = (int8_t)((row[c / 4] >> 2 * (c % 4) & 3) - 1);
    }
}
