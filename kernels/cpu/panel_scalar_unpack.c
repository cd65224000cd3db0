/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * panel_scalar_unpack: codes to weights, one at a time.
 *
 *   results[r][c] = code[r][c] - 1
 *
 * Row r is lane r % 16 of panel r / 16; in each 64-byte step of 16 columns, field f (bits 1-0 for
 * f = 0, then 3-2, 5-4, 7-6) of byte 4 * lane + i is the code of column 4 * f + i.
 * Limits: cols a multiple of 16; codes 0..2.
 */
void tg_kernel_panel_scalar_unpack(const struct tg_problem *p)
{
    int8_t *results = p->results;

    assert(p->cols % 16 == 0);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const uint8_t *lane = p->weights + r / 16 * (4 * p->cols) + r % 16 * 4;
        for (int64_t c = 0; c < p->cols; c++) {
            const int code = lane[c / 16 * 64 + c % 4] >> c % 16 / 4 * 2 & 3;
            results[r * p->cols + c] = (int8_t)(code - 1);
        }
    }
}
