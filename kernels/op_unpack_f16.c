/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "kernels/op.h"

/*
 * unpack_f16: f16 results[r][c] = weight[r][c], rows x cols: 0, 1 or -1, which are
 * 0x0000, 0x3c00 and 0xbc00 of IEEE 754 binary16.
 *
 * What a layout costs where dense products take the weights. Scales are left out: a multiplication
 * by a constant would be the same for every kernel. No activations, so one column, 0. Right means
 * equal in every bit; the zero has no sign.
 */

int64_t tg_op_unpack_f16_result_bytes(const struct tg_problem *p)
{
    return p->rows * p->cols * (int64_t)sizeof(uint16_t);
}

void tg_op_unpack_f16_reference(const int8_t *ternary, const struct tg_problem *p, int64_t column)
{
    uint16_t *results = p->results;

    assert(column == 0);
    (void)column;
    for (int64_t i = p->row_begin * p->cols; i < p->row_end * p->cols; i++)
        results[i] = (uint16_t)(ternary[i] == 0 ? 0 : ternary[i] > 0 ? 0x3c00 : 0xbc00);
}

int64_t tg_op_unpack_f16_differs(const struct tg_problem *p, const void *wanted, int64_t column)
{
    const size_t row_bytes = (size_t)p->cols * sizeof(uint16_t);

    assert(column == 0);
    (void)column;
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const uint16_t *ours = (const uint16_t *)p->results + r * p->cols;
        const uint16_t *theirs = (const uint16_t *)wanted + r * p->cols;
        if (memcmp(ours, theirs, row_bytes) != 0) return r;
    }
    return -1;
}

int64_t tg_op_unpack_f16_columns(const struct tg_problem *p)
{
    (void)p;
    return 1;
}

double tg_op_unpack_f16_weight_bytes(const struct tg_problem *p, int64_t packed_bytes)
{
    return (double)packed_bytes * (double)(p->row_end - p->row_begin) / (double)p->rows;
}

double tg_op_unpack_f16_operations(const struct tg_problem *p)
{
    return (double)(p->row_end - p->row_begin) * (double)p->cols;
}
