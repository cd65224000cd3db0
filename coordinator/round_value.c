/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/round_value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/evidence.h"
#include "coordinator/rule.h"
#include "results/metric.h"
#include "results/stats.h"
#include "results/trend.h"
#include "worker/model/model.h"
#include "worker/probe/probe.h"

enum { LEAST_SAMPLES = 8, MOST_SAMPLES = 512 };

static const struct tg_series *series(const struct tg_measurement *m, const struct tg_rule *rule)
{
    const struct tg_series *s = m ? tg_measurement_series(m, rule->metric) : NULL;
    return s && s->count > 0 ? s : NULL;
}

/*
 * Whether a side has all the samples that its round was to have: two of each quad. Lines from
 * elsewhere may not say how many quads there were; then both sides must have equally many.
 */
static bool is_whole(const struct tg_measurement *m, const struct tg_series *s,
                     const struct tg_series *other)
{
    if (m->facts.quads == 0) return s->count % 2 == 0 && s->count == other->count;
    return (int64_t)s->count == 2 * m->facts.quads;
}

/*
 * What is measured once in a round, as loading a model: not what samples are taken of in turn, and
 * which are there, too.
 */
static bool is_once(const struct tg_measurement *m, const struct tg_series *s)
{
    const char *sampled = tg_probe_metric(&m->cell);
    bool is_beside = false;
    for (size_t i = 0; i < m->series_count; i++)
        is_beside = is_beside || (int64_t)m->series[i].count == 2 * m->facts.quads;
    return s->count == 1 && m->facts.quads > 0 && is_beside &&
           (!sampled || strcmp(sampled, s->metric) != 0);
}

static int value_of_quads(const struct tg_whole_round *r, double *value)
{
    const struct tg_series *of = series(r->of, r->rule), *to = series(r->to, r->rule);
    if (of && to && is_once(r->of, of) && is_once(r->to, to)) {
        *value = log(of->samples[0]) - log(to->samples[0]);
        return isfinite(*value) ? 0 : -1;
    }
    if (!of || !to || !is_whole(r->of, of, to) || !is_whole(r->to, to, of)) return -1;
    return tg_evidence_value(of, to, value);
}

static int value_of_exact(const struct tg_whole_round *r, double *value)
{
    const struct tg_series *of = series(r->of, r->rule);
    if (!of) return -1;
    *value = of->samples[0];
    return 0;
}

/* Of memory the most: what does not fit for a moment does not fit. */
static double level(const struct tg_series *s, const struct tg_metric *metric)
{
    double most = s->samples[0];
    if (strcmp(metric->unit, "B") != 0) return tg_stats_median(s->samples, s->count);
    for (size_t i = 1; i < s->count; i++) most = fmax(most, s->samples[i]);
    return most;
}

static int value_of_level(const struct tg_whole_round *r, double *value)
{
    const struct tg_series *of = series(r->of, r->rule);
    if (!of) return -1;
    const struct tg_metric *metric = tg_metric_find(r->rule->metric);
    *value = metric->nature == TG_FIXED ? of->samples[0] : log(level(of, metric));
    return isfinite(*value) ? 0 : -1;
}

static int value_of_difference(const struct tg_whole_round *r, double *value)
{
    const struct tg_series *of = series(r->of, r->rule), *to = series(r->to, r->rule);
    if (!of || !to) return -1;
    *value = of->samples[0] - to->samples[0];
    return 0;
}

/* How far the samples lie from their line: the median distance; `distances` has room for each. */
static double distance(const double *samples, size_t count, double slope, double *distances)
{
    for (size_t i = 0; i < count; i++) distances[i] = samples[i] - slope * (double)i;
    double centre = tg_stats_median(distances, count);
    for (size_t i = 0; i < count; i++) distances[i] = fabs(distances[i] - centre);
    return tg_stats_median(distances, count);
}

/*
 * By how much a sample `count` of them grow that never fall, and do so in both halves: the lesser
 * of the two; else 0.
 */
static double climb(const double *samples, size_t count, double sign)
{
    const size_t half = count / 2;
    for (size_t i = 1; i < count; i++)
        if (sign * (samples[i] - samples[i - 1]) < 0) return 0;
    return sign * fmin(sign * (samples[half - 1] - samples[0]) / (double)(half - 1),
                       sign * (samples[count - 1] - samples[half - 1]) / (double)half);
}

/* What is given out in large pieces stands still between them, which a median takes for its slope.
 */
static double steepest(const double *samples, size_t count, double slope)
{
    const double up = climb(samples, count, 1), down = climb(samples, count, -1);
    if (up > 0 && slope < up) slope = up;
    return down < 0 && slope > down ? down : slope;
}

int tg_round_value_slope(const double *samples, size_t count, double discard, double *slope)
{
    size_t first = (size_t)ceil(discard * (double)count), left = count > first ? count - first : 0;
    size_t stride = 1 + (left ? left - 1 : 0) / MOST_SAMPLES, half = left / stride / 2;
    double slopes[2], distances[2];
    if (left < LEAST_SAMPLES) return -1;
    double *kept = malloc(2 * half * sizeof *kept), *room = malloc(half * half * sizeof *room);
    if (!kept || !room) {
        free(kept);
        free(room);
        return -1;
    }
    /* The last ones: what is odd, or over, is the warm-up's. */
    for (size_t i = 0; i < 2 * half; i++)
        kept[i] = samples[count - 1 - (2 * half - 1 - i) * stride];
    for (int i = 0; i < 2; i++) {
        const double *own = kept + (size_t)i * half;
        slopes[i] = tg_trend_slope(own, half, 0.99, room).value;
        distances[i] = distance(own, half, slopes[i], room);
    }
    *slope = steepest(kept, 2 * half, slopes[distances[0] < distances[1] ? 0 : 1]) / (double)stride;
    free(kept);
    free(room);
    return isfinite(*slope) ? 0 : -1;
}

static int value_of_slope(const struct tg_whole_round *r, double *value)
{
    const struct tg_series *of = series(r->of, r->rule);
    return of ? tg_round_value_slope(of->samples, of->count, r->rule->discard, value) : -1;
}

/* ln(of / to) of what the two read of their models. */
static int growth_of_models(const struct tg_whole_round *r, double *growth)
{
    const struct tg_cell *of = &r->of->cell, *to = &r->to->cell;
    int64_t of_bytes = r->of->facts.packed_bytes, to_bytes = r->to->facts.packed_bytes;
    if ((of_bytes <= 0 || to_bytes <= 0) &&
        (tg_model_weights(of->model, of->layer, &of_bytes, NULL) < 0 ||
         tg_model_weights(to->model, to->layer, &to_bytes, NULL) < 0))
        return -1;
    *growth = log((double)of_bytes) - log((double)to_bytes);
    return 0;
}

static int value_of_growth(const struct tg_whole_round *r, double *value)
{
    const struct tg_series *of = series(r->of, r->rule), *to = series(r->to, r->rule);
    double growth;
    if (!of || !to || growth_of_models(r, &growth) < 0) return -1;
    *value = log(tg_stats_median(of->samples, of->count)) -
             log(tg_stats_median(to->samples, to->count)) - growth;
    return isfinite(*value) ? 0 : -1;
}

static const struct {
    const char *rule;
    int (*value)(const struct tg_whole_round *round, double *value);
} kinds[] = {
#define RULE(name, cells, values, reading, meaning) {#name, value_of_##values},
#include "coordinator/rules.def"
#undef RULE
};

int tg_round_value(const struct tg_whole_round *round, double *value)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].rule, round->rule->rule) == 0) return kinds[i].value(round, value);
    return -1;
}
