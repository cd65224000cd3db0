/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_DECODE_HEAD_CUH
#define TG_KERNELS_CUDA_DECODE_HEAD_CUH

#include "kernels/cuda/halves.cuh"
#include "kernels/cuda/token_round.cuh"

/*
 * From the last block to the next token: norm, f16 head, the largest logit. Of equal logits the
 * first one counts. What is no number never does; where there is nothing else it is token 0, since
 * the next step reads the embedding of what was chosen.
 *
 *   head     each warp a row at a time; each block leaves the best of its rows
 *   choose   one block: the best of all to tokens[position + 1], and the position goes on
 */

#define TG_HEAD_THREADS 512
#define TG_HEAD_BLOCKS  2 /* a multiprocessor */
#define TG_HEAD_FLIGHT  5 /* loads of 16 bytes a lane in flight */

struct tg_best {
    float logit;
    int32_t token;
};

struct tg_decode_head {
    const __half *weights;
    const float *norm, *x;
    float *logits;
    struct tg_best *best; /* of each block */
    int32_t *tokens, *position;
    float epsilon;
    int cols, rows, blocks;
};

static __device__ inline struct tg_best tg_better(struct tg_best a, struct tg_best b)
{
    return b.logit > a.logit || (b.logit == a.logit && b.token < a.token) ? b : a;
}

static __device__ inline struct tg_best tg_best_of_block(struct tg_best best, struct tg_best *parts)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (int step = 16; step > 0; step /= 2)
        best = tg_better(
            best, {__shfl_xor_sync(~0u, best.logit, step), __shfl_xor_sync(~0u, best.token, step)});
    if (lane == 0) parts[warp] = best;
    __syncthreads();
    for (int i = 0; i < (int)blockDim.x / 32; i++) best = tg_better(best, parts[i]);
    return best;
}

static __device__ inline int tg_head_place(int i, int chunks)
{
    return i / 4 % 2 * chunks * 4 + i / 8 * 4 + i % 4;
}

/* Eight weights; their numbers lie in two halves, each of which is read without conflicts. */
static __device__ inline float tg_head_dot(uint4 w, const float4 *x, int half, float sum)
{
    const uint32_t words[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const float4 n = x[i * half];
        const float2 a = tg_two_halves(words[2 * i]);
        const float2 b = tg_two_halves(words[2 * i + 1]);
        sum = fmaf(b.y, n.w, fmaf(b.x, n.z, fmaf(a.y, n.y, fmaf(a.x, n.x, sum))));
    }
    return sum;
}

__global__ static void __launch_bounds__(TG_HEAD_THREADS)
    tg_decode_head_kernel(const struct tg_decode_head p)
{
    const int lane = threadIdx.x % 32, warps = gridDim.x * (TG_HEAD_THREADS / 32);
    const int chunks = p.cols / 8;
    const int first = blockIdx.x * (TG_HEAD_THREADS / 32) + threadIdx.x / 32;
    struct tg_token_sums *sums = (struct tg_token_sums *)tg_shared();
    struct tg_best *parts = (struct tg_best *)(sums + 1);
    float *x = (float *)(parts + 32);
    float squares = 0.0f;
    uint32_t most = 0;
    if (first < p.rows)
        for (int c = lane * 8; c < chunks; c += 256)
            tg_prefetch((const uint4 *)(p.weights + (int64_t)first * p.cols) + c);
    tg_cuda_let_next();
    tg_cuda_wait();
    for (int i = threadIdx.x; i < p.cols; i += TG_HEAD_THREADS) {
        const float n = __ldcg(p.x + i);
        squares = fmaf(n, n, squares);
        x[tg_head_place(i, chunks)] = __fmul_rn(n, p.norm[i]);
    }
    tg_token_reduce<TG_HEAD_THREADS>(&squares, &most, sums);
    const float inverse = tg_token_inverse(squares, p.cols, p.epsilon);
    for (int i = threadIdx.x; i < p.cols; i += TG_HEAD_THREADS) x[i] = __fmul_rn(x[i], inverse);
    __syncthreads();
    struct tg_best best = {-INFINITY, 0};
    for (int row = first; row < p.rows; row += warps) {
        const uint4 *w = (const uint4 *)(p.weights + (int64_t)row * p.cols);
        float sum = 0.0f;
        for (int c = lane; c < chunks; c += 32 * TG_HEAD_FLIGHT) {
            uint4 in_flight[TG_HEAD_FLIGHT];
#pragma unroll
            for (int i = 0; i < TG_HEAD_FLIGHT; i++)
                in_flight[i] = c + 32 * i < chunks ? __ldcs(w + c + 32 * i)
                                                   : make_uint4(0, 0, 0, 0);
#pragma unroll
            for (int i = 0; i < TG_HEAD_FLIGHT; i++)
                if (c + 32 * i < chunks)
                    sum = tg_head_dot(in_flight[i], (const float4 *)x + c + 32 * i, chunks, sum);
        }
        for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
        if (lane == 0) p.logits[row] = sum;
        best = tg_better(best, {sum, row});
    }
    best = tg_best_of_block(best, parts);
    if (threadIdx.x == 0) p.best[blockIdx.x] = best;
}

__global__ static void __launch_bounds__(TG_HEAD_THREADS)
    tg_decode_choose_kernel(const struct tg_decode_head p)
{
    struct tg_best *parts = (struct tg_best *)tg_shared();
    struct tg_best best = {-INFINITY, 0};
    tg_cuda_let_next();
    tg_cuda_wait();
    for (int i = threadIdx.x; i < p.blocks; i += blockDim.x) {
        const uint64_t both = __ldcg((const unsigned long long *)p.best + i);
        best = tg_better(best, {__uint_as_float((uint32_t)both), (int32_t)(both >> 32)});
    }
    best = tg_best_of_block(best, parts);
    if (threadIdx.x != 0) return;
    const int32_t position = *p.position;
    p.tokens[position + 1] = best.token;
    *p.position = position + 1;
}

static inline void tg_decode_head(const struct tg_decode_head *p, void *stream)
{
    const size_t best = 32 * sizeof(struct tg_best);
    const size_t bytes = sizeof(struct tg_token_sums) + best + (size_t)p->cols * sizeof(float);
    tg_cuda_launched(cudaFuncSetAttribute(tg_decode_head_kernel,
                                          cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes));
    tg_cuda_launch(tg_decode_head_kernel, dim3((unsigned)p->blocks), dim3(TG_HEAD_THREADS), bytes,
                   stream, *p);
    tg_cuda_launch(tg_decode_choose_kernel, dim3(1), dim3(TG_HEAD_THREADS), best, stream, *p);
}

#endif
