/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_STATS_H
#define TG_RESULTS_STATS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Numbers about numbers, each with its paper. Nothing here knows a policy or a file, keeps memory
 * or can fail. The same numbers in the same order give the same answer, bit for bit. All values
 * must be finite.
 *
 * What is decided round by round, and may be looked at after each, is in results/sequential.h.
 */

/* From low to high, ends included; -INFINITY and INFINITY where the data set no end. */
struct tg_interval {
    double low, high;
};

/* An interval of logarithms of ratios, as ratios less 1; an end that is not there is in neither. */
struct tg_interval tg_stats_ratios(struct tg_interval logarithms);

/*
 * Four samples taken in one go on one core, in the order ABBA or BAAB: two of each side, all in the
 * same unit and above zero.
 */
struct tg_quad {
    double head[2], base[2];
};

/*
 * Whether the logarithm of an evidence is over the logarithm of its line. It must be over by 1e-9,
 * so that the last bit of a logarithm, which differs between mathematical libraries, decides
 * nothing; what lies that close to the line is not over it.
 */
bool tg_stats_is_over(double log_value, double log_line);

/*
 * The number that has k smaller or equal ones before it (k < count), found by moving numbers: then
 * those before place k are at most it, those after at least.
 *
 * Source: Hoare, Commun. ACM 4 (1961) 321 (FIND).
 */
double tg_stats_select(double *numbers, size_t count, size_t k);

/* The median of count (at least 1) values; for an even count the mean of the middle two. */
double tg_stats_median(const double *values, size_t count);

/*
 * The value of a round: the median over its quads of (ln h1 + ln h2 - ln b1 - ln b2) / 2, the
 * logarithm of head over base, dimensionless.
 *
 *   quads   count (at least 1) quads of one round
 *   values  room for count numbers; receives the value of each quad, in order
 */
double tg_stats_round_value(const struct tg_quad *quads, size_t count, double *values);

/*
 * The Hodges-Lehmann estimate of the centre of count (at least 1) values: the median of all means
 * of two of them, each with itself included. Some microseconds for 100 values; above 1024, where
 * nothing is copied any more, 32 count^2 additions.
 *
 * Source: Hodges & Lehmann, Ann. Math. Statist. 34 (1963) 598-611.
 */
double tg_stats_hodges_lehmann(const double *values, size_t count);

/*
 * The Clopper-Pearson interval for the chance of an event that was seen `events` times in `trials`
 * (at least 1): never too short, whatever the chance.
 *
 * Source: Clopper & Pearson, Biometrika 26 (1934) 404-413.
 */
struct tg_interval tg_stats_clopper_pearson(size_t events, size_t trials, double confidence);

#endif
