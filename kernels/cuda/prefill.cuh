/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_PREFILL_CUH
#define TG_KERNELS_CUDA_PREFILL_CUH

#include "kernels/cuda/attend.cuh"
#include "kernels/cuda/token_round.cuh"

/*
 * What lies between the ternary products of many tokens, which are rows of the table of kernels:
 *
 *   embed      tokens to their embeddings
 *   round      one block a token: adds, gates or takes; norm; int8
 *   place      q, k, v of a token: real numbers, RoPE, keys and values into the cache
 *   attention  one warp a token and key-value head
 */

#define TG_PREFILL_THREADS 512
#define TG_PREFILL_WARPS   4 /* of a block of attention */

enum { TG_ROUND_TAKE, TG_ROUND_ADD, TG_ROUND_GATE };

struct tg_prefill_round {
    float *x;                    /* TAKE and ADD: tokens x cols; ADD changes it */
    const int32_t *products;     /* ADD: tokens x cols; GATE: tokens x 2 cols */
    const float *product_scales; /* of the tokens that were multiplied */
    const float *norm;           /* or NULL */
    int8_t *q;
    float *scales;
    float matrix_scales[2];
    float epsilon;
    int cols, is_squared_relu;
};

static __device__ inline float4 tg_reals(int4 products, float token_scale, float scale)
{
    return make_float4(tg_token_real(products.x, token_scale, scale),
                       tg_token_real(products.y, token_scale, scale),
                       tg_token_real(products.z, token_scale, scale),
                       tg_token_real(products.w, token_scale, scale));
}

/* Four numbers of the token of this block. */
template <int KIND>
static __device__ inline float4 tg_prefill_four(const struct tg_prefill_round &p, int j)
{
    const int64_t token = blockIdx.x, at = token * (p.cols / 4) + j;
    if (KIND == TG_ROUND_TAKE) return __ldcg((const float4 *)p.x + at);
    const float scale = __ldcg(p.product_scales + token);
    if (KIND == TG_ROUND_ADD) {
        const float4 x = __ldcg((const float4 *)p.x + at);
        const float4 y = tg_reals(__ldcg((const int4 *)p.products + at), scale, p.matrix_scales[0]);
        const float4 sum = make_float4(x.x + y.x, x.y + y.y, x.z + y.z, x.w + y.w);
        ((float4 *)p.x)[at] = sum;
        return sum;
    }
    const int4 *both = (const int4 *)p.products + 2 * token * (p.cols / 4);
    const float4 g = tg_reals(__ldcg(both + j), scale, p.matrix_scales[0]);
    const float4 u = tg_reals(__ldcg(both + p.cols / 4 + j), scale, p.matrix_scales[1]);
    return make_float4(
        tg_token_gate(p.is_squared_relu, g.x, u.x), tg_token_gate(p.is_squared_relu, g.y, u.y),
        tg_token_gate(p.is_squared_relu, g.z, u.z), tg_token_gate(p.is_squared_relu, g.w, u.w));
}

template <int KIND, int VECTORS>
__global__ static void __launch_bounds__(TG_PREFILL_THREADS)
    tg_prefill_round_kernel(const struct tg_prefill_round p)
{
    float4 weights[VECTORS], x[VECTORS];
#pragma unroll
    for (int i = 0; i < VECTORS; i++) {
        const int j = i * TG_PREFILL_THREADS + (int)threadIdx.x;
        weights[i] = p.norm && j < p.cols / 4 ? __ldg((const float4 *)p.norm + j) : float4();
    }
    tg_cuda_let_next();
    tg_cuda_wait();
#pragma unroll
    for (int i = 0; i < VECTORS; i++) {
        const int j = i * TG_PREFILL_THREADS + (int)threadIdx.x;
        x[i] = j < p.cols / 4 ? tg_prefill_four<KIND>(p, j) : float4();
    }
    int32_t *q = (int32_t *)(p.q + (int64_t)blockIdx.x * p.cols);
    const struct tg_token token = tg_token_round<VECTORS, TG_PREFILL_THREADS>(
        x, weights, p.norm != NULL, p.cols, p.epsilon, (struct tg_token_sums *)tg_shared(),
        [=](int j, int32_t four) { q[j] = four; });
    if (threadIdx.x == 0) p.scales[blockIdx.x] = token.scale;
}

