/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/op.h"

/*
 * product: int32 results[b][r] = sum over c of weight[r][c] * activations[b][c], batch x rows.
 *
 * The integer core of a layer of BitNet b1.58, without its scales. It has no bound, only equality:
 * a sum of cols products of at most 127 is an exact int32 for any cols below 2^24.
 */

int64_t tg_op_product_result_bytes(const struct tg_problem *p)
{
    return p->batch * p->rows * (int64_t)sizeof(int32_t);
}

void tg_op_product_reference(const int8_t *ternary, const struct tg_problem *p, int64_t column)
{
    const int8_t *activations = p->activations + column * p->cols;
    int32_t *results = (int32_t *)p->results + column * p->rows;

    assert(p->cols < 1 << 24);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const int8_t *weights = ternary + r * p->cols;
        int32_t sum = 0;
        for (int64_t c = 0; c < p->cols; c++) sum += weights[c] * activations[c];
        results[r] = sum;
    }
}

int64_t tg_op_product_differs(const struct tg_problem *p, const void *wanted, int64_t column)
{
    const int32_t *ours = (const int32_t *)p->results + column * p->rows;
    const int32_t *theirs = (const int32_t *)wanted + column * p->rows;

    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        if (ours[r] != theirs[r]) return r;
    }
    return -1;
}

int64_t tg_op_product_columns(const struct tg_problem *p)
{
    return p->batch;
}

double tg_op_product_weight_bytes(const struct tg_problem *p, int64_t packed_bytes)
{
    return (double)packed_bytes * (double)(p->row_end - p->row_begin) / (double)p->rows;
}

double tg_op_product_operations(const struct tg_problem *p)
{
    return 2.0 * (double)(p->row_end - p->row_begin) * (double)p->cols * (double)p->batch;
}
