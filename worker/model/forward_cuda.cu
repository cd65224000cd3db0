/* SPDX-License-Identifier: Apache-2.0 */
#include <cassert>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "worker/model/forward_cuda.cuh"

extern "C" {
#include "base/clock.h"
}

/*
 * One token is one graph, which is made once: where it is and which token it takes are read from
 * the device's memory, and left there for the next.
 */

#define ALIGNMENT        256
#define COLUMNS_MOST     (12 * 4 * TG_PREFILL_THREADS)
#define CAPABILITY_LEAST 9

/* What ends the process: see forward_device.h. */
static void must(cudaError_t error, const char *what)
{
    if (error == cudaSuccess) return;
    fprintf(stderr, "CUDA: cannot %s: %s\n", what, cudaGetErrorString(error));
    abort();
}

static int failed(cudaError_t error, const char *what, struct tg_error *err)
{
    if (error == cudaSuccess) return 0;
    (void)cudaGetLastError();
    return tg_fail(err, "CUDA: cannot %s: %s", what, cudaGetErrorString(error));
}

static void put(struct tg_cuda_forward *f, void *to, const void *from, int64_t bytes)
{
    must(cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyHostToDevice, f->stream),
         "copy to the device");
}

static void get(struct tg_cuda_forward *f, void *to, const void *from, int64_t bytes)
{
    must(cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyDeviceToHost, f->stream),
         "copy from the device");
    must(cudaStreamSynchronize(f->stream), "run a kernel");
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The next piece of memory, or, before there is any, only its bytes. */
template <typename Number>
static void have(struct tg_cuda_forward *f, Number **piece, int64_t count)
{
    *piece = f->memory ? (Number *)(f->memory + f->bytes) : NULL;
    f->bytes += (count * (int64_t)sizeof(Number) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void have_block(struct tg_cuda_forward *f, const struct tg_network_block *from,
                       struct tg_cuda_block *b)
{
    const struct tg_network *n = f->n;
    const int64_t inner = tg_cuda_inner(n), shared = tg_cuda_shared(n);
    have(f, &b->attn_norm, n->hidden);
    have(f, &b->qkv, (inner + 2 * shared) * n->hidden / 4);
    if (from->attn_sub_norm) have(f, &b->attn_sub_norm, inner);
    have(f, &b->output, n->hidden * inner / 4);
    have(f, &b->ffn_norm, n->hidden);
    have(f, &b->pair, 2 * n->ffn * n->hidden / 4);
    if (from->ffn_sub_norm) have(f, &b->ffn_sub_norm, n->ffn);
    have(f, &b->down, n->hidden * n->ffn / 4);
    have(f, &b->keys, f->options.context * shared);
    have(f, &b->values, f->options.context * shared);
}

static void have_all(struct tg_cuda_forward *f)
{
    const struct tg_network *n = f->n;
    const int64_t inner = tg_cuda_inner(n), qkv = inner + 2 * tg_cuda_shared(n),
                  batch = f->options.batch;
    f->bytes = 0;
    for (int64_t i = 0; i < n->layers; i++) have_block(f, &n->blocks[i], &f->blocks[i]);
    have(f, &f->embedding, n->vocabulary * n->hidden);
    f->head = f->embedding;
    if (n->output) have(f, &f->head, n->vocabulary * n->hidden);
    have(f, &f->turns, f->options.context * n->rope_dimensions / 2);
    have(f, &f->output_norm, n->hidden);
    have(f, &f->x, n->hidden);
    have(f, &f->qkv, qkv);
    have(f, &f->mixed, inner);
    have(f, &f->gated, n->ffn);
    have(f, &f->logits, n->vocabulary);
    have(f, &f->best, TG_HEAD_BLOCKS * f->processors);
    have(f, &f->tokens, f->options.context + 1);
    have(f, &f->place, 1);
    have(f, &f->batch_x, batch * n->hidden);
    have(f, &f->queries, batch * inner);
    have(f, &f->batch_mixed, batch * inner);
    have(f, &f->scales, batch);
    have(f, &f->products, batch * larger(larger(2 * n->ffn, n->hidden), qkv));
    have(f, &f->rounded, batch * larger(larger(n->ffn, n->hidden), inner));
}

static int check(const struct tg_cuda_forward *f, struct tg_error *err)
{
    const struct tg_network *n = f->n;
    if (tg_forward_device_check(n, f->weights, &f->options, err) < 0) return -1;
    if (n->hidden > COLUMNS_MOST || n->ffn > COLUMNS_MOST || tg_cuda_inner(n) > COLUMNS_MOST)
        return tg_fail(err, "on a device a layer has at most %d columns", COLUMNS_MOST);
    if (n->head_dimension % 8 != 0 ||
        !tg_attend_is_here(n->heads / n->key_value_heads, n->head_dimension))
        return tg_fail(err,
                       "attention of %" PRId64 " heads for one, of %" PRId64
                       " dimensions, is not computed on a device",
                       n->heads / n->key_value_heads, n->head_dimension);
    return 0;
}

static int open_device(struct tg_cuda_forward *f, struct tg_error *err)
{
    int count = 0, major = 0;
    if (failed(cudaGetDeviceCount(&count), "find a device", err) < 0) return -1;
    if (count == 0) return tg_fail(err, "CUDA: there is no device");
    if (failed(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0),
               "ask the device", err) < 0 ||
        failed(cudaDeviceGetAttribute(&f->processors, cudaDevAttrMultiProcessorCount, 0),
               "ask the device", err) < 0)
        return -1;
    if (major < CAPABILITY_LEAST)
        return tg_fail(err, "CUDA: whole models need compute capability %d.0, the device has %d",
                       CAPABILITY_LEAST, major);
    return failed(cudaStreamCreateWithFlags(&f->stream, cudaStreamNonBlocking), "open the device",
                  err);
}

static void put_norm(struct tg_cuda_forward *f, float *to, const struct tg_gguf_tensor *t,
                     float *scratch)
{
    if (!t) return;
    tg_tensor_type_decode(t->type, t->data, t->dimensions[0], scratch);
    put(f, to, scratch, t->dimensions[0] * (int64_t)sizeof(float));
    must(cudaStreamSynchronize(f->stream), "copy to the device");
}

/* Where a matrix of the weights lies: behind those of the same input that come before it. */
static uint8_t *layer_of(const struct tg_cuda_forward *f, int64_t matrix)
{
    const struct tg_cuda_block *b = &f->blocks[matrix / TG_LAYERS];
    uint8_t *const to[TG_LAYERS] = {b->qkv, NULL, NULL, b->output, b->pair, NULL, b->down};
    int64_t first = matrix, bytes = 0;
    while (!to[first % TG_LAYERS]) first--;
    for (int64_t i = first; i < matrix; i++)
        bytes += f->weights->matrices[i].rows * f->weights->matrices[i].cols / 4;
    return to[first % TG_LAYERS] + bytes;
}

static void put_block(struct tg_cuda_forward *f, int64_t i, float *scratch)
{
    const struct tg_network_block *from = &f->n->blocks[i];
    const struct tg_matrix *m = f->weights->matrices + i * TG_LAYERS;
    struct tg_cuda_block *b = &f->blocks[i];
    for (int layer = 0; layer < TG_LAYERS; layer++) {
        put(f, layer_of(f, i * TG_LAYERS + layer), m[layer].packed,
            m[layer].rows * m[layer].cols / 4);
        b->scales[layer] = m[layer].scale;
    }
    put_norm(f, b->attn_norm, from->attn_norm, scratch);
    put_norm(f, b->attn_sub_norm, from->attn_sub_norm, scratch);
    put_norm(f, b->ffn_norm, from->ffn_norm, scratch);
    put_norm(f, b->ffn_sub_norm, from->ffn_sub_norm, scratch);
}

/* As in attention.c: angles in double. */
static int put_turns(struct tg_cuda_forward *f, struct tg_error *err)
{
    const struct tg_network *n = f->n;
    const int64_t pairs = n->rope_dimensions / 2, count = f->options.context * pairs;
    const struct tg_gguf_tensor *t = n->rope_factors;
    float factor = 1;
    float2 *turns = (float2 *)malloc((size_t)count * sizeof *turns + 1);
    if (!turns) return tg_fail(err, "out of memory");
    for (int64_t i = 0; i < pairs; i++) {
        if (t) tg_tensor_type_decode(t->type, t->data + i * t->type->block_bytes, 1, &factor);
        if (!(factor > 0)) {
            free(turns);
            return tg_fail(err, "a factor of RoPE is %g", (double)factor);
        }
        const double speed = pow(n->rope_base, -2.0 * (double)i / (double)n->rope_dimensions) /
                             (double)factor;
        for (int64_t p = 0; p < f->options.context; p++)
            turns[p * pairs + i] = make_float2((float)cos((double)p * speed),
                                               (float)sin((double)p * speed));
    }
    put(f, f->turns, turns, count * (int64_t)sizeof *turns);
    must(cudaStreamSynchronize(f->stream), "copy to the device");
    free(turns);
    return 0;
}

static int put_all(struct tg_cuda_forward *f, struct tg_error *err)
{
    const struct tg_network *n = f->n;
    const double began = tg_now();
    float *scratch = (float *)malloc((size_t)COLUMNS_MOST * sizeof *scratch);
    if (!scratch) return tg_fail(err, "out of memory");
    for (int64_t i = 0; i < n->layers; i++) put_block(f, i, scratch);
    put_norm(f, f->output_norm, n->output_norm, scratch);
    free(scratch);
    put(f, f->embedding, n->embedding->data, n->embedding->bytes);
    if (n->output) put(f, f->head, n->output->data, n->output->bytes);
    if (put_turns(f, err) < 0) return -1;
    f->times.load = tg_now() - began;
    return 0;
}

static void make_step(struct tg_cuda_forward *f)
{
    cudaGraph_t graph;
    must(cudaStreamBeginCapture(f->stream, cudaStreamCaptureModeRelaxed), "begin a graph");
    tg_cuda_launch_step(f);
    must(cudaStreamEndCapture(f->stream, &graph), "end a graph");
    must(cudaGraphInstantiate(&f->step, graph, 0), "make a graph");
    must(cudaGraphDestroy(graph), "end a graph");
}

static void go_to(struct tg_cuda_forward *f, int64_t position)
{
    const int32_t place = (int32_t)position;
    put(f, f->place, &place, sizeof place);
    must(cudaStreamSynchronize(f->stream), "copy to the device");
}

/* The head of token `at` of a batch, of which the first is at the position. */
static void run_head(struct tg_cuda_forward *f, int64_t at)
{
    go_to(f, f->position + at);
    must(cudaMemcpyAsync(f->x, f->batch_x + at * f->n->hidden, (size_t)f->n->hidden * sizeof(float),
                         cudaMemcpyDeviceToDevice, f->stream),
         "copy on the device");
    tg_cuda_launch_head(f);
}

static void get_logits(struct tg_cuda_forward *f, float *logits)
{
    must(cudaStreamSynchronize(f->stream), "run a kernel");
    const double began = tg_now();
    get(f, logits, f->logits, f->n->vocabulary * (int64_t)sizeof(float));
    f->times.copy_out += tg_now() - began;
}

/* `wanted` are of the last tokens of this batch; the last head is computed always. */
static void run_batch(struct tg_cuda_forward *f, int64_t batch, float *logits, int64_t wanted)
{
    const double began = tg_now(), copied = f->times.copy_out;
    go_to(f, f->position);
    if (batch == 1) {
        must(cudaGraphLaunch(f->step, f->stream), "launch a graph");
        if (wanted > 0) get_logits(f, logits);
    } else {
        tg_cuda_launch_batch(f, (int)batch);
        for (int64_t at = batch - (wanted > 0 ? wanted : 1); at < batch; at++) {
            run_head(f, at);
            if (wanted > 0) get_logits(f, logits + (at - batch + wanted) * f->n->vocabulary);
        }
    }
    must(cudaStreamSynchronize(f->stream), "run a kernel");
    f->position += batch;
    *(batch == 1 ? &f->times.step : &f->times.prompt) += tg_now() - began -
                                                         (f->times.copy_out - copied);
}

static int check_tokens(const struct tg_cuda_forward *f, const int32_t *tokens, int64_t count,
                        struct tg_error *err)
{
    if (count > f->options.context - f->position)
        return tg_fail(err, "%" PRId64 " tokens do not fit in a context of %" PRId64,
                       f->position + count, f->options.context);
    for (int64_t i = 0; tokens && i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= f->n->vocabulary)
            return tg_fail(err, "token %" PRId32 " is not in a vocabulary of %" PRId64, tokens[i],
                           f->n->vocabulary);
    return 0;
}

static int cuda_run(void *opaque, const int32_t *tokens, int64_t count, float *logits,
                    int64_t wanted, struct tg_error *err)
{
    struct tg_cuda_forward *f = (struct tg_cuda_forward *)opaque;
    if (check_tokens(f, tokens, count, err) < 0) return -1;
    for (int64_t done = 0, batch; done < count; done += batch) {
        batch = count - done < f->options.batch ? count - done : f->options.batch;
        const double began = tg_now(); /* the head before left its choice behind the last token */
        put(f, f->tokens + f->position, tokens + done, batch * (int64_t)sizeof *tokens);
        must(cudaStreamSynchronize(f->stream), "copy to the device");
        f->times.copy_in += tg_now() - began;
        const int64_t first = larger(count - wanted, done); /* whose logits are wanted */
        const int64_t of_these = larger(done + batch - first, 0);
        run_batch(f, batch, logits + (first - (count - wanted)) * f->n->vocabulary, of_these);
    }
    f->has_next = f->has_next || count > 0;
    return 0;
}

static int cuda_generate(void *opaque, int64_t count, int32_t *tokens, struct tg_error *err)
{
    struct tg_cuda_forward *f = (struct tg_cuda_forward *)opaque;
    if (!f->has_next) return tg_fail(err, "nothing has been run that a token could follow");
    if (check_tokens(f, NULL, count, err) < 0) return -1;
    double began = tg_now();
    go_to(f, f->position);
    for (int64_t i = 0; i < count; i++) must(cudaGraphLaunch(f->step, f->stream), "launch a graph");
    must(cudaStreamSynchronize(f->stream), "run a kernel");
    f->times.step += tg_now() - began;
    began = tg_now();
    get(f, tokens, f->tokens + f->position + 1, count * (int64_t)sizeof *tokens);
    f->times.copy_out += tg_now() - began;
    f->position += count;
    return 0;
}

static int cuda_choice(void *opaque, int32_t *token, struct tg_error *err)
{
    struct tg_cuda_forward *f = (struct tg_cuda_forward *)opaque;
    if (!f->has_next) return tg_fail(err, "nothing has been run that a token could follow");
    const double began = tg_now();
    get(f, token, f->tokens + f->position, sizeof *token);
    f->times.copy_out += tg_now() - began;
    return 0;
}

static void cuda_logits(void *opaque, float *logits)
{
    struct tg_cuda_forward *f = (struct tg_cuda_forward *)opaque;
    get(f, logits, f->logits, f->n->vocabulary * (int64_t)sizeof *logits);
}

static void cuda_multiply(void *opaque, int64_t matrix, const int8_t *activations, int64_t tokens,
                          int32_t *results)
{
    struct tg_cuda_forward *f = (struct tg_cuda_forward *)opaque;
    const struct tg_matrix *m = &f->weights->matrices[matrix];
    struct tg_problem p = {};
    assert(tokens <= f->options.batch);
    p.weights = layer_of(f, matrix);
    p.activations = f->rounded;
    p.results = f->products;
    p.rows = p.row_end = m->rows;
    p.cols = m->cols;
    p.batch = tokens;
    p.stream = f->stream;
    put(f, f->rounded, activations, tokens * m->cols);
    f->product->run(&p);
    must(cudaGetLastError(), "launch a kernel");
    get(f, results, f->products, tokens * m->rows * (int64_t)sizeof *results);
}

static int64_t cuda_position(const void *opaque)
{
    return ((const struct tg_cuda_forward *)opaque)->position;
}

static void cuda_rewind(void *opaque, int64_t position)
{
    struct tg_cuda_forward *f = (struct tg_cuda_forward *)opaque;
    assert(0 <= position && position <= f->position);
    f->has_next = f->has_next && position == f->position;
    f->position = position;
}

static void cuda_revisit(void *opaque, int64_t position)
{
    struct tg_cuda_forward *f = (struct tg_cuda_forward *)opaque;
    assert(0 <= position && position < f->options.context);
    f->has_next = true;
    f->position = position;
}

static struct tg_forward_device_times cuda_times(const void *opaque)
{
    return ((const struct tg_cuda_forward *)opaque)->times;
}

static int64_t cuda_token_bytes(const void *opaque, int64_t position)
{
    const struct tg_cuda_forward *f = (const struct tg_cuda_forward *)opaque;
    const struct tg_network *n = f->n;
    return f->weights->bytes + (n->output ? n->output : n->embedding)->bytes +
           2 * n->layers * tg_cuda_shared(n) * (int64_t)sizeof(__half) * (position + 1);
}

static int64_t cuda_bytes(const void *opaque)
{
    return ((const struct tg_cuda_forward *)opaque)->bytes;
}

static int64_t cuda_taken_bytes(const void *opaque)
{
    size_t left, all;
    (void)opaque;
    return cudaMemGetInfo(&left, &all) == cudaSuccess ? (int64_t)(all - left) : -1;
}

static void cuda_close(void *opaque)
{
    struct tg_cuda_forward *f = (struct tg_cuda_forward *)opaque;
    if (!f) return;
    if (f->step) cudaGraphExecDestroy(f->step);
    if (f->memory) cudaFree(f->memory);
    if (f->stream) cudaStreamDestroy(f->stream);
    free(f->blocks);
    free(f);
}

/* The fastest product of a batch that this device can run. */
static const struct tg_kernel *find_product(void)
{
    static const char *const fastest[] = {"i2s_cuda_wgmma", "i2s_cuda_mma", "i2s_cuda"};
    for (size_t i = 0; i < sizeof fastest / sizeof *fastest; i++) {
        const struct tg_kernel *k = tg_kernel_find(fastest[i]);
        if (k && k->run && k->here()) return k;
    }
    return NULL;
}

static int open_memory(struct tg_cuda_forward *f, struct tg_error *err)
{
    f->product = f->options.product ? f->options.product : find_product();
    if (!f->product) return tg_fail(err, "no kernel of this build multiplies batches on a device");
    f->blocks = (struct tg_cuda_block *)calloc((size_t)f->n->layers, sizeof *f->blocks);
    if (!f->blocks) return tg_fail(err, "out of memory");
    have_all(f);
    const cudaError_t error = cudaMalloc((void **)&f->memory, (size_t)f->bytes);
    if (error != cudaSuccess) {
        (void)cudaGetLastError();
        f->memory = NULL;
        return tg_fail(err, "CUDA: cannot allocate %" PRId64 " bytes: %s", f->bytes,
                       cudaGetErrorString(error));
    }
    have_all(f);
    return put_all(f, err);
}

static int cuda_open(const struct tg_network *network, const struct tg_weights *weights,
                     const struct tg_forward_options *options, void **state, struct tg_error *err)
{
    assert(options->context > 0 && options->batch > 0);
    struct tg_cuda_forward *f = (struct tg_cuda_forward *)calloc(1, sizeof *f);
    if (!f) return tg_fail(err, "out of memory");
    f->n = network;
    f->weights = weights;
    f->options = *options;
    if (f->options.batch > f->options.context) f->options.batch = f->options.context;
    if (check(f, err) < 0 || open_device(f, err) < 0 || open_memory(f, err) < 0) {
        cuda_close(f);
        return -1;
    }
    make_step(f);
    *state = f;
    return 0;
}

extern "C" const struct tg_forward_device tg_forward_device_cuda = {
    "cuda",      cuda_open,        cuda_run,    cuda_generate,    cuda_choice,
    cuda_logits, cuda_position,    cuda_rewind, cuda_revisit,     cuda_multiply,
    cuda_times,  cuda_token_bytes, cuda_bytes,  cuda_taken_bytes, cuda_close,
};
