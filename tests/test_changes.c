/* SPDX-License-Identifier: Apache-2.0 */
#include "results/changes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static const struct tg_change_demands demands = {
    .level = 0.01, .permutations = 999, .segment_min = 5, .creep_min = 10, .seed = 1};

/* Noise of known laws, from a generator of its own: sums of bits, and such over a root of one. */
static uint64_t noise_state;

static double uniform(void)
{
    noise_state = noise_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return ((double)(noise_state >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += uniform();
    return sum;
}

static double t3(void)
{
    const double a = normal(), b = normal(), c = normal();
    return normal() / sqrt((a * a + b * b + c * c) / 3);
}

static double skewed(void)
{
    return -log(uniform()) - 1;
}

static void find(const double *values, size_t count, struct tg_changes *changes)
{
    struct tg_error err;
    if (tg_changes_find(values, count, &demands, 0.99, changes, &err) < 0) fail_msg("%s", err.text);
}

/* Asserts that these are the steps, give or take `slack` places. */
static void assert_steps(const double *values, size_t count, const size_t *wanted,
                         size_t wanted_count, size_t slack)
{
    struct tg_changes c;
    find(values, count, &c);
    assert_int_equal(c.count, wanted_count);
    for (size_t i = 0; i < wanted_count; i++) {
        assert_in_range(c.list[i].at + slack, wanted[i], wanted[i] + 2 * slack);
        assert_true(c.list[i].p_value > 0 && c.list[i].p_value <= demands.level);
    }
    tg_changes_release(&c);
}

/* Annual flow of the Nile at Aswan, 1871 to 1970: it fell in 1899 (Cobb, Biometrika 65 (1978)). */
static void the_nile_fell_in_1899(void **state)
{
    (void)state;
    static const double flow[] = {
        1120, 1160, 963, 1210, 1160, 1160, 813,  1230, 1370, 1140, 995,  935,  1110, 994,  1020,
        960,  1180, 799, 958,  1140, 1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100, 774,  840,
        874,  694,  940, 833,  701,  916,  692,  1020, 1050, 969,  831,  726,  456,  824,  702,
        1120, 1100, 832, 764,  821,  768,  845,  864,  862,  698,  845,  744,  796,  1040, 759,
        781,  865,  845, 944,  984,  897,  822,  1010, 771,  676,  649,  846,  812,  742,  801,
        1040, 860,  874, 848,  890,  744,  749,  838,  1050, 918,  986,  797,  923,  975,  815,
        1020, 906,  901, 1170, 912,  746,  919,  718,  714,  740};
    const size_t steps[] = {28};
    struct tg_changes c;
    assert_steps(flow, COUNT_OF(flow), steps, 1, 0);
    find(flow, COUNT_OF(flow), &c);
    assert_true(c.list[0].p_value == 0.001); /* none of 999 orders has as good a split */
    assert_true(c.list[0].size.estimate < -220 && c.list[0].size.estimate > -280);
    assert_true(c.list[0].size.interval.high < -130 && c.list[0].size.interval.low > -400);
    tg_changes_release(&c);
}

/* The best split of two levels without noise can be told with a pencil. */
static void a_step_without_noise_is_where_it_is(void **state)
{
    (void)state;
    double values[40];
    const size_t steps[] = {7, 30};
    for (size_t i = 0; i < 40; i++) values[i] = i < 7 ? 3 : 5;
    assert_steps(values, 40, steps, 1, 0);
    for (size_t i = 30; i < 40; i++) values[i] = 1;
    assert_steps(values, 40, steps, 2, 0);
    for (size_t i = 0; i < 40; i++) values[i] = 3;
    assert_steps(values, 40, NULL, 0, 0);
}

static void steps_in_noise_are_found_with_their_size(void **state)
{
    (void)state;
    double values[60];
    const size_t steps[] = {20, 45};
    struct tg_changes c;
    noise_state = 5;
    for (size_t i = 0; i < 60; i++)
        values[i] = 0.01 * normal() + (i < 20 ? 0 : i < 45 ? 0.03 : -0.02);
    assert_steps(values, 20, NULL, 0, 0);
    assert_steps(values, 45, steps, 1, 1);
    assert_steps(values, 60, steps, 2, 1);
    find(values, 60, &c);
    assert_true(c.list[0].size.interval.low < 0.03 && c.list[0].size.interval.high > 0.03);
    assert_true(c.list[1].size.interval.low < -0.05 && c.list[1].size.interval.high > -0.05);
    assert_true(c.list[0].size.interval.low > 0 && c.list[1].size.interval.high < 0);
    tg_changes_release(&c);
}

static void a_bump_that_comes_back_is_two_steps(void **state)
{
    (void)state;
    double values[60];
    const size_t steps[] = {25, 35};
    noise_state = 8;
    for (size_t i = 0; i < 60; i++) values[i] = normal() + (i >= 25 && i < 35 ? 4 : 0);
    assert_steps(values, 60, steps, 2, 1);
}

static void a_step_in_heavy_tails_is_found(void **state)
{
    (void)state;
    double values[60];
    const size_t steps[] = {35};
    noise_state = 3;
    for (size_t i = 0; i < 60; i++) values[i] = t3() + (i < 35 ? 0 : 3);
    assert_steps(values, 60, steps, 1, 3);
    const double kept = values[10];
    values[10] = 40; /* one wild run is no step */
    assert_steps(values, 60, steps, 1, 3);
    values[10] = kept;
    assert_steps(values, 35, NULL, 0, 0);
}

/* Of 400 series without a step, at most the level may show one, and chance: three deviations. */
static void false_alarms_are_as_rare_as_promised(void **state)
{
    (void)state;
    double (*const laws[])(void) = {normal, t3, skewed};
    struct tg_change_demands often = {
        .level = 0.05, .permutations = 99, .segment_min = 3, .creep_min = 10, .seed = 9};
    for (size_t law = 0; law < COUNT_OF(laws); law++) {
        int steps = 0, creeps = 0, drifts = 0;
        noise_state = 77 + law;
        for (int i = 0; i < 400; i++) {
            double values[24];
            struct tg_changes c;
            struct tg_creep creep;
            struct tg_error err;
            for (size_t k = 0; k < COUNT_OF(values); k++) values[k] = laws[law]();
            often.seed++;
            assert_int_equal(tg_changes_find(values, 24, &often, 0.99, &c, &err), 0);
            steps += c.count > 0;
            tg_changes_release(&c);
            assert_int_equal(tg_changes_creep(values, 24, &often, &creep, &err), 0);
            creeps += creep.is_found;
            assert_int_equal(tg_changes_drift(values, 24, &often, &creep, &err), 0);
            drifts += creep.is_found;
        }
        assert_in_range(steps, 4, 33); /* 0 would be a test that cannot find */
        assert_in_range(creeps, 0, 33);
        if (laws[law] != skewed) assert_in_range(drifts, 4, 33); /* needs symmetry */
    }
}

/* 0.5 % a run over 10 runs, each of which the gate passes: no run differs from the one before. */
static void a_slow_creep_that_every_run_passed_is_found(void **state)
{
    (void)state;
    double increments[30], levels[30];
    struct tg_creep creep;
    struct tg_error err;
    noise_state = 4;
    for (size_t i = 0; i < 30; i++) {
        increments[i] = 0.002 * normal() + (i < 20 ? 0 : 0.005);
        levels[i] = 0.004 * normal() + (i < 20 ? 0 : 0.005 * (double)(i - 19));
        assert_true(increments[i] < 0.02); /* each is below the tolerance */
    }
    assert_int_equal(tg_changes_drift(increments, 20, &demands, &creep, &err), 0);
    assert_false(creep.is_found);
    assert_int_equal(tg_changes_drift(increments, 30, &demands, &creep, &err), 0);
    assert_true(creep.is_found);
    assert_int_equal(creep.first, 20);
    assert_int_equal(creep.count, 10);
    assert_true(creep.interval.low > 0.02 && creep.interval.low < 0.05);
    assert_true(creep.interval.high > 0.05 && creep.interval.high < 0.1);
    assert_true(creep.total > creep.interval.low && creep.total < creep.interval.high);

    assert_int_equal(tg_changes_creep(levels, 20, &demands, &creep, &err), 0);
    assert_false(creep.is_found);
    assert_int_equal(tg_changes_creep(levels, 30, &demands, &creep, &err), 0);
    assert_true(creep.is_found);
    assert_true(creep.interval.low > 0 && creep.interval.high < 0.1);
}

static void a_step_is_no_creep(void **state)
{
    (void)state;
    double levels[20], increments[20];
    struct tg_creep creep;
    struct tg_error err;
    noise_state = 6;
    for (size_t i = 0; i < 20; i++) {
        levels[i] = 0.004 * normal() + (i < 10 ? 0 : 0.05);
        increments[i] = 0.004 * normal() + (i == 10 ? 0.05 : 0);
    }
    assert_int_equal(tg_changes_creep(levels, 20, &demands, &creep, &err), 0);
    assert_false(creep.is_found);
    assert_int_equal(tg_changes_drift(increments, 20, &demands, &creep, &err), 0);
    assert_false(creep.is_found);
}

/* The sums of increments wander: that is why steps are not sought in them. */
static void sums_of_noise_wander(void **state)
{
    (void)state;
    int wandered = 0, drifted = 0;
    noise_state = 12;
    for (int i = 0; i < 40; i++) {
        double increments[30], sums[30], sum = 0;
        struct tg_changes c;
        struct tg_creep creep;
        struct tg_error err;
        for (size_t k = 0; k < 30; k++) sums[k] = sum += increments[k] = normal();
        find(sums, 30, &c);
        wandered += c.count > 0;
        tg_changes_release(&c);
        assert_int_equal(tg_changes_drift(increments, 30, &demands, &creep, &err), 0);
        drifted += creep.is_found;
    }
    assert_true(wandered > 30);
    assert_true(drifted <= 3);
}

static void the_same_series_gives_the_same_answer(void **state)
{
    (void)state;
    double values[40];
    struct tg_changes a, b;
    noise_state = 2;
    for (size_t i = 0; i < 40; i++) values[i] = normal() + (i < 20 ? 0 : 2.5);
    find(values, 40, &a);
    find(values, 40, &b);
    assert_int_equal(a.count, 1);
    assert_int_equal(b.count, 1);
    assert_memory_equal(a.list, b.list, sizeof *a.list);
    tg_changes_release(&a);
    tg_changes_release(&b);
}

static void too_few_values_say_nothing(void **state)
{
    (void)state;
    const double values[] = {0, 0, 0, 0, 9, 9, 9, 9, 9};
    for (size_t count = 0; count <= COUNT_OF(values); count++) {
        struct tg_creep creep;
        struct tg_error err;
        assert_steps(values, count, NULL, 0, 0);
        assert_int_equal(tg_changes_creep(values, count, &demands, &creep, &err), 0);
        assert_false(creep.is_found);
        assert_int_equal(tg_changes_drift(values, count, &demands, &creep, &err), 0);
        assert_false(creep.is_found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nile_fell_in_1899),
        cmocka_unit_test(a_step_without_noise_is_where_it_is),
        cmocka_unit_test(steps_in_noise_are_found_with_their_size),
        cmocka_unit_test(a_bump_that_comes_back_is_two_steps),
        cmocka_unit_test(a_step_in_heavy_tails_is_found),
        cmocka_unit_test(false_alarms_are_as_rare_as_promised),
        cmocka_unit_test(a_slow_creep_that_every_run_passed_is_found),
        cmocka_unit_test(a_step_is_no_creep),
        cmocka_unit_test(sums_of_noise_wander),
        cmocka_unit_test(the_same_series_gives_the_same_answer),
        cmocka_unit_test(too_few_values_say_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
