/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PROBE_EXECUTED_H
#define TG_WORKER_PROBE_EXECUTED_H

#include "kernels/kernel.h"
#include "results/measurement.h"
#include "worker/probe/pool.h"

/*
 * Which instruction sets the calls of a kernel executed: not what its row says, but what the
 * dispatch of its library counted in each thread of the pool, timed calls included.
 *
 *   forget -> calls, of any number of runs of the pool -> look -> more calls -> look
 *
 * Counting costs a call a few nanoseconds, and nothing is shared by threads. Where a kernel is a
 * device's, what is counted are its launches.
 */

/* Sets the counts of all threads to 0. The threads of the pool are asleep after it. */
void tg_executed_forget(const struct tg_library *library, struct tg_pool *pool);

/*
 * Sets the facts isa_executed, the instruction sets that were counted since, joined by '+', or
 * none, and isa_calls, the calls of them all. Of a library that does not count, which is older than
 * version 2 of the table, it is "uncounted". The threads of the pool are asleep after it.
 *
 * The outcome, if it was measured, becomes wrong, with the reason, where that is not what the fact
 * isa_requested says: nothing was counted, or an instruction set with other compiler flags. One
 * with the same is the same code by another name, as that of the stubs, which may have the scalar
 * kernels do their work.
 */
void tg_executed_look(const struct tg_library *library, struct tg_pool *pool,
                      struct tg_measurement *m);

#endif
