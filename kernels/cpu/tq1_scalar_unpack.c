/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * tq1_scalar_unpack: digits to weights, one at a time.
 *
 *   results[r][c] = digit[r][c] - 1
 *
 * In each block of 256 columns and 54 bytes, digit k of byte i is that of column 32 * k + i in
 * bytes 0..31, of column 160 + 16 * k + i in the 16 bytes that follow, and of column 240 + 4 * k +
 * i in the next four, which have four digits and not five. The scales, in the last two bytes of
 * blocks, are left out. Limits: cols a multiple of 256; bytes that stand for digits.
 */

/* Digit k, 0..2, of a byte that is a fraction of 256 to the base of three. */
static int digit(uint8_t byte, int k)
{
    static const int power[5] = {1, 3, 9, 27, 81};

    return (uint8_t)(byte * power[k]) * 3 >> 8;
}

static void unpack_part(const uint8_t *from, int bytes, int digits, int8_t *weights)
{
    for (int k = 0; k < digits; k++) {
        for (int i = 0; i < bytes; i++) weights[bytes * k + i] = (int8_t)(digit(from[i], k) - 1);
    }
}

void tg_kernel_tq1_scalar_unpack(const struct tg_problem *p)
{
    int8_t *results = p->results;

    assert(p->cols % 256 == 0);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        for (int64_t i = 0; i < p->cols / 256; i++) {
            const uint8_t *block = p->weights + (r * (p->cols / 256) + i) * 54;
            int8_t *weights = results + r * p->cols + 256 * i;
            unpack_part(block, 32, 5, weights);
            unpack_part(block + 32, 16, 5, weights + 160);
            unpack_part(block + 48, 4, 4, weights + 240);
        }
    }
}
