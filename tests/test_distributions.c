/* SPDX-License-Identifier: Apache-2.0 */
#include "results/distributions.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static const double PI = 3.14159265358979323846;

static void assert_near(double value, double wanted)
{
    if (fabs(value - wanted) <= 1e-9 * fabs(wanted)) return;
    fail_msg("%.17g is not %.17g", value, wanted);
}

static void assert_within(double value, double wanted, double distance)
{
    if (fabs(value - wanted) <= distance) return;
    fail_msg("%.17g is not within %g of %.17g", value, distance, wanted);
}

/* Computed apart from this program, with 80 decimal digits, from the power series DLMF 8.17.7. */
static void tails_are_those_of_eighty_digits(void **state)
{
    (void)state;
    static const struct {
        double f, df1, df2, tail;
    } f_rows[] = {
        {3.32583453041301, 5, 10, 5.000000000000008e-02},
        {1.18046237440255, 4, 20, 3.494474934021927e-01},
        {0.01, 3, 7, 9.984952470401117e-01},
        {12.5, 1, 1, 1.754796560918218e-01},
        {40, 7, 23, 2.124799220487353e-11},
        {250, 3, 500, 4.536539597952020e-99},
        {0.9, 9, 4000, 5.242123433280504e-01},
        {1.02, 999, 1001, 3.771220337952659e-01},
        {1.5, 999, 1001, 8.400004785857212e-11},
        {3, 63, 945, 7.123071869469872e-13},
    };
    static const struct {
        double t, df, tail;
    } t_rows[] = {
        {0.001, 3, 4.996324474847305e-01}, {2.228138851986, 10, 2.500000000001164e-02},
        {5, 7, 7.826389765864123e-04},     {63.6567411628715, 1, 5.000000000000006e-03},
        {40, 5, 9.205981085886477e-08},    {12, 63, 3.173983771839536e-18},
        {3, 1999, 1.366580249342335e-03},  {8.5, 299, 4.571432458588506e-16},
        {1e10, 3, 1.102657790843584e-30},
    };

    for (size_t i = 0; i < COUNT_OF(f_rows); i++)
        assert_near(tg_distributions_f_tail(f_rows[i].f, f_rows[i].df1, f_rows[i].df2),
                    f_rows[i].tail);
    for (size_t i = 0; i < COUNT_OF(t_rows); i++) {
        assert_near(tg_distributions_t_tail(t_rows[i].t, t_rows[i].df), t_rows[i].tail);
        assert_near(tg_distributions_t_tail(-t_rows[i].t, t_rows[i].df), 1 - t_rows[i].tail);
        assert_near(tg_distributions_f_tail(t_rows[i].t * t_rows[i].t, 1, t_rows[i].df),
                    2 * t_rows[i].tail);
    }
}

/* Percentage points of F: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.3. */
static void tables_of_f_come_out(void **state)
{
    (void)state;
    static const struct {
        double tail, df1, df2, f;
    } rows[] = {
        {.05, 1, 1, 161.448}, {.05, 5, 10, 3.326},  {.05, 10, 20, 2.348}, {.01, 4, 20, 4.431},
        {.01, 1, 10, 10.044}, {.01, 10, 60, 2.632}, {.10, 3, 12, 2.606},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const double df1 = rows[i].df1, df2 = rows[i].df2;
        assert_true(tg_distributions_f_tail(rows[i].f - 5.1e-4, df1, df2) > rows[i].tail);
        assert_true(tg_distributions_f_tail(rows[i].f + 5.1e-4, df1, df2) < rows[i].tail);
    }
}

/* With 2 degrees of freedom on either side F has a formula, for any degrees on the other. */
static void f_with_two_degrees_is_a_power(void **state)
{
    (void)state;
    static const double degrees[] = {0.5, 1, 2, 3, 10, 77.5, 1000, 31622, 1e6};
    static const double values[] = {1e-9, 1e-3, 0.5, 0.99, 1, 1.01, 2, 7, 40, 300, 1e5};

    for (size_t i = 0; i < COUNT_OF(degrees); i++) {
        for (size_t k = 0; k < COUNT_OF(values); k++) {
            const double df = degrees[i], f = values[k];
            const double tail = exp(-df / 2 * log1p(2 * f / df));
            if (tail >= DBL_MIN) assert_near(tg_distributions_f_tail(f, 2, df), tail);
            assert_near(tg_distributions_f_tail(f, df, 2), -expm1(-df / 2 * log1p(2 / (df * f))));
        }
    }
}

/* Cauchy's law, and what is known of 2 and 4 degrees; the last digits go where t is small. */
static void t_with_few_degrees_has_formulas(void **state)
{
    (void)state;
    static const double values[] = {1e-8, 0.1, 1, 3, 25, 1e3};

    for (size_t i = 0; i < COUNT_OF(values); i++) {
        const double t = values[i];
        assert_near(tg_distributions_t_tail(t, 1), atan(1 / t) / PI);
        const double two = sqrt(2 + t * t);
        assert_near(tg_distributions_t_tail(t, 2), 1 / (two * (two + t)));
    }
    assert_true(tg_distributions_t_tail(0, 5) == 0.5);
    assert_true(tg_distributions_t_tail(INFINITY, 5) == 0);
    assert_true(tg_distributions_t_tail(-INFINITY, 5) == 1);
    assert_near(tg_distributions_t_tail(1e150, 1), 1e-150 / PI);
}

