/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_ATTEND_CUH
#define TG_KERNELS_CUDA_ATTEND_CUH

#include "kernels/cuda/bulk.cuh"
#include "kernels/cuda/halves.cuh"

/*
 * Attention of grouped queries over keys and values in f16, by sums that need no second look at
 * the scores: each group of lanes keeps the largest score so far, and what it has summed is
 * multiplied again when a larger one comes.
 *
 *   out[h] = sum over p of exp(s[h][p] - most) v[p] / sum over p of exp(s[h][p] - most)
 *
 * HEADS query heads share the keys and values of one head. LANES lanes have a position, eight
 * dimensions each; STEP positions are loaded at once.
 *
 * Source: Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.
 */

#define TG_ATTEND_STEP  2
#define TG_ATTEND_LEAST (-1e30f) /* below any score */

struct tg_attend_call {      /* what the kernels of attention have in common */
    const float *qkv;        /* decode: heads of q, k and v; prefill: queries of all tokens */
    const float2 *turns;     /* [context][turned / 2] cosine and sine */
    __half *keys, *values;   /* [key-value heads][context][dimension] */
    float *out;              /* [token][heads][dimension] */
    const int32_t *position; /* of the first token, in device memory */
    int heads, key_value_heads, dimension, turned, context;
    int has_neighbours; /* pairs are 2i and 2i + 1, else i and i + turned / 2 */
    int tokens;
    float score_scale; /* log2(e) / sqrt(dimension): exponentials are of 2 */
};

template <int HEADS> struct tg_attended {
    float most[HEADS], sum[HEADS], values[HEADS][8];
};

/* Number d of a head at a position, turned as RoPE says; number(d) is what it was. */
template <typename Number>
static __device__ inline float tg_turned(const struct tg_attend_call &a, Number number, int d,
                                         const float2 *turns)
{
    const float x = number(d);
    if (d >= a.turned) return x;
    const int half = a.turned / 2;
    const int pair = a.has_neighbours ? d / 2 : d % half;
    const bool is_second = a.has_neighbours ? d % 2 : d >= half;
    const int other = a.has_neighbours ? d ^ 1 : is_second ? d - half : d + half;
    const float y = number(other);
    const float2 turn = turns[pair];
    return is_second ? fmaf(y, turn.y, x * turn.x) : fmaf(-y, turn.y, x * turn.x);
}

static __device__ inline void tg_halves(uint4 eight, float *to)
{
    const uint32_t words[4] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float2 two = tg_two_halves(words[i]);
        to[2 * i] = two.x;
        to[2 * i + 1] = two.y;
    }
}

template <int HEADS> static __device__ inline void tg_attended_begin(struct tg_attended<HEADS> *t)
{
#pragma unroll
    for (int h = 0; h < HEADS; h++) {
        t->most[h] = TG_ATTEND_LEAST;
        t->sum[h] = 0.0f;
#pragma unroll
        for (int i = 0; i < 8; i++) t->values[h][i] = 0.0f;
    }
}

/* Puts together what two groups of lanes have, `apart` lanes from each other. */
template <int HEADS>
static __device__ inline void tg_attended_join(struct tg_attended<HEADS> *t, int apart)
{
#pragma unroll
    for (int h = 0; h < HEADS; h++) {
        const float most = fmaxf(t->most[h], __shfl_xor_sync(~0u, t->most[h], apart));
        const float mine = exp2f(t->most[h] - most);
        const float sum = t->sum[h] * mine;
        t->sum[h] = sum + __shfl_xor_sync(~0u, sum, apart);
        t->most[h] = most;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const float value = t->values[h][i] * mine;
            t->values[h][i] = value + __shfl_xor_sync(~0u, value, apart);
        }
    }
}

/* Keys and values of TG_ATTEND_STEP positions, eight dimensions each. */
struct tg_attend_step {
    uint4 keys[TG_ATTEND_STEP], values[TG_ATTEND_STEP];
};

/* A head's keys and values, and the positions that a group of lanes has of it. */
struct tg_attend_range {
    const __half *keys, *values; /* of position 0, and of this lane's dimensions */
    int dimension, begin, stride, end;
    bool is_idle; /* this lane is past the dimension */
};

