/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_BULK_CUH
#define TG_KERNELS_CUDA_BULK_CUH

#include <cstdint>
#include <cuda_fp16.h>

#include "kernels/cuda/launch.cuh"

/*
 * Instructions of chips of compute capability 9.0 that CUDA C++ has no name for.
 *
 * Source: PTX ISA 9.0, "prefetch", "cp.async.bulk.prefetch", "mapa", "barrier.cluster".
 */

/* The shared memory of a block, as many bytes as its launch says. */
static __device__ inline uint8_t *tg_shared()
{
    extern __shared__ __align__(128) uint8_t tg_shared_memory[];
    return tg_shared_memory;
}

static __device__ inline uint32_t tg_shared_at(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

static __device__ inline void tg_prefetch(const void *p)
{
    asm volatile("prefetch.global.L2 [%0];" ::"l"(p));
}

/* A piece of memory, at a multiple of 16 and of as many bytes. */
struct tg_ahead {
    const uint8_t *from;
    int64_t bytes;
};

/* Asks for the part of it that falls to this block of the grid, into the last cache. */
static __device__ inline void tg_fetch_ahead(struct tg_ahead piece)
{
    const int64_t each = (piece.bytes / 16 + gridDim.x - 1) / gridDim.x * 16;
    const int64_t begin = each * blockIdx.x, bytes = min(each, piece.bytes - begin);
    if (bytes > 0)
        asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(piece.from + begin),
                     "r"((uint32_t)bytes)
                     : "memory");
}

/* All threads of the blocks of a cluster meet; what they wrote before can be read after. */
static __device__ inline void tg_cluster_meet()
{
    asm volatile("barrier.cluster.arrive.aligned;\n"
                 "barrier.cluster.wait.aligned;" ::
                     : "memory");
}

/* What lies where `own` is in the shared memory of another block of the cluster. */
static __device__ inline float tg_cluster_read(const float *own, uint32_t block)
{
    uint32_t at;
    float value;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
                 : "=r"(at)
                 : "r"(tg_shared_at(own)), "r"(block));
    asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(value) : "r"(at) : "memory");
    return value;
}

#endif
