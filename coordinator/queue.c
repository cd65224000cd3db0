/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/queue.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/heap.h"
#include "coordinator/numbering.h"
#include "kernels/fill.h"

/*
 * Blocks that the same workers can run and GPUs could, and that are alike apart, are a pool. What
 * waits in a pool lies in two heaps: by the worker that had it last, since that one gets it after
 * the others; and, what is kept for another node, by the node that had it so far. So the next block
 * of a worker is the best of a few: all else is behind these in any case.
 */

struct entry {
    int64_t rounds; /* given out so far, in all attempts */
    uint64_t draw;  /* its place among blocks that are otherwise equal */
    double urgency;
    double cost_s; /* of its last round, 0 before it */
    double wanted; /* rounds that it may still want, beyond its least ones */
    size_t worker; /* that has it, while it is out; then that had it last */
    uint32_t pool;
    uint32_t node; /* that had all its rounds so far, if not is_shared */
    bool is_shared;
    bool closed, out;
    bool apart; /* leaves the domain of its worker to others */
};

struct pool {
    struct tg_heap *open, *kept;
    size_t member;        /* any block of it */
    uint32_t node;        /* of a worker that can run it */
    bool is_of_one_node;  /* and of all of them */
    bool is_fit_for_some; /* some worker can run it whose GPU is not unfit for it: others do not */
};

struct tg_queue {
    struct entry *entries;
    struct tg_heap_place *waiting; /* of entries, in the heaps of the pools */
    uint64_t **allowed;            /* [kind]: a bit for each block; NULL for none */
    uint64_t **unfit;              /* [worker]: likewise; its GPU could not measure the block */
    uint32_t *kinds;               /* of workers: the first one that can run the same */
    bool *lost;
    struct tg_numbering domains, gpus, nodes; /* of those, the counts are of blocks that are out */
    struct pool *pools;
    size_t block_count, worker_count, pool_count, part_count, out_count;
    int64_t rounds_min;
    uint64_t draws;
    double long_left_s; /* with so much time left blocks were too long, and were taken out */
    bool is_arranged, has_failed;
};

struct tg_queue *tg_queue_create(size_t block_count, size_t worker_count, int64_t rounds_min,
                                 uint64_t seed)
{
    struct tg_queue *q = calloc(1, sizeof *q);
    if (!q) return NULL;
    q->block_count = block_count;
    q->worker_count = worker_count;
    q->rounds_min = rounds_min;
    q->draws = seed;
    q->entries = calloc(block_count + 1, sizeof *q->entries);
    q->waiting = calloc(block_count + 1, sizeof *q->waiting);
    q->allowed = calloc(worker_count + 1, sizeof *q->allowed);
    q->unfit = calloc(worker_count + 1, sizeof *q->unfit);
    q->kinds = calloc(worker_count + 1, sizeof *q->kinds);
    q->lost = calloc(worker_count + 1, sizeof *q->lost);
    bool good = tg_numbering_open(&q->domains, worker_count);
    good = tg_numbering_open(&q->gpus, worker_count) && good;
    good = tg_numbering_open(&q->nodes, worker_count) && good;
    if (!good || !q->entries || !q->waiting || !q->allowed || !q->unfit || !q->kinds || !q->lost ||
        block_count >= UINT32_MAX) {
        tg_queue_destroy(q);
        return NULL;
    }
    for (size_t w = 0; w < worker_count; w++) {
        q->kinds[w] = (uint32_t)w;
        q->gpus.numbers[w] = q->nodes.numbers[w] = -1 - (int)w;
    }
    for (struct entry *e = q->entries; e < q->entries + block_count; e++)
        *e = (struct entry){.draw = tg_fill_next(&q->draws), .urgency = 1};
    return q;
}

static void free_pools(struct tg_queue *q)
{
    for (size_t p = 0; q->pools && p < q->pool_count; p++) {
        tg_heap_destroy(q->pools[p].open);
        tg_heap_destroy(q->pools[p].kept);
    }
    free(q->pools);
    q->pools = NULL;
    q->pool_count = 0;
}

void tg_queue_destroy(struct tg_queue *queue)
{
    if (!queue) return;
    free_pools(queue);
    for (size_t w = 0; queue->allowed && queue->unfit && w < queue->worker_count; w++)
        free(queue->allowed[w]), free(queue->unfit[w]);
    free(queue->allowed);
    free(queue->unfit);
    free(queue->entries);
    free(queue->waiting);
    free(queue->kinds);
    free(queue->lost);
    tg_numbering_close(&queue->domains);
    tg_numbering_close(&queue->gpus);
    tg_numbering_close(&queue->nodes);
    free(queue);
}

void tg_queue_place(struct tg_queue *queue, size_t worker, int domain)
{
    queue->domains.numbers[worker] = domain;
    queue->is_arranged = false;
}

