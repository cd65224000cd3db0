/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_STORE_LAYOUT_H
#define TG_RESULTS_STORE_LAYOUT_H

#include <stdint.h>

#include "results/digest.h"
#include "results/measurement.h"
#include "results/store.h"

/*
 * How a measurement lies in a file: the columns of /runs and /series, made from axes.def and
 * facts.def, and the digests that chain the rows. Shared by the two halves of the store, which
 * write and read.
 */

#define TG_STORE_SCHEMA      1
#define TG_STORE_FIELDS_MOST 128

/*
 * Which axes and facts a file has as columns: those of the version that wrote it, in the order of
 * the tables. Rows may have been added to a table since, anywhere, but none moved, renamed or taken
 * away. What a file does not have stands at its default, and is not in the lines that its digests
 * are made of: a default axis never is, and a fact was not yet.
 */
struct tg_store_columns {
    struct tg_record_type axes, facts; /* their fields are the lists below: not to be copied */
    struct tg_field axis_fields[TG_STORE_FIELDS_MOST], fact_fields[TG_STORE_FIELDS_MOST];
};

/* A row of /runs: the cell, how it went, the facts, its digest. */
struct tg_store_row {
    struct tg_cell cell;
    char *block;
    int64_t round, attempt, unpaired;
    char outcome[16];
    char *reason;
    struct tg_facts facts;
    char digest[TG_DIGEST_SIZE];
};

/* A row of /series: where the samples of one metric of one row of /runs are in /samples. */
struct tg_store_series {
    int64_t run;
    char metric[TG_TEXT_SIZE];
    int64_t sample_first, sample_count;
};

/* The columns that a compound type (an open hid_t) has; all of this version's if it is -1. */
void tg_store_layout_columns(int64_t type, struct tg_store_columns *columns);

/* HDF5 types as hid_t, for the caller to close: in the file, and of the structs above. */
int64_t tg_store_layout_row_type(const struct tg_store_columns *columns);
int64_t tg_store_layout_row_memory(const struct tg_store_columns *columns);
int64_t tg_store_layout_series_type(void);
int64_t tg_store_layout_series_memory(void);
int64_t tg_store_layout_text_type(void);

/* The row of a measurement; block and reason are borrowed from it. */
void tg_store_layout_to_row(const struct tg_measurement *m, const char *digest,
                            struct tg_store_row *row);

/* The measurement of a row, without series. Fails for an outcome that does not exist. */
int tg_store_layout_from_row(const struct tg_store_row *row, const struct tg_store_columns *columns,
                             struct tg_measurement *m, struct tg_error *err);

/* What the first row's digest chains to: the SHA-256 of the three texts. */
int tg_store_layout_plan_digest(const struct tg_store_plan *plan, char digest[TG_DIGEST_SIZE],
                                struct tg_error *err);

/* SHA-256 of the digest before (64 digits) and the measurement's JSON line, with these facts. */
int tg_store_layout_row_digest(const char *before, const struct tg_measurement *m,
                               const struct tg_record_type *facts, char digest[TG_DIGEST_SIZE],
                               struct tg_error *err);

#endif
