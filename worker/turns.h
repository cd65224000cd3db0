/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_TURNS_H
#define TG_WORKER_TURNS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * The table at which the processes of a block take turns: memory that the rank and its children
 * share. The rank writes down the drawn order; then each child waits, asleep, until it is its turn,
 * takes one sample, writes it down and wakes the other. The rank does nothing meanwhile, so that a
 * round costs it no time on any core, and a sample that was taken is there even if a child dies.
 */

struct tg_turns; /* this process's view of the table */

struct tg_turn {
    double seconds;  /* one call; 0 where the turn was not taken */
    int64_t begun;   /* monotonic nanoseconds */
    double clock_hz; /* of the device that ran it, beside the sample; 0 where it has none */
};

/* Creates a table for at most `capacity` turns; tg_turns_descriptor gives what a child attaches. */
int tg_turns_create(size_t capacity, struct tg_turns **turns, struct tg_error *err);
int tg_turns_descriptor(const struct tg_turns *turns);

/* In a child: attaches to the table behind a descriptor, which it may then close. */
int tg_turns_attach(int descriptor, struct tg_turns **turns, struct tg_error *err);

void tg_turns_close(struct tg_turns *turns);

/* Lays down the order (order[i] is 0 or 1, which side samples at turn i) and calls a sample. */
void tg_turns_lay(struct tg_turns *turns, const uint8_t *order, size_t count,
                  const int64_t calls[2]);

/*
 * Sleeps until it is this side's turn. Returns 1 and sets the number of calls of the sample, and
 * the number of calls that both sides have made in the turns before, one more a sample than were
 * timed; or 0 when all turns have been taken.
 */
int tg_turns_await(struct tg_turns *turns, int side, int64_t *calls, int64_t *before);

/* The turn that was awaited: its place in the order. */
size_t tg_turns_now(const struct tg_turns *turns);

/* Writes down the sample of the turn awaited, and passes on. */
void tg_turns_pass(struct tg_turns *turns, struct tg_turn taken);

/* What was laid down and what was taken so far: `i` is a turn. */
size_t tg_turns_count(const struct tg_turns *turns);
int tg_turns_side(const struct tg_turns *turns, size_t i);
struct tg_turn tg_turns_taken(const struct tg_turns *turns, size_t i);

#endif
