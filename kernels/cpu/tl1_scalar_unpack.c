/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"
#include "kernels/tiles.h"

/*
 * tl1_scalar_unpack: indices to weights, two at a time.
 *
 *   results[r][c] = index / 3 - 1, results[r][c + 1] = index % 3 - 1, for even c
 *
 * In each 64-byte block of kernels/tiles.h, 16 bytes have four columns of 16 rows, a row a byte,
 * its first two columns in the high bits; the next four columns follow, then the next 16 rows.
 * Limits: cols a multiple of 8; indices 0..8.
 */

/* The byte with the four columns from c, a multiple of four, on. */
static uint8_t byte_at(const struct tg_problem *p, const struct tg_tiles *t, int64_t r, int64_t c)
{
    const int64_t block_cols = 256 / t->stripe;
    const int64_t block = tg_tiles_block(t, p->cols, block_cols, r, c);
    const int64_t sixteen = r % t->stripe / 16 * (block_cols / 4) + c % block_cols / 4;

    return p->weights[64 * block + 16 * sixteen + r % 16];
}

void tg_kernel_tl1_scalar_unpack(const struct tg_problem *p)
{
    const struct tg_tiles t = tg_tiles_of_tl1(p->rows, p->cols);
    int8_t *results = p->results;

    assert(p->cols % t.cols == 0);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        for (int64_t c = 0; c < p->cols; c += 2) {
            const uint8_t byte = byte_at(p, &t, r, c / 4 * 4);
            const int index = c % 4 == 0 ? byte >> 4 : byte & 15;
            results[r * p->cols + c] = (int8_t)(index / 3 - 1);
            results[r * p->cols + c + 1] = (int8_t)(index % 3 - 1);
        }
    }
}
