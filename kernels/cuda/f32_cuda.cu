/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cuda/dense_rows.cuh"

/*
 * f32_cuda: dense product of f32, in f32 throughout: no tensor cores, which would cut numbers to 10
 * bits.
 *
 *   results[b][r] = sum over c of weight[r][c] * activations[b][c]
 *
 * Up to eight columns of the batch one warp a row (dense_rows.cuh). Above, a block has 64 rows by
 * 32 columns of the batch and goes over 16 columns of the matrix at a time, which it puts into
 * shared memory, turned so that neighbours in a row of it are rows, or columns of the batch; each
 * of 128 threads keeps a tile of four by four sums. What comes next is loaded while the present is
 * multiplied. Rows of shared memory are padded by 4 numbers, so that stores hit different banks.
 */

#define ROWS    64
#define COLUMNS 32
#define DEPTH   16
#define PADDED  4
#define THREADS 128

struct f32 {
    typedef float number;
    static __device__ float value(float x)
    {
        return x;
    }
    static __device__ float at(const uint4 &four, int i)
    {
        return __uint_as_float(i == 0 ? four.x : i == 1 ? four.y : i == 2 ? four.z : four.w);
    }
};

/* Numbers k..k+3 of a row, zeros where there are none. */
static __device__ float4 load(const float *row, bool is_there, int64_t k, int64_t cols)
{
    if (!is_there || k >= cols) return make_float4(0, 0, 0, 0);
    if (cols % 4 == 0) return *(const float4 *)(row + k);
    return make_float4(row[k], k + 1 < cols ? row[k + 1] : 0, k + 2 < cols ? row[k + 2] : 0,
                       k + 3 < cols ? row[k + 3] : 0);
}

template <int padded> static __device__ void turn(float tile[][padded], int i, int k, float4 of)
{
    tile[k][i] = of.x;
    tile[k + 1][i] = of.y;
    tile[k + 2][i] = of.z;
    tile[k + 3][i] = of.w;
}

__global__ static void __launch_bounds__(THREADS)
    product(const float *weights, const float *activations, float *results, int64_t rows,
            int64_t cols, int64_t batch, int64_t row_begin, int64_t row_end)
{
    __shared__ __align__(16) float w[DEPTH][ROWS + PADDED], x[DEPTH][COLUMNS + PADDED];
    const int64_t row = row_begin + (int64_t)blockIdx.x * ROWS;
    const int64_t column = (int64_t)blockIdx.y * COLUMNS;
    const int i = threadIdx.x / 4, k = threadIdx.x % 4 * 4; /* what this thread loads */
    const int r = threadIdx.x % 16 * 4, b = threadIdx.x / 16 * 4;
    const float *from[3] = {weights + (row + i) * cols, weights + (row + i + 32) * cols,
                            activations + (column + i) * cols};
    const bool is_there[3] = {row + i < row_end, row + i + 32 < row_end, column + i < batch};
    float sums[4][4] = {};
    float4 next[3];
    tg_cuda_let_next();
    tg_cuda_wait();
    for (int m = 0; m < 3; m++) next[m] = load(from[m], is_there[m], k, cols);
    for (int64_t c = 0; c < cols; c += DEPTH) {
        turn(w, i, k, next[0]);
        turn(w, i + 32, k, next[1]);
        turn(x, i, k, next[2]);
        __syncthreads();
        for (int m = 0; m < 3; m++) next[m] = load(from[m], is_there[m], c + DEPTH + k, cols);
        for (int d = 0; d < DEPTH; d++) {
            const float4 of_rows = *(const float4 *)&w[d][r], of_batch = *(const float4 *)&x[d][b];
            const float a[4] = {of_rows.x, of_rows.y, of_rows.z, of_rows.w};
            const float y[4] = {of_batch.x, of_batch.y, of_batch.z, of_batch.w};
            for (int m = 0; m < 4; m++)
                for (int n = 0; n < 4; n++) sums[m][n] = fmaf(a[n], y[m], sums[m][n]);
        }
        __syncthreads();
    }
    for (int m = 0; m < 4; m++)
        for (int n = 0; n < 4; n++)
            if (column + b + m < batch && row + r + n < row_end)
                results[(column + b + m) * rows + row + r + n] = sums[m][n];
}

extern "C" void tg_kernel_f32_cuda(const struct tg_problem *p)
{
    const int64_t count = p->row_end - p->row_begin;
    if (p->batch <= 2 * TG_DENSE_COLUMNS) {
        tg_dense_by_rows<f32>(p);
        return;
    }
    if (count <= 0) return;
    const dim3 grid((unsigned)((count + ROWS - 1) / ROWS),
                    (unsigned)((p->batch + COLUMNS - 1) / COLUMNS));
    tg_cuda_launch(product, grid, dim3(THREADS), 0, p->stream, (const float *)p->weights,
                   p->activations_f32, (float *)p->results, p->rows, p->cols, p->batch,
                   p->row_begin, p->row_end);
}
