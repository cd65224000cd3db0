/* SPDX-License-Identifier: Apache-2.0 */
#include "results/stats.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

enum { MOST_VALUES = 1000 };

static cJSON *gate; /* numbers computed apart from this program, by other means */

static int read_gate(void **state)
{
    (void)state;
    FILE *file = fopen(TG_TEST_DATA "/gate.json", "rb");
    static char text[1 << 18];

    if (!file) return -1;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    gate = cJSON_Parse(text);
    return gate ? 0 : -1;
}

static int release_gate(void **state)
{
    (void)state;
    cJSON_Delete(gate);
    return 0;
}

static const cJSON *field(const cJSON *object, const char *name)
{
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(object, name);
    assert_non_null(found);
    return found;
}

static double number(const cJSON *object, const char *name)
{
    return field(object, name)->valuedouble;
}

static size_t numbers(const cJSON *array, double *values)
{
    const cJSON *item;
    size_t count = 0;

    cJSON_ArrayForEach(item, array)
    {
        assert_true(count < MOST_VALUES);
        values[count++] = item->valuedouble;
    }
    return count;
}

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

static void assert_interval(struct tg_interval interval, const cJSON *wanted)
{
    assert_int_equal(cJSON_GetArraySize(wanted), 2);
    assert_near(interval.low, cJSON_GetArrayItem(wanted, 0)->valuedouble);
    assert_near(interval.high, cJSON_GetArrayItem(wanted, 1)->valuedouble);
}

static void centres_are_those_of_the_file(void **state)
{
    (void)state;
    const cJSON *item;
    double rounds[MOST_VALUES];

    assert_true(cJSON_GetArraySize(field(gate, "cases")) >= 30);
    cJSON_ArrayForEach(item, field(gate, "cases"))
    {
        const size_t count = numbers(field(item, "rounds"), rounds);
        assert_near(tg_stats_median(rounds, count), number(item, "median"));
        assert_near(tg_stats_hodges_lehmann(rounds, count), number(item, "hodges_lehmann"));
    }
}

static void round_values_are_those_of_the_file(void **state)
{
    (void)state;
    const cJSON *item, *row;
    struct tg_quad quads[MOST_VALUES];
    double values[MOST_VALUES];

    assert_true(cJSON_GetArraySize(field(gate, "blocks")) >= 10);
    cJSON_ArrayForEach(item, field(gate, "blocks"))
    {
        size_t count = 0;
        cJSON_ArrayForEach(row, field(item, "head1_head2_base1_base2_seconds"))
        {
            double s[MOST_VALUES];
            assert_int_equal(numbers(row, s), 4);
            quads[count++] = (struct tg_quad){{s[0], s[1]}, {s[2], s[3]}};
        }
        assert_near(tg_stats_round_value(quads, count, values), number(item, "round_value"));
        assert_near(tg_stats_median(values, count), number(item, "round_value"));
    }
}

static void binomial_intervals_are_those_of_the_file(void **state)
{
    (void)state;
    const cJSON *item;

    assert_true(cJSON_GetArraySize(field(gate, "binomial")) >= 6);
    cJSON_ArrayForEach(item, field(gate, "binomial"))
    {
        assert_interval(tg_stats_clopper_pearson((size_t)number(item, "events"),
                                                 (size_t)number(item, "n"),
                                                 number(item, "confidence")),
                        field(item, "clopper_pearson"));
    }
}

/*
 * Depression scores of nine patients after and before a tranquillizer: the estimate is -0.46.
 * Hollander & Wolfe, Nonparametric Statistical Methods, 1973, chapter 3.
 */
static void a_textbook_estimate_of_hodges_and_lehmann_comes_out(void **state)
{
    (void)state;
    const double before[] = {1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30};
    const double after[] = {0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29};
    double change[COUNT_OF(before)];

    for (size_t i = 0; i < COUNT_OF(before); i++) change[i] = after[i] - before[i];
    assert_within(tg_stats_hodges_lehmann(change, COUNT_OF(change)), -0.46, 1e-12);
}

