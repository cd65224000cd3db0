/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_BEGIN_H
#define TG_COORDINATOR_BEGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "coordinator/crew.h"
#include "coordinator/guard.h"
#include "coordinator/inherit.h"
#include "coordinator/plan.h"
#include "results/store.h"

/*
 * How a run is begun: what the command line wishes becomes a plan and a directory, by workers that
 * announced themselves. Everything that can be wrong with it is found before anything is made.
 */

/* What the command line says; NULL or 0 where it does not. */
struct tg_wishes {
    const char *matrix, *policy, *out, *base, *head, *filter, *seed, *json, *resume, *accept,
        *changed, *step, *model, *model_cache;
    const char *shard; /* "2/4", NULL for a whole run */
    const char *inherit[TG_INHERIT_MOST];
    size_t inherit_count;
    const char *baseline, *history; /* stores */
    const char *mark;               /* where tritgate launch wants to be told how far it is */
    struct tg_identity identity;
    double budget_s; /* 0: the policy's */
    bool is_same, is_fail_fast;
};

/* A run in the making, on rank 0. */
struct tg_work {
    const struct tg_wishes *wishes;
    struct tg_crew *crew;
    struct tg_capability *workers;
    size_t worker_count;
    char directory[4096], head[4096], base[4096], model[4096], model_cache[4096];
    char exclusive[TG_TEXT_SIZE]; /* what blocks may not share: the policy's limit */
    struct tg_run run;            /* texts, and the rows of earlier attempts */
    struct tg_plan plan;
    bool *open; /* each class of hardware of a sealed run: has a test that did not pass; or NULL */
    int64_t attempt;
    size_t shard;               /* that the workers are of, 0 for a whole run */
    bool is_idle;               /* nothing that can be measured was changed */
    struct tg_guard_word guard; /* what the flow's guard says, if it stops the run; else empty */
    bool only_checks;           /* nothing is to be made */
    char missing[600];          /* rows of earlier attempts that may be on nodes, and why; or "" */
};

/*
 * Begins a new run: plan, directory and attempt of *work are set. Fails also where nothing is to be
 * measured, which is no error: then is_idle is set, or guard says why.
 */
int tg_begin(struct tg_work *work, struct tg_error *err);

/* Goes on with a run that was ended: asked as it was, by workers that have the same libraries. */
int tg_begin_again(struct tg_work *work, struct tg_error *err);

/*
 * Whether what is wished can be begun, as far as this machine alone can tell, which need not be one
 * of those that measure: it plans as their coordinator will, and looks for all that is named. Of a
 * run that is to be gone on with it does not look whether workers have its libraries. Makes nothing
 * but an empty receipt.
 */
int tg_begin_check(const struct tg_wishes *wishes, struct tg_error *err);

/*
 * Of the file of the model `gguf`, for whoever plans what a run would do: its path, absolute, as
 * --model names it (NULL: "", it does not); and once it is planned, if a cell asks for it, whether
 * anybody could run it. What BITNET_GGUF names is the workers', so that is looked at only where it
 * is here, too.
 */
int tg_begin_find_model(const char *named, char path[4096], struct tg_error *err);
int tg_begin_check_model(const struct tg_plan *plan, const char *file, struct tg_error *err);

/* What the others have filled, but for the crew. */
void tg_begin_release(struct tg_work *work);

#endif
