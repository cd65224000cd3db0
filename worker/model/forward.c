/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/forward.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "worker/model/attention.h"
#include "worker/model/head.h"

/* Of a batch, tokens are shared out from this many on; below, one thread is sooner done. */
enum { ALIGNMENT = 64, SHARED_TOKENS = 4 };

struct norms {
    float *attn, *attn_sub, *ffn, *ffn_sub; /* a sub-norm may be NULL */
};

struct tg_forward {
    const struct tg_network *network;
    const struct tg_weights *weights;
    struct tg_pool *pool;
    struct tg_forward_options options;
    struct tg_attention attention;
    struct tg_forward_times times;
    tg_forward_watch watch;
    void *watch_context;
    int64_t position, furthest;

    struct norms *norms; /* of each block */
    float *output_norm, *norm_numbers;
    struct tg_head head;
    int64_t table_row_bytes; /* of the embedding */

    /* of a batch: tokens x width */
    float *x, *queries, *keys, *values, *mixed, *gate, *up, *result;
    int8_t *activations;
    float *plain;                   /* instead of these, where they are not rounded */
    int8_t *ternary;                /* weights of one matrix, likewise */
    float *scales;                  /* of activations, one a token */
    int32_t *sums;                  /* of up to three products at once */
    float *scratch, *scores, *last; /* of each thread: widest vector, context; of the head */
    int64_t score_count;            /* of a thread */
    int64_t bytes;
};

static int64_t widest(const struct tg_network *n)
{
    const int64_t inner = n->heads * n->head_dimension;
    const int64_t wide = n->ffn > n->hidden ? n->ffn : n->hidden;
    return wide > inner ? wide : inner;
}

static int64_t most_sums(const struct tg_network *n)
{
    const int64_t heads = (n->heads + 2 * n->key_value_heads) * n->head_dimension;
    const int64_t pair = 2 * n->ffn > n->hidden ? 2 * n->ffn : n->hidden;
    return heads > pair ? heads : pair;
}

/* Weights of the largest matrix. */
static int64_t largest(const struct tg_weights *w)
{
    int64_t most = 0;
    for (int64_t i = 0; i < w->count; i++) {
        const int64_t weights = w->matrices[i].rows * w->matrices[i].cols;
        if (weights > most) most = weights;
    }
    return most;
}

static void *have(struct tg_forward *f, int64_t count, size_t size)
{
    const size_t bytes = ((size_t)count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    f->bytes += (int64_t)bytes;
    return aligned_alloc(ALIGNMENT, bytes + ALIGNMENT);
}

/* Heads that are computed together: of a batch those that share keys, else each is one's own. */
static int64_t together(const struct tg_network *n, int64_t tokens)
{
    return tokens >= SHARED_TOKENS ? n->heads / n->key_value_heads : 1;
}

static int open_buffers(struct tg_forward *f, struct tg_error *err)
{
    const struct tg_network *n = f->network;
    const int64_t batch = f->options.batch, threads = tg_pool_count(f->pool);
    const int64_t inner = n->heads * n->head_dimension;
    const int64_t shared = n->key_value_heads * n->head_dimension;
    f->x = have(f, batch * n->hidden, sizeof(float));
    f->queries = have(f, batch * inner, sizeof(float));
    f->keys = have(f, batch * shared, sizeof(float));
    f->values = have(f, batch * shared, sizeof(float));
    f->mixed = have(f, batch * inner, sizeof(float));
    f->gate = have(f, batch * n->ffn, sizeof(float));
    f->up = have(f, batch * n->ffn, sizeof(float));
    f->result = have(f, batch * n->hidden, sizeof(float));
    f->activations = have(f, batch * widest(n), 1);
    f->scales = have(f, batch, sizeof(float));
    f->sums = have(f, batch * most_sums(n), sizeof(int32_t));
    f->scratch = have(f, threads * widest(n), sizeof(float));
    f->score_count = f->options.context * together(n, batch);
    f->scores = have(f, threads * f->score_count, sizeof(float));
    f->last = have(f, n->hidden, sizeof(float));
    const void *const all[] = {f->x,    f->queries, f->keys,        f->values, f->mixed,
                               f->gate, f->up,      f->result,      f->scales, f->sums,
                               f->last, f->scratch, f->activations, f->scores};
    if (f->options.is_plain) {
        f->plain = have(f, batch * widest(n), sizeof(float));
        f->ternary = have(f, largest(f->weights), 1);
    }
    bool is_there = !f->options.is_plain || (f->plain && f->ternary);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) is_there = is_there && all[i];
    if (!is_there) return tg_fail(err, "%" PRId64 " bytes of memory are not to be had", f->bytes);
    return 0;
}

