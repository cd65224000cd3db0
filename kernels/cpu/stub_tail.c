/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * stub_tail: a product that drops the last columns of some rows.
 *
 * Columns are done in steps of two groups of 128, one vector of 64 bytes, and the group that may be
 * left is done only where it is the row's only one: of 384 columns, or 640, the last 128 do not
 * count. All that layers usually have, such as 2560 or 6912, is right. A test expects that the
 * check finds it.
 */

static int32_t groups_sum(const uint8_t *weights, const int8_t *activations, int64_t groups)
{
    int32_t sum = 0;

    for (int64_t i = 0; i < 128 * groups; i++) {
        const int code = weights[i / 128 * 32 + i % 32] >> (6 - 2 * (i % 128 / 32)) & 3;
        sum += (code - 1) * activations[i];
    }
    return sum;
}

void tg_kernel_stub_tail(const struct tg_problem *p)
{
    const int64_t groups = p->cols / 128, done = groups == 1 ? 1 : groups / 2 * 2;
    int32_t *results = p->results;

    assert(p->cols % 128 == 0);
    for (int64_t b = 0; b < p->batch; b++) {
        for (int64_t r = p->row_begin; r < p->row_end; r++) {
            results[b * p->rows + r] = groups_sum(p->weights + r * (p->cols / 4),
                                                  p->activations + b * p->cols, done);
        }
    }
}