/* The last product of a token to its x, where no rounding follows. */
__global__ static void __launch_bounds__(TG_PREFILL_THREADS)
    tg_prefill_add_kernel(const struct tg_prefill_round p)
{
    tg_cuda_let_next();
    tg_cuda_wait();
    for (int j = threadIdx.x; j < p.cols / 4; j += TG_PREFILL_THREADS)
        (void)tg_prefill_four<TG_ROUND_ADD>(p, j);
}

__global__ static void __launch_bounds__(TG_PREFILL_THREADS)
    tg_prefill_embed_kernel(const int32_t *tokens, const int32_t *position, const __half *embedding,
                            float *x, int cols)
{
    tg_cuda_let_next();
    tg_cuda_wait();
    const __half *row = embedding + (int64_t)tokens[*position + blockIdx.x] * cols;
    for (int i = threadIdx.x; i < cols; i += TG_PREFILL_THREADS)
        x[(int64_t)blockIdx.x * cols + i] = __half2float(row[i]);
}

struct tg_prefill_place {
    struct tg_attend_call a; /* its qkv are `queries` */
    const int32_t *products;
    const float *scales; /* of tokens */
    float matrix_scales[3];
    float *queries; /* [token][heads][dimension], turned and scaled */
};

__global__ static void __launch_bounds__(TG_PREFILL_THREADS)
    tg_prefill_place_kernel(const struct tg_prefill_place p)
{
    const struct tg_attend_call &a = p.a;
    const int all = a.heads + 2 * a.key_value_heads;
    tg_cuda_let_next();
    tg_cuda_wait();
    const int token = blockIdx.x, position = *a.position + token;
    const float token_scale = __ldcg(p.scales + token);
    const float2 *turns = a.turns + (int64_t)position * (a.turned / 2);
    for (int i = threadIdx.x; i < all * a.dimension; i += TG_PREFILL_THREADS) {
        const int head = i / a.dimension, d = i % a.dimension, key = head - a.heads;
        const int32_t *of = p.products + ((int64_t)token * all + head) * a.dimension;
        const float scale = p.matrix_scales[key < 0 ? 0 : key < a.key_value_heads ? 1 : 2];
        const auto number = [=](int j) {
            return tg_token_real(__ldcg(of + j), token_scale, scale);
        };
        if (key < 0) {
            p.queries[(int64_t)token * a.heads * a.dimension + i] = a.score_scale *
                                                                    tg_turned(a, number, d, turns);
            continue;
        }
        const int64_t at = ((int64_t)(key % a.key_value_heads) * a.context + position) *
                               a.dimension +
                           d;
        if (key < a.key_value_heads)
            a.keys[at] = __float2half_rn(tg_turned(a, number, d, turns));
        else
            a.values[at] = __float2half_rn(number(d));
    }
}

template <int HEADS, int LANES>
__global__ static void __launch_bounds__(TG_PREFILL_WARPS * 32)
    tg_prefill_attention_kernel(const struct tg_attend_call a)
{
    constexpr int GROUPS = 32 / LANES;
    const int lane = threadIdx.x % 32, d = lane % LANES * 8, head = blockIdx.y;
    const int token = blockIdx.x * TG_PREFILL_WARPS + threadIdx.x / 32;
    const bool is_idle = d >= a.dimension;
    tg_cuda_let_next();
    tg_cuda_wait();
    if (token >= a.tokens) return;
    const int end = *a.position + token + 1;
    const int64_t at = ((int64_t)token * a.heads + head * HEADS) * a.dimension;
    const int64_t cache = (int64_t)head * a.context * a.dimension;
    struct tg_attended<HEADS> t;
    float q[HEADS][8];
#pragma unroll
    for (int h = 0; h < HEADS; h++)
#pragma unroll
        for (int i = 0; i < 8; i++)
            q[h][i] = is_idle ? 0.0f : __ldcg(a.qkv + at + h * a.dimension + d + i);
    tg_attended_begin<HEADS>(&t);
    const struct tg_attend_range range = {
        a.keys + cache + d, a.values + cache + d, a.dimension, lane / LANES, GROUPS, end, is_idle};
    struct tg_attend_step first;
    tg_attend_load(&first, range, 0, end);
    tg_attend<HEADS, LANES>(&t, q, first, range, (end + GROUPS - 1) / GROUPS);
#pragma unroll
    for (int apart = LANES; apart < 32; apart *= 2) tg_attended_join<HEADS>(&t, apart);
    if (lane >= LANES || is_idle) return;
#pragma unroll
    for (int h = 0; h < HEADS; h++)
#pragma unroll
        for (int i = 0; i < 8; i++) a.out[at + h * a.dimension + d + i] = t.values[h][i] / t.sum[h];
}