/* The numbers of a tensor as float, at *at, which moves on; NULL if there is no tensor. */
static float *numbers_of(const struct tg_gguf_tensor *t, float **at)
{
    float *numbers = *at;
    if (!t) return NULL;
    tg_tensor_type_decode(t->type, t->data, t->dimensions[0], numbers);
    *at += t->dimensions[0];
    return numbers;
}

static int open_norms(struct tg_forward *f, struct tg_error *err)
{
    const struct tg_network *n = f->network;
    const int64_t of_block = 2 * n->hidden + n->ffn + n->heads * n->head_dimension;
    f->norms = calloc((size_t)n->layers, sizeof *f->norms);
    f->norm_numbers = have(f, n->layers * of_block + n->hidden, sizeof(float));
    if (!f->norms || !f->norm_numbers) return tg_fail(err, "out of memory");
    float *at = f->norm_numbers;
    for (int64_t i = 0; i < n->layers; i++) {
        const struct tg_network_block *b = &n->blocks[i];
        f->norms[i].attn = numbers_of(b->attn_norm, &at);
        f->norms[i].attn_sub = numbers_of(b->attn_sub_norm, &at);
        f->norms[i].ffn = numbers_of(b->ffn_norm, &at);
        f->norms[i].ffn_sub = numbers_of(b->ffn_sub_norm, &at);
    }
    f->output_norm = numbers_of(n->output_norm, &at);
    return 0;
}

static int open_head(struct tg_forward *f, struct tg_error *err)
{
    const struct tg_network *n = f->network;
    f->table_row_bytes = n->embedding->bytes / n->vocabulary;
    if (tg_head_open(n, f->options.vector, f->pool, &f->head, err) < 0) return -1;
    f->bytes += f->head.bytes;
    return 0;
}

int tg_forward_open(const struct tg_network *network, const struct tg_weights *weights,
                    struct tg_pool *pool, const struct tg_forward_options *options,
                    struct tg_forward **forward, struct tg_error *err)
{
    assert(options->context > 0 && options->batch > 0);
    struct tg_forward *f = calloc(1, sizeof *f);
    if (!f) return tg_fail(err, "out of memory");
    f->network = network;
    f->weights = weights;
    f->pool = pool;
    f->options = *options;
    if (!f->options.vector) f->options.vector = tg_vector_widest();
    if (f->options.batch > f->options.context) f->options.batch = f->options.context;
    if (open_buffers(f, err) < 0 || open_norms(f, err) < 0 || open_head(f, err) < 0 ||
        tg_attention_open(network, f->options.context, options->is_wide, f->options.vector,
                          &f->attention, err) < 0) {
        tg_forward_close(f);
        return -1;
    }
    f->bytes += tg_attention_bytes(&f->attention, network->layers);
    *forward = f;
    return 0;
}

static void see(const struct tg_forward *f, int64_t block, enum tg_forward_point point,
                int64_t tokens, int64_t width)
{
    const bool is_x = point == TG_POINT_INPUT || point == TG_POINT_RESULT;
    if (!f->watch) return;
    f->watch(f->watch_context, block, point, is_x ? (void *)f->x : (void *)f->activations,
             is_x ? NULL : f->scales, tokens, width);
}

/* Runs `fn` for all parts, or for the only one if there are few tokens. */
static void share(struct tg_forward *f, int64_t tokens, tg_pool_fn fn, void *work)
{
    if (tokens >= SHARED_TOKENS || tg_pool_count(f->pool) == 1) {
        tg_pool_run(f->pool, fn, work);
        return;
    }
    for (int part = 0; part < tg_pool_count(f->pool); part++) fn(work, part);
}

