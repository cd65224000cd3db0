/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/format.h"
#include "kernels/groups.h"

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

enum { GROUP_WEIGHTS = 128 };

int64_t tg_format_i2s_packed_bytes(int64_t rows, int64_t cols)
{
    assert(cols % GROUP_WEIGHTS == 0);
    return rows * cols / 4;
}

void tg_format_i2s_pack(const int8_t *ternary, int64_t rows, int64_t cols, uint8_t *packed)
{
    assert(cols % GROUP_WEIGHTS == 0);
    tg_groups_pack(ternary, rows * cols, GROUP_WEIGHTS, packed);
}

int64_t tg_format_i2s_unpack(const uint8_t *packed, int64_t rows, int64_t cols, int8_t *ternary)
{
    assert(cols % GROUP_WEIGHTS == 0);
    return tg_groups_unpack(packed, rows * cols, GROUP_WEIGHTS, ternary);
}