static inline void tg_prefill_embed(const int32_t *tokens, const int32_t *position,
                                    const __half *embedding, float *x, int cols, int count,
                                    void *stream)
{
    tg_cuda_launch(tg_prefill_embed_kernel, dim3((unsigned)count), dim3(TG_PREFILL_THREADS), 0,
                   stream, tokens, position, embedding, x, cols);
}

template <int KIND>
static void tg_prefill_round_of(const struct tg_prefill_round *p, int tokens, void *stream)
{
    const int vectors = (p->cols / 4 + TG_PREFILL_THREADS - 1) / TG_PREFILL_THREADS;
    void (*const kernel)(struct tg_prefill_round) = vectors <= 2 ? tg_prefill_round_kernel<KIND, 2>
                                                    : vectors <= 4
                                                        ? tg_prefill_round_kernel<KIND, 4>
                                                    : vectors <= 8
                                                        ? tg_prefill_round_kernel<KIND, 8>
                                                        : tg_prefill_round_kernel<KIND, 12>;
    tg_cuda_launch(kernel, dim3((unsigned)tokens), dim3(TG_PREFILL_THREADS),
                   sizeof(struct tg_token_sums), stream, *p);
}

static inline void tg_prefill_round(int kind, const struct tg_prefill_round *p, int tokens,
                                    void *stream)
{
    (kind == TG_ROUND_GATE  ? tg_prefill_round_of<TG_ROUND_GATE>
     : kind == TG_ROUND_ADD ? tg_prefill_round_of<TG_ROUND_ADD>
                            : tg_prefill_round_of<TG_ROUND_TAKE>)(p, tokens, stream);
}

static inline void tg_prefill_add(const struct tg_prefill_round *p, int tokens, void *stream)
{
    tg_cuda_launch(tg_prefill_add_kernel, dim3((unsigned)tokens), dim3(TG_PREFILL_THREADS), 0,
                   stream, *p);
}

/* RoPE, cache and attention of p->a.tokens tokens; the shape is one that tg_attend_is_here. */
static inline void tg_prefill_attention(const struct tg_prefill_place *p, void *stream)
{
    const struct tg_attend_call *a = &p->a;
    const int heads = a->heads / a->key_value_heads, lanes = tg_attend_lanes(a->dimension);
    const unsigned blocks = (unsigned)((a->tokens + TG_PREFILL_WARPS - 1) / TG_PREFILL_WARPS);
    void (*kernel)(struct tg_attend_call) = NULL;
#define SHAPE(HEADS, LANES)                                                                        \
    if (heads == HEADS && lanes == LANES) kernel = tg_prefill_attention_kernel<HEADS, LANES>;
    TG_ATTEND_SHAPES(SHAPE)
#undef SHAPE
    tg_cuda_launch(tg_prefill_place_kernel, dim3((unsigned)a->tokens), dim3(TG_PREFILL_THREADS), 0,
                   stream, *p);
    tg_cuda_launch(kernel, dim3(blocks, (unsigned)a->key_value_heads), dim3(TG_PREFILL_WARPS * 32),
                   0, stream, *a);
}

#endif
