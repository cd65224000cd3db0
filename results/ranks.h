/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_RANKS_H
#define TG_RESULTS_RANKS_H

#include <stddef.h>

#include "base/error.h"
#include "results/stats.h"

/*
 * Centres and shifts from the order of numbers alone, exact for few values and for any law:
 * the estimate is the median of what pairs of values say, the interval is cut out of the same pairs
 * by the exact law of their ranks, and p is the chance of as lopsided an order if there were
 * nothing to see. Wild values move none of them far.
 *
 * The same numbers in the same order give the same answer. All values must be finite; what they
 * cannot say comes back as an interval without end.
 */

struct tg_rank_answer {
    double estimate;
    struct tg_interval interval; /* at the confidence asked for, or more */
    double p_value;              /* of a centre or shift of 0; both sides */
};

/*
 * The centre of count (at least 1) values: Hodges and Lehmann's median of the means of any two,
 * with the interval and p of the signed-rank test, which needs a symmetric law.
 *
 * Source: Wilcoxon, Biometrics Bull. 1 (1945) 80-83; Hodges & Lehmann, Ann. Math. Statist. 34
 * (1963) 598-611.
 */
int tg_ranks_centre(const double *values, size_t count, double confidence,
                    struct tg_rank_answer *answer, struct tg_error *err);

/*
 * How much higher the values `after` lie than those `before` (at least 1 each): the median of their
 * differences, with the interval and p of the rank-sum test.
 *
 * Source: Mann & Whitney, Ann. Math. Statist. 18 (1947) 50-60, whose recursion gives the law.
 */
int tg_ranks_shift(const double *before, size_t before_count, const double *after,
                   size_t after_count, double confidence, struct tg_rank_answer *answer,
                   struct tg_error *err);

#endif
