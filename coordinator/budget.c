/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/budget.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/report.h"
#include "worker/model/model.h"
#include "worker/model/profile.h"
#include "worker/probe/probe.h"
#include "worker/sampler.h"

/*
 * About what a thread does with a whole model, of which it is worth knowing beforehand whether it
 * takes minutes or hours (docs/MODELS.md has what was measured).
 */
#define WEIGHTS_PER_S 1e11   /* multiplied, each for a token, if several are computed together */
#define PLAIN_PER_S   4e9    /* the same with activations that are not rounded */
#define CHECKED_PER_S 7.5e8  /* unpacked, and their products compared with the reference */
#define BYTES_PER_S   1.2e10 /* read, for one token */
#define READY_PER_S   1e9    /* weights loaded and packed, by all threads */
#define HEAD_BYTES    2      /* a number */
#define FIXED_ROUNDS  2      /* of what is not timed */

/* What the blocks that can be run here come to. */
struct load {
    double sum_s, longest_s;
    double apart_s; /* of the sum, what may leave its part of the node to others */
    size_t blocks;
};

/* Whether any test of a block decides something; others get one round before all that do. */
static bool is_counted(const struct tg_plan *plan, const struct tg_block *block)
{
    const size_t own = (size_t)(block - plan->spec.blocks);
    for (size_t t = 0; t < plan->spec.test_count; t++)
        if (plan->spec.tests[t].block == own && !plan->spec.tests[t].is_shadow) return true;
    return false;
}

/* Seconds of one cell: of each round besides sampling, of its first one besides, of a call. */
struct expected {
    double round_s, first_s, call_s;
};

/* Of a profile whose prompt and tokens take so long. */
static void expect_calls(const struct tg_profile *profile, double prompt_s, double token_s,
                         struct expected *e)
{
    const enum tg_profile_call kind = profile->call;
    const int64_t behind = kind == TG_CALL_TOKEN   ? profile->tokens
                           : kind == TG_CALL_WHOLE ? profile->tokens - 1
                                                   : 0;
    const double walk_s = prompt_s + (double)behind * token_s;
    e->round_s += walk_s; /* what is to be chosen, which is found out before anything is timed */
    if (kind != TG_CALL_NONE) e->call_s = kind == TG_CALL_TOKEN ? token_s : walk_s;
}

/* Tokens of the batches of its prompt that are compared. */
static double batched(const struct tg_profile *profile)
{
    int64_t batches[TG_PROFILE_BATCHES];
    double sum = 0;
    tg_profile_batches(profile, batches);
    for (int i = 0; i < TG_PROFILE_BATCHES; i++) sum += (double)batches[i];
    return sum;
}

/*
 * Of a whole model. Every process loads it, and compares the products of one block before it is
 * timed and after; in the first round those of all before. On a device it is not known what
 * computing takes, and of a file nothing is.
 */
static struct expected expect(const struct tg_cell *cell, bool on_device, bool is_fixed)
{
    const struct tg_profile *profile = tg_profile_find(cell->profile);
    const struct tg_model *model = tg_model_find(cell->model);
    const double threads = cell->threads > 0 ? (double)cell->threads : 1;
    struct expected e = {0};
    int64_t count;
    if (strcmp(cell->probe, "model") != 0 || !profile || !model ||
        tg_model_weights(cell->model, "", &count, NULL) < 0)
        return e;
    const double weights = (double)count, blocks = (double)model->layers;
    const double together_s = on_device ? 0 : batched(profile) / WEIGHTS_PER_S;
    const double block_s = (1 / CHECKED_PER_S + together_s) * weights / blocks / threads;
    e.round_s = weights / READY_PER_S + 2 * block_s;
    e.first_s = (blocks - 1) * block_s;
    if (on_device) return e;
    const double head_bytes = HEAD_BYTES * (double)model->hidden * (double)model->vocabulary;
    const double prompt = (double)profile->prompt * weights / threads;
    expect_calls(profile, prompt / WEIGHTS_PER_S,
                 (weights / 4 + head_bytes) / (BYTES_PER_S * threads), &e);
    if (profile->call == TG_CALL_NONE && is_fixed)
        e.round_s += prompt / WEIGHTS_PER_S + prompt / PLAIN_PER_S;
    return e;
}

/* Until two calls in succession are alike, at best: one is enough of what takes long. */
static double warmup_s(const struct tg_limits *limits, double call_s)
{
    return fmax(limits->warmup_min_s, call_s < limits->warmup_max_s ? 2 * call_s : call_s);
}

