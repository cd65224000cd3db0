/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "kernels/fill.h"
#include "results/digest.h"
#include "worker/library.h"
#include "worker/model/choose.h"
#include "worker/model/model_source.h"
#include "worker/model/profile.h"
#include "worker/model/prompt.h"
#include "worker/model/session.h"
#include "worker/probe/executed.h"
#include "worker/probe/model_accuracy.h"
#include "worker/probe/model_check.h"
#include "worker/probe/model_device.h"
#include "worker/probe/model_host.h"
#include "worker/probe/model_notes.h"
#include "worker/probe/model_roof.h"
#include "worker/probe/probe.h"

/*
 * A whole model: what a profile (profiles.def) says is timed of it. The prompt is the same in every
 * run. The calls of the check find out which tokens come behind it; every timed call must choose
 * the same, and each sample must end with the same logits, bit for bit.
 */

struct state {
    struct tg_setup setup;
    const struct tg_library *library;
    const struct tg_kernel *kernel;
    const struct tg_profile *profile;
    struct tg_session session;
    struct tg_model_device beside; /* what computes, if it is not the host */
    int32_t *prompt;
    size_t text_bytes; /* of the passage, where the prompt is a text */
    int32_t *walk;  /* tokens behind the prompt: each is chosen from the logits of the one before */
    uint64_t *sums; /* of the logits from which each was chosen */
    int64_t step;   /* from the token of one call to that of the next */
    int64_t at, last; /* of the walk: the next token to be run, and the last that was */
    bool is_known;    /* walk and sums are those of the check */
    char odd[160];    /* what a timed call did otherwise, "" for nothing */
    double choose_s, tokenize_s;
    struct tg_model_note sample; /* the last */
    struct tg_model_notes notes;
};

static void model_close(void *opaque)
{
    struct state *s = opaque;
    tg_session_close(&s->session);
    tg_model_device_close(&s->beside);
    free(s->prompt);
    free(s->walk);
    free(s->sums);
    tg_model_notes_release(&s->notes);
    free(s);
}

static const char *model_metric(const struct tg_cell *cell, double *done)
{
    const struct tg_profile *profile = tg_profile_find(cell->profile);
    if (!profile || profile->call == TG_CALL_NONE) return NULL;
    *done = (double)tg_profile_call_tokens(profile);
    return profile->metric;
}

static int64_t model_bytes(const struct tg_cell *cell, const char *file)
{
    const struct tg_profile *profile = tg_profile_find(cell->profile);
    const struct tg_model *model = tg_model_find(cell->model);
    const struct tg_kernel *kernel = tg_kernel_find(cell->kernel);
    if (!profile || (!model && !*file)) return -1;
    /* What is on a device is held against the host. */
    const bool has_second = profile->call == TG_CALL_NONE || tg_probe_is_on_device(cell);
    const struct tg_session_size size = {.model = model,
                                         .kernel = kernel,
                                         .context = tg_profile_context(profile),
                                         .batch = profile->batch,
                                         .threads = (int)cell->threads,
                                         .has_second = has_second};
    return model ? tg_session_bytes(&size) : tg_session_file_bytes(file, &size);
}

/* Where its file is from, which is never left open: trained weights, or made here. */
static int tell_source(struct state *s, struct tg_facts *facts, struct tg_error *err)
{
    const bool is_file = strcmp(s->setup.cell.model, TG_MODEL_FILE) == 0;
    const bool is_synthetic = tg_gguf_find(s->session.gguf, "tritgate.synthetic") != NULL;
    if (is_file && is_synthetic)
        return tg_fail(err, "'%s' is a synthetic model, and no real one", s->setup.model_path);
    if (!is_file && !is_synthetic)
        return tg_fail(err, "'%s' was not made by this program", s->setup.model_path);
    snprintf(facts->model_source, sizeof facts->model_source, "%s",
             is_synthetic ? "synthetic" : "file");
    if (is_synthetic) return 0;
    if (tg_model_source_check_layout(&s->session.layout, err) < 0)
        return tg_fail_in(err, "'%s'", s->setup.model_path);
    return tg_digest_file(s->setup.model_path, facts->model_digest, err);
}

