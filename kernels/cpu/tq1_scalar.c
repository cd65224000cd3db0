/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/kernel.h"

/*
 * tq1_scalar: ternary product, one weight at a time.
 *
 *   results[b][r] = sum over c of (digit[r][c] - 1) * activations[b][c]
 *
 * The plainest loop over the layout: in each block of 256 columns and 54 bytes, digit k of byte i
 * is that of column 32 * k + i in bytes 0..31, of column 160 + 16 * k + i in the 16 bytes that
 * follow, and of column 240 + 4 * k + i in the next four, which have four digits and not five. The
 * scales, in the last two bytes of blocks, are left out.
 * Limits: cols a multiple of 256 and below 2^24 (int32 sums).
 */

/* Digit k, 0..2, of a byte that is a fraction of 256 to the base of three. */
static int digit(uint8_t byte, int k)
{
    static const int power[5] = {1, 3, 9, 27, 81};

    return (uint8_t)(byte * power[k]) * 3 >> 8;
}

/* Of `bytes` bytes of `digits` digits each, the first of all first, then the second of all. */
static int32_t part_sum(const uint8_t *from, int bytes, int digits, const int8_t *activations)
{
    int32_t sum = 0;

    for (int k = 0; k < digits; k++) {
        for (int i = 0; i < bytes; i++) sum += (digit(from[i], k) - 1) * activations[bytes * k + i];
    }
    return sum;
}

static int32_t row_sum(const uint8_t *blocks, const int8_t *activations, int64_t cols)
{
    int32_t sum = 0;

    for (int64_t i = 0; i < cols / 256; i++) {
        const uint8_t *block = blocks + 54 * i;
        sum += part_sum(block, 32, 5, activations + 256 * i);
        sum += part_sum(block + 32, 16, 5, activations + 256 * i + 160);
        sum += part_sum(block + 48, 4, 4, activations + 256 * i + 240);
    }
    return sum;
}

void tg_kernel_tq1_scalar(const struct tg_problem *p)
{
    int32_t *results = p->results;

    assert(p->cols % 256 == 0 && p->cols < 1 << 24);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t b = 0; b < p->batch; b++) {
        for (int64_t r = p->row_begin; r < p->row_end; r++) {
            results[b * p->rows + r] = row_sum(p->weights + r * (p->cols / 256 * 54),
                                               p->activations + b * p->cols, p->cols);
        }
    }
}
