/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "worker/model/choose.h"
#include "worker/model/forward_device.h"
#include "worker/probe/fake.h"

/*
 * Whole models on the device that is not one, for tests: the host's forward pass, in one thread,
 * and the manners of worker/probe/fake.def. Batches are not multiplied by options->product, whose
 * memory is the host's; `multiply` is.
 */

struct fake {
    struct tg_fake manners;
    const struct tg_network *n;
    const struct tg_weights *weights;
    struct tg_forward_options options;
    struct tg_pool *pool;
    struct tg_forward *forward;
    struct tg_forward_device_times times;
    int32_t *tokens; /* context + 1 of them, and choices */
    float *logits;   /* of the last token */
    bool has_next;   /* tokens[position] has been chosen */
    int64_t calls;
};

static void fake_close(void *opaque)
{
    struct fake *f = opaque;
    if (!f) return;
    tg_forward_close(f->forward);
    tg_pool_destroy(f->pool);
    free(f->tokens);
    free(f->logits);
    free(f);
}

static int64_t fake_bytes(const void *opaque)
{
    const struct fake *f = opaque;
    return f->weights->bytes + tg_forward_bytes(f->forward);
}

static int64_t fake_taken_bytes(const void *opaque)
{
    const struct fake *f = opaque;
    const int64_t piece = f->manners.piece_bytes > 0 ? f->manners.piece_bytes : 1;
    return fake_bytes(f) + (f->calls * f->manners.leak_bytes + piece - 1) / piece * piece;
}

static int open_all(struct fake *f, struct tg_error *err)
{
    const double began = tg_now();
    if (tg_fake_read("", &f->manners, err) < 0) return -1;
    if (f->manners.absent) return tg_fail(err, "there is no fake device");
    if (tg_forward_device_check(f->n, f->weights, &f->options, err) < 0) return -1;
    f->tokens = calloc((size_t)f->options.context + 1, sizeof *f->tokens);
    f->logits = calloc((size_t)f->n->vocabulary, sizeof *f->logits);
    if (!f->tokens || !f->logits) return tg_fail(err, "out of memory");
    if (tg_pool_create(1, NULL, &f->pool, err) < 0 ||
        tg_forward_open(f->n, f->weights, f->pool, &f->options, &f->forward, err) < 0)
        return -1;
    f->times.load = tg_now() - began;
    if (fake_bytes(f) <= f->manners.memory_bytes) return 0;
    return tg_fail(err, "the fake device has no %lld bytes left", (long long)fake_bytes(f));
}

static int fake_open(const struct tg_network *network, const struct tg_weights *weights,
                     const struct tg_forward_options *options, void **state, struct tg_error *err)
{
    struct fake *f = calloc(1, sizeof *f);
    if (!f) return tg_fail(err, "out of memory");
    f->n = network;
    f->weights = weights;
    f->options = *options;
    if (open_all(f, err) < 0) {
        fake_close(f);
        return -1;
    }
    *state = f;
    return 0;
}

/* Its last numbers are others, and so the best token of a text that goes on. */
static void spoil(const struct fake *f, float *logits)
{
    for (int64_t i = f->n->vocabulary / 2; i < f->n->vocabulary; i++) logits[i] *= -3;
}

static int32_t best_of(const struct fake *f, const float *logits)
{
    const int64_t best = tg_choose_best(logits, f->n->vocabulary);
    return (int32_t)(f->manners.misses ? (best + 1) % f->n->vocabulary : best);
}

/* The logits of the last token, by which the next is chosen. */
static void keep(struct fake *f, float *logits)
{
    f->calls++;
    for (int64_t i = 0; i < f->n->vocabulary; i++)
        logits[i] *= (float)(f->manners.scales *
                             (1 + (i % 2 ? f->manners.blurs : -f->manners.blurs)));
    if (f->manners.drift_after > 0 && f->calls > f->manners.drift_after) spoil(f, logits);
    if (f->manners.far > 0 && tg_forward_position(f->forward) > f->manners.far) spoil(f, logits);
    if (logits != f->logits) memcpy(f->logits, logits, (size_t)f->n->vocabulary * sizeof *logits);
    f->tokens[tg_forward_position(f->forward)] = best_of(f, logits);
    f->has_next = true;
    if (f->manners.fault_after == 0 || f->calls < f->manners.fault_after) return;
    fprintf(stderr, "fake device: a fault on command\n");
    abort();
}

/* A batch, of whose last tokens `wanted` logits go to `logits`; those of the last are had always.
 */
