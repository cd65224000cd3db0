/* SPDX-License-Identifier: Apache-2.0 */
#include "results/sequential.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "coordinator/noise.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

enum {
    MOST_ROUNDS = 10000,
    SERIES = 20000, /* that are simulated for a rate */
    SERIES_ROUNDS = 64
};

static const double FLOOR = 0.0198026272961797;  /* ln 1.02 */
static const double MARGIN = 0.0487901641694320; /* ln 1.05 */
static const double LOG_100 = 4.605170185988092;

static double distances[MOST_ROUNDS];

static cJSON *read_gate(void)
{
    static char text[1 << 18];
    FILE *file = fopen(TG_TEST_DATA "/gate.json", "rb");

    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return cJSON_Parse(text);
}

static double at(const cJSON *item, const char *name, int i)
{
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(item, name);
    assert_true(i < cJSON_GetArraySize(array));
    return cJSON_GetArrayItem(array, i)->valuedouble;
}

static void assert_near(double value, double wanted)
{
    if (fabs(value - wanted) <= 1e-9 * fabs(wanted)) return;
    fail_msg("%.17g is not %.17g", value, wanted);
}

/* The file was computed apart from this program, by other means, and holds ties and still data. */
static void e_values_are_those_of_the_file_at_every_round(void **state)
{
    (void)state;
    cJSON *gate = read_gate();
    const cJSON *item, *cases = cJSON_GetObjectItemCaseSensitive(gate, "cases");

    assert_true(cJSON_GetArraySize(cases) >= 30);
    cJSON_ArrayForEach(item, cases)
    {
        const double floor = cJSON_GetObjectItemCaseSensitive(item, "m0")->valuedouble;
        const double margin = cJSON_GetObjectItemCaseSensitive(item, "m1")->valuedouble;
        const int rounds = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(item, "rounds"));
        struct tg_symmetry symmetry;
        struct tg_student student = {0};

        assert_true(rounds > 0);
        tg_sequential_symmetry_init(&symmetry, floor, distances, MOST_ROUNDS);
        for (int i = 0; i < rounds; i++) {
            const double d = at(item, "rounds", i);
            assert_near(exp(tg_sequential_symmetry_add(&symmetry, d)), at(item, "e_plus", i));
            tg_sequential_student_add(&student, d);
            assert_near(exp(tg_sequential_student_log_e(&student, margin)), at(item, "e_minus", i));
        }
    }
    cJSON_Delete(gate);
}

static uint64_t seed; /* of all noise */

static double student3(uint64_t *state)
{
    const double a = tg_noise_normal(state), b = tg_noise_normal(state), c = tg_noise_normal(state);
    return tg_noise_normal(state) / sqrt((a * a + b * b + c * c) / 3);
}

static double lopsided_minus_lopsided(uint64_t *state)
{
    return (tg_noise_uniform(state) < 0.1 ? -3 * log(tg_noise_uniform(state)) : 0) -
           (tg_noise_uniform(state) < 0.1 ? -3 * log(tg_noise_uniform(state)) : 0);
}

typedef double (*noise_fn)(uint64_t *state);
static const noise_fn NOISES[] = {tg_noise_normal, student3, lopsided_minus_lopsided};

/* The share of simulated series in which E+ is over 100 at any round. */
static double share_found_slow(double theta, noise_fn noise)
{
    int crossed = 0;

    seed = 20;
    for (int i = 0; i < SERIES; i++) {
        struct tg_symmetry s;
        bool over = false;
        tg_sequential_symmetry_init(&s, FLOOR, distances, SERIES_ROUNDS);
        for (int r = 0; r < SERIES_ROUNDS && !over; r++) {
            const double d = theta + 0.01 * noise(&seed);
            over = tg_stats_is_over(tg_sequential_symmetry_add(&s, d), LOG_100);
        }
        crossed += over;
    }
    return (double)crossed / SERIES;
}

static void false_alarms_are_as_rare_as_promised(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(NOISES); i++) {
        assert_true(share_found_slow(FLOOR, NOISES[i]) <= 0.01);
        assert_true(share_found_slow(0, NOISES[i]) <= 0.001);
    }
}

static void a_slow_down_of_five_percent_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(NOISES); i++)
        assert_true(share_found_slow(MARGIN, NOISES[i]) >= 0.99);
}

/* The share of simulated series that are called clean at any of 64 rounds, from the fifth on. */
static double share_found_clean(double theta, noise_fn noise)
{
    int crossed = 0;

    seed = 21;
    for (int i = 0; i < SERIES; i++) {
        struct tg_student t = {0};
        bool below = false;
        for (int r = 0; r < SERIES_ROUNDS && !below; r++) {
            tg_sequential_student_add(&t, theta + 0.01 * noise(&seed));
            below = r >= 4 && tg_sequential_student_is_below(&t, MARGIN, LOG_100);
        }
        crossed += below;
    }
    return (double)crossed / SERIES;
}

