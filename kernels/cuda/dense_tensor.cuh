/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_DENSE_TENSOR_CUH
#define TG_KERNELS_CUDA_DENSE_TENSOR_CUH

#include "kernels/cuda/dense_rows.cuh"
#include "kernels/cuda/ptx.cuh"

/*
 * Dense products of f16 and bf16 for batches, with tensor cores, summed in f32.
 *
 *   results[b][r] = sum over c of weight[r][c] * activations[b][c]
 *
 * A block has 64 rows by 64 columns of the batch, and goes over 32 columns of the matrix at a time,
 * which it puts into shared memory as they lie; what comes next is loaded meanwhile. Each of four
 * warps keeps 32 rows by 32 columns of the batch: 2 by 4 tiles of 16 x 8 (ptx.cuh). A lane takes
 * pairs of numbers that are neighbours in memory; rows of shared memory are 40 numbers apart, so
 * that the 32 lanes of a warp find theirs in different banks.
 *
 * `type` is that of dense_rows.cuh, and knows a step of the tensor cores. Before compute
 * capability 8.0 there is none for bf16, and one warp a row does every batch.
 */

#define TG_TENSOR_EDGE    64 /* rows, and columns of the batch */
#define TG_TENSOR_DEPTH   32
#define TG_TENSOR_PADDED  40
#define TG_TENSOR_THREADS 128

/* Numbers k..k+7 of a row, zeros where there are none. */
static __device__ inline uint4 tg_tensor_load(const uint16_t *row, bool is_there, int64_t k,
                                              int64_t cols)
{
    uint32_t pairs[4];
    if (!is_there || k >= cols) return make_uint4(0, 0, 0, 0);
    if (cols % 8 == 0) return *(const uint4 *)(row + k);
    for (int i = 0; i < 4; i++) {
        const uint32_t low = k + 2 * i < cols ? row[k + 2 * i] : 0;
        const uint32_t high = k + 2 * i + 1 < cols ? row[k + 2 * i + 1] : 0;
        pairs[i] = low | high << 16;
    }
    return make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
}

/* The sums of a warp: 16 columns of the matrix from k on, which are in shared memory. */
template <typename type>
static __device__ void tg_tensor_step(const uint16_t (*w)[TG_TENSOR_PADDED],
                                      const uint16_t (*x)[TG_TENSOR_PADDED], int k,
                                      float sums[2][4][4])
{
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    uint32_t a[2][4], b[4][2];
    for (int m = 0; m < 2; m++)
        for (int i = 0; i < 4; i++)
            a[m][i] = *(const uint32_t *)&w[16 * m + g + i % 2 * 8][k + 2 * t + i / 2 * 8];
    for (int n = 0; n < 4; n++)
        for (int i = 0; i < 2; i++) b[n][i] = *(const uint32_t *)&x[8 * n + g][k + 2 * t + 8 * i];
    for (int m = 0; m < 2; m++)
        for (int n = 0; n < 4; n++) type::mma(sums[m][n], a[m], b[n]);
}

template <typename type>
__global__ static void __launch_bounds__(TG_TENSOR_THREADS)
    tg_tensor_product(const uint16_t *weights, const uint16_t *activations, float *results,
                      int64_t rows, int64_t cols, int64_t batch, int64_t row_begin, int64_t row_end)
{
    __shared__ __align__(16) uint16_t w[TG_TENSOR_EDGE][TG_TENSOR_PADDED];
    __shared__ __align__(16) uint16_t x[TG_TENSOR_EDGE][TG_TENSOR_PADDED];
    const int64_t row = row_begin + (int64_t)blockIdx.x * TG_TENSOR_EDGE;
    const int64_t column = (int64_t)blockIdx.y * TG_TENSOR_EDGE;
    const int i = threadIdx.x / 4, k = threadIdx.x % 4 * 8; /* what this thread loads */
    const int warp = threadIdx.x / 32, r = warp % 2 * 32, c = warp / 2 * 32;
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    float sums[2][4][4] = {};
    uint4 next[4];
    tg_cuda_let_next();
    tg_cuda_wait();
    for (int64_t at = -TG_TENSOR_DEPTH; at < cols; at += TG_TENSOR_DEPTH) {
        for (int m = 0; m < 2; m++) {
            const int64_t from = at + TG_TENSOR_DEPTH + k, of = i + 32 * m;
            next[m] = tg_tensor_load(weights + (row + of) * cols, row + of < row_end, from, cols);
            next[2 + m] = tg_tensor_load(activations + (column + of) * cols, column + of < batch,
                                         from, cols);
        }
        if (at >= 0) {
            tg_tensor_step<type>(w + r, x + c, 0, sums);
            tg_tensor_step<type>(w + r, x + c, 16, sums);
        }
        __syncthreads();
        for (int m = 0; m < 2; m++) {
            *(uint4 *)&w[i + 32 * m][k] = next[m];
            *(uint4 *)&x[i + 32 * m][k] = next[2 + m];
        }
        __syncthreads();
    }
    for (int m = 0; m < 2; m++) {
        for (int n = 0; n < 4; n++) {
            for (int s = 0; s < 4; s++) {
                const int64_t to = row + r + 16 * m + g + s / 2 * 8;
                const int64_t b = column + c + 8 * n + 2 * t + s % 2;
                if (to < row_end && b < batch) results[b * rows + to] = sums[m][n][s];
            }
        }
    }
}

static inline bool tg_tensor_is_here(void)
{
    static int major = -1;
    if (major < 0) {
        int device = 0, found = 0;
        tg_cuda_launched(cudaGetDevice(&device));
        tg_cuda_launched(cudaDeviceGetAttribute(&found, cudaDevAttrComputeCapabilityMajor, device));
        major = found;
    }
    return major >= 8;
}

template <typename type> static void tg_tensor_dense(const struct tg_problem *p)
{
    const int64_t count = p->row_end - p->row_begin;
    if (p->batch <= 2 * TG_DENSE_COLUMNS || !tg_tensor_is_here()) {
        tg_dense_by_rows<type>(p);
        return;
    }
    if (count <= 0) return;
    const dim3 grid((unsigned)((count + TG_TENSOR_EDGE - 1) / TG_TENSOR_EDGE),
                    (unsigned)((p->batch + TG_TENSOR_EDGE - 1) / TG_TENSOR_EDGE));
    tg_cuda_launch(tg_tensor_product<type>, grid, dim3(TG_TENSOR_THREADS), 0, p->stream,
                   (const uint16_t *)p->weights, p->activations_16, (float *)p->results, p->rows,
                   p->cols, p->batch, p->row_begin, p->row_end);
}

#endif
