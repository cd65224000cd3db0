/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_TOKEN_ROUND_CUH
#define TG_KERNELS_CUDA_TOKEN_ROUND_CUH

#include "kernels/cuda/bulk.cuh"
#include "kernels/tokens.h"

/*
 * One token by one block: the norm and the rounding to int8, in one pass.
 *
 *   n[c] = x[c] * weight[c] / sqrt(mean of x^2 + epsilon)      (n = x where there is no weight)
 *   q[c] = n[c] * 127 / max(1e-5, max |n|) to the nearest integer, halfway to even
 *
 * x * weight is rounded before it is divided: so the largest of it is where the largest n is, and
 * both sums of a block, of squares and of the largest, are found together. A thread keeps its
 * numbers in registers, VECTORS times four. Threads and warps add in one order always.
 */

#define TG_TOKEN_WARP 32

struct tg_token_sums { /* of the warps of a block, in its shared memory */
    float squares[TG_TOKEN_WARP];
    uint32_t most[TG_TOKEN_WARP];
    int32_t sum[TG_TOKEN_WARP];
};

struct tg_token {
    float scale;
    int32_t sum; /* of all q */
};

/* By a warp, where a block may have fewer warps than reduce looks at. */
static __device__ inline void tg_token_forget(struct tg_token_sums *s)
{
    s->squares[threadIdx.x % TG_TOKEN_WARP] = 0.0f;
    s->most[threadIdx.x % TG_TOKEN_WARP] = 0;
}

static __device__ inline float4 tg_times(float4 a, float4 b)
{
    return make_float4(__fmul_rn(a.x, b.x), __fmul_rn(a.y, b.y), __fmul_rn(a.z, b.z),
                       __fmul_rn(a.w, b.w));
}

/* Bits of magnitudes are ordered as these are, and those of a NaN are above all. */
static __device__ inline uint32_t tg_most(float4 a)
{
    return max(max(__float_as_uint(fabsf(a.x)), __float_as_uint(fabsf(a.y))),
               max(__float_as_uint(fabsf(a.z)), __float_as_uint(fabsf(a.w))));
}

static __device__ inline float tg_squares(float4 a, float sum)
{
    return fmaf(a.x, a.x, fmaf(a.y, a.y, fmaf(a.z, a.z, fmaf(a.w, a.w, sum))));
}

/*
 * To the nearest integer, halfway to even, in the lowest byte: the sum with 1.5 * 2^23 has no bits
 * for fractions.
 */
static __device__ inline uint32_t tg_rounded(float x, float inverse, float scale)
{
    return __float_as_uint(__fadd_rn(__fmul_rn(__fmul_rn(x, inverse), scale), 12582912.0f));
}

/* The squares and the largest of a block, to all of its threads; one barrier. */
template <int THREADS>
static __device__ inline void tg_token_reduce(float *squares, uint32_t *most,
                                              struct tg_token_sums *s)
{
    const int lane = threadIdx.x % TG_TOKEN_WARP, warp = threadIdx.x / TG_TOKEN_WARP;
    for (int step = TG_TOKEN_WARP / 2; step > 0; step /= 2)
        *squares += __shfl_xor_sync(~0u, *squares, step);
    *most = __reduce_max_sync(~0u, *most);
    if (lane == 0) {
        s->squares[warp] = *squares;
        s->most[warp] = *most;
    }
    __syncthreads();
    float sum = 0.0f;
    uint32_t largest = 0;
#pragma unroll
    for (int i = 0; i < THREADS / TG_TOKEN_WARP; i += 4) {
        const float4 a = *(const float4 *)(s->squares + i);
        const uint4 b = *(const uint4 *)(s->most + i);
        sum += (a.x + a.y) + (a.z + a.w);
        largest = max(max(largest, max(b.x, b.y)), max(b.z, b.w));
    }
    *squares = sum;
    *most = largest;
}

/* What a token is multiplied by, of the sum of its squares. */
static __device__ inline float tg_token_inverse(float squares, int cols, float epsilon)
{
    return rsqrtf(__fadd_rn(__fmul_rn(squares, 1.0f / (float)cols), epsilon));
}

