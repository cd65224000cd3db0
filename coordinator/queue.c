/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/queue.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/fill.h"

struct entry {
    int64_t rounds; /* given out so far, in all attempts */
    uint64_t draw;  /* its place among blocks that are otherwise equal */
    double urgency;
    double cost_s; /* of its last round, 0 before it */
    double wanted; /* rounds that it may still want, beyond its least ones */
    int node;      /* that had all its rounds so far, if not is_shared */
    bool is_shared;
    bool closed, out;
    bool apart;    /* leaves the domain of its worker to others */
    size_t worker; /* that has it, while it is out; then that had it last */
};

struct tg_queue {
    struct entry *entries;
    bool *allowed; /* [block * worker_count + worker] */
    int *domains, *gpus, *nodes;
    size_t part_count; /* domains of workers that are not lost; 0 if it is to be counted anew */
    bool *lost;
    size_t block_count, worker_count;
    int64_t rounds_min;
    uint64_t draws;
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
    q->allowed = calloc(block_count * worker_count + 1, sizeof *q->allowed);
    q->domains = calloc(worker_count + 1, sizeof *q->domains);
    q->gpus = calloc(worker_count + 1, sizeof *q->gpus);
    q->nodes = calloc(worker_count + 1, sizeof *q->nodes);
    q->lost = calloc(worker_count + 1, sizeof *q->lost);
    if (!q->entries || !q->allowed || !q->domains || !q->gpus || !q->nodes || !q->lost) {
        tg_queue_destroy(q);
        return NULL;
    }
    for (size_t w = 0; w < worker_count; w++) q->gpus[w] = q->nodes[w] = -1 - (int)w;
    for (size_t b = 0; b < block_count; b++) q->entries[b].draw = tg_fill_next(&q->draws);
    return q;
}

void tg_queue_destroy(struct tg_queue *queue)
{
    if (!queue) return;
    free(queue->entries);
    free(queue->allowed);
    free(queue->domains);
    free(queue->gpus);
    free(queue->nodes);
    free(queue->lost);
    free(queue);
}

void tg_queue_place(struct tg_queue *queue, size_t worker, int domain)
{
    queue->domains[worker] = domain;
    queue->part_count = 0;
}

void tg_queue_place_node(struct tg_queue *queue, size_t worker, int node)
{
    queue->nodes[worker] = node;
}

void tg_queue_place_gpu(struct tg_queue *queue, size_t worker, int gpu)
{
    queue->gpus[worker] = gpu;
}

void tg_queue_set_apart(struct tg_queue *queue, size_t block)
{
    queue->entries[block].apart = true;
}

void tg_queue_allow(struct tg_queue *queue, size_t block, size_t worker)
{
    queue->allowed[block * queue->worker_count + worker] = true;
}

void tg_queue_resume(struct tg_queue *queue, size_t block, int64_t rounds)
{
    queue->entries[block].rounds = rounds;
    queue->entries[block].is_shared = rounds > 0; /* by whom is not known */
}

void tg_queue_expect(struct tg_queue *queue, size_t block, double rounds)
{
    queue->entries[block].wanted = rounds;
}