/*
 * The device of the kernel. All that runs there is this program's, but for the products of batches:
 * two builds of the kernels would be the same model twice.
 */
static int open_device(struct state *s, struct tg_facts *facts, struct tg_error *err)
{
    const struct tg_cell *cell = &s->setup.cell;
    const struct tg_kernel *own = tg_kernel_find(cell->kernel);
    if (own && strcmp(own->device, s->kernel->device) != 0)
        return tg_fail(err, "kernel '%s' runs on '%s' in this library, and on '%s' in this program",
                       cell->kernel, s->kernel->device, own->device);
    if (strcmp(s->kernel->device, "cpu") != 0 && strcmp(cell->build, "base") == 0)
        return tg_fail(err, "build 'base' is of kernels: whole models on a device are this "
                            "program's own");
    return tg_model_device_open(s->kernel->device, facts, &s->beside, err);
}

static int open_session(struct state *s, struct tg_measurement *m, struct tg_error *err)
{
    const struct tg_cell *cell = &s->setup.cell;
    struct tg_facts *facts = &m->facts;
    if (tg_library_open_kernel(s->setup.library, cell->kernel, facts, &s->library, &s->kernel,
                               err) < 0 ||
        open_device(s, facts, err) < 0)
        return -1;
    const struct tg_session_options options = {
        .path = s->setup.model_path,
        .library = s->library,
        .kernel = cell->kernel,
        .cores = s->setup.core_count > 0 ? s->setup.cores : NULL,
        .threads = (int)cell->threads,
        .context = tg_profile_context(s->profile),
        .batch = s->profile->batch,
        .has_no_text = s->profile->call != TG_CALL_TEXT,
        .device = s->beside.device ? s->kernel->device : NULL,
    };
    if (tg_session_open(&options, &s->session, err) < 0) return -1;
    if (options.context > s->session.network.context)
        return tg_fail(err, "profile %s needs a context of %" PRId64 ", the model has %" PRId64,
                       s->profile->name, options.context, s->session.network.context);
    if (s->session.device) facts->gpu_bytes = s->session.device->bytes(s->session.on_device);
    facts->packed_bytes = tg_session_token_bytes(&s->session, -1);
    snprintf(facts->operands, sizeof facts->operands, "own");
    return tell_source(s, facts, err);
}

/* Steps of about 0.62 of the walk come to all of its tokens, and to parts of it alike by few calls.
 */
static int64_t step_of(int64_t tokens)
{
    int64_t step = (int64_t)(0.618 * (double)tokens);
    for (; step > 1; step--) {
        int64_t a = tokens, b = step;
        for (int64_t rest; b > 0; a = b, b = rest) rest = a % b;
        if (a == 1) break;
    }
    return step > 1 ? step : 1;
}

static int make_prompt(struct state *s, struct tg_error *err)
{
    const struct tg_profile *p = s->profile;
    s->step = step_of(p->tokens);
    s->prompt = calloc((size_t)p->prompt, sizeof *s->prompt);
    s->walk = calloc((size_t)p->tokens + 1, sizeof *s->walk);
    s->sums = calloc((size_t)p->tokens + 1, sizeof *s->sums);
    if (!s->prompt || !s->walk || !s->sums) return tg_fail(err, "out of memory");
    if (p->call != TG_CALL_TEXT) {
        tg_prompt_draw(s->session.network.vocabulary, p->prompt, s->prompt);
        return 0;
    }
    struct tg_tokens tokens = {0};
    int rc = tg_prompt_find(s->session.tokenizer, p->prompt, &s->text_bytes, err);
    if (rc == 0)
        rc = tg_tokenizer_encode(s->session.tokenizer, tg_prompt_passage, s->text_bytes, true,
                                 &tokens, err);
    if (rc == 0) memcpy(s->prompt, tokens.ids, (size_t)p->prompt * sizeof *s->prompt);
    tg_tokens_release(&tokens);
    return rc;
}

static int add_one(struct tg_measurement *m, const char *metric, double value, struct tg_error *err)
{
    struct tg_series *series = tg_measurement_add(m, metric, 1);
    if (!series) return tg_fail(err, "out of memory");
    series->samples[0] = value;
    return 0;
}

