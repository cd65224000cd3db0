/* SPDX-License-Identifier: Apache-2.0 */
#include <cmath>
#include <cstring>

#include "worker/model/forward_cuda.cuh"

#include "kernels/cuda/decode_attention.cuh"
#include "kernels/cuda/decode_product.cuh"

static struct tg_attend_call attend_of(const struct tg_cuda_forward *f,
                                       const struct tg_cuda_block *b, int tokens)
{
    const struct tg_network *n = f->n;
    struct tg_attend_call a = {};
    a.qkv = f->qkv;
    a.turns = f->turns;
    a.keys = b->keys;
    a.values = b->values;
    a.out = f->mixed;
    a.position = f->place;
    a.heads = (int)n->heads;
    a.key_value_heads = (int)n->key_value_heads;
    a.dimension = (int)n->head_dimension;
    a.turned = (int)n->rope_dimensions;
    a.context = (int)f->options.context;
    a.has_neighbours = n->architecture->pairing == TG_PAIRING_NEIGHBOURS;
    a.tokens = tokens;
    a.score_scale = (float)(M_LOG2E / sqrt((double)n->head_dimension));
    return a;
}

static struct tg_decode_head head_of(const struct tg_cuda_forward *f)
{
    struct tg_decode_head h = {};
    h.weights = f->head;
    h.norm = f->output_norm;
    h.x = f->x;
    h.logits = f->logits;
    h.best = f->best;
    h.tokens = f->tokens;
    h.position = f->place;
    h.epsilon = (float)f->n->epsilon;
    h.cols = (int)f->n->hidden;
    h.rows = (int)f->n->vocabulary;
    h.blocks = TG_HEAD_BLOCKS * f->processors;
    return h;
}

/* One of the products of block i, whose matrices are those of the layers first..last. */
static struct tg_decode_product product_of(const struct tg_cuda_forward *f, int64_t i, int first,
                                           int last)
{
    struct tg_decode_product p = {};
    int64_t rows = 0, cols = 0, all = 0;
    for (int layer = first; layer <= last; layer++) {
        tg_network_shape(f->n, layer, &rows, &cols);
        p.scales[layer - first] = f->blocks[i].scales[layer];
        p.rows_until[layer - first] = (int)(all += rows);
    }
    p.epsilon = (float)f->n->epsilon;
    p.cols = (int)cols;
    p.units = (int)(first == TG_LAYER_ffn_gate ? rows : all);
    p.is_squared_relu = f->n->gate == TG_GATE_SQUARED_RELU;
    return p;
}

static void launch_step_block(const struct tg_cuda_forward *f, int64_t i)
{
    const struct tg_cuda_block *b = &f->blocks[i];
    const struct tg_attend_call a = attend_of(f, b, 1);
    struct tg_decode_product p = product_of(f, i, TG_LAYER_attn_q, TG_LAYER_attn_v);
    p.weights = b->qkv, p.norm = b->attn_norm, p.x = f->x, p.out = f->qkv;
    tg_decode_product(TG_DECODE_STORE, &p, f->processors, f->stream);
    tg_decode_attention(&a, f->stream);
    p = product_of(f, i, TG_LAYER_attn_output, TG_LAYER_attn_output);
    p.weights = b->output, p.norm = b->attn_sub_norm, p.x = f->mixed, p.out = f->x;
    tg_decode_product(TG_DECODE_ADD, &p, f->processors, f->stream);
    p = product_of(f, i, TG_LAYER_ffn_gate, TG_LAYER_ffn_up);
    p.weights = b->pair, p.norm = b->ffn_norm, p.x = f->x, p.out = f->gated;
    tg_decode_product(TG_DECODE_GATE, &p, f->processors, f->stream);
    p = product_of(f, i, TG_LAYER_ffn_down, TG_LAYER_ffn_down);
    p.weights = b->down, p.norm = b->ffn_sub_norm, p.x = f->gated, p.out = f->x;
    tg_decode_product(TG_DECODE_ADD, &p, f->processors, f->stream);
}

