/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * f16_scalar: dense product, one number at a time.
 *
 *   results[b][r] = sum over c of weight[r][c] * activations[b][c]
 *
 * In f32, which holds numbers of f16 and their products exactly; each addition rounds once.
 */
void tg_kernel_f16_scalar(const struct tg_problem *p)
{
    float *results = p->results;

    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t b = 0; b < p->batch; b++) {
        const uint16_t *x = p->activations_16 + b * p->cols;
        for (int64_t r = p->row_begin; r < p->row_end; r++) {
            const uint16_t *w = (const uint16_t *)(const void *)p->weights + r * p->cols;
            float sum = 0;
            for (int64_t c = 0; c < p->cols; c++)
                sum += tg_number_of_f16(w[c]) * tg_number_of_f16(x[c]);
            results[b * p->rows + r] = sum;
        }
    }
}
