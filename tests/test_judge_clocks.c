/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/decided_run.h"

/* Runs on a device with a clock, that nobody measured: rounds of head and base in time and cycles.
 */

#define MATRIX                                                                                     \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\"],"     \
    " \"layer\": [\"640x2560\"]}}"
#define POLICY                                                                                     \
    "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": [{\"rule\": \"noninferior\","            \
    " \"metric\": \"call_time\", \"also\": \"call_cycles\", \"axis\": \"build\", \"of\": "         \
    "\"head\", \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05}]}"
#define CLOCK_HZ 1.5e9

/* A side of a round that takes so many cycles at that clock. */
static void add_side(int side, int64_t round, double cycles, double clock_hz)
{
    struct tg_measurement *m = made_row(&run, &plan, 0, side, round, TG_MEASURED);
    made_samples(m, "call_time", side, cycles / clock_hz);
    made_samples(m, "call_cycles", side, cycles);
    snprintf(m->facts.gpu, sizeof m->facts.gpu, "H100");
    snprintf(m->facts.gpu_uuid, sizeof m->facts.gpu_uuid, "GPU-1");
    m->facts.sm_clock_hz = m->facts.sm_clock_min_hz = clock_hz;
    m->facts.throttle = 0;
    m->facts.gpu_power_w = 600 * clock_hz / CLOCK_HZ;
}

/* Rounds in which head takes `more` cycles (a logarithm) at `share` of base's clock. */
static void add_rounds(int64_t first, int64_t end, double more, double share)
{
    for (int64_t r = first; r < end; r++) {
        add_side(0, r, 1e5 * exp(more + (r % 2 ? 0.001 : -0.001)), share * CLOCK_HZ);
        add_side(1, r, 1e5, CLOCK_HZ);
    }
}

static const struct tg_verdict *decide(enum tg_answer answer)
{
    assert_int_equal(decide_run(), answer);
    return &decision.verdicts[0];
}

static int start(void **state)
{
    (void)state;
    begin_run(MATRIX, POLICY);
    return 0;
}

static void a_planted_fall_of_the_clock_is_named(void **state)
{
    (void)state;
    add_rounds(0, 20, 0, 0.92);
    const struct tg_verdict *v = decide(TG_PASS);
    assert_string_equal(v->word, "attention");
    assert_string_equal(v->reason,
                        "clock effect: +8.70 % in call_time, +0.00 % in call_cycles; clock 1380 "
                        "MHz against 1500; power 552 W against 600");
    assert_int_equal(decision.attention, 1);
    assert_int_equal(v->discarded, 0);
}

/* However low its own clock and however many rounds: attention at least, never nothing. */
static void a_head_that_lowers_its_clock_never_passes_in_silence(void **state)
{
    (void)state;
    static const double shares[] = {0.94, 0.91, 0.85, 0.7, 0.4};
    for (size_t s = 0; s < sizeof shares / sizeof *shares; s++) {
        begin_run(MATRIX, POLICY);
        for (int64_t r = 0; r < 40; r++) {
            add_rounds(r, r + 1, 0, shares[s]);
            if (decide_run() != TG_PASS) continue;
            assert_string_equal(decision.verdicts[0].word, "attention");
            assert_int_equal(decision.attention, 1);
        }
        assert_int_equal(decision.answer, TG_PASS);
    }
}

static void a_regression_in_cycles_fails_whatever_the_clock(void **state)
{
    (void)state;
    add_rounds(0, 20, 0.09, 0.95);
    assert_string_equal(decide(TG_FAIL)->word, "slower, minor");
    begin_run(MATRIX, POLICY);
    add_rounds(0, 20, 0.09, 1);
    decide(TG_FAIL);
}

/* One round without cycles: only evidence excuses. */
static void without_cycles_in_every_round_time_decides(void **state)
{
    (void)state;
    add_rounds(0, 20, 0, 0.92);
    tg_measurement_drop(&run.rows[10], "call_cycles");
    assert_string_equal(decide(TG_FAIL)->word, "slower, minor");
    assert_true(isnan(decision.verdicts[0].also));
}

/* Throttled rounds are nothing, whatever their times say: 30 % faster or slower. */
static void throttled_rounds_are_discarded_for_both_sides(void **state)
{
    (void)state;
    static const double more[] = {0, 0.3, -0.3};
    for (size_t i = 0; i < 3; i++) {
        begin_run(MATRIX, POLICY);
        add_rounds(0, 20, 0, 1);
        add_rounds(20, 24, more[i], 0.85);
        run.rows[2 * 22].facts.throttle = 0x40;
        run.rows[2 * 23 + 1].facts.throttle = 0x40;
        const struct tg_verdict *v = decide(TG_PASS);
        assert_string_equal(v->word, "unchanged");
        assert_int_equal(v->rounds, 20);
        assert_true(v->discarded == 4 && v->clocked == 24);
        assert_string_equal(decision.notes[0], "discarded: 4 of 24 rounds of tests, in which the "
                                               "clock of a device was too low or held down");
    }
}

static void too_many_throttled_rounds_are_thermal(void **state)
{
    (void)state;
    add_rounds(0, 20, 0, 1);
    for (int64_t r = 3; r < 8; r++) run.rows[2 * r + 1].facts.throttle = 0x20;
    const struct tg_verdict *v = decide(TG_INCONCLUSIVE);
    assert_string_equal(v->word, "thermal");
    assert_string_equal(v->reason, "5 of 20 rounds discarded: held down in 5 (heat); "
                                   "at most 20 % may be");
    assert_true(v->wants_more);
    run.rows[2 * 7 + 1].facts.throttle = 0;
    decide(TG_PASS);
}

/* Neither a regression nor a pass is decided by what the heat left over. */
static void nothing_passes_or_fails_by_discarding(void **state)
{
    (void)state;
    add_rounds(0, 30, 0.2, 1);
    decide(TG_FAIL);
    for (size_t i = 0; i < run.count; i += 8) run.rows[i].facts.throttle = 0x8;
    assert_string_equal(decide(TG_INCONCLUSIVE)->word, "thermal");
    begin_run(MATRIX, POLICY);
    add_rounds(0, 30, 0, 1);
    for (size_t i = 0; i < run.count; i++) run.rows[i].facts.throttle = 0x8;
    assert_string_equal(decide(TG_INCONCLUSIVE)->word, "thermal");
    assert_int_equal(decision.verdicts[0].rounds, 0);
}

/* A regression that heats the device in some of its rounds is not lost with them. */
static void what_is_left_decides_while_few_are_discarded(void **state)
{
    (void)state;
    add_rounds(0, 30, 0.09, 1);
    for (size_t i = 0; i < run.count; i += 12) run.rows[i].facts.throttle = 0x8;
    assert_string_equal(decide(TG_FAIL)->word, "slower, minor");
    assert_int_equal(decision.verdicts[0].discarded, 5);
}

static void a_wrong_head_is_wrong_however_hot(void **state)
{
    (void)state;
    add_rounds(0, 10, 0, 1);
    for (size_t i = 0; i < run.count; i++) run.rows[i].facts.throttle = 0x8;
    made_row(&run, &plan, 0, 0, 10, TG_WRONG);
    made_row(&run, &plan, 0, 1, 10, TG_MEASURED)->unpaired = 1;
    assert_string_equal(decide(TG_FAIL)->word, "wrong");
}

static void a_device_is_known_after_the_least_number_of_rounds(void **state)
{
    (void)state;
    begin_run(MATRIX, "{\"tritgate_policy\": 1, \"flow\": \"f\", \"limits\": {\"rounds_min\": 12},"
                      " \"rules\": [{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\""
                      ": \"build\", \"of\": \"head\", \"to\": \"base\", \"tolerance\": 0.02,"
                      " \"margin\": 0.05}]}");
    add_rounds(0, 11, 0.2, 1);
    assert_string_equal(decide(TG_INCONCLUSIVE)->reason,
                        "11 rounds are too few to know what the clock of the device is");
    add_rounds(11, 12, 0.2, 1);
    decide(TG_FAIL);
}

/* The same rows in another order, as from other files, are the same decision. */
static void the_order_of_rows_is_nothing(void **state)
{
    (void)state;
    struct tg_verdict before, after;
    add_rounds(0, 24, 0, 1);
    for (int64_t r = 2; r < 24; r += 6) run.rows[2 * r].facts.sm_clock_hz *= 0.8;
    before = *decide(TG_PASS);
    for (size_t i = 0; i < run.count / 2; i++) {
        struct tg_measurement m = run.rows[i];
        run.rows[i] = run.rows[run.count - 1 - i];
        run.rows[run.count - 1 - i] = m;
    }
    after = *decide(TG_PASS);
    assert_int_equal(before.discarded, 4);
    assert_int_equal(after.discarded, 4);
    assert_true(before.rounds == after.rounds && before.estimate == after.estimate &&
                before.log_clean == after.log_clean);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)
    const struct CMUnitTest tests[] = {
        TEST(a_planted_fall_of_the_clock_is_named),
        TEST(a_head_that_lowers_its_clock_never_passes_in_silence),
        TEST(a_regression_in_cycles_fails_whatever_the_clock),
        TEST(without_cycles_in_every_round_time_decides),
        TEST(throttled_rounds_are_discarded_for_both_sides),
        TEST(too_many_throttled_rounds_are_thermal),
        TEST(nothing_passes_or_fails_by_discarding),
        TEST(what_is_left_decides_while_few_are_discarded),
        TEST(a_wrong_head_is_wrong_however_hot),
        TEST(a_device_is_known_after_the_least_number_of_rounds),
        TEST(the_order_of_rows_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
