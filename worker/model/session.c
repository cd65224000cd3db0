/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/session.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "kernels/peak.h"
#include "worker/library.h"
#include "worker/model/head.h"

int tg_session_open_tokenizer(const struct tg_gguf *gguf, const struct tg_network *network,
                              struct tg_tokenizer **tokenizer, struct tg_error *err)
{
    struct tg_tokenizer *opened;
    if (tg_tokenizer_open(gguf, &opened, err) < 0) return -1;
    const int64_t count = tg_tokenizer_count(opened);
    if (count > network->vocabulary) {
        tg_tokenizer_close(opened);
        return tg_fail(err, "%" PRId64 " tokens are more than the %" PRId64 " of the head", count,
                       network->vocabulary);
    }
    *tokenizer = opened;
    return 0;
}

static int open_file(const struct tg_session_options *o, struct tg_session *s, struct tg_error *err)
{
    const double began = tg_now();
    if (tg_gguf_open(o->path, &s->gguf, err) < 0) return -1;
    if (tg_network_read(s->gguf, &s->network, err) < 0 ||
        tg_network_find_layout(&s->network, o->layout, &s->layout, err) < 0 ||
        (!o->has_no_text &&
         tg_session_open_tokenizer(s->gguf, &s->network, &s->tokenizer, err) < 0))
        return tg_fail_in(err, "'%s'", o->path);
    s->load_s = tg_now() - began;
    return 0;
}

static int open_forward(const struct tg_session_options *o, struct tg_session *s,
                        struct tg_error *err)
{
    const int64_t most = s->network.context;
    const struct tg_forward_options options = {.context = o->context < most ? o->context : most,
                                               .batch = o->batch,
                                               .is_wide = o->is_wide,
                                               .product = s->product};
    s->logits = calloc((size_t)s->network.vocabulary, sizeof *s->logits);
    if (!s->logits) return tg_fail(err, "out of memory");
    return s->device
               ? s->device->open(&s->network, &s->weights, &options, &s->on_device, err)
               : tg_forward_open(&s->network, &s->weights, s->pool, &options, &s->forward, err);
}

/* The fastest that packs as a device has it: the host computes with it what is held against that.
 */
static const char *host_kernel(void)
{
    static const char *const fastest[] = {"i2s_avx512vnni", "i2s_avxvnni", "i2s_avx2",
                                          "i2s_neondot", "i2s_neon"};
    for (size_t i = 0; i < sizeof fastest / sizeof *fastest; i++) {
        const struct tg_kernel *k = tg_kernel_find(fastest[i]);
        if (k && k->run && k->here()) return k->name;
    }
    return "i2s_scalar";
}

/* The device, and the library's kernel of its batches, if one is named. */
static int find_device(const struct tg_session_options *o, struct tg_session *s,
                       struct tg_error *err)
{
    s->device = tg_forward_device_find(o->device);
    if (!s->device) return tg_fail(err, "this program runs no models on '%s'", o->device);
    if (!o->kernel) return 0;
    const struct tg_kernel *k = o->library ? tg_library_find(o->library, o->kernel) : NULL;
    if (!k) return tg_fail(err, "a kernel is named for the host only, not for a device");
    if (strcmp(k->op, "product") != 0 || strcmp(k->format, "i2s") != 0 ||
        strcmp(k->device, o->device) != 0)
        return tg_fail(err, "kernel '%s' computes no ternary product of i2s on '%s'", k->name,
                       o->device);
    s->product = k;
    return 0;
}

