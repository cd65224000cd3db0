/* SPDX-License-Identifier: Apache-2.0 */
#include "results/trend.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "coordinator/noise.h"
#include "results/distributions.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

enum { MOST_VALUES = 120, MOST_PAIRS = MOST_VALUES * (MOST_VALUES - 1) / 2, LONG = 20000 };

static double slopes[MOST_PAIRS];
static double series[LONG];

static void assert_within(double value, double wanted, double distance)
{
    if (fabs(value - wanted) <= distance) return;
    fail_msg("%.17g is not within %g of %.17g", value, distance, wanted);
}

static uint64_t seed; /* of all noise */

/*
 * Double ratios of rainfall in five years of seeding clouds: the slope is -.056, and its 91.6 %
 * interval (-.13, .01). Hollander & Wolfe, Nonparametric Statistical Methods, chapter 9.
 */
static void a_textbook_slope_comes_out(void **state)
{
    (void)state;
    static const double ratios[] = {1.26, 1.27, 1.12, 1.16, 1.03};
    const struct tg_slope slope = tg_trend_slope(ratios, COUNT_OF(ratios), 0.916, slopes);

    assert_within(slope.value, -0.05625, 1e-12);
    assert_within(slope.interval.low, -0.13, 1e-12);
    assert_within(slope.interval.high, 0.01, 1e-12);
    /* one pair fewer on either side has 98.3 %, and no pair can have more */
    assert_within(tg_trend_slope(ratios, 5, 0.98, slopes).interval.high, 0.04, 1e-12);
    assert_true(isinf(tg_trend_slope(ratios, 5, 0.984, slopes).interval.high));
}

static int compare(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* All slopes in ascending order; returns how many. */
static size_t sorted_slopes(const double *values, size_t count, double *sorted)
{
    size_t pairs = 0;

    for (size_t i = 0; i < count; i++)
        for (size_t k = i + 1; k < count; k++)
            sorted[pairs++] = (values[k] - values[i]) / (double)(k - i);
    qsort(sorted, pairs, sizeof *sorted, compare);
    return pairs;
}

/* The ranks of the ends, counted apart from this program with whole numbers of any size. */
static void intervals_have_the_ranks_of_kendalls_law(void **state)
{
    (void)state;
    static const struct {
        size_t count;
        double confidence;
        size_t rank; /* 0: no ends */
    } rows[] = {
        {2, .9, 0},    {3, .9, 0},     {4, .9, 1},         {4, .95, 0},    {5, .95, 1},
        {5, .99, 0},   {6, .99, 1},    {7, .95, 4},        {8, .99, 4},    {9, .95, 9},
        {10, .95, 12}, {10, .99, 9},   {12, .99, 15},      {15, .95, 33},  {10, .999999, 1},
        {20, .9, 70},  {20, .99, 56},  {30, .95, 163},     {40, .99, 280}, {40, .999999, 190},
        {60, .9, 756}, {60, .99, 684}, {60, .999999, 514},
    };
    static double sorted[MOST_PAIRS];
    double values[MOST_VALUES];

    seed = 1;
    for (size_t i = 0; i < MOST_VALUES; i++) values[i] = tg_noise_normal(&seed);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const size_t pairs = sorted_slopes(values, rows[i].count, sorted);
        const struct tg_slope slope = tg_trend_slope(values, rows[i].count, rows[i].confidence,
                                                     slopes);
        assert_true(slope.value == sorted[(pairs - 1) / 2] / 2 + sorted[pairs / 2] / 2);
        if (rows[i].rank == 0) {
            assert_true(slope.interval.low == -INFINITY && slope.interval.high == INFINITY);
        } else {
            assert_true(slope.interval.low == sorted[rows[i].rank - 1]);
            assert_true(slope.interval.high == sorted[pairs - rows[i].rank]);
        }
    }
}

