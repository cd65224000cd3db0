/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_DECODE_PRODUCT_CUH
#define TG_KERNELS_CUDA_DECODE_PRODUCT_CUH

#include "kernels/cuda/token_round.cuh"

/*
 * One token through one matrix of I2_S, with what is before and behind: norm, rounding to int8,
 * ternary product, scale, and then
 *
 *   TG_DECODE_STORE  out[r] = y[r]
 *   TG_DECODE_ADD    out[r] += y[r]
 *   TG_DECODE_GATE   out[j] = gate(y[j]) * y[second + j]
 *
 * Each block rounds the whole token for itself: that costs less than one more kernel. Its weights
 * are fetched into shared memory before the kernel ahead has ended, tile by tile of a warp: two
 * rows, or four rows of each half of a gate. In shared memory the token lies by fields: field f of
 * 16 neighbouring bytes of codes is 16 neighbouring bytes of it. Codes are not shifted: a field
 * that is 4, 16 or 64 times too large is summed for itself, and divided at the end.
 *
 * Limits: cols a multiple of 128; rows even, pairs a multiple of 4.
 */

enum { TG_DECODE_STORE, TG_DECODE_ADD, TG_DECODE_GATE };

#ifndef TG_DECODE_THREADS
#define TG_DECODE_THREADS 512
#endif
#define TG_DECODE_WARPS    (TG_DECODE_THREADS / 32)
#define TG_DECODE_SLOTS    4 /* most tiles of a warp that lie in shared memory */
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
    int units; /* rows, or pairs of rows */
    int slots;
    int is_squared_relu;
};

/* Bytes that a warp fetches at once, and those that a block has in shared memory. */
static inline int64_t tg_decode_tile_bytes(int kind, int64_t cols)
{
    return (kind == TG_DECODE_GATE ? 8 : 2) * cols / 4;
}

static inline int64_t tg_decode_shared_bytes(int kind, int64_t cols, int slots)
{
    return TG_DECODE_WARPS * TG_DECODE_SLOTS * 8 + (int64_t)sizeof(struct tg_token_sums) +
           (cols + 127) / 128 * 128 + TG_DECODE_WARPS * slots * tg_decode_tile_bytes(kind, cols);
}

/* The weights of a tile to a slot. */
template <int KIND>
static __device__ inline void tg_decode_fetch(const struct tg_decode_product &p, int tile,
                                              uint8_t *slot, uint64_t *barrier)
{
    const int64_t row_bytes = p.cols / 4;
    if (KIND == TG_DECODE_GATE) {
        const uint32_t bytes = (uint32_t)(4 * row_bytes);
        tg_barrier_arm(barrier, 2 * bytes);
        tg_copy_bulk(slot, p.weights + tile * 4 * row_bytes, bytes, barrier);
        tg_copy_bulk(slot + bytes, p.weights + ((int64_t)p.units + tile * 4) * row_bytes, bytes,
                     barrier);
        return;
    }
    const uint32_t bytes = (uint32_t)(2 * row_bytes);
    tg_barrier_arm(barrier, bytes);
    tg_copy_bulk(slot, p.weights + tile * 2 * row_bytes, bytes, barrier);
}

/*
 * The product of two rows by LANES lanes, each of which has the sums at the end. A row has `chunks`
 * of 16 bytes.
 */
template <int LANES>
static __device__ inline void tg_decode_rows(const uint4 *first, const uint4 *second, const int4 *x,
                                             int chunks, int32_t *one, int32_t *two)
{
    int32_t a[4] = {}, b[4] = {};
    const uint32_t mask = 0x03030303u;
#pragma unroll 2
    for (int c = threadIdx.x % LANES; c < chunks; c += LANES) {
        const uint4 u = first[c], v = second[c];
#pragma unroll
        for (int f = 0; f < 4; f++) {
            const int4 n = x[f * chunks + c];
            const uint32_t m = mask << (6 - 2 * f);
            a[f] = tg_dot(u.w & m, n.w,
                          tg_dot(u.z & m, n.z, tg_dot(u.y & m, n.y, tg_dot(u.x & m, n.x, a[f]))));
            b[f] = tg_dot(v.w & m, n.w,
                          tg_dot(v.z & m, n.z, tg_dot(v.y & m, n.y, tg_dot(v.x & m, n.x, b[f]))));
        }
    }
    *one = a[3] + (a[2] >> 2) + (a[1] >> 4) + (a[0] >> 6);
    *two = b[3] + (b[2] >> 2) + (b[1] >> 4) + (b[0] >> 6);
    if constexpr (LANES == 32) {
        *one = __reduce_add_sync(~0u, *one);
        *two = __reduce_add_sync(~0u, *two);
    } else {
#pragma unroll
        for (int step = LANES / 2; step > 0; step /= 2) {
            *one += __shfl_xor_sync(~0u, *one, step);
            *two += __shfl_xor_sync(~0u, *two, step);
        }
    }
}

