/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"
#include "kernels/tiles.h"

/*
 * tl2_scalar_unpack: indices to weights, three or two at a time.
 *
 *   results[r][c] = weight[r][c]
 *
 * where the weights of a three are the digits, less one, of its index with its sign plus 13, to the
 * base of three, and those of a two the digits of its index.
 * Blocks of 32 bytes have 32 rows, a row a byte, whose second and third eight rows change places:
 * two threes, the first in the high bits, or two twos of the last columns. The signs of eight
 * threes are a 16-bit word of a block of 16, from the high bit on, each for row r and row r + 16.
 * Limits: cols a multiple of 32; indices that weights have.
 */

/* What the bits of index and sign of the three from column c on stand for, plus 13: 0..26. */
static int three_at(const struct tg_problem *p, const struct tg_tiles_tl2 *d, int64_t r, int64_t c)
{
    static const int eight[4] = {0, 16, 8, 24};
    const int64_t block = tg_tiles_block(&d->threes, d->three_cols, 6, r, c);
    const int64_t signs = tg_tiles_block(&d->threes, d->three_cols, 24, r, c);
    const uint8_t byte = p->weights[32 * block + eight[r % 32 / 8] + r % 8];
    const uint8_t *word = p->weights + d->signs + 32 * signs + r % 16 * 2;
    const int index = c % 6 == 0 ? byte >> 4 : byte & 15;
    const int is_negative = (word[0] | word[1] << 8) >> (15 - (c % 24 / 3 * 2 + r % 32 / 16)) & 1;

    return 13 + (is_negative ? -index : index);
}

/* The index, 0..8, of the two from column c of the tail on. */
static int two_at(const struct tg_problem *p, const struct tg_tiles_tl2 *d, int64_t r, int64_t c)
{
    static const int eight[4] = {0, 16, 8, 24};
    const int64_t block = tg_tiles_block(&d->twos, d->two_cols, 4, r, c);
    const uint8_t byte = p->weights[d->tail + 32 * block + eight[r % 32 / 8] + r % 8];

    return c % 4 == 0 ? byte >> 4 : byte & 15;
}

void tg_kernel_tl2_scalar_unpack(const struct tg_problem *p)
{
    const struct tg_tiles_tl2 d = tg_tiles_divide_tl2(p->rows, p->cols);
    int8_t *results = p->results;

    assert(p->cols % 32 == 0);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        int8_t *w = results + r * p->cols;
        for (int64_t c = 0; c < d.three_cols; c += 3, w += 3) {
            const int n = three_at(p, &d, r, c);
            w[0] = (int8_t)(n / 9 - 1);
            w[1] = (int8_t)(n / 3 % 3 - 1);
            w[2] = (int8_t)(n % 3 - 1);
        }
        for (int64_t c = 0; c < d.two_cols; c += 2, w += 2) {
            const int n = two_at(p, &d, r, c);
            w[0] = (int8_t)(n / 3 - 1);
            w[1] = (int8_t)(n % 3 - 1);
        }
    }
}
