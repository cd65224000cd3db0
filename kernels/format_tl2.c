/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "kernels/format.h"
#include "kernels/tiles.h"

/*
 * TL2: indices into tables of sums, 4 bits and a sign for three weights (1.67 bits a weight).
 *
 * Columns are threes of weights as far as whole tiles go; the rest, 0, 32 or 64 columns as a rule,
 * are twos. With v = 9 * w[c] + 3 * w[c + 1] + w[c + 2], the index i of three is |v|, from 0 to 13,
 * and the sign s is 1 where v is negative. The index j of two is 3 * w[c] + w[c + 1] + 4, from 0 to
 * 8, as in TL1. Three parts follow each other, each in blocks of 32 bytes and 32 rows in the order
 * of kernels/tiles.h: the indices of all threes (blocks of 6 columns), all their signs (24), and
 * the indices of all twos (4, in tiles of 32 columns).
 *
 *   bits       7..4        3..0
 *   byte  0   i[ 0][0]    i[ 0][3]        rows  0 to  7
 *    ...
 *   byte  8   i[16][0]    i[16][3]        rows 16 to 23
 *    ...
 *   byte 16   i[ 8][0]    i[ 8][3]        rows  8 to 15
 *    ...
 *   byte 24   i[24][0]    i[24][3]        rows 24 to 31
 *
 *   bits              15         14         13        12       ...      0
 *   bytes  0,  1   s[ 0][0]   s[16][0]   s[ 0][3]   s[16][3]  ...  s[16][21]
 *    ...
 *   bytes 30, 31   s[15][0]   s[31][0]   s[15][3]   s[31][3]  ...  s[31][21]    low byte first
 *
 * A block of twos is as one of threes, with j[r][0] and j[r][2]. Indices 14 and 15 of threes, 9 to
 * 15 of twos, and a negative 0 stand for nothing. Rows that the last stripe lacks are packed as 0
 * and not looked at. What a file has behind the last part is left out: it counts 256 columns as
 * twos, whatever there are, and ends with the scale.
 *
 * Source: the x86 lookup kernels of microsoft/BitNet, GGUF tensor type 39.
 */

enum { BLOCK_BYTES = 32, TWO_ZEROS = 0x44, THREES = 14, TWOS = 9 };

int64_t tg_format_tl2_packed_bytes(int64_t rows, int64_t cols)
{
    assert(cols % 32 == 0);
    return tg_tiles_divide_tl2(rows, cols).bytes;
}

/* Where in a block of indices row r is: the second and the third eight rows change places. */
static int64_t row_byte(int64_t r)
{
    static const int eight[4] = {0, 16, 8, 24};

    return eight[r % 32 / 8] + r % 8;
}

/* The byte that has the index of the weights from column c, of the threes or the twos, on. */
static int64_t three_place(const struct tg_tiles_tl2 *d, int64_t r, int64_t c)
{
    return tg_tiles_block(&d->threes, d->three_cols, 6, r, c) * BLOCK_BYTES + row_byte(r);
}

static int64_t two_place(const struct tg_tiles_tl2 *d, int64_t r, int64_t c)
{
    return d->tail + tg_tiles_block(&d->twos, d->two_cols, 4, r, c) * BLOCK_BYTES + row_byte(r);
}

/* The byte that has the sign of the three from column c on, and its bit. */
static int64_t sign_place(const struct tg_tiles_tl2 *d, int64_t r, int64_t c, int *shift)
{
    const int64_t block = tg_tiles_block(&d->threes, d->three_cols, 24, r, c);
    const int bit = 15 - (int)(c % 24 / 3 * 2 + r % 32 / 16);

    *shift = bit % 8;
    return d->signs + block * BLOCK_BYTES + r % 16 * 2 + bit / 8;
}

static void pack_three(const int8_t *w, const struct tg_tiles_tl2 *d, int64_t r, int64_t c,
                       uint8_t *packed)
{
    const int v = 9 * w[0] + 3 * w[1] + w[2];
    int shift;
    uint8_t *sign = packed + sign_place(d, r, c, &shift);

    assert(-1 <= w[0] && w[0] <= 1 && -1 <= w[1] && w[1] <= 1 && -1 <= w[2] && w[2] <= 1);
    packed[three_place(d, r, c)] |= (uint8_t)((v < 0 ? -v : v) << (c % 6 == 0 ? 4 : 0));
    *sign = (uint8_t)(*sign | (v < 0) << shift);
}

static int two_of(const int8_t *w)
{
    assert(-1 <= w[0] && w[0] <= 1 && -1 <= w[1] && w[1] <= 1);
    return 3 * w[0] + w[1] + 4;
}

void tg_format_tl2_pack(const int8_t *ternary, int64_t rows, int64_t cols, uint8_t *packed)
{
    const struct tg_tiles_tl2 d = tg_tiles_divide_tl2(rows, cols);

    assert(cols % 32 == 0);
    memset(packed, 0, (size_t)d.tail);
    memset(packed + d.tail, TWO_ZEROS, (size_t)(d.bytes - d.tail));
    for (int64_t r = 0; r < rows; r++) {
        const int8_t *threes = ternary + r * cols, *twos = threes + d.three_cols;
        for (int64_t c = 0; c < d.three_cols; c += 3) pack_three(threes + c, &d, r, c, packed);
        for (int64_t c = 0; c < d.two_cols; c += 4)
            packed[two_place(&d, r, c)] = (uint8_t)(two_of(twos + c) << 4 | two_of(twos + c + 2));
    }
}

/* Three weights. Returns whether a three has that index and sign. */
static int unpack_three(const uint8_t *packed, const struct tg_tiles_tl2 *d, int64_t r, int64_t c,
                        int8_t *w)
{
    const uint8_t byte = packed[three_place(d, r, c)];
    const int index = c % 6 == 0 ? byte >> 4 : byte & 15;
    int shift;
    const int64_t place = sign_place(d, r, c, &shift);
    const int is_negative = packed[place] >> shift & 1;
    const int is_valid = index < THREES && !(index == 0 && is_negative);
    const int n = 13 + (is_valid ? (is_negative ? -index : index) : 0);

    w[0] = (int8_t)(n / 9 - 1);
    w[1] = (int8_t)(n / 3 % 3 - 1);
    w[2] = (int8_t)(n % 3 - 1);
    return is_valid;
}

/* Two weights. Returns whether two have that index. */
static int unpack_two(const uint8_t *packed, const struct tg_tiles_tl2 *d, int64_t r, int64_t c,
                      int8_t *w)
{
    const uint8_t byte = packed[two_place(d, r, c)];
    const int index = c % 4 == 0 ? byte >> 4 : byte & 15;
    const int is_valid = index < TWOS;

    w[0] = (int8_t)(is_valid ? index / 3 - 1 : 0);
    w[1] = (int8_t)(is_valid ? index % 3 - 1 : 0);
    return is_valid;
}

int64_t tg_format_tl2_unpack(const uint8_t *packed, int64_t rows, int64_t cols, int8_t *ternary)
{
    const struct tg_tiles_tl2 d = tg_tiles_divide_tl2(rows, cols);
    int64_t first_invalid = -1;

    assert(cols % 32 == 0);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols;) {
            const int64_t i = r * cols + c;
            const int is_three = c < d.three_cols;
            const int is_valid = is_three
                                     ? unpack_three(packed, &d, r, c, ternary + i)
                                     : unpack_two(packed, &d, r, c - d.three_cols, ternary + i);
            if (!is_valid && first_invalid < 0) first_invalid = i;
            c += is_three ? 3 : 2;
        }
    }
    return first_invalid;
}