static int model_prepare(const struct tg_setup *setup, int operands, struct tg_measurement *m,
                         void **state, struct tg_error *err)
{
    (void)operands; /* a model's pages are the file's, or packed by each side */
    struct state *s = calloc(1, sizeof *s);
    if (!s) return tg_fail(err, "out of memory");
    s->setup = *setup;
    s->profile = tg_profile_find(setup->cell.profile);
    if (!s->profile) {
        free(s);
        return tg_fail(err, "no such profile '%s'", setup->cell.profile);
    }
    if (open_session(s, m, err) < 0 || make_prompt(s, err) < 0 ||
        add_one(m, "load_time", s->session.load_s, err) < 0 ||
        add_one(m, "pack_time", s->session.quantise_s, err) < 0) {
        model_close(s);
        return -1;
    }
    *state = s;
    return 0;
}

/* A call that fails, or that does what the checked one did not: the first is kept. */
static void is_odd(struct state *s, const char *what)
{
    if (!*s->odd) snprintf(s->odd, sizeof s->odd, "%s", what);
}

/* Chooses token `i` of the walk, which must be the one that the check chose. */
static void choose(struct state *s, int64_t i)
{
    const double began = tg_now();
    struct tg_error err;
    int32_t id = -1;
    if (tg_session_choose(&s->session, &id, &err) < 0)
        is_odd(s, err.text);
    else if (!s->is_known)
        s->walk[i] = id;
    else if (s->walk[i] != id)
        is_odd(s, "a timed call chose another token than the checked one");
    s->last = i;
    s->choose_s += tg_now() - began;
}

static void run_prompt(struct state *s)
{
    struct tg_error err;
    tg_session_rewind(&s->session, 0);
    if (tg_session_run(&s->session, s->prompt, s->profile->prompt, &err) < 0) is_odd(s, err.text);
    s->last = 0;
}

static void find_prompt(struct state *s)
{
    struct tg_tokens tokens = {0};
    struct tg_error err;
    const double began = tg_now();
    if (tg_tokenizer_encode(s->session.tokenizer, tg_prompt_passage, s->text_bytes, true, &tokens,
                            &err) < 0)
        is_odd(s, err.text);
    else if ((int64_t)tokens.count != s->profile->prompt ||
             memcmp(tokens.ids, s->prompt, tokens.count * sizeof *s->prompt) != 0)
        is_odd(s, "a timed call found other tokens in the text than the checked one");
    tg_tokens_release(&tokens);
    s->tokenize_s += tg_now() - began;
}

/* Runs token `i` of the walk, and chooses the next. */
static void run_token(struct state *s, int64_t i)
{
    struct tg_error err;
    tg_session_revisit(&s->session, s->profile->prompt + i);
    if (tg_session_step(&s->session, s->walk[i], &err) < 0) is_odd(s, err.text);
    choose(s, i + 1);
}

static void call(struct state *s)
{
    switch (s->profile->call) {
    case TG_CALL_PREFILL: run_prompt(s); return;
    case TG_CALL_TEXT:
        find_prompt(s);
        run_prompt(s);
        choose(s, 0);
        return;
    case TG_CALL_WHOLE:
        run_prompt(s);
        choose(s, 0);
        for (int64_t i = 0; i + 1 < s->profile->tokens; i++) run_token(s, i);
        return;
    case TG_CALL_TOKEN:
        run_token(s, s->at);
        s->at = (s->at + s->step) % s->profile->tokens;
        return;
    case TG_CALL_NONE: return;
    }
}

/* FNV-1a of the logits' words. Source: Fowler, Noll and Vo, RFC 9923. */
static uint64_t sum_of(const float *logits, int64_t count)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (int64_t i = 0; i < count; i++) {
        uint32_t word;
        memcpy(&word, &logits[i], sizeof word);
        sum = (sum ^ word) * UINT64_C(0x100000001b3);
    }
    return sum;
}

static uint64_t own_sum(struct state *s)
{
    return sum_of(tg_session_logits(&s->session), s->session.network.vocabulary);
}

