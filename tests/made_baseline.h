/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_MADE_BASELINE_H
#define TG_TESTS_MADE_BASELINE_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "results/baseline.h"

/* Baselines that nobody measured, for tests: one cell, sessions with chosen values. */

#define MADE_CELL    "probe=kernel kernel=i2s_avx2 layer=640x2560"
#define MADE_BLOCK   MADE_CELL " | " MADE_CELL " build=copy"
#define MADE_LIBRARY "1111111111111111111111111111111111111111111111111111111111111111"

/* A session of the run `run` (a letter), in which the cell took e^value s and the canary 1 ms. */
static inline void made_session(struct tg_baseline *b, char run, double value)
{
    struct tg_baseline_session *session = tg_baseline_add_session(b);
    assert_non_null(session);
    memset(session->run, run, sizeof session->run - 1);
    snprintf(session->date, sizeof session->date, "2026-03-0%zuT12:00:00Z", b->session_count);
    struct tg_baseline_value *v = tg_baseline_add_value(&b->cells[0]);
    assert_non_null(v);
    *v = (struct tg_baseline_value){.session = (int64_t)b->session_count - 1,
                                    .rounds = 5,
                                    .value = value,
                                    .canary_dot = log(1e-3),
                                    .canary_read = NAN};
}

/* Without sessions. */
static inline struct tg_baseline made_baseline(void)
{
    struct tg_baseline b = {0};
    snprintf(b.key.hardware, sizeof b.key.hardware, "0123456789abcdef");
    snprintf(b.key.machine, sizeof b.key.machine, "microcode=0x2b000461 cores=32");
    snprintf(b.key.version, sizeof b.key.version, "0.1.0");
    snprintf(b.key.build, sizeof b.key.build, "GNU 13.2.0 x86_64 Release -O3");
    snprintf(b.key.models, sizeof b.key.models, "bitnet-2b");
    snprintf(b.key.canary, sizeof b.key.canary, "frozen");
    memset(b.key.policy, 'a', sizeof b.key.policy - 1);
    memset(b.key.matrix, 'b', sizeof b.key.matrix - 1);
    snprintf(b.library, sizeof b.library, "%s", MADE_LIBRARY);
    snprintf(b.created, sizeof b.created, "2026-03-04T12:00:00Z");
    snprintf(b.expires, sizeof b.expires, "2026-04-03T12:00:00Z");
    struct tg_baseline_cell *cell = tg_baseline_add_cell(&b);
    assert_non_null(cell);
    snprintf(cell->cell, sizeof cell->cell, MADE_CELL);
    snprintf(cell->metric, sizeof cell->metric, "call_time");
    snprintf(cell->block, sizeof cell->block, MADE_BLOCK);
    snprintf(cell->canary, sizeof cell->canary, "dot");
    cell->margin = log(1.05);
    return b;
}

#endif
