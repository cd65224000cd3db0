/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/format.h"

/*
 * I2_S: 2 bits a weight, 128 weights in 32 bytes.
 *
 *   bits       7 6      5 4      3 2      1 0
 *   byte  0   w[ 0]    w[32]    w[64]    w[ 96]
 *   byte  1   w[ 1]    w[33]    w[65]    w[ 97]
 *    ...
 *   byte 31   w[31]    w[63]    w[95]    w[127]
 *
 * A code is the weight plus one: 0, 1, 2 for -1, 0, +1; code 3 stands for nothing. Rows follow each
 * other without padding. The scale that a file keeps behind the codes is left out.
 *
 * Source: the x86 layout of microsoft/BitNet, GGUF tensor type 36, as in every published file. Its
 * ARM build packs groups of 64 under the same number; that is another format.
 */

enum { GROUP_WEIGHTS = 128, GROUP_BYTES = 32 };

int64_t tg_format_i2s_packed_bytes(int64_t rows, int64_t cols)
{
    assert(cols % GROUP_WEIGHTS == 0);
    return rows * cols / 4;
}

static int code(int8_t weight)
{
    assert(-1 <= weight && weight <= 1);
    return weight + 1;
}

void tg_format_i2s_pack(const int8_t *ternary, int64_t rows, int64_t cols, uint8_t *packed)
{
    const int64_t groups = tg_format_i2s_packed_bytes(rows, cols) / GROUP_BYTES;

    for (int64_t group = 0; group < groups; group++) {
        const int8_t *w = ternary + group * GROUP_WEIGHTS;
        for (int i = 0; i < GROUP_BYTES; i++) {
            packed[group * GROUP_BYTES + i] = (uint8_t)(code(w[i]) << 6 | code(w[32 + i]) << 4 |
                                                        code(w[64 + i]) << 2 | code(w[96 + i]));
        }
    }
}

int64_t tg_format_i2s_unpack(const uint8_t *packed, int64_t rows, int64_t cols, int8_t *ternary)
{
    const int64_t weights = rows * cols;
    int64_t first_invalid = -1;

    assert(cols % GROUP_WEIGHTS == 0);
    for (int64_t i = 0; i < weights; i++) {
        const int64_t place = i % GROUP_WEIGHTS;
        const uint8_t byte = packed[i / GROUP_WEIGHTS * GROUP_BYTES + place % GROUP_BYTES];
        const int c = byte >> (6 - 2 * (place / GROUP_BYTES)) & 3;
        if (c == 3 && first_invalid < 0) first_invalid = i;
        ternary[i] = (int8_t)(c == 3 ? 0 : c - 1);
    }
    return first_invalid;
}
