/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_UNPACK_CUH
#define TG_KERNELS_CUDA_UNPACK_CUH

#include <cstdint>

#include "kernels/cuda/launch.cuh"
#include "kernels/kernel.h"

/*
 * What kernels that unpack share: four neighbouring weights of a row are written at once, as int8,
 * f32 or f16 (held as uint16_t). Columns are multiples of four, so that all four begin at a
 * multiple of their size. Layouts that have rows side by side go through a tile in shared memory,
 * whose rows are then written one after the other, a warp each.
 */

#define TG_UNPACK_THREADS 256
#define TG_UNPACK_ROWS    32  /* of a tile */
#define TG_UNPACK_COLS    128 /* at most */
#define TG_UNPACK_STRIDE  132 /* bytes: rows begin in different banks */

/* Bytes -1, 0 or 1 of a word, the lowest first, as four of the type. */
static __device__ inline void tg_unpack_store(int8_t *to, uint32_t four)
{
    *(uint32_t *)to = four;
}

static __device__ inline float tg_unpack_f32(uint32_t four, int i)
{
    return (float)(int8_t)(four >> 8 * i);
}

static __device__ inline void tg_unpack_store(float *to, uint32_t four)
{
    *(float4 *)to = make_float4(tg_unpack_f32(four, 0), tg_unpack_f32(four, 1),
                                tg_unpack_f32(four, 2), tg_unpack_f32(four, 3));
}

/* 1 is 0x3c00, -1 is 0xbc00: the bits of the byte that say which, moved to where they belong. */
static __device__ inline uint32_t tg_unpack_f16_pair(uint32_t two)
{
    return (two & 0x00010001u) * 0x3c00u | (two & 0x00800080u) << 8;
}

static __device__ inline void tg_unpack_store(uint16_t *to, uint32_t four)
{
    *(uint2 *)to = make_uint2(tg_unpack_f16_pair(__byte_perm(four, 0, 0x4140)),
                              tg_unpack_f16_pair(__byte_perm(four, 0, 0x4342)));
}

/*
 * Writes rows row..row+31 of a tile that are of the call, `count` columns from `column` on; all
 * threads of the block, after they have filled it.
 */
template <typename number>
static __device__ void tg_unpack_write(const int8_t *tile, number *results, int64_t cols,
                                       int64_t row_begin, int64_t row_end, int64_t row,
                                       int64_t column, int count)
{
    __syncthreads();
    for (int i = threadIdx.x; i < TG_UNPACK_ROWS * TG_UNPACK_COLS / 4; i += TG_UNPACK_THREADS) {
        const int r = i / (TG_UNPACK_COLS / 4), c = i % (TG_UNPACK_COLS / 4) * 4;
        if (c >= count || row + r < row_begin || row + r >= row_end) continue;
        tg_unpack_store(results + (row + r) * cols + column + c,
                        *(const uint32_t *)(tile + r * TG_UNPACK_STRIDE + c));
    }
}

#endif