/* Norm, if there is one, and int8 activations of tokens. */
struct prepare {
    struct tg_forward *f;
    const float *from, *norm;
    int64_t width, tokens;
};

static void prepare_some(void *work, int part)
{
    const struct prepare *p = work;
    struct tg_forward *f = p->f;
    const struct tg_vector *v = f->options.vector;
    float *scratch = f->scratch + part * widest(f->network);
    for (int64_t t = part; t < p->tokens; t += tg_pool_count(f->pool)) {
        const float *x = p->from + t * p->width;
        if (p->norm) {
            v->norm(x, p->norm, (float)f->network->epsilon, p->width, scratch);
            x = scratch;
        }
        if (f->plain) memcpy(f->plain + t * p->width, x, (size_t)p->width * sizeof *x);
        f->scales[t] = v->quantise(x, p->width, f->activations + t * p->width);
    }
}

static void prepare(struct tg_forward *f, const float *from, const float *norm, int64_t width,
                    int64_t tokens)
{
    struct prepare p = {f, from, norm, width, tokens};
    const double began = tg_now();
    share(f, tokens, prepare_some, &p);
    f->times.prepare += tg_now() - began;
}

enum after { NOTHING, GATE, ADD };

/* Products of the same activations, and what is done with the results of a range of rows. */
struct products {
    struct tg_forward *f;
    const struct tg_matrix *matrices[3];
    float *out[3];
    int count;
    int64_t tokens;
    enum after after;
    int at; /* the matrix in turn, where activations are not rounded */
};

static void finish_rows(const struct products *p, int64_t token, int64_t rows, int64_t begin,
                        int64_t end)
{
    struct tg_forward *f = p->f;
    const struct tg_vector *v = f->options.vector;
    const int64_t at = token * rows;
    if (p->after == GATE) {
        const bool is_silu = f->network->gate == TG_GATE_SILU;
        (is_silu ? v->gate_silu : v->gate_squared_relu)(p->out[0] + at + begin,
                                                        p->out[1] + at + begin, end - begin);
    }
    for (int64_t r = begin; p->after == ADD && r < end; r++) f->x[at + r] += p->out[0][at + r];
}

static void multiply_some(void *work, int part)
{
    const struct products *p = work;
    struct tg_forward *f = p->f;
    int64_t begin = 0, end = 0, sums_at = 0;
    for (int i = 0; i < p->count; i++) {
        const struct tg_matrix *m = p->matrices[i];
        int32_t *sums = f->sums + sums_at;
        sums_at += m->rows * p->tokens;
        tg_pool_rows(m->rows, tg_pool_count(f->pool), part, &begin, &end);
        if (begin == end) continue;
        const struct tg_problem problem = {.weights = m->packed,
                                           .activations = f->activations,
                                           .results = sums,
                                           .rows = m->rows,
                                           .cols = m->cols,
                                           .batch = p->tokens,
                                           .row_begin = begin,
                                           .row_end = end};
        (p->tokens == 1 ? m->one : m->kernel)->run(&problem);
        for (int64_t t = 0; t < p->tokens; t++)
            f->options.vector->rescale(sums + t * m->rows + begin, f->scales[t], m->scale,
                                       end - begin, p->out[i] + t * m->rows + begin);
    }
    for (int64_t t = 0; begin < end && p->after != NOTHING && t < p->tokens; t++)
        finish_rows(p, t, p->matrices[0]->rows, begin, end);
}

/* One matrix with activations that were not rounded: each weight is 1, 0 or -1 in float. */
static void multiply_plainly(void *work, int part)
{
    const struct products *p = work;
    struct tg_forward *f = p->f;
    const struct tg_matrix *m = p->matrices[p->at];
    float *row = f->scratch + part * widest(f->network), *sums = f->scores + part * f->score_count;
    int64_t begin, end;
    tg_pool_rows(m->rows, tg_pool_count(f->pool), part, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        for (int64_t c = 0; c < m->cols; c++) row[c] = f->ternary[r * m->cols + c];
        f->options.vector->dots_f32(f->plain, m->cols * (int64_t)sizeof *row, p->tokens, row,
                                    m->cols, sums);
        for (int64_t t = 0; t < p->tokens; t++) p->out[p->at][t * m->rows + r] = sums[t] * m->scale;
    }
    for (int64_t t = 0; p->at + 1 == p->count && p->after != NOTHING && t < p->tokens; t++)
        finish_rows(p, t, m->rows, begin, end);
}

