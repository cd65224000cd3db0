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

enum { BLOCK_BYTES = 32, STRIPE = 32, TWO_ZEROS = 0x44, THREES = 14, TWOS = 9 };

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

/* The blocks of 32 rows from r on and 24 columns of threes from c on. */
struct threes {
    int64_t indices[4], signs; /* where each begins */
};

static struct threes find_threes(const struct tg_tiles_tl2 *d, int64_t r, int64_t c)
{
    struct threes t = {.signs = d->signs +
                                tg_tiles_block(&d->threes, d->three_cols, 24, r, c) * BLOCK_BYTES};

    for (int k = 0; k < 4; k++)
        t.indices[k] = tg_tiles_block(&d->threes, d->three_cols, 6, r, c + 6 * k) * BLOCK_BYTES;
    return t;
}

static int64_t two_place(const struct tg_tiles_tl2 *d, int64_t r, int64_t c)
{
    return d->tail + tg_tiles_block(&d->twos, d->two_cols, 4, r, c) * BLOCK_BYTES;
}

/* The bits of a row's signs in their word: that of three k is 15 - 2 k, or one less. */
static int sign_bit(int k, int64_t r)
{
    return 15 - 2 * k - (int)(r % 32 / 16);
}

static int three_of(const int8_t *w)
{
    assert(-1 <= w[0] && w[0] <= 1 && -1 <= w[1] && w[1] <= 1 && -1 <= w[2] && w[2] <= 1);
    return 9 * w[0] + 3 * w[1] + w[2];
}

static int two_of(const int8_t *w)
{
    assert(-1 <= w[0] && w[0] <= 1 && -1 <= w[1] && w[1] <= 1);
    return 3 * w[0] + w[1] + 4;
}

/* 24 weights of row r: eight threes, whose indices and signs are added to their blocks. */
static void pack_threes(const int8_t *w, const struct threes *t, int64_t r, uint8_t *packed)
{
    uint8_t *signs = packed + t->signs + r % 16 * 2;
    unsigned word = 0;

    for (int k = 0; k < 8; k += 2) {
        const int a = three_of(w + 3 * k), b = three_of(w + 3 * k + 3);
        const unsigned first = (unsigned)(a < 0 ? -a : a), second = (unsigned)(b < 0 ? -b : b);

        packed[t->indices[k / 2] + row_byte(r)] = (uint8_t)(first << 4 | second);
        word |= (unsigned)(a < 0) << sign_bit(k, r) | (unsigned)(b < 0) << sign_bit(k + 1, r);
    }
    signs[0] = (uint8_t)(signs[0] | (word & 255));
    signs[1] = (uint8_t)(signs[1] | word >> 8);
}

static int64_t rows_of_stripe(int64_t rows, int64_t stripe)
{
    return rows - stripe < STRIPE ? rows - stripe : STRIPE;
}

void tg_format_tl2_pack(const int8_t *ternary, int64_t rows, int64_t cols, uint8_t *packed)
{
    const struct tg_tiles_tl2 d = tg_tiles_divide_tl2(rows, cols);

    assert(cols % 32 == 0 && d.three_cols % 24 == 0);
    memset(packed, 0, (size_t)d.tail);
    memset(packed + d.tail, TWO_ZEROS, (size_t)(d.bytes - d.tail));
    for (int64_t stripe = 0; stripe < rows; stripe += STRIPE) {
        const int8_t *w = ternary + stripe * cols, *twos = w + d.three_cols;
        const int64_t count = rows_of_stripe(rows, stripe);

        for (int64_t c = 0; c < d.three_cols; c += 24) {
            const struct threes t = find_threes(&d, stripe, c);
            for (int64_t r = 0; r < count; r++) pack_threes(w + r * cols + c, &t, r, packed);
        }
        for (int64_t c = 0; c < d.two_cols; c += 4) {
            uint8_t *block = packed + two_place(&d, stripe, c);
            for (int64_t r = 0; r < count; r++)
                block[row_byte(r)] = (uint8_t)(two_of(twos + r * cols + c) << 4 |
                                               two_of(twos + r * cols + c + 2));
        }
    }
}

/* The weights of an index: n is 9 * (w[0] + 1) + 3 * (w[1] + 1) + w[2] + 1. */
static void three_weights(int n, int8_t *w)
{
    w[0] = (int8_t)(n / 9 - 1);
    w[1] = (int8_t)(n / 3 % 3 - 1);
    w[2] = (int8_t)(n % 3 - 1);
}

/* Row r of 24 columns. Returns the first column of a three that stands for nothing, or -1. */
static int64_t unpack_threes(const uint8_t *packed, const struct threes *t, int64_t r, int8_t *w)
{
    const uint8_t *signs = packed + t->signs + r % 16 * 2;
    const unsigned word = signs[0] | (unsigned)signs[1] << 8;
    int64_t invalid = -1;

    for (int k = 0; k < 8; k++) {
        const uint8_t byte = packed[t->indices[k / 2] + row_byte(r)];
        const int index = k % 2 == 0 ? byte >> 4 : byte & 15;
        const int is_negative = word >> sign_bit(k, r) & 1;
        const int is_valid = index < THREES && !(index == 0 && is_negative);

        three_weights(13 + (is_valid ? (is_negative ? -index : index) : 0), w + 3 * k);
        if (!is_valid && invalid < 0) invalid = 3 * k;
    }
    return invalid;
}

/* Row r of 4 columns, likewise. */
static int64_t unpack_twos(const uint8_t *block, int64_t r, int8_t *w)
{
    const uint8_t byte = block[row_byte(r)];
    int64_t invalid = -1;

    for (int k = 0; k < 2; k++) {
        const int index = k == 0 ? byte >> 4 : byte & 15;

        w[2 * k] = (int8_t)(index < TWOS ? index / 3 - 1 : 0);
        w[2 * k + 1] = (int8_t)(index < TWOS ? index % 3 - 1 : 0);
        if (index >= TWOS && invalid < 0) invalid = 2 * k;
    }
    return invalid;
}

/* The lesser of two places, of which -1 is none. */
static int64_t first_of(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

int64_t tg_format_tl2_unpack(const uint8_t *packed, int64_t rows, int64_t cols, int8_t *ternary)
{
    const struct tg_tiles_tl2 d = tg_tiles_divide_tl2(rows, cols);
    int64_t invalid = -1;

    assert(cols % 32 == 0 && d.three_cols % 24 == 0);
    for (int64_t stripe = 0; stripe < rows; stripe += STRIPE) {
        const int64_t count = rows_of_stripe(rows, stripe);

        for (int64_t c = 0; c < cols; c += c < d.three_cols ? 24 : 4) {
            const int is_three = c < d.three_cols;
            const struct threes t = is_three ? find_threes(&d, stripe, c) : (struct threes){{0}, 0};
            const uint8_t *twos = is_three ? NULL
                                           : packed + two_place(&d, stripe, c - d.three_cols);

            for (int64_t r = 0; r < count; r++) {
                const int64_t at = (stripe + r) * cols + c;
                const int64_t found = is_three ? unpack_threes(packed, &t, r, ternary + at)
                                               : unpack_twos(twos, r, ternary + at);
                invalid = first_of(invalid, found < 0 ? -1 : at + found);
            }
        }
    }
    return invalid;
}
