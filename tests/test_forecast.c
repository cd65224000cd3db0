/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/forecast.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

#include <cmocka.h>

#include "coordinator/noise.h"
#include "results/sequential.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

enum { MOST_ROUNDS = 1500, SERIES = 1500 };

static const double FLOOR = 0.0198026272961797;  /* ln 1.02 */
static const double MARGIN = 0.0487901641694320; /* ln 1.05 */

static double distances[MOST_ROUNDS];
static double fails[SERIES], cleans[SERIES], decisions[SERIES];

/* A test among 300, at 1 % for all false alarms and 1 % for each miss. */
static struct tg_outlook outlook(double sd)
{
    return (struct tg_outlook){sd, FLOOR, MARGIN, log(30000), log(100), 5};
}

static void assert_share(double value, double wanted, double share)
{
    if (fabs(value - wanted) <= share * fabs(wanted)) return;
    fail_msg("%.17g is not within %g of %.17g", value, share, wanted);
}

/* Rounds are whole, so one of them is always allowed. */
static void assert_rounds(double value, double wanted, double share)
{
    assert_share(value, wanted, fmax(share, 1 / wanted));
}

static uint64_t seed; /* of all noise */

static int compare(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* The rounds of one simulated series until each line is crossed, MOST_ROUNDS where it is not. */
static void follow(const struct tg_outlook *o, double theta, bool only_first, double *fail,
                   double *clean)
{
    struct tg_symmetry s;
    struct tg_student t = {0};

    *fail = *clean = MOST_ROUNDS;
    tg_sequential_symmetry_init(&s, o->floor, distances, MOST_ROUNDS);
    for (int r = 1; r < MOST_ROUNDS; r++) {
        const double d = theta + o->sd * tg_noise_normal(&seed);
        const double log_e = tg_sequential_symmetry_add(&s, d);
        tg_sequential_student_add(&t, d);
        if (*fail == MOST_ROUNDS && tg_stats_is_over(log_e, o->log_fail_line)) *fail = r;
        if (*clean == MOST_ROUNDS && r >= o->rounds_min &&
            tg_sequential_student_is_below(&t, o->margin, o->log_clean_line))
            *clean = r;
        const bool is_first = *fail < MOST_ROUNDS || *clean < MOST_ROUNDS;
        if (only_first ? is_first : *fail < MOST_ROUNDS && *clean < MOST_ROUNDS) break;
    }
}

/* Simulates `count` series and sorts their rounds; returns the mean of those to a decision. */
static double simulate(const struct tg_outlook *o, double theta, bool only_first, int count)
{
    double sum = 0;

    seed = 1;
    for (int i = 0; i < count; i++) {
        follow(o, theta, only_first, &fails[i], &cleans[i]);
        decisions[i] = fmin(fails[i], cleans[i]);
        sum += decisions[i];
    }
    qsort(fails, (size_t)count, sizeof *fails, compare);
    qsort(cleans, (size_t)count, sizeof *cleans, compare);
    return sum / count;
}

static void mean_rounds_are_those_of_the_processes(void **state)
{
    (void)state;
    static const double sds[] = {.0015, .0045, .0141, .0224, .0424};
    static const double effects[] = {-.05, 0, .02, .03, .04, .05, .07, .1, .2};

    for (size_t i = 0; i < COUNT_OF(sds); i++) {
        const struct tg_outlook o = outlook(sds[i]);
        for (size_t k = 0; k < COUNT_OF(effects); k++) {
            const double theta = log1p(effects[k]);
            assert_share(tg_forecast_rounds(&o, theta), simulate(&o, theta, true, 500), 0.12);
        }
    }
}

/* With fewer tests the line is lower; a ratio has no room between floor and margin. */
static void other_lines_are_forecast_as_well(void **state)
{
    (void)state;
    static const struct {
        double sd, floor, margin, fail_line, clean_line, theta;
        int rounds_min;
    } rows[] = {
        {.01, .02, .05, 100, 100, .05, 5},    {.03, .02, .05, 100, 100, .05, 5},
        {.01, .02, .05, 1e6, 100, .05, 5},    {.05, 0, 0, 3000, 100, .03, 3},
        {.05, 0, 0, 3000, 100, -.03, 3},      {.05, 0, 0, 3000, 100, -.3, 3},
        {.02, .02, .05, 30000, 1e4, 0, 2},    {.005, .005, .02, 400, 20, .012, 12},
        {.005, .005, .02, 400, 20, .002, 12},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct tg_outlook o = {rows[i].sd,
                                     rows[i].floor,
                                     rows[i].margin,
                                     log(rows[i].fail_line),
                                     log(rows[i].clean_line),
                                     rows[i].rounds_min};
        const double mean = simulate(&o, rows[i].theta, true, SERIES);
        assert_share(tg_forecast_rounds(&o, rows[i].theta), mean, 0.1);
    }
}

static void rounds_for_a_power_are_those_of_the_processes(void **state)
{
    (void)state;
    static const double sds[] = {.0045, .0141, .0424};
    static const double slow[] = {.05, .07, .1};
    static const double quick[] = {-.05, 0, .02};

    for (size_t i = 0; i < COUNT_OF(sds); i++) {
        const struct tg_outlook o = outlook(sds[i]);
        for (size_t k = 0; k < COUNT_OF(slow); k++) {
            simulate(&o, log1p(slow[k]), true, SERIES); /* hardly one is called clean first */
            assert_rounds(tg_forecast_fail_rounds(&o, log1p(slow[k]), .5), fails[SERIES / 2], .1);
            assert_rounds(tg_forecast_fail_rounds(&o, log1p(slow[k]), .9), fails[SERIES * 9 / 10],
                          .1);
        }
        for (size_t k = 0; k < COUNT_OF(quick); k++) {
            const double theta = log1p(quick[k]);
            simulate(&o, theta, true, SERIES);
            assert_rounds(tg_forecast_clean_rounds(&o, theta, .5), cleans[SERIES / 2], .15);
            assert_rounds(tg_forecast_clean_rounds(&o, theta, .9), cleans[SERIES * 9 / 10], .15);
            assert_rounds(tg_forecast_clean_rounds(&o, theta, .99), cleans[SERIES * 99 / 100], .2);
        }
    }
    /* between the lines both are crossed at last */
    const struct tg_outlook o = outlook(.0141);
    simulate(&o, log1p(.035), false, SERIES);
    assert_rounds(tg_forecast_fail_rounds(&o, log1p(.035), .9), fails[SERIES * 9 / 10], .1);
    assert_rounds(tg_forecast_clean_rounds(&o, log1p(.035), .9), cleans[SERIES * 9 / 10], .1);
}

/*
 * Simulated apart from this program, with normal noise: the mean rounds without a slow-down, with
 * one of 5 % and one of 10 %, and those that 99 of 100 runs need for 5 %.
 */
static void the_table_of_sample_sizes_comes_out(void **state)
{
    (void)state;
    static const struct {
        double sd, at_0, at_5, at_10, most_at_5;
    } rows[] = {
        {.0045, 5.0, 17.5, 17.0, 18}, {.0134, 5.6, 19.6, 17.7, 0}, {.0141, 5.8, 19.9, 17.7, 27},
        {.0424, 16, 68.5, 21.2, 141}, {.0447, 17.4, 75, 21.7, 0},  {.063, 30, 147, 29, 314},
        {.141, 137, 737, 107, 0},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct tg_outlook o = outlook(rows[i].sd);
        assert_share(tg_forecast_rounds(&o, 0), rows[i].at_0, 0.06);
        assert_share(tg_forecast_rounds(&o, log1p(.05)), rows[i].at_5, 0.06);
        assert_share(tg_forecast_rounds(&o, log1p(.10)), rows[i].at_10, 0.06);
        if (rows[i].most_at_5 > 0)
            assert_rounds(tg_forecast_fail_rounds(&o, log1p(.05), .99), rows[i].most_at_5, 0.2);
    }
}

static void what_never_happens_takes_for_ever(void **state)
{
    (void)state;
    const struct tg_outlook o = outlook(.01);
    const struct tg_outlook ratio = {.01, 0, 0, log(30000), log(100), 5};

    assert_true(tg_forecast_fail_rounds(&o, FLOOR, .99) == INFINITY);
    assert_true(tg_forecast_fail_rounds(&o, 0, .01) == INFINITY);
    assert_true(tg_forecast_clean_rounds(&o, MARGIN, .99) == INFINITY);
    assert_true(tg_forecast_clean_rounds(&o, .2, .01) == INFINITY);
    assert_true(tg_forecast_rounds(&ratio, 0) == INFINITY);
    assert_true(isfinite(tg_forecast_rounds(&o, FLOOR)));
    assert_true(isfinite(tg_forecast_rounds(&o, MARGIN)));
}

/* A round doubles E+ at most, so 16 rounds cannot reach a line of 30000 and 17 can. */
static void no_effect_is_found_in_too_few_rounds(void **state)
{
    (void)state;
    const struct tg_outlook o = outlook(.01);

    assert_true(tg_forecast_effect(&o, 0, .99) == INFINITY);
    assert_true(tg_forecast_effect(&o, 16, .99) == INFINITY);
    assert_true(isfinite(tg_forecast_effect(&o, 17, .99)));
    assert_true(tg_forecast_effect(&o, 17, .99) == tg_forecast_effect(&o, 17.9, .99));
    assert_true(tg_forecast_fail_rounds(&o, 10, .99) == 17);
}

static void the_least_effect_is_found_and_no_smaller_one(void **state)
{
    (void)state;
    static const double sds[] = {.001, .01, .05};
    static const double rounds[] = {18, 24, 40, 64, 300, 5000};

    for (size_t i = 0; i < COUNT_OF(sds); i++) {
        const struct tg_outlook o = outlook(sds[i]);
        double before = INFINITY;
        for (size_t k = 0; k < COUNT_OF(rounds); k++) {
            const double effect = tg_forecast_effect(&o, rounds[k], .99);
            const double smaller = o.floor + 0.98 * (effect - o.floor);
            assert_true(effect > o.floor && effect < before);
            assert_true(tg_forecast_fail_rounds(&o, effect, .99) <= rounds[k]);
            assert_true(tg_forecast_fail_rounds(&o, smaller, .99) > rounds[k]);
            before = effect;
        }
    }
}

static void more_noise_or_power_takes_more_rounds(void **state)
{
    (void)state;
    double fail = 0, clean = 0, either = 0;

    for (double sd = 0; sd < .2; sd += .002) {
        const struct tg_outlook o = outlook(sd);
        const double now_fail = tg_forecast_fail_rounds(&o, .06, .9);
        const double now_clean = tg_forecast_clean_rounds(&o, .01, .9);
        const double now_either = tg_forecast_rounds(&o, .06);
        assert_true(now_fail >= fail && now_clean >= clean && now_either >= either);
        assert_true(now_fail <= tg_forecast_fail_rounds(&o, .06, .99));
        assert_true(now_clean <= tg_forecast_clean_rounds(&o, .01, .99));
        assert_true(now_fail >= tg_forecast_fail_rounds(&o, .07, .9));
        assert_true(now_clean >= tg_forecast_clean_rounds(&o, 0, .9));
        fail = now_fail;
        clean = now_clean;
        either = now_either;
    }
}

static void without_noise_the_fewest_rounds_do(void **state)
{
    (void)state;
    const struct tg_outlook o = outlook(0);

    assert_true(tg_forecast_rounds(&o, 0) == 5);
    assert_true(tg_forecast_rounds(&o, .06) == 17);
    assert_true(tg_forecast_fail_rounds(&o, .021, .99) == 17);
    assert_true(tg_forecast_effect(&o, 17, .99) == FLOOR);
    assert_true(tg_forecast_effect(&o, 16, .99) == INFINITY);
}

/* With the factors of Croux & Rousseeuw a few normal rounds have the right spread on average. */
static void the_spread_of_few_rounds_is_right_on_average(void **state)
{
    (void)state;
    double values[64];

    seed = 2;
    for (size_t count = 2; count <= 64; count += count < 13 ? 1 : 17) {
        double sum = 0;
        for (int i = 0; i < 20000; i++) {
            for (size_t k = 0; k < count; k++) values[k] = 0.05 + 0.01 * tg_noise_normal(&seed);
            sum += tg_forecast_sd(values, count, 0) / 20000;
        }
        assert_share(sum, 0.01, 0.02);
    }
}

static void what_was_expected_counts_as_four_rounds(void **state)
{
    (void)state;
    static const double pair[] = {.01, .03};
    const double seen = 1.196 * 1.4826022185056 * .01;

    assert_true(tg_forecast_sd(NULL, 0, .02) == .02);
    assert_true(tg_forecast_sd(pair, 1, .02) == .02);
    assert_true(tg_forecast_sd(pair, 0, 0) == 0);
    assert_true(tg_forecast_sd(pair, 1, -1) == 0);
    assert_share(tg_forecast_sd(pair, 2, 0), seen, 1e-12);
    assert_share(tg_forecast_sd(pair, 2, -1), seen, 1e-12);
    assert_share(tg_forecast_sd(pair, 2, .02), (4 * .02 + seen) / 5, 1e-12);
}

static void wild_rounds_and_old_ones_do_not_count(void **state)
{
    (void)state;
    double values[1000];

    for (size_t i = 0; i < 9; i++) values[i] = (double)i / 1000;
    const double calm = tg_forecast_sd(values, 9, 0);
    values[8] = 1e9;
    assert_share(tg_forecast_sd(values, 9, 0), calm, 1e-12);

    for (size_t i = 0; i < 1000; i++)
        values[i] = i < 744 ? 1e6 * tg_noise_normal(&seed) : (double)(i % 2);
    assert_share(tg_forecast_sd(values, 1000, 0), 1.4826 * 0.5 * 256 / 255.2, 1e-4);
}

static void hostile_numbers_give_no_nan(void **state)
{
    (void)state;
    static const double numbers[] = {-DBL_MAX, -1, 0, DBL_TRUE_MIN, 1e-9, 1, DBL_MAX};
    static const double lines[] = {-5, 0, 4.6, 700, 1e6};

    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        for (size_t k = 0; k < COUNT_OF(numbers) * COUNT_OF(lines); k++) {
            const double line = lines[k % COUNT_OF(lines)];
            const double theta = numbers[k / COUNT_OF(lines)];
            const struct tg_outlook o = {fmax(numbers[i], 0), 0.02, 0.05, line, line, 5};
            assert_true(tg_forecast_fail_rounds(&o, theta, .99) >= 1);
            assert_true(tg_forecast_clean_rounds(&o, theta, .99) >= 5);
            assert_true(tg_forecast_rounds(&o, theta) >= 1);
            assert_false(isnan(tg_forecast_effect(&o, theta, .99)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mean_rounds_are_those_of_the_processes),
        cmocka_unit_test(other_lines_are_forecast_as_well),
        cmocka_unit_test(rounds_for_a_power_are_those_of_the_processes),
        cmocka_unit_test(the_table_of_sample_sizes_comes_out),
        cmocka_unit_test(what_never_happens_takes_for_ever),
        cmocka_unit_test(no_effect_is_found_in_too_few_rounds),
        cmocka_unit_test(the_least_effect_is_found_and_no_smaller_one),
        cmocka_unit_test(more_noise_or_power_takes_more_rounds),
        cmocka_unit_test(without_noise_the_fewest_rounds_do),
        cmocka_unit_test(the_spread_of_few_rounds_is_right_on_average),
        cmocka_unit_test(what_was_expected_counts_as_four_rounds),
        cmocka_unit_test(wild_rounds_and_old_ones_do_not_count),
        cmocka_unit_test(hostile_numbers_give_no_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
