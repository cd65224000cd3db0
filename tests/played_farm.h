/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_PLAYED_FARM_H
#define TG_TESTS_PLAYED_FARM_H

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "coordinator/heap.h"
#include "coordinator/queue.h"
#include "kernels/fill.h"

/*
 * A farm of any size, played with plain data: the queue is the real one, time is counted. Workers
 * of four kinds, each on a node of its own, measure blocks that some of the kinds can run and that
 * take half to twice as long as a round should; one block in four wants three more rounds than the
 * least. The coordinator takes one answer at a time: it is busy with each for a while, and a
 * message is under way for a while.
 */

enum { FARM_KINDS = 4, FARM_MORE = 3 };

struct farm_asked {
    size_t workers, blocks;
    int64_t rounds_min;
    double round_s, answer_s, latency_s;
    uint64_t seed;
};

struct farm_seen {
    size_t rounds;
    double begin_s;  /* of this machine's core, before the first round was given out */
    double cpu_s;    /* and from there on, for the queue and for playing */
    double played_s; /* from the first order to the last answer */
    double busy;     /* share of the workers' time that was inside rounds */
    double bytes;    /* that the queue takes */
};

struct farm {
    const struct farm_asked *asked;
    struct tg_queue *queue;
    struct tg_heap *due; /* workers that are in a round, by when it ends */
    struct tg_heap_place *places;
    double *ends_s;
    size_t *blocks; /* that each has */
    int64_t *rounds;
    double now_s, free_s, busy_s; /* free: when the coordinator is */
    struct farm_seen *seen;
};

/* A number from 0 to 1 that is always the same for this block. */
static inline double farm_draw(const struct farm *f, size_t block)
{
    uint64_t state = f->asked->seed + 977 * block;
    return (double)(tg_fill_next(&state) >> 11) * 0x1p-53;
}

static inline bool farm_can(const struct farm *f, size_t kind, size_t block)
{
    double draw = farm_draw(f, block);
    if (draw < 0.6) return true;
    return draw < 0.8 ? kind < 2 : draw < 0.95 ? kind == 1 || kind == 2 : kind == 3;
}

static inline double farm_length_s(const struct farm *f, size_t block)
{
    return f->asked->round_s * exp2(2 * farm_draw(f, block + 7) - 1);
}

static inline int64_t farm_wants(const struct farm *f, size_t block)
{
    return f->asked->rounds_min + (farm_draw(f, block + 13) < 0.25 ? FARM_MORE : 0);
}

/* Offers a worker a round; false if there is none for it now. */
static inline bool farm_offer(struct farm *f, size_t worker)
{
    int64_t round;
    if (!tg_queue_next(f->queue, worker, 1e12, &f->blocks[worker], &round)) return false;
    double length_s = farm_length_s(f, f->blocks[worker]);
    f->free_s = fmax(f->free_s, f->now_s) + f->asked->answer_s;
    f->ends_s[worker] = f->free_s + f->asked->latency_s + length_s;
    f->busy_s += length_s;
    struct tg_heap_key key = {.draw = worker};
    memcpy(&key.major, &f->ends_s[worker], sizeof key.major); /* not below 0: in order as bits */
    tg_heap_add(f->due, worker, 0, key);
    return true;
}

/* Takes the answer that comes next; returns who gave it, or TG_HEAP_NONE. */
static inline size_t farm_hear(struct farm *f)
{
    struct tg_heap_key key;
    size_t worker = tg_heap_first(f->due, 0, &key);
    if (worker == TG_HEAP_NONE) return worker;
    size_t block = f->blocks[worker];
    f->now_s = f->ends_s[worker] + f->asked->latency_s;
    tg_heap_remove(f->due, worker);
    f->seen->rounds++;
    int64_t rounds = ++f->rounds[block], wants = farm_wants(f, block);
    if (rounds < wants)
        tg_queue_urge(f->queue, block, 1 / (double)(wants - rounds));
    else
        tg_queue_close(f->queue, block);
    tg_queue_done(f->queue, block, worker, farm_length_s(f, block));
    return worker;
}

/* Seconds of a core that this process has used: what runs beside it does not count. */
static inline double farm_used_s(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + 1e-9 * (double)used.tv_nsec;
}

static inline double farm_bytes(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return 1024.0 * (double)usage.ru_maxrss;
}

static inline bool farm_open(struct farm *f)
{
    const struct farm_asked *a = f->asked;
    f->places = calloc(a->workers + 1, sizeof *f->places);
    f->ends_s = calloc(a->workers + 1, sizeof *f->ends_s);
    f->blocks = calloc(a->workers + 1, sizeof *f->blocks);
    f->rounds = calloc(a->blocks + 1, sizeof *f->rounds);
    f->due = tg_heap_create(f->places, 1);
    if (!f->places || !f->ends_s || !f->blocks || !f->rounds || !f->due) return false;
    double before = farm_bytes(), since_s = farm_used_s();
    f->queue = tg_queue_create(a->blocks, a->workers, a->rounds_min, a->seed);
    if (!f->queue) return false;
    for (size_t w = 0; w < a->workers; w++) {
        tg_queue_place(f->queue, w, (int)w);
        if (w >= FARM_KINDS) tg_queue_liken(f->queue, w, w % FARM_KINDS);
    }
    for (size_t b = 0; b < a->blocks; b++)
        for (size_t kind = 0; kind < FARM_KINDS && kind < a->workers; kind++)
            if (farm_can(f, kind, b)) tg_queue_allow(f->queue, b, kind);
    tg_queue_expected_s(f->queue); /* it arranges its blocks when it is asked first */
    f->seen->begin_s = farm_used_s() - since_s;
    f->seen->bytes = farm_bytes() - before;
    return true;
}

/* Plays it to the end. False without memory. */
static inline bool farm_play(const struct farm_asked *asked, struct farm_seen *seen)
{
    struct farm f = {.asked = asked, .seen = seen};
    *seen = (struct farm_seen){0};
    bool good = farm_open(&f);
    double since_s = farm_used_s();
    size_t *idle = calloc(asked->workers + 1, sizeof *idle), idle_count = 0;
    for (size_t w = 0; good && idle && w < asked->workers; w++)
        if (!farm_offer(&f, w)) idle[idle_count++] = w;
    for (size_t who; good && idle && (who = farm_hear(&f)) != TG_HEAP_NONE;) {
        size_t still = 0;
        idle[idle_count++] = who;
        for (size_t i = 0; i < idle_count; i++)
            if (!farm_offer(&f, idle[i])) idle[still++] = idle[i];
        idle_count = still;
    }
    seen->cpu_s = farm_used_s() - since_s;
    seen->played_s = f.now_s;
    seen->busy = f.busy_s / (f.now_s * (double)asked->workers);
    good = good && idle && !tg_queue_has_failed(f.queue);
    free(idle);
    tg_queue_destroy(f.queue);
    tg_heap_destroy(f.due);
    free(f.places);
    free(f.ends_s);
    free(f.blocks);
    free(f.rounds);
    return good;
}

#endif
