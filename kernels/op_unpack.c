/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "kernels/op.h"

/*
 * unpack: int8 results[r][c] = weight[r][c], rows x cols.
 *
 * What a layout costs to read. It has no activations, so one column, 0; its operations are the one
 * subtraction that turns a code into a weight. Right means equal.
 */

int64_t tg_op_unpack_result_bytes(const struct tg_problem *p)
{
    return p->rows * p->cols;
}

void tg_op_unpack_reference(const int8_t *ternary, const struct tg_problem *p, int64_t column)
{
    const int64_t begin = p->row_begin * p->cols, end = p->row_end * p->cols;

    assert(column == 0);
    (void)column;
    memcpy((int8_t *)p->results + begin, ternary + begin, (size_t)(end - begin));
}

int64_t tg_op_unpack_differs(const struct tg_problem *p, const void *wanted, int64_t column)
{
    assert(column == 0);
    (void)column;
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const int8_t *ours = (const int8_t *)p->results + r * p->cols;
        const int8_t *theirs = (const int8_t *)wanted + r * p->cols;
        if (memcmp(ours, theirs, (size_t)p->cols) != 0) return r;
    }
    return -1;
}

int64_t tg_op_unpack_columns(const struct tg_problem *p)
{
    (void)p;
    return 1;
}

double tg_op_unpack_weight_bytes(const struct tg_problem *p, int64_t packed_bytes)
{
    return (double)packed_bytes * (double)(p->row_end - p->row_begin) / (double)p->rows;
}

double tg_op_unpack_operations(const struct tg_problem *p)
{
    return (double)(p->row_end - p->row_begin) * (double)p->cols;
}
