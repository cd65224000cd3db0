/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/format.h"

/*
 * I2_S in groups of 64: 2 bits a weight, 64 weights in 16 bytes.
 *
 *   bits       7 6      5 4      3 2      1 0
 *   byte  0   w[ 0]    w[16]    w[32]    w[48]
 *   byte  1   w[ 1]    w[17]    w[33]    w[49]
 *    ...
 *   byte 15   w[15]    w[31]    w[47]    w[63]
 *
 * A code is the weight plus one: 0, 1, 2 for -1, 0, +1; code 3 stands for nothing. Rows follow each
 * other without padding. The scale that a file keeps behind the codes is left out.
 *
 * Source: what the ARM build of microsoft/BitNet writes and reads as GGUF tensor type 36. Published
 * files have that number, too, and groups of 128 (format_i2s.c): a file does not say which.
 */

enum { GROUP_WEIGHTS = 64, GROUP_BYTES = 16 };

int64_t tg_format_i2s64_packed_bytes(int64_t rows, int64_t cols)
{
    assert(cols % GROUP_WEIGHTS == 0);
    return rows * cols / 4;
}

static int code(int8_t weight)
{
    assert(-1 <= weight && weight <= 1);
    return weight + 1;
}

void tg_format_i2s64_pack(const int8_t *ternary, int64_t rows, int64_t cols, uint8_t *packed)
{
    const int64_t groups = tg_format_i2s64_packed_bytes(rows, cols) / GROUP_BYTES;

    for (int64_t group = 0; group < groups; group++) {
        const int8_t *w = ternary + group * GROUP_WEIGHTS;
        for (int i = 0; i < GROUP_BYTES; i++) {
            packed[group * GROUP_BYTES + i] = (uint8_t)(code(w[i]) << 6 | code(w[16 + i]) << 4 |
                                                        code(w[32 + i]) << 2 | code(w[48 + i]));
        }
    }
}

int64_t tg_format_i2s64_unpack(const uint8_t *packed, int64_t rows, int64_t cols, int8_t *ternary)
{
    int64_t first_invalid = -1;

    assert(cols % GROUP_WEIGHTS == 0);
    for (int64_t i = 0; i < rows * cols; i++) {
        const int64_t place = i % GROUP_WEIGHTS;
        const uint8_t byte = packed[i / GROUP_WEIGHTS * GROUP_BYTES + place % GROUP_BYTES];
        const int c = byte >> (6 - 2 * (place / GROUP_BYTES)) & 3;
        if (c == 3 && first_invalid < 0) first_invalid = i;
        ternary[i] = (int8_t)(c == 3 ? 0 : c - 1);
    }
    return first_invalid;
}
