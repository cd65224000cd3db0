/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/head.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#define LARGE_PAGE (INT64_C(2) << 20)

struct work {
    const struct tg_head *head;
    int threads;
    int64_t row_bytes; /* of the tensor */
    const float *x;
    float *logits;
};

static void copy_some(void *opaque, int part)
{
    const struct work *w = opaque;
    const struct tg_head *h = w->head;
    int64_t begin, end;
    tg_pool_rows(h->network->vocabulary, w->threads, part, &begin, &end);
    if (h->row_bytes == w->row_bytes) {
        memcpy(h->copy + begin * h->row_bytes, h->tensor->data + begin * h->row_bytes,
               (size_t)((end - begin) * h->row_bytes));
        return;
    }
    for (int64_t r = begin; r < end; r++)
        tg_tensor_type_decode(h->tensor->type, h->tensor->data + r * w->row_bytes,
                              h->network->hidden, (float *)(void *)(h->copy + r * h->row_bytes));
}

static void run_some(void *opaque, int part)
{
    const struct work *w = opaque;
    const struct tg_head *h = w->head;
    int64_t begin, end;
    tg_pool_rows(h->network->vocabulary, w->threads, part, &begin, &end);
    if (begin < end)
        h->dots(h->copy + begin * h->row_bytes, h->row_bytes, end - begin, w->x, h->network->hidden,
                w->logits + begin);
}

typedef void (*dots_fn)(const void *rows, int64_t row_bytes, int64_t count, const float *x,
                        int64_t n, float *out);

/* The dot products of a type, or NULL. */
static dots_fn dots_of(const struct tg_vector *v, const struct tg_tensor_type *type)
{
    const struct {
        const char *type;
        dots_fn dots;
    } rows[] = {{"F32", v->dots_f32},
                {"F16", v->dots_f16},
                {"BF16", v->dots_bf16},
                {"Q8_0", v->dots_q8_0},
                {"Q6_K", v->dots_q6_k}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].type, type->name) == 0) return rows[i].dots;
    return NULL;
}

static const struct tg_gguf_tensor *tensor_of(const struct tg_network *network)
{
    return network->output ? network->output : network->embedding;
}

/* Bytes of a row of the copy. */
static int64_t row_bytes_of(const struct tg_network *network)
{
    const struct tg_gguf_tensor *t = tensor_of(network);
    return dots_of(tg_vector_widest(), t->type) ? t->bytes / network->vocabulary
                                                : network->hidden * (int64_t)sizeof(float);
}

int64_t tg_head_bytes(const struct tg_network *network)
{
    const int64_t bytes = row_bytes_of(network) * network->vocabulary;
    return (bytes + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
}

int tg_head_open(const struct tg_network *network, const struct tg_vector *v, struct tg_pool *pool,
                 struct tg_head *head, struct tg_error *err)
{
    struct tg_head h = {.network = network,
                        .tensor = tensor_of(network),
                        .bytes = tg_head_bytes(network),
                        .row_bytes = row_bytes_of(network)};
    h.dots = dots_of(v, h.tensor->type);
    if (!h.dots) h.dots = v->dots_f32;
    if (tg_tensor_type_decode(h.tensor->type, h.tensor->data, 0, NULL) < 0)
        return tg_fail(err, "no head of %s is computed", h.tensor->type->name);
    h.copy = mmap(NULL, (size_t)h.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                  0);
    if (h.copy == MAP_FAILED)
        return tg_fail(err, "%" PRId64 " bytes for the head are not to be had",
                       h.row_bytes * network->vocabulary);
    madvise(h.copy, (size_t)h.bytes, MADV_HUGEPAGE); /* if there are any */
    struct work w = {.head = &h,
                     .threads = tg_pool_count(pool),
                     .row_bytes = h.tensor->bytes / network->vocabulary};
    tg_pool_run(pool, copy_some, &w);
    tg_pool_rest(pool);
    *head = h;
    return 0;
}

void tg_head_run(const struct tg_head *head, struct tg_pool *pool, const float *x, float *logits)
{
    struct work w = {.head = head, .threads = tg_pool_count(pool), .x = x, .logits = logits};
    tg_pool_run(pool, run_some, &w);
}

void tg_head_close(struct tg_head *head)
{
    if (head->copy) munmap(head->copy, (size_t)head->bytes);
    *head = (struct tg_head){0};
}
