/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_TILES_H
#define TG_KERNELS_TILES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The order of TL1 and TL2: a matrix is cut into tiles, a tile into stripes of rows, and a stripe
 * into blocks of a few columns, which lie in memory as
 *
 *   for each `rows` rows: for each `cols` columns:          a tile
 *       for each `stripe` rows of the tile:                 a stripe
 *           for each `block_cols` columns of the stripe:    a block, some whole number of bytes
 *
 * so that the blocks of one stripe in one tile follow each other, and those of the next tile to the
 * right come `rows * cols / (stripe * block_cols)` blocks later. A kernel that does a stripe at a
 * time walks cols / tile.cols such runs.
 *
 * Neither format says its tiles: who made the file tuned them for each shape. The shapes that have
 * been published have the tiles of those files; all others have the smallest that the format has,
 * which makes a stripe one run from its first column to its last.
 */
struct tg_tiles {
    int64_t rows, cols; /* of a tile: BM and BK */
    int64_t stripe;     /* rows: bm, a divisor of rows */
};

/* Whether that shape has been published, so that its tiles are known, by TL1 and TL2. */
int tg_tiles_are_published(int64_t rows, int64_t cols);

/* The tiles of a matrix of that shape; rows that they do not fill are packed as 0. */
struct tg_tiles tg_tiles_of_tl1(int64_t rows, int64_t cols);
struct tg_tiles tg_tiles_of_tl2(int64_t rows, int64_t cols);

/* Rows, and those that the last stripe lacks. */
int64_t tg_tiles_rows(const struct tg_tiles *t, int64_t rows);

/*
 * The index of the block that has row r and column c, of a matrix or part of `cols` columns. Tiles
 * divide cols, blocks divide tiles.
 */
int64_t tg_tiles_block(const struct tg_tiles *t, int64_t cols, int64_t block_cols, int64_t r,
                       int64_t c);

/* How TL2 divides columns: threes of weights, then the rest in twos. Offsets are in bytes. */
struct tg_tiles_tl2 {
    struct tg_tiles threes, twos;
    int64_t three_cols, two_cols; /* of each part; they sum up to the columns */
    int64_t signs, tail, bytes;   /* where the signs and the twos begin, and where all ends */
};

struct tg_tiles_tl2 tg_tiles_divide_tl2(int64_t rows, int64_t cols);

#ifdef __cplusplus
}
#endif
#endif