static int open_weights(const struct tg_session_options *o, struct tg_session *s,
                        struct tg_error *err)
{
    const double began = tg_now();
    if (o->device && find_device(o, s, err) < 0) return -1;
    if (tg_pool_create(o->threads, o->cores, &s->pool, err) < 0) return -1;
    const char *kernel = s->device ? host_kernel() : o->kernel;
    const struct tg_library *library = o->library && !s->device ? o->library
                                                                : tritgate_kernels_v1();
    if (tg_weights_load(&s->network, &s->layout, library, kernel, s->pool, &s->weights, err) < 0)
        return tg_fail_in(err, "'%s'", o->path);
    tg_pool_rest(s->pool);
    s->quantise_s = tg_now() - began;
    if (open_forward(o, s, err) < 0) return -1;
    s->load_s += tg_now() - began - s->quantise_s;
    return 0;
}

int tg_session_open(const struct tg_session_options *options, struct tg_session *session,
                    struct tg_error *err)
{
    *session = (struct tg_session){0}; /* what is opened points into it */
    if (open_file(options, session, err) == 0 && open_weights(options, session, err) == 0) return 0;
    tg_session_close(session);
    return -1;
}

static struct tg_forward_times since(struct tg_forward_times now, struct tg_forward_times then)
{
    return (struct tg_forward_times){now.prepare - then.prepare, now.products - then.products,
                                     now.attention - then.attention, now.head - then.head};
}

/* What was spent since the generation began, whose times are those of that moment. */
static void take_times(const struct tg_session *s, struct tg_generation *g)
{
    const struct tg_forward_device_times then = g->device;
    if (!s->device) {
        g->stages = since(tg_forward_times(s->forward), g->stages);
        return;
    }
    g->device = s->device->times(s->on_device);
    g->device.copy_in -= then.copy_in;
    g->device.prompt -= then.prompt;
    g->device.step -= then.step;
    g->device.copy_out -= then.copy_out;
}

/* Tokens, and the logits of the last `wanted`. */
static int run(struct tg_session *s, const int32_t *tokens, int64_t count, float *logits,
               int64_t wanted, struct tg_error *err)
{
    s->is_chosen = false;
    return s->device ? s->device->run(s->on_device, tokens, count, logits, wanted, err)
                     : tg_forward_run(s->forward, tokens, count, logits, wanted, err);
}

int tg_session_run(struct tg_session *s, const int32_t *tokens, int64_t count, struct tg_error *err)
{
    return run(s, tokens, count, s->logits, s->device ? 0 : 1, err);
}

int tg_session_run_all(struct tg_session *s, const int32_t *tokens, int64_t count, float *logits,
                       struct tg_error *err)
{
    if (run(s, tokens, count, logits, count, err) < 0) return -1;
    if (!s->device && count > 0)
        memcpy(s->logits, logits + (count - 1) * s->network.vocabulary,
               (size_t)s->network.vocabulary * sizeof *logits);
    return 0;
}

int tg_session_choose(struct tg_session *s, int32_t *token, struct tg_error *err)
{
    if (!s->device) {
        *token = tg_choose_best(s->logits, s->network.vocabulary);
        return 0;
    }
    if (!s->is_chosen && s->device->choice(s->on_device, &s->chosen, err) < 0) return -1;
    s->is_chosen = true;
    *token = s->chosen;
    return 0;
}

int tg_session_step(struct tg_session *s, int32_t token, struct tg_error *err)
{
    if (!s->device) return tg_session_run(s, &token, 1, err);
    if (s->device->generate(s->on_device, 1, &s->chosen, err) < 0) return -1;
    s->is_chosen = true;
    return 0;
}

const float *tg_session_logits(struct tg_session *s)
{
    if (s->device) s->device->logits(s->on_device, s->logits);
    return s->logits;
}

void tg_session_rewind(struct tg_session *s, int64_t position)
{
    s->is_chosen = false;
    if (s->device)
        s->device->rewind(s->on_device, position);
    else
        tg_forward_rewind(s->forward, position);
}

void tg_session_revisit(struct tg_session *s, int64_t position)
{
    s->is_chosen = false;
    if (s->device)
        s->device->revisit(s->on_device, position);
    else
        tg_forward_revisit(s->forward, position);
}

