/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_SERVE_H
#define TG_WORKER_SERVE_H

#include "base/error.h"
#include "worker/conduct.h"
#include "worker/wire.h"

/*
 * A worker: says what it can do, has rounds conducted, stores what was seen, and says so with the
 * same rows it stored. It is opened, told the run, given rounds, and closed. In a rank of its own
 * it is driven by messages (tg_serve); the coordinator of a run of one rank calls it directly.
 *
 *   coordinator                                       worker
 *   {"do":"announce", "head":path, "base":path,
 *    "exclusive":"memory"}                         ->  {"host":…, "head":survey, …}
 *   {"do":"open", "directory":…, "matrix":…, …}   ->  (nothing)
 *     "parts": of each host, among how many workers' parts its memory is divided
 *   round NUMBER SEED WAIT FLAGS BLOCK            ->  telegrams, or {"lost":"why"}
 *     flags: t is_timed, f is_fixed, c is_complete, a is_apart
 *     before it, if another run is on its memory  ->  {"waits":""}, and then {"begun":""}
 *     and if that is so for WAIT milliseconds     ->  {"over":"why"}: the round was not begun
 *   {"do":"files", "directory":…, "have":[…]}     ->  {"files":[{"name":…, "bytes":…}, …]}
 *     what of this directory is not had; in a run, its own file alone, which is closed for it
 *   {"do":"read", "directory":…, "file":…, "at":0} ->  {"part":…, "left":…} or {"error":"why"}
 *     (worker/parcel.h)
 *   {"do":"close"}                                ->  {"bye":""} or {"bye":"why"}
 *
 * Ranks need not be one binary, nor on one kind of machine. They must understand each other: an
 * announcement says the version, and the number of the messages ("program"); and as "build" the
 * SHA-256 of the program, for runs in which it must be one.
 */

#define TG_SERVE_PROGRAM TRITGATE_VERSION "/8" /* 8: raised where messages change */

struct tg_worker;

/* What a worker is told of itself: NULL but in tests, which give a name and a recorded node. */
struct tg_identity {
    const char *host, *topology, *gpus;
};

/*
 * The index-th of the `count` workers of its node. Its seat (seat.h) follows from that, and from
 * what blocks may not share: it takes it when it is first asked to announce itself.
 */
int tg_serve_open(int rank, int index, int count, const struct tg_identity *identity,
                  struct tg_worker **worker, struct tg_error *err);

/* The message that orders a round of a block (conduct.h); the caller frees. */
char *tg_serve_order_text(const struct tg_block *block, int64_t round, uint64_t seed,
                          bool is_complete, bool is_apart, double wait_s);

/* Whether a message is an order; reads one, but for its attempt. */
bool tg_serve_is_order(const char *message);
int tg_serve_order_read(const char *message, struct tg_order *order, struct tg_error *err);

/* Answers one message, as above; *answer is the caller's to free, or NULL where nothing is said. */
int tg_serve_answer(struct tg_worker *worker, const char *message, char **answer,
                    struct tg_error *err);

/* Frees the worker; a store that no message closed is closed. Accepts NULL. */
void tg_serve_close(struct tg_worker *worker);

/*
 * Answers the coordinator's messages until it is told to close. Fails when the coordinator is lost:
 * the round under way is given up, and nothing of it is stored.
 */
int tg_serve(struct tg_wire *wire, struct tg_worker *worker, struct tg_error *err);

#endif
