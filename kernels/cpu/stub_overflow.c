/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * stub_overflow: a product whose int16 sums are widened at the end of the row and not before.
 *
 * As with maddubs: codes 0..2 times activations, two products to each of 16 sums, four such steps
 * in a group of 128 columns. A group adds at most 8 * 2 * 127 = 2032 to a sum, so that 16 groups
 * fit into an int16 and the 17th need not: all +1 with 127 overflow from 2176 columns on. Random
 * rows of thousands of columns stay far below it. A test expects that the check finds it.
 */

enum { SUMS = 16 };

static int32_t row_sum(const uint8_t *weights, const int8_t *activations, int64_t cols)
{
    int16_t sums[SUMS] = {0};
    int32_t sum = 0;

    for (int64_t group = 0; group < cols / 128; group++) {
        for (int i = 0; i < 128; i++) {
            const int code = weights[32 * group + i % 32] >> (6 - 2 * (i / 32)) & 3;
            const int more = sums[i % 32 / 2] + code * activations[128 * group + i];
            sums[i % 32 / 2] = (int16_t)(uint16_t)more; /* wraps */
        }
    }
    for (int i = 0; i < SUMS; i++) sum += sums[i];
    for (int64_t c = 0; c < cols; c++) sum -= activations[c];
    return sum;
}

void tg_kernel_stub_overflow(const struct tg_problem *p)
{
    int32_t *results = p->results;

    assert(p->cols % 128 == 0);
    for (int64_t b = 0; b < p->batch; b++) {
        for (int64_t r = p->row_begin; r < p->row_end; r++) {
            results[b * p->rows + r] = row_sum(p->weights + r * (p->cols / 4),
                                               p->activations + b * p->cols, p->cols);
        }
    }
}