static __device__ inline float tg_decode_scale(const struct tg_decode_product &p, int row)
{
    return row < p.rows_until[0] ? p.scales[0] : row < p.rows_until[1] ? p.scales[1] : p.scales[2];
}

/* What a block has in its shared memory, and the tiles of a warp. */
struct tg_decode_room {
    uint64_t *barriers; /* of this warp, one a slot */
    struct tg_token_sums *sums;
    int32_t *token;
    uint8_t *slots; /* of this warp */
    int tile_bytes, begin, end;
};

template <int KIND>
static __device__ inline struct tg_decode_room tg_decode_room_of(const struct tg_decode_product &p)
{
    const int warp = threadIdx.x / 32, units = KIND == TG_DECODE_GATE ? 4 : 2;
    const int64_t tiles = p.units / units;
    struct tg_decode_room r;
    r.barriers = (uint64_t *)tg_shared() + warp * TG_DECODE_SLOTS;
    r.sums = (struct tg_token_sums *)(tg_shared() + TG_DECODE_WARPS * TG_DECODE_SLOTS * 8);
    r.token = (int32_t *)(r.sums + 1);
    r.tile_bytes = (KIND == TG_DECODE_GATE ? 8 : 2) * (p.cols / 4);
    r.slots = (uint8_t *)r.token + (p.cols + 127) / 128 * 128 +
              (int64_t)warp * p.slots * r.tile_bytes;
    r.begin = (int)(tiles * blockIdx.x / gridDim.x) + warp;
    r.end = (int)(tiles * (blockIdx.x + 1) / gridDim.x);
    return r;
}

/* The first tiles of a warp, by its first lane. */
template <int KIND>
static __device__ inline void tg_decode_fetch_first(const struct tg_decode_product &p,
                                                    const struct tg_decode_room &r)
{
    for (int i = 0; i < p.slots && r.begin + i * TG_DECODE_WARPS < r.end; i++) {
        tg_barrier_begin(r.barriers + i);
        tg_decode_fetch<KIND>(p, r.begin + i * TG_DECODE_WARPS, r.slots + i * r.tile_bytes,
                              r.barriers + i);
    }
}

/* The results of the two rows of this group of lanes; `before` is what they are added to. */
template <int KIND>
static __device__ inline void tg_decode_finish(const struct tg_decode_product &p, int unit,
                                               int32_t one, int32_t two, float scale,
                                               const float *before)
{
    if (KIND == TG_DECODE_GATE) {
        p.out[unit] = tg_token_gate(p.is_squared_relu, tg_token_real(one, scale, p.scales[0]),
                                    tg_token_real(two, scale, p.scales[1]));
        return;
    }
    const float y = tg_token_real(one, scale, tg_decode_scale(p, unit));
    const float z = tg_token_real(two, scale, tg_decode_scale(p, unit + 1));
    p.out[unit] = KIND == TG_DECODE_ADD ? before[0] + y : y;
    p.out[unit + 1] = KIND == TG_DECODE_ADD ? before[1] + z : z;
}

/* All tiles of a warp. */
template <int KIND>
static __device__ inline void tg_decode_tiles(const struct tg_decode_product &p,
                                              const struct tg_decode_room &r, struct tg_token token,
                                              float2 before)
{
    constexpr int LANES = KIND == TG_DECODE_GATE ? 8 : 32, UNITS = KIND == TG_DECODE_GATE ? 4 : 2;
    const int lane = threadIdx.x % 32, group = lane / LANES, chunks = p.cols / 64;
#pragma unroll 1
    for (int i = 0, tile = r.begin; tile < r.end; i++, tile += TG_DECODE_WARPS) {
        const int slot = i % p.slots, unit = tile * UNITS + group;
        const uint4 *codes = (const uint4 *)(r.slots + slot * r.tile_bytes);
        float old[2] = {before.x, before.y};
        int32_t one, two;
        if (KIND == TG_DECODE_ADD && i > 0) {
            old[0] = __ldcg(p.out + unit);
            old[1] = __ldcg(p.out + unit + 1);
        }
        tg_barrier_wait(r.barriers + slot, i / p.slots % 2);
        tg_decode_rows<LANES>(codes + group * chunks,
                              codes + (KIND == TG_DECODE_GATE ? 4 + group : 1) * chunks,
                              (const int4 *)r.token, chunks, &one, &two);
        __syncwarp();
        if (lane == 0 && tile + p.slots * TG_DECODE_WARPS < r.end)
            tg_decode_fetch<KIND>(p, tile + p.slots * TG_DECODE_WARPS,
                                  r.slots + slot * r.tile_bytes, r.barriers + slot);
        if (lane % LANES == 0)
            tg_decode_finish<KIND>(p, unit, one - token.sum, two - token.sum, token.scale, old);
    }
}

