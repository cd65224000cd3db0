/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PROBE_PROBE_H
#define TG_WORKER_PROBE_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "results/measurement.h"
#include "worker/place.h"
#include "worker/turns.h"

/*
 * How a cell is run, in a process of its own: its operands are made, its results are compared with
 * the exact reference, and only then, when they are right, is it warmed up and sampled.
 *
 * A process is conducted by lines of JSON on its descriptors 3 and 4 (see conduct.h), or runs by
 * hand, alone.
 */

/* What a process is told before it begins. */
struct tg_setup {
    struct tg_cell cell;
    char library[4096];      /* whose kernels */
    char model_path[4096];   /* the file of a whole model, else "" */
    char seed[TG_TEXT_SIZE]; /* of the operands, decimal */
    bool is_complete;        /* compare every result; else those of one column and the last rows */
    bool is_maker; /* make the shared operands; else take them if they would be the same */
    char operands_digest[TG_TEXT_SIZE]; /* of what the maker packed, "" for the maker */
    bool is_fixed;  /* also measure the metrics that are the same in every round */
    int64_t offset; /* bytes, a multiple of 64, by which operands are moved in their pages */
    int cores[TG_PLACE_CORES]; /* to be bound to, one a thread */
    int core_count;            /* 0: bound to none */
    int64_t cache_bytes;       /* of the last-level caches of its cores, 0 if that is not known */
    int64_t stream_bytes;      /* most of the set of matrices of cache=stream */
    int64_t data_bytes;        /* most private memory, 0 for no limit */
    double warmup_min_s, warmup_max_s, sample_s;
};

/* Descriptors of a conducted process. */
enum { TG_ASK = 3, TG_ANSWER = 4, TG_OPERANDS = 5, TG_TURNS = 6 };

struct tg_probe {
    const char *name;
    const char *meaning;
    bool has_model; /* it needs the file of a whole model */
    int untimed;    /* calls of each sample, before those that are timed */

    /*
     * The metric that samples of a cell give, and what of it one call does: a rate is `done` over
     * the seconds of a call. NULL where the cell gives none.
     */
    const char *(*metric)(const struct tg_cell *cell, double *done);

    /*
     * Bytes of private memory that a process for this cell needs at most; -1 if that is unknown.
     * `file` is the model's, "" where it is not at hand: then those of others are unknown.
     */
    int64_t (*bytes)(const struct tg_cell *cell, const char *file);

    /* Makes or maps the operands. `operands` is a descriptor to share them through, or -1. */
    int (*prepare)(const struct tg_setup *setup, int operands, struct tg_measurement *m,
                   void **state, struct tg_error *err);

    /*
     * Runs once and compares: sets the outcome `wrong` and its reason, or adds the fixed metrics if
     * they are asked for.
     */
    int (*check)(void *state, struct tg_measurement *m, struct tg_error *err);

    /*
     * Measures what one call could do at most, as facts (worker/probe/roof.h); `first` is the
     * number of the next call. The next one after that is number 0.
     */
    void (*roof)(void *state, int64_t first, struct tg_facts *facts);

    /* What is timed: calls number first..first+calls-1 of a sequence that all can begin anywhere.
     */
    void (*call)(void *state, int64_t first, int64_t calls);

    /*
     * One sample in a way of its own, as by another clock than the host's: what is untimed first,
     * as call number `first`, then `calls` timed. Returns false where the common way is to be gone.
     */
    bool (*sample)(void *state, int64_t first, int64_t calls, struct tg_turn *turn);

    /* After each sample: whatever else could run must sleep, for it is the other side's turn. */
    void (*rest)(void *state);

    /* Writes down what else is known of a sample, taken at this turn. NULL: nothing. */
    void (*note)(void *state, size_t turn, const struct tg_turn *taken);

    /* Compares again, what the timed calls have left: may set the outcome `wrong` and its reason.
     */
    void (*recheck)(void *state, struct tg_measurement *m);

    void (*close)(void *state);
};

/* The row of probes.def of that name, or NULL. */
const struct tg_probe *tg_probe_find(const char *name);

/* The rows in order; tg_probe_at(i) for i < tg_probe_count(). */
size_t tg_probe_count(void);
const struct tg_probe *tg_probe_at(size_t i);

/*
 * Whether the kernel's row in this program is of a device, whose driver takes memory, and starts
 * threads, as it likes.
 */
bool tg_probe_is_on_device(const struct tg_cell *cell);

/* Bytes of private memory that a process for this cell needs, as `bytes` of its probe. */
int64_t tg_probe_bytes(const struct tg_cell *cell, const char *file);

/* The metric of a cell's samples, NULL if it has none; and its value where a call took so long. */
const char *tg_probe_metric(const struct tg_cell *cell);
double tg_probe_value(const struct tg_cell *cell, double call_s);

/* The seconds of a call whose samples have this value in this metric; NAN if it is another's. */
double tg_probe_call_s(const struct tg_cell *cell, const char *metric, double value);

/*
 * Bytes that the set of matrices of this cell is to be larger than: four times the caches, as far
 * as stream_bytes goes, and stream_bytes where the caches are unknown (0). Of a hot cell 0.
 */
int64_t tg_probe_set_bytes(const struct tg_cell *cell, int64_t cache_bytes, int64_t stream_bytes);

void tg_probe_setup_init(struct tg_setup *setup);

/* A setup as the members of a JSON object, and back. */
void tg_probe_setup_add(struct tg_json *object, const struct tg_setup *setup);
int tg_probe_setup_read(const struct tg_json_file *file, struct tg_setup *setup,
                        struct tg_error *err);

/*
 * Runs a conducted process to its end: answers until descriptor 3 is closed. The driver of `device`
 * (NULL: of none) is started at once, so that the processes of a block do that at the same time.
 */
int tg_probe_run(const char *device, struct tg_error *err);

/* Runs one cell by hand with so many samples; *m is to be freed. */
int tg_probe_run_alone(const struct tg_setup *setup, size_t samples, struct tg_measurement *m,
                       struct tg_error *err);

/* The rows, each in its probe_<name>.c. */
#define PROBE(name) extern const struct tg_probe tg_probe_##name;
#include "worker/probe/probes.def"
#undef PROBE

#endif
