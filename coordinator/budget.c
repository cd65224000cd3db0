/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/budget.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/report.h"
#include "worker/model/model.h"
#include "worker/model/profile.h"

/*
 * About what a thread does with a whole model, of which it is worth knowing beforehand whether it
 * takes minutes or hours. The check of every matrix in a first round comes on top.
 */
#define WEIGHTS_PER_S 1e11 /* multiplied, each for a token, if several are computed together */
#define BYTES_PER_S   1e10 /* read, for one token */
#define READY_PER_S   1e9  /* weights loaded, packed and checked in a round, by all threads */
#define FIXED_ROUNDS  2    /* of what is not timed */

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

/*
 * What a cell of a whole model takes besides a round's sampling, and what each of its calls takes.
 * On a device only the first is known, and of a file nothing.
 */
static void expect_model(const struct tg_cell *cell, bool on_device, double *ready_s,
                         double *call_s)
{
    const struct tg_profile *profile = tg_profile_find(cell->profile);
    const double threads = cell->threads > 0 ? (double)cell->threads : 1;
    int64_t weights;
    *ready_s = *call_s = 0;
    if (strcmp(cell->probe, "model") != 0 || !profile ||
        tg_model_weights(cell->model, "", &weights, NULL) < 0)
        return;
    *ready_s = (double)weights / READY_PER_S;
    if (on_device) return;
    double token_s = (double)weights / 4 / (BYTES_PER_S * threads);
    double prompt_s = (double)profile->prompt * (double)weights / (WEIGHTS_PER_S * threads);
    if (profile->call == TG_CALL_TOKEN || profile->call == TG_CALL_NONE) *ready_s += prompt_s;
    switch (profile->call) {
    case TG_CALL_TEXT:
    case TG_CALL_PREFILL: *call_s = prompt_s; break;
    case TG_CALL_WHOLE: *call_s = prompt_s + (double)profile->tokens * token_s; break;
    case TG_CALL_TOKEN: *call_s = token_s; break;
    case TG_CALL_NONE: break;
    }
}

/* Seconds of one round of a block. */
static double round_s(const struct tg_plan *plan, const struct tg_block *block)
{
    const struct tg_limits *limits = &plan->policy.limits;
    const bool on_device = tg_plan_needs_device(plan, block);
    double seconds = 0, quad_s = 0;
    for (size_t i = 0; i < block->cell_count; i++) {
        double ready_s, call_s;
        expect_model(&block->cells[i], on_device, &ready_s, &call_s);
        seconds += ready_s;
        if (block->is_timed) seconds += fmax(limits->warmup_min_s, call_s);
        quad_s += 4 * call_s / (double)block->cell_count;
    }
    if (!block->is_timed) return seconds;
    return seconds + fmax(limits->round_s, (double)limits->quads_min * quad_s);
}

double tg_budget_block_s(const struct tg_plan *plan, const struct tg_block *block)
{
    double rounds = !block->is_timed ? FIXED_ROUNDS : (double)plan->policy.limits.rounds_min;
    return (is_counted(plan, block) ? rounds : 1) * round_s(plan, block);
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
                        "the budget of %.3g s cannot cover the least number of rounds, which takes "
                        "%.0f s: give `run` --budget %.0f or more",
                        budget_s, ceil(needed_s), ceil(tg_report_round(2 * needed_s, true)));
    if (load.longest_s > budget_s || split > (double)load.blocks)
        snprintf(out + used, size - (size_t)used, ", or fewer cells (--filter)");
    else
        snprintf(out + used, size - (size_t)used,
                 ", fewer cells (--filter), or %.0f parts (--shard 1/%.0f to %.0f/%.0f)",
                 had * split, had * split, had * split, had * split);
    return out;
}
