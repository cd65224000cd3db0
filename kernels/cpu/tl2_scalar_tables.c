/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"
#include "kernels/lookups.h"

/*
 * tl2_scalar_tables: tables of sums of tokens, as kernels/lookups.h says: the plainest loop.
 *
 * Limits: cols a multiple of 32.
 */
void tg_kernel_tl2_scalar_tables(const struct tg_problem *p)
{
    const int64_t bytes = tg_lookups_bytes_tl2(p->cols);

    assert(p->cols % 32 == 0);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const int8_t *activations = p->activations + r * p->cols;
        uint8_t *table = (uint8_t *)p->results + r * bytes;
        int64_t c = 0;
        for (; c < tg_lookups_three_cols(p->cols); c += 3, table += TG_LOOKUPS_BYTES)
            tg_lookups_threes(activations + c, table);
        for (; c < p->cols; c += 2, table += TG_LOOKUPS_BYTES)
            tg_lookups_twos(activations + c, table);
    }
}
