/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_BASELINE_H
#define TG_RESULTS_BASELINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/record.h"
#include "matrix/cell.h"
#include "matrix/spec.h"
#include "results/digest.h"
#include "results/hardware.h"

/*
 * A baseline: what a build's cells took in earlier runs, so that a later run can ask whether head
 * is where that build was. It holds for one key, a time, and one kernel library, whose file is kept
 * beside it (baseline_store.h).
 *
 * Each run it was made of is a session. A cell has one value a session: the median over the rounds
 * of ln(median sample), and the same of the two canaries, kernels that never change and say how
 * fast the machine was. Sessions agree when, for every cell, the highest and the lowest of their
 * normalised values lie less than three of the cell's margins apart.
 *
 * A baseline is filled by its maker or read from JSON, merged, asked, and released.
 */

/* What must be equal for values to be comparable. Texts; the machine is the text of its record. */
struct tg_baseline_key {
    char hardware[TG_TEXT_SIZE]; /* class of `machine` */
    char machine[TG_HARDWARE_TEXT_SIZE];
    char version[TG_TEXT_SIZE]; /* of the program that measured */
    char build[512];            /* compiler, processor, build type and flags of the library */
    char models[1024];          /* of the cells, sorted, "," between */
    char canary[TG_TEXT_SIZE];  /* which canaries, "unknown" if none ran */
    char step[TG_TEXT_SIZE];    /* of the flow, which has limits of its own */
    char policy[TG_DIGEST_SIZE], matrix[TG_DIGEST_SIZE];
    char program[TG_DIGEST_SIZE]; /* whose own code measures whole models, "" if there are none */
    char model[TG_DIGEST_SIZE];   /* the file that is one of the models, "" if none is */
};

struct tg_baseline_session {
    char run[TG_DIGEST_SIZE]; /* digest of its first row: no resume changes it */
    char date[TG_TEXT_SIZE];  /* of its last row, UTC */
};

/* One cell in one session, as logarithms; canaries are NAN where they did not run. */
struct tg_baseline_value {
    int64_t session, rounds;
    double value, canary_dot, canary_read;
};

struct tg_baseline_cell {
    char cell[TG_CELL_TEXT_SIZE];
    char metric[TG_TEXT_SIZE];
    char block[TG_BLOCK_TEXT_SIZE]; /* in which it was measured: only the same is comparable */
    char canary[TG_TEXT_SIZE];      /* that normalises it: "dot", "read" or "none" */
    double margin;                  /* logarithm of a ratio */
    struct tg_baseline_value *values;
    size_t count;
};

struct tg_baseline {
    struct tg_baseline_key key;
    char library[TG_DIGEST_SIZE];                      /* SHA-256 of its file */
    char created[TG_TEXT_SIZE], expires[TG_TEXT_SIZE]; /* UTC, as 2026-03-31T12:00:00Z */
    struct tg_baseline_session *sessions;
    size_t session_count;
    struct tg_baseline_cell *cells;
    size_t cell_count;
};

/* Adds a session, a cell, or a value of a cell (all zero); NULL when there is no memory. */
struct tg_baseline_session *tg_baseline_add_session(struct tg_baseline *baseline);
struct tg_baseline_cell *tg_baseline_add_cell(struct tg_baseline *baseline);
struct tg_baseline_value *tg_baseline_add_value(struct tg_baseline_cell *cell);

/* The cell measured so, or NULL. */
const struct tg_baseline_cell *tg_baseline_find(const struct tg_baseline *baseline,
                                                const char *cell, const char *metric,
                                                const char *block);

/* A value less its cell's canary: what is compared. */
double tg_baseline_normalised(const struct tg_baseline_cell *cell,
                              const struct tg_baseline_value *value);

/* Writes the name of a baseline: 16 digits of the SHA-256 of its key and library. */
int tg_baseline_name(const struct tg_baseline *baseline, char name[TG_TEXT_SIZE],
                     struct tg_error *err);

/*
 * Names what keeps two keys from being equal, with both values ("policy 1b2c... here, 77aa...
 * there"; of machines the fields), in at most size - 1 bytes; nothing if they are equal. Returns
 * out.
 */
char *tg_baseline_difference(const struct tg_baseline_key *here,
                             const struct tg_baseline_key *there, char *out, size_t size);

/* Adds the sessions of another baseline of the same name that are not in this one yet. */
int tg_baseline_merge(struct tg_baseline *into, const struct tg_baseline *from,
                      struct tg_error *err);

/*
 * Fails unless there are two sessions, some cell is in two, and all agree; names the cell and both
 * numbers. Runs that are refused are made again, so what is left of them scatters less than a later
 * run will: within one margin that would hide a slow-down of it. Within three hardly any is refused
 * where sessions differ so little that a later run could be found unchanged.
 */
int tg_baseline_agree(const struct tg_baseline *baseline, struct tg_error *err);

/* Its JSON object, with the digest of all the rest as its last member; to be freed. */
struct tg_json *tg_baseline_to_json(const struct tg_baseline *baseline, struct tg_error *err);

/*
 * Reads the object. One whose digest does not fit what it says was edited, and is refused. To be
 * released; on failure it is not.
 */
int tg_baseline_from_json(const struct tg_json_file *file, const struct tg_json *object,
                          struct tg_baseline *baseline, struct tg_error *err);

void tg_baseline_release(struct tg_baseline *baseline);

#endif