/* The exact ranks are as those above; the approximation may be a little on the safe side. */
static void long_series_have_nearly_the_exact_ranks(void **state)
{
    (void)state;
    static const struct {
        size_t count;
        double confidence;
        size_t rank;
    } rows[] = {{61, .9, 783},   {61, .95, 758},   {61, .99, 709},   {61, .999999, 534},
                {100, .9, 2199}, {100, .95, 2146}, {100, .99, 2044}, {100, .999999, 1669}};
    static double sorted[MOST_PAIRS];
    double values[MOST_VALUES];

    seed = 2;
    for (size_t i = 0; i < MOST_VALUES; i++) values[i] = tg_noise_normal(&seed);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const size_t pairs = sorted_slopes(values, rows[i].count, sorted);
        const size_t rank = rows[i].rank;
        const struct tg_interval interval =
            tg_trend_slope(values, rows[i].count, rows[i].confidence, slopes).interval;
        assert_true(interval.low <= sorted[rank - 1]);
        assert_true(interval.low >= sorted[rank - 1 - rank / 25]);
        assert_true(interval.high >= sorted[pairs - rank]);
        assert_true(interval.high <= sorted[pairs - rank + rank / 25]);
    }
}

static void the_interval_holds_the_slope_as_often_as_it_says(void **state)
{
    (void)state;
    static const size_t counts[] = {7, 24, 80};
    double values[MOST_VALUES];

    seed = 3;
    for (size_t c = 0; c < COUNT_OF(counts); c++) {
        int missed = 0;
        for (int i = 0; i < 1000; i++) {
            for (size_t k = 0; k < counts[c]; k++) {
                const double spike = tg_noise_uniform(&seed) < 0.1
                                         ? -3 * log(tg_noise_uniform(&seed))
                                         : 0;
                values[k] = 0.25 * (double)k + tg_noise_normal(&seed) + spike;
            }
            const struct tg_slope slope = tg_trend_slope(values, counts[c], 0.95, slopes);
            missed += slope.interval.low > 0.25 || slope.interval.high < 0.25;
        }
        assert_true(missed <= 65); /* 50 are allowed, +- 7 */
        assert_true(missed >= 10); /* and an interval that always holds it would be no interval */
    }
}

static void short_and_still_series_have_no_slope(void **state)
{
    (void)state;
    static const double still[] = {-3, -3, -3, -3, -3, -3, -3, -3, -3};
    const struct tg_slope slope = tg_trend_slope(still, COUNT_OF(still), 0.99, slopes);

    assert_true(slope.value == 0 && !signbit(slope.value));
    assert_true(slope.interval.low == 0 && slope.interval.high == 0);
    assert_true(tg_trend_slope(still, 0, 0.9, slopes).value == 0);
    assert_true(isinf(tg_trend_slope(still, 1, 0.9, slopes).interval.low));
}

/* SiRstv of the NIST Statistical Reference Datasets: resistivity by five instruments. */
static void a_reference_analysis_of_variance_comes_out(void **state)
{
    (void)state;
    static const double ohms[] = {
        196.3052, 196.1240, 196.1890, 196.2569, 196.3403, 196.3042, 196.3825, 196.1669, 196.3257,
        196.0422, 196.1303, 196.2005, 196.2889, 196.0343, 196.1811, 196.2795, 196.1748, 196.1494,
        196.1485, 195.9885, 196.2119, 196.1051, 196.1850, 196.0052, 196.2090,
    };
    int groups[COUNT_OF(ohms)];

    for (size_t i = 0; i < COUNT_OF(ohms); i++) groups[i] = (int)(i / 5);
    struct tg_variance_ratio ratio = tg_trend_f(ohms, groups, COUNT_OF(ohms), 5);
    assert_within(ratio.f, 1.18046237440255, 1e-9);
    assert_int_equal(ratio.between, 4);
    assert_int_equal(ratio.within, 20);

    /* the same with groups that no value is in */
    for (size_t i = 0; i < COUNT_OF(ohms); i++) groups[i] = 2 * groups[i] + 1;
    ratio = tg_trend_f(ohms, groups, COUNT_OF(ohms), 12);
    assert_within(ratio.f, 1.18046237440255, 1e-9);
    assert_int_equal(ratio.between, 4);
    assert_int_equal(ratio.within, 20);
}

