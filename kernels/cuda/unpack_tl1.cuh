/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_UNPACK_TL1_CUH
#define TG_KERNELS_CUDA_UNPACK_TL1_CUH

#include "kernels/cuda/unpack.cuh"
#include "kernels/tiles.h"

/*
 * TL1 to numbers: a block of threads has 32 rows and 128 columns, a kilobyte of indices. A thread
 * reads four bytes, which are four columns of four rows, and puts each row's four weights into a
 * tile in shared memory, from which rows are written.
 *
 * In a 64-byte block of kernels/tiles.h, 16 bytes have four columns of 16 rows; the next four
 * columns follow, if the stripe has 32 rows, then the next 16 rows.
 * Limits: cols a multiple of 8; indices 0..8.
 */

/* Four weights of the two indices of a byte: 3 * w[0] + w[1] + 4 in its high bits, then the next.
 */
static __device__ inline uint32_t weights_of(uint32_t byte)
{
    const uint32_t high = byte >> 4, low = byte & 15;
    const uint32_t codes = high / 3 | high % 3 << 8 | low / 3 << 16 | low % 3 << 24;
    return __vsub4(codes, 0x01010101u);
}

template <typename number>
__global__ static void unpack_tl1(const uint8_t *weights, number *results, struct tg_tiles t,
                                  int64_t cols, int64_t row_begin, int64_t row_end)
{
    __shared__ __align__(16) int8_t tile[TG_UNPACK_ROWS * TG_UNPACK_STRIDE];
    const int64_t row = (row_begin / TG_UNPACK_ROWS + blockIdx.y) * TG_UNPACK_ROWS;
    const int64_t column = (int64_t)blockIdx.x * TG_UNPACK_COLS;
    const int count = (int)(cols - column < TG_UNPACK_COLS ? cols - column : TG_UNPACK_COLS);
    const int r4 = threadIdx.x % 8 * 4, c4 = threadIdx.x / 8 * 4;
    tg_cuda_let_next();
    if (c4 < count) {
        const int64_t r = row + r4, c = column + c4, block_cols = 256 / t.stripe;
        const int64_t tile_of = r / t.rows * (cols / t.cols) + c / t.cols;
        const int64_t stripe = tile_of * (t.rows / t.stripe) + r % t.rows / t.stripe;
        const int64_t block = stripe * (t.cols / block_cols) + c % t.cols / block_cols;
        const int64_t sixteen = r % t.stripe / 16 * (block_cols / 4) + c % block_cols / 4;
        const uint32_t four = *(const uint32_t *)(weights + 64 * block + 16 * sixteen + r % 16);
        for (int i = 0; i < 4; i++)
            *(uint32_t *)(tile + (r4 + i) * TG_UNPACK_STRIDE + c4) = weights_of(four >> 8 * i &
                                                                                255);
    }
    tg_cuda_wait();
    tg_unpack_write(tile, results, cols, row_begin, row_end, row, column, count);
}

template <typename number> static void tg_unpack_tl1(const struct tg_problem *p)
{
    const int64_t first = p->row_begin / TG_UNPACK_ROWS;
    const int64_t tiles = (p->row_end + TG_UNPACK_ROWS - 1) / TG_UNPACK_ROWS - first;
    const dim3 grid((unsigned)((p->cols + TG_UNPACK_COLS - 1) / TG_UNPACK_COLS), (unsigned)tiles);
    if (p->row_end <= p->row_begin) return;
    tg_cuda_launch(unpack_tl1<number>, grid, dim3(TG_UNPACK_THREADS), 0, p->stream, p->weights,
                   (number *)p->results, tg_tiles_of_tl1(p->rows, p->cols), p->cols, p->row_begin,
                   p->row_end);
}

#endif
