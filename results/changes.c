/* SPDX-License-Identifier: Apache-2.0 */
#include "results/changes.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/trend.h"

static const double SLACK = 1e-9; /* sums of another order are equal if they differ by less */

/* splitmix64: Steele, Lea & Flood, OOPSLA 2014. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void shuffle(double *values, size_t count, uint64_t *state)
{
    for (size_t i = count; i > 1; i--) {
        const size_t k = (size_t)((draw(state) >> 32) * i >> 32);
        const double kept = values[i - 1];
        values[i - 1] = values[k];
        values[k] = kept;
    }
}

struct split {
    size_t at;
    double statistic; /* 0 if there is none */
};

/*
 * The best split of the values: over all ends kappa, and all places tau to split the values up to
 * there, the greatest
 *
 *   tau (kappa - tau) / kappa (2 mean |x - y| - mean |x - x'| - mean |y - y'|)
 *
 * with x the first tau values and y those from there to kappa; means are over pairs.
 *
 *   within  room for count + 1: the sum of all distances among the first so many values
 *   reach   room for count: of each value, the sum of its distances to the first tau
 */
static struct split best_split(const double *values, size_t count, size_t least, double *within,
                               double *reach)
{
    struct split best = {0, 0};

    within[0] = 0;
    for (size_t k = 0; k < count; k++) {
        double sum = 0;
        for (size_t i = 0; i < k; i++) sum += fabs(values[i] - values[k]);
        within[k + 1] = within[k] + sum;
        reach[k] = 0;
    }
    for (size_t tau = 1; tau + least <= count; tau++) {
        const double m = (double)tau;
        double between = 0;
        for (size_t k = tau; k < count; k++) {
            reach[k] += fabs(values[tau - 1] - values[k]);
            between += reach[k];
            const size_t kappa = k + 1;
            if (tau < least || kappa - tau < least) continue;
            const double n = (double)(kappa - tau);
            const double inside = within[kappa] - within[tau] - between;
            const double energy = 2 * between / (m * n) - 2 * within[tau] / (m * (m - 1)) -
                                  2 * inside / (n * (n - 1));
            const double statistic = m * n / (m + n) * energy;
            if (statistic > best.statistic * (1 + SLACK)) best = (struct split){tau, statistic};
        }
    }
    return best;
}

/* The series as it is divided so far. */
struct division {
    const double *values;
    size_t count;
    const struct tg_change_demands *demands;
    size_t *starts; /* of the segments, in order; starts[segments] is count */
    size_t segments;
    double *work; /* room for three times count, and 1 */
};

/* The best split of any segment, of values that are the series or permuted within segments. */
static struct split best_of_all(const struct division *d, const double *values)
{
    struct split best = {0, 0};

    for (size_t s = 0; s < d->segments; s++) {
        const size_t first = d->starts[s], size = d->starts[s + 1] - first;
        if (size < 2 * d->demands->segment_min) continue;
        const struct split one = best_split(values + first, size, d->demands->segment_min, d->work,
                                            d->work + d->count + 1);
        if (one.statistic > best.statistic * (1 + SLACK))
            best = (struct split){first + one.at, one.statistic};
    }
    return best;
}

/*
 * The share of orders with as good a split, the order as it is among them; 1 as soon as it is over
 * the level for certain.
 */
static double p_of(const struct division *d, double statistic, uint64_t *state)
{
    double *permuted = d->work + 2 * d->count + 1;
    const double all = (double)d->demands->permutations + 1;
    size_t as_good = 1;

    memcpy(permuted, d->values, d->count * sizeof *permuted);
    for (size_t i = 0; i < d->demands->permutations; i++) {
        if ((double)as_good > d->demands->level * all * (1 + SLACK)) return 1;
        for (size_t s = 0; s < d->segments; s++)
            shuffle(permuted + d->starts[s], d->starts[s + 1] - d->starts[s], state);
        as_good += best_of_all(d, permuted).statistic >= statistic * (1 - SLACK);
    }
    return (double)as_good / all;
}

static void insert_start(struct division *d, size_t at)
{
    size_t s = d->segments++;

    d->starts[d->segments] = d->count;
    for (; d->starts[s - 1] > at; s--) d->starts[s] = d->starts[s - 1];
    d->starts[s] = at;
}

/* Splits as long as it may; p_values[at] of each start. */
static void divide(struct division *d, double *p_values)
{
    uint64_t state = d->demands->seed;

    for (;;) {
        const struct split best = best_of_all(d, d->values);
        if (best.statistic <= 0) return;
        const double p = p_of(d, best.statistic, &state);
        if (p > d->demands->level * (1 + SLACK)) return;
        insert_start(d, best.at);
        p_values[best.at] = p;
    }
}

static int measure(const struct division *d, const double *p_values, double confidence,
                   struct tg_change *list, struct tg_error *err)
{
    for (size_t s = 1; s < d->segments; s++) {
        const size_t before = d->starts[s - 1], at = d->starts[s], after = d->starts[s + 1];
        list[s - 1] = (struct tg_change){.at = at, .p_value = p_values[at]};
        if (tg_ranks_shift(d->values + before, at - before, d->values + at, after - at, confidence,
                           &list[s - 1].size, err) < 0)
            return -1;
    }
    return 0;
}

