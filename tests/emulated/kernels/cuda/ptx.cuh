/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_PTX_CUH
#define TG_KERNELS_CUDA_PTX_CUH

#include <cassert>
#include <cstdint>

#include "kernels/number.h"

/* kernels/cuda/ptx.cuh on a processor; what is where in a warp is said there. */

static inline uint8_t *tg_shared()
{
    return emulated_shared;
}

/* Kernels run one after the other. */
static inline void tg_cuda_let_next()
{
}

static inline void tg_cuda_wait()
{
}

static inline uint4 tg_load_once(const void *from)
{
    assert((uintptr_t)from % 16 == 0);
    return *(const uint4 *)from;
}

static inline uint4 tg_load_written(const void *from)
{
    return tg_load_once(from);
}

static inline int tg_dot_u8_s8(uint32_t a, uint32_t b, int sum)
{
    for (int i = 0; i < 4; i++) sum += (int)(a >> 8 * i & 255) * (int8_t)(b >> 8 * i);
    return sum;
}

struct emulated_operands {
    uint32_t a[4], b[2];
};

/* Sum s of a lane is of its row and its column, of which four lanes have two words each. */
template <class Sum, class Product>
static inline void emulated_mma(Sum *sums, const uint32_t *a, const uint32_t *b,
                                const Product &product)
{
    const unsigned lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const emulated_operands mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    emulated_offer(&mine);
    for (unsigned i = 0; i < 32; i++) {
        const unsigned s = i / 8, word = i % 8;
        const auto *row = (const emulated_operands *)emulated_offered_by(4 * g + word % 4);
        const auto *column = (const emulated_operands *)emulated_offered_by(4 * (2 * t + s % 2) +
                                                                            word % 4);
        sums[s] = product(row->a[word / 4 * 2 + s / 2], column->b[word / 4], sums[s]);
    }
    emulated_end_offer();
}

static inline void tg_mma_f16(float sums[4], const uint32_t a[4], const uint32_t b[2])
{
    emulated_mma(sums, a, b, [](uint32_t x, uint32_t y, float sum) {
        for (int i = 0; i < 32; i += 16)
            sum += tg_number_of_f16((uint16_t)(x >> i)) * tg_number_of_f16((uint16_t)(y >> i));
        return sum;
    });
}

static inline void tg_mma_bf16(float sums[4], const uint32_t a[4], const uint32_t b[2])
{
    emulated_mma(sums, a, b, [](uint32_t x, uint32_t y, float sum) {
        for (int i = 0; i < 32; i += 16)
            sum += tg_number_of_bf16((uint16_t)(x >> i)) * tg_number_of_bf16((uint16_t)(y >> i));
        return sum;
    });
}

static inline void tg_mma_s8(int (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    emulated_mma(sums, a, b,
                 [](uint32_t x, uint32_t y, int sum) { return __dp4a((int)x, (int)y, sum); });
}

static inline void tg_mma_u8_s8(int (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    emulated_mma(sums, a, b, tg_dot_u8_s8);
}

static inline void tg_mma_bits(int (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    emulated_mma(sums, a, b,
                 [](uint32_t x, uint32_t y, int sum) { return sum + __builtin_popcount(x & y); });
}

#endif
