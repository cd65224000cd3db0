/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_JOIN_H
#define TG_COORDINATOR_JOIN_H

#include <stddef.h>

#include "base/error.h"
#include "coordinator/plan.h"
#include "results/store.h"

/*
 * Several runs of the same question, read and judged as one: each is a session, whose rows say so.
 * They are taken in the order of their first rows, whatever the order of the paths, so that nobody
 * chooses among orders. Only runs of the same matrix, policy, step, accepted losses, filter and
 * libraries can be joined, of whole models also of one build of the program, and none twice: a row
 * that two of them have would count twice.
 *
 * Shards of one run (shard.h) are joined so, too: each once, by one build of the program. What
 * `tritgate merge` made of them is a folder of their directories, and stands for all of these.
 */

/*
 * The paths themselves, but for each folder that merge made the directories in it. The list of
 * *found paths is released by tg_join_forget.
 */
int tg_join_expand(const char *const paths[], size_t count, char ***list, size_t *found,
                   struct tg_error *err);
void tg_join_forget(char **list, size_t found);

/*
 * Reads `count` (at least 1) run directories and plans them together, under another policy if
 * `policy` is not NULL (a file). The joined run is sealed if all are; its evidence is the SHA-256
 * of the evidences, each with its zero byte. A single run stays as it is. Both results are to be
 * released.
 */
int tg_join_open(const char *const paths[], size_t count, const char *policy, struct tg_run *run,
                 struct tg_plan *plan, struct tg_error *err);

#endif
