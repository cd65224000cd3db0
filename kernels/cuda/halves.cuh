/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_HALVES_CUH
#define TG_KERNELS_CUDA_HALVES_CUH

#include <cstdint>
#include <cuda_fp16.h>

/* Two numbers in f16 as they lie in a word. */
static __device__ inline float2 tg_two_halves(uint32_t word)
{
    __half2_raw two;
    two.x = (unsigned short)(word & 0xffff);
    two.y = (unsigned short)(word >> 16);
    return __half22float2(__half2(two));
}

#endif
