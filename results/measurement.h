/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_MEASUREMENT_H
#define TG_RESULTS_MEASUREMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/record.h"
#include "matrix/cell.h"
#include "matrix/spec.h"

/*
 * What one worker saw of one cell in one round of a block: how it went, the facts, and every sample
 * of every metric in the order taken. Its JSON line is its canonical form: what is sent between
 * ranks, digested in the store, and printed by `tritgate cell`.
 *
 * A measurement is initialised, filled, and freed.
 */

enum { TG_DEVICE_NAME_SIZE = 2 * TG_TEXT_SIZE + 32 };

enum tg_outcome {
    TG_MEASURED,
    TG_WRONG,   /* results differ from the reference: no samples */
    TG_CRASHED, /* the process died */
    TG_LATE,    /* it was killed at its deadline */
    TG_SKIPPED  /* it could not be run here, for the reason given */
};

struct tg_facts {
#define FIELD(name, KIND, fallback, unit, meaning) TG_MEMBER_##KIND(name)
#include "results/facts.def"
#undef FIELD
};

extern const struct tg_record_type tg_facts_type;

/* The samples of one metric, in base units. turns and begun are as long as samples, and behind
 * them in one piece of memory. */
struct tg_series {
    char metric[TG_TEXT_SIZE];
    double *samples;
    int64_t *turns; /* place in the drawn order of the block's samples, from 0 */
    int64_t *begun; /* monotonic nanoseconds of the node's clock */
    size_t count;
};

struct tg_measurement {
    struct tg_cell cell;
    char block[TG_BLOCK_TEXT_SIZE];
    int64_t round;   /* of the block, from 0 */
    int64_t attempt; /* of the run: 1, and one more after each resume */
    int session;     /* which of the runs that are judged together it is from; not stored */
    enum tg_outcome outcome;
    int64_t unpaired; /* 1: the other side of the block was not measured */
    char reason[1024];
    struct tg_facts facts;
    struct tg_series *series;
    size_t series_count;
};

/* "measured", "wrong", ... */
const char *tg_measurement_outcome(enum tg_outcome outcome);

/*
 * Whether its process was killed from outside: by SIGKILL, as where memory runs out, or by a
 * request to end, which whoever stops a job or a machine sends to all its processes.
 */
bool tg_measurement_was_killed(const struct tg_measurement *m);

/*
 * Whether it broke where it ran: its process was started, and the cell came to no end. What was
 * skipped before that, or killed from outside, says nothing of where it would have run.
 */
bool tg_measurement_broke(const struct tg_measurement *m);

/* Everything at its default, no series. */
void tg_measurement_init(struct tg_measurement *m);
void tg_measurement_free(struct tg_measurement *m);

/*
 * Adds a series of `count` samples that are all 0 and returns it, to be filled. The name is shorter
 * than TG_TEXT_SIZE. NULL when there is no memory. It may move the series added before.
 */
struct tg_series *tg_measurement_add(struct tg_measurement *m, const char *metric, size_t count);

/* A whole copy, to be freed by tg_measurement_free and free; NULL when there is no memory. */
struct tg_measurement *tg_measurement_copy(const struct tg_measurement *m);

/* Takes a series away, if it is there. */
void tg_measurement_drop(struct tg_measurement *m, const char *metric);

/* The series of that metric, or NULL. */
const struct tg_series *tg_measurement_series(const struct tg_measurement *m, const char *metric);

/* Its JSON line, without line end; the caller frees. */
char *tg_measurement_to_json(const struct tg_measurement *m);

/* The same with these facts only: a record type with some of the fields of tg_facts_type. */
char *tg_measurement_to_json_with(const struct tg_measurement *m,
                                  const struct tg_record_type *facts);

/* Reads a line into *m, which is then to be freed; on failure it is not. */
int tg_measurement_from_json(const char *line, struct tg_measurement *m, struct tg_error *err);

#endif