static void is_wrong(struct tg_measurement *m, const char *reason)
{
    m->outcome = TG_WRONG;
    snprintf(m->reason, sizeof m->reason, "%s", reason);
}

/* The sum of the logits that token `i` of the walk was chosen from: it must be their best. */
static void learn_token(struct state *s, int64_t i, struct tg_measurement *m)
{
    s->sums[i] = own_sum(s);
    if (s->walk[i] != tg_choose_best(s->session.logits, s->session.network.vocabulary))
        is_wrong(m, "the token that it chooses is not that of its largest logit");
    if (tg_choose_check(s->session.logits, s->session.network.vocabulary, NULL) < 0)
        is_wrong(m, "a logit is not finite");
}

/* Finds out which tokens come behind the prompt, and the sums of all logits on the way. */
static void learn(struct state *s, struct tg_measurement *m)
{
    const enum tg_profile_call kind = s->profile->call;
    const int64_t steps = kind == TG_CALL_TOKEN   ? s->profile->tokens
                          : kind == TG_CALL_WHOLE ? s->profile->tokens - 1
                                                  : 0;
    run_prompt(s);
    choose(s, 0);
    learn_token(s, 0, m);
    for (int64_t i = 0; i < steps; i++) {
        run_token(s, i);
        learn_token(s, i + 1, m);
    }
    s->is_known = true;
    s->at = 0;
}

static int check_products(struct state *s, struct tg_measurement *m, struct tg_error *err)
{
    const int64_t blocks = s->session.network.layers;
    uint64_t draw = strtoull(s->setup.seed, NULL, 10);
    struct tg_model_check check = {.blocks = blocks, .seed = draw + 1};
    tg_profile_batches(s->profile, check.batches);
    if (!s->setup.is_complete) {
        check.first_block = (int64_t)(tg_fill_next(&draw) % (uint64_t)blocks);
        check.blocks = 1;
    }
    if (tg_model_check_products(&s->session, &check, err) < 0) return -1;
    m->facts.checked += check.checked;
    if (*check.reason) is_wrong(m, check.reason);
    return 0;
}

/* The same prompt again by a pass that does not round activations. */
static int measure_accuracy(struct state *s, struct tg_measurement *m, struct tg_error *err)
{
    struct tg_model_accuracy a = {0};
    if (tg_model_accuracy_measure(&s->session, s->prompt, s->profile->prompt, true, &a, err) < 0 ||
        add_one(m, "logit_cosine", a.cosine, err) < 0 ||
        add_one(m, "top1_agreement", a.agreement, err) < 0)
        return -1;
    return add_one(m, "logit_divergence", a.divergence, err);
}

/* The prompt, and, behind it, where the profile goes on, any tokens. */
static int compare_with_host(struct state *s, struct tg_measurement *m, struct tg_error *err)
{
    const struct tg_profile *p = s->profile;
    struct tg_model_host host = {.is_complete = s->setup.is_complete,
                                 .draw = strtoull(s->setup.seed, NULL, 10),
                                 .together = p->prompt < p->batch ? p->prompt : p->batch};
    int32_t tokens[TG_MODEL_HOST_LONG];
    const int64_t context = tg_profile_context(p);
    const int64_t count = context < TG_MODEL_HOST_LONG ? context : TG_MODEL_HOST_LONG;
    tg_prompt_draw(s->session.network.vocabulary, count, tokens);
    memcpy(tokens, s->prompt, (size_t)(p->prompt < count ? p->prompt : count) * sizeof *tokens);
    if (tg_model_host_compare(&s->session, tokens, count, &host, err) < 0) return -1;
    m->facts.checked += host.checked;
    if (*host.reason) is_wrong(m, host.reason);
    return 0;
}

/* Of all tokens and logits of the walk; 53 bits, so that it is a number of its own. */
static double checksum(const struct state *s)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i <= s->profile->tokens; i++)
        sum = (sum ^ s->sums[i] ^ (uint64_t)s->walk[i]) * UINT64_C(0x100000001b3);
    return (double)(sum >> 11);
}

