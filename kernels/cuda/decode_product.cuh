/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_DECODE_PRODUCT_CUH
#define TG_KERNELS_CUDA_DECODE_PRODUCT_CUH

#include <cassert>

#include "kernels/cuda/fields_i2s.cuh"
#include "kernels/cuda/planes_i2s.cuh"
#include "kernels/cuda/token_round.cuh"

/*
 * One token through one matrix of I2_S, with what is before and behind: norm, rounding to int8,
 * ternary product, scale, and then
 *
 *   TG_DECODE_STORE  out[r] = y[r]
 *   TG_DECODE_ADD    out[r] += y[r]
 *   TG_DECODE_GATE   out[j] = gate(y[j]) * y[second + j]
 *
 * Each block rounds the whole token for itself: that costs less than one more kernel. The warps of
 * a block share its columns, each of them rounds its own and multiplies them with all rows of the
 * block, of a gate with as many of either half: by bit planes (planes_i2s.cuh), others by dot
 * products (fields_i2s.cuh), as their rows are few. Codes and the weights of the norm are on their
 * way, in registers, before the kernel ahead has ended.
 *
 * Limits: cols a multiple of 128, and at most TG_DECODE_COLUMNS.
 */

enum { TG_DECODE_STORE, TG_DECODE_ADD, TG_DECODE_GATE };

#define TG_DECODE_THREADS  512
#define TG_DECODE_WARPS    (TG_DECODE_THREADS / 32)
#define TG_DECODE_CHUNKS   6 /* of a warp, at most */
#define TG_DECODE_COLUMNS  (TG_DECODE_WARPS * TG_DECODE_CHUNKS * 256)
#define TG_DECODE_MATRICES 3

struct tg_decode_product {
    const uint8_t *weights;
    const float *x;
    const float *norm; /* or NULL */
    float *out;
    float epsilon;
    float scales[TG_DECODE_MATRICES]; /* of the matrices that lie one after the other */
    int rows_until[TG_DECODE_MATRICES];
    int cols;
    int units;       /* rows, or pairs of rows */
    int block_units; /* of a block */
    int is_squared_relu;
};

static __device__ inline float tg_decode_scale(const struct tg_decode_product &p, int row)
{
    return row < p.rows_until[0] ? p.scales[0] : row < p.rows_until[1] ? p.scales[1] : p.scales[2];
}

/* What a unit becomes, of its products; `before` is what it is added to. */
template <int KIND>
static __device__ inline void tg_decode_finish(const struct tg_decode_product &p, int unit,
                                               int32_t one, int32_t two, float scale, float before)
{
    const float y = tg_token_real(one, scale,
                                  KIND == TG_DECODE_GATE ? p.scales[0] : tg_decode_scale(p, unit));
    p.out[unit] = KIND == TG_DECODE_STORE ? y
                  : KIND == TG_DECODE_ADD
                      ? before + y
                      : tg_token_gate(p.is_squared_relu, y, tg_token_real(two, scale, p.scales[1]));
}

/* What is in the shared memory of a block. */
template <int TILES, int CHUNKS> struct tg_decode_room {
    __align__(16) struct tg_token_sums token; /* read 16 bytes at a time, as is `near` */
    int sums[16 * TILES], all;                /* of codes and activations; of activations */
    __align__(16) uint8_t near[TG_DECODE_WARPS][CHUNKS * i2s::CHUNK_SPREAD];
};

/* Where vector v of a thread's numbers is, in fours of columns. */
static __device__ inline int tg_decode_four_at(int chunk, int v, int lane)
{
    return 64 * chunk + 32 * v + lane;
}

/* The numbers of a warp's chunks from `chunk` on; zeros behind the last of `columns` fours. */
template <int VECTORS, typename Load>
static __device__ inline void tg_decode_fours(float4 *fours, int chunk, int columns, int lane,
                                              Load load)
{
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        const int j = tg_decode_four_at(chunk, v, lane);
        fours[v] = j < columns ? load(j) : float4();
    }
}

