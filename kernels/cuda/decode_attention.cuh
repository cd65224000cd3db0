/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_DECODE_ATTENTION_CUH
#define TG_KERNELS_CUDA_DECODE_ATTENTION_CUH

#include "kernels/cuda/attend.cuh"

/*
 * Attention of one token: RoPE, the new key and value to the cache, and the sums over all
 * positions. A cluster of blocks has a key-value head, each block a part of the positions, and then
 * a part of the numbers: each writes what it has of them into the shared memory of the block that
 * puts them together. Keys and values of earlier tokens are on their way into the last cache before
 * the kernel ahead has ended.
 */

#define TG_DECODE_ATTENTION_THREADS 256
#define TG_DECODE_ATTENTION_WARPS   (TG_DECODE_ATTENTION_THREADS / 32)
#define TG_DECODE_ATTENTION_BLOCKS  8 /* of a cluster */

/* Where in shared memory, in numbers of 4 bytes: a part is most, sum and values of each head. */
struct tg_decode_attention_room {
    float *queries;              /* [heads][dimension] */
    float *weights;              /* [warps][heads] */
    float *parts;                /* [warps][heads][2 + dimension] */
    float *parcels;              /* [blocks][parcel]: of this block's numbers, from each block */
    __half *new_key, *new_value; /* [dimension], in the block that has the new position */
};

static __host__ __device__ inline int tg_decode_of_block(int heads, int dimension)
{
    return (heads * dimension + TG_DECODE_ATTENTION_BLOCKS - 1) / TG_DECODE_ATTENTION_BLOCKS;
}

/* Most and sum of each head, then the numbers of one block. */
static __host__ __device__ inline int tg_decode_parcel(int heads, int dimension)
{
    return 2 * heads + tg_decode_of_block(heads, dimension);
}

static inline int64_t tg_decode_attention_bytes(int heads, int dimension)
{
    const int warps = TG_DECODE_ATTENTION_WARPS, blocks = TG_DECODE_ATTENTION_BLOCKS;
    return 4 * (heads * dimension + warps * heads + warps * heads * (2 + dimension) +
                blocks * tg_decode_parcel(heads, dimension)) +
           16 + 4 * dimension;
}

template <int HEADS>
static __device__ inline struct tg_decode_attention_room tg_decode_attention_room_of(int dimension)
{
    struct tg_decode_attention_room r;
    r.new_key = (__half *)tg_shared(); /* read 16 bytes at a time */
    r.new_value = r.new_key + dimension;
    r.queries = (float *)(r.new_value + dimension);
    r.weights = r.queries + HEADS * dimension;
    r.parts = r.weights + TG_DECODE_ATTENTION_WARPS * HEADS;
    r.parcels = r.parts + TG_DECODE_ATTENTION_WARPS * HEADS * (2 + dimension);
    return r;
}

/*
 * Dimension d of all heads by one thread: queries into shared memory; the new key and value there
 * and into the cache, if this block has the new position.
 */
template <int HEADS>
static __device__ inline void tg_decode_turn(const struct tg_attend_call &a,
                                             const struct tg_decode_attention_room &r, int head,
                                             int position, bool has_new, float2 turn)
{
    const int d = threadIdx.x, half = a.turned / 2, all = a.heads + a.key_value_heads;
    if (d >= a.dimension) return;
    const bool is_turned = d < a.turned;
    const bool is_second = a.has_neighbours ? d % 2 : d >= half;
    const int other = !is_turned ? d : a.has_neighbours ? d ^ 1 : is_second ? d - half : d + half;
    const float *from = a.qkv + head * HEADS * a.dimension;
    float x[HEADS + 1], y[HEADS + 1];
#pragma unroll
    for (int h = 0; h <= HEADS; h++) {
        if (h == HEADS) from = a.qkv + (a.heads + head - HEADS) * a.dimension;
        x[h] = __ldcg(from + h * a.dimension + d);
        y[h] = __ldcg(from + h * a.dimension + other);
    }
    const float value = __ldcg(a.qkv + (all + head) * a.dimension + d);
#pragma unroll
    for (int h = 0; h <= HEADS; h++)
        if (is_turned) x[h] = fmaf(is_second ? y[h] : -y[h], turn.y, x[h] * turn.x);
#pragma unroll
    for (int h = 0; h < HEADS; h++) r.queries[h * a.dimension + d] = a.score_scale * x[h];
    if (!has_new) return;
    const int64_t at = ((int64_t)head * a.context + position) * a.dimension + d;
    a.keys[at] = r.new_key[d] = __float2half_rn(x[HEADS]);
    a.values[at] = r.new_value[d] = __float2half_rn(value);
}

