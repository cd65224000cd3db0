/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "kernels/lookups.h"
#include "kernels/op.h"

/*
 * tables_tl2: tables of sums of a token's activations, as products of the format tl2 look them up;
 * kernels/lookups.h has their layout. Rows are tokens; there is no tolerance.
 */

int64_t tg_op_tables_tl2_result_bytes(const struct tg_problem *p)
{
    return p->rows * tg_lookups_bytes_tl2(p->cols);
}

void tg_op_tables_tl2_reference(const int8_t *ternary, const struct tg_problem *p, int64_t column)
{
    const int64_t bytes = tg_lookups_bytes_tl2(p->cols);

    assert(column == 0 && p->cols % 32 == 0);
    (void)ternary;
    (void)column;
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

int64_t tg_op_tables_tl2_differs(const struct tg_problem *p, const void *wanted, int64_t column)
{
    const int64_t bytes = tg_lookups_bytes_tl2(p->cols);

    assert(column == 0);
    (void)column;
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const uint8_t *ours = (const uint8_t *)p->results + r * bytes;
        const uint8_t *theirs = (const uint8_t *)wanted + r * bytes;
        if (memcmp(ours, theirs, (size_t)bytes) != 0) return r;
    }
    return -1;
}

int64_t tg_op_tables_tl2_columns(const struct tg_problem *p)
{
    (void)p;
    return 1;
}

double tg_op_tables_tl2_weight_bytes(const struct tg_problem *p, int64_t packed_bytes)
{
    (void)p;
    (void)packed_bytes;
    return 0;
}

/* Two additions for each of 14 sums of threes, one for each of nine of twos. */
double tg_op_tables_tl2_operations(const struct tg_problem *p)
{
    const int64_t three_cols = tg_lookups_three_cols(p->cols);
    const int64_t a_token = 28 * (three_cols / 3) + 9 * ((p->cols - three_cols) / 2);

    return (double)(p->row_end - p->row_begin) * (double)a_token;
}
