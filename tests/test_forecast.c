/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/forecast.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

#include <cmocka.h>

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
        const double d = theta + o->sd * normal();
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

static void what_never_happens_takes_for_ever(void **state)
{
    (void)state;
    const struct tg_outlook o = outlook(.01);
    const struct tg_outlook ratio = {.01, 0, 0, log(30000), log(100), 5};

    assert_true(tg_forecast_fail_rounds(&o, FLOOR, .99) == INFINITY);
    assert_true(tg_forecast_fail_rounds(&o, 0, .01) == INFINITY);
    assert_true(tg_forecast_clean_rounds(&o, MARGIN, .99) == INFINITY);
    assert_true(tg_forecast_clean_rounds(&o, .2, .01) == INFINITY);
    assert_true(tg_forecast_fail_rounds(&ratio, 0, .5) == INFINITY);
    assert_true(tg_forecast_clean_rounds(&ratio, 0, .5) == INFINITY);
}

static void more_noise_or_power_takes_more_rounds(void **state)
{
    (void)state;
    double fail = 0, clean = 0;

    for (double sd = 0; sd < .2; sd += .002) {
        const struct tg_outlook o = outlook(sd);
        const double now_fail = tg_forecast_fail_rounds(&o, .06, .9);
        const double now_clean = tg_forecast_clean_rounds(&o, .01, .9);
        assert_true(now_fail >= fail && now_clean >= clean);
        assert_true(now_fail <= tg_forecast_fail_rounds(&o, .06, .99));
        assert_true(now_clean <= tg_forecast_clean_rounds(&o, .01, .99));
        assert_true(now_fail >= tg_forecast_fail_rounds(&o, .07, .9));
        assert_true(now_clean >= tg_forecast_clean_rounds(&o, 0, .9));
        fail = now_fail;
        clean = now_clean;
    }
}

static void without_noise_the_fewest_rounds_do(void **state)
{
    (void)state;
    const struct tg_outlook o = outlook(0);

    assert_true(tg_forecast_clean_rounds(&o, 0, .99) == 5);
    assert_true(tg_forecast_fail_rounds(&o, .06, .5) == 17);
    assert_true(tg_forecast_fail_rounds(&o, .021, .99) == 17);
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
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_for_a_power_are_those_of_the_processes),
        cmocka_unit_test(what_never_happens_takes_for_ever),
        cmocka_unit_test(more_noise_or_power_takes_more_rounds),
        cmocka_unit_test(without_noise_the_fewest_rounds_do),
        cmocka_unit_test(hostile_numbers_give_no_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
