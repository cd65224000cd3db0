/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_STAGES_H
#define TG_COORDINATOR_STAGES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "results/store.h"

/*
 * Where the time of whole models went, stage by stage: of each cell of head, on each class of
 * hardware, the seconds of a stage, the median over rounds of their medians, and beside them those
 * of the build that it was compared with. They say where a difference comes from, and decide
 * nothing.
 */

enum tg_stage {
#define STAGE(name, metric, whose, title) TG_STAGE_##name,
#include "coordinator/stages.def"
#undef STAGE
    TG_STAGES
};

struct tg_stages {
    const struct tg_cell *cell; /* borrowed from the run's rows, as the next */
    const char *hardware;       /* its class */
    size_t rounds;
    double seconds[TG_STAGES];   /* NAN where a stage has none */
    double before[TG_STAGES];    /* likewise of base or copy, of stages of the kernels */
    double token_p50, token_p95; /* seconds of one token, over all samples; NAN but for decoding */
};

const char *tg_stages_title(enum tg_stage stage);

/* Whether a table of these has the stage: those of devices only where there is such a time. */
bool tg_stages_has(const struct tg_stages *list, size_t count, enum tg_stage stage);

/* Of all measured cells of whole models, in the order of rows. The list is the caller's, to free.
 */
int tg_stages_find(const struct tg_run *run, struct tg_stages **list, size_t *count,
                   struct tg_error *err);

#endif