static void multiply(struct products *p)
{
    const double began = tg_now();
    struct tg_forward *f = p->f;
    if (!f->plain) tg_pool_run(f->pool, multiply_some, p);
    for (p->at = 0; f->plain && p->at < p->count; p->at++) {
        const struct tg_matrix *m = p->matrices[p->at];
        tg_format_find(m->kernel->format)->unpack(m->packed, m->rows, m->cols, f->ternary);
        tg_pool_run(f->pool, multiply_plainly, p);
    }
    p->f->times.products += tg_now() - began;
}

struct attend {
    struct tg_forward *f;
    int64_t block, first, tokens; /* position of the first token */
};

static void keep_some(void *work, int part)
{
    const struct attend *a = work;
    struct tg_forward *f = a->f;
    const int64_t inner = f->network->heads * f->network->head_dimension;
    const int64_t shared = f->network->key_value_heads * f->network->head_dimension;
    for (int64_t t = part; t < a->tokens; t += tg_pool_count(f->pool))
        tg_attention_keep(&f->attention, a->block, a->first + t, f->queries + t * inner,
                          f->keys + t * shared, f->values + t * shared);
}

/* Heads of all tokens, taken in turn: those of later tokens see more. */
static void attend_some(void *work, int part)
{
    const struct attend *a = work;
    struct tg_forward *f = a->f;
    const int64_t heads = f->network->heads, dimension = f->network->head_dimension;
    const int64_t many = together(f->network, a->tokens);
    float *scores = f->scores + part * f->score_count;
    for (int64_t i = part; i < a->tokens * (heads / many); i += tg_pool_count(f->pool)) {
        const int64_t head = i / a->tokens * many, token = i % a->tokens;
        const int64_t at = (token * heads + head) * dimension;
        tg_attention_mix(&f->attention, a->block, a->first + token, head, many, f->queries + at,
                         scores, f->mixed + at);
    }
}

static void attend(struct tg_forward *f, int64_t block, int64_t tokens)
{
    struct attend a = {f, block, f->position, tokens};
    const double began = tg_now();
    share(f, tokens, keep_some, &a);
    tg_pool_run(f->pool, attend_some, &a);
    f->times.attention += tg_now() - began;
}

static void run_block(struct tg_forward *f, int64_t block, int64_t tokens)
{
    const struct tg_network *n = f->network;
    const struct tg_matrix *m = f->weights->matrices + block * TG_LAYERS;
    const struct norms *norms = &f->norms[block];
    const int64_t inner = n->heads * n->head_dimension;
    struct products in = {f,
                          {&m[TG_LAYER_attn_q], &m[TG_LAYER_attn_k], &m[TG_LAYER_attn_v]},
                          {f->queries, f->keys, f->values},
                          3,
                          tokens,
                          NOTHING};
    struct products out = {f, {&m[TG_LAYER_attn_output]}, {f->result}, 1, tokens, ADD};
    struct products pair = {
        f, {&m[TG_LAYER_ffn_gate], &m[TG_LAYER_ffn_up]}, {f->gate, f->up}, 2, tokens, GATE};
    struct products down = {f, {&m[TG_LAYER_ffn_down]}, {f->result}, 1, tokens, ADD};
    see(f, block, TG_POINT_INPUT, tokens, n->hidden);
    prepare(f, f->x, norms->attn, n->hidden, tokens);
    see(f, block, TG_POINT_ATTN_INPUT, tokens, n->hidden);
    multiply(&in);
    attend(f, block, tokens);
    prepare(f, f->mixed, norms->attn_sub, inner, tokens);
    see(f, block, TG_POINT_ATTN_OUTPUT, tokens, inner);
    multiply(&out);
    prepare(f, f->x, norms->ffn, n->hidden, tokens);
    see(f, block, TG_POINT_FFN_INPUT, tokens, n->hidden);
    multiply(&pair);
    prepare(f, f->gate, norms->ffn_sub, n->ffn, tokens);
    see(f, block, TG_POINT_FFN_DOWN, tokens, n->ffn);
    multiply(&down);
    see(f, block, TG_POINT_RESULT, tokens, n->hidden);
}