static void what_is_slow_is_rarely_called_clean(void **state)
{
    (void)state;
    assert_true(share_found_clean(MARGIN, tg_noise_normal) <= 0.01);
    assert_true(share_found_clean(MARGIN, student3) <= 0.01);
    assert_true(share_found_clean(0, tg_noise_normal) >= 0.999);
}

static void slower_than_the_margin_is_never_below_it(void **state)
{
    (void)state;
    struct tg_student t = {0};

    for (int i = 0; i < 50; i++) {
        tg_sequential_student_add(&t, 2 * MARGIN + 1e-4 * i);
        assert_false(tg_sequential_student_is_below(&t, MARGIN, LOG_100));
    }
    assert_true(tg_sequential_student_log_e(&t, MARGIN) > LOG_100);
}

/* The ends of the interval are the centres whose e-value is exactly on the line. */
static void the_interval_holds_what_is_not_refuted(void **state)
{
    (void)state;
    struct tg_student t = {0};
    int with_ends = 0;

    seed = 22;
    for (int r = 1; r <= 200; r++) {
        tg_sequential_student_add(&t, 0.03 + 0.01 * tg_noise_normal(&seed));
        const struct tg_interval interval = tg_sequential_student_interval(&t, 0.99);
        if (isinf(interval.high)) {
            assert_true(interval.low == -INFINITY && with_ends == 0);
            assert_true(tg_sequential_student_log_e(&t, 1e6) < LOG_100);
            continue;
        }
        with_ends++;
        assert_near(tg_sequential_student_log_e(&t, interval.low), LOG_100);
        assert_near(tg_sequential_student_log_e(&t, interval.high), LOG_100);
    }
    assert_true(with_ends >= 190);
}

/* Four rounds by hand: n = 4, squares = 5, k = 1 - (alpha^2 0.1 / 4.1)^(1/4) for alpha = 0.5. */
static void the_interval_is_that_of_the_formula(void **state)
{
    (void)state;
    struct tg_student t = {0};

    for (int i = 1; i <= 4; i++) tg_sequential_student_add(&t, i);
    assert_near(t.mean, 2.5);
    assert_near(t.squares, 5);
    const double k = 1 - pow(0.25 * 0.1 / 4.1, 0.25);
    const double half = sqrt(5 * k / (16 / 4.1 - 4 * k));
    const struct tg_interval interval = tg_sequential_student_interval(&t, 0.5);
    assert_near(interval.low, 2.5 - half);
    assert_near(interval.high, 2.5 + half);
}

static void an_interval_that_is_watched_still_covers(void **state)
{
    (void)state;
    int missed = 0;

    seed = 23;
    for (int i = 0; i < SERIES / 10; i++) {
        struct tg_student t = {0};
        bool miss = false;
        for (int r = 0; r < SERIES_ROUNDS && !miss; r++) {
            tg_sequential_student_add(&t, tg_noise_normal(&seed));
            const struct tg_interval interval = tg_sequential_student_interval(&t, 0.99);
            miss = interval.low > 0 || interval.high < 0;
        }
        missed += miss;
    }
    assert_true(missed <= SERIES / 10 / 100);
}

static void no_rounds_say_nothing(void **state)
{
    (void)state;
    struct tg_student t = {0};

    assert_true(tg_sequential_student_log_e(&t, MARGIN) == 0);
    assert_false(tg_sequential_student_is_below(&t, MARGIN, LOG_100));
    assert_true(isinf(tg_sequential_student_interval(&t, 0.99).high));
    tg_sequential_student_add(&t, -1);
    assert_true(fabs(tg_sequential_student_log_e(&t, MARGIN)) < 1e-12);
    assert_true(isinf(tg_sequential_student_interval(&t, 0.99).low));
}

static void still_data_have_evidence_and_an_interval(void **state)
{
    (void)state;
    struct tg_student on = {0}, off = {0};

    for (int i = 0; i < 6; i++) {
        tg_sequential_student_add(&on, MARGIN);
        tg_sequential_student_add(&off, 0);
    }
    assert_near(tg_sequential_student_log_e(&on, MARGIN), 0.5 * log(0.1 / 6.1));
    assert_near(tg_sequential_student_log_e(&off, MARGIN), 0.5 * log(0.1 / 6.1) + 3 * log(61));
    assert_true(tg_sequential_student_interval(&off, 0.99).low == 0);
    assert_true(tg_sequential_student_interval(&off, 0.99).high == 0);
}

