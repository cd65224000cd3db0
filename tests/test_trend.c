/* SPDX-License-Identifier: Apache-2.0 */
#include "results/trend.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "results/distributions.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

enum { LONG = 20000 };

static double series[LONG];

static void assert_within(double value, double wanted, double distance)
{
    if (fabs(value - wanted) <= distance) return;
    fail_msg("%.17g is not within %g of %.17g", value, distance, wanted);
}

/* SplitMix64 (Steele, Lea & Flood 2014), and from it uniform and normal noise. */
static uint64_t seed;

static double uniform(void)
{
    uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return ((double)((z ^ z >> 31) >> 11) + 0.5) * 0x1p-53;
}

static double normal(void)
{
    const double radius = sqrt(-2 * log(uniform()));
    return radius * cos(6.283185307179586 * uniform());
}

static void short_and_still_series_are_in_order(void **state)
{
    (void)state;
    static const double still[] = {-3, -3, -3, -3, -3, -3, -3, -3, -3};

    assert_true(tg_trend_lag_one(still, COUNT_OF(still)) == 0);
    assert_true(tg_trend_lag_one(still, 0) == 0);
    assert_true(tg_trend_effective_count(still, COUNT_OF(still)) == COUNT_OF(still));
    assert_true(tg_trend_effective_count(still, 0) == 0);
}

/*
 * NumAcc1 to NumAcc4 of the NIST Statistical Reference Datasets: three values around 10000002 have
 * -0.5, and 1001 values that alternate by 0.1 around c + 0.2, where the first is c + 0.2, -0.999.
 */
static void reference_autocorrelations_come_out(void **state)
{
    (void)state;
    static const double first[] = {10000001, 10000003, 10000002};
    static const double offsets[] = {1, 1000000, 10000000};

    assert_within(tg_trend_lag_one(first, COUNT_OF(first)), -0.5, 1e-12);
    for (size_t i = 0; i < COUNT_OF(offsets); i++) {
        series[0] = offsets[i] + 0.2;
        for (size_t k = 1; k < 1001; k++) series[k] = offsets[i] + (k % 2 ? 0.1 : 0.3);
        assert_within(tg_trend_lag_one(series, 1001), -0.999, 1e-8);
        assert_true(tg_trend_effective_count(series, 1001) == 1001);
    }
}

/* x(i) = phi x(i - 1) + noise is worth (1 - phi) / (1 + phi) of its length. */
static void a_series_that_remembers_is_worth_less(void **state)
{
    (void)state;
    static const double phis[] = {-0.5, 0, 0.3, 0.6, 0.9};

    seed = 4;
    for (size_t i = 0; i < COUNT_OF(phis); i++) {
        const double phi = phis[i];
        const double share = phi > 0 ? (1 - phi) / (1 + phi) : 1;
        double x = 0;
        for (size_t k = 0; k < LONG; k++) series[k] = x = phi * x + normal();
        assert_within(tg_trend_lag_one(series, LONG), phi, 0.03);
        assert_within(tg_trend_effective_count(series, LONG) / LONG, share, 0.15 * share);
    }
    for (size_t k = 0; k < 100; k++) series[k] = (double)k;
    assert_true(tg_trend_effective_count(series, 100) < 4);
    assert_true(tg_trend_effective_count(series, 100) >= 1);
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
            values[k] = 0.02 + 0.01 * normal();
        }
        const struct tg_variance_ratio r = tg_trend_f(values, groups, 24, 4);
        unlike += tg_distributions_f_tail(r.f, (double)r.between, (double)r.within) < 0.01;
    }
    assert_true(unlike >= 70 && unlike <= 130); /* 100 +- 10 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_and_still_series_are_in_order),
        cmocka_unit_test(reference_autocorrelations_come_out),
        cmocka_unit_test(a_series_that_remembers_is_worth_less),
        cmocka_unit_test(a_reference_analysis_of_variance_comes_out),
        cmocka_unit_test(large_constants_do_not_hurt_the_analysis),
        cmocka_unit_test(what_cannot_be_analysed_has_no_ratio),
        cmocka_unit_test(like_groups_differ_as_often_as_fisher_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
