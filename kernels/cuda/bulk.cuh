/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_BULK_CUH
#define TG_KERNELS_CUDA_BULK_CUH

#include <cstdint>
#include <cuda_fp16.h>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"

/*
 * Instructions of chips of compute capability 9.0 that CUDA C++ has no name for.
 *
 * Source: PTX ISA 9.0, "prefetch", "mapa", "barrier.cluster".
 */

static __device__ inline uint32_t tg_shared_at(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

static __device__ inline void tg_prefetch(const void *p)
{
    asm volatile("prefetch.global.L2 [%0];" ::"l"(p));
}

/* All threads of the blocks of a cluster meet; what they wrote before can be read after. */
static __device__ inline void tg_cluster_meet()
{
    asm volatile("barrier.cluster.arrive.aligned;\n"
                 "barrier.cluster.wait.aligned;" ::
                     : "memory");
}

/*
 * All blocks of the cluster run, when all threads have said the one and waited for the other; lanes
 * of a warp may say it at different times.
 */
static __device__ inline void tg_cluster_here()
{
    asm volatile("barrier.cluster.arrive.relaxed;" ::: "memory");
}

static __device__ inline void tg_cluster_wait()
{
    asm volatile("barrier.cluster.wait.aligned;" ::: "memory");
}

/* Writes to where `own` is in the shared memory of another block of the cluster, which runs. */
static __device__ inline void tg_cluster_write(float *own, uint32_t block, float value)
{
    uint32_t at;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
                 : "=r"(at)
                 : "r"(tg_shared_at(own)), "r"(block));
    asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(at), "f"(value) : "memory");
}

#endif