static int model_check(void *opaque, struct tg_measurement *m, struct tg_error *err)
{
    struct state *s = opaque;
    tg_executed_forget(s->library, s->session.pool); /* loading unpacked by other kernels */
    if (check_products(s, m, err) < 0) return -1;
    if (m->outcome == TG_MEASURED && s->session.device && compare_with_host(s, m, err) < 0)
        return -1;
    if (m->outcome != TG_MEASURED) return 0;
    learn(s, m);
    tg_model_device_look(&s->beside, &m->facts);
    tg_executed_look(s->library, s->session.pool, m);
    if (*s->odd) return tg_fail(err, "%s", s->odd);
    if (m->outcome != TG_MEASURED || !s->setup.is_fixed) return 0;
    if (add_one(m, "output_checksum", checksum(s), err) < 0) return -1;
    return s->profile->call == TG_CALL_NONE ? measure_accuracy(s, m, err) : 0;
}

static void model_roof(void *opaque, int64_t first, struct tg_facts *facts)
{
    struct state *s = opaque;
    (void)first;
    s->at = 0; /* the warm-up is over: both sides begin their walk at its beginning */
    tg_model_roof_measure(&s->session, &s->beside, s->profile, facts);
}

static void nothing(void *work, int part)
{
    (void)work, (void)part;
}

/*
 * What is untimed wakes the threads, or the device, whose clock it tells; the weights come from
 * memory in any case.
 */
static bool model_sample(void *opaque, int64_t first, int64_t calls, struct tg_turn *turn)
{
    struct state *s = opaque;
    struct tg_session *session = &s->session;
    struct tg_model_note note = {0};
    const double n = (double)calls;
    (void)first; /* each side walks by itself, in the same steps */
    s->choose_s = s->tokenize_s = 0;
    if (!session->device) tg_pool_run(session->pool, nothing, NULL);
    const double clock_hz = tg_model_device_clock(&s->beside);
    tg_model_notes_stages(session, -1 / n, &note);
    note.begun = tg_now_ns();
    for (int64_t i = 0; i < calls; i++) call(s);
    const int64_t ended = tg_now_ns();
    tg_model_notes_stages(session, 1 / n, &note);
    tg_pool_rest(session->pool);
    if (session->device)
        note.gpu_bytes = session->device->taken_bytes(session->on_device);
    else
        note.choose_s = s->choose_s / n; /* a device chooses with its tokens */
    note.tokenize_rate = s->tokenize_s > 0 ? (double)s->profile->prompt * n / s->tokenize_s : 0;
    s->sample = note;
    *turn = (struct tg_turn){.seconds = (double)(ended - note.begun) * 1e-9 / n,
                             .begun = note.begun,
                             .clock_hz = clock_hz};
    return true;
}

static void model_note(void *opaque, size_t turn, const struct tg_turn *taken)
{
    struct state *s = opaque;
    (void)taken;
    if (own_sum(s) != s->sums[s->last])
        is_odd(s, "a timed call gave other logits than the checked one");
    s->sample.turn = turn;
    tg_model_notes_take(&s->notes, &s->sample);
}

/*
 * What the timed calls gave is what the check's gave; that a kernel has not begun to err between
 * them is seen by the products of one block, once more.
 */
static void model_recheck(void *opaque, struct tg_measurement *m)
{
    struct state *s = opaque;
    struct tg_error err;
    s->setup.is_complete = false;
    if (check_products(s, m, &err) < 0) is_wrong(m, err.text);
    if (*s->odd) is_wrong(m, s->odd);
    tg_executed_look(s->library, s->session.pool, m);
    tg_model_device_look(&s->beside, &m->facts);
    if (m->outcome == TG_MEASURED) tg_model_notes_add(&s->notes, m);
}

const struct tg_probe tg_probe_model = {
    .name = "model",
    .meaning = "a whole model: what its profile times of it",
    .has_model = true,
    .metric = model_metric,
    .bytes = model_bytes,
    .prepare = model_prepare,
    .check = model_check,
    .roof = model_roof,
    .sample = model_sample,
    .note = model_note,
    .recheck = model_recheck,
    .close = model_close,
};
