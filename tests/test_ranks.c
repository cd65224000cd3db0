/* SPDX-License-Identifier: Apache-2.0 */
#include "results/ranks.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void centre(const double *values, size_t count, double confidence, struct tg_rank_answer *a)
{
    struct tg_error err;
    if (tg_ranks_centre(values, count, confidence, a, &err) < 0) fail_msg("%s", err.text);
}

static void shift(const double *before, size_t m, const double *after, size_t n, double confidence,
                  struct tg_rank_answer *a)
{
    struct tg_error err;
    if (tg_ranks_shift(before, m, after, n, confidence, a, &err) < 0) fail_msg("%s", err.text);
}

/* Ten values above 0: one order of 1024 on either side. Tables: T of 8 for 95 %, 3 for 99 %. */
static void the_signed_rank_law_is_that_of_the_tables(void **state)
{
    (void)state;
    const double values[] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0};
    struct tg_rank_answer a;
    centre(values, 10, 0.99, &a);
    assert_float_equal(a.p_value, 2.0 / 1024, 1e-15);
    assert_float_equal(a.estimate, 0.55, 1e-12);
    /* The fourth smallest of the 55 means is the third in size: 0.1 0.15 0.2 0.2 0.25 ... */
    assert_float_equal(a.interval.low, 0.2, 1e-12);
    assert_float_equal(a.interval.high, 0.9, 1e-12);
    centre(values, 7, 0.99, &a); /* the best that 7 values can say is 2 of 128 */
    assert_true(isinf(a.interval.low) && isinf(a.interval.high));
    assert_float_equal(a.p_value, 2.0 / 128, 1e-15);
}

/* A worked example of textbooks: depression scores of nine patients, T = 5, p = 0.0391. */
static void a_textbook_centre_comes_out(void **state)
{
    (void)state;
    const double x[] = {1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30};
    const double y[] = {0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29};
    double d[9];
    struct tg_rank_answer a;
    for (int i = 0; i < 9; i++) d[i] = x[i] - y[i];
    centre(d, 9, 0.95, &a);
    assert_float_equal(a.p_value, 0.0390625, 1e-12);
    assert_float_equal(a.estimate, 0.46, 1e-9);
    assert_float_equal(a.interval.low, 0.01, 1e-9);
    assert_float_equal(a.interval.high, 0.786, 1e-9);
}

static void the_rank_sum_law_is_that_of_counting(void **state)
{
    (void)state;
    const double low[] = {1, 2, 3, 4, 5}, high[] = {11, 12, 13, 14, 15};
    struct tg_rank_answer a;
    shift(low, 5, high, 5, 0.99, &a); /* one order of 252 on either side */
    assert_float_equal(a.p_value, 2.0 / 252, 1e-15);
    assert_float_equal(a.estimate, 10, 1e-12);
    assert_float_equal(a.interval.low, 6, 1e-12);
    assert_float_equal(a.interval.high, 14, 1e-12);
    shift(low, 3, high, 2, 0.95, &a); /* one of 10 */
    assert_float_equal(a.p_value, 0.2, 1e-15);
    assert_true(isinf(a.interval.low));
    shift(low, 5, low, 5, 0.99, &a);
    assert_float_equal(a.p_value, 1, 1e-12);
    assert_float_equal(a.estimate, 0, 0);
}

/* Permeability of the membranes of two groups, Hollander and Wolfe: U of 15, p = 0.2544. */
static void a_textbook_shift_comes_out(void **state)
{
    (void)state;
    const double x[] = {0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46};
    const double y[] = {1.15, 0.88, 0.90, 0.74, 1.21};
    struct tg_rank_answer a;
    shift(y, 5, x, 10, 0.95, &a);
    assert_float_equal(a.p_value, 0.2544, 5e-5);
    assert_float_equal(a.estimate, 0.305, 1e-9);
    assert_float_equal(a.interval.low, -0.15, 1e-9);
    assert_float_equal(a.interval.high, 0.76, 1e-9);
}

static void laws_of_many_values_still_sum_to_one(void **state)
{
    (void)state;
    double values[150];
    struct tg_rank_answer a;
    for (int i = 0; i < 150; i++) values[i] = i % 2 ? 1 : -1;
    centre(values, 150, 0.99, &a);
    assert_float_equal(a.p_value, 1, 1e-9);
    shift(values, 60, values + 60, 60, 0.99, &a);
    assert_float_equal(a.p_value, 1, 1e-9);
    for (int i = 0; i < 150; i++) values[i] = i + 1;
    centre(values, 150, 0.99, &a);
    assert_true(a.p_value > 0 && a.p_value < 1e-44);
    assert_float_equal(a.estimate, 75.5, 0);
}

static void one_value_says_little(void **state)
{
    (void)state;
    const double values[] = {0};
    struct tg_rank_answer a;
    centre(values, 1, 0.99, &a);
    assert_true(a.estimate == 0 && a.p_value == 1 && isinf(a.interval.high));
    shift(values, 1, values, 1, 0.99, &a);
    assert_true(a.estimate == 0 && a.p_value == 1 && isinf(a.interval.high));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_signed_rank_law_is_that_of_the_tables),
        cmocka_unit_test(a_textbook_centre_comes_out),
        cmocka_unit_test(the_rank_sum_law_is_that_of_counting),
        cmocka_unit_test(a_textbook_shift_comes_out),
        cmocka_unit_test(laws_of_many_values_still_sum_to_one),
        cmocka_unit_test(one_value_says_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
