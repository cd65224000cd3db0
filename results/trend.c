/* SPDX-License-Identifier: Apache-2.0 */
#include "results/trend.h"

#include <assert.h>
#include <math.h>

#include "results/distributions.h"

enum {
    MOST_EXACT = 60, /* values whose law of Kendall is counted out */
    MOST_INVERSIONS = MOST_EXACT * (MOST_EXACT - 1) / 4 + 1 /* the lower half of that law */
};

/*
 * How many of the smallest slopes lie below the interval, at most: the largest k for which fewer
 * than k of all pairs are in the wrong order with a chance of at most `tail`, in a random order of
 * n things. A thing that joins n - 1 others passes 0 to n - 1 of them with equal chances.
 */
static size_t rank_exact(size_t n, double tail)
{
    const size_t half = n * (n - 1) / 4 + 1;
    double chance[MOST_INVERSIONS] = {1}; /* of k pairs in the wrong order */
    double sum = 0;
    size_t k = 0;

    for (size_t things = 2; things <= n; things++) {
        for (size_t i = 1; i < half; i++) chance[i] += chance[i - 1];
        for (size_t i = half; i-- > 0;) {
            const double before = i >= things ? chance[i - things] : 0;
            chance[i] = (chance[i] - before) / (double)things;
        }
    }
    for (; k < half; k++) {
        sum += chance[k];
        if (sum > tail) break;
    }
    return k;
}

static size_t rank_normal(double n, double tail)
{
    const double sd = sqrt(n * (n - 1) * (2 * n + 5) / 72);
    const double k = n * (n - 1) / 4 + 0.5 + tg_distributions_normal_quantile(tail) * sd;
    return k < 1 ? 0 : (size_t)k;
}

struct tg_slope tg_trend_slope(const double *values, size_t count, double confidence,
                               double *slopes)
{
    const double tail = (1 - confidence) / 2;
    struct tg_slope slope = {0, {-INFINITY, INFINITY}};
    size_t pairs = 0;

    assert(confidence > 0 && confidence < 1);
    if (count < 2) return slope;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = i + 1; k < count; k++)
            slopes[pairs++] = (values[k] - values[i]) / (double)(k - i);
    }
    slope.value = tg_stats_select(slopes, pairs, (pairs - 1) / 2) / 2;
    slope.value += tg_stats_select(slopes, pairs, pairs / 2) / 2;
    slope.value += 0.0; /* a zero has no sign here */
    const size_t rank = count <= MOST_EXACT ? rank_exact(count, tail * (1 + 1e-12))
                                            : rank_normal((double)count, tail);
    if (rank == 0) return slope;
    slope.interval.low = tg_stats_select(slopes, pairs, rank - 1);
    slope.interval.high = tg_stats_select(slopes, pairs, pairs - rank);
    return slope;
}

static double mean_of(const double *values, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++) sum += values[i] / (double)count;
    return sum;
}

struct tg_variance_ratio tg_trend_f(const double *values, const int *groups, size_t count,
                                    size_t group_count)
{
    const double mean = mean_of(values, count);
    struct tg_variance_ratio ratio = {0, 0, 0};
    double between = 0;
    double within = 0;
    size_t used = 0;

    for (size_t g = 0; g < group_count; g++) {
        double sum = 0;
        double n = 0;
        for (size_t i = 0; i < count; i++) {
            if ((size_t)groups[i] != g) continue;
            sum += values[i] - mean;
            n++;
        }
        if (n == 0) continue;
        used++;
        between += sum / n * sum;
        for (size_t i = 0; i < count; i++) {
            if ((size_t)groups[i] != g) continue;
            const double distance = values[i] - mean - sum / n;
            within += distance * distance;
        }
    }
    if (used < 2 || count == used) return ratio;
    ratio.between = used - 1;
    ratio.within = count - used;
    between /= (double)ratio.between;
    within /= (double)ratio.within;
    if (between > 0) ratio.f = within > 0 ? between / within : INFINITY;
    return ratio;
}
