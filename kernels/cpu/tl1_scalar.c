/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"
#include "kernels/tiles.h"

/*
 * tl1_scalar: ternary product, two weights at a time.
 *
 *   results[b][r] = sum over even c of (index / 3 - 1) * activations[b][c]
 *                                    + (index % 3 - 1) * activations[b][c + 1]
 *
 * The plainest loop over the layout, without the tables of sums that it was made for.
 * In each 64-byte block of kernels/tiles.h, 16 bytes have four columns of 16 rows, a row a byte,
 * its first two columns in the high bits; the next four columns follow, then the next 16 rows.
 * Limits: cols a multiple of 8 and below 2^24 (int32 sums); indices 0..8.
 */

/* The byte with the four columns from c, a multiple of four, on. */
static uint8_t byte_at(const struct tg_problem *p, const struct tg_tiles *t, int64_t r, int64_t c)
{
    const int64_t block_cols = 256 / t->stripe;
    const int64_t block = tg_tiles_block(t, p->cols, block_cols, r, c);
    const int64_t sixteen = r % t->stripe / 16 * (block_cols / 4) + c % block_cols / 4;

    return p->weights[64 * block + 16 * sixteen + r % 16];
}

static int32_t pair_sum(int index, const int8_t *activations)
{
    return (index / 3 - 1) * activations[0] + (index % 3 - 1) * activations[1];
}

static int32_t row_sum(const struct tg_problem *p, const struct tg_tiles *t, int64_t r,
                       const int8_t *activations)
{
    int32_t sum = 0;

    for (int64_t c = 0; c < p->cols; c += 4) {
        const uint8_t byte = byte_at(p, t, r, c);
        sum += pair_sum(byte >> 4, activations + c) + pair_sum(byte & 15, activations + c + 2);
    }
    return sum;
}

void tg_kernel_tl1_scalar(const struct tg_problem *p)
{
    const struct tg_tiles t = tg_tiles_of_tl1(p->rows, p->cols);
    int32_t *results = p->results;

    assert(p->cols % t.cols == 0 && p->cols < 1 << 24);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t b = 0; b < p->batch; b++) {
        for (int64_t r = p->row_begin; r < p->row_end; r++) {
            results[b * p->rows + r] = row_sum(p, &t, r, p->activations + b * p->cols);
        }
    }
}
