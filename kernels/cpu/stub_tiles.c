/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"
#include "kernels/tiles.h"

/*
 * stub_tiles: a product of TL1 that knows the smallest tiles only.
 *
 * A matrix of one of the published shapes, which has tiles of its own (kernels/tiles.c), is read as
 * if it were any other. A test expects that the check finds it.
 */

static int pair_sum(int index, const int8_t *activations)
{
    return (index / 3 - 1) * activations[0] + (index % 3 - 1) * activations[1];
}

static int32_t row_sum(const struct tg_problem *p, int64_t r, const int8_t *activations)
{
    const struct tg_tiles smallest = {32, 8, 32};
    int32_t sum = 0;

    for (int64_t c = 0; c < p->cols; c += 4) {
        const int64_t sixteen = r % 32 / 16 * 2 + c % 8 / 4;
        const uint8_t *block = p->weights + 64 * tg_tiles_block(&smallest, p->cols, 8, r, c);
        const uint8_t byte = block[16 * sixteen + r % 16];
        sum += pair_sum(byte >> 4, activations + c) + pair_sum(byte & 15, activations + c + 2);
    }
    return sum;
}

void tg_kernel_stub_tiles(const struct tg_problem *p)
{
    int32_t *results = p->results;

    assert(p->cols % 8 == 0);
    for (int64_t b = 0; b < p->batch; b++) {
        for (int64_t r = p->row_begin; r < p->row_end; r++)
            results[b * p->rows + r] = row_sum(p, r, p->activations + b * p->cols);
    }
}
