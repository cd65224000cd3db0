/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "kernels/lookups.h"
#include "kernels/op.h"

/*
 * tables_tl1: tables of sums of a token's activations, as products of the format tl1 look them up;
 * kernels/lookups.h has their layout. Rows are tokens; there is no tolerance.
 */

int64_t tg_op_tables_tl1_result_bytes(const struct tg_problem *p)
{
    return p->rows * tg_lookups_bytes_tl1(p->cols);
}

void tg_op_tables_tl1_reference(const int8_t *ternary, const struct tg_problem *p, int64_t column)
{
    const int64_t bytes = tg_lookups_bytes_tl1(p->cols);

    assert(column == 0 && p->cols % 2 == 0);
    (void)ternary;
    (void)column;
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const int8_t *activations = p->activations + r * p->cols;
        uint8_t *table = (uint8_t *)p->results + r * bytes;
        for (int64_t c = 0; c < p->cols; c += 2, table += TG_LOOKUPS_BYTES)
            tg_lookups_twos(activations + c, table);
    }
}

int64_t tg_op_tables_tl1_differs(const struct tg_problem *p, const void *wanted, int64_t column)
{
    const int64_t bytes = tg_lookups_bytes_tl1(p->cols);

    assert(column == 0);
    (void)column;
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const uint8_t *ours = (const uint8_t *)p->results + r * bytes;
        const uint8_t *theirs = (const uint8_t *)wanted + r * bytes;
        if (memcmp(ours, theirs, (size_t)bytes) != 0) return r;
    }
    return -1;
}

int64_t tg_op_tables_tl1_columns(const struct tg_problem *p)
{
    (void)p;
    return 1;
}

double tg_op_tables_tl1_weight_bytes(const struct tg_problem *p, int64_t packed_bytes)
{
    (void)p;
    (void)packed_bytes;
    return 0;
}

/* An addition for each of nine sums. */
double tg_op_tables_tl1_operations(const struct tg_problem *p)
{
    return 9.0 * (double)(p->row_end - p->row_begin) * (double)(p->cols / 2);
}