/* Percentage points of t: NIST/SEMATECH e-Handbook, 1.3.6.7.2, here with more digits. */
static void quantiles_of_t_are_those_of_the_tables(void **state)
{
    (void)state;
    static const struct {
        double p, df, t;
    } rows[] = {
        {.975, 1, 12.7062047}, {.975, 5, 2.5705818},  {.975, 10, 2.2281389},
        {.975, 30, 2.0422725}, {.99, 4, 3.7469474},   {.995, 60, 2.6602830},
        {.9, 2, 1.8856181},    {.999, 20, 3.5518083}, {.995, 1, 63.6567412},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const double t = tg_distributions_t_quantile(rows[i].p, rows[i].df);
        assert_within(t, rows[i].t, 5.1e-8);
        assert_near(tg_distributions_t_tail(t, rows[i].df), 1 - rows[i].p);
        assert_near(tg_distributions_t_quantile(1 - rows[i].p, rows[i].df), -t);
    }
    assert_true(tg_distributions_t_quantile(0.5, 3) == 0);
    assert_near(tg_distributions_t_quantile(1e-140, 1), -1e140 / PI);
}

/* Abramowitz & Stegun, tables 26.1, 26.2 and 26.5, and two tails computed with 80 digits. */
static void the_normal_law_is_that_of_the_tables(void **state)
{
    (void)state;
    static const struct {
        double p, z;
    } rows[] = {
        {.75, 0.674489750196082},  {.9, 1.281551565544600},     {.975, 1.959963984540054},
        {.99, 2.326347874040841},  {.995, 2.575829303548901},   {.999, 3.090232306167814},
        {1e-6, -4.75342430882290}, {1e-10, -6.361340902404056},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_near(tg_distributions_normal_quantile(rows[i].p), rows[i].z);
    assert_near(tg_distributions_normal_tail(1), 0.158655253931457);
    assert_near(tg_distributions_normal_tail(-1), 0.841344746068543);
    assert_near(tg_distributions_normal_tail(5), 2.866515718791939e-07);
    assert_near(tg_distributions_normal_tail(10), 7.619853024160527e-24);
    assert_near(tg_distributions_normal_tail(20), 2.753624118606234e-89);
    assert_true(tg_distributions_normal_quantile(0.5) == 0);
}

static void normal_quantiles_undo_tails(void **state)
{
    (void)state;
    double before = INFINITY;

    for (double tail = 1e-300; tail < 0.9999; tail = tail < 0.01 ? tail * 1.7 : tail + 0.001) {
        const double z = -tg_distributions_normal_quantile(tail);
        assert_near(tg_distributions_normal_tail(z), tail);
        assert_true(z < before);
        before = z;
    }
}

/*
 * With many degrees of freedom t is nearly normal, and F of one degree its square. Fisher's series
 * in 1 / df: Metron 5 (1925) 109-112.
 */
static void many_degrees_are_normal(void **state)
{
    (void)state;
    for (double z = 0.25; z < 6; z += 0.25) {
        const double tail = tg_distributions_normal_tail(z);
        const double w = z * z;
        const double first = z * (w + 1) / 4;
        const double second = z * (w * (w * (3 * w - 7) - 5) - 3) / 96;
        const double next = exp(-w / 2) / sqrt(2 * PI) * (first + second * 1e-6) * 1e-6;
        assert_within(tg_distributions_t_tail(z, 1e6), tail + next, 1e-9 * tail);
        assert_within(tg_distributions_f_tail(z * z, 1, 1e6), 2 * (tail + next), 2e-9 * tail);
    }
}

static void the_parts_of_beta_make_one(void **state)
{
    (void)state;
    static const double shapes[] = {0.25, 0.5, 1, 2.5, 40, 700, 5e5};

    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        for (size_t k = 0; k < COUNT_OF(shapes); k++) {
            double before = 0;
            for (double x = 0; x <= 1; x += 1.0 / 64) {
                const double part = tg_distributions_beta(shapes[i], shapes[k], x, 1 - x);
                const double rest = tg_distributions_beta(shapes[k], shapes[i], 1 - x, x);
                assert_within(part + rest, 1, 1e-12);
                assert_true(part >= before && part <= 1);
                before = part;
            }
        }
    }
}

static void hostile_values_give_chances(void **state)
{
    (void)state;
    static const double values[] = {-INFINITY, -DBL_MAX, -1, 0,       DBL_TRUE_MIN,
                                    DBL_MIN,   1e-200,   1,  DBL_MAX, INFINITY};
    static const double degrees[] = {0.5, 1, 3, 1e6};

    for (size_t i = 0; i < COUNT_OF(values); i++) {
        for (size_t k = 0; k < COUNT_OF(degrees); k++) {
            const double f = tg_distributions_f_tail(values[i], degrees[k], degrees[3 - k]);
            const double t = tg_distributions_t_tail(values[i], degrees[k]);
            assert_true(f >= 0 && f <= 1);
            assert_true(t >= 0 && t <= 1);
        }
    }
    assert_true(tg_distributions_f_tail(0, 0, 0) == 1);
    assert_true(tg_distributions_f_tail(INFINITY, 2, 9) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tails_are_those_of_eighty_digits),
        cmocka_unit_test(tables_of_f_come_out),
        cmocka_unit_test(f_with_two_degrees_is_a_power),
        cmocka_unit_test(t_with_few_degrees_has_formulas),
        cmocka_unit_test(quantiles_of_t_are_those_of_the_tables),
        cmocka_unit_test(the_normal_law_is_that_of_the_tables),
        cmocka_unit_test(normal_quantiles_undo_tails),
        cmocka_unit_test(many_degrees_are_normal),
        cmocka_unit_test(the_parts_of_beta_make_one),
        cmocka_unit_test(hostile_values_give_chances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
