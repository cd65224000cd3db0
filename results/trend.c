/* SPDX-License-Identifier: Apache-2.0 */
#include "results/trend.h"

#include <math.h>

static double mean_of(const double *values, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++) sum += values[i] / (double)count;
    return sum;
}

/* The sum of products of distances from the mean, `lag` apart. */
static double products(const double *values, size_t count, double mean, size_t lag)
{
    double sum = 0;

    for (size_t i = 0; i + lag < count; i++) sum += (values[i] - mean) * (values[i + lag] - mean);
    return sum;
}

double tg_trend_lag_one(const double *values, size_t count)
{
    const double mean = mean_of(values, count);
    const double squares = products(values, count, mean, 0);
    return squares > 0 ? products(values, count, mean, 1) / squares : 0;
}

double tg_trend_effective_count(const double *values, size_t count)
{
    const double mean = mean_of(values, count);
    const double squares = products(values, count, mean, 0);
    double time = -1; /* how many values make one: 1 + twice the sum of autocorrelations */

    if (!(squares > 0)) return (double)count;
    for (size_t lag = 0; lag < count; lag += 2) {
        const double pair = products(values, count, mean, lag) +
                            products(values, count, mean, lag + 1);
        if (!(pair > 0)) break;
        time += 2 * pair / squares;
    }
    return (double)count / fmin(fmax(time, 1), (double)count);
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
