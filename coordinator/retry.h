/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_RETRY_H
#define TG_COORDINATOR_RETRY_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "coordinator/plan.h"

/*
 * Attempts after the first. `run --resume` adds rounds to a run and takes none away; tries.json, of
 * the run's directory and under its seal, says of each such attempt why it was made:
 *
 *   {"tritgate_tries": 1, "tries": [{"attempt": 2, "kind": "gpu", "reason": "..."}]}
 *
 *   ended        the attempt before was not ended in order: there was no decision yet
 *   tooling      cells of a processor crashed, were late or could not be run; or nothing that
 *                counts was measured
 *   gpu          cells on a device did
 *   statistical  the evidence did not suffice, whatever its reason
 *
 * All but the first are bounded by the `retry` of the policy's step; one that is over is refused
 * before anything is measured. A policy without steps bounds nothing.
 */

struct tg_decision;

enum tg_try { TG_TRY_ENDED, TG_TRY_TOOLING, TG_TRY_GPU, TG_TRY_STATISTICAL, TG_TRY_KINDS };

/* Why an attempt was made; of runs that are judged together `run` says in which, from 0. */
struct tg_retry {
    int64_t attempt, run;
    enum tg_try kind;
    char reason[300];
};

const char *tg_retry_word(enum tg_try kind);

/* Reads the text of tries.json, or NULL for none, into a list that the caller frees. */
int tg_retry_read(const char *text, struct tg_retry **list, size_t *count, struct tg_error *err);

/* The text of such a list; the caller frees. */
char *tg_retry_text(const struct tg_retry list[], size_t count);

/* One text of those of several runs, NULL where none of them has any; the caller frees. */
int tg_retry_join(const char *const texts[], size_t count, char **joined, struct tg_error *err);

/* How many there were of each kind; of several runs, in that which has most. */
void tg_retry_count(const struct tg_retry list[], size_t count, size_t made[TG_TRY_KINDS]);

/*
 * What one attempt more of a run that was ended would be for: its decision says. Fails if the
 * policy's step does not allow it.
 */
int tg_retry_ask(const struct tg_plan *plan, const struct tg_decision *decision,
                 struct tg_retry *retry, struct tg_error *err);

#endif
