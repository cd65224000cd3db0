/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_LOOKUPS_H
#define TG_KERNELS_LOOKUPS_H

#include <stdint.h>

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Tables of sums: what the operations tables_tl1 and tables_tl2 make of a token's activations, for
 * whoever multiplies by looking up. Two neighbouring activations, or three, have a table of 16 sums
 * of 16 bits, one for each index of the format, stored as two tables of bytes as instructions look
 * them up:
 *
 *   bytes 0..15    upper bytes of sums 0..15
 *   bytes 16..31   lower bytes
 *
 *   twos     sum[i] = (i / 3 - 1) * a[0] + (i % 3 - 1) * a[1]                        i < 9
 *   threes   sum[i] = the digits of i + 13 to the base of three, less one each,
 *                     times a[0], a[1] and a[2]; the others have the sign bit        i < 14
 *
 * and sums of no index are 0. A token of TL1 has cols / 2 tables of twos, that is 16 bytes an
 * activation; one of TL2 has tables of threes as far as blocks of 96 columns go, then of twos.
 *
 * The kernels of this project that look up split their sums by 31 instead, which lets eight of them
 * be added as bytes (kernels/cpu/tables_avx2.h), and make them inside of the product.
 *
 * Source: the tables of bitnet.cpp, arXiv:2502.11880.
 */

#define TG_LOOKUPS_BYTES 32

/* Columns of a token of TL2 that are in threes, as kernels/tiles.h divides every shape. */
static inline int64_t tg_lookups_three_cols(int64_t cols)
{
    return cols / 96 * 96;
}

/* Bytes of a token's tables. */
static inline int64_t tg_lookups_bytes_tl1(int64_t cols)
{
    return cols / 2 * TG_LOOKUPS_BYTES;
}

static inline int64_t tg_lookups_bytes_tl2(int64_t cols)
{
    const int64_t three_cols = tg_lookups_three_cols(cols);

    return (three_cols / 3 + (cols - three_cols) / 2) * TG_LOOKUPS_BYTES;
}

/* Makes one table, the plain way. */
static inline void tg_lookups_twos(const int8_t *activations, uint8_t *table)
{
    for (int i = 0; i < 16; i++) {
        const int sum = i < 9 ? (i / 3 - 1) * activations[0] + (i % 3 - 1) * activations[1] : 0;
        table[i] = (uint8_t)((unsigned)sum >> 8);
        table[16 + i] = (uint8_t)sum;
    }
}

static inline void tg_lookups_threes(const int8_t *activations, uint8_t *table)
{
    for (int i = 0; i < 16; i++) {
        const int n = i + 13;
        const int sum = i < 14 ? (n / 9 - 1) * activations[0] + (n / 3 % 3 - 1) * activations[1] +
                                     (n % 3 - 1) * activations[2]
                               : 0;
        table[i] = (uint8_t)((unsigned)sum >> 8);
        table[16 + i] = (uint8_t)sum;
    }
}

#ifdef __cplusplus
}
#endif
#endif
