/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_TREND_H
#define TG_RESULTS_TREND_H

#include <stddef.h>

#include "results/stats.h"

/*
 * Whether a series is what a test takes it for: without a slope, the same in all groups. Pure
 * functions of finite values in the order in which they were measured; what too few values cannot
 * say comes back as the answer of a series that is in order.
 */

/* A slope in units of the values for each step of the index. */
struct tg_slope {
    double value;
    struct tg_interval interval; /* without ends where the values set none */
};

/*
 * The slope of a series against its index: the median of the slopes between all pairs of values,
 * and the interval between two of these slopes that holds the true one with at least the confidence
 * (a share, for example 0.99), whatever the law of the noise, if the noise of one value is
 * independent of the others'. Fewer than two values have the slope 0.
 *
 *   slopes  room for count * (count - 1) / 2 numbers, which are lost
 *
 * Up to 60 values the interval comes from the exact law of Kendall's statistic, beyond that from
 * its normal approximation with a correction for continuity, which errs towards wider intervals.
 *
 * Source: Theil, Indag. Math. 12 (1950) 85-91; Sen, J. Am. Statist. Assoc. 63 (1968) 1379-1389;
 * Kendall, Rank Correlation Methods (1948), for the law.
 */
struct tg_slope tg_trend_slope(const double *values, size_t count, double confidence,
                               double *slopes);

/* The variance between groups over that within them, and the degrees of freedom of both. */
struct tg_variance_ratio {
    double f; /* 0 where either has no degrees of freedom; INFINITY if only groups differ */
    size_t between, within;
};

/*
 * One-way analysis of variance of values in groups. Fisher's F with these degrees of freedom is its
 * law if all groups have one mean and one normal noise; tg_distributions_f_tail gives the chance.
 * f * between is Cochran's Q for groups of one common variance.
 *
 *   groups       of each value, from 0 to group_count - 1; groups without values do not count
 *   group_count  costs as many passes over the values
 *
 * Source: Fisher, Statistical Methods for Research Workers (1925), chapter 7; Cochran, Biometrics
 * 10 (1954) 101-129.
 */
struct tg_variance_ratio tg_trend_f(const double *values, const int *groups, size_t count,
                                    size_t group_count);

#endif
