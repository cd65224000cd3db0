/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_SHELF_CUH
#define TG_KERNELS_CUDA_SHELF_CUH

#include <cstdint>

/*
 * Rows that bulk copies bring into shared memory, of 9.0 and later, and the barrier that has seen
 * all their bytes arrive. Elsewhere these do nothing, and no kernel is launched that needs them.
 *
 * One thread begins the barrier; after a barrier of the block it expects the bytes; then any
 * threads copy; all wait until they arrived.
 *
 * Source: PTX ISA 9.0, "mbarrier", "cp.async.bulk".
 */

static __device__ inline uint32_t tg_shelf_at(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

static __device__ inline void tg_shelf_begin(uint64_t *barrier)
{
#if __CUDA_ARCH__ >= 900
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;\n"
                 "fence.mbarrier_init.release.cluster;" ::"r"(tg_shelf_at(barrier))
                 : "memory");
#endif
}

static __device__ inline void tg_shelf_expect(uint64_t *barrier, int bytes)
{
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(tg_shelf_at(barrier)),
        "r"(bytes)
        : "memory");
#endif
}

/* Addresses and bytes are multiples of 16. */
static __device__ inline void tg_shelf_copy(uint8_t *to, const uint8_t *from, int bytes,
                                            uint64_t *barrier)
{
#if __CUDA_ARCH__ >= 900
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], "
                 "%2, [%3];" ::"r"(tg_shelf_at(to)),
                 "l"(from), "r"(bytes), "r"(tg_shelf_at(barrier))
                 : "memory");
#endif
}

static __device__ inline void tg_shelf_arrived(uint64_t *barrier)
{
#if __CUDA_ARCH__ >= 900
    uint32_t done = 0;
    while (!done)
        asm volatile("{\n.reg .pred p;\n"
                     "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], 0;\n"
                     "selp.u32 %0, 1, 0, p;\n}"
                     : "=r"(done)
                     : "r"(tg_shelf_at(barrier))
                     : "memory");
#endif
}

#endif
