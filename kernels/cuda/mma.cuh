/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_MMA_CUH
#define TG_KERNELS_CUDA_MMA_CUH

#include <cstdint>

/*
 * One step of the tensor cores on 16-bit numbers: sums (16 x 8) += a (16 x 16) * b (16 x 8), in
 * f32.
 *
 * With g = lane / 4 and t = lane % 4, a lane of the warp holds, as pairs of neighbouring k:
 *
 *   a[0]  row g,     k = 2t, 2t + 1          b[0]  column g, k = 2t, 2t + 1
 *   a[1]  row g + 8, k = 2t, 2t + 1          b[1]  column g, k = 2t + 8, 2t + 9
 *   a[2]  row g,     k = 2t + 8, 2t + 9
 *   a[3]  row g + 8, k = 2t + 8, 2t + 9
 *   sums[0], [1]  row g, columns 2t, 2t + 1       sums[2], [3]  row g + 8, the same columns
 *
 * From compute capability 8.0 on. Source: PTX ISA, "Warp-level matrix instructions", mma.m16n8k16.
 */

static __device__ inline void tg_mma_f16(float sums[4], const uint32_t a[4], const uint32_t b[2])
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

static __device__ inline void tg_mma_bf16(float sums[4], const uint32_t a[4], const uint32_t b[2])
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

#endif
