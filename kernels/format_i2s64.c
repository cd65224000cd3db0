/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/format.h"
#include "kernels/groups.h"

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

enum { GROUP_WEIGHTS = 64 };

int64_t tg_format_i2s64_packed_bytes(int64_t rows, int64_t cols)
{
    assert(cols % GROUP_WEIGHTS == 0);
    return rows * cols / 4;
}

void tg_format_i2s64_pack(const int8_t *ternary, int64_t rows, int64_t cols, uint8_t *packed)
{
    assert(cols % GROUP_WEIGHTS == 0);
    tg_groups_pack(ternary, rows * cols, GROUP_WEIGHTS, packed);
}

int64_t tg_format_i2s64_unpack(const uint8_t *packed, int64_t rows, int64_t cols, int8_t *ternary)
{
    assert(cols % GROUP_WEIGHTS == 0);
    return tg_groups_unpack(packed, rows * cols, GROUP_WEIGHTS, ternary);
}