void tg_queue_place_node(struct tg_queue *queue, size_t worker, int node)
{
    queue->nodes.numbers[worker] = node;
    queue->is_arranged = false;
}

void tg_queue_place_gpu(struct tg_queue *queue, size_t worker, int gpu)
{
    queue->gpus.numbers[worker] = gpu;
    queue->is_arranged = false;
}

void tg_queue_set_apart(struct tg_queue *queue, size_t block)
{
    queue->entries[block].apart = true;
    queue->is_arranged = false;
}

void tg_queue_liken(struct tg_queue *queue, size_t worker, size_t earlier)
{
    queue->kinds[worker] = queue->kinds[earlier];
}

static void set_bit(struct tg_queue *q, uint64_t **bits, size_t block)
{
    if (!*bits) *bits = calloc(q->block_count / 64 + 1, sizeof **bits);
    if (*bits)
        (*bits)[block / 64] |= UINT64_C(1) << block % 64;
    else
        q->has_failed = true;
    q->is_arranged = false;
}

static bool has_bit(const uint64_t *bits, size_t block)
{
    return bits && (bits[block / 64] >> block % 64 & 1);
}

void tg_queue_allow(struct tg_queue *queue, size_t block, size_t worker)
{
    set_bit(queue, &queue->allowed[queue->kinds[worker]], block);
}

void tg_queue_avoid(struct tg_queue *queue, size_t block, size_t worker)
{
    for (size_t w = 0; w < queue->worker_count; w++)
        if (queue->gpus.numbers[w] == queue->gpus.numbers[worker])
            set_bit(queue, &queue->unfit[w], block);
}

static bool can_run(const struct tg_queue *q, size_t worker, size_t block)
{
    return has_bit(q->allowed[q->kinds[worker]], block);
}

static bool may_run(const struct tg_queue *q, size_t worker, const struct pool *pool)
{
    return can_run(q, worker, pool->member) &&
           !(pool->is_fit_for_some && has_bit(q->unfit[worker], pool->member));
}

/* The least rounds of a block: of what decides nothing one. */
static int64_t least(const struct tg_queue *q, const struct entry *e)
{
    return e->urgency > 0 ? q->rounds_min : 1;
}

/* What is left of a block's least rounds, its cost as a power of two; more than any if unknown. */
static double length_left(const struct tg_queue *q, const struct entry *e)
{
    int exponent;
    if (e->cost_s <= 0) return INFINITY;
    frexp(e->cost_s, &exponent);
    return ldexp((double)(least(q, e) - e->rounds), exponent);
}

