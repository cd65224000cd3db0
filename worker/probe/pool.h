/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PROBE_POOL_H
#define TG_WORKER_PROBE_POOL_H

#include <stdint.h>

#include "base/error.h"

/*
 * Threads that share the rows of a call. The thread that creates a pool is its first; the others
 * are started once, each bound to a core of its own, and asleep:
 *
 *   create -> run, run, ... -> rest -> run, run, ... -> rest -> destroy
 *
 * From one run to the next they wait awake, so that handing over costs less than a microsecond, but
 * not for longer than about a millisecond; then, or when told to rest, they sleep in the kernel.
 * Nothing is allocated or locked in a run: what threads tell each other are atomic numbers.
 */

struct tg_pool;

/* Part `part` of the work, 0..count-1. */
typedef void (*tg_pool_fn)(void *work, int part);

/* Parts begin at multiples of so many rows: no kernel has a larger tile. */
#define TG_POOL_ROWS 16

/* Of the stack of a thread: as much as the first has. */
#define TG_POOL_STACK_BYTES (8 << 20)

/*
 * Starts count - 1 threads, at least 0. `cores` are `count` cores to bind them to, or NULL; the
 * calling thread is cores[0]'s, and bound by its caller. When this returns they are asleep.
 */
int tg_pool_create(int count, const int *cores, struct tg_pool **pool, struct tg_error *err);

int tg_pool_count(const struct tg_pool *pool);

/* Has each thread do its part, and returns when all are done; part 0 is the caller's. */
void tg_pool_run(struct tg_pool *pool, tg_pool_fn fn, void *work);

/* Sends the threads to sleep, and returns when they are; the next run wakes them. */
void tg_pool_rest(struct tg_pool *pool);

/* Ends the threads. `pool` may be NULL. */
void tg_pool_destroy(struct tg_pool *pool);

/*
 * The rows begin..end-1 of part `part` out of `count`: one range, at a multiple of TG_POOL_ROWS,
 * which are spread evenly. A part may be empty.
 */
void tg_pool_rows(int64_t rows, int count, int part, int64_t *begin, int64_t *end);

#endif
