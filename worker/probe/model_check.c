/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/model_check.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fill.h"
#include "kernels/op.h"

enum { TOKENS = 2, ALIGNMENT = 64, POISON = 0x5a };

struct work {
    const struct tg_session *session;
    struct tg_model_check *check;
    int64_t most_weights, most_cols, most_rows; /* of the largest matrices */
    int64_t most_tokens;                        /* of the largest batch */
    _Atomic int64_t next, end;                  /* matrices */
    _Atomic int64_t checked;
    atomic_flag is_told;
    _Atomic bool has_no_memory;
    pthread_mutex_t device; /* has one stream */
};

/* What one thread works with. */
struct bench {
    int8_t *ternary, *activations, *batch;
    uint8_t *picks; /* which of the activations each token of the batch has */
    int32_t *results, *wanted;
};

static void find_largest(struct work *w)
{
    const struct tg_weights *weights = &w->session->weights;
    w->most_tokens = TOKENS;
    for (int i = 0; i < TG_PROFILE_BATCHES; i++)
        if (w->check->batches[i] > w->most_tokens) w->most_tokens = w->check->batches[i];
    for (int64_t i = 0; i < weights->count; i++) {
        const struct tg_matrix *m = &weights->matrices[i];
        if (m->rows * m->cols > w->most_weights) w->most_weights = m->rows * m->cols;
        if (m->rows > w->most_rows) w->most_rows = m->rows;
        if (m->cols > w->most_cols) w->most_cols = m->cols;
    }
}