/*
 * After SmLs01 and SmLs04 of the NIST Statistical Reference Datasets: nine groups of 21, each with
 * one value c and ten each of c - 0.1 and c + 0.1; c is 1.4 for the first and 1.3 and 1.5 in turn.
 * F is 21, also on top of a million.
 */
static void large_constants_do_not_hurt_the_analysis(void **state)
{
    (void)state;
    static const double offsets[] = {1, 1000000};
    int groups[9 * 21];

    for (size_t i = 0; i < COUNT_OF(offsets); i++) {
        for (size_t k = 0; k < COUNT_OF(groups); k++) {
            const size_t g = k / 21, n = k % 21;
            const double centre = offsets[i] + (g == 0 ? 0.4 : g % 2 ? 0.3 : 0.5);
            groups[k] = (int)g;
            series[k] = centre + (n == 0 ? 0 : n % 2 ? -0.1 : 0.1);
        }
        const struct tg_variance_ratio ratio = tg_trend_f(series, groups, COUNT_OF(groups), 9);
        assert_within(ratio.f, 21, 1e-7);
        assert_int_equal(ratio.between, 8);
        assert_int_equal(ratio.within, 180);
    }
}

static void what_cannot_be_analysed_has_no_ratio(void **state)
{
    (void)state;
    static const double values[] = {1, 1, 2, 2, 3, 3};
    static const int one[] = {0, 0, 0, 0, 0, 0};
    static const int each[] = {0, 1, 2, 3, 4, 5};
    static const int pairs[] = {0, 0, 1, 1, 2, 2};
    static const double same[] = {5, 5, 5, 5, 5, 5};

    assert_true(tg_trend_f(values, one, 6, 1).f == 0);
    assert_true(tg_trend_f(values, each, 6, 6).f == 0);
    assert_true(tg_trend_f(values, each, 0, 0).f == 0);
    assert_true(tg_trend_f(same, pairs, 6, 3).f == 0);
    assert_true(tg_trend_f(values, pairs, 6, 3).f == INFINITY);
    assert_int_equal(tg_trend_f(values, pairs, 6, 3).between, 2);
    assert_int_equal(tg_trend_f(values, pairs, 6, 3).within, 3);
}

/* Nodes that are alike are called unlike once in a hundred times, if that is what is asked. */
static void like_groups_differ_as_often_as_fisher_says(void **state)
{
    (void)state;
    double values[24];
    int groups[24];
    int unlike = 0;

    seed = 5;
    for (int i = 0; i < 10000; i++) {
        for (int k = 0; k < 24; k++) {
            groups[k] = k % 4;
            values[k] = 0.02 + 0.01 * tg_noise_normal(&seed);
        }
        const struct tg_variance_ratio r = tg_trend_f(values, groups, 24, 4);
        unlike += tg_distributions_f_tail(r.f, (double)r.between, (double)r.within) < 0.01;
    }
    assert_true(unlike >= 70 && unlike <= 130); /* 100 +- 10 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_textbook_slope_comes_out),
        cmocka_unit_test(intervals_have_the_ranks_of_kendalls_law),
        cmocka_unit_test(long_series_have_nearly_the_exact_ranks),
        cmocka_unit_test(the_interval_holds_the_slope_as_often_as_it_says),
        cmocka_unit_test(short_and_still_series_have_no_slope),
        cmocka_unit_test(a_reference_analysis_of_variance_comes_out),
        cmocka_unit_test(large_constants_do_not_hurt_the_analysis),
        cmocka_unit_test(what_cannot_be_analysed_has_no_ratio),
        cmocka_unit_test(like_groups_differ_as_often_as_fisher_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