/* Newcombe, Statist. Med. 17 (1998) 857-872, table I, method 5: to four digits. */
static void textbook_clopper_pearson_intervals_come_out(void **state)
{
    (void)state;
    static const struct {
        size_t events, trials;
        double low, high;
    } rows[] = {
        {81, 263, 0.2527, 0.3676},
        {15, 148, 0.0578, 0.1617},
        {0, 20, 0, 0.1684},
        {1, 29, 0.0009, 0.1776},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct tg_interval interval = tg_stats_clopper_pearson(rows[i].events, rows[i].trials,
                                                                     0.95);
        assert_within(interval.low, rows[i].low, 5.1e-5);
        assert_within(interval.high, rows[i].high, 5.1e-5);
    }
}

/* With no events, or nothing else, the end is a root: 1 - (alpha / 2)^(1 / n). */
static void clopper_pearson_at_the_edges_is_exact_and_symmetric(void **state)
{
    (void)state;
    static const size_t trials[] = {1, 2, 17, 1000, 3000000};

    for (size_t i = 0; i < COUNT_OF(trials); i++) {
        const size_t n = trials[i];
        const struct tg_interval none = tg_stats_clopper_pearson(0, n, 0.99);
        const struct tg_interval all = tg_stats_clopper_pearson(n, n, 0.99);
        assert_true(none.low == 0 && all.high == 1);
        assert_near(none.high, -expm1(log(0.005) / (double)n));
        assert_near(all.low, exp(log(0.005) / (double)n));

        const struct tg_interval some = tg_stats_clopper_pearson(n / 3, n, 0.99);
        const struct tg_interval rest = tg_stats_clopper_pearson(n - n / 3, n, 0.99);
        assert_within(some.low, 1 - rest.high, 1e-12);
        assert_within(some.high, 1 - rest.low, 1e-12);
    }
}

static void an_end_that_is_not_there_is_in_no_ratio(void **state)
{
    (void)state;
    struct tg_interval ratios = tg_stats_ratios((struct tg_interval){log(0.5), log(3)});
    assert_near(ratios.low, -0.5);
    assert_near(ratios.high, 2);
    ratios = tg_stats_ratios((struct tg_interval){-INFINITY, INFINITY});
    assert_true(ratios.low == -INFINITY && ratios.high == INFINITY);
}

