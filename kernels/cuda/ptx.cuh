/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_PTX_CUH
#define TG_KERNELS_CUDA_PTX_CUH

#include <cstdint>

/*
 * What CUDA C++ has no name for, or not with what is wanted of it: the shared memory of a launch,
 * what is ahead of a kernel and behind it, loads, a dot product, and steps of the tensor cores.
 * Those of 9.0 are in bulk.cuh, shelf.cuh and hopper.cuh.
 *
 * A step is sums (16 x 8) += a (16 x k) * b (k x 8). With g = lane / 4 and t = lane % 4, a lane of
 * the warp has, of k in words of 2, 4 or 32 neighbours:
 *
 *   a[0]  row g,     word t          b[0]  column g, word t
 *   a[1]  row g + 8, word t          b[1]  column g, word t + 4
 *   a[2]  row g,     word t + 4
 *   a[3]  row g + 8, word t + 4
 *   sums[0], [1]  row g, columns 2t, 2t + 1       sums[2], [3]  row g + 8, the same columns
 *
 * Source: PTX ISA 9.0, "griddepcontrol", "ld", "dp4a", "Warp-level matrix instructions".
 */

/* The shared memory of a block, as many bytes as its launch says. */
static __device__ inline uint8_t *tg_shared()
{
    extern __shared__ __align__(128) uint8_t tg_shared_memory[];
    return tg_shared_memory;
}

/*
 * The next kernel in the stream may begin as soon as every block has said this, or has ended. Said
 * behind a block's own first loads: said ahead of them, the next kernel's loads get in between, and
 * calls of a few microseconds took up to half as long again on an H200.
 */
static __device__ inline void tg_cuda_let_next()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/* Returns when the kernels ahead in the stream have ended and what they wrote can be seen. */
static __device__ inline void tg_cuda_wait()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/* 16 bytes that nobody writes, used once. */
static __device__ inline uint4 tg_load_once(const void *from)
{
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(from));
    return v;
}

/* 16 bytes that the kernel ahead may have written: not before the wait for it. */
static __device__ inline uint4 tg_load_written(const void *from)
{
    uint4 v;
    asm volatile("ld.global.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(from)
                 : "memory");
    return v;
}

/* sum + four bytes without sign times four with. */
static __device__ inline int tg_dot_u8_s8(uint32_t a, uint32_t b, int sum)
{
    asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

/* k = 16 numbers in f16, summed in f32; of 8.0 and later. */
static __device__ inline void tg_mma_f16(float sums[4], const uint32_t a[4], const uint32_t b[2])
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/* The same in bf16. */
static __device__ inline void tg_mma_bf16(float sums[4], const uint32_t a[4], const uint32_t b[2])
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/* k = 32 bytes with sign; before 8.0 in four steps. */
static __device__ inline void tg_mma_s8(int (&sums)[4], const uint32_t (&a)[4],
                                        const uint32_t (&b)[2])
{
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    for (int i = 0; i < 4; i++)
        asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
            : "+r"(sums[i % 2 * 2]), "+r"(sums[i % 2 * 2 + 1])
            : "r"(a[i]), "r"(b[i / 2]));
#endif
}

/* k = 32 bytes: of a without sign, of b with; before 8.0 in four steps. */
static __device__ inline void tg_mma_u8_s8(int (&sums)[4], const uint32_t (&a)[4],
                                           const uint32_t (&b)[2])
{
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    for (int i = 0; i < 4; i++)
        asm("mma.sync.aligned.m8n8k16.row.col.s32.u8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
            : "+r"(sums[i % 2 * 2]), "+r"(sums[i % 2 * 2 + 1])
            : "r"(a[i]), "r"(b[i / 2]));
#endif
}

/* k = 256 bits: how many are set in both; of 8.0 and later. */
static __device__ inline void tg_mma_bits(int (&sums)[4], const uint32_t (&a)[4],
                                          const uint32_t (&b)[2])
{
    asm("mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#endif
