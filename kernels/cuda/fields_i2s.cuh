/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_FIELDS_I2S_CUH
#define TG_KERNELS_CUDA_FIELDS_I2S_CUH

#include "kernels/cuda/chunks_i2s.cuh"

/*
 * One token by dot products of four bytes, for small matrices: what i2s_cuda and decode_product.cuh
 * share. It takes more instructions than bit planes (kernels/cuda/planes_i2s.cuh) and begins
 * sooner: activations are used as they lie in memory.
 *
 * A word is masked, never shifted: field f of a word, four codes, is then 4^(3-f) times as much.
 * So all of field 0 is added up, divided by 4, all of field 1 is added, and so on; sums are
 * multiples of what they are divided by. Of the products the sum of the activations is still to be
 * taken off.
 *
 * Rows, chunks of 256 columns and the bits of a word are as kernels/cuda/chunks_i2s.cuh says.
 */

namespace i2s
{

/* Sums of rows g and g + 8 of a tile, over a thread's columns. */
struct row_sums {
    int upper, lower;
};

static __device__ inline int add_field(int sum, const uint4 &w, const uint4 &x, uint32_t mask)
{
    sum = tg_dot_u8_s8(w.x & mask, x.x, sum);
    sum = tg_dot_u8_s8(w.y & mask, x.y, sum);
    sum = tg_dot_u8_s8(w.z & mask, x.z, sum);
    return tg_dot_u8_s8(w.w & mask, x.w, sum);
}

/* Adds all chunks of all tiles, times activations that are spread in shared memory. */
template <int TILES, int CHUNKS>
static __device__ inline void multiply_fields(row_sums *sums, const codes (&w)[TILES][CHUNKS],
                                              const uint8_t *spread)
{
    row_sums more[TILES] = {};
#pragma unroll
    for (int f = 0; f < 4; f++) {
        const uint32_t mask = 0xc0c0c0c0u >> 2 * f;
#pragma unroll
        for (int i = 0; i < TILES; i++) more[i] = {more[i].upper >> 2, more[i].lower >> 2};
#pragma unroll
        for (int k = 0; k < CHUNKS; k++) {
            const uint4 x = *(const uint4 *)(spread + CHUNK_SPREAD * k + 32 * f);
#pragma unroll
            for (int i = 0; i < TILES; i++) {
                more[i].upper = add_field(more[i].upper, w[i][k].upper, x, mask);
                more[i].lower = add_field(more[i].lower, w[i][k].lower, x, mask);
            }
        }
    }
#pragma unroll
    for (int i = 0; i < TILES; i++) {
        sums[i].upper += more[i].upper;
        sums[i].lower += more[i].lower;
    }
}

/* Adds a warp's sums to sums[row]: of each, four lanes have a part. */
template <int TILES>
static __device__ inline void settle(const row_sums (&r)[TILES], int *sums, const place &at)
{
    const bool odd = at.t % 2;
#pragma unroll
    for (int i = 0; i < TILES; i++) {
        const int kept = odd ? r[i].lower : r[i].upper, sent = odd ? r[i].upper : r[i].lower;
        const int half = kept + __shfl_xor_sync(~0u, sent, 1);
        const int whole = half + __shfl_xor_sync(~0u, half, 2);
        if (at.t < 2) atomicAdd(&sums[16 * i + 8 * at.t + at.g], whole);
    }
}

} // namespace i2s

#endif