static int compare(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Sorts the numbers; of an even count the mean of the middle two. A zero has no sign. */
static double plain_middle(double *numbers, size_t count)
{
    qsort(numbers, count, sizeof *numbers, compare);
    const double lower = numbers[(count - 1) / 2] + 0.0;
    return count % 2 ? lower : lower / 2 + numbers[count / 2] / 2;
}

static void assert_same(double value, double wanted)
{
    if (memcmp(&value, &wanted, sizeof value) == 0) return;
    fail_msg("%a is not %a", value, wanted);
}

static uint64_t seed;

static uint64_t drawn(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return seed >> 33;
}

/* Values with all their digits, few values many times, values of all sizes, zeros of both signs. */
static double drawn_value(size_t kind)
{
    const double whole = (double)(drawn() % 16) - 8;
    if (kind == 0) return ((double)drawn() * 0x1p31 + (double)drawn()) * 0x1p-62 - 0.4;
    if (kind == 1) return whole;
    if (kind == 2) return ldexp(whole, (int)(drawn() % 512) - 256);
    return whole < 6 ? (drawn() % 2 ? 0.0 : -0.0) : whole;
}

/* What is found by dropping what cannot be it is what sorting everything finds, to the bit. */
static void centres_are_those_of_sorting_everything(void **state)
{
    (void)state;
    static double means[200 * 201 / 2];
    double values[200], copy[200];

    seed = 7;
    for (size_t count = 1; count <= COUNT_OF(values); count++) {
        const size_t draws = count <= 24 ? 40 : 4; /* of each kind one or ten */
        for (size_t d = 0; d < draws; d++) {
            size_t pairs = 0;
            for (size_t i = 0; i < count; i++) copy[i] = values[i] = drawn_value(d % 4);
            for (size_t i = 0; i < count; i++)
                for (size_t k = i; k < count; k++) means[pairs++] = values[i] / 2 + values[k] / 2;
            assert_same(tg_stats_median(values, count), plain_middle(copy, count));
            assert_same(tg_stats_hodges_lehmann(values, count), plain_middle(means, pairs));
        }
    }
}

/* Up to MOST_COPIED values are copied and sorted, more are not. */
static void many_values_have_the_same_centre(void **state)
{
    (void)state;
    static double values[1100];

    for (size_t count = 1023; count <= 1026; count++) {
        for (size_t i = 0; i < count; i++) values[i] = (double)(i * 7 % count);
        assert_true(tg_stats_median(values, count) == (double)(count - 1) / 2);
        assert_true(tg_stats_hodges_lehmann(values, count) == (double)(count - 1) / 2);
    }
}

static void selecting_parts_the_numbers(void **state)
{
    (void)state;
    double values[64];

    seed = 8;
    for (size_t i = 0; i < 400; i++) {
        const size_t count = 1 + drawn() % 64, k = drawn() % count;
        double sorted[64];
        for (size_t n = 0; n < count; n++) sorted[n] = values[n] = drawn_value(i % 4);
        qsort(sorted, count, sizeof *sorted, compare);
        assert_true(tg_stats_select(values, count, k) == sorted[k]);
        for (size_t n = 0; n < count; n++)
            assert_true(n < k ? values[n] <= sorted[k] : values[n] >= sorted[k]);
    }
}

static void hostile_values_give_numbers(void **state)
{
    (void)state;
    static const double rows[][4] = {
        {0, 0, 0, 0},
        {-0.0, -0.0, -0.0, -0.0},
        {DBL_MAX, DBL_MAX, DBL_MAX, DBL_MAX},
        {-DBL_MAX, DBL_MAX, -DBL_MAX, DBL_MAX},
        {DBL_TRUE_MIN, -DBL_TRUE_MIN, 0, DBL_MIN},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t count = 1; count <= 4; count++) {
            assert_true(isfinite(tg_stats_median(rows[i], count)));
            assert_true(isfinite(tg_stats_hodges_lehmann(rows[i], count)));
        }
    }
    assert_false(signbit(tg_stats_median(rows[1], 4))); /* "-0" is no sight for a report */
    assert_true(tg_stats_median(rows[2], 4) == DBL_MAX);
    assert_true(tg_stats_median(rows[3], 4) == 0);
}

static void what_touches_its_line_is_not_over_it(void **state)
{
    (void)state;
    assert_false(tg_stats_is_over(log(100), log(100)));
    assert_false(tg_stats_is_over(log(100) + 0.9e-9, log(100)));
    assert_true(tg_stats_is_over(log(100) + 1.1e-9, log(100)));
    assert_false(tg_stats_is_over(-INFINITY, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(centres_are_those_of_the_file),
        cmocka_unit_test(round_values_are_those_of_the_file),
        cmocka_unit_test(binomial_intervals_are_those_of_the_file),
        cmocka_unit_test(a_textbook_estimate_of_hodges_and_lehmann_comes_out),
        cmocka_unit_test(textbook_clopper_pearson_intervals_come_out),
        cmocka_unit_test(clopper_pearson_at_the_edges_is_exact_and_symmetric),
        cmocka_unit_test(an_end_that_is_not_there_is_in_no_ratio),
        cmocka_unit_test(centres_are_those_of_sorting_everything),
        cmocka_unit_test(many_values_have_the_same_centre),
        cmocka_unit_test(selecting_parts_the_numbers),
        cmocka_unit_test(hostile_values_give_numbers),
        cmocka_unit_test(what_touches_its_line_is_not_over_it),
    };
    return cmocka_run_group_tests(tests, read_gate, release_gate);
}
