/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/decided_run.h"

/* Runs on a machine that was disturbed, that nobody measured: rounds of head and base. */

#define MATRIX                                                                                     \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\"],"     \
    " \"layer\": [\"640x2560\"]}}"
#define POLICY(rules)                                                                              \
    "{\"tritgate_policy\": 1, \"flow\": \"f\", \"limits\": {\"steal_share\": 0.1, "                \
    "\"load_most\": 0, \"rounds_max\": 24, \"repeats_max\": 6}, \"rules\": [" rules "]}"
#define SPEED                                                                                      \
    POLICY("{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\", \"of\": "  \
           "\"head\", \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05}")
#define ACCURACY POLICY("{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9}")

static double noise = 0.001;

/* Rounds in which head takes e^more times as long, and the host takes so much of both. */
static void add_rounds(int64_t first, int64_t end, double more, double steal_s)
{
    for (int64_t r = first; r < end; r++) {
        for (int side = 0; side < 2; side++) {
            struct tg_measurement *m = made_row(&run, &plan, 0, side, r, TG_MEASURED);
            made_samples(m, "call_time", side,
                         side ? 1e-4 : 1e-4 * exp(more + (r % 2 ? noise : -noise)));
            m->facts.sampled_s = 1;
            m->facts.own_steal_s = steal_s;
            m->facts.load = 0;
        }
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
    noise = 0.001;
    begin_run(MATRIX, SPEED);
    return 0;
}

/* Whatever they say: 30 % slower, faster, or nothing. */
static void disturbed_rounds_are_left_out_whatever_they_say(void **state)
{
    (void)state;
    static const double more[] = {0.3, -0.3, 0};
    for (size_t i = 0; i < 3; i++) {
        begin_run(MATRIX, SPEED);
        add_rounds(0, 10, 0, 0.1);
        add_rounds(10, 14, more[i], 0.11);
        add_rounds(14, 16, 0, 0);
        const struct tg_verdict *v = decide(TG_PASS);
        assert_string_equal(v->word, "unchanged");
        assert_true(v->rounds == 12 && v->disturbed.rounds == 4 && v->disturbed.seen == 16);
        assert_string_equal(decision.notes[0], "in all tests together, 4 of 16 rounds were "
                                               "disturbed and left out: steal in 4");
    }
}

/* On which side it was seen does not matter. */
static void either_side_disturbs_both(void **state)
{
    (void)state;
    for (size_t side = 0; side < 2; side++) {
        begin_run(MATRIX, SPEED);
        add_rounds(0, 12, 0, 0);
        run.rows[2 * 3 + side].facts.load = 1;
        const struct tg_verdict *v = decide(TG_PASS);
        assert_true(v->rounds == 11 && v->disturbed.causes[TG_DISTURBANCE_load] == 1);
    }
}

/* Half of them may be. A head that disturbs itself is never passed. */
static void a_machine_that_is_disturbed_too_often_decides_nothing(void **state)
{
    (void)state;
    static const double more[] = {0, 0.1};
    for (size_t i = 0; i < 2; i++) {
        begin_run(MATRIX, SPEED);
        add_rounds(0, 11, more[i], 0);
        add_rounds(11, 23, more[i], 0.2);
        const struct tg_verdict *v = decide(TG_INCONCLUSIVE);
        assert_string_equal(v->word, "disturbed");
        assert_string_equal(v->reason, "12 of 23 rounds were disturbed and left out: steal in 12; "
                                       "at most 50 % may be");
        assert_true(v->wants_more);
        add_rounds(23, 24, more[i], 0);
        decide(i == 0 ? TG_PASS : TG_FAIL); /* half of them, exactly */
    }
}

static void each_is_repeated_as_far_as_the_bound_goes(void **state)
{
    (void)state;
    noise = 0.3; /* open for long */
    add_rounds(0, 24, 0.03, 0);
    assert_false(decide(TG_INCONCLUSIVE)->wants_more);
    for (int64_t disturbed = 1; disturbed <= 8; disturbed++) {
        begin_run(MATRIX, SPEED);
        add_rounds(0, disturbed, 0.03, 0.5);
        int64_t most = 24 + (disturbed < 6 ? disturbed : 6);
        add_rounds(disturbed, most - 1, 0.03, 0);
        assert_true(decide(TG_INCONCLUSIVE)->wants_more);
        add_rounds(most - 1, most, 0.03, 0);
        assert_false(decide(TG_INCONCLUSIVE)->wants_more);
    }
}

/* Its value is the same however busy the node. */
static void what_is_exact_is_not_disturbed(void **state)
{
    (void)state;
    begin_run(MATRIX, ACCURACY);
    for (int64_t r = 0; r < 8; r++) {
        made_fixed(&run, &plan, 0, r, 0.999);
        run.rows[r].facts.sampled_s = 1;
        run.rows[r].facts.own_steal_s = 0.9;
    }
    assert_int_equal(decide(TG_PASS)->disturbed.seen, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)
    const struct CMUnitTest tests[] = {
        TEST(disturbed_rounds_are_left_out_whatever_they_say),
        TEST(either_side_disturbs_both),
        TEST(a_machine_that_is_disturbed_too_often_decides_nothing),
        TEST(each_is_repeated_as_far_as_the_bound_goes),
        TEST(what_is_exact_is_not_disturbed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
