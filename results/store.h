/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_STORE_H
#define TG_RESULTS_STORE_H

#include <stddef.h>

#include "base/error.h"
#include "results/measurement.h"

/*
 * The evidence: HDF5 files of measurements, one file a worker and attempt, in a run's directory.
 * The only door to HDF5; docs/RESULTS.md has the layout.
 *
 * A file is created, rows are appended, and it is closed. A row is in the file when append returns,
 * and stays there however processes end; that the disk has it, should the machine go down, is sure
 * once the file is closed. To wait for the disk after each row would cost the farm's time. Rows are
 * never changed. Each row carries the SHA-256 of the row before it and of itself, as its JSON line;
 * when all files of a run are closed, digests.json has the SHA-256 of each. A run is read whole,
 * and refused if a digest does not fit.
 */

/* What was asked: texts that every file of a run carries. */
struct tg_store_plan {
    const char *matrix; /* the matrix file */
    const char *policy; /* the policy file */
    const char *plan;   /* plan.json */
};

struct tg_store; /* a file that is being written */

/* Creates the file, which must not exist. */
int tg_store_create(const char *path, const struct tg_store_plan *plan, struct tg_store **store,
                    struct tg_error *err);

/*
 * Appends a measurement and hands the file to the system. After a failure the file holds what it
 * held before and is not written again: later calls fail too.
 */
int tg_store_append(struct tg_store *store, const struct tg_measurement *m, struct tg_error *err);

/*
 * Closes, has the disk take the file, and frees. Accepts NULL. After a failed append it does not
 * touch the file.
 */
int tg_store_close(struct tg_store *store, struct tg_error *err);

/* A run, read: its measurements, file by file in the order written. */
struct tg_run {
    struct tg_measurement *rows;
    size_t count;
    char *matrix, *policy, *plan;
    char *acceptance;      /* NULL if the run has none */
    char *tries;           /* why it was gone on with; NULL if it was not */
    char evidence[65];     /* SHA-256 of all rows' digests, in their order */
    char beginning[65];    /* digest of the first row of the first attempt: no resume changes it */
    int64_t first_attempt; /* that has rows; 0 and "" without any */
    int is_sealed;         /* digests.json was there, and fits */
    char dropped[1024];    /* what was left damaged at the end of files, "" if nothing */
};

/*
 * Reads matrix.json, policy.json, plan.json, acceptance.json and tries.json if they are there, and
 * every worker-*.h5 of a directory, or what such a link leads to. A digest that does not fit is an
 * error, but for the last row of a file and for a file that is no HDF5 at all: a kill leaves such,
 * they are left out and named, as are blank rows at the end of a file, and rows from the first on
 * whose texts lie in pages that never reached the disk, which a machine leaves that went down. (In
 * a sealed run no byte has changed since the seal, and no file is locked.) A file of another
 * schema, or with other columns, is refused, and one that cannot be read for want of memory, rights
 * or a lock, or since the link leads nowhere; so is a run without a worker file that sealed.json
 * names, or where that has such damage and had not when it was sealed.
 */
int tg_store_read(const char *directory, struct tg_run *run, struct tg_error *err);

void tg_store_release(struct tg_run *run);

/*
 * Whether a worker's file is of what was asked: 0 if it is, 1 if a kill left it so that what it was
 * asked cannot be read (tg_store_read leaves it out, and names it), -1 if it is of another run.
 */
int tg_store_check_plan(const char *path, const struct tg_store_plan *plan, struct tg_error *err);

/*
 * Writes digests.json: the SHA-256 of those JSON files and of every worker file, which all are on
 * the disk by then. It is there whole, or not at all.
 */
int tg_store_seal(const char *directory, struct tg_error *err);

#endif
