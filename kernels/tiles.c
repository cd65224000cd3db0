/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/tiles.h"

#include <assert.h>
#include <stddef.h>

/*
 * Tiles of the published shapes: the arguments with which microsoft/BitNet makes its kernels for
 * the models of 0.7B, 3B and 8B (setup_env.py, docs/codegen.md). Stripes of TL2 have 32 rows. Its
 * folder preset_kernels has others of TL1 for 8B, which setup_env.py overwrites before it converts.
 */
struct published {
    int64_t rows, cols;
    struct tg_tiles tl1, tl2;
};

static const struct published published[] = {
    {1536, 4096, {256, 128, 32}, {256, 96, 32}},  {1536, 1536, {128, 64, 64}, {128, 192, 32}},
    {4096, 1536, {256, 128, 32}, {256, 96, 32}},  {3200, 8640, {160, 64, 32}, {160, 96, 32}},
    {3200, 3200, {320, 128, 64}, {320, 96, 32}},  {8640, 3200, {320, 64, 32}, {320, 96, 32}},
    {14336, 4096, {256, 128, 32}, {256, 96, 32}}, {4096, 14336, {128, 64, 64}, {128, 96, 32}},
    {1024, 4096, {256, 128, 32}, {256, 96, 32}},  {4096, 4096, {128, 64, 64}, {128, 96, 32}},
};

static const struct tg_tiles smallest_tl1 = {32, 8, 32}, smallest_tl2 = {32, 96, 32};

static const struct published *find(int64_t rows, int64_t cols)
{
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        if (published[i].rows == rows && published[i].cols == cols) return &published[i];
    }
    return NULL;
}

int tg_tiles_are_published(int64_t rows, int64_t cols)
{
    return find(rows, cols) != NULL;
}

struct tg_tiles tg_tiles_of_tl1(int64_t rows, int64_t cols)
{
    const struct published *p = find(rows, cols);

    return p ? p->tl1 : smallest_tl1;
}

struct tg_tiles tg_tiles_of_tl2(int64_t rows, int64_t cols)
{
    const struct published *p = find(rows, cols);

    return p ? p->tl2 : smallest_tl2;
}

int64_t tg_tiles_rows(const struct tg_tiles *t, int64_t rows)
{
    return (rows + t->stripe - 1) / t->stripe * t->stripe;
}

int64_t tg_tiles_block(const struct tg_tiles *t, int64_t cols, int64_t block_cols, int64_t r,
                       int64_t c)
{
    const int64_t tile = r / t->rows * (cols / t->cols) + c / t->cols;
    const int64_t stripe = tile * (t->rows / t->stripe) + r % t->rows / t->stripe;

    assert(cols % t->cols == 0 && t->cols % block_cols == 0 && t->rows % t->stripe == 0);
    return stripe * (t->cols / block_cols) + c % t->cols / block_cols;
}

struct tg_tiles_tl2 tg_tiles_divide_tl2(int64_t rows, int64_t cols)
{
    struct tg_tiles_tl2 d = {.threes = tg_tiles_of_tl2(rows, cols)};
    const int64_t padded = tg_tiles_rows(&d.threes, rows);

    d.twos = (struct tg_tiles){d.threes.rows, 32, d.threes.stripe};
    d.three_cols = cols / d.threes.cols * d.threes.cols;
    d.two_cols = cols - d.three_cols;
    d.signs = padded * d.three_cols / 6;
    d.tail = d.signs + padded * d.three_cols / 24;
    d.bytes = d.tail + padded * d.two_cols / 4;
    return d;
}
