/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_QUEUE_H
#define TG_COORDINATOR_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Which block is measured next, and by whom. Plain data: it knows neither messages nor time.
 *
 * First every block gets its least number of rounds, in a new order each time, one if its urgency
 * is 0; then the most urgent block is next. Where several parts of nodes measure at once, the
 * longest is first of those that want their least rounds: a block is out once at a time, so what is
 * left of the longest one is what the others would wait for in the end. Lengths within a factor of
 * two are taken for equal.
 *
 * Of blocks that are otherwise equal a worker gets one that it did not have last, so that the
 * rounds of a block come from several nodes; and the last of its least rounds is kept for another
 * node if all before it came from one and another can run it. A round gets its number when it is
 * given out. Two workers of one domain never have a block at the same time; where the policy lets
 * GPUs run beside others (beside_gpu), what runs on them alone is apart, and only waits for its
 * GPU.
 */

struct tg_queue;

/* NULL when there is no memory. `seed` draws the order. */
struct tg_queue *tg_queue_create(size_t block_count, size_t worker_count, int64_t rounds_min,
                                 uint64_t seed);
void tg_queue_destroy(struct tg_queue *queue);

/* Before the first round: the domain of a worker, which is what blocks may not share (any number
 * that tells domains apart), its node (likewise; without a word its own), the blocks it can run,
 * and rounds that a block had in an earlier attempt. */
void tg_queue_place(struct tg_queue *queue, size_t worker, int domain);
void tg_queue_place_node(struct tg_queue *queue, size_t worker, int node);
void tg_queue_place_gpu(struct tg_queue *queue, size_t worker, int gpu); /* likewise; or none */
void tg_queue_set_apart(struct tg_queue *queue, size_t block);
void tg_queue_allow(struct tg_queue *queue, size_t block, size_t worker);

/*
 * Before any block is allowed: a worker can run what an earlier one can. With many equal workers
 * this saves nearly all of the memory and time that tg_queue_allow takes for each of them.
 */
void tg_queue_liken(struct tg_queue *queue, size_t worker, size_t earlier);
void tg_queue_resume(struct tg_queue *queue, size_t block, int64_t rounds);

/*
 * Gives a worker a block whose expected end is not past time_left_s. Returns false if there is none
 * for it now.
 */
bool tg_queue_next(struct tg_queue *queue, size_t worker, double time_left_s, size_t *block,
                   int64_t *round);

/*
 * The GPU of a worker could not measure a block: while others are left that can run it and could,
 * these get it.
 */
void tg_queue_avoid(struct tg_queue *queue, size_t block, size_t worker);

/* The number of a round of this block that nobody measures. */
int64_t tg_queue_take_number(struct tg_queue *queue, size_t block);

/* A round that was given out came back, after so many seconds; NAN: it was not begun. */
void tg_queue_done(struct tg_queue *queue, size_t block, size_t worker, double took_s);

/* The seconds of the last round of a block, 0 before it. */
double tg_queue_cost_s(const struct tg_queue *queue, size_t block);

/* How many more rounds a block may want, as it looks now; at least one as long as it is open. */
void tg_queue_expect(struct tg_queue *queue, size_t block, double rounds);

/*
 * No more rounds for this block, or more (again), with this urgency: a larger one is served first,
 * one below 0 only when nothing else is left.
 */
void tg_queue_close(struct tg_queue *queue, size_t block);
void tg_queue_urge(struct tg_queue *queue, size_t block, double urgency);

/*
 * A worker that is gone: it gets nothing more, and what it had may be given out again. Nobody else
 * of its domain or GPU gets anything either, if it had something: that may still be running there,
 * unless it died with the worker.
 */
void tg_queue_lost(struct tg_queue *queue, size_t worker, bool is_dead);

/* Whether it ran out of memory; then nothing is given out any more. */
bool tg_queue_has_failed(const struct tg_queue *queue);

/*
 * Whether a round is out; how long all that is still wanted takes, as it looks now: the longer one
 * of all work that is left, over the domains that share it, and of the block that has most of it
 * left, since its rounds come one after the other.
 */
bool tg_queue_is_out(const struct tg_queue *queue);
double tg_queue_expected_s(struct tg_queue *queue);

#endif
