/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/format.h"

/*
 * QK256: 2 bits a weight in their order, blocks of 256 weights in 64 bytes.
 *
 *   bits       7 6      5 4      3 2      1 0
 *   byte  0   w[  3]   w[  2]   w[  1]   w[  0]
 *   byte  1   w[  7]   w[  6]   w[  5]   w[  4]
 *    ...
 *   byte 63   w[255]   w[254]   w[253]   w[252]
 *
 * A code is the weight plus one: 0, 1, 2 for -1, 0, +1; code 3 stands for nothing. Rows are whole
 * blocks and follow each other without padding; there is no scale.
 *
 * Source: "QK256" (GgmlQk256NoScale) of BitNet-rs. Its first table read the codes as -2, -1, +1 and
 * +2, which has no 0 and so fits no ternary matrix; the codes here are those of its later table,
 * and of the files of type 36 that it was made to read. Those have another order (format_i2s.c):
 * read as QK256 they are another matrix, without any sign of it.
 */

enum { BLOCK_WEIGHTS = 256 };

int64_t tg_format_qk256_packed_bytes(int64_t rows, int64_t cols)
{
    assert(cols % BLOCK_WEIGHTS == 0);
    return rows * cols / 4;
}

static int code(int8_t weight)
{
    assert(-1 <= weight && weight <= 1);
    return weight + 1;
}

void tg_format_qk256_pack(const int8_t *ternary, int64_t rows, int64_t cols, uint8_t *packed)
{
    const int64_t bytes = tg_format_qk256_packed_bytes(rows, cols);

    for (int64_t i = 0; i < bytes; i++) {
        const int8_t *w = ternary + 4 * i;
        packed[i] = (uint8_t)(code(w[3]) << 6 | code(w[2]) << 4 | code(w[1]) << 2 | code(w[0]));
    }
}

int64_t tg_format_qk256_unpack(const uint8_t *packed, int64_t rows, int64_t cols, int8_t *ternary)
{
    int64_t first_invalid = -1;

    assert(cols % BLOCK_WEIGHTS == 0);
    for (int64_t i = 0; i < rows * cols; i++) {
        const int c = packed[i / 4] >> 2 * (i % 4) & 3;
        if (c == 3 && first_invalid < 0) first_invalid = i;
        ternary[i] = (int8_t)(c == 3 ? 0 : c - 1);
    }
    return first_invalid;
}
