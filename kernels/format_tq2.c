/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/format.h"

/*
 * TQ2_0: 2 bits a weight and a scale for 256, blocks of 66 bytes.
 *
 *   bits       7 6      5 4      3 2      1 0
 *   byte  0   w[ 96]   w[ 64]   w[ 32]   w[  0]
 *   byte  1   w[ 97]   w[ 65]   w[ 33]   w[  1]
 *    ...
 *   byte 31   w[127]   w[ 95]   w[ 63]   w[ 31]
 *   byte 32   w[224]   w[192]   w[160]   w[128]
 *    ...
 *   byte 63   w[255]   w[223]   w[191]   w[159]
 *   byte 64   scale of the block, float16, low byte first
 *   byte 65
 *
 * A code is the weight plus one: 0, 1, 2 for -1, 0, +1; code 3 stands for nothing. Rows are whole
 * blocks and follow each other without padding.
 *
 * Ternary weights have no scale of their own: packing writes 1 into every block, and unpacking and
 * the kernels leave scales out. A block of a file means scale times these weights, so that a row's
 * exact product is the sum over its blocks of scale times the integer product of the block.
 *
 * Source: block_tq2_0 of ggml, GGUF tensor type 35.
 */

enum { BLOCK_WEIGHTS = 256, BLOCK_BYTES = 66, SCALE_BYTE = 64, ONE_LOW = 0x00, ONE_HIGH = 0x3c };

int64_t tg_format_tq2_packed_bytes(int64_t rows, int64_t cols)
{
    assert(cols % BLOCK_WEIGHTS == 0);
    return rows * (cols / BLOCK_WEIGHTS) * BLOCK_BYTES;
}

static int code(int8_t weight)
{
    assert(-1 <= weight && weight <= 1);
    return weight + 1;
}

void tg_format_tq2_pack(const int8_t *ternary, int64_t rows, int64_t cols, uint8_t *packed)
{
    const int64_t blocks = tg_format_tq2_packed_bytes(rows, cols) / BLOCK_BYTES;

    for (int64_t block = 0; block < blocks; block++) {
        uint8_t *to = packed + block * BLOCK_BYTES;
        for (int i = 0; i < 64; i++) {
            const int8_t *w = ternary + block * BLOCK_WEIGHTS + i / 32 * 128 + i % 32;
            to[i] = (uint8_t)(code(w[96]) << 6 | code(w[64]) << 4 | code(w[32]) << 2 | code(w[0]));
        }
        to[SCALE_BYTE] = ONE_LOW;
        to[SCALE_BYTE + 1] = ONE_HIGH;
    }
}

int64_t tg_format_tq2_unpack(const uint8_t *packed, int64_t rows, int64_t cols, int8_t *ternary)
{
    int64_t first_invalid = -1;

    assert(cols % BLOCK_WEIGHTS == 0);
    for (int64_t i = 0; i < rows * cols; i++) {
        const uint8_t *block = packed + i / BLOCK_WEIGHTS * BLOCK_BYTES;
        const int64_t place = i % BLOCK_WEIGHTS;
        const int c = block[place / 128 * 32 + place % 32] >> 2 * (place % 128 / 32) & 3;
        if (c == 3 && first_invalid < 0) first_invalid = i;
        ternary[i] = (int8_t)(c == 3 ? 0 : c - 1);
    }
    return first_invalid;
}
