/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/accuracy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fill.h"
#include "worker/probe/device.h"

#define ROWS_MOST 128
#define SEED      42

static size_t padded(int64_t bytes)
{
    return ((size_t)bytes + 63) / 64 * 64;
}

/* Rounds one column to int8 and returns the factor it was multiplied with. */
static double quantise(const float *x, int64_t cols, int8_t *q)
{
    double most = 1e-5;
    for (int64_t c = 0; c < cols; c++) most = fmax(most, fabs((double)x[c]));
    double factor = 127 / most;
    for (int64_t c = 0; c < cols; c++) q[c] = (int8_t)nearbyint((double)x[c] * factor);
    return factor;
}

/* The cosine between the kernel's results and float64 ones, all columns and rows as one vector. */
static double cosine(const int8_t *ternary, const float *x, const double *factors,
                     const struct tg_problem *p)
{
    const int32_t *results = p->results;
    double yy = 0, zz = 0, yz = 0;
    for (int64_t b = 0; b < p->batch; b++) {
        for (int64_t r = 0; r < p->rows; r++) {
            double y = 0, z = (double)results[b * p->rows + r] / factors[b];
            for (int64_t c = 0; c < p->cols; c++)
                y += ternary[r * p->cols + c] * (double)x[b * p->cols + c];
            yy += y * y;
            zz += z * z;
            yz += y * z;
        }
    }
    return yy > 0 && zz > 0 ? yz / sqrt(yy * zz) : 0;
}

int tg_accuracy_product(const struct tg_kernel *kernel, const struct tg_problem *like,
                        double *accuracy, struct tg_error *err)
{
    struct tg_problem p = *like;
    p.rows = p.rows < ROWS_MOST ? p.rows : ROWS_MOST;
    p.row_begin = 0;
    p.row_end = p.rows;
    size_t weights = (size_t)(p.rows * p.cols), inputs = (size_t)(p.batch * p.cols);
    int8_t *ternary = malloc(weights);
    uint8_t *packed = aligned_alloc(64, padded(kernel->packed_bytes(p.rows, p.cols)));
    float *x = malloc(inputs * sizeof *x);
    int8_t *q = aligned_alloc(64, padded((int64_t)inputs));
    double *factors = malloc((size_t)p.batch * sizeof *factors);
    p.results = aligned_alloc(64, padded(p.batch * p.rows * 4));

    int rc = -1;
    if (!ternary || !packed || !x || !q || !factors || !p.results) {
        tg_fail(err, "not enough memory to measure the accuracy");
    } else {
        tg_fill_ternary(SEED, ternary, weights);
        tg_fill_normal(SEED + 1, x, inputs);
        for (int64_t b = 0; b < p.batch; b++)
            factors[b] = quantise(x + b * p.cols, p.cols, q + b * p.cols);
        kernel->pack(ternary, p.rows, p.cols, packed);
        p.weights = packed;
        p.activations = q;
        memset(p.results, 0, (size_t)(p.batch * p.rows * 4));
        rc = tg_device_call(kernel, tg_op_find(kernel->op), &p, err);
        if (rc == 0) *accuracy = cosine(ternary, x, factors, &p);
    }
    free(ternary);
    free(packed);
    free(x);
    free(q);
    free(factors);
    free(p.results);
    return rc;
}

double tg_accuracy_codec(const int8_t *packed, const int8_t *unpacked, int64_t count)
{
    int64_t equal = 0;
    for (int64_t i = 0; i < count; i++) equal += packed[i] == unpacked[i];
    return (double)equal / (double)count;
}
