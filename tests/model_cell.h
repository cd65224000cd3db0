/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_MODEL_CELL_H
#define TG_TESTS_MODEL_CELL_H

#include <stdio.h>

#include "tests/tiny_model.h"
#include "tests/worker_cell.h"
#include "worker/probe/probe.h"

/* Cells of a tiny whole model, set up and measured. */

/* A setup of "probe=model model=tiny " and these axes. */
static inline struct tg_setup setup_of(const char *axes)
{
    struct tg_setup setup;
    struct tg_error err;
    char text[512];
    tg_probe_setup_init(&setup);
    snprintf(text, sizeof text, "probe=model model=tiny %s", axes);
    if (tg_cell_parse(text, &setup.cell, &err) < 0) fail_msg("%s", err.text);
    snprintf(setup.library, sizeof setup.library, "%s", kernel_library());
    snprintf(setup.model_path, sizeof setup.model_path, "%s", tiny_path);
    setup.warmup_min_s = 0.001;
    setup.warmup_max_s = 0.01;
    setup.sample_s = 1e-5;
    return setup;
}

static inline struct tg_measurement measure(const struct tg_setup *setup, size_t samples)
{
    struct tg_measurement m;
    struct tg_error err;
    if (tg_probe_run_alone(setup, samples, &m, &err) < 0) fail_msg("%s", err.text);
    return m;
}

static inline double only_sample(const struct tg_measurement *m, const char *metric)
{
    const struct tg_series *s = tg_measurement_series(m, metric);
    if (!s || s->count != 1) fail_msg("'%s' has not one sample", metric);
    return s->samples[0];
}

#endif
