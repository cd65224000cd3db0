/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_SHARD_H
#define TG_COORDINATOR_SHARD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "coordinator/plan.h"
#include "results/store.h"

/*
 * A run in parts, on machines that share nothing: `run --shard 2/4` is the second of four.
 *
 * Every shard plans the whole matrix, and deals its blocks so that all shards take about as long as
 * each other. How long a block takes is what budget.h reckons of its text under the policy, and no
 * more: no seed, machine or order of anything enters, so that all shards deal alike. Tests of one
 * block stay together, on each class of hardware that its shard has. Blocks with a cell on a device
 * are dealt to the last shards, the others to the first, in proportion. Where there are more shards
 * than blocks, the last have none.
 *
 * Source: Graham, SIAM J. Appl. Math. 17 (1969) 416-429, doi:10.1137/0117039: the longest first, to
 * whoever has least yet, is at most 4/3 of what is possible.
 *
 * plan.json says how many shards there are, and of each worker which one it is of: the same in the
 * run of a shard, different ones where such runs are joined. A test whose shard no worker is of is
 * missing: it counts, nobody looked at it, and so there is no pass without it. Its error rate is
 * shared in each shard as in the whole.
 */

enum { TG_SHARD_MOST = 9999 };

/* Reads "2/4". */
int tg_shard_parse(const char *text, size_t *shard, size_t *count, struct tg_error *err);

/*
 * Reads how many shards there are, or which one a worker is of, from plan.json: from 0, which is
 * also what a value that is not there says, to TG_SHARD_MOST.
 */
int tg_shard_number(const struct tg_json_file *file, const struct tg_json *value, size_t *number,
                    struct tg_error *err);

/*
 * Deals the blocks of a plan whose tests were made, and leaves out tests that are asked of hardware
 * that their shard does not have. Does nothing to a plan that has no shards.
 */
int tg_shard_deal(struct tg_plan *plan, struct tg_error *err);

/* Whether nothing of a shard is there; not of shard 0, which stands for a whole run. */
bool tg_shard_is_missing(const struct tg_plan *plan, size_t shard);

/* How many blocks a shard has, and whether a device is needed for one of them. */
size_t tg_shard_blocks(const struct tg_plan *plan, size_t shard, bool *needs_device);

/*
 * "shard 2/4 alone: there is no pass without shards 1, 3-4, which have 15 of 20 tests", or, once
 * they are joined, "all 4 shards are there", or "". Returns whether a pass is possible.
 */
bool tg_shard_note(const struct tg_plan *plan, char *out, size_t size);

/*
 * "shard 2 of 3 was not ended in order; run --resume ends it", or without a number where the run
 * has no parts; "" if all was. Returns `out`.
 */
char *tg_shard_open_note(const struct tg_plan *plan, const struct tg_run *run, char *out,
                         size_t size);

#endif