/* Rounds a warp's numbers into its part of shared memory, and adds them to all. */
template <int VECTORS>
static __device__ inline void tg_decode_round(const float4 *x, struct tg_token_factors factors,
                                              uint8_t *near, int *all, int lane)
{
    int32_t sum = 0;
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        const int32_t four = tg_token_four(x[v], factors);
        *(int32_t *)(near + i2s::GROUP_SPREAD * v + 4 * lane) = four;
        sum = __dp4a(four, 0x01010101, sum);
    }
    sum = __reduce_add_sync(~0u, sum);
    if (lane == 0) atomicAdd(all, sum);
    __syncwarp();
}

/* All tiles of a warp, times its activations that are spread in shared memory. */
template <int TILES, int CHUNKS>
static __device__ inline void tg_decode_multiply(i2s::tile (&counts)[TILES],
                                                 const i2s::codes (&codes)[TILES][CHUNKS],
                                                 const uint8_t *spread, const i2s::place &at)
{
#pragma unroll
    for (int k = 0; k < CHUNKS; k++) {
        const uint4 planes = i2s::planes(spread + i2s::CHUNK_SPREAD * k, at.g);
#pragma unroll
        for (int i = 0; i < TILES; i++)
            i2s::count_chunk(counts[i], i2s::prepared(codes[i][k]), planes);
    }
}

template <int TILES, int CHUNKS>
static __device__ inline void tg_decode_multiply(i2s::row_sums (&sums)[TILES],
                                                 const i2s::codes (&codes)[TILES][CHUNKS],
                                                 const uint8_t *spread, const i2s::place &)
{
    i2s::multiply_fields(sums, codes, spread);
}

/* The codes of HELD tiles from `tile` on; of a gate, those behind HALF are rows of the other half.
 */
template <int HALF, int HELD, int CHUNKS>
static __device__ inline void tg_decode_load(i2s::codes (&codes)[HELD][CHUNKS],
                                             const struct tg_decode_product &p, int unit0,
                                             int units, int tile, int chunk, const i2s::place &at)
{
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        const int unit = 16 * ((tile + i) % HALF) + at.g, row_bytes = p.cols / 4;
        const int row = (tile + i < HALF ? 0 : p.units) + unit0 + unit;
        const uint8_t *from = p.weights + (int64_t)row * row_bytes + 64 * chunk + 16 * at.t;
#pragma unroll
        for (int k = 0; k < CHUNKS; k++)
            codes[i][k] = i2s::load_codes(from + 64 * k, row_bytes, units - unit,
                                          2 * (chunk + k) + at.t / 2 < p.cols / 128);
    }
}

/* Registers hold HELD of the TILES; the others are loaded when these have been multiplied. */
template <int KIND, class Sums, int TILES, int HELD, int CHUNKS>
__global__ static void __launch_bounds__(TG_DECODE_THREADS, CHUNKS == 1 && TILES <= 4 ? 2 : 1)
    tg_decode_product_kernel(const struct tg_decode_product p)
{
    constexpr int HALF = KIND == TG_DECODE_GATE ? TILES / 2 : TILES, VECTORS = 2 * CHUNKS;
    __shared__ struct tg_decode_room<TILES, CHUNKS> room;
    const i2s::place at = i2s::here();
    const int unit0 = blockIdx.x * p.block_units, units = min(p.block_units, p.units - unit0);
    const int row_bytes = p.cols / 4, chunk = at.warp * CHUNKS;
    i2s::codes codes[HELD][CHUNKS];
    float4 weights[VECTORS], x[VECTORS];
    tg_decode_load<HALF>(codes, p, unit0, units, 0, chunk, at);
    tg_decode_fours<VECTORS>(weights, chunk, p.norm ? row_bytes : 0, at.lane,
                             [=](int j) { return __ldg((const float4 *)p.norm + j); });
    tg_cuda_let_next();
    for (int i = threadIdx.x; i < 16 * TILES; i += blockDim.x) room.sums[i] = 0;
    if (threadIdx.x < 32) tg_token_forget(&room.token);
    if (threadIdx.x == 0) room.all = 0;
    __syncthreads();
    tg_cuda_wait();

    tg_decode_fours<VECTORS>(x, chunk, row_bytes, at.lane,
                             [=](int j) { return __ldcg((const float4 *)p.x + j); });
    const bool has_unit = (int)threadIdx.x < units;
    const float before = KIND == TG_DECODE_ADD && has_unit ? __ldcg(p.out + unit0 + threadIdx.x)
                                                           : 0.0f;
    const struct tg_token_factors factors = tg_token_factors_of<VECTORS, TG_DECODE_THREADS>(
        x, weights, p.norm != NULL, p.cols, p.epsilon, &room.token);
    uint8_t *near = room.near[at.warp];
    tg_decode_round<VECTORS>(x, factors, near, &room.all, at.lane);
#pragma unroll
    for (int i = 0; i < TILES; i += HELD) {
        Sums sums[HELD] = {};
        if (i > 0) tg_decode_load<HALF>(codes, p, unit0, units, i, chunk, at);
        tg_decode_multiply(sums, codes, near + i2s::GROUP_SPREAD * (at.t / 2) + 16 * (at.t % 2),
                           at);
        i2s::settle(sums, room.sums + 16 * i, at);
    }
    __syncthreads();
    if (!has_unit) return;
    const int unit = threadIdx.x, second = KIND == TG_DECODE_GATE ? 16 * HALF + unit : unit;
    tg_decode_finish<KIND>(p, unit0 + unit, room.sums[unit] - room.all,
                           room.sums[second] - room.all, factors.scale, before);
}

