/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_LEASE_H
#define TG_COORDINATOR_LEASE_H

#include <stdbool.h>
#include <stddef.h>

#include "matrix/policy.h"

/*
 * Who has a round, and until when. Plain data: it knows neither messages nor clocks.
 *
 * A worker is given a round with a lease on it, as long as the round may take by the policy's
 * deadlines. It returns the round with its answer. While it waits for another run, its lease stands
 * still. A worker whose lease is over, or that is silent, is lost: it gets nothing more, and its
 * round goes to another worker, under a new number. What it answers later still counts: it was
 * stored. A block that was lost twice is not given to a third.
 */

struct tg_leases;

/* NULL when there is no memory. */
struct tg_leases *tg_lease_create(size_t worker_count, size_t block_count);
void tg_lease_destroy(struct tg_leases *leases);

/* For how long a round of so many cells may be out, in seconds. */
double tg_lease_length(const struct tg_limits *limits, size_t cell_count);

/* Times are in seconds of any clock. */
void tg_lease_give(struct tg_leases *leases, size_t worker, size_t block, double now_s,
                   double length_s);

/* It waits for another run; then it begins, with the whole lease. */
void tg_lease_hold(struct tg_leases *leases, size_t worker);
void tg_lease_begin(struct tg_leases *leases, size_t worker, double now_s);

/* The round came back: its block, and how long it took. False if the worker had none. */
bool tg_lease_return(struct tg_leases *leases, size_t worker, double now_s, size_t *block,
                     double *took_s);

/* Whether a worker may be given a round: it is not lost and has none. */
bool tg_lease_is_idle(const struct tg_leases *leases, size_t worker);
bool tg_lease_is_over(const struct tg_leases *leases, size_t worker, double now_s);

/*
 * A worker is lost. Returns true if it was not before; then *block is the one that it had a round
 * of, or the count of blocks, and *times says how often that block was lost by now.
 */
bool tg_lease_lose(struct tg_leases *leases, size_t worker, size_t *block, int *times);
size_t tg_lease_lost_count(const struct tg_leases *leases);

#endif
