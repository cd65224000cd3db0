/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * tq2_scalar_unpack: codes to weights, one at a time.
 *
 *   results[r][c] = code[r][c] - 1
 *
 * In each block of 256 columns and 66 bytes, field f (bits 1-0 for f = 0, then 3-2, 5-4, 7-6) of
 * byte 32 * half + i is the code of column 128 * half + 32 * f + i. The scales, in the last two
 * bytes of blocks, are left out. Limits: cols a multiple of 256; codes 0..2.
 */

void tg_kernel_tq2_scalar_unpack(const struct tg_problem *p)
{
    int8_t *results = p->results;

    assert(p->cols % 256 == 0);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const uint8_t *blocks = p->weights + r * (p->cols / 256 * 66);
        for (int64_t c = 0; c < p->cols; c++) {
            const int64_t byte = c / 256 * 66 + c % 256 / 128 * 32 + c % 32;
            const int code = blocks[byte] >> 2 * (c % 128 / 32) & 3;
            results[r * p->cols + c] = (int8_t)(code - 1);
        }
    }
}
