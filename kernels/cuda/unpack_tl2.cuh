/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_UNPACK_TL2_CUH
#define TG_KERNELS_CUDA_UNPACK_TL2_CUH

#include "kernels/cuda/unpack.cuh"
#include "kernels/tiles.h"

/*
 * TL2 to numbers: a block of threads has 32 rows and 96 columns, of threes or of twos. A thread
 * reads bytes of one row, each two threes or two twos, and puts their weights into a tile in shared
 * memory, from which rows are written.
 *
 * The weights of a three are the digits, less one, of its index with its sign plus 13, to the base
 * of three; those of a two the digits of its index. Blocks of 32 bytes have 32 rows, a row a byte,
 * whose second and third eight rows change places. The signs of eight threes are a 16-bit word of a
 * block of 16, from the high bit on, each for row r and row r + 16 (see kernels/format_tl2.c).
 * Limits: cols a multiple of 32; indices that weights have.
 */

#define TL2_COLS 96 /* threes come in multiples of it */

/* The block that has row r and column c, as tg_tiles_block says it on the host. */
static __device__ int64_t block_of(const struct tg_tiles &t, int64_t cols, int block_cols,
                                   int64_t r, int64_t c)
{
    const int64_t tile = r / t.rows * (cols / t.cols) + c / t.cols;
    const int64_t stripe = tile * (t.rows / t.stripe) + r % t.rows / t.stripe;
    return stripe * (t.cols / block_cols) + c % t.cols / block_cols;
}

static __device__ int row_byte(int r)
{
    return (r & 7) | (r & 8) << 1 | (r & 16) >> 1;
}

/* Six columns: the threes of a byte, whose signs are bits `shift` and `shift` - 2 of the word. */
static __device__ void put_threes(int8_t *to, int byte, int word, int shift)
{
    for (int i = 0; i < 2; i++, byte <<= 4, shift -= 2) {
        const int index = byte >> 4 & 15, n = 13 + (word >> shift & 1 ? -index : index);
        to[3 * i] = (int8_t)(n / 9 - 1);
        to[3 * i + 1] = (int8_t)(n / 3 % 3 - 1);
        to[3 * i + 2] = (int8_t)(n % 3 - 1);
    }
}

static __device__ void put_twos(int8_t *to, int byte)
{
    for (int i = 0; i < 2; i++, byte <<= 4) {
        const int index = byte >> 4 & 15;
        to[2 * i] = (int8_t)(index / 3 - 1);
        to[2 * i + 1] = (int8_t)(index % 3 - 1);
    }
}

static __device__ void fill_threes(const uint8_t *weights, const struct tg_tiles_tl2 &d,
                                   int64_t row, int64_t column, int8_t *tile)
{
    const int r = threadIdx.x % TG_UNPACK_ROWS;
    const int stride = 6 * TG_UNPACK_THREADS / TG_UNPACK_ROWS;
    for (int c = threadIdx.x / TG_UNPACK_ROWS * 6; c < TL2_COLS; c += stride) {
        const int64_t block = block_of(d.threes, d.three_cols, 6, row + r, column + c);
        const int64_t signs = block_of(d.threes, d.three_cols, 24, row + r, column + c);
        const uint8_t *word = weights + d.signs + 32 * signs + r % 16 * 2;
        put_threes(tile + r * TG_UNPACK_STRIDE + c, weights[32 * block + row_byte(r)],
                   word[0] | word[1] << 8, 15 - (c % 24 / 3 * 2 + r / 16));
    }
}

static __device__ void fill_twos(const uint8_t *weights, const struct tg_tiles_tl2 &d, int64_t row,
                                 int64_t column, int count, int8_t *tile)
{
    const int r = threadIdx.x % TG_UNPACK_ROWS;
    const int stride = 4 * TG_UNPACK_THREADS / TG_UNPACK_ROWS;
    for (int c = threadIdx.x / TG_UNPACK_ROWS * 4; c < count; c += stride) {
        const int64_t block = block_of(d.twos, d.two_cols, 4, row + r, column + c);
        put_twos(tile + r * TG_UNPACK_STRIDE + c, weights[d.tail + 32 * block + row_byte(r)]);
    }
}

template <typename number>
__global__ static void unpack_tl2(const uint8_t *weights, number *results, struct tg_tiles_tl2 d,
                                  int64_t cols, int64_t row_begin, int64_t row_end)
{
    __shared__ __align__(16) int8_t tile[TG_UNPACK_ROWS * TG_UNPACK_STRIDE];
    const int64_t row = (row_begin / TG_UNPACK_ROWS + blockIdx.y) * TG_UNPACK_ROWS;
    const int64_t column = (int64_t)blockIdx.x * TL2_COLS;
    const int count = (int)(cols - column < TL2_COLS ? cols - column : TL2_COLS);
    tg_cuda_let_next();
    if (column < d.three_cols)
        fill_threes(weights, d, row, column, tile);
    else
        fill_twos(weights, d, row, column - d.three_cols, count, tile);
    tg_cuda_wait();
    tg_unpack_write(tile, results, cols, row_begin, row_end, row, column, count);
}

template <typename number> static void tg_unpack_tl2(const struct tg_problem *p)
{
    const int64_t first = p->row_begin / TG_UNPACK_ROWS;
    const int64_t tiles = (p->row_end + TG_UNPACK_ROWS - 1) / TG_UNPACK_ROWS - first;
    const dim3 grid((unsigned)((p->cols + TL2_COLS - 1) / TL2_COLS), (unsigned)tiles);
    if (p->row_end <= p->row_begin) return;
    tg_cuda_launch(unpack_tl2<number>, grid, dim3(TG_UNPACK_THREADS), 0, p->stream, p->weights,
                   (number *)p->results, tg_tiles_divide_tl2(p->rows, p->cols), p->cols,
                   p->row_begin, p->row_end);
}

#endif
