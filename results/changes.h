/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_CHANGES_H
#define TG_RESULTS_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "results/ranks.h"
#include "results/stats.h"

/*
 * What happened in a series of numbers, one a run in the order of runs: steps, which the series
 * does not come back from, and creep, a slow drift that no single step shows.
 *
 * The caller fills in what it demands and gives the values, which must be finite. Nothing is drawn
 * but from the seed, so that the same values and demands give the same answer, bit for bit.
 */

struct tg_change_demands {
    double level;        /* chance of naming anything where nothing happened */
    size_t permutations; /* at least 1 / level - 1, or nothing can be named */
    size_t segment_min;  /* fewest values (at least 2) between two steps */
    size_t creep_min;    /* fewest values that creep is looked for in (at least 2) */
    uint64_t seed;
};

/* A step: from value number `at` on another level holds. */
struct tg_change {
    size_t at;
    double p_value;
    /* How much higher the values up to the next step are than those back to the step before. */
    struct tg_rank_answer size;
};

struct tg_changes {
    struct tg_change *list; /* in the order of `at` */
    size_t count;
};

/*
 * Steps, by E-divisive: the series is split where the energy distance between what lies on either
 * side is greatest, if a share of at most `level` of random orders within the segments has as great
 * a one; then again, until none is. Where the values before the first step are exchangeable, the
 * chance of naming any step in a series without one is at most `level`. Costs count^2 operations
 * for each permutation. The result is released by tg_changes_release.
 *
 *   confidence  of the sizes' intervals
 *
 * Source: Matteson & James, J. Am. Statist. Assoc. 109 (2014) 334-345, with exponent 1.
 */
int tg_changes_find(const double *values, size_t count, const struct tg_change_demands *demands,
                    double confidence, struct tg_changes *changes, struct tg_error *err);

void tg_changes_release(struct tg_changes *changes);

/* A drift of the last values. */
struct tg_creep {
    bool is_found;
    size_t first, count;         /* the values that it is seen in, up to the last */
    double total;                /* over the window */
    struct tg_interval interval; /* of the total, at what is left of 1 - level for a window */
};

/*
 * Creep in a series of levels, whose noise is new in each value. Looks at the last creep_min
 * values, and at twice, four times as many and so on, each at its share of `level`, for a slope
 * (trend.h) that a line with it fits better, in the sum of absolute residuals, than the best single
 * step. Names the window where it does so by most.
 */
int tg_changes_creep(const double *levels, size_t count, const struct tg_change_demands *demands,
                     struct tg_creep *creep, struct tg_error *err);

/*
 * Creep in a series of increments, each with noise of its own, whose sums are the levels: such sums
 * wander by themselves, so neither steps nor slopes may be sought in them. In the same windows it
 * asks whether the increments lie around 0 (ranks.h), and names the window where they lie farthest
 * off it for the width of the interval. A single step among them changes little.
 */
int tg_changes_drift(const double *increments, size_t count,
                     const struct tg_change_demands *demands, struct tg_creep *creep,
                     struct tg_error *err);

#endif