/* What is before `end`, from position number `round` of the range on; zeros else. */
static __device__ inline void tg_attend_load(struct tg_attend_step *s,
                                             const struct tg_attend_range &r, int round, int end)
{
#pragma unroll
    for (int i = 0; i < TG_ATTEND_STEP; i++) {
        const int at = r.begin + (round + i) * r.stride;
        const int64_t place = (int64_t)at * r.dimension;
        const bool is_here = at < end && !r.is_idle;
        s->keys[i] = is_here ? __ldcg((const uint4 *)(r.keys + place)) : make_uint4(0, 0, 0, 0);
        s->values[i] = is_here ? __ldcg((const uint4 *)(r.values + place)) : make_uint4(0, 0, 0, 0);
    }
}

/* One step; `q` are this lane's dimensions of each head, scaled. */
template <int HEADS, int LANES>
static __device__ inline void tg_attend_add(struct tg_attended<HEADS> *t, const float (*q)[8],
                                            const struct tg_attend_step &s,
                                            const struct tg_attend_range &r, int round)
{
    float score[TG_ATTEND_STEP][HEADS], k[8];
#pragma unroll
    for (int i = 0; i < TG_ATTEND_STEP; i++) {
        tg_halves(s.keys[i], k);
#pragma unroll
        for (int h = 0; h < HEADS; h++) {
            float sum = 0.0f;
#pragma unroll
            for (int j = 0; j < 8; j++) sum = fmaf(q[h][j], k[j], sum);
#pragma unroll
            for (int step = LANES / 2; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
            score[i][h] = r.begin + (round + i) * r.stride < r.end ? sum : TG_ATTEND_LEAST;
        }
    }
#pragma unroll
    for (int h = 0; h < HEADS; h++) {
        float most = t->most[h];
#pragma unroll
        for (int i = 0; i < TG_ATTEND_STEP; i++) most = fmaxf(most, score[i][h]);
        const float again = exp2f(t->most[h] - most);
        t->most[h] = most;
        t->sum[h] *= again;
#pragma unroll
        for (int j = 0; j < 8; j++) t->values[h][j] *= again;
#pragma unroll
        for (int i = 0; i < TG_ATTEND_STEP; i++) {
            score[i][h] = score[i][h] != TG_ATTEND_LEAST ? exp2f(score[i][h] - most) : 0.0f;
            t->sum[h] += score[i][h];
        }
    }
#pragma unroll
    for (int i = 0; i < TG_ATTEND_STEP; i++) {
        tg_halves(s.values[i], k);
#pragma unroll
        for (int h = 0; h < HEADS; h++)
#pragma unroll
            for (int j = 0; j < 8; j++) t->values[h][j] = fmaf(score[i][h], k[j], t->values[h][j]);
    }
}

/*
 * The whole range, of which `first` is the first step. All lanes of a warp must call it with the
 * same `rounds`, the most positions that a group of them has. The next step is on its way while one
 * is added.
 */
template <int HEADS, int LANES>
static __device__ inline void tg_attend(struct tg_attended<HEADS> *t, const float (*q)[8],
                                        struct tg_attend_step first,
                                        const struct tg_attend_range &r, int rounds)
{
#pragma unroll 1
    for (int round = 0; round < rounds; round += TG_ATTEND_STEP) {
        struct tg_attend_step next;
        tg_attend_load(&next, r, round + TG_ATTEND_STEP, r.end);
        tg_attend_add<HEADS, LANES>(t, q, first, r, round);
        first = next;
    }
}

/* SHAPE(query heads for one, lanes of a position): what there are kernels for. */
#define TG_ATTEND_SHAPES(SHAPE)                                                                    \
    SHAPE(1, 8)                                                                                    \
    SHAPE(2, 8)                                                                                    \
    SHAPE(3, 8)                                                                                    \
    SHAPE(4, 8)                                                                                    \
    SHAPE(1, 16)                                                                                   \
    SHAPE(2, 16)                                                                                   \
    SHAPE(3, 16)                                                                                   \
    SHAPE(4, 16)                                                                                   \
    SHAPE(1, 32)                                                                                   \
    SHAPE(2, 32)                                                                                   \
    SHAPE(3, 32)                                                                                   \
    SHAPE(4, 32)

static inline int tg_attend_lanes(int64_t dimension)
{
    return dimension <= 64 ? 8 : dimension <= 128 ? 16 : 32;
}

static inline bool tg_attend_is_here(int64_t heads_for_one, int64_t dimension)
{
    return heads_for_one >= 1 && heads_for_one <= 4 && dimension % 8 == 0 && dimension <= 256;
}

#endif
