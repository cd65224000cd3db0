/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/cpu/lookups_avx512vnni.h"
#include "kernels/kernel.h"

/*
 * tl1_avx512vnni_tables: tables of sums of tokens, four at a time, as
 * kernels/cpu/lookups_avx512vnni.h says.
 *
 * Limits: cols a multiple of 8.
 */
void tg_kernel_tl1_avx512vnni_tables(const struct tg_problem *p)
{
    const int64_t bytes = tg_lookups_bytes_tl1(p->cols);

    assert(p->cols % 8 == 0);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const int8_t *activations = p->activations + r * p->cols;
        uint8_t *tables = (uint8_t *)p->results + r * bytes;
        tg_lookups_avx512vnni_twos(activations, p->cols / 2, tables);
    }
}
