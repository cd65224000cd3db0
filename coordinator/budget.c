/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/budget.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/report.h"

/* What the blocks that can be run here come to. */
struct load {
    double sum_s, longest_s;
    double apart_s; /* of the sum, what may leave its part of the node to others */
    size_t blocks;
};

double tg_budget_block_s(const struct tg_plan *plan, const struct tg_block *block)
{
    const struct tg_limits *limits = &plan->policy.limits;
    return block->is_timed
               ? (double)limits->rounds_min *
                     (limits->round_s + (double)block->cell_count * limits->warmup_min_s)
               : 0;
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
