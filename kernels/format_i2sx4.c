/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "kernels/format.h"

/*
 * I2_S of four rows at once (1x4): 2 bits a weight, a column of four rows in a byte.
 *
 *   bits            7 6        5 4        3 2        1 0
 *   byte  0       w[0][0]    w[1][0]    w[2][0]    w[3][0]
 *   byte  1       w[0][1]    w[1][1]    w[2][1]    w[3][1]
 *    ...
 *   byte  cols    w[4][0]    w[5][0]    w[6][0]    w[7][0]
 *
 * A code is the weight plus one: 0, 1, 2 for -1, 0, +1; code 3 stands for nothing. The scale that a
 * file keeps behind the codes is left out. Where it comes from rows are a multiple of four; here
 * the rows that the last byte of a column lacks are packed as 0 and not looked at.
 *
 * Source: what microsoft/BitNet writes as GGUF tensor type 36 on x86 when it is built without
 * ACT_PARALLEL. A file does not say that it is not in groups of 128 (format_i2s.c).
 */

enum { ROWS = 4, FOUR_ZEROS = 0x55 };

int64_t tg_format_i2sx4_packed_bytes(int64_t rows, int64_t cols)
{
    return (rows + ROWS - 1) / ROWS * cols;
}

void tg_format_i2sx4_pack(const int8_t *ternary, int64_t rows, int64_t cols, uint8_t *packed)
{
    memset(packed, FOUR_ZEROS, (size_t)tg_format_i2sx4_packed_bytes(rows, cols));
    for (int64_t r = 0; r < rows; r++) {
        const int shift = 6 - 2 * (int)(r % ROWS);
        for (int64_t c = 0; c < cols; c++) {
            const int8_t weight = ternary[r * cols + c];
            uint8_t *byte = packed + r / ROWS * cols + c;
            assert(-1 <= weight && weight <= 1);
            *byte = (uint8_t)((*byte & ~(3 << shift)) | (weight + 1) << shift);
        }
    }
}

int64_t tg_format_i2sx4_unpack(const uint8_t *packed, int64_t rows, int64_t cols, int8_t *ternary)
{
    int64_t first_invalid = -1;

    for (int64_t i = 0; i < rows * cols; i++) {
        const int64_t r = i / cols, c = i % cols;
        const int code = packed[r / ROWS * cols + c] >> (6 - 2 * (r % ROWS)) & 3;
        if (code == 3 && first_invalid < 0) first_invalid = i;
        ternary[i] = (int8_t)(code == 3 ? 0 : code - 1);
    }
    return first_invalid;
}