/* The cosine and sine of this thread's dimension. */
static __device__ inline float2 tg_decode_turn_of(const struct tg_attend_call &a, int position)
{
    const int d = threadIdx.x, half = a.turned / 2;
    if (d >= a.turned) return make_float2(1.0f, 0.0f);
    return __ldg(a.turns + (int64_t)position * half + (a.has_neighbours ? d / 2 : d % half));
}

/* What the warps have, as one, each number to the block that puts it together. */
template <int HEADS>
static __device__ inline void tg_decode_send(const struct tg_decode_attention_room &r, int part,
                                             int dimension)
{
    const int size = 2 + dimension, i = threadIdx.x;
    const int of_block = tg_decode_of_block(HEADS, dimension);
    float *own = r.parcels + part * tg_decode_parcel(HEADS, dimension);
    static_assert(TG_DECODE_ATTENTION_BLOCKS <= TG_DECODE_ATTENTION_WARPS, "a thread for each");
    if (i < TG_DECODE_ATTENTION_WARPS * HEADS) {
        const int h = i % HEADS;
        float most = TG_ATTEND_LEAST;
#pragma unroll
        for (int w = 0; w < TG_DECODE_ATTENTION_WARPS; w++)
            most = fmaxf(most, r.parts[(w * HEADS + h) * size]);
        r.weights[i] = exp2f(r.parts[i * size] - most);
        if (i < HEADS * TG_DECODE_ATTENTION_BLOCKS) tg_cluster_write(own + 2 * h, i / HEADS, most);
    }
    __syncthreads();
    if (i < HEADS * TG_DECODE_ATTENTION_BLOCKS) {
        const int h = i % HEADS;
        float sum = 0.0f;
#pragma unroll
        for (int w = 0; w < TG_DECODE_ATTENTION_WARPS; w++)
            sum = fmaf(r.weights[w * HEADS + h], r.parts[(w * HEADS + h) * size + 1], sum);
        tg_cluster_write(own + 2 * h + 1, i / HEADS, sum);
    }
    for (int n = i; n < HEADS * dimension; n += TG_DECODE_ATTENTION_THREADS) {
        const int h = n / dimension, d = n % dimension;
        float sum = 0.0f;
#pragma unroll
        for (int w = 0; w < TG_DECODE_ATTENTION_WARPS; w++)
            sum = fmaf(r.weights[w * HEADS + h], r.parts[(w * HEADS + h) * size + 2 + d], sum);
        tg_cluster_write(own + 2 * HEADS + n % of_block, n / of_block, sum);
    }
}

/* Number i of this block, of head h, from the parcels of all. */
static __device__ inline float tg_decode_join(const float *parcels, int parcel, int heads, int h,
                                              int i)
{
    float most[TG_DECODE_ATTENTION_BLOCKS], largest = TG_ATTEND_LEAST, all = 0.0f, out = 0.0f;
#pragma unroll
    for (int b = 0; b < TG_DECODE_ATTENTION_BLOCKS; b++) {
        most[b] = parcels[b * parcel + 2 * h];
        largest = fmaxf(largest, most[b]);
    }
#pragma unroll
    for (int b = 0; b < TG_DECODE_ATTENTION_BLOCKS; b++) {
        const float weight = exp2f(most[b] - largest);
        all = fmaf(weight, parcels[b * parcel + 2 * h + 1], all);
        out = fmaf(weight, parcels[b * parcel + 2 * heads + i], out);
    }
    return out / all;
}

/* What the lanes of a warp have, as one, to the parts in shared memory. */
template <int HEADS, int LANES>
static __device__ inline void tg_decode_leave(struct tg_attended<HEADS> *t, float *parts,
                                              int dimension)
{
    const int lane = threadIdx.x % 32, size = 2 + dimension;
#pragma unroll
    for (int apart = LANES; apart < 32; apart *= 2) tg_attended_join<HEADS>(t, apart);
    if (lane >= LANES || lane * 8 >= dimension) return;
#pragma unroll
    for (int h = 0; h < HEADS; h++) {
        float *to = parts + (threadIdx.x / 32 * HEADS + h) * size;
        if (lane == 0) {
            to[0] = t->most[h];
            to[1] = t->sum[h];
        }
#pragma unroll
        for (int i = 0; i < 8; i++) to[2 + lane * 8 + i] = t->values[h][i];
    }
}