/*
 * A block has all rows that it has tiles for, where a warp has one chunk: then few blocks, on part
 * of the multiprocessors, do best, and the others have the next kernel's. Longer rows are for all
 * multiprocessors.
 */
template <int KIND, class Sums, int TILES, int HELD, int CHUNKS>
static void tg_decode_launch(const struct tg_decode_product *call, int processors, void *stream)
{
    constexpr int MOST = 16 * (KIND == TG_DECODE_GATE ? TILES / 2 : TILES);
    struct tg_decode_product p = *call;
    const int chunks = (p.cols + 255) / 256, warps = (chunks + CHUNKS - 1) / CHUNKS;
    const int each = (p.units + processors - 1) / processors;
    assert(warps <= TG_DECODE_WARPS && MOST <= 32 * warps);
    p.block_units = CHUNKS > 1 && each < MOST ? each : MOST;
    tg_cuda_launch(tg_decode_product_kernel<KIND, Sums, TILES, HELD, CHUNKS>,
                   dim3((unsigned)((p.units + p.block_units - 1) / p.block_units)),
                   dim3((unsigned)(32 * warps)), 0, stream, p);
}

/*
 * TILES of 16 rows: more where a warp has few columns, as far as a block has threads for units; as
 * many of them HELD as a thread has registers for.
 */
template <int KIND>
static void tg_decode_rows(const struct tg_decode_product *p, int processors, void *stream)
{
    const int chunks = (p->cols + 255) / 256;
    (chunks <= TG_DECODE_WARPS       ? tg_decode_launch<KIND, i2s::row_sums, 2, 2, 1>
     : chunks <= 3 * TG_DECODE_WARPS ? tg_decode_launch<KIND, i2s::row_sums, 2, 2, 3>
     : chunks <= 4 * TG_DECODE_WARPS
         ? tg_decode_launch<KIND, i2s::row_sums, 2, 1, 4>
         : tg_decode_launch<KIND, i2s::row_sums, 2, 1, TG_DECODE_CHUNKS>)(p, processors, stream);
}

static void tg_decode_pairs(const struct tg_decode_product *p, int processors, void *stream)
{
    const int chunks = (p->cols + 255) / 256;
    (chunks <= 1                 ? tg_decode_launch<TG_DECODE_GATE, i2s::tile, 4, 4, 1>
     : chunks <= TG_DECODE_WARPS ? tg_decode_launch<TG_DECODE_GATE, i2s::tile, 8, 8, 1>
     : chunks <= 2 * TG_DECODE_WARPS
         ? tg_decode_launch<TG_DECODE_GATE, i2s::tile, 4, 4, 2>
         : tg_decode_launch<TG_DECODE_GATE, i2s::tile, 2, 2, TG_DECODE_CHUNKS>)(p, processors,
                                                                                stream);
}

static inline void tg_decode_product(int kind, const struct tg_decode_product *p, int processors,
                                     void *stream)
{
    (kind == TG_DECODE_GATE  ? tg_decode_pairs
     : kind == TG_DECODE_ADD ? tg_decode_rows<TG_DECODE_ADD>
                             : tg_decode_rows<TG_DECODE_STORE>)(p, processors, stream);
}

#endif
