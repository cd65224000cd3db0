/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <float.h>
#include <math.h>

#include "kernels/dense.h"
#include "kernels/op.h"

/*
 * dense_f32, dense_f16, dense_bf16: f32 results[b][r] = sum over c of weight[r][c] *
 * activations[b][c], batch x rows; weights and activations of the type that the name says.
 *
 * What ternary kernels are to be compared with: the same products with weights as numbers. Weights
 * are -1, 0 and 1 where the reference is computed, in float64, whose own error is below 2^-29 of
 * the bound; activations are any. How far off a result may be is derived in dense.h; where a sum is
 * NaN or infinite, the result must be the same.
 */

#define UNIT_ROUNDOFF 0x1p-24

double tg_dense_unit(float value)
{
    int exponent;
    if (value == 0 || !isfinite(value)) return INFINITY;
    int32_t whole = (int32_t)ldexp(frexp(fabs((double)value), &exponent), FLT_MANT_DIG);
    return ldexp(whole & -whole, exponent - FLT_MANT_DIG); /* its lowest bit */
}

double tg_dense_bound(const struct tg_number *number, int64_t n, double magnitudes, double unit)
{
    const double roundings = (number->bytes == 2 ? 3.0 : 1.0) * (double)n + 1;
    const double lost = 2.0 * (double)n * 4 * FLT_MIN;

    if (unit >= FLT_MIN && magnitudes < 0x1p24 * unit) return 0;
    return roundings * UNIT_ROUNDOFF / (1 - roundings * UNIT_ROUNDOFF) * magnitudes + lost;
}

static void reference(const struct tg_number *number, const int8_t *ternary,
                      const struct tg_problem *p, int64_t column)
{
    float *results = (float *)p->results + column * p->rows;

    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        double sum = 0;
        for (int64_t c = 0; c < p->cols; c++)
            sum += (double)ternary[r * p->cols + c] *
                   (double)number->get(p->activations, (size_t)(column * p->cols + c));
        results[r] = (float)sum;
    }
}

/* Weights are at most 1, so the activations alone say how far off any row may be. */
static int64_t differs(const struct tg_number *number, const struct tg_problem *p,
                       const void *wanted, int64_t column)
{
    const float *ours = (const float *)p->results + column * p->rows;
    const float *theirs = (const float *)wanted + column * p->rows;
    double magnitudes = 0, unit = INFINITY;

    for (int64_t c = 0; c < p->cols; c++) {
        const float x = number->get(p->activations, (size_t)(column * p->cols + c));
        magnitudes += fabs((double)x);
        unit = fmin(unit, tg_dense_unit(x));
    }
    const double bound = tg_dense_bound(number, p->cols, magnitudes, unit);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        if (isnan(theirs[r]) ? isnan(ours[r]) : ours[r] == theirs[r]) continue;
        if (!isfinite(theirs[r]) || !(fabs((double)ours[r] - (double)theirs[r]) <= bound)) return r;
    }
    return -1;
}

static int64_t result_bytes(const struct tg_problem *p)
{
    return p->batch * p->rows * (int64_t)sizeof(float);
}

static double weight_bytes(const struct tg_problem *p, int64_t packed_bytes)
{
    return (double)packed_bytes * (double)(p->row_end - p->row_begin) / (double)p->rows;
}

static double operations(const struct tg_problem *p)
{
    return 2.0 * (double)(p->row_end - p->row_begin) * (double)p->cols * (double)p->batch;
}

#define DENSE(number)                                                                              \
    int64_t tg_op_dense_##number##_result_bytes(const struct tg_problem *p)                        \
    {                                                                                              \
        return result_bytes(p);                                                                    \
    }                                                                                              \
    void tg_op_dense_##number##_reference(const int8_t *ternary, const struct tg_problem *p,       \
                                          int64_t column)                                          \
    {                                                                                              \
        reference(&tg_number_##number, ternary, p, column);                                        \
    }                                                                                              \
    int64_t tg_op_dense_##number##_differs(const struct tg_problem *p, const void *wanted,         \
                                           int64_t column)                                         \
    {                                                                                              \
        return differs(&tg_number_##number, p, wanted, column);                                    \
    }                                                                                              \
    int64_t tg_op_dense_##number##_columns(const struct tg_problem *p)                             \
    {                                                                                              \
        return p->batch;                                                                           \
    }                                                                                              \
    double tg_op_dense_##number##_weight_bytes(const struct tg_problem *p, int64_t packed_bytes)   \
    {                                                                                              \
        return weight_bytes(p, packed_bytes);                                                      \
    }                                                                                              \
    double tg_op_dense_##number##_operations(const struct tg_problem *p)                           \
    {                                                                                              \
        return operations(p);                                                                      \
    }

DENSE(f32)
DENSE(f16)
DENSE(bf16)
