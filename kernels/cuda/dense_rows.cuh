/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_DENSE_ROWS_CUH
#define TG_KERNELS_CUDA_DENSE_ROWS_CUH

#include <cstdint>

#include "kernels/cuda/launch.cuh"
#include "kernels/kernel.h"

/*
 * Dense products with one warp a row, for few columns of the batch: memory is the limit. A lane
 * reads 16 bytes of weights at a time, four times before it uses them, and multiplies them with as
 * many numbers of one to four columns of the batch, which all warps read and caches hold.
 *
 *   results[b][r] = sum over c of weight[r][c] * activations[b][c]
 *
 * Products are fused with their additions, in f32; f16 and bf16 are made f32 first, which is exact.
 * Where columns are no multiple of 16 bytes, rows do not begin at one, and a lane reads a number at
 * a time. `type` says how numbers are held, and how number i of 16 bytes is had as f32.
 */

#define TG_DENSE_WARP    32
#define TG_DENSE_WARPS   8 /* of a block */
#define TG_DENSE_COLUMNS 4 /* of the batch, at most */
#define TG_DENSE_AHEAD   4 /* times 16 bytes that are read before they are used */

/* Adds the products of 16 bytes of a row with as much of each column of the batch. */
template <typename type, int columns>
static __device__ inline void tg_dense_add(const uint4 &weights, const typename type::number *x,
                                           int64_t cols, int64_t count, float *sums)
{
    constexpr int width = 16 / (int)sizeof(typename type::number);
#pragma unroll
    for (int j = 0; j < columns; j++) {
        if (j >= count) continue;
        const uint4 of_column = *(const uint4 *)(x + j * cols);
#pragma unroll
        for (int i = 0; i < width; i++)
            sums[j] = fmaf(type::at(weights, i), type::at(of_column, i), sums[j]);
    }
}

/* The sums of a lane where rows begin at 16 bytes. */
template <typename type, int columns>
static __device__ inline void tg_dense_add_whole(const typename type::number *w,
                                                 const typename type::number *x, int64_t cols,
                                                 int64_t count, float *sums)
{
    constexpr int width = 16 / (int)sizeof(typename type::number), step = TG_DENSE_WARP * width;
    int64_t c = threadIdx.x % TG_DENSE_WARP * width;
    for (; c + (TG_DENSE_AHEAD - 1) * step < cols; c += TG_DENSE_AHEAD * step) {
        uint4 weights[TG_DENSE_AHEAD];
#pragma unroll
        for (int k = 0; k < TG_DENSE_AHEAD; k++) weights[k] = *(const uint4 *)(w + c + k * step);
#pragma unroll
        for (int k = 0; k < TG_DENSE_AHEAD; k++)
            tg_dense_add<type, columns>(weights[k], x + c + k * step, cols, count, sums);
    }
    for (; c < cols; c += step)
        tg_dense_add<type, columns>(*(const uint4 *)(w + c), x + c, cols, count, sums);
}

template <typename type, int columns, bool is_whole>
__global__ static void tg_dense_rows(const typename type::number *weights,
                                     const typename type::number *activations, float *results,
                                     int64_t rows, int64_t cols, int64_t batch, int64_t row_begin,
                                     int64_t row_end)
{
    const int lane = threadIdx.x % TG_DENSE_WARP;
    const int64_t row = row_begin + (int64_t)blockIdx.x * TG_DENSE_WARPS +
                        threadIdx.x / TG_DENSE_WARP;
    const int64_t first = (int64_t)blockIdx.y * columns, count = batch - first;
    const typename type::number *w = weights + row * cols, *x = activations + first * cols;
    float sums[columns] = {};
    tg_cuda_let_next();
    if (row >= row_end) return;
    tg_cuda_wait();
    if (is_whole) {
        tg_dense_add_whole<type, columns>(w, x, cols, count, sums);
    } else {
        for (int64_t c = lane; c < cols; c += TG_DENSE_WARP) {
            for (int j = 0; j < columns && j < count; j++)
                sums[j] = fmaf(type::value(w[c]), type::value(x[j * cols + c]), sums[j]);
        }
    }
    for (int j = 0; j < columns; j++) {
        for (int step = TG_DENSE_WARP / 2; step > 0; step /= 2)
            sums[j] += __shfl_xor_sync(~0u, sums[j], step);
        if (lane == 0 && j < count) results[(first + j) * rows + row] = sums[j];
    }
}

template <typename type, int columns> static void tg_dense_launch_rows(const struct tg_problem *p)
{
    typedef typename type::number number;
    const bool is_whole = p->cols * (int64_t)sizeof(number) % 16 == 0;
    const int64_t rows = p->row_end - p->row_begin;
    const dim3 grid((unsigned)((rows + TG_DENSE_WARPS - 1) / TG_DENSE_WARPS),
                    (unsigned)((p->batch + columns - 1) / columns));
    if (rows <= 0) return;
    tg_cuda_launch(is_whole ? tg_dense_rows<type, columns, true>
                            : tg_dense_rows<type, columns, false>,
                   grid, dim3(TG_DENSE_WARPS * TG_DENSE_WARP), 0, p->stream,
                   (const number *)p->weights, (const number *)p->activations, (float *)p->results,
                   p->rows, p->cols, p->batch, p->row_begin, p->row_end);
}

/* Any batch; made for a small one. */
template <typename type> static void tg_dense_by_rows(const struct tg_problem *p)
{
    if (p->batch == 1)
        tg_dense_launch_rows<type, 1>(p);
    else
        tg_dense_launch_rows<type, TG_DENSE_COLUMNS>(p);
}

#endif
