/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "kernels/op.h"

/*
 * unpack_f32: f32 results[r][c] = weight[r][c], rows x cols: 0, 1 or -1, which are
 * 0x00000000, 0x3f800000 and 0xbf800000.
 *
 * What a layout costs where dense products take the weights. Scales are left out: a multiplication
 * by a constant would be the same for every kernel. No activations, so one column, 0. Right means
 * equal in every bit; the zero has no sign.
 */

int64_t tg_op_unpack_f32_result_bytes(const struct tg_problem *p)
{
    return p->rows * p->cols * (int64_t)sizeof(float);
}

void tg_op_unpack_f32_reference(const int8_t *ternary, const struct tg_problem *p, int64_t column)
{
    float *results = p->results;

    assert(column == 0);
    (void)column;
    for (int64_t i = p->row_begin * p->cols; i < p->row_end * p->cols; i++) results[i] = ternary[i];
}

int64_t tg_op_unpack_f32_differs(const struct tg_problem *p, const void *wanted, int64_t column)
{
    const size_t row_bytes = (size_t)p->cols * sizeof(float);

    assert(column == 0);
    (void)column;
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const float *ours = (const float *)p->results + r * p->cols;
        const float *theirs = (const float *)wanted + r * p->cols;
        if (memcmp(ours, theirs, row_bytes) != 0) return r;
    }
    return -1;
}

int64_t tg_op_unpack_f32_columns(const struct tg_problem *p)
{
    (void)p;
    return 1;
}

double tg_op_unpack_f32_weight_bytes(const struct tg_problem *p, int64_t packed_bytes)
{
    return (double)packed_bytes * (double)(p->row_end - p->row_begin) / (double)p->rows;
}

double tg_op_unpack_f32_operations(const struct tg_problem *p)
{
    return (double)(p->row_end - p->row_begin) * (double)p->cols;
}
