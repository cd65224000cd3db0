/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_WIRE_H
#define TG_WORKER_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/*
 * Messages between ranks, as text. Waiting sleeps: MPI's own waiting would take a core from what is
 * timed. Started without a launcher there is one rank and nothing of MPI is touched. The only door
 * to MPI, with ulfm.h.
 *
 * MPI tells nobody that a rank has stopped or been cut off; when one dies, it ends all, or, where
 * it has ULFM and was told to use it, says so to the others, which go on. So rank 0 says to every
 * rank, and every rank to rank 0, once a second that it is alive: while it waits here, and while it
 * waits for something else (pulse.h). A rank that is silent for longer than one has patience is
 * lost. Silence counts only while one listens oneself: a job that is stopped as a whole, or a rank
 * that was busy, has lost nobody when it goes on. For who lost rank 0 it is gone for good.
 */

struct tg_wire;

/* The rank that a launcher gave this process, 0 without one; before the wire is opened. */
int tg_wire_launched_rank(void);

/* Whether a launcher started this process: a terminal that it has is then the launcher's. */
bool tg_wire_is_launched(void);

int tg_wire_open(struct tg_wire **wire, struct tg_error *err);

int tg_wire_rank(const struct tg_wire *wire);
int tg_wire_size(const struct tg_wire *wire);

/* This rank's number among the workers on its node, from 0: rank 0, the coordinator, is none. */
int tg_wire_worker_index(const struct tg_wire *wire);

/* How many workers its node has. */
int tg_wire_worker_count(const struct tg_wire *wire);

/* How much silence is borne, in seconds. At first: any. */
void tg_wire_set_patience(struct tg_wire *wire, double silence_s);

/* Whether a rank is dead, and MPI goes on without it: nothing is sent to it any more. */
bool tg_wire_is_dead(const struct tg_wire *wire, int rank);

/* Whether a rank is dead, or silent for longer; heard again, it is not lost any more. */
bool tg_wire_is_lost(const struct tg_wire *wire, int rank);

/* A clock that stands still while this rank does not listen, in seconds. */
double tg_wire_listened(const struct tg_wire *wire);

/*
 * Sends a text to a rank. A worker returns when it has left, or does not leave since the rank is
 * lost; rank 0, which has others to serve, leaves short texts under way, and waits only until what
 * it sent to that rank before has left.
 */
int tg_wire_send(struct tg_wire *wire, int rank, const char *text, struct tg_error *err);

/*
 * Waits for a text from any rank until deadline_s (monotonic seconds). Returns 1 and sets *rank and
 * *text, which the caller frees; 0 when it is late; -1 when it could not go on, such as without
 * rank 0.
 */
int tg_wire_receive(struct tg_wire *wire, double deadline_s, int *rank, char **text,
                    struct tg_error *err);

/*
 * Of a worker that has nothing more to do: waits until rank 0, which may decide meanwhile, closes
 * its end. Fails when rank 0 is lost.
 */
int tg_wire_await_end(struct tg_wire *wire, struct tg_error *err);

/*
 * Leaves in order; every rank must. Ends the process with this status if MPI does not let it go
 * within seconds, since another rank hangs. Accepts NULL.
 */
void tg_wire_close(struct tg_wire *wire, int status);

/* Ends every rank at once with this exit status. */
_Noreturn void tg_wire_abort(struct tg_wire *wire, int status);

#endif
