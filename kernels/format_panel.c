/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "kernels/format.h"

/*
 * Panels: 2 bits a weight, 16 rows side by side, so that a register has one row in each lane.
 *
 * Rows are cut into panels of 16, columns into steps of 16; a step of a panel is 64 bytes, and the
 * steps of a panel follow each other, then those of the next panel. A step, of which w[r][k] are
 * the weights of row r of the panel and column k of the step:
 *
 *   bits             7 6        5 4       3 2       1 0
 *   byte  0       w[ 0][12]  w[ 0][ 8]  w[ 0][4]  w[ 0][0]
 *   byte  1       w[ 0][13]  w[ 0][ 9]  w[ 0][5]  w[ 0][1]
 *   byte  2       w[ 0][14]  w[ 0][10]  w[ 0][6]  w[ 0][2]
 *   byte  3       w[ 0][15]  w[ 0][11]  w[ 0][7]  w[ 0][3]
 *   byte  4       w[ 1][12]  w[ 1][ 8]  w[ 1][4]  w[ 1][0]
 *    ...
 *   byte 63       w[15][15]  w[15][11]  w[15][7]  w[15][3]
 *
 * Each field of a 32-bit word has four neighbouring columns of one row: what an instruction that
 * sums four products takes, with the same four activations given to all lanes. A step needs 16
 * columns only, so matrices of 8640 columns fit.
 *
 * A code is the weight plus one: 0, 1, 2 for -1, 0, +1; code 3 stands for nothing. The last panel
 * is filled with rows of weight 0, which unpacking does not look at.
 *
 * Source: of this project; panels of rows as in Goto and van de Geijn, Anatomy of High-Performance
 * Matrix Multiplication, ACM TOMS 34(3), 2008.
 */

enum { PANEL_ROWS = 16, STEP_COLUMNS = 16, STEP_BYTES = 64, FOUR_ZEROS = 0x55 };

int64_t tg_format_panel_packed_bytes(int64_t rows, int64_t cols)
{
    assert(cols % STEP_COLUMNS == 0);
    return (rows + PANEL_ROWS - 1) / PANEL_ROWS * (cols / STEP_COLUMNS) * STEP_BYTES;
}

/* The byte that has the weight of row r and column c, and how far its code is from bit 0. */
static int64_t place(int64_t cols, int64_t r, int64_t c, int *shift)
{
    const int64_t step = r / PANEL_ROWS * (cols / STEP_COLUMNS) + c / STEP_COLUMNS;

    *shift = (int)(2 * (c % STEP_COLUMNS / 4));
    return step * STEP_BYTES + 4 * (r % PANEL_ROWS) + c % 4;
}

/* Four neighbouring weights of a row as codes, one a byte; their order is that of memory. */
static uint32_t four_codes(const int8_t *weights)
{
    uint32_t four;

    for (int k = 0; k < 4; k++) assert(-1 <= weights[k] && weights[k] <= 1);
    memcpy(&four, weights, sizeof four);
    return ((four & 0x7f7f7f7f) + 0x01010101) & 0x03030303; /* bytes 0xff, 0, 1 become 0, 1, 2 */
}

void tg_format_panel_pack(const int8_t *ternary, int64_t rows, int64_t cols, uint8_t *packed)
{
    memset(packed, FOUR_ZEROS, (size_t)tg_format_panel_packed_bytes(rows, cols));
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c += STEP_COLUMNS) {
            const int8_t *weights = ternary + r * cols + c;
            int shift;
            const uint32_t codes = four_codes(weights) | four_codes(weights + 4) << 2 |
                                   four_codes(weights + 8) << 4 | four_codes(weights + 12) << 6;
            memcpy(packed + place(cols, r, c, &shift), &codes, sizeof codes);
        }
    }
}

int64_t tg_format_panel_unpack(const uint8_t *packed, int64_t rows, int64_t cols, int8_t *ternary)
{
    int64_t first_invalid = -1;

    assert(cols % STEP_COLUMNS == 0);
    for (int64_t i = 0; i < rows * cols; i++) {
        int shift;
        const int64_t byte = place(cols, i / cols, i % cols, &shift);
        const int code = packed[byte] >> shift & 3;
        if (code == 3 && first_invalid < 0) first_invalid = i;
        ternary[i] = (int8_t)(code == 3 ? 0 : code - 1);
    }
    return first_invalid;
}
