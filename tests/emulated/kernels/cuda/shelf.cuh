/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_SHELF_CUH
#define TG_KERNELS_CUDA_SHELF_CUH

#include <cassert>
#include <cstdint>
#include <cstring>

/*
 * kernels/cuda/shelf.cuh on a processor: copies are done at once, and the barrier counts the bytes
 * that are still to come, and one that expects them.
 */

#define EMULATED_NOT_EXPECTED ((uint64_t)1 << 40)

static inline void tg_shelf_begin(uint64_t *barrier)
{
    *barrier = EMULATED_NOT_EXPECTED;
}

static inline void tg_shelf_expect(uint64_t *barrier, int bytes)
{
    *barrier += (uint64_t)bytes - EMULATED_NOT_EXPECTED;
}

static inline void tg_shelf_copy(uint8_t *to, const uint8_t *from, int bytes, uint64_t *barrier)
{
    assert((uintptr_t)to % 16 == 0 && (uintptr_t)from % 16 == 0 && bytes % 16 == 0);
    memcpy(to, from, (size_t)bytes);
    *barrier -= (uint64_t)bytes;
}

static inline void tg_shelf_arrived(uint64_t *barrier)
{
    while (*barrier != 0) emulated_meet_warp();
}

#endif
