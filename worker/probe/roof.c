/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/roof.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "kernels/canary.h"
#include "kernels/fill.h"
#include "kernels/peak.h"
#include "results/digest.h"

/* Of the measuring, not of any verdict. */
#define TIMES_LEAST  3      /* repetitions, however long one takes */
#define SHORTEST_S   2e-5   /* of a timed interval: a thousand times what reading the clock costs */
#define ENOUGH_S     5e-4   /* for the repetitions of one figure */
#define CHAIN_STEPS  100000 /* of the canary: 0.1 to 0.2 ms */
#define FEW_BYTES    (1 << 24) /* of a set at a time: about a millisecond */
#define DOT_PASSES   1000
#define POISON       0x5a
#define POISON_WORDS UINT64_C(0x5a5a5a5a5a5a5a5a)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* of Linux since 5.14; glibc has its name since 2.35 */
#endif

/* What is timed: each thread of the pool does its part of a run, `runs` times without waiting. */
struct work {
    void (*run)(struct work *w, int part);
    struct tg_pool *pool; /* NULL: this thread alone */
    int64_t runs;
    const uint8_t *const *walk; /* matrices to read in a run */
    int64_t at_once;            /* how many they are */
    const struct tg_peak *peak;
    const void *from;
    uint8_t *to;
    int64_t bytes;
    uint8_t codes[2][32];
    const int8_t *activations;
    volatile uint64_t found; /* by one thread; no compiler can think it unused */
};

static void repeat(void *opaque, int part)
{
    struct work *w = opaque;
    for (int64_t i = 0; i < w->runs; i++) w->run(w, part);
}

static void run(struct work *w, int64_t runs)
{
    w->runs = runs;
    if (w->pool)
        tg_pool_run(w->pool, repeat, w);
    else
        repeat(w, 0);
}

/* Seconds of one run at its best. */
static double best_of(struct work *w)
{
    double best = INFINITY, passed = 0;
    int64_t runs = 1;
    run(w, 1);
    for (int times = 0; times < TIMES_LEAST || passed < ENOUGH_S;) {
        int64_t begun = tg_now_ns();
        run(w, runs);
        double took = (double)(tg_now_ns() - begun) * 1e-9;
        passed += took;
        best = fmin(best, took / (double)runs);
        if (took < SHORTEST_S && times == 0)
            runs *= 2;
        else
            times++;
    }
    return best;
}

static void run_chains(struct work *w, int part)
{
    (void)part;
    w->found = tg_canary_dot(w->found, CHAIN_STEPS);
}

static void run_lines(struct work *w, int part)
{
    (void)part;
    w->found = tg_canary_read(w->from, TG_CANARY_BYTES / 64);
}

/* The first 16 digits of the digest of the canaries' machine code. */
static void name_canaries(struct tg_facts *facts)
{
    size_t bytes;
    char digest[TG_DIGEST_SIZE];
    const unsigned char *code = tg_canary_code(&bytes);
    if (tg_digest_bytes(code, bytes, digest, NULL) < 0) return;
    memcpy(facts->canary, digest, 16);
    facts->canary[16] = 0;
}