static int run_batch(struct fake *f, int64_t batch, float *logits, int64_t wanted,
                     struct tg_error *err)
{
    const double began = tg_now();
    const int32_t *tokens = f->tokens + tg_forward_position(f->forward);
    float *to = wanted > 0 ? logits : f->logits;
    if (tg_forward_run(f->forward, tokens, batch, to, wanted > 0 ? wanted : 1, err) < 0) return -1;
    keep(f, wanted > 0 ? logits + (wanted - 1) * f->n->vocabulary : f->logits);
    *(batch == 1 ? &f->times.step : &f->times.prompt) += tg_now() - began;
    return 0;
}

static int fake_run(void *opaque, const int32_t *tokens, int64_t count, float *logits,
                    int64_t wanted, struct tg_error *err)
{
    struct fake *f = opaque;
    const int64_t begun = tg_forward_position(f->forward), most = f->options.batch;
    if (count > f->options.context - begun) /* says what does not fit, and where */
        return tg_forward_run(f->forward, tokens, count, f->logits, 0, err);
    for (int64_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= f->n->vocabulary)
            return tg_forward_run(f->forward, tokens + i, 1, f->logits, 0, err);
    for (int64_t done = 0, batch; done < count; done += batch) {
        const double began = tg_now();
        batch = count - done < most ? count - done : most;
        memcpy(f->tokens + begun + done, tokens + done, (size_t)batch * sizeof *tokens);
        f->times.copy_in += tg_now() - began;
        const int64_t first = done > count - wanted ? done : count - wanted; /* that is wanted */
        const int64_t of_these = done + batch > first ? done + batch - first : 0;
        if (run_batch(f, batch, logits + (first - (count - wanted)) * f->n->vocabulary, of_these,
                      err) < 0)
            return -1;
    }
    const double began = tg_now(); /* nothing is copied, and that takes no time: but some */
    f->times.copy_out += wanted > 0 ? tg_now() - began + 1e-9 : 0;
    return 0;
}

static int fake_choice(void *opaque, int32_t *token, struct tg_error *err)
{
    struct fake *f = opaque;
    if (!f->has_next) return tg_fail(err, "nothing has been run that a token could follow");
    *token = f->tokens[tg_forward_position(f->forward)];
    f->times.copy_out += 1e-9;
    return 0;
}

static int fake_generate(void *opaque, int64_t count, int32_t *tokens, struct tg_error *err)
{
    struct fake *f = opaque;
    if (!f->has_next) return tg_fail(err, "nothing has been run that a token could follow");
    if (count > f->options.context - tg_forward_position(f->forward))
        return tg_forward_run(f->forward, f->tokens, count, f->logits, 0, err);
    for (int64_t i = 0; i < count; i++)
        if (run_batch(f, 1, NULL, 0, err) < 0 || fake_choice(f, &tokens[i], err) < 0) return -1;
    return 0;
}

static void fake_logits(void *opaque, float *logits)
{
    const struct fake *f = opaque;
    memcpy(logits, f->logits, (size_t)f->n->vocabulary * sizeof *logits);
}

static int64_t fake_position(const void *opaque)
{
    return tg_forward_position(((const struct fake *)opaque)->forward);
}

static void fake_rewind(void *opaque, int64_t position)
{
    struct fake *f = opaque;
    f->has_next = f->has_next && position == fake_position(f);
    tg_forward_rewind(f->forward, position);
}

static void fake_revisit(void *opaque, int64_t position)
{
    struct fake *f = opaque;
    f->has_next = true;
    tg_forward_revisit(f->forward, position);
}

static void fake_multiply(void *opaque, int64_t matrix, const int8_t *activations, int64_t tokens,
                          int32_t *results)
{
    const struct fake *f = opaque;
    const struct tg_matrix *m = &f->weights->matrices[matrix];
    const struct tg_problem p = {.weights = m->packed,
                                 .activations = activations,
                                 .results = results,
                                 .rows = m->rows,
                                 .cols = m->cols,
                                 .batch = tokens,
                                 .row_end = m->rows};
    assert(tokens <= f->options.batch);
    (f->options.product ? f->options.product : m->kernel)->run(&p);
    if (f->manners.errs > 0 && tokens >= f->manners.errs) results[m->rows / 2]++;
}

static struct tg_forward_device_times fake_times(const void *opaque)
{
    return ((const struct fake *)opaque)->times;
}

static int64_t fake_token_bytes(const void *opaque, int64_t position)
{
    return tg_forward_token_bytes(((const struct fake *)opaque)->forward, position);
}

const struct tg_forward_device tg_forward_device_fake = {
    .name = "fake",
    .open = fake_open,
    .run = fake_run,
    .generate = fake_generate,
    .choice = fake_choice,
    .logits = fake_logits,
    .position = fake_position,
    .rewind = fake_rewind,
    .revisit = fake_revisit,
    .multiply = fake_multiply,
    .times = fake_times,
    .token_bytes = fake_token_bytes,
    .bytes = fake_bytes,
    .taken_bytes = fake_taken_bytes,
    .close = fake_close,
};
