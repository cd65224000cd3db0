/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_WIRE_H
#define TG_WORKER_WIRE_H

#include <stddef.h>

#include "base/error.h"

/*
 * Messages between ranks, as text. Waiting sleeps: MPI's own waiting would take a core from what is
 * timed. Started without a launcher there is one rank and nothing of MPI is touched. The only door
 * to MPI.
 */

struct tg_wire;

/* The rank that a launcher gave this process, 0 without one; before the wire is opened. */
int tg_wire_launched_rank(void);

int tg_wire_open(struct tg_wire **wire, struct tg_error *err);

int tg_wire_rank(const struct tg_wire *wire);
int tg_wire_size(const struct tg_wire *wire);

/* This rank's number among the workers on its node, from 0: rank 0, the coordinator, is none. */
int tg_wire_worker_index(const struct tg_wire *wire);

/* How many workers its node has. */
int tg_wire_worker_count(const struct tg_wire *wire);

/* Sends a text to a rank; returns when it has left. */
int tg_wire_send(struct tg_wire *wire, int rank, const char *text, struct tg_error *err);

/*
 * Waits for a text from any rank until deadline_s (monotonic seconds). Returns 1 and sets *rank and
 * *text, which the caller frees; 0 when it is late; -1 when it could not go on.
 */
int tg_wire_receive(struct tg_wire *wire, double deadline_s, int *rank, char **text,
                    struct tg_error *err);

/* Leaves in order; every rank must. Accepts NULL. */
void tg_wire_close(struct tg_wire *wire);

/* Ends every rank at once with this exit status. */
_Noreturn void tg_wire_abort(struct tg_wire *wire, int status);

#endif
