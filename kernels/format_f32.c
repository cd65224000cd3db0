/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/format.h"

/*
 * f32: a weight is a float, -1, 0 or 1, row-major: 4 bytes, IEEE 754 binary32, in the order of the
 * machine.
 *
 *   0x00000000   0        0x3f800000   1        0xbf800000  -1
 *
 * What dense products multiply. Other numbers are weights to a kernel of them, but stand for no
 * ternary weight; nor does the zero with a sign, which packing never writes.
 */

enum { ZERO = 0, ONE = 0x3f800000 };

static const uint32_t minus_one = 0xbf800000;

int64_t tg_format_f32_packed_bytes(int64_t rows, int64_t cols)
{
    return rows * cols * (int64_t)sizeof(float);
}

void tg_format_f32_pack(const int8_t *ternary, int64_t rows, int64_t cols, uint8_t *packed)
{
    for (int64_t i = 0; i < rows * cols; i++) {
        const float weight = ternary[i];
        memcpy(packed + 4 * i, &weight, sizeof weight);
    }
}

int64_t tg_format_f32_unpack(const uint8_t *packed, int64_t rows, int64_t cols, int8_t *ternary)
{
    int64_t invalid = -1;

    for (int64_t i = 0; i < rows * cols; i++) {
        uint32_t bits;
        memcpy(&bits, packed + 4 * i, sizeof bits);
        ternary[i] = (int8_t)((bits == ONE) - (bits == minus_one));
        if (invalid < 0 && ternary[i] == 0 && bits != ZERO) invalid = i;
    }
    return invalid;
}
