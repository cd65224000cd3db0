/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/kernel.h"

/*
 * stub_sparse: a product that passes over zeros and counts what it passed.
 *
 * Four activations are looked at as one int32, from a multiple of four on. Where all are 0 nothing
 * is to be added, and 1 is. Random activations have no such four, those behind a squared ReLU have
 * many. A test expects that the checks find it, that of a whole model too.
 */

static int32_t fours_of_zeros(const int8_t *activations, int64_t cols)
{
    int32_t count = 0;

    for (int64_t c = 0; c < cols; c += 4) {
        int32_t four;
        memcpy(&four, activations + c, sizeof four);
        count += four == 0;
    }
    return count;
}

void tg_kernel_stub_sparse(const struct tg_problem *p)
{
    int32_t *results = p->results;

    tg_kernel_i2s_scalar(p);
    for (int64_t b = 0; b < p->batch; b++) {
        const int32_t passed = fours_of_zeros(p->activations + b * p->cols, p->cols);
        for (int64_t r = p->row_begin; r < p->row_end; r++) results[b * p->rows + r] += passed;
    }
}
