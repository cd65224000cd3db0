/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "kernels/format.h"
#include "kernels/tiles.h"

/*
 * TL1: indices into tables of sums, 4 bits for two weights (2 bits a weight).
 *
 * The index of two neighbouring weights of a row is 3 * w[c] + w[c + 1] + 4, from 0 to 8; 9 to 15
 * stand for nothing. Blocks have 64 bytes, in the order of kernels/tiles.h: 32 rows and 8 columns,
 * or 64 rows and 4 columns, as the stripes have rows. A block of 32 rows, with i[r][c] for the
 * index of the weights c and c + 1 of row r:
 *
 *   bits        7..4        3..0
 *   byte  0   i[ 0][0]    i[ 0][2]
 *   byte  1   i[ 1][0]    i[ 1][2]
 *    ...
 *   byte 15   i[15][0]    i[15][2]
 *   byte 16   i[ 0][4]    i[ 0][6]
 *    ...
 *   byte 31   i[15][4]    i[15][6]
 *   byte 32   i[16][0]    i[16][2]      the other 16 rows, in the same way
 *    ...
 *   byte 63   i[31][4]    i[31][6]
 *
 * In a block of 64 rows byte k is i[k][0] and i[k][2]. A register of 16 bytes meets a table of 16
 * sums of two activations. Rows that the last stripe lacks are packed as 0 and not looked at. The
 * scale that a file keeps behind the indices is left out.
 *
 * Source: the ARM lookup kernels of microsoft/BitNet, GGUF tensor type 38.
 */

enum { BLOCK_BYTES = 64, REGISTER_ROWS = 16, FOUR_ZEROS = 0x44, INDICES = 9 };

int64_t tg_format_tl1_packed_bytes(int64_t rows, int64_t cols)
{
    const struct tg_tiles t = tg_tiles_of_tl1(rows, cols);

    assert(cols % t.cols == 0);
    return tg_tiles_rows(&t, rows) * cols / 4;
}

/*
 * The bytes of a register: 16 rows from r on, a multiple of 16, with the four weights of each from
 * column c on, a multiple of four.
 */
static int64_t place(const struct tg_tiles *t, int64_t cols, int64_t r, int64_t c)
{
    const int64_t block_cols = 4 * BLOCK_BYTES / t->stripe;
    const int64_t block = tg_tiles_block(t, cols, block_cols, r, c);
    const int64_t group = r % t->stripe / REGISTER_ROWS * (block_cols / 4) + c % block_cols / 4;

    return block * BLOCK_BYTES + group * REGISTER_ROWS;
}

static int index_of(const int8_t *w)
{
    assert(-1 <= w[0] && w[0] <= 1 && -1 <= w[1] && w[1] <= 1);
    return 3 * w[0] + w[1] + 4;
}

static int64_t rows_of_register(int64_t rows, int64_t r)
{
    return rows - r < REGISTER_ROWS ? rows - r : REGISTER_ROWS;
}

void tg_format_tl1_pack(const int8_t *ternary, int64_t rows, int64_t cols, uint8_t *packed)
{
    const struct tg_tiles t = tg_tiles_of_tl1(rows, cols);

    memset(packed, FOUR_ZEROS, (size_t)tg_format_tl1_packed_bytes(rows, cols));
    for (int64_t r = 0; r < rows; r += REGISTER_ROWS) {
        for (int64_t c = 0; c < cols; c += 4) {
            const int8_t *w = ternary + r * cols + c;
            uint8_t *bytes = packed + place(&t, cols, r, c);

            for (int64_t k = 0; k < rows_of_register(rows, r); k++)
                bytes[k] = (uint8_t)(index_of(w + k * cols) << 4 | index_of(w + k * cols + 2));
        }
    }
}

/* Four weights. Returns the first of two that stand for nothing, or -1. */
static int64_t unpack_four(uint8_t byte, int8_t *w)
{
    const int indices[2] = {byte >> 4, byte & 15};
    int64_t invalid = -1;

    for (int k = 0; k < 2; k++) {
        const int is_valid = indices[k] < INDICES;

        w[2 * k] = (int8_t)(is_valid ? indices[k] / 3 - 1 : 0);
        w[2 * k + 1] = (int8_t)(is_valid ? indices[k] % 3 - 1 : 0);
        if (!is_valid && invalid < 0) invalid = 2 * k;
    }
    return invalid;
}

int64_t tg_format_tl1_unpack(const uint8_t *packed, int64_t rows, int64_t cols, int8_t *ternary)
{
    const struct tg_tiles t = tg_tiles_of_tl1(rows, cols);
    int64_t invalid = -1;

    assert(cols % t.cols == 0);
    for (int64_t r = 0; r < rows; r += REGISTER_ROWS) {
        for (int64_t c = 0; c < cols; c += 4) {
            const uint8_t *bytes = packed + place(&t, cols, r, c);

            for (int64_t k = 0; k < rows_of_register(rows, r); k++) {
                const int64_t at = (r + k) * cols + c;
                const int64_t found = unpack_four(bytes[k], ternary + at);

                if (found >= 0 && (invalid < 0 || at + found < invalid)) invalid = at + found;
            }
        }
    }
    return invalid;
}
