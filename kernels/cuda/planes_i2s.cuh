/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_PLANES_I2S_CUH
#define TG_KERNELS_CUDA_PLANES_I2S_CUH

#include "kernels/cuda/chunks_i2s.cuh"

/*
 * One token by matrix instructions on single bits: what i2s_cuda and decode_product.cuh share.
 *
 *   code = weight + 1 = 2 * high + low              two bits, taken as they lie in memory
 *   x    = sum over n < 8 of value(n) * bit n of x  value(n) is 2^n, and -128 for n = 7
 *
 * A code is prepared: where its high bit is set, the low one is, too. So a code is how many of its
 * bits are set, and
 *
 *   sum of code * x = sum over n of value(n) * |bits & plane n|
 *
 * Plane n has bit n of every activation, for both bits of its code; |a & b| is how many bits are
 * set in both. That is what mma.m16n8k256 with and.popc counts, for 16 rows times 8 columns, which
 * here are the planes of one token. So no code is ever unpacked: 1 KiB of them takes two
 * instructions and 16 of a thread to prepare it, where masks and dp4a take 64. Of the products the
 * sum of the activations is still to be taken off.
 *
 * Rows, chunks of 256 columns and the bits of a word are as kernels/cuda/chunks_i2s.cuh says.
 * A word of plane n has bit n of that activation at bits 7-2f and 6-2f of byte i. An activation is
 * rotated to its place and masked, so a word takes nine instructions, once for all rows of a block.
 *
 * Of 8.0 and later.
 *
 * Source: bit planes: Umuroglu, Rasnayake & Sjalander, "BISMO", FPL 2018.
 */

namespace i2s
{

/* Bits of rows g and g + 8 of a tile, in planes 2t and 2t + 1. */
struct tile {
    int counts[4];
};

static __device__ inline uint32_t prepared(uint32_t word)
{
    return word | (word >> 1 & ONES);
}

static __device__ inline codes prepared(const codes &c)
{
    return {make_uint4(prepared(c.upper.x), prepared(c.upper.y), prepared(c.upper.z),
                       prepared(c.upper.w)),
            make_uint4(prepared(c.lower.x), prepared(c.lower.y), prepared(c.lower.z),
                       prepared(c.lower.w))};
}

/* Adds a chunk of codes that are prepared. */
static __device__ inline void count_chunk(tile &c, const codes &w, const uint4 &p)
{
    tg_mma_bits(c.counts, {w.upper.x, w.lower.x, w.upper.y, w.lower.y}, {p.x, p.y});
    tg_mma_bits(c.counts, {w.upper.z, w.lower.z, w.upper.w, w.lower.w}, {p.z, p.w});
}

/* A word of plane n, of four words of activations that are 32 columns apart. */
static __device__ inline uint32_t plane(uint32_t x0, uint32_t x1, uint32_t x2, uint32_t x3, int n)
{
    return 3 * ((__funnelshift_r(x0, x0, n - 6) & 0x40404040u) |
                (__funnelshift_r(x1, x1, n - 4) & 0x10101010u) |
                (__funnelshift_r(x2, x2, n - 2) & 0x04040404u) |
                (__funnelshift_r(x3, x3, n) & 0x01010101u));
}

/* A thread's words of plane n, of a chunk of activations that is spread in shared memory. */
static __device__ inline uint4 planes(const uint8_t *spread, int n)
{
    const uint4 a = *(const uint4 *)spread, b = *(const uint4 *)(spread + 32);
    const uint4 c = *(const uint4 *)(spread + 64), d = *(const uint4 *)(spread + 96);
    return make_uint4(plane(a.x, b.x, c.x, d.x, n), plane(a.y, b.y, c.y, d.y, n),
                      plane(a.z, b.z, c.z, d.z, n), plane(a.w, b.w, c.w, d.w, n));
}

/*
 * Adds the values of a warp's counts to sums[row]. Of each value four lanes have a part: a pair of
 * lanes exchanges halves of their values twice, so that one shuffle serves two of them; where there
 * is a tile without another, two lanes add the same.
 */
template <int TILES>
static __device__ inline void settle(const tile (&c)[TILES], int *sums, const place &at)
{
    const int value0 = 1 << (2 * at.t), value1 = at.t == 3 ? -128 : 2 << (2 * at.t);
    const bool odd = at.t % 2, high = at.t / 2;
    int half[TILES];
#pragma unroll
    for (int i = 0; i < TILES; i++) { /* rows g and g + 8 of tile i */
        const int up = c[i].counts[0] * value0 + c[i].counts[1] * value1;
        const int down = c[i].counts[2] * value0 + c[i].counts[3] * value1;
        half[i] = (odd ? down : up) + __shfl_xor_sync(~0u, odd ? up : down, 1);
    }
#pragma unroll
    for (int i = 0; i + 1 < TILES; i += 2) {
        const int kept = high ? half[i + 1] : half[i], sent = high ? half[i] : half[i + 1];
        const int whole = kept + __shfl_xor_sync(~0u, sent, 2);
        atomicAdd(&sums[16 * i + 8 * at.t + at.g], whole);
    }
    if (TILES % 2) {
        const int whole = half[TILES - 1] + __shfl_xor_sync(~0u, half[TILES - 1], 2);
        if (!high) atomicAdd(&sums[16 * (TILES - 1) + 8 * at.t + at.g], whole);
    }
}

} // namespace i2s

#endif
