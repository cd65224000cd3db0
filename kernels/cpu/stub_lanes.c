/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * stub_lanes: a product whose activations were packed without the permutation that must follow.
 *
 * A 256-bit pack of int16 to int8 works on halves of 128 bits: of two vectors a and b it gives a's
 * first eight, b's first eight, a's last eight, b's last eight. So in every 32 activations the
 * second eight and the third have changed places. Right whenever activations or weights are all
 * alike. A test expects that the check finds it.
 */

static int after_pack(int i)
{
    const int eight = i / 8;

    return i % 8 + 8 * (eight == 1 ? 2 : eight == 2 ? 1 : eight);
}

static int32_t row_sum(const uint8_t *weights, const int8_t *activations, int64_t cols)
{
    int32_t sum = 0;

    for (int64_t group = 0; group < cols / 128; group++) {
        for (int i = 0; i < 128; i++) {
            const int field = i / 32, place = i % 32;
            const int code = weights[32 * group + place] >> (6 - 2 * field) & 3;
            sum += (code - 1) * activations[128 * group + 32 * field + after_pack(place)];
        }
    }
    return sum;
}

void tg_kernel_stub_lanes(const struct tg_problem *p)
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