template <int HEADS, int LANES>
__global__ static void __launch_bounds__(TG_DECODE_ATTENTION_THREADS)
    tg_decode_attention_kernel(const struct tg_attend_call a)
{
    constexpr int GROUPS = 32 / LANES, ALL = GROUPS * TG_DECODE_ATTENTION_WARPS;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, d = lane % LANES * 8;
    const int head = blockIdx.y, part = blockIdx.x, parts = TG_DECODE_ATTENTION_BLOCKS;
    const struct tg_decode_attention_room room = tg_decode_attention_room_of<HEADS>(a.dimension);
    const int position = *a.position, each = (position + parts) / parts;
    const int begin = part * each, end = min(position + 1, begin + each);
    const bool has_new = position >= begin && position < end;
    const float2 turn = tg_decode_turn_of(a, position);
    const int64_t cache = (int64_t)head * a.context * a.dimension + d;
    const struct tg_attend_range range = {a.keys + cache,
                                          a.values + cache,
                                          a.dimension,
                                          begin + warp * GROUPS + lane / LANES,
                                          ALL,
                                          end,
                                          d >= a.dimension};
    struct tg_attend_step first;
    tg_attend_load(&first, range, 0, min(end, position));
    for (int i = threadIdx.x; i < (end - begin) * a.dimension / 64; i += blockDim.x) {
        tg_prefetch(a.keys + cache - d + (int64_t)begin * a.dimension + i * 64);
        tg_prefetch(a.values + cache - d + (int64_t)begin * a.dimension + i * 64);
    }
    tg_cuda_let_next();
    tg_cluster_here();
    tg_cuda_wait();
    tg_decode_turn<HEADS>(a, room, head, position, has_new, turn);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < TG_ATTEND_STEP; i++)
        if (range.begin + i * ALL == position && has_new && !range.is_idle) {
            first.keys[i] = *(const uint4 *)(room.new_key + d);
            first.values[i] = *(const uint4 *)(room.new_value + d);
        }
    struct tg_attended<HEADS> t;
    float q[HEADS][8];
#pragma unroll
    for (int h = 0; h < HEADS; h++)
#pragma unroll
        for (int i = 0; i < 8; i++)
            q[h][i] = range.is_idle ? 0.0f : room.queries[h * a.dimension + d + i];
    tg_attended_begin<HEADS>(&t);
    tg_attend<HEADS, LANES>(&t, q, first, range, (end - begin - warp * GROUPS + ALL - 1) / ALL);
    tg_decode_leave<HEADS, LANES>(&t, room.parts, a.dimension);
    __syncthreads();
    tg_cluster_wait();
    tg_decode_send<HEADS>(room, part, a.dimension);
    tg_cluster_meet();
    const int of_block = tg_decode_of_block(HEADS, a.dimension);
    for (int i = threadIdx.x; i < of_block; i += blockDim.x) {
        const int at = part * of_block + i, h = at / a.dimension;
        if (h < HEADS)
            a.out[head * HEADS * a.dimension + at] = tg_decode_join(
                room.parcels, tg_decode_parcel(HEADS, a.dimension), HEADS, h, i);
    }
}

/* The shape is one that tg_attend_is_here. */
static inline void tg_decode_attention(const struct tg_attend_call *a, void *stream)
{
    const int heads = a->heads / a->key_value_heads, lanes = tg_attend_lanes(a->dimension);
    const dim3 cluster(TG_DECODE_ATTENTION_BLOCKS);
    void (*kernel)(struct tg_attend_call) = NULL;
#define SHAPE(HEADS, LANES)                                                                        \
    if (heads == HEADS && lanes == LANES) kernel = tg_decode_attention_kernel<HEADS, LANES>;
    TG_ATTEND_SHAPES(SHAPE)
#undef SHAPE
    tg_cuda_launch_clusters(kernel, dim3(cluster.x, (unsigned)a->key_value_heads),
                            dim3(TG_DECODE_ATTENTION_THREADS), cluster,
                            (size_t)tg_decode_attention_bytes(heads, a->dimension), stream, *a);
}

#endif
