/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/stages.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/stats.h"
#include "worker/model/profile.h"
#include "worker/probe/probe.h"

enum whose { OURS, KERNELS, DEVICE };

static const struct {
    const char *metric;
    enum whose whose;
    const char *title;
} stages[] = {
#define STAGE(name, metric, whose, title) {#metric, whose, title},
#include "coordinator/stages.def"
#undef STAGE
};

const char *tg_stages_title(enum tg_stage stage)
{
    return stages[stage].title;
}

bool tg_stages_has(const struct tg_stages *list, size_t count, enum tg_stage stage)
{
    for (size_t i = 0; i < count; i++)
        if (isfinite(list[i].seconds[stage])) return true;
    return stages[stage].whose != DEVICE;
}

/*
 * The rows that are looked at, those of one class of hardware, and room for as many numbers as the
 * run has rows, and for all samples of one metric.
 */
struct room {
    const struct tg_run *run;
    const char *hardware;
    double *values;
};

static bool is_measured(const struct room *room, const struct tg_measurement *row,
                        const struct tg_cell *cell)
{
    return row->outcome == TG_MEASURED && memcmp(&row->cell, cell, sizeof *cell) == 0 &&
           strcmp(row->facts.hardware, room->hardware) == 0;
}

/* The median over rounds of the medians of a metric; NAN if no round has it. */
static double median_of(const struct room *room, const struct tg_cell *cell, const char *metric)
{
    size_t count = 0;
    for (size_t r = 0; r < room->run->count; r++) {
        const struct tg_measurement *row = &room->run->rows[r];
        if (!is_measured(room, row, cell)) continue;
        const struct tg_series *s = tg_measurement_series(row, metric);
        if (s && s->count > 0) room->values[count++] = tg_stats_median(s->samples, s->count);
    }
    return count ? tg_stats_median(room->values, count) : NAN;
}

/* Seconds of a stage; a rate of tokens becomes the seconds of the profile's prompt. */
static double stage_of(const struct room *room, const struct tg_cell *cell, enum tg_stage stage)
{
    const double value = median_of(room, cell, stages[stage].metric);
    const struct tg_profile *profile = tg_profile_find(cell->profile);
    if (stage != TG_STAGE_tokenize) return value;
    return profile ? (double)profile->prompt / value : NAN;
}

/* The p-th part of the times of single tokens, which every sample is or nearly is. */
static double token_of(const struct room *room, const struct tg_cell *cell, double p)
{
    const struct tg_profile *profile = tg_profile_find(cell->profile);
    size_t count = 0;
    if (!profile || profile->call != TG_CALL_TOKEN) return NAN;
    for (size_t r = 0; r < room->run->count; r++) {
        const struct tg_measurement *row = &room->run->rows[r];
        const struct tg_series *s = is_measured(room, row, cell)
                                        ? tg_measurement_series(row, profile->metric)
                                        : NULL;
        for (size_t i = 0; s && i < s->count; i++) room->values[count++] = 1 / s->samples[i];
    }
    return count ? tg_stats_select(room->values, count, (size_t)(p * (double)(count - 1) + 0.5))
                 : NAN;
}

/* Whose build head is held against in this run, if the same cell was measured with it. */
static bool find_before(const struct room *room, const struct tg_cell *cell, struct tg_cell *before)
{
    static const char *const builds[] = {"base", "copy"};
    for (int b = 0; b < 2; b++) {
        *before = *cell;
        tg_record_set(&tg_cell_type, before, "build", builds[b], NULL);
        for (size_t r = 0; r < room->run->count; r++)
            if (is_measured(room, &room->run->rows[r], before)) return true;
    }
    return false;
}

static void fill(const struct room *room, struct tg_stages *s)
{
    struct tg_cell before;
    const bool has_before = find_before(room, s->cell, &before);
    for (int stage = 0; stage < TG_STAGES; stage++) {
        s->seconds[stage] = stage_of(room, s->cell, (enum tg_stage)stage);
        s->before[stage] = has_before && stages[stage].whose == KERNELS
                               ? stage_of(room, &before, (enum tg_stage)stage)
                               : NAN;
    }
    s->token_p50 = token_of(room, s->cell, 0.5);
    s->token_p95 = token_of(room, s->cell, 0.95);
    for (size_t r = 0; r < room->run->count; r++)
        s->rounds += is_measured(room, &room->run->rows[r], s->cell);
}

static bool is_new(const struct tg_stages *list, size_t count, const struct tg_measurement *row)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(list[i].cell, &row->cell, sizeof row->cell) == 0 &&
            strcmp(list[i].hardware, row->facts.hardware) == 0)
            return false;
    return true;
}

int tg_stages_find(const struct tg_run *run, struct tg_stages **list, size_t *count,
                   struct tg_error *err)
{
    size_t samples = run->count + 1, found = 0;
    for (size_t r = 0; r < run->count; r++)
        for (size_t s = 0; s < run->rows[r].series_count; s++)
            samples += run->rows[r].series[s].count;
    struct room room = {.run = run, .values = malloc(samples * sizeof *room.values)};
    struct tg_stages *all = calloc(run->count + 1, sizeof *all);
    if (!room.values || !all) {
        free(room.values);
        free(all);
        return tg_fail(err, "out of memory");
    }
    for (size_t r = 0; r < run->count; r++) {
        const struct tg_measurement *row = &run->rows[r];
        const struct tg_probe *probe = tg_probe_find(row->cell.probe);
        if (row->outcome != TG_MEASURED || !probe || !probe->has_model ||
            !tg_probe_metric(&row->cell) || strcmp(row->cell.build, "head") != 0 ||
            !is_new(all, found, row))
            continue;
        room.hardware = all[found].hardware = row->facts.hardware;
        all[found].cell = &row->cell;
        fill(&room, &all[found++]);
    }
    free(room.values);
    *list = all;
    *count = found;
    return 0;
}
