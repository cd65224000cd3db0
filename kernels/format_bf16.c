/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/format.h"

/*
 * bf16: a weight is the upper half of a binary32, -1, 0 or 1, row-major: 2 bytes, in the order of
 * the machine.
 *
 *   0x0000   0        0x3f80   1        0xbf80  -1
 *
 * What dense products multiply. Other numbers are weights to a kernel of them, but stand for no
 * ternary weight; nor does the zero with a sign, which packing never writes.
 */

enum { ZERO = 0, ONE = 0x3f80, MINUS_ONE = 0xbf80 };

int64_t tg_format_bf16_packed_bytes(int64_t rows, int64_t cols)
{
    return rows * cols * (int64_t)sizeof(uint16_t);
}

void tg_format_bf16_pack(const int8_t *ternary, int64_t rows, int64_t cols, uint8_t *packed)
{
    static const uint16_t numbers[3] = {MINUS_ONE, ZERO, ONE};

    for (int64_t i = 0; i < rows * cols; i++)
        memcpy(packed + 2 * i, &numbers[ternary[i] + 1], sizeof *numbers);
}

int64_t tg_format_bf16_unpack(const uint8_t *packed, int64_t rows, int64_t cols, int8_t *ternary)
{
    int64_t invalid = -1;

    for (int64_t i = 0; i < rows * cols; i++) {
        uint16_t bits;
        memcpy(&bits, packed + 2 * i, sizeof bits);
        ternary[i] = (int8_t)((bits == ONE) - (bits == MINUS_ONE));
        if (invalid < 0 && ternary[i] == 0 && bits != ZERO) invalid = i;
    }
    return invalid;
}
