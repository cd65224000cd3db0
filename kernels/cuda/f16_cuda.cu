/* SPDX-License-Identifier: Apache-2.0 */
#include <cuda_fp16.h>

#include "kernels/cuda/dense_tensor.cuh"

/*
 * f16_cuda: dense product of f16, summed in f32: up to eight columns of the batch one warp a row,
 * above that with tensor cores; see dense_rows.cuh and dense_tensor.cuh.
 */

struct f16 {
    typedef uint16_t number;
    static __device__ float value(uint16_t half)
    {
        return __half2float(__ushort_as_half(half));
    }
    static __device__ float at(const uint4 &eight, int i)
    {
        const uint32_t pair = i < 2 ? eight.x : i < 4 ? eight.y : i < 6 ? eight.z : eight.w;
        return value((uint16_t)(pair >> i % 2 * 16));
    }
    static __device__ void mma(float sums[4], const uint32_t a[4], const uint32_t b[2])
    {
        tg_mma_f16(sums, a, b);
    }
};

extern "C" void tg_kernel_f16_cuda(const struct tg_problem *p)
{
    tg_tensor_dense<f16>(p);
}