static int by_number(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

/* How many domains measure at the same time. */
static size_t parts(struct tg_queue *q)
{
    size_t count = 0;
    if (q->part_count > 0) return q->part_count;
    int *sorted = malloc((q->worker_count + 1) * sizeof *sorted);
    for (size_t w = 0; sorted && w < q->worker_count; w++)
        if (!q->lost[w]) sorted[count++] = q->domains[w];
    if (sorted) qsort(sorted, count, sizeof *sorted, by_number);
    for (size_t i = 0; sorted && i < count; i++)
        q->part_count += i == 0 || sorted[i] != sorted[i - 1];
    free(sorted);
    return q->part_count > 0 ? q->part_count : 1;
}

/* What a worker must wait for: anything, with its GPU out; with its domain out all but `apart`. */
static void look_around(const struct tg_queue *q, size_t worker, bool *gpu_out, bool *domain_out)
{
    *gpu_out = *domain_out = false;
    for (size_t b = 0; b < q->block_count; b++) {
        const struct entry *e = &q->entries[b];
        if (!e->out) continue;
        if (q->gpus[e->worker] == q->gpus[worker]) *gpu_out = true;
        if (!e->apart && q->domains[e->worker] == q->domains[worker]) *domain_out = true;
    }
}

/* Rounds that a block is expected to get still, at least one while it is open. */
static double rounds_left(const struct tg_queue *q, const struct entry *e)
{
    return fmax(fmax((double)(q->rounds_min - e->rounds), e->wanted), 1);
}

/* What is left of a block's least rounds, its cost as a power of two; more than any if unknown. */
static double length_left(const struct tg_queue *q, const struct entry *e)
{
    int exponent;
    if (e->cost_s <= 0) return INFINITY;
    frexp(e->cost_s, &exponent);
    return ldexp((double)(q->rounds_min - e->rounds), exponent);
}

/*
 * Whether the next round of a block is another node's: it is the last of its least ones, all before
 * came from this worker's node, and another can run it.
 */
static bool is_kept(const struct tg_queue *q, const struct entry *e, size_t worker)
{
    size_t b = (size_t)(e - q->entries);
    if (e->is_shared || e->rounds == 0 || e->rounds < q->rounds_min - 1) return false;
    if (e->node != q->nodes[worker]) return false;
    for (size_t w = 0; w < q->worker_count; w++)
        if (q->nodes[w] != e->node && !q->lost[w] && q->allowed[b * q->worker_count + w])
            return true;
    return false;
}

/* Whether a is to be served before b, to that worker. */
static bool is_before(const struct tg_queue *q, size_t worker, const struct entry *a,
                      const struct entry *b)
{
    /* What it had last is for others: the rounds of a block are to come from all of them. */
    bool a_other = a->rounds == 0 || a->worker != worker;
    bool b_other = b->rounds == 0 || b->worker != worker;
    bool a_first = a->rounds < q->rounds_min && a->urgency >= 0;
    bool b_first = b->rounds < q->rounds_min && b->urgency >= 0;
    if (a_first != b_first) return a_first;
    if (a_first && q->part_count > 1) {
        double a_length = length_left(q, a), b_length = length_left(q, b);
        if (a_length != b_length) return a_length > b_length;
    }
    if (a_first && a->rounds != b->rounds) return a->rounds < b->rounds;
    if (!a_first && a->urgency != b->urgency) return a->urgency > b->urgency;
    if (a_other != b_other) return a_other;
    return a->draw < b->draw;
}

bool tg_queue_next(struct tg_queue *queue, size_t worker, double time_left_s, size_t *block,
                   int64_t *round)
{
    struct entry *best = NULL;
    bool gpu_out, domain_out;
    look_around(queue, worker, &gpu_out, &domain_out);
    if (queue->lost[worker] || gpu_out) return false;
    queue->part_count = parts(queue);
    for (size_t b = 0; b < queue->block_count; b++) {
        struct entry *e = &queue->entries[b];
        if (e->closed || e->out || !queue->allowed[b * queue->worker_count + worker]) continue;
        if (e->cost_s > time_left_s || time_left_s <= 0 || (domain_out && !e->apart)) continue;
        if (is_kept(queue, e, worker)) continue;
        if (!best || is_before(queue, worker, e, best)) best = e;
    }
    if (!best) return false;
    best->out = true;
    best->worker = worker;
    best->draw = tg_fill_next(&queue->draws);
    *block = (size_t)(best - queue->entries);
    if (best->rounds > 0 && best->node != queue->nodes[worker]) best->is_shared = true;
    best->node = queue->nodes[worker];
    *round = best->rounds++;
    return true;
}

int64_t tg_queue_take_number(struct tg_queue *queue, size_t block)
{
    return queue->entries[block].rounds++;
}

void tg_queue_done(struct tg_queue *queue, size_t block, size_t worker, double took_s)
{
    struct entry *e = &queue->entries[block];
    if (e->worker == worker) e->out = false;
    e->cost_s = took_s;
}

void tg_queue_close(struct tg_queue *queue, size_t block)
{
    queue->entries[block].closed = true;
}

void tg_queue_urge(struct tg_queue *queue, size_t block, double urgency)
{
    queue->entries[block].closed = false;
    queue->entries[block].urgency = urgency;
}

void tg_queue_lost(struct tg_queue *queue, size_t worker)
{
    queue->lost[worker] = true;
    queue->part_count = 0;
    for (size_t b = 0; b < queue->block_count; b++)
        if (queue->entries[b].out && queue->entries[b].worker == worker)
            queue->entries[b].out = false;
}

bool tg_queue_is_out(const struct tg_queue *queue)
{
    for (size_t b = 0; b < queue->block_count; b++)
        if (queue->entries[b].out) return true;
    return false;
}

size_t tg_queue_open_count(const struct tg_queue *queue)
{
    size_t open = 0;
    for (size_t b = 0; b < queue->block_count; b++) open += !queue->entries[b].closed;
    return open;
}

double tg_queue_expected_s(struct tg_queue *queue)
{
    double known = 0, all = 0, longest = 0;
    size_t known_count = 0, open = 0;
    for (size_t b = 0; b < queue->block_count; b++) {
        known += queue->entries[b].cost_s;
        known_count += queue->entries[b].cost_s > 0;
    }
    double usual = known_count ? known / (double)known_count : 0;
    for (size_t b = 0; b < queue->block_count; b++) {
        const struct entry *e = &queue->entries[b];
        if (e->closed) continue;
        double own = rounds_left(queue, e) * (e->cost_s > 0 ? e->cost_s : usual);
        all += own;
        longest = fmax(longest, own);
        open++;
    }
    return open ? fmax(all / (double)parts(queue), longest) : 0;
}
