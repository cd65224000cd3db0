/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_STORE_HISTORY_H
#define TG_RESULTS_STORE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/record.h"
#include "matrix/cell.h"
#include "results/digest.h"

/*
 * The history: what decided runs said, kept for longer than the runs themselves. A directory with
 * one HDF5 file for each class of hardware; docs/RESULTS.md has the layout.
 *
 * Runs are added, and never taken away; one that was gone on with since takes the place of what was
 * kept of it, as it has all of that evidence and more. Who adds holds the class's lock file, reads
 * the file, writes a new one beside it and puts that in its place: whenever a process is killed,
 * the file is whole, with all verdicts of a run or with none, and of two that add at once neither
 * is lost. Readers need no lock.
 */

/* Files of 1 (no origins), 2 (no models) and 3 (no families) are read, too. */
#define TG_STORE_HISTORY_SCHEMA 4

struct tg_history_run {
    char date[TG_TEXT_SIZE];       /* UTC, of its last row */
    char evidence[TG_DIGEST_SIZE]; /* SHA-256 of its rows: a run is kept once */
    char version[TG_TEXT_SIZE];    /* of the program that decided */
    char flow[TG_TEXT_SIZE];
    char cpu[TG_TEXT_SIZE];
    char head[TG_DIGEST_SIZE];   /* SHA-256 of head's library */
    char base[TG_DIGEST_SIZE];   /* of base's, "" if there was none */
    char origin[TG_DIGEST_SIZE]; /* what stays when a run is gone on with; "" if not known */
    char model[TG_DIGEST_SIZE];  /* SHA-256 of the file of --model; "" if none or not known */
    char family[16];             /* "fail" if a family failed it, "pass" if none; "" if not known */
};

struct tg_history_test {
    char rule[TG_TEXT_SIZE], metric[TG_TEXT_SIZE];
    char of[TG_CELL_TEXT_SIZE], to[TG_CELL_TEXT_SIZE]; /* cells; `to` is "" for a test of one */
};

/* What a run said about a test; both by their place in the lists. Numbers as in a receipt. */
struct tg_history_verdict {
    int64_t run, test;
    char answer[16], word[40]; /* with no regard to what was accepted */
    int64_t is_shadow;         /* 1: head against its own copy */
    int64_t rounds;
    double estimate, low, high;  /* as a ratio less 1, or the value of the one cell */
    double of_median, to_median; /* of the metric, in its unit; NAN for one cell, and for what was
                                    held against stored numbers */
    char canary[TG_TEXT_SIZE];   /* names the code of the canaries; their times are compared only if
                                    it is equal. "unknown" */
    double canary_dot_s, canary_read_s; /* of the canaries beside it, NAN if not known */
};

struct tg_history {
    char hardware[TG_TEXT_SIZE];
    struct tg_history_run *runs;
    struct tg_history_test *tests;
    struct tg_history_verdict *verdicts;
    size_t run_count, test_count, verdict_count;
};

/*
 * Reads the history of a class of hardware; one that nobody has begun is empty. Files of another
 * schema or class, or with numbers that cannot be, are refused. To be released.
 */
int tg_store_history_read(const char *directory, const char *hardware, struct tg_history *history,
                          struct tg_error *err);

void tg_store_history_release(struct tg_history *history);

/*
 * Adds the runs of `added` that the history of its class does not have yet, by their evidence, nor
 * of the same origin with a later date, or with that date and no fewer rounds; sets *new_count to
 * how many those were. Makes the directory if it is not there.
 */
int tg_store_history_add(const char *directory, const struct tg_history *added, size_t *new_count,
                         struct tg_error *err);

/*
 * The classes of hardware that have a history, in the order of their names; the caller frees the
 * list. Fails if there is no such directory.
 */
int tg_store_history_classes(const char *directory, char (**classes)[TG_TEXT_SIZE], size_t *count,
                             struct tg_error *err);

#endif
