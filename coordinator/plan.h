/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_PLAN_H
#define TG_COORDINATOR_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "coordinator/acceptance.h"
#include "coordinator/changed.h"
#include "coordinator/inherit.h"
#include "matrix/policy.h"
#include "matrix/spec.h"
#include "results/baseline.h"
#include "results/hardware.h"
#include "results/measurement.h"
#include "worker/survey.h"

/*
 * What a run was asked, and by whom it could be done: the matrix, the policy, and what each worker
 * announced. `run` writes it down before the first round (plan.json); run, resume and gate make the
 * same tests from the same three texts.
 */

/* What a worker announced. */
struct tg_capability {
    char host[TG_TEXT_SIZE], domain[TG_TEXT_SIZE];
    char share[TG_TEXT_SIZE];            /* of its node, in which one block at a time is timed */
    char hardware[TG_TEXT_SIZE];         /* class of its machine, as in the fact; "unknown" */
    char machine[TG_HARDWARE_TEXT_SIZE]; /* the fields of that class, as their text; may be "" */
    char gpu[TG_TEXT_SIZE]; /* uuid of the whole GPU that it has, or a part of; or "" */
    char program[65];       /* SHA-256 of its program; "" in a plan, which has the coordinator's */
    struct tg_survey head, base;
    bool has_base;
    size_t parts; /* of its host that workers have (crew.h); 0 where that is not known */
    size_t shard; /* of the run, that it measures (shard.h); 0 where a run has no parts */
};

/* Options of a run that are part of what was asked. */
struct tg_asked {
    char seed[TG_TEXT_SIZE];
    char filter[1024];
    char flow[TG_TEXT_SIZE]; /* of the policy, "" if that is not known */
    char step[TG_TEXT_SIZE]; /* of that flow; "" for the last that writes its gate */
    double budget_s;
    char alarms[160];    /* what the farm's history says of false alarms, "" if there is none */
    size_t shard_count;  /* parts that the run is one of; 0 if it is whole */
    bool is_same;        /* head and base are meant to be the same: A/A */
    bool is_fail_fast;   /* measure no more once the run has failed */
    bool is_imported;    /* nothing of it was measured by this program */
    bool is_matrix_seen; /* its matrix is made of the cells seen, for want of one */
    char program[65];    /* SHA-256 of the program that began it, "" if that is not known */
    char acceptance[65]; /* SHA-256 of acceptance.json, "" if there is none */
    struct tg_changed changed;
    struct tg_inherit inherit;
    /* Stored baselines to compare with, one for each class of hardware at most; borrowed. */
    const struct tg_baseline *baselines;
    size_t baseline_count;
    char baseline_note[300]; /* see struct tg_lookout_choice; "" if nothing is wrong */
};

/* One of several runs that are judged together. */
struct tg_session {
    char evidence[65]; /* SHA-256 of its rows' digests */
    char seed[TG_TEXT_SIZE];
    size_t row_count;
    size_t shard;   /* 0 where a run has no parts */
    bool is_sealed; /* it was ended in order */
};

/* What is known of a test before it is measured. */
struct tg_prospect {
    enum {
        TG_TO_MEASURE,
        TG_TO_SKIP,
        TG_TO_FAIL,
        TG_TO_MISS
    } fate;           /* miss: its shard is not here */
    char reason[400]; /* of a skip, a failure or a miss */
};

/* A test whose cell has a stored baseline (lookout.h). */
struct tg_lookout {
    const struct tg_baseline *baseline;
    const struct tg_baseline_cell *cell; /* NULL if it has none */
    size_t block;                        /* in which head is measured as it was for the baseline */
};

struct tg_plan {
    char version[TG_TEXT_SIZE]; /* of the program that asked */
    struct tg_asked asked;
    struct tg_capability *workers;
    size_t worker_count;
    struct tg_words words;
    struct tg_policy policy;
    struct tg_spec spec;
    struct tg_prospect *prospects; /* one for each test of spec */
    struct tg_lookout *lookouts;   /* likewise */
    struct tg_baseline *baselines; /* those of asked */
    char baseline_digest[65];      /* SHA-256 of their text, "" if there are none */
    char (*classes)[TG_TEXT_SIZE]; /* of hardware, in the order in which workers first have them */
    size_t class_count;
    size_t required_count; /* statistical tests that count: the N of the error rate */
    bool has_base;
    bool is_own_policy;          /* the policy is the one that the run was measured for */
    bool is_own_text;            /* ... or only its step is another */
    bool accepts_imported;       /* who decides wants imported evidence decided on */
    struct tg_session *sessions; /* runs that are judged together; none where it is one */
    size_t session_count;
    char matrix_digest[65], policy_digest[65]; /* SHA-256 of the texts */
    struct tg_acceptance acceptance;           /* see tg_plan_accept */
    bool is_own_acceptance; /* it is the one that the run was begun with, or there is none */
};

/*
 * Makes the plan from the texts of the matrix and policy and the text of plan.json; `path` is the
 * matrix's, for messages. The result is released by tg_plan_release.
 */
int tg_plan_make(const char *matrix, const char *path, const char *policy, const char *plan_text,
                 struct tg_plan *plan, struct tg_error *err);

/* The text of plan.json; the caller frees. */
char *tg_plan_text(const struct tg_asked *asked, const struct tg_capability *workers,
                   size_t worker_count);

/* Takes the text of an acceptance file, NULL for none, in the place of the one taken before. */
int tg_plan_accept(struct tg_plan *plan, const char *text, struct tg_error *err);

void tg_plan_release(struct tg_plan *plan);

/* Reads what a worker announced (see serve.h). */
int tg_plan_capability(const struct tg_json_file *file, const struct tg_json *announced,
                       struct tg_capability *worker, struct tg_error *err);
void tg_plan_capability_release(struct tg_capability *worker);

/* Whether a row belongs to a block: to its cells, and to its class of hardware. */
bool tg_plan_is_of(const struct tg_plan *plan, const struct tg_block *block,
                   const struct tg_measurement *row);

/*
 * Whether a test fails nothing: its rule says so, or it counts on other hardware than the test's.
 */
bool tg_plan_is_optional(const struct tg_plan *plan, size_t test);

/* Whether a cell of a block runs on a device of its own, as the kernels' table says. */
bool tg_plan_needs_device(const struct tg_plan *plan, const struct tg_block *block);

/*
 * Which workers can run the same: for each the first one that says of itself what it does, but for
 * its name and place.
 */
int tg_plan_liken(const struct tg_capability workers[], size_t count, size_t first[],
                  struct tg_error *err);

/* How many devices there are that can run a block which needs one; 0 for one that does not. */
size_t tg_plan_devices(const struct tg_plan *plan, const struct tg_block *block);

/* Whether two workers have the same GPU, or parts of one. */
bool tg_plan_share_gpu(const struct tg_capability *a, const struct tg_capability *b);

/* Whether a worker can run all cells of a block; if not, why. */
bool tg_plan_can_run(const struct tg_plan *plan, const struct tg_capability *worker,
                     const struct tg_block *block, char *reason, size_t size);

#endif