static int prefill(struct tg_session *s, struct tg_generation *g, const char *text, float *logits,
                   struct tg_error *err)
{
    const double began = tg_now();
    if (text && tg_tokenizer_encode(s->tokenizer, text, strlen(text), true, &g->prompt, err) < 0)
        return -1;
    if (g->prompt.count == 0) return tg_fail(err, "the prompt has no tokens");
    const double encoded = tg_now();
    tg_session_rewind(s, 0);
    if (run(s, g->prompt.ids, (int64_t)g->prompt.count, logits, 1, err) < 0) return -1;
    g->tokenize_s = encoded - began;
    g->prefill_s = tg_now() - encoded;
    return 0;
}

/* Chooses a token; *is_end becomes whether it ends the text. */
static int choose(struct tg_session *s, struct tg_generation *g, struct tg_choice *choice,
                  const float *logits, int32_t *id, struct tg_error *err)
{
    const double began = tg_now();
    *id = tg_choose_token(logits, s->network.vocabulary, choice, err);
    g->choose_s += tg_now() - began;
    return *id < 0 ? -1 : 0;
}

/* The token behind the last one; a device that takes the best one chooses it itself. */
static int next(struct tg_session *s, struct tg_generation *g, struct tg_choice *choice,
                float *logits, int32_t *id, struct tg_error *err)
{
    const size_t count = g->tokens.count;
    if (s->device && count > 0 && choice->temperature <= 0)
        return s->device->generate(s->on_device, 1, id, err);
    if (count > 0 && run(s, &g->tokens.ids[count - 1], 1, logits, 1, err) < 0) return -1;
    return choose(s, g, choice, logits, id, err);
}

static int decode(struct tg_session *s, struct tg_generation *g, int64_t most,
                  struct tg_choice *choice, bool ignores_end, float *logits, struct tg_error *err)
{
    double before = 0, began = tg_now();
    int32_t id;
    for (int64_t i = 0; i < most; i++) {
        if (next(s, g, choice, logits, &id, err) < 0) return -1;
        const double now = tg_now();
        if (i == 0) {
            g->first_token_s = g->tokenize_s + g->prefill_s + now - began;
            began = before = now;
        }
        g->has_ended = !ignores_end && s->tokenizer && tg_tokenizer_is_end(s->tokenizer, id);
        if (g->has_ended) {
            g->end_s = now - before;
            break;
        }
        g->tokens.ids[g->tokens.count++] = id;
        if (i > 0) g->token_s[i - 1] = now - before;
        before = now;
    }
    g->decode_s = before - began;
    return 0;
}

int tg_session_generate(struct tg_session *s, const char *text, int64_t most,
                        const struct tg_choice *choice, bool ignores_end,
                        struct tg_generation *generation, struct tg_error *err)
{
    struct tg_generation g = *generation;
    struct tg_choice own = *choice;
    float *logits = malloc((size_t)s->network.vocabulary * sizeof *logits);
    assert(most > 0);
    if (s->device)
        g.device = s->device->times(s->on_device);
    else
        g.stages = tg_forward_times(s->forward);
    g.tokens.ids = malloc((size_t)most * sizeof *g.tokens.ids);
    g.tokens.room = (size_t)most;
    g.token_s = malloc((size_t)most * sizeof *g.token_s);
    int rc = logits && g.tokens.ids && g.token_s ? 0 : tg_fail(err, "out of memory");
    if (rc == 0) rc = prefill(s, &g, text, logits, err);
    if (rc == 0) rc = decode(s, &g, most, &own, ignores_end, logits, err);
    free(logits);
    take_times(s, &g);
    if (rc == 0 && s->device)
        rc = tg_choose_check(tg_session_logits(s), s->network.vocabulary, err);
    if (rc < 0) tg_generation_release(&g);
    *generation = g;
    return rc;
}

int64_t tg_session_token_bytes(const struct tg_session *s, int64_t position)
{
    return s->device ? s->device->token_bytes(s->on_device, position)
                     : tg_forward_token_bytes(s->forward, position);
}

