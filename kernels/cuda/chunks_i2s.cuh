/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_CHUNKS_I2S_CUH
#define TG_KERNELS_CUDA_CHUNKS_I2S_CUH

#include <cstdint>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/kernel.h"

/*
 * I2_S as matrix instructions want it, for products of few tokens: what i2s_cuda and
 * i2s_cuda_tokens share.
 *
 * A chunk is 256 columns: 64 bytes of a row. Rows come in tiles of 16; a thread of a warp has rows
 * g = lane / 4 and g + 8, and of a chunk bytes 16t to 16t + 15, t = lane % 4, as four words m < 4.
 * Bits 7-2f and 6-2f of byte i of word m are the code of column
 *
 *   128 * (t / 2) + 32 * f + 16 * (t % 2) + 4 * m + i
 *
 * of the chunk. Which columns a matrix instruction multiplies is free, if both operands agree: so
 * four neighbouring bytes of activations meet a field of a word, and neither is put in order.
 *
 * Codes are the weights plus one, so the sum of the activations has to be taken off. A row that a
 * tile has too many is one of codes 1 only: its sum is that. There is one in every block.
 */

namespace i2s
{

constexpr int WARP = 32;
constexpr int GROUP_COLUMNS = 128;
constexpr int CHUNK_COLUMNS = 256;
constexpr int CHUNK_BYTES = 64;
constexpr int GROUP_SPREAD = 160; /* bytes of a group in shared memory: no banks collide */
constexpr int CHUNK_SPREAD = 2 * GROUP_SPREAD;
constexpr uint32_t ONES = 0x55555555u;

struct call {
    const uint8_t *weights;
    const int8_t *activations;
    int32_t *results;
    int64_t rows, row_begin, row_end;
    int cols, batch;
};

static inline call call_of(const struct tg_problem *p)
{
    return {p->weights,   p->activations, (int32_t *)p->results, p->rows,
            p->row_begin, p->row_end,     (int)p->cols,          (int)p->batch};
}

static inline int chunks_of(const call &c)
{
    return (c.cols + CHUNK_COLUMNS - 1) / CHUNK_COLUMNS;
}

/* Of the device in use: as much as the choice of a form needs. */
struct device {
    int multiprocessors, shared; /* most bytes of a block */
};

static inline const device &this_device()
{
    static device d = {0, 0};
    int id = 0;
    if (d.shared > 0) return d;
    tg_cuda_launched(cudaGetDevice(&id));
    tg_cuda_launched(
        cudaDeviceGetAttribute(&d.multiprocessors, cudaDevAttrMultiProcessorCount, id));
    tg_cuda_launched(
        cudaDeviceGetAttribute(&d.shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, id));
    return d;
}

struct place {
    int lane, warp, g, t;
};

static __device__ inline place here()
{
    const int lane = threadIdx.x % WARP;
    return {lane, (int)threadIdx.x / WARP, lane / 4, lane % 4};
}

/* A thread's codes of a tile and a chunk: of rows g and g + 8. */
struct codes {
    uint4 upper, lower;
};

/*
 * Loads a thread's codes. `from` is its place in row g of the tile; `rows` are left from there on;
 * `inside`: whether the chunk has its columns.
 */
static __device__ inline codes load_codes(const uint8_t *from, int row_bytes, int rows, bool inside)
{
    codes c;
    c.upper = c.lower = make_uint4(ONES, ONES, ONES, ONES);
    if (inside && 0 < rows) c.upper = tg_load_once(from);
    if (inside && 8 < rows) c.lower = tg_load_once(from + 8 * row_bytes);
    return c;
}

} // namespace i2s

#endif