void tg_cuda_launch_step(const struct tg_cuda_forward *f)
{
    const struct tg_decode_head h = head_of(f);
    tg_prefill_embed(f->tokens, f->place, f->embedding, f->x, h.cols, 1, f->stream);
    for (int64_t i = 0; i < f->n->layers; i++) launch_step_block(f, i);
    tg_decode_head(&h, f->stream);
}

/* Activations are f->rounded, results f->products. */
static void multiply_batch(const struct tg_cuda_forward *f, const uint8_t *weights, int64_t rows,
                           int64_t cols, int64_t tokens)
{
    struct tg_problem p = {};
    p.weights = weights;
    p.activations = f->rounded;
    p.results = f->products;
    p.rows = p.row_end = rows;
    p.cols = cols;
    p.batch = tokens;
    p.stream = f->stream;
    f->product->run(&p);
}

static void launch_block(const struct tg_cuda_forward *f, int64_t i, int tokens)
{
    const struct tg_network *n = f->n;
    const struct tg_cuda_block *b = &f->blocks[i];
    const int64_t inner = tg_cuda_inner(n), qkv = inner + 2 * tg_cuda_shared(n);
    struct tg_prefill_place place = {};
    struct tg_prefill_round r = {};
    r.x = f->batch_x;
    r.products = f->products;
    r.product_scales = r.scales = f->scales;
    r.q = f->rounded;
    r.epsilon = (float)n->epsilon;
    r.is_squared_relu = n->gate == TG_GATE_SQUARED_RELU;

    r.cols = (int)n->hidden;
    r.norm = b->attn_norm;
    if (i > 0) r.matrix_scales[0] = f->blocks[i - 1].scales[TG_LAYER_ffn_down];
    tg_prefill_round(i > 0 ? TG_ROUND_ADD : TG_ROUND_TAKE, &r, tokens, f->stream);
    multiply_batch(f, b->qkv, qkv, n->hidden, tokens);
    place.a = attend_of(f, b, tokens);
    place.a.qkv = place.queries = f->queries;
    place.a.out = f->batch_mixed;
    place.products = f->products;
    place.scales = f->scales;
    memcpy(place.matrix_scales, b->scales + TG_LAYER_attn_q, sizeof place.matrix_scales);
    tg_prefill_attention(&place, f->stream);

    r.x = f->batch_mixed;
    r.cols = (int)inner;
    r.norm = b->attn_sub_norm;
    tg_prefill_round(TG_ROUND_TAKE, &r, tokens, f->stream);
    multiply_batch(f, b->output, n->hidden, inner, tokens);
    r.x = f->batch_x;
    r.cols = (int)n->hidden;
    r.norm = b->ffn_norm;
    r.matrix_scales[0] = b->scales[TG_LAYER_attn_output];
    tg_prefill_round(TG_ROUND_ADD, &r, tokens, f->stream);
    multiply_batch(f, b->pair, 2 * n->ffn, n->hidden, tokens);
    r.cols = (int)n->ffn;
    r.norm = b->ffn_sub_norm;
    r.matrix_scales[0] = b->scales[TG_LAYER_ffn_gate];
    r.matrix_scales[1] = b->scales[TG_LAYER_ffn_up];
    tg_prefill_round(TG_ROUND_GATE, &r, tokens, f->stream);
    multiply_batch(f, b->down, n->hidden, n->ffn, tokens);
}

void tg_cuda_launch_batch(const struct tg_cuda_forward *f, int tokens)
{
    struct tg_prefill_round r = {};
    r.x = f->batch_x;
    r.products = f->products;
    r.product_scales = f->scales;
    r.matrix_scales[0] = f->blocks[f->n->layers - 1].scales[TG_LAYER_ffn_down];
    r.cols = (int)f->n->hidden;
    tg_prefill_embed(f->tokens, f->place, f->embedding, f->batch_x, r.cols, tokens, f->stream);
    for (int64_t i = 0; i < f->n->layers; i++) launch_block(f, i, tokens);
    tg_prefill_add(&r, tokens, f->stream);
}

void tg_cuda_launch_head(const struct tg_cuda_forward *f)
{
    const struct tg_decode_head h = head_of(f);
    tg_decode_head(&h, f->stream);
}
