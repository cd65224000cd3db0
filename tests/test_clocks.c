/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/clocks.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/noise.h"
#include "coordinator/rule.h"

/* Which rounds are discarded for their clocks, of rounds that have nothing else. */

enum { MOST = 40 };

static struct tg_limits limits;
static struct tg_measurement of_rows[MOST], to_rows[MOST];
static const struct tg_measurement *of[MOST], *to[MOST];
static bool discarded[MOST];
static struct tg_discards discards;

/* Both sides of all rounds at 1.5 GHz, held down by nothing. */
static int begin(void **state)
{
    (void)state;
    tg_record_init(&tg_limits_type, &limits);
    for (int r = 0; r < MOST; r++) {
        tg_measurement_init(&of_rows[r]);
        tg_measurement_init(&to_rows[r]);
        of[r] = &of_rows[r];
        to[r] = &to_rows[r];
        of_rows[r].facts.sm_clock_hz = to_rows[r].facts.sm_clock_hz = 1.5e9;
        of_rows[r].facts.throttle = to_rows[r].facts.throttle = 0;
    }
    return 0;
}

static void look(size_t count)
{
    struct tg_error err;
    assert_int_equal(tg_clocks_look(of, to, count, &limits, discarded, &discards, &err), 0);
}

static void steady_clocks_discard_nothing(void **state)
{
    (void)state;
    look(MOST);
    assert_int_equal(discards.clocked, MOST);
    assert_int_equal(discards.rounds, 0);
    look(0);
    assert_int_equal(discards.clocked + discards.rounds, 0);
    assert_false(tg_clocks_are_thermal(&discards, &limits));
}

static void a_low_clock_on_either_side_discards_the_round(void **state)
{
    (void)state;
    of_rows[7].facts.sm_clock_hz = 1.34e9;
    to_rows[9].facts.sm_clock_hz = 1.34e9;
    to_rows[11].facts.sm_clock_hz = 1.35e9; /* exactly the share */
    look(20);
    for (int r = 0; r < 20; r++) assert_int_equal(discarded[r], r == 7 || r == 9);
    assert_int_equal(discards.slow, 2);
    assert_int_equal(discards.rounds, 2);
}

static void a_reason_discards_if_the_policy_counts_it(void **state)
{
    (void)state;
    of_rows[3].facts.throttle = 0x4;
    to_rows[4].facts.throttle = 0x44;
    of_rows[5].facts.throttle = 0x80;
    of_rows[6].facts.throttle = -1; /* not known */
    look(20);
    assert_int_equal(discards.rounds, 2);
    assert_true(discarded[4] && discarded[5]);
    assert_true(discards.held == 2 && discards.reasons == 0xc0);
    limits.throttle_reasons = 4;
    look(20);
    assert_true(discards.rounds == 2 && discarded[3] && discarded[4]);
    limits.throttle_reasons = 0;
    look(20);
    assert_int_equal(discards.rounds, 0);
}

static void the_first_rounds_share_the_median_of_all_of_them(void **state)
{
    (void)state;
    of_rows[0].facts.sm_clock_hz = 0.3e9; /* not yet awake */
    look(20);
    assert_true(discarded[0] && discards.rounds == 1);
}

/* It is what lets the tests look after each round. */
static void whether_a_round_counts_never_changes_after_the_first_rounds(void **state)
{
    (void)state;
    bool before[MOST];
    for (int r = 0; r < MOST; r++) {
        of_rows[r].facts.sm_clock_hz = 1.5e9 * (1 - 0.02 * (double)(r * 7 % 13));
        to_rows[r].facts.sm_clock_hz = 1.5e9 * (1 - 0.015 * (double)r);
    }
    look((size_t)limits.rounds_min);
    for (size_t n = (size_t)limits.rounds_min + 1; n <= MOST; n++) {
        memcpy(before, discarded, sizeof before);
        look(n);
        for (size_t r = 0; r + 1 < n; r++) assert_int_equal(discarded[r], before[r]);
    }
    assert_true(discards.rounds > 0 && discards.rounds < MOST);
}

/* An unlike kernel draws unlike power: its own clock is what it is held against. */
static void each_side_has_a_median_of_its_own(void **state)
{
    (void)state;
    for (int r = 0; r < MOST; r++) of_rows[r].facts.sm_clock_hz = 1.0e9;
    of_rows[30].facts.sm_clock_hz = 0.8e9;
    look(MOST);
    assert_true(discards.rounds == 1 && discarded[30]);
}