/* At the floor itself the first two bets are lost, and then there is nothing to bet on. */
static void rounds_at_the_floor_are_no_evidence(void **state)
{
    (void)state;
    struct tg_symmetry s;
    double log_e = 0;

    /* Nor where the last bit of a logarithm says that they are above it, as of bytes in a ratio. */
    for (int bit = -1; bit <= 1; bit++) {
        tg_sequential_symmetry_init(&s, FLOOR, distances, MOST_ROUNDS);
        for (int i = 0; i < 20; i++) log_e = tg_sequential_symmetry_add(&s, FLOOR + bit * 4e-16);
        assert_near(exp(log_e), 0.27043333333333336);
    }
}

static void hostile_rounds_give_numbers(void **state)
{
    (void)state;
    static const double rows[][4] = {
        {0, 0, 0, 0},
        {DBL_MAX, DBL_MAX, DBL_MAX, DBL_MAX},
        {-DBL_MAX, DBL_MAX, -DBL_MAX, DBL_MAX},
        {DBL_TRUE_MIN, -DBL_TRUE_MIN, DBL_MIN, 0},
        {0, 1e-170, 0, -1e-170},
        {1e-3, 1e300, 1e-3, -1e300},
    };
    static const double floors[] = {0, 0.02, DBL_MAX, -DBL_MAX};

    for (size_t i = 0; i < COUNT_OF(rows) * COUNT_OF(floors); i++) {
        const double floor = floors[i % COUNT_OF(floors)];
        struct tg_symmetry s;
        struct tg_student t = {0};
        tg_sequential_symmetry_init(&s, floor, distances, MOST_ROUNDS);
        for (int r = 0; r < 40; r++) {
            const double d = rows[i / COUNT_OF(floors)][r % 4];
            assert_true(isfinite(tg_sequential_symmetry_add(&s, d)));
            tg_sequential_student_add(&t, d);
            assert_true(isfinite(tg_sequential_student_log_e(&t, floor)));
            assert_false(isnan(tg_sequential_student_interval(&t, 0.99).low));
            assert_false(isnan(tg_sequential_student_interval(&t, 0.99).high));
        }
    }
}

static void ten_thousand_rounds_stay_finite(void **state)
{
    (void)state;
    static const double thetas[] = {0, 0.02, 0.3, -0.3};

    seed = 24;
    for (size_t i = 0; i < COUNT_OF(thetas); i++) {
        struct tg_symmetry s;
        struct tg_student t = {0};
        double log_e = 0;
        tg_sequential_symmetry_init(&s, FLOOR, distances, MOST_ROUNDS);
        for (int r = 0; r < MOST_ROUNDS; r++) {
            const double d = thetas[i] + 0.003 * tg_noise_normal(&seed);
            log_e = tg_sequential_symmetry_add(&s, d);
            tg_sequential_student_add(&t, d);
            assert_true(isfinite(log_e));
            assert_true(isfinite(tg_sequential_student_log_e(&t, MARGIN)));
        }
        if (thetas[i] == 0.3) assert_true(log_e > 1000);
    }
}

static void one_round_at_most_doubles_the_evidence(void **state)
{
    (void)state;
    struct tg_symmetry s;
    double before = 0;

    seed = 25;
    tg_sequential_symmetry_init(&s, FLOOR, distances, MOST_ROUNDS);
    for (int r = 0; r < 100; r++) {
        const double after = tg_sequential_symmetry_add(&s, 0.02 + student3(&seed));
        assert_true(after <= before + log(2) && after >= before + log(0.01) - 1e-9);
        before = after;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(e_values_are_those_of_the_file_at_every_round),
        cmocka_unit_test(false_alarms_are_as_rare_as_promised),
        cmocka_unit_test(a_slow_down_of_five_percent_is_found),
        cmocka_unit_test(what_is_slow_is_rarely_called_clean),
        cmocka_unit_test(slower_than_the_margin_is_never_below_it),
        cmocka_unit_test(the_interval_holds_what_is_not_refuted),
        cmocka_unit_test(the_interval_is_that_of_the_formula),
        cmocka_unit_test(an_interval_that_is_watched_still_covers),
        cmocka_unit_test(no_rounds_say_nothing),
        cmocka_unit_test(still_data_have_evidence_and_an_interval),
        cmocka_unit_test(rounds_at_the_floor_are_no_evidence),
        cmocka_unit_test(hostile_rounds_give_numbers),
        cmocka_unit_test(ten_thousand_rounds_stay_finite),
        cmocka_unit_test(one_round_at_most_doubles_the_evidence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