void tg_roof_time_canaries(struct tg_facts *facts)
{
    struct work chains = {.run = run_chains}, lines = {.run = run_lines};
    name_canaries(facts);
    facts->canary_dot_s = best_of(&chains);

    void *memory = mmap(NULL, TG_CANARY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
    if (memory == MAP_FAILED) return;
    /* Small pages: large ones may be there or not. Written to, each has memory of its own. */
    madvise(memory, TG_CANARY_BYTES, MADV_NOHUGEPAGE);
    if (madvise(memory, TG_CANARY_BYTES, MADV_POPULATE_WRITE) != 0)
        memset(memory, POISON, TG_CANARY_BYTES);
    lines.from = memory;
    facts->canary_read_s = best_of(&lines);
    munmap(memory, TG_CANARY_BYTES);
}

/* One thread's share of some bytes, in whole cache lines but for the last. */
static int64_t share(const struct work *w, int part, int64_t *begin)
{
    int64_t lines = (w->bytes + 63) / 64, count = tg_pool_count(w->pool);
    int64_t end = lines * (part + 1) / count * 64;
    *begin = lines * part / count * 64;
    return (end < w->bytes ? end : w->bytes) - *begin;
}

static void run_read(struct work *w, int part)
{
    int64_t begin, bytes = share(w, part, &begin);
    for (int64_t i = 0; i < w->at_once; i++) {
        volatile uint64_t found = w->peak->read((const void *)(w->walk[i] + begin), bytes / 8);
        (void)found;
    }
}

static void run_memset(struct work *w, int part)
{
    int64_t begin, bytes = share(w, part, &begin);
    memset(w->to + begin, POISON, (size_t)bytes);
    __asm__ volatile("" : : "r"(w->to) : "memory");
}

static void run_write(struct work *w, int part)
{
    int64_t begin, bytes = share(w, part, &begin);
    w->peak->write((void *)(w->to + begin), bytes / 8, POISON_WORDS, 0);
}

static void run_write_past(struct work *w, int part)
{
    int64_t begin, bytes = share(w, part, &begin);
    w->peak->write((void *)(w->to + begin), bytes / 8, POISON_WORDS, 1);
}

static void run_dot(struct work *w, int part)
{
    volatile int64_t found = w->peak->dot((const uint8_t(*)[32])w->codes, w->activations, w->bytes,
                                          DOT_PASSES);
    (void)found;
    (void)part;
}

double tg_roof_dot_rate(struct tg_pool *pool)
{
    const struct tg_peak *peak = tg_peak_widest();
    _Alignas(64) int8_t activations[4 * TG_PEAK_COLUMNS];
    struct work w = {.run = run_dot, .pool = pool, .peak = peak, .bytes = sizeof activations};
    if (!peak->dot) return NAN;
    tg_fill_int8(1, activations, sizeof activations);
    memset(w.codes[0], 1, sizeof w.codes[0]);
    memset(w.codes[1], 2, sizeof w.codes[1]);
    w.activations = activations;
    return 2.0 * sizeof activations * DOT_PASSES * tg_pool_count(pool) / best_of(&w);
}

static double seconds(double amount, double rate)
{
    return amount > 0 && rate > 0 ? amount / rate : 0;
}

/* Bytes a second of reading a call's matrix; or those of a set, a few at a time, each once. */
static double read_rate(const struct tg_roof_call *call, struct tg_pool *pool)
{
    struct work w = {.run = run_read,
                     .pool = pool,
                     .peak = tg_peak_widest(),
                     .walk = call->walk,
                     .at_once = 1,
                     .bytes = call->weight_bytes};
    if (call->count == 1) return (double)call->weight_bytes / best_of(&w);
    double best = INFINITY;
    int64_t few = FEW_BYTES / call->weight_bytes + 1, at = call->first % call->count;
    if (few > call->count / 8 + 1) few = call->count / 8 + 1;
    for (int64_t left = call->count - at + (at + few > call->count ? call->count : 0); left > 0;) {
        int64_t begun = tg_now_ns(), end = call->count - at;
        w.walk = call->walk + at;
        w.at_once = few < end ? few : end;
        run(&w, 1);
        double took = (double)(tg_now_ns() - begun) * 1e-9 / (double)w.at_once;
        if (w.at_once == few) best = fmin(best, took);
        at = (at + w.at_once) % call->count;
        left -= w.at_once;
    }
    return (double)call->weight_bytes / best;
}

void tg_roof_limit(const struct tg_roof_call *call, struct tg_facts *facts)
{
    const struct {
        const char *name;
        double seconds;
    } limits[] = {{"read", seconds((double)call->weight_bytes, facts->read_rate)},
                  {"write", seconds((double)call->result_bytes, facts->write_rate)},
                  {"dot", seconds(call->multiply_adds, facts->dot_rate)}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        if (facts->limit_s >= limits[i].seconds) continue;
        facts->limit_s = limits[i].seconds;
        snprintf(facts->limited_by, sizeof facts->limited_by, "%s", limits[i].name);
    }
}

void tg_roof_measure(const struct tg_roof_call *call, struct tg_pool *pool, struct tg_facts *facts)
{
    static void (*const writes[])(struct work *, int) = {run_memset, run_write, run_write_past};
    double least = INFINITY;
    facts->read_rate = read_rate(call, pool);
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
        struct work write = {.run = writes[i],
                             .pool = pool,
                             .peak = tg_peak_widest(),
                             .to = call->results,
                             .bytes = call->result_bytes};
        least = fmin(least, best_of(&write));
    }
    facts->write_rate = (double)call->result_bytes / least;
    facts->dot_rate = tg_roof_dot_rate(pool); /* last: cores may slow down after wide arithmetic */
    if (tg_peak_find(call->isa)) tg_roof_limit(call, facts);
}