/* Of the ternary matrices: packed, and the weights of the largest, which each loader unpacks. */
static double packed_bytes(const struct tg_session_size *size, double *most)
{
    double sum = 0;
    *most = 0;
    for (size_t i = 0; i < tg_model_layer_count(); i++) {
        int64_t rows, cols;
        if (tg_model_shape(size->model->name, tg_model_layer(i), &rows, &cols, NULL) < 0) continue;
        const double weights = (double)rows * (double)cols;
        const int64_t multiple = size->kernel ? size->kernel->column_multiple : 1;
        const double packed = size->kernel && cols % multiple == 0
                                  ? (double)size->kernel->packed_bytes(rows, cols)
                                  : weights / 4;
        sum += (double)size->model->layers * (packed + 64);
        if (weights > *most) *most = weights;
    }
    return sum;
}

/*
 * Of the threads: stacks, and the check, when nothing is loaded any more, with a matrix unpacked, a
 * batch, its results, and a few tokens. It takes more than loading, where fewer threads unpack.
 */
static double thread_bytes(const struct tg_session_size *size, double most, double wide)
{
    const double check = most + (5 * (double)size->batch + 64) * wide;
    return (double)size->threads * (TG_POOL_STACK_BYTES + check);
}

/* Logits of a second pass and those that they are held against, and one matrix unpacked. */
static double second_bytes(const struct tg_session_size *size, double most, double vocabulary)
{
    enum { HELD_MOST = 160 }; /* positions */
    const int64_t held = size->context < HELD_MOST ? size->context : HELD_MOST;
    return most + 8.0 * (double)held * vocabulary;
}

int64_t tg_session_bytes(const struct tg_session_size *size)
{
    enum { FILE_BYTES = 96 << 20 }; /* vocabulary, merges, what libraries have */
    const struct tg_model *m = size->model;
    const double wide = (double)(m->ffn > m->hidden ? m->ffn : m->hidden) + (double)m->hidden;
    const double kept = 2.0 * (double)m->key_value_heads * (double)m->head_dimension * 2;
    const double head = 2.0 * (double)m->hidden * (double)m->vocabulary;
    double most, bytes = packed_bytes(size, &most);
    const double pass = head + (double)size->context * (double)m->layers * kept +
                        (double)size->batch * wide * 40;
    bytes += pass + thread_bytes(size, most, wide) + FILE_BYTES + 4.0 * (double)m->vocabulary;
    if (size->has_second) bytes += pass + second_bytes(size, most, (double)m->vocabulary);
    return bytes < 9e18 ? (int64_t)bytes : INT64_MAX;
}

/* Weights of a network's largest ternary matrix; *wide becomes the most rows or columns of any. */
static double largest(const struct tg_network *n, double *wide)
{
    double most = 0;
    *wide = 0;
    for (int layer = 0; layer < TG_LAYERS; layer++) {
        int64_t rows, cols;
        tg_network_shape(n, layer, &rows, &cols);
        const double longer = (double)(rows > cols ? rows : cols);
        const double weights = (double)rows * (double)cols;
        if (longer > *wide) *wide = longer;
        if (weights > most) most = weights;
    }
    return most;
}

int64_t tg_session_file_bytes(const char *path, const struct tg_session_size *size)
{
    enum { COPIES = 3 }; /* its weights packed anew, its heads, and all else of a pass */
    struct tg_gguf *gguf;
    struct tg_network network;
    if (tg_gguf_open(path, &gguf, NULL) < 0) return -1;
    int64_t bytes = -1;
    if (tg_network_read(gguf, &network, NULL) == 0) {
        const struct tg_gguf_tensor *head = network.output ? network.output : network.embedding;
        const int64_t wider = tg_head_bytes(&network) - head->bytes; /* than in the file */
        double wide, most = largest(&network, &wide), more = thread_bytes(size, most, wide);
        if (size->has_second) more += second_bytes(size, most, (double)network.vocabulary);
        bytes = COPIES * (int64_t)gguf->size + (size->has_second ? 2 : 1) * wider + (int64_t)more;
        tg_network_release(&network);
    }
    tg_gguf_close(gguf);
    return bytes;
}

