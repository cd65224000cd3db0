/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * bitnet32f16_scalar_unpack: codes to weights, one at a time.
 *
 *   results[r][c] = code[r][c] - 2
 *
 * In each block of 32 columns and 10 bytes, field f (bits 1-0 for f = 0, then 3-2, 5-4, 7-6) of
 * byte i is the code of column 4 * i + f. The scales, in the last two bytes of blocks, are left
 * out. Limits: cols a multiple of 32; codes 1..3.
 */

void tg_kernel_bitnet32f16_scalar_unpack(const struct tg_problem *p)
{
    int8_t *results = p->results;

    assert(p->cols % 32 == 0);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const uint8_t *blocks = p->weights + r * (p->cols / 32 * 10);
        for (int64_t c = 0; c < p->cols; c++) {
            const int code = blocks[c / 32 * 10 + c % 32 / 4] >> 2 * (c % 4) & 3;
            results[r * p->cols + c] = (int8_t)(code - 2);
        }
    }
}