/* A number as bits that are in the same order. */
static uint64_t ordered(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

/* By what a block is served, whoever asks: first what is in its least rounds, the longest of it. */
static struct tg_heap_key key_of(const struct tg_queue *q, const struct entry *e)
{
    struct tg_heap_key key = {.draw = e->draw};
    if (e->rounds < least(q, e) && e->urgency >= 0) {
        key.major = q->part_count > 1 ? ~ordered(length_left(q, e)) >> 1 : 0;
        key.minor = (uint32_t)e->rounds;
    } else {
        key.major = ~ordered(e->urgency) >> 1 | UINT64_C(1) << 63;
    }
    return key;
}

/*
 * Whether the next round of a block is another node's: it is the last of its least ones, all before
 * came from one node, and another can run it.
 */
static bool is_kept(const struct tg_queue *q, const struct entry *e)
{
    const struct pool *pool = &q->pools[e->pool];
    return !e->is_shared && e->rounds > 0 && e->rounds >= q->rounds_min - 1 &&
           !(pool->is_of_one_node && pool->node == e->node);
}

/* Takes a block out of its heap, so that what its place depends on may be changed; then back. */
static void take(struct tg_queue *q, size_t block)
{
    if (!q->is_arranged) return;
    const struct pool *pool = &q->pools[q->entries[block].pool];
    tg_heap_remove(is_kept(q, &q->entries[block]) ? pool->kept : pool->open, block);
}

static void put(struct tg_queue *q, size_t block)
{
    const struct entry *e = &q->entries[block];
    if (!q->is_arranged || e->closed || e->out) return;
    const struct pool *pool = &q->pools[e->pool];
    bool kept = is_kept(q, e);
    size_t last = e->rounds ? e->worker : q->worker_count; /* nobody's, before its first round */
    if (!tg_heap_add(kept ? pool->kept : pool->open, block, kept ? e->node : last, key_of(q, e)))
        q->has_failed = true;
}

/* Counts a block that goes out, or comes back. */
static void count_out(struct tg_queue *q, const struct entry *e, bool goes)
{
    size_t change = goes ? 1 : (size_t)-1;
    q->gpus.counts[q->gpus.at[e->worker]] += change;
    if (!e->apart) q->domains.counts[q->domains.at[e->worker]] += change;
}

/* Parts the pools of blocks: in each those with the bit, or that are apart, become another. */
static bool part(struct tg_queue *q, const uint64_t *bits)
{
    uint32_t *parted = malloc((2 * q->pool_count + 1) * sizeof *parted);
    if (!parted) return false;
    for (size_t i = 0; i < 2 * q->pool_count; i++) parted[i] = UINT32_MAX;
    q->pool_count = 0;
    for (size_t b = 0; b < q->block_count; b++) {
        struct entry *e = &q->entries[b];
        uint32_t *to = &parted[2 * e->pool + (bits ? bits[b / 64] >> b % 64 & 1 : e->apart)];
        if (*to == UINT32_MAX) *to = (uint32_t)q->pool_count++;
        e->pool = *to;
    }
    free(parted);
    return true;
}

static bool make_pools(struct tg_queue *q)
{
    for (size_t b = 0; b < q->block_count; b++) q->entries[b].pool = 0;
    q->pool_count = 1;
    bool good = part(q, NULL);
    for (size_t w = 0; w < q->worker_count && good; w++)
        good = (!q->allowed[w] || part(q, q->allowed[w])) && (!q->unfit[w] || part(q, q->unfit[w]));
    q->pools = good ? calloc(q->pool_count + 1, sizeof *q->pools) : NULL;
    if (!q->pools) return false;
    for (size_t b = 0; b < q->block_count; b++) q->pools[q->entries[b].pool].member = b;
    for (size_t p = 0; p < q->pool_count; p++) {
        struct pool *pool = &q->pools[p];
        size_t workers = 0;
        pool->is_of_one_node = true;
        for (size_t w = 0; w < q->worker_count && !pool->is_fit_for_some; w++)
            pool->is_fit_for_some = !q->lost[w] && can_run(q, w, pool->member) &&
                                    !has_bit(q->unfit[w], pool->member);
        for (size_t w = 0; w < q->worker_count; w++) {
            if (q->lost[w] || !may_run(q, w, pool)) continue;
            if (workers++ == 0) pool->node = q->nodes.at[w];
            if (q->nodes.at[w] != pool->node) pool->is_of_one_node = false;
        }
        if (workers == 0) pool->is_of_one_node = false;
        pool->open = tg_heap_create(q->waiting, q->worker_count + 1);
        pool->kept = tg_heap_create(q->waiting, q->nodes.count);
        if (!pool->open || !pool->kept) return false;
    }
    return true;
}

/* Puts every block where it waits. All that was placed, allowed or lost since then counts. */
static void arrange(struct tg_queue *q)
{
    free_pools(q);
    for (size_t b = 0; b < q->block_count; b++) q->waiting[b] = (struct tg_heap_place){0};
    if (!tg_numbering_count(&q->domains, q->worker_count) ||
        !tg_numbering_count(&q->gpus, q->worker_count) ||
        !tg_numbering_count(&q->nodes, q->worker_count) || !make_pools(q)) {
        q->has_failed = true;
        return;
    }
    bool *seen = calloc(q->domains.count + 1, sizeof *seen);
    if (!seen) q->has_failed = true;
    q->part_count = 0;
    for (size_t w = 0; seen && w < q->worker_count; w++) {
        bool *here = &seen[q->domains.at[w]];
        q->part_count += !q->lost[w] && !*here;
        *here = *here || !q->lost[w];
    }
    free(seen);
    q->is_arranged = true;
    q->long_left_s = INFINITY;
    for (size_t b = 0; b < q->block_count; b++) {
        if (q->entries[b].out) count_out(q, &q->entries[b], true);
        put(q, b);
    }
}

/* A block that a worker could get. */
struct choice {
    size_t block;
    struct tg_heap_key key;
    bool own; /* it had it last: among equals the others come first */
};

static void consider(struct choice *best, size_t block, struct tg_heap_key key, bool own)
{
    if (block == TG_HEAP_NONE) return;
    bool is_better = best->block == TG_HEAP_NONE || tg_heap_is_before(&key, &best->key);
    if (best->block != TG_HEAP_NONE && own != best->own && key.major == best->key.major &&
        key.minor == best->key.minor)
        is_better = best->own;
    if (is_better) *best = (struct choice){block, key, own};
}

static size_t find(const struct tg_queue *q, size_t worker, bool only_apart)
{
    struct choice best = {.block = TG_HEAP_NONE};
    for (size_t p = 0; p < q->pool_count; p++) {
        const struct pool *pool = &q->pools[p];
        struct tg_heap_key key = {0};
        if (!may_run(q, worker, pool)) continue;
        if (only_apart && !q->entries[pool->member].apart) continue;
        size_t block = tg_heap_first(pool->open, worker, &key);
        consider(&best, block, key, true);
        block = tg_heap_first_but(pool->open, worker, &key);
        consider(&best, block, key, false);
        block = tg_heap_first_but(pool->kept, q->nodes.at[worker], &key);
        consider(&best, block, key, false);
    }
    return best.block;
}

bool tg_queue_next(struct tg_queue *queue, size_t worker, double time_left_s, size_t *block,
                   int64_t *round)
{
    size_t best;
    if (!queue->is_arranged || time_left_s > queue->long_left_s) arrange(queue);
    if (queue->has_failed || queue->lost[worker] || time_left_s <= 0) return false;
    if (queue->gpus.counts[queue->gpus.at[worker]] > 0) return false;
    for (;;) {
        best = find(queue, worker, queue->domains.counts[queue->domains.at[worker]] > 0);
        if (best == TG_HEAP_NONE) return false;
        take(queue, best);
        if (queue->entries[best].cost_s <= time_left_s) break;
        queue->long_left_s = time_left_s; /* it does not grow: this is not looked at again */
    }
    struct entry *e = &queue->entries[best];
    uint32_t node = queue->nodes.at[worker];
    if (e->rounds > 0 && e->node != node) e->is_shared = true;
    e->node = node;
    e->out = true;
    e->worker = worker;
    e->draw = tg_fill_next(&queue->draws);
    *block = best;
    *round = e->rounds++;
    queue->out_count++;
    count_out(queue, e, true);
    return true;
}

int64_t tg_queue_take_number(struct tg_queue *queue, size_t block)
{
    return queue->entries[block].rounds++;
}

void tg_queue_done(struct tg_queue *queue, size_t block, size_t worker, double took_s)
{
    struct entry *e = &queue->entries[block];
    take(queue, block);
    if (e->out && e->worker == worker) {
        e->out = false;
        queue->out_count--;
        if (isnan(took_s)) e->rounds--;
        if (queue->is_arranged) count_out(queue, e, false);
    }
    if (!isnan(took_s)) e->cost_s = took_s;
    put(queue, block);
}

double tg_queue_cost_s(const struct tg_queue *queue, size_t block)
{
    return queue->entries[block].cost_s;
}

void tg_queue_resume(struct tg_queue *queue, size_t block, int64_t rounds)
{
    struct entry *e = &queue->entries[block];
    take(queue, block);
    e->rounds = rounds;
    e->is_shared = rounds > 0; /* by whom is not known */
    put(queue, block);
}

void tg_queue_expect(struct tg_queue *queue, size_t block, double rounds)
{
    queue->entries[block].wanted = rounds;
}

void tg_queue_close(struct tg_queue *queue, size_t block)
{
    take(queue, block);
    queue->entries[block].closed = true;
}

void tg_queue_urge(struct tg_queue *queue, size_t block, double urgency)
{
    take(queue, block);
    queue->entries[block].closed = false;
    queue->entries[block].urgency = urgency;
    put(queue, block);
}

void tg_queue_lost(struct tg_queue *queue, size_t worker, bool is_dead)
{
    bool had_one = false;
    queue->is_arranged = false;
    for (size_t b = 0; b < queue->block_count; b++) {
        if (!queue->entries[b].out || queue->entries[b].worker != worker) continue;
        queue->entries[b].out = false;
        queue->out_count--;
        had_one = true;
    }
    for (size_t w = 0; w < queue->worker_count; w++)
        if (w == worker || (had_one && !is_dead &&
                            (queue->domains.numbers[w] == queue->domains.numbers[worker] ||
                             queue->gpus.numbers[w] == queue->gpus.numbers[worker])))
            queue->lost[w] = true;
}

bool tg_queue_has_failed(const struct tg_queue *queue)
{
    return queue->has_failed;
}

bool tg_queue_is_out(const struct tg_queue *queue)
{
    return queue->out_count > 0;
}

/* Rounds that a block is expected to get still, at least one while it is open. */
static double rounds_left(const struct tg_queue *q, const struct entry *e)
{
    return fmax(fmax((double)(least(q, e) - e->rounds), e->wanted), 1);
}

double tg_queue_expected_s(struct tg_queue *queue)
{
    double known = 0, known_count = 0, all = 0, longest = 0;
    if (!queue->is_arranged) arrange(queue);
    for (size_t b = 0; b < queue->block_count; b++) {
        known += queue->entries[b].cost_s;
        known_count += queue->entries[b].cost_s > 0;
    }
    double usual = known_count > 0 ? known / known_count : 0;
    for (size_t b = 0; b < queue->block_count; b++) {
        const struct entry *e = &queue->entries[b];
        if (e->closed) continue;
        double own = rounds_left(queue, e) * (e->cost_s > 0 ? e->cost_s : usual);
        all += own;
        longest = fmax(longest, own);
    }
    return queue->part_count ? fmax(all / (double)queue->part_count, longest) : all;
}
