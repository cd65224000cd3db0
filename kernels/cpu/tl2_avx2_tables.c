/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/cpu/lookups_avx2.h"
#include "kernels/kernel.h"

/*
 * tl2_avx2_tables: tables of sums of tokens, two at a time, as kernels/cpu/lookups_avx2.h says.
 *
 * Limits: cols a multiple of 32.
 */
void tg_kernel_tl2_avx2_tables(const struct tg_problem *p)
{
    const int64_t three_cols = tg_lookups_three_cols(p->cols);
    const int64_t bytes = tg_lookups_bytes_tl2(p->cols);

    assert(p->cols % 32 == 0);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const int8_t *activations = p->activations + r * p->cols;
        uint8_t *tables = (uint8_t *)p->results + r * bytes;
        tg_lookups_avx2_threes(activations, three_cols / 3, tables);
        tg_lookups_avx2_twos(activations + three_cols, (p->cols - three_cols) / 2,
                             tables + three_cols / 3 * TG_LOOKUPS_BYTES);
    }
}