static void run_head(struct tg_forward *f, int64_t token, float *logits)
{
    const double began = tg_now();
    f->options.vector->norm(f->x + token * f->network->hidden, f->output_norm,
                            (float)f->network->epsilon, f->network->hidden, f->last);
    tg_head_run(&f->head, f->pool, f->last, logits);
    f->times.head += tg_now() - began;
}

static int check_tokens(const struct tg_forward *f, const int32_t *tokens, int64_t count,
                        struct tg_error *err)
{
    if (count > f->options.context - f->position)
        return tg_fail(err, "%" PRId64 " tokens do not fit in a context of %" PRId64,
                       f->position + count, f->options.context);
    for (int64_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= f->network->vocabulary)
            return tg_fail(err, "token %" PRId32 " is not in a vocabulary of %" PRId64, tokens[i],
                           f->network->vocabulary);
    return 0;
}

int tg_forward_run(struct tg_forward *f, const int32_t *tokens, int64_t count, float *logits,
                   int64_t wanted, struct tg_error *err)
{
    const struct tg_network *n = f->network;
    if (check_tokens(f, tokens, count, err) < 0) return -1;
    for (int64_t done = 0, batch; done < count; done += batch) {
        batch = count - done < f->options.batch ? count - done : f->options.batch;
        const double began = tg_now();
        for (int64_t t = 0; t < batch; t++)
            tg_tensor_type_decode(n->embedding->type,
                                  n->embedding->data + tokens[done + t] * f->table_row_bytes,
                                  n->hidden, f->x + t * n->hidden);
        f->times.prepare += tg_now() - began;
        for (int64_t block = 0; block < n->layers; block++) run_block(f, block, batch);
        f->position += batch;
        if (f->position > f->furthest) f->furthest = f->position;
        for (int64_t t = 0; t < batch; t++)
            if (done + t >= count - wanted)
                run_head(f, t, logits + (done + t - (count - wanted)) * n->vocabulary);
    }
    tg_pool_rest(f->pool);
    return 0;
}

int64_t tg_forward_position(const struct tg_forward *f)
{
    return f->position;
}

void tg_forward_rewind(struct tg_forward *f, int64_t position)
{
    assert(0 <= position && position <= f->position);
    f->position = position;
}

void tg_forward_revisit(struct tg_forward *f, int64_t position)
{
    assert(0 <= position && position <= f->furthest);
    f->position = position;
}

void tg_forward_set_watch(struct tg_forward *f, tg_forward_watch watch, void *context)
{
    f->watch = watch;
    f->watch_context = context;
}

struct tg_forward_times tg_forward_times(const struct tg_forward *f)
{
    return f->times;
}

int64_t tg_forward_token_bytes(const struct tg_forward *f, int64_t position)
{
    const struct tg_network *n = f->network;
    return f->weights->bytes + f->head.row_bytes * n->vocabulary +
           2 * n->layers * n->key_value_heads * n->head_dimension * f->attention.number_bytes *
               (position + 1);
}

int64_t tg_forward_bytes(const struct tg_forward *f)
{
    return f->bytes;
}

void tg_forward_close(struct tg_forward *f)
{
    if (!f) return;
    void *const all[] = {
        f->x,           f->queries, f->keys,   f->values,       f->mixed, f->gate,
        f->up,          f->result,  f->scales, f->sums,         f->last,  f->scratch,
        f->activations, f->scores,  f->norms,  f->norm_numbers, f->plain, f->ternary};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    tg_attention_close(&f->attention);
    tg_head_close(&f->head);
    free(f);
}