int tg_changes_find(const double *values, size_t count, const struct tg_change_demands *demands,
                    double confidence, struct tg_changes *changes, struct tg_error *err)
{
    struct division d = {.values = values, .count = count, .demands = demands, .segments = 1};
    struct tg_change *list = NULL;
    double *p_values = calloc(count + 1, sizeof *p_values);
    int rc = -1;

    assert(demands->segment_min >= 2 && demands->level > 0);
    d.starts = calloc(count + 2, sizeof *d.starts);
    d.work = calloc(3 * count + 1, sizeof *d.work);
    if (!p_values || !d.starts || !d.work) {
        tg_fail(err, "out of memory");
        goto out;
    }
    d.starts[1] = count;
    divide(&d, p_values);
    list = calloc(d.segments, sizeof *list);
    rc = list ? measure(&d, p_values, confidence, list, err) : tg_fail(err, "out of memory");
    if (rc == 0)
        *changes = (struct tg_changes){list, d.segments - 1};
    else
        free(list);
out:
    free(d.work);
    free(d.starts);
    free(p_values);
    return rc;
}

void tg_changes_release(struct tg_changes *changes)
{
    free(changes->list);
    *changes = (struct tg_changes){0};
}

/* The sum of the absolute distances of values from their median. */
static double spread(const double *values, size_t count)
{
    const double centre = tg_stats_median(values, count);
    double sum = 0;

    for (size_t i = 0; i < count; i++) sum += fabs(values[i] - centre);
    return sum;
}

/* How many times as much the best single step leaves as a line of that slope does. */
static int gain_of_line(const double *values, size_t count, double slope, double *gain,
                        struct tg_error *err)
{
    double *rest = calloc(count, sizeof *rest);
    double step = INFINITY;

    if (!rest) return tg_fail(err, "out of memory");
    for (size_t i = 0; i < count; i++) rest[i] = values[i] - slope * (double)i;
    for (size_t at = 1; at < count; at++)
        step = fmin(step, spread(values, at) + spread(values + at, count - at));
    *gain = step > 0 ? step / (spread(rest, count) + step * SLACK) : 0;
    free(rest);
    return 0;
}

/* How many windows there are: creep_min values, twice as many, ... */
static size_t window_count(size_t count, size_t creep_min)
{
    size_t windows = 0;

    assert(creep_min >= 2);
    for (size_t size = creep_min; size <= count; size *= 2) windows++;
    return windows;
}

/* The rise from one value to the next, of levels or of what increments add. */
static int rise_of(const double *window, size_t size, double confidence, bool is_levels,
                   struct tg_slope *rise, struct tg_error *err)
{
    struct tg_rank_answer centre;
    if (!is_levels) {
        if (tg_ranks_centre(window, size, confidence, &centre, err) < 0) return -1;
        *rise = (struct tg_slope){centre.estimate, centre.interval};
        return 0;
    }
    double *slopes = calloc(size * (size - 1) / 2 + 1, sizeof *slopes);
    if (!slopes) return tg_fail(err, "out of memory");
    *rise = tg_trend_slope(window, size, confidence, slopes);
    free(slopes);
    return 0;
}

/* How far an interval lies off 0, for its width; 0 if it holds 0. */
static double distance_of(struct tg_interval interval)
{
    const double off = fmax(interval.low, -interval.high);
    return off > 0 ? off / (interval.high - interval.low + off * SLACK) : 0;
}

/* The window that says most, of those whose interval at its share of the level lies off 0. */
static int search(const double *values, size_t count, const struct tg_change_demands *demands,
                  bool is_levels, struct tg_creep *creep, struct tg_error *err)
{
    const size_t windows = window_count(count, demands->creep_min);
    const double share = windows ? demands->level / (double)windows : 0;
    struct tg_creep best = {0};
    double most = is_levels ? 1 + SLACK : 0; /* a line must gain something over a step */

    for (size_t w = 0, size = demands->creep_min; w < windows; w++, size *= 2) {
        const double *window = values + count - size;
        /* From the first of `size` levels to the last there are size - 1 rises. */
        const double rises = (double)(is_levels ? size - 1 : size);
        struct tg_slope rise = {0};
        if (rise_of(window, size, 1 - share, is_levels, &rise, err) < 0) return -1;
        const double distance = distance_of(rise.interval);
        double says = distance;
        if (is_levels && gain_of_line(window, size, rise.value, &says, err) < 0) return -1;
        if (distance <= 0 || says < most * (1 - SLACK)) continue;
        most = says;
        best = (struct tg_creep){true,
                                 count - size,
                                 size,
                                 rise.value * rises,
                                 {rise.interval.low * rises, rise.interval.high * rises}};
    }
    *creep = best;
    return 0;
}

int tg_changes_creep(const double *levels, size_t count, const struct tg_change_demands *demands,
                     struct tg_creep *creep, struct tg_error *err)
{
    return search(levels, count, demands, true, creep, err);
}

int tg_changes_drift(const double *increments, size_t count,
                     const struct tg_change_demands *demands, struct tg_creep *creep,
                     struct tg_error *err)
{
    return search(increments, count, demands, false, creep, err);
}
