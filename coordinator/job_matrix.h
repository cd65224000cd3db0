/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_JOB_MATRIX_H
#define TG_COORDINATOR_JOB_MATRIX_H

#include <stddef.h>
#include <stdio.h>

#include "coordinator/plan.h"

/*
 * The shards of a run as jobs of a CI service: GitHub Actions reads a job matrix from one line of
 * JSON, {"include": [{"name": "cpu-1", "shard": "1/4", "pool": "cpu", "labels": [...], ...}]}, by
 * `strategy: matrix: ${{ fromJSON(...) }}`, and gives each job to a runner that has all its labels.
 * Shards that need no device are of the pool cpu, the others of the pool gpu.
 *
 * Source: docs.github.com, "Workflow syntax for GitHub Actions" (jobs.<job_id>.strategy.matrix: at
 * most 256 jobs) and "Using self-hosted runners in a workflow" (labels).
 */

enum { TG_JOB_MATRIX_MOST = 256 };

/*
 * How many shards suit a plan that has none yet: each has its least rounds within the budget, a
 * block at least, and there is one for each pool.
 */
size_t tg_job_matrix_shards(const struct tg_plan *plan);

/*
 * Writes the line for a plan in at most TG_JOB_MATRIX_MOST shards, without those that have no
 * block. `machine` is the processor that runners must have, as uname tells it.
 */
void tg_job_matrix_write(FILE *out, const struct tg_plan *plan, const char *machine);

#endif