static void *have(int64_t bytes)
{
    return aligned_alloc(ALIGNMENT, ((size_t)bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

/* The first difference is told; of several threads only one writes. */
static void tell(struct work *w, int64_t matrix, int64_t row, const struct tg_kernel *kernel)
{
    if (atomic_flag_test_and_set(&w->is_told)) return;
    snprintf(w->check->reason, sizeof w->check->reason,
             "row %" PRId64 " of %s of block %" PRId64 " by %s differs from the reference", row,
             tg_model_layer((size_t)(matrix % TG_LAYERS)), matrix / TG_LAYERS,
             w->session->device ? w->session->device->name : kernel->name);
}

static struct tg_problem problem_of(const struct tg_matrix *m, const int8_t *activations,
                                    int32_t *results, int64_t tokens)
{
    return (struct tg_problem){.weights = m->packed,
                               .activations = activations,
                               .results = results,
                               .rows = m->rows,
                               .cols = m->cols,
                               .batch = tokens,
                               .row_end = m->rows};
}

/*
 * A kernel's products, or the device's, of so many tokens with one matrix: a kernel's in the ranges
 * of rows that the model gives its threads.
 */
static void multiply(struct work *w, int64_t matrix, const struct tg_kernel *kernel,
                     const struct tg_problem *p)
{
    const struct tg_session *s = w->session;
    memset(p->results, POISON, (size_t)(p->batch * p->rows) * sizeof(int32_t));
    for (int part = 0; !s->device && part < tg_pool_count(s->pool); part++) {
        struct tg_problem some = *p;
        tg_pool_rows(p->rows, tg_pool_count(s->pool), part, &some.row_begin, &some.row_end);
        if (some.row_begin < some.row_end) kernel->run(&some);
    }
    if (!s->device) return;
    pthread_mutex_lock(&w->device);
    s->device->multiply(s->on_device, matrix, p->activations, p->batch, p->results);
    pthread_mutex_unlock(&w->device);
}

/* The products of both tokens with one matrix, against the reference. */
static void compare(struct work *w, const struct bench *b, int64_t matrix)
{
    const struct tg_matrix *m = &w->session->weights.matrices[matrix];
    const struct tg_problem seen = problem_of(m, b->activations, b->results, TOKENS);
    const struct tg_problem wanted = problem_of(m, b->activations, b->wanted, TOKENS);
    multiply(w, matrix, m->kernel, &seen);
    for (int64_t t = 0; t < TOKENS; t++) {
        tg_op_product_reference(b->ternary, &wanted, t);
        int64_t row = tg_op_product_differs(&seen, b->wanted, t);
        if (row >= 0) tell(w, matrix, row, m->kernel);
    }
    atomic_fetch_add(&w->checked, TOKENS * m->rows);
}

/*
 * A batch of tokens that were compared, as the picks say, so that what is wanted is known: the
 * reference would take too long for it.
 */
static void compare_picks(struct work *w, const struct bench *b, int64_t matrix,
                          const struct tg_kernel *kernel, int64_t tokens)
{
    const struct tg_matrix *m = &w->session->weights.matrices[matrix];
    const struct tg_problem seen = problem_of(m, b->batch, b->results, tokens);
    for (int64_t t = 0; t < tokens; t++)
        memcpy(b->batch + t * m->cols, b->activations + b->picks[t] * m->cols, (size_t)m->cols);
    multiply(w, matrix, kernel, &seen);
    for (int64_t t = 0; t < tokens; t++) {
        struct tg_problem one = seen;
        one.results = b->results + t * m->rows;
        int64_t row = tg_op_product_differs(&one, b->wanted + b->picks[t] * m->rows, 0);
        if (row >= 0) tell(w, matrix, row, kernel);
    }
    atomic_fetch_add(&w->checked, tokens * m->rows);
}

/* Each token alone, and batches as the model has them: kernels have other code for these. */
static void compare_others(struct work *w, const struct bench *b, int64_t matrix)
{
    const struct tg_matrix *m = &w->session->weights.matrices[matrix];
    for (uint8_t t = 0; t < TOKENS; t++) {
        b->picks[0] = t;
        compare_picks(w, b, matrix, m->one, 1);
    }
    for (int i = 0; i < TG_PROFILE_BATCHES; i++) {
        const int64_t tokens = w->check->batches[i];
        uint64_t draw = w->check->seed + (uint64_t)matrix;
        if (tokens <= TOKENS) continue;
        for (int64_t t = 0; t < tokens; t++) b->picks[t] = (uint8_t)(tg_fill_next(&draw) % TOKENS);
        compare_picks(w, b, matrix, m->kernel, tokens);
    }
}

/* As behind a squared ReLU: small numbers, and runs of zeros, of which random ones have none. */
static void make_sparse(int8_t *token, int64_t cols)
{
    for (int64_t c = 0; c < cols; c++) {
        const bool is_zero = c / 32 % 2 == 1 || c / 256 % 2 == 1;
        token[c] = (int8_t)(is_zero ? 0 : token[c] / 16);
    }
}

static void check_matrix(struct work *w, const struct bench *b, int64_t matrix)
{
    const struct tg_session *s = w->session;
    const struct tg_matrix *m = &s->weights.matrices[matrix];
    const struct tg_gguf_tensor *t =
        s->network.blocks[matrix / TG_LAYERS].layers[matrix % TG_LAYERS];
    if (tg_network_is_plain(t))
        tg_network_plain_unpack(t, b->ternary, NULL); /* which succeeded when it was loaded */
    else
        s->layout.format->unpack(t->data, m->rows, m->cols, b->ternary);
    tg_fill_int8(w->check->seed + (uint64_t)matrix, b->activations, (size_t)(TOKENS * m->cols));
    make_sparse(b->activations + m->cols, m->cols);
    compare(w, b, matrix);
    compare_others(w, b, matrix);
}

static void check_some(void *opaque, int part)
{
    struct work *w = opaque;
    struct bench b = {have(w->most_weights),
                      have(TOKENS * w->most_cols),
                      have(w->most_tokens * w->most_cols),
                      have(w->most_tokens),
                      have(w->most_tokens * w->most_rows * (int64_t)sizeof(int32_t)),
                      have(TOKENS * w->most_rows * (int64_t)sizeof(int32_t))};
    (void)part;
    if (!b.ternary || !b.activations || !b.batch || !b.picks || !b.results || !b.wanted)
        atomic_store(&w->has_no_memory, true);
    for (int64_t i;
         !atomic_load(&w->has_no_memory) && (i = atomic_fetch_add(&w->next, 1)) < w->end;)
        check_matrix(w, &b, i);
    free(b.ternary);
    free(b.activations);
    free(b.batch);
    free(b.picks);
    free(b.results);
    free(b.wanted);
}

int tg_model_check_products(const struct tg_session *session, struct tg_model_check *check,
                            struct tg_error *err)
{
    struct work w = {.session = session,
                     .check = check,
                     .is_told = ATOMIC_FLAG_INIT,
                     .device = PTHREAD_MUTEX_INITIALIZER};
    w.next = check->first_block * TG_LAYERS;
    w.end = (check->first_block + check->blocks) * TG_LAYERS;
    check->reason[0] = 0;
    find_largest(&w);
    tg_pool_run(session->pool, check_some, &w);
    tg_pool_rest(session->pool);
    check->checked = w.checked;
    return w.has_no_memory ? tg_fail(err, "not enough memory to check the products") : 0;
}