static void a_side_without_a_clock_is_not_looked_at(void **state)
{
    (void)state;
    for (int r = 0; r < MOST; r++) {
        to_rows[r].facts.sm_clock_hz = NAN;
        to_rows[r].facts.throttle = -1;
    }
    look(MOST);
    assert_true(discards.clocked == MOST && discards.rounds == 0);
    for (int r = 0; r < MOST; r++) {
        of_rows[r].facts = to_rows[r].facts;
        to[r] = NULL;
    }
    look(MOST);
    assert_true(discards.clocked == 0 && discards.rounds == 0);
}

static void too_many_discards_are_thermal(void **state)
{
    (void)state;
    for (int r = 0; r < 9; r++) of_rows[4 * r].facts.throttle = 0x20;
    look(MOST);
    assert_int_equal(discards.rounds, 9);
    assert_true(tg_clocks_are_thermal(&discards, &limits));
    of_rows[0].facts.throttle = 0;
    look(MOST);
    assert_false(tg_clocks_are_thermal(&discards, &limits)); /* exactly one in five */
}

static void discards_are_said_with_their_reasons(void **state)
{
    (void)state;
    char text[300];
    of_rows[7].facts.sm_clock_hz = 1.0e9;
    look(20);
    assert_string_equal(tg_clocks_text(&discards, &limits, text, sizeof text),
                        "1 of 20 rounds discarded: clock below 90 % of its median in 1");
    of_rows[7].facts.throttle = 0x88;
    of_rows[8].facts.throttle = 0x84;
    look(20);
    assert_string_equal(tg_clocks_text(&discards, &limits, text, sizeof text),
                        "2 of 20 rounds discarded: clock below 90 % of its median in 1, held down "
                        "in 2 (hardware,power_brake)");
}

/* Clocks that fall and recover, and noise that grows as they do, drawn for one series. */
static void draw_series(uint64_t *random, double values[MOST])
{
    double heat = 0;
    for (int r = 0; r < MOST; r++) {
        heat = 0.8 * heat + 0.09 * tg_noise_uniform(random);
        of_rows[r].facts.sm_clock_hz = 1.5e9 * (1 - heat * tg_noise_uniform(random));
        to_rows[r].facts.sm_clock_hz = 1.5e9 * (1 - heat * tg_noise_uniform(random));
        double size = 0.005 + 0.1 * heat * tg_noise_uniform(random);
        values[r] = log1p(0.02) + (tg_noise_uniform(random) < 0.5 ? -size : size);
    }
}

/*
 * Looked at after each round, with what is discarded then, as a run does: the evidence against a
 * build at the tolerance goes over its line in at most alpha_fail of the series.
 */
static void discards_leave_the_error_rate_as_it_was(void **state)
{
    (void)state;
    enum { SERIES = 2000 };
    uint64_t random = 3;
    int over = 0, discards_seen = 0;
    for (int s = 0; s < SERIES; s++) {
        double values[MOST], kept[MOST];
        bool is_over = false;
        draw_series(&random, values);
        for (size_t n = 1; n <= MOST && !is_over; n++) {
            struct tg_verdict v = tg_rule_no_verdict();
            struct tg_evidence evidence = {
                .limits = &limits, .required_count = 1, .values = kept, .is_brief = true};
            look(n);
            for (size_t r = 0; r < n; r++)
                if (!discarded[r]) kept[evidence.count++] = values[r];
            is_over = tg_rule_follow(&evidence, 1, 0, log1p(0.02), log1p(0.05), &v).is_over;
        }
        over += is_over;
        discards_seen += (int)discards.rounds;
    }
    print_message("over: %d of %d, %.1f rounds discarded of %d\n", over, SERIES,
                  (double)discards_seen / SERIES, MOST);
    assert_true(discards_seen > 3 * SERIES);
    assert_true(over <= 0.01 * SERIES);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        TEST(steady_clocks_discard_nothing),
        TEST(a_low_clock_on_either_side_discards_the_round),
        TEST(a_reason_discards_if_the_policy_counts_it),
        TEST(the_first_rounds_share_the_median_of_all_of_them),
        TEST(whether_a_round_counts_never_changes_after_the_first_rounds),
        TEST(each_side_has_a_median_of_its_own),
        TEST(a_side_without_a_clock_is_not_looked_at),
        TEST(too_many_discards_are_thermal),
        TEST(discards_are_said_with_their_reasons),
        TEST(discards_leave_the_error_rate_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
