/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/format.h"

/*
 * BitNet32F16: 2 bits a weight and a scale for 32, blocks of 10 bytes (2.5 bits a weight).
 *
 *   bits      7 6     5 4     3 2     1 0
 *   byte 0   w[ 3]   w[ 2]   w[ 1]   w[ 0]
 *   byte 1   w[ 7]   w[ 6]   w[ 5]   w[ 4]
 *    ...
 *   byte 7   w[31]   w[30]   w[29]   w[28]
 *   byte 8   scale of the block, float16, low byte first
 *   byte 9
 *
 * A code is the weight plus two: 1, 2, 3 for -1, 0, +1. Code 0 means -2, which is not ternary, and
 * is refused. Rows are whole blocks and follow each other without padding.
 *
 * Ternary weights have no scale of their own: packing writes 1 into every block, and unpacking and
 * the kernels leave scales out. A block of a file means scale times these weights, so that a row's
 * exact product is the sum over its blocks of scale times the integer product of the block.
 *
 * Source: "BitNet32F16" of BitNet-rs, with the codes of its I2SQuantizer.
 */

enum { BLOCK_WEIGHTS = 32, BLOCK_BYTES = 10, CODE_BYTES = 8, ONE_LOW = 0x00, ONE_HIGH = 0x3c };

int64_t tg_format_bitnet32f16_packed_bytes(int64_t rows, int64_t cols)
{
    assert(cols % BLOCK_WEIGHTS == 0);
    return rows * (cols / BLOCK_WEIGHTS) * BLOCK_BYTES;
}

static int code(int8_t weight)
{
    assert(-1 <= weight && weight <= 1);
    return weight + 2;
}

void tg_format_bitnet32f16_pack(const int8_t *ternary, int64_t rows, int64_t cols, uint8_t *packed)
{
    const int64_t blocks = tg_format_bitnet32f16_packed_bytes(rows, cols) / BLOCK_BYTES;

    for (int64_t block = 0; block < blocks; block++) {
        uint8_t *to = packed + block * BLOCK_BYTES;
        for (int i = 0; i < CODE_BYTES; i++) {
            const int8_t *w = ternary + block * BLOCK_WEIGHTS + 4 * i;
            to[i] = (uint8_t)(code(w[3]) << 6 | code(w[2]) << 4 | code(w[1]) << 2 | code(w[0]));
        }
        to[CODE_BYTES] = ONE_LOW;
        to[CODE_BYTES + 1] = ONE_HIGH;
    }
}

int64_t tg_format_bitnet32f16_unpack(const uint8_t *packed, int64_t rows, int64_t cols,
                                     int8_t *ternary)
{
    int64_t first_invalid = -1;

    assert(cols % BLOCK_WEIGHTS == 0);
    for (int64_t i = 0; i < rows * cols; i++) {
        const uint8_t *block = packed + i / BLOCK_WEIGHTS * BLOCK_BYTES;
        const int c = block[i % BLOCK_WEIGHTS / 4] >> 2 * (i % 4) & 3;
        if (c == 0 && first_invalid < 0) first_invalid = i;
        ternary[i] = (int8_t)(c == 0 ? 0 : c - 2);
    }
    return first_invalid;
}