/* All samples of a round. */
static double sampling_s(const struct tg_limits *limits, const double call_s[2],
                         const struct tg_block *block)
{
    const double nothing[2] = {0, 0}, cells = (double)block->cell_count;
    const struct tg_probe *probe = tg_probe_find(block->cells[0].probe);
    const int untimed = probe ? probe->untimed : 0;
    const struct tg_sampling plan = tg_sampler_plan(limits, call_s, nothing, false, untimed);
    double quad_s = 0;
    for (size_t i = 0; i < block->cell_count; i++)
        quad_s += 4 / cells * (double)plan.calls[i] * call_s[i];
    return quad_s > 0 ? (double)plan.quads * quad_s : limits->round_s;
}

double tg_budget_block_s(const struct tg_plan *plan, const struct tg_block *block)
{
    const struct tg_limits *limits = &plan->policy.limits;
    const bool on_device = tg_plan_needs_device(plan, block);
    const double least = block->is_timed ? (double)limits->rounds_min : FIXED_ROUNDS;
    double round_s = 0, first_s = 0, calls[2] = {0, 0};
    for (size_t i = 0; i < block->cell_count; i++) {
        const struct expected e = expect(&block->cells[i], on_device, block->is_fixed);
        round_s += e.round_s;
        first_s += e.first_s;
        calls[i] = e.call_s;
        if (block->is_timed) round_s += warmup_s(limits, e.call_s);
    }
    if (block->is_timed) round_s += sampling_s(limits, calls, block);
    return first_s + (is_counted(plan, block) ? least : 1) * round_s;
}

static bool can_run(const struct tg_plan *plan, const struct tg_block *block)
{
    char reason[400];
    for (size_t w = 0; w < plan->worker_count; w++)
        if (tg_plan_can_run(plan, &plan->workers[w], block, reason, sizeof reason)) return true;
    return false;
}

static struct load weigh(const struct tg_plan *plan)
{
    struct load load = {0};
    for (size_t b = 0; b < plan->spec.block_count; b++) {
        const struct tg_block *block = &plan->spec.blocks[b];
        double seconds = tg_budget_block_s(plan, block);
        if (seconds == 0 || !can_run(plan, block)) continue;
        load.blocks++;
        load.sum_s += seconds;
        load.longest_s = fmax(load.longest_s, seconds);
        if (plan->policy.limits.beside_gpu && tg_plan_needs_device(plan, block))
            load.apart_s += seconds;
    }
    return load;
}

/* How many blocks may be measured at once: the parts of nodes, or the GPUs, that workers have. */
static double parts(const struct tg_plan *plan, bool of_gpus)
{
    size_t count = 0;
    for (size_t w = 0; w < plan->worker_count; w++) {
        const struct tg_capability *a = &plan->workers[w];
        bool is_new = !of_gpus || *a->gpu;
        for (size_t i = 0; is_new && i < w; i++) {
            const struct tg_capability *b = &plan->workers[i];
            is_new = strcmp(a->host, b->host) != 0 ||
                     (of_gpus ? strcmp(a->gpu, b->gpu) : strcmp(a->share, b->share)) != 0;
        }
        count += is_new;
    }
    return count ? (double)count : 1;
}

static double least_s(const struct tg_plan *plan, const struct load *load)
{
    double shared_s = (load->sum_s - load->apart_s) / parts(plan, false);
    return fmax(load->longest_s, fmax(shared_s, load->apart_s / parts(plan, true)));
}

double tg_budget_least_s(const struct tg_plan *plan)
{
    const struct load load = weigh(plan);
    return least_s(plan, &load);
}

char *tg_budget_say(const struct tg_plan *plan, char *out, size_t size)
{
    const struct load load = weigh(plan);
    double budget_s = plan->asked.budget_s, needed_s = least_s(plan, &load);
    double had = plan->asked.shard_count ? (double)plan->asked.shard_count : 1;
    double split = ceil(needed_s / budget_s);
    out[0] = 0;
    if (needed_s <= budget_s) return out;
    int used = snprintf(out, size,
                        "the budget of %.15g s cannot cover the least number of rounds, which "
                        "takes %.0f s: give `run` --budget %.0f or more",
                        budget_s, ceil(needed_s), ceil(tg_report_round(2 * needed_s, true)));
    if (used < 0 || (size_t)used >= size) return out;
    if (load.longest_s > budget_s || split > (double)load.blocks)
        snprintf(out + used, size - (size_t)used, ", or fewer cells (--filter)");
    else
        snprintf(out + used, size - (size_t)used,
                 ", fewer cells (--filter), or %.0f parts (--shard 1/%.0f to %.0f/%.0f)",
                 had * split, had * split, had * split, had * split);
    return out;
}
