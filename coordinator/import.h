/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_IMPORT_H
#define TG_COORDINATOR_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"
#include "coordinator/plan.h"
#include "results/measurement.h"
#include "results/store.h"

/*
 * Foreign evidence: JSON lines of measurements that another program, or another farm, made. They
 * become a run like any other, but for its plan, which says that it was imported; whoever decides
 * on it must say that he wants to.
 *
 * Lines are read and checked whole; a plan is made of them, since nobody announced what he can do;
 * both are written, and the lines are released.
 */

/* Lines, read: rows[i] was line i + 1. */
struct tg_lines {
    struct tg_measurement *rows;
    size_t count;
};

/*
 * Reads every line. The hardware of a row that does not name it becomes its cpu, so that unlike
 * processors are never compared. Fails, with the line's number, for what is no measurement, names
 * no cell of its block, has a sample that its metric cannot have, or repeats the cell of a round.
 */
int tg_import_read(FILE *in, struct tg_lines *lines, struct tg_error *err);

/*
 * Gives blocks of two cells the order of the plan's tests, where a line names them the other way
 * round: which cell is which, it says by their builds. Fails as above where two rows become one.
 */
int tg_import_order(struct tg_lines *lines, const struct tg_plan *plan, struct tg_error *err);

/*
 * Fails for a row of a block of two cells whose other cell has no row in that round: what crashed
 * and was not written down would else be as if it had never been tried.
 */
int tg_import_check_pairs(const struct tg_lines *lines, struct tg_error *err);

void tg_import_release(struct tg_lines *lines);

/* A matrix of exactly the cells of head that the lines name; the caller frees. NULL: there is none.
 */
char *tg_import_matrix(const struct tg_lines *lines, struct tg_error *err);

/* The policy of lines that come without one: matrix/policy/kernels.json. */
extern const unsigned char tg_import_policy[];

/*
 * Says of each row which worker it is from: rows of the same (host, domain, hardware) are, and
 * workers are numbered from 0 as they first appear. Returns how many there are.
 */
size_t tg_import_workers(const struct tg_lines *lines, size_t workers[]);

/*
 * The text of plan.json: a worker for each (host, domain, hardware), with libraries made of the
 * digests and kernels that the lines name. `matrix` is the text of the matrix file; every kernel in
 * it counts as one that could run, unless the matrix was made of what was seen. The caller frees;
 * NULL on failure.
 */
char *tg_import_plan(const struct tg_lines *lines, const char *matrix, bool is_matrix_seen,
                     struct tg_error *err);

/* Writes the rows into a run's directory, a file for each worker of the plan, and seals it. */
int tg_import_store(const struct tg_lines *lines, const struct tg_run *texts, const char *directory,
                    struct tg_error *err);

#endif
