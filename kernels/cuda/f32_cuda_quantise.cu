/* SPDX-License-Identifier: Apache-2.0 */
#include <cmath>
#include <cstdint>

#include "kernels/cuda/launch.cuh"
#include "kernels/kernel.h"
#include "kernels/tokens.h"

/*
 * f32_cuda_quantise: tokens to int8, one block a token.
 *
 *   scale[r] = 127 / max(1e-5, most[r])     most[r] = max over c of |x[r][c]|
 *   q[r][c]  = x[r][c] * scale[r] to the nearest integer, halfway to even;  sum[r] = sum of them
 *
 * Two passes over a token, of which the second finds it in the caches of the multiprocessor. The
 * first compares magnitudes as integers (bits without the sign), so that a NaN or an infinity is
 * the largest and seen at the end. Division, product and rounding are those of IEEE 754, by
 * intrinsics that no compiler flag changes. Four numbers at a time, where cols is a multiple of 4.
 */

#define WARP         32
#define THREADS_MOST 1024

static __device__ int32_t sum_of_block(int32_t value, int32_t *parts)
{
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    for (int step = WARP / 2; step > 0; step /= 2) value += __shfl_xor_sync(~0u, value, step);
    if (lane == 0) parts[warp] = value;
    __syncthreads();
    value = lane < warps ? parts[lane] : 0;
    for (int step = WARP / 2; step > 0; step /= 2) value += __shfl_xor_sync(~0u, value, step);
    return value;
}

static __device__ uint32_t largest_of_block(uint32_t value, uint32_t *parts)
{
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    for (int step = WARP / 2; step > 0; step /= 2)
        value = max(value, __shfl_xor_sync(~0u, value, step));
    if (lane == 0) parts[warp] = value;
    __syncthreads();
    value = lane < warps ? parts[lane] : 0;
    for (int step = WARP / 2; step > 0; step /= 2)
        value = max(value, __shfl_xor_sync(~0u, value, step));
    return value;
}

static __device__ uint32_t magnitude(float value)
{
    return __float_as_uint(value) & 0x7fffffffu;
}

/* One or four numbers: how they are compared, and rounded to as many bytes, which are summed. */
struct one {
    typedef float values;
    typedef int8_t bytes;
    static __device__ uint32_t largest(float x)
    {
        return magnitude(x);
    }
    static __device__ int8_t rounded(float x, float scale, int32_t *sum)
    {
        const int32_t q = __float2int_rn(__fmul_rn(x, scale));
        *sum += q;
        return (int8_t)q;
    }
};

struct four {
    typedef float4 values;
    typedef char4 bytes;
    static __device__ uint32_t largest(float4 x)
    {
        return max(max(magnitude(x.x), magnitude(x.y)), max(magnitude(x.z), magnitude(x.w)));
    }
    static __device__ char4 rounded(float4 x, float scale, int32_t *sum)
    {
        return make_char4(one::rounded(x.x, scale, sum), one::rounded(x.y, scale, sum),
                          one::rounded(x.z, scale, sum), one::rounded(x.w, scale, sum));
    }
};

/* `count` times `width` numbers a token. */
template <typename width>
__global__ static void quantise(const float *activations, int8_t *results, float *scales,
                                int32_t *sums, int64_t count, int64_t row_begin)
{
    __shared__ uint32_t largest[WARP];
    __shared__ int32_t parts[WARP];
    const int64_t row = row_begin + blockIdx.x;
    const typename width::values *x = (const typename width::values *)activations + row * count;
    typename width::bytes *q = (typename width::bytes *)results + row * count;
    uint32_t most = 0;
    int32_t sum = 0;
    tg_cuda_let_next();
    tg_cuda_wait();
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x)
        most = max(most, width::largest(x[i]));
    most = largest_of_block(most, largest);
    const bool is_finite = most < 0x7f800000u;
    const float scale = !is_finite                      ? 0.0f
                        : __uint_as_float(most) > 1e-5f ? __fdiv_rn(127.0f, __uint_as_float(most))
                                                        : TG_TOKENS_LARGEST_SCALE;
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x)
        q[i] = is_finite ? width::rounded(x[i], scale, &sum) : typename width::bytes();
    sum = sum_of_block(sum, parts);
    if (threadIdx.x != 0) return;
    scales[row] = is_finite ? scale : __uint_as_float(0x7fc00000u);
    sums[row] = sum;
}

extern "C" void tg_kernel_f32_cuda_quantise(const struct tg_problem *p)
{
    const int64_t rows = p->row_end - p->row_begin, width = p->cols % 4 == 0 ? 4 : 1;
    const int64_t count = p->cols / width, warps = (count + WARP - 1) / WARP;
    const int64_t threads = warps * WARP < THREADS_MOST ? warps * WARP : THREADS_MOST;
    if (rows <= 0) return;
    tg_cuda_launch(width == 4 ? quantise<four> : quantise<one>, dim3((unsigned)rows),
                   dim3((unsigned)threads), 0, p->stream, p->activations_f32, (int8_t *)p->results,
                   tg_tokens_scales(p), tg_tokens_sums(p), count, p->row_begin);
}
