/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * i2s_scalar_unpack_f16: codes to f16, one at a time.
 *
 *   results[r][c] = code[r][c] - 1
 *
 * In each group of 128 columns, field f (bits 7-6 for f = 0, then 5-4, 3-2, 1-0) of byte i is the
 * code of column 32 * f + i.
 * Limits: cols a multiple of 128; codes 0..2.
 */
void tg_kernel_i2s_scalar_unpack_f16(const struct tg_problem *p)
{
    static const uint16_t numbers[4] = {0xbc00, 0, 0x3c00};
    const int64_t groups_begin = p->row_begin * p->cols / 128;
    const int64_t groups_end = p->row_end * p->cols / 128;
    uint16_t *results = p->results;

    assert(p->cols % 128 == 0);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t group = groups_begin; group < groups_end; group++) {
        for (int field = 0; field < 4; field++) {
            for (int i = 0; i < 32; i++) {
                const int code = p->weights[32 * group + i] >> (6 - 2 * field) & 3;
                results[128 * group + 32 * field + i] = numbers[code];
            }
        }
    }
}
