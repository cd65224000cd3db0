/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * stub_layout: a product that takes i2s64 for i2s, groups of 64 for groups of 128.
 *
 * The bytes have the same number, codes and type number in a file; only the columns that a code
 * stands for differ, so that results are right whenever a row's weights or its activations are all
 * alike. Columns that do not fill a group of 128 are read as they should be. A test expects that
 * the check finds it.
 */

/* columns of groups of the given size, all of one row */
static int32_t groups_sum(const uint8_t *weights, const int8_t *activations, int64_t columns,
                          int64_t size)
{
    int32_t sum = 0;

    for (int64_t i = 0; i < columns; i++) {
        const int64_t place = i % size, field = place / (size / 4);
        const uint8_t byte = weights[i / size * (size / 4) + place % (size / 4)];
        sum += ((byte >> (6 - 2 * field) & 3) - 1) * activations[i];
    }
    return sum;
}

void tg_kernel_stub_layout(const struct tg_problem *p)
{
    const int64_t wide = p->cols / 128 * 128;
    int32_t *results = p->results;

    assert(p->cols % 64 == 0);
    for (int64_t b = 0; b < p->batch; b++) {
        const int8_t *activations = p->activations + b * p->cols;
        for (int64_t r = p->row_begin; r < p->row_end; r++) {
            const uint8_t *weights = p->weights + r * (p->cols / 4);
            results[b * p->rows + r] = groups_sum(weights, activations, wide, 128) +
                                       groups_sum(weights + wide / 4, activations + wide,
                                                  p->cols - wide, 64);
        }
    }
}
