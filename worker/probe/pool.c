/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/pool.h"

#include <assert.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/place.h"

#define SPINS 10000 /* looks at a number before sleeping on it: about half a millisecond */

struct thread {
    struct tg_pool *pool;
    pthread_t id;
    int part, core;
};

/* Each number that one thread writes and others watch has a cache line of its own. */
struct tg_pool {
    int count, started; /* threads wanted, the first among them; those of ours that run */
    struct thread *threads;
    tg_pool_fn fn; /* of the run whose number is `call`; NULL ends the threads */
    void *work;
    _Alignas(64) _Atomic uint32_t call; /* a futex */
    _Alignas(64) _Atomic uint32_t left; /* parts that are not done; a futex */
    _Atomic bool is_awaited;            /* the first thread sleeps on it */
    _Alignas(64) _Atomic int asleep;    /* threads that sleep, or are about to */
    _Atomic bool is_resting;
    _Atomic int not_bound; /* a core that a thread could not be bound to, or -1 */
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void sleep_on(_Atomic uint32_t *number, uint32_t seen)
{
    syscall(SYS_futex, number, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void wake(_Atomic uint32_t *number)
{
    syscall(SYS_futex, number, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/*
 * Waits for another run than `seen`. Who goes to sleep first says so and then looks once more, and
 * who begins a run first numbers it and then looks who sleeps: so one of the two sees the other.
 */
static uint32_t await_call(struct tg_pool *p, uint32_t seen)
{
    uint32_t call = atomic_load(&p->call);
    for (int i = 0; i < SPINS && call == seen && !atomic_load(&p->is_resting); i++) {
        relax();
        call = atomic_load(&p->call);
    }
    if (call != seen) return call;
    atomic_fetch_add(&p->asleep, 1);
    while ((call = atomic_load(&p->call)) == seen) sleep_on(&p->call, seen);
    atomic_fetch_sub(&p->asleep, 1);
    return call;
}

static void *do_parts(void *opaque)
{
    const struct thread *t = opaque;
    struct tg_pool *p = t->pool;
    uint32_t call = 0;
    if (t->core >= 0 && tg_place_bind(t->core, NULL) < 0) atomic_store(&p->not_bound, t->core);
    for (;;) {
        call = await_call(p, call);
        if (!p->fn) return NULL;
        p->fn(p->work, t->part);
        if (atomic_fetch_sub(&p->left, 1) == 1 && atomic_load(&p->is_awaited)) wake(&p->left);
    }
}

static int start(struct thread *t)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return -1;
    int rc = pthread_attr_setstacksize(&attributes, TG_POOL_STACK_BYTES);
    if (rc == 0) rc = pthread_create(&t->id, &attributes, do_parts, t);
    pthread_attr_destroy(&attributes);
    return rc == 0 ? 0 : -1;
}

int tg_pool_create(int count, const int *cores, struct tg_pool **pool, struct tg_error *err)
{
    assert(count >= 1);
    struct tg_pool *p = aligned_alloc(64, sizeof *p);
    if (!p) return tg_fail(err, "out of memory");
    memset(p, 0, sizeof *p);
    p->count = count;
    p->is_resting = true;
    p->not_bound = -1;
    p->threads = calloc((size_t)count, sizeof *p->threads);
    while (p->threads && p->started + 1 < count) {
        struct thread *t = &p->threads[p->started + 1];
        *t = (struct thread){.pool = p, .part = p->started + 1};
        t->core = cores ? cores[t->part] : -1;
        if (start(t) < 0) break;
        p->started++;
    }
    if (!p->threads || p->started + 1 < count) {
        tg_pool_destroy(p);
        return tg_fail(err, "cannot start %d threads", count);
    }
    tg_pool_rest(p);
    int core = atomic_load(&p->not_bound);
    if (core >= 0) {
        tg_pool_destroy(p);
        return tg_fail(err, "cannot bind a thread to core %d", core);
    }
    *pool = p;
    return 0;
}

int tg_pool_count(const struct tg_pool *pool)
{
    return pool->count;
}

/* Numbers a run, and wakes who sleeps. */
static void begin(struct tg_pool *p, tg_pool_fn fn, void *work)
{
    p->fn = fn;
    p->work = work;
    atomic_store(&p->left, (uint32_t)p->started);
    atomic_store(&p->is_resting, false);
    atomic_fetch_add(&p->call, 1);
    if (atomic_load(&p->asleep) > 0) wake(&p->call);
}

void tg_pool_run(struct tg_pool *pool, tg_pool_fn fn, void *work)
{
    uint32_t left;
    if (pool->count == 1) {
        fn(work, 0);
        return;
    }
    begin(pool, fn, work);
    fn(work, 0);
    for (int i = 0; i < SPINS && atomic_load(&pool->left) > 0; i++) relax();
    if (atomic_load(&pool->left) == 0) return;
    atomic_store(&pool->is_awaited, true);
    while ((left = atomic_load(&pool->left)) > 0) sleep_on(&pool->left, left);
    atomic_store(&pool->is_awaited, false);
}

void tg_pool_rest(struct tg_pool *pool)
{
    atomic_store(&pool->is_resting, true);
    for (int i = 0; atomic_load(&pool->asleep) < pool->started; i++) {
        if (i < SPINS)
            relax();
        else
            sched_yield();
    }
}

void tg_pool_destroy(struct tg_pool *pool)
{
    if (!pool) return;
    begin(pool, NULL, NULL);
    for (int i = 1; i <= pool->started; i++) pthread_join(pool->threads[i].id, NULL);
    free(pool->threads);
    free(pool);
}

void tg_pool_rows(int64_t rows, int count, int part, int64_t *begin, int64_t *end)
{
    int64_t tiles = (rows + TG_POOL_ROWS - 1) / TG_POOL_ROWS;
    *begin = tiles * part / count * TG_POOL_ROWS;
    *end = tiles * (part + 1) / count * TG_POOL_ROWS;
    if (*end > rows) *end = rows;
    if (*begin > rows) *begin = rows;
}
