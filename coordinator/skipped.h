/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_SKIPPED_H
#define TG_COORDINATOR_SKIPPED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "coordinator/plan.h"
#include "results/store.h"

/*
 * Rounds that nobody measures any more, as rows that say why: the gate reads nothing but rows. They
 * are written by the coordinator, into a file beside those of the workers, worker-0000, which is
 * there from the first of them on.
 */

struct tg_skipped;

/* The plan and the run's texts are borrowed. NULL when there is no memory. */
struct tg_skipped *tg_skipped_open(const struct tg_plan *plan, const struct tg_run *texts,
                                   const char *directory, int64_t attempt);

/*
 * Stores a round of a block in which no cell was run; `host` is the node that was to. The rows, one
 * for each cell of the block, are also given to the caller, to be freed.
 */
int tg_skipped_add(struct tg_skipped *skipped, size_t block, int64_t round, const char *host,
                   const char *reason, struct tg_measurement rows[2], struct tg_error *err);

/*
 * Whether a row of a run was skipped, or the other one of its round, which is stored beside it: of
 * such a round no row says anything when its block is measured again.
 */
bool tg_skipped_has(const struct tg_run *run, size_t row);

/* Closes the file, if there is one, and frees. Accepts NULL. */
int tg_skipped_close(struct tg_skipped *skipped, struct tg_error *err);

#endif