int64_t tg_session_device_bytes(const struct tg_session_size *size)
{
    enum { DRIVER_BYTES = 640 << 20 }; /* what its context has */
    const struct tg_model *m = size->model;
    const struct tg_session_size packed = {.model = m};
    const double wide = 2 * (double)m->ffn + (double)m->hidden;
    const double kept = 2.0 * (double)m->key_value_heads * (double)m->head_dimension * 2;
    double most;
    /* Embedding and head, and again beside one block by itself, which is checked; keys and values;
     * of each token of a batch at most 20 bytes a number. */
    return (int64_t)(packed_bytes(&packed, &most) +
                     8.0 * (double)m->hidden * (double)m->vocabulary +
                     (double)size->context * (double)m->layers * kept +
                     (double)size->batch * wide * 20 + DRIVER_BYTES);
}

static int by_size(const void *a, const void *b)
{
    const double one = *(const double *)a, other = *(const double *)b;
    return (one > other) - (one < other);
}

double tg_session_token_s(const struct tg_generation *g, double p)
{
    const size_t count = g->tokens.count > 0 ? g->tokens.count - 1 : 0;
    double *sorted = malloc((count + 1) * sizeof *sorted), value = NAN;
    if (sorted && count > 0) {
        memcpy(sorted, g->token_s, count * sizeof *sorted);
        qsort(sorted, count, sizeof *sorted, by_size);
        value = sorted[(size_t)(p * (double)(count - 1) + 0.5)];
    }
    free(sorted);
    return value;
}

struct reading {
    const uint8_t *from;
    int64_t words, threads;
    _Atomic uint64_t seen; /* so that reading is not left out */
};

static void read_some(void *work, int part)
{
    struct reading *r = work;
    const int64_t words = r->words / r->threads / 8 * 8;
    r->seen ^= tg_peak_widest()->read((const uint64_t *)(const void *)r->from + part * words,
                                      words);
}

double tg_session_read_rate(struct tg_session *s)
{
    const struct tg_gguf_tensor *head = s->network.output ? s->network.output
                                                          : s->network.embedding;
    const uint8_t *begin = (const uint8_t *)(((uintptr_t)head->data + 63) / 64 * 64);
    struct reading r = {begin, (head->bytes - 64) / 8, tg_pool_count(s->pool), 0};
    double best = 0;
    if (s->weights.region_bytes > (size_t)head->bytes || head->bytes < 4096) {
        r.from = s->weights.region;
        r.words = (int64_t)s->weights.region_bytes / 8;
    }
    if (!r.from || r.words < 8 * r.threads) return 0;
    for (int i = 0; i < 3; i++) {
        const double began = tg_now();
        tg_pool_run(s->pool, read_some, &r);
        const double rate = 8 * (double)r.words / (tg_now() - began);
        if (rate > best) best = rate;
    }
    tg_pool_rest(s->pool);
    return best;
}

void tg_generation_release(struct tg_generation *g)
{
    tg_tokens_release(&g->prompt);
    tg_tokens_release(&g->tokens);
    free(g->token_s);
    *g = (struct tg_generation){0};
}

void tg_session_close(struct tg_session *s)
{
    if (s->device) s->device->close(s->on_device);
    tg_forward_close(s->forward);
    free(s->logits);
    if (s->weights.matrices || s->weights.region) tg_weights_release(&s->weights);
    tg_pool_destroy(s->pool);
    tg_tokenizer_close(s->tokenizer);
    if (s->network.blocks) tg_network_release(&s->network);
    tg_gguf_close(s->gguf);
    *s = (struct tg_session){0};
}