/*
 * What a token is multiplied by before it is rounded: by both, one after the other. Of one that is
 * not finite the scale is NaN, and so is what is computed of it; q is then of no meaning.
 */
struct tg_token_factors {
    float inverse, scale;
};

/* Of `x`, the numbers of this thread, which become x * weight; zeros where there are no more. */
template <int VECTORS, int THREADS>
static __device__ inline struct tg_token_factors
tg_token_factors_of(float4 *x, const float4 *weights, bool has_weight, int cols, float epsilon,
                    struct tg_token_sums *s)
{
    float squares = 0.0f;
    uint32_t most = 0;
#pragma unroll
    for (int i = 0; i < VECTORS; i++) {
        squares = tg_squares(x[i], squares);
        if (has_weight) x[i] = tg_times(x[i], weights[i]);
        most = max(most, tg_most(x[i]));
    }
    tg_token_reduce<THREADS>(&squares, &most, s);
    const float inverse = has_weight ? tg_token_inverse(squares, cols, epsilon) : 1.0f;
    const float largest = __fmul_rn(__uint_as_float(most), inverse);
    if (__float_as_uint(largest) >= 0x7f800000) return {inverse, __uint_as_float(0x7fc00000)};
    return {inverse, largest > 1e-5f ? __fdiv_rn(127.0f, largest) : TG_TOKENS_LARGEST_SCALE};
}

/* Four bytes of q. */
static __device__ inline int32_t tg_token_four(float4 x, struct tg_token_factors f)
{
    const uint32_t low = __byte_perm(tg_rounded(x.x, f.inverse, f.scale),
                                     tg_rounded(x.y, f.inverse, f.scale), 0x0040);
    const uint32_t high = __byte_perm(tg_rounded(x.z, f.inverse, f.scale),
                                      tg_rounded(x.w, f.inverse, f.scale), 0x0040);
    return (int32_t)__byte_perm(low, high, 0x5410);
}

/*
 * `x` are the numbers of this thread: vector i is columns 4 j to 4 j + 3 of j = i * THREADS +
 * thread, zeros past `cols`; `weights` likewise, if has_weight. store(j, four) is called with four
 * bytes of q. Ends with a barrier, after which what was stored in shared memory can be read.
 */
template <int VECTORS, int THREADS, typename Store>
static __device__ inline struct tg_token tg_token_round(float4 *x, const float4 *weights,
                                                        bool has_weight, int cols, float epsilon,
                                                        struct tg_token_sums *s, Store store)
{
    const int lane = threadIdx.x % TG_TOKEN_WARP, warp = threadIdx.x / TG_TOKEN_WARP;
    const struct tg_token_factors factors = tg_token_factors_of<VECTORS, THREADS>(
        x, weights, has_weight, cols, epsilon, s);
    int32_t sum = 0;
#pragma unroll
    for (int i = 0; i < VECTORS; i++) {
        const int j = i * THREADS + (int)threadIdx.x;
        if (j >= cols / 4) continue;
        const int32_t four = tg_token_four(x[i], factors);
        sum = __dp4a(four, 0x01010101, sum);
        store(j, four);
    }
    sum = __reduce_add_sync(~0u, sum);
    if (lane == 0) s->sum[warp] = sum;
    __syncthreads();
    sum = 0;
#pragma unroll
    for (int i = 0; i < THREADS / TG_TOKEN_WARP; i += 4) {
        const int4 a = *(const int4 *)(s->sum + i);
        sum += (a.x + a.y) + (a.z + a.w);
    }
    return {factors.scale, sum};
}

/* What a product of int8 is in real numbers. */
static __device__ inline float tg_token_real(int32_t product, float token_scale, float scale)
{
    return __fmul_rn(__fdiv_rn((float)product, token_scale), scale);
}

/* The gate of a feed-forward layer: 0 SiLU, 1 squared ReLU. */
static __device__ inline float tg_token_gate(int is_squared_relu, float gate, float up)
{
    const float positive = gate < 0.0f ? 0.0f : gate; /* a NaN stays one */
    const float g = is_squared_relu ? positive * positive : gate / (1.0f + expf(-gate));
    return g * up;
}

#endif