template <int KIND, int VECTORS>
__global__ static void __launch_bounds__(TG_DECODE_THREADS, VECTORS <= 4 ? 2 : 1)
    tg_decode_product_kernel(const struct tg_decode_product p)
{
    const struct tg_decode_room r = tg_decode_room_of<KIND>(p);
    const int columns = p.cols / 4;
    float4 weights[VECTORS], x[VECTORS];
    float2 before = make_float2(0.0f, 0.0f);
    if (threadIdx.x % 32 == 0) tg_decode_fetch_first<KIND>(p, r);
    __syncwarp();
    tg_cuda_let_next();
    tg_cuda_wait();
#pragma unroll
    for (int i = 0; i < VECTORS; i++) {
        const int j = i * TG_DECODE_THREADS + (int)threadIdx.x;
        x[i] = j < columns ? __ldcg((const float4 *)p.x + j) : float4();
        weights[i] = p.norm && j < columns ? __ldg((const float4 *)p.norm + j) : float4();
    }
    if (KIND == TG_DECODE_ADD && r.begin < r.end) before = __ldcg((const float2 *)p.out + r.begin);
    const struct tg_token token = tg_token_round<VECTORS, TG_DECODE_THREADS>(
        x, weights, p.norm != NULL, p.cols, p.epsilon, r.sums, [=](int j, int32_t four) {
            r.token[j % 32 / 8 * (p.cols / 16) + j / 32 * 8 + j % 8] = four;
        });
    tg_decode_tiles<KIND>(p, r, token, before);
}

/*
 * As many tiles in advance as leave room for the block of the next kernel beside this one, but
 * one at least; shared_most is what a block can have.
 */
template <int KIND>
static void tg_decode_product_of(const struct tg_decode_product *call, int processors,
                                 int64_t shared_most, void *stream)
{
    struct tg_decode_product p = *call;
    const int tiles = p.units / (KIND == TG_DECODE_GATE ? 4 : 2);
    const int blocks = tiles < processors ? tiles : processors;
    const int of_block = (tiles + blocks - 1) / blocks;
    const int vectors = (p.cols / 4 + TG_DECODE_THREADS - 1) / TG_DECODE_THREADS;
    p.slots = (of_block + TG_DECODE_WARPS - 1) / TG_DECODE_WARPS;
    if (p.slots > TG_DECODE_SLOTS) p.slots = TG_DECODE_SLOTS;
    while (p.slots > 1 && 2 * tg_decode_shared_bytes(KIND, p.cols, p.slots) > shared_most)
        p.slots--;
    const int64_t bytes = tg_decode_shared_bytes(KIND, p.cols, p.slots);
    void (*const kernel)(struct tg_decode_product) = vectors <= 2
                                                         ? tg_decode_product_kernel<KIND, 2>
                                                     : vectors <= 4
                                                         ? tg_decode_product_kernel<KIND, 4>
                                                     : vectors <= 8
                                                         ? tg_decode_product_kernel<KIND, 8>
                                                         : tg_decode_product_kernel<KIND, 12>;
    tg_cuda_launched(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes));
    tg_cuda_launch(kernel, dim3((unsigned)blocks), dim3(TG_DECODE_THREADS), (size_t)bytes, stream,
                   p);
}

static inline void tg_decode_product(int kind, const struct tg_decode_product *call, int processors,
                                     int64_t shared_most, void *stream)
{
    (kind == TG_DECODE_GATE ? tg_decode_product_of<TG_DECODE_GATE>
     : kind == TG_DECODE_ADD
         ? tg_decode_product_of<TG_DECODE_ADD>
         : tg_decode_product_of<TG_DECODE_STORE>)(call, processors, shared_most, stream);
}

#endif
