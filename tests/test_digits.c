/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/digits.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/noise.h"
#include "tests/judged_values.h"

enum { ROUNDS = 16, SAMPLES = 4 };

static struct tg_metric rate_metric = {"rate", "1/s", TG_HIGHER, TG_SAMPLED, TG_POSITIVE, ""};

/* Rounds of two cells whose samples are written down. */
static struct tg_measurement rows[2][ROUNDS];
static double medians[2][ROUNDS];
static int sessions[ROUNDS]; /* all in one run, unless a test says otherwise */
static uint64_t state;

/* Samples of a cell from a round on, of that rate and noise, to so many steps in 1 (0: as is). */
static void write_from(int first, int side, double rate, double noise, double steps)
{
    for (int r = first; r < ROUNDS; r++) {
        tg_measurement_free(&rows[side][r]);
        tg_measurement_init(&rows[side][r]);
        struct tg_series *s = tg_measurement_add(&rows[side][r], "rate", SAMPLES);
        assert_non_null(s);
        for (int k = 0; k < SAMPLES; k++) {
            double seen = rate + noise * tg_noise_normal(&state);
            s->samples[k] = steps > 0 ? round(seen * steps) / steps : seen;
        }
        medians[side][r] = tg_stats_median(s->samples, SAMPLES);
    }
}

/* Samples of a cell in all rounds. */
static void write_down(int side, double rate, double noise, double steps)
{
    write_from(0, side, rate, noise, steps);
}

/* What is answered: of rows in two quads, in which the order makes no difference. */
static struct tg_verdict decided(size_t count, bool is_doubted)
{
    const struct tg_measurement *pointers[2][ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        const double *of = rows[0][r].series[0].samples, *to = rows[1][r].series[0].samples;
        values[r] = 0;
        for (int k = 0; k < SAMPLES; k++) values[r] += log(of[k] / to[k]) / SAMPLES;
        for (int side = 0; side < 2; side++) pointers[side][r] = &rows[side][r];
    }
    const struct tg_rounds rounds = {.values = values,
                                     .count = count,
                                     .of_medians = medians[0],
                                     .to_medians = medians[1],
                                     .of_rows = pointers[0],
                                     .to_rows = pointers[1]};
    const struct tg_evidence evidence = {.rule = &rule,
                                         .limits = &limits,
                                         .metric = &rate_metric,
                                         .required_count = 1,
                                         .values = values,
                                         .sessions = sessions,
                                         .count = count};
    struct tg_verdict v = tg_rule_no_verdict();
    tg_rule_find(rule.rule)->judge(&evidence, &v);
    if (is_doubted) tg_digits_doubt(&rounds, &evidence, &v);
    return v;
}

static int end(void **unused)
{
    (void)unused;
    for (int side = 0; side < 2; side++)
        for (int r = 0; r < ROUNDS; r++) tg_measurement_free(&rows[side][r]);
    return 0;
}

/* 1.44 and 1.36 are 1.4; 1.46 and 1.44 are 1.5 and 1.4. */
static void what_rounding_decided_is_not_decided(void **unused)
{
    (void)unused;
    static const struct {
        double of, to, steps;
        enum tg_answer before, after;
        const char *told;
    } cases[] = {
        {1.360, 1.440, 10, TG_PASS, TG_INCONCLUSIVE, "in steps of 7.1 %"},
        {1.440, 1.460, 10, TG_FAIL, TG_INCONCLUSIVE, "in steps of 6.9 %"},
        {39.38, 41.30, 10, TG_PASS, TG_INCONCLUSIVE, "in steps of 0.25 %"},
        {1.100, 1.440, 10, TG_FAIL, TG_FAIL, ""},
        {1.360, 1.440, 1000, TG_FAIL, TG_FAIL, ""},
        {1.430, 1.440, 1000, TG_PASS, TG_PASS, ""},
        {41.36, 41.44, 10, TG_PASS, TG_PASS, ""},
        {1.430, 1.440, 0, TG_PASS, TG_PASS, ""},
    };
    begin("noninferior");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_down(0, cases[i].of, 0.001, cases[i].steps);
        write_down(1, cases[i].to, 0.001, cases[i].steps);
        struct tg_series *s = &rows[0][2].series[0]; /* that not all is one value */
        s->samples[0] += cases[i].steps > 0 ? 1 / cases[i].steps : 0.01;
        struct tg_verdict v = decided(ROUNDS, false);
        if (v.answer != cases[i].before) fail_msg("case %zu, before: %s %s", i, v.word, v.reason);
        v = decided(ROUNDS, true);
        if (v.answer != cases[i].after) fail_msg("case %zu, after: %s %s", i, v.word, v.reason);
        if (v.answer != TG_INCONCLUSIVE) continue;
        assert_string_equal(v.word, "impossible");
        assert_non_null(strstr(v.reason, cases[i].told));
        assert_false(v.wants_more || v.wants_last);
    }
}

/*
 * 12 k and 12.3 k are known to 1000 and 100, whatever the other cell is known to. So are times of a
 * clock that is as coarse; but integers are whole, though a few of them end in zeros.
 */
static void zeros_before_the_point_are_no_digits(void **unused)
{
    (void)unused;
    static const struct {
        double of, to, noise, of_steps, to_steps;
        enum tg_answer after;
        const char *told;
    } cases[] = {
        {13600, 14400, 10, 1e-3, 1e-3, TG_INCONCLUSIVE, "in steps of 7.1 %"},
        {14400, 14600, 10, 1e-3, 1e-3, TG_INCONCLUSIVE, "in steps of 6.9 %"},
        {39380, 41300, 10, 1e-2, 1e-2, TG_INCONCLUSIVE, "in steps of 0.25 %"},
        {11000, 14400, 10, 1e-3, 1e-3, TG_FAIL, ""},
        {14300, 14400, 10, 1e-1, 1e-1, TG_PASS, ""},
        {13600, 14300, 10, 1e-3, 10, TG_INCONCLUSIVE, "in steps of 3.6 %"},
        {13700, 14400, 10, 10, 1e-3, TG_INCONCLUSIVE, "in steps of 3.6 %"},
        {14030, 14400, 10, 1, 10, TG_PASS, ""},
        {12345678, 12345999, 5000, 1, 1, TG_PASS, ""},
        {12345678, 12345999, 5000, 1e-2, 1e-2, TG_PASS, ""},
        {10000, 10010, 9, 1, 1, TG_PASS, ""},
    };
    begin("noninferior");
    state = 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_down(0, cases[i].of, cases[i].noise, cases[i].of_steps);
        write_down(1, cases[i].to, cases[i].noise, cases[i].to_steps);
        struct tg_series *s = &rows[0][2].series[0]; /* that not all is one value */
        s->samples[0] += 1 / cases[i].of_steps;
        struct tg_verdict v = decided(ROUNDS, true);
        if (v.answer != cases[i].after || !strstr(v.reason, cases[i].told))
            fail_msg("case %zu: %s %s", i, v.word, v.reason);
    }
}

/* 12 rounds that are 12 % slower in a run, and three in another: 2.05 % slower, or so. */
static void rounding_does_not_decide_who_saw_it(void **unused)
{
    (void)unused;
    static const struct {
        double other, steps;
        bool is_held;
    } cases[] = {
        {0.0205, 1e3, true}, /* one step less, and the other did not see it */
        {0.0205, 1e6, false},
        {0.0195, 1e3, true}, /* it did not as written */
        {0.0500, 1e3, false},
    };
    begin("noninferior");
    limits.min_sessions = 2;
    state = 1;
    for (int r = 12; r < ROUNDS; r++) sessions[r] = 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_down(1, 1.44, 0.001, cases[i].steps);
        write_down(0, 1.44 / 1.12, 0.001, cases[i].steps);
        write_from(12, 0, 1.44 / (1 + cases[i].other), 0, cases[i].steps);
        write_from(12, 1, 1.44, 0, cases[i].steps);
        struct tg_verdict v = decided(15, true);
        if (v.answer != TG_FAIL || v.is_held != cases[i].is_held)
            fail_msg("case %zu: %s %s", i, v.word, v.reason);
    }
    memset(sessions, 0, sizeof sessions);
}

/* How many of 400 tests whose truth is that loss get the answer, the places of the steps drawn. */
static size_t count_answers(double loss, double noise, double steps, enum tg_answer answer,
                            bool is_doubted)
{
    size_t count = 0;
    for (int i = 0; i < 400; i++) {
        double to = (14 + tg_noise_uniform(&state)) / steps;
        write_down(0, to * (1 - loss), noise / steps, steps);
        write_down(1, to, noise / steps, steps);
        struct tg_verdict v = decided(ROUNDS, is_doubted);
        count += v.answer == answer && strcmp(v.word, "attention") != 0;
    }
    return count;
}

/* In steps of 7 %, with less noise than half of one; what is allowed is 1 %. */
static void two_values_decide_no_more_wrongly_than_many(void **unused)
{
    (void)unused;
    static const double noises[] = {0.05, 0.1, 0.2, 0.3, 0.5};
    size_t failed = 0, passed = 0;
    begin("noninferior");
    snprintf(rule.effect, sizeof rule.effect, "throughput");
    state = 1;
    for (size_t i = 0; i < sizeof noises / sizeof *noises; i++) {
        double steps = i % 2 ? 1e-3 : 10; /* in 1: 14 k or 1.4 */
        failed += count_answers(0.02, noises[i], steps, TG_FAIL, false);
        passed += count_answers(0.05, noises[i], steps, TG_PASS, false);
        assert_true(count_answers(0.02, noises[i], steps, TG_FAIL, true) <= 4);
        assert_true(count_answers(0.05, noises[i], steps, TG_PASS, true) <= 4);
    }
    assert_true(failed > 40 && passed > 40);
}

/* In time or in rate, and only where head is judged against base. */
static void a_gain_of_three_times_is_asked_about(void **unused)
{
    (void)unused;
    static const struct {
        const char *rule, *axis;
        enum tg_better better;
        double value;
        bool is_asked;
    } cases[] = {{"noninferior", "build", TG_HIGHER, 290, false},
                 {"noninferior", "build", TG_HIGHER, 310, true},
                 {"noninferior", "build", TG_LOWER, 35, false},
                 {"noninferior", "build", TG_LOWER, 0.01, true},
                 {"noninferior", "build", TG_LOWER, 310, false},
                 {"noninferior", "kernel", TG_HIGHER, 310, false},
                 {"ratio", "build", TG_HIGHER, 310, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(cases[i].rule);
        snprintf(rule.axis, sizeof rule.axis, "%s", cases[i].axis);
        rate_metric.better = cases[i].better;
        write_down(0, cases[i].value, cases[i].value / 100, 0);
        write_down(1, 100, 1, 0);
        const struct tg_verdict v = decided(ROUNDS, true);
        assert_int_equal(v.answer,
                         cases[i].better == TG_LOWER && cases[i].value > 100 ? TG_FAIL : TG_PASS);
        assert_int_equal(strstr(v.reason, "are work, inputs and units the same?") != NULL,
                         cases[i].is_asked);
    }
    rate_metric.better = TG_HIGHER;
}

static void a_family_looks_at_no_coarse_rounds(void **unused)
{
    (void)unused;
    static struct tg_plan plan;
    struct tg_test test = {.rule = 0};
    plan.policy.rules = &rule;
    plan.policy.limits.family_tolerance = 0.005;
    plan.spec.tests = &test;
    begin("noninferior");
    snprintf(rule.metric, sizeof rule.metric, "rate");
    static const struct {
        double scale, steps;
        size_t rounds;
    } cases[] = {{1, 10, 0}, {1, 1000, ROUNDS}, {1000, 1e-2, 0}, {1000, 1, ROUNDS}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_down(0, 16.2 * cases[i].scale, 0.01 * cases[i].scale, cases[i].steps);
        write_down(1, 16.3 * cases[i].scale, 0.01 * cases[i].scale, cases[i].steps);
        const struct tg_measurement *of[ROUNDS], *to[ROUNDS];
        for (int r = 0; r < ROUNDS; r++) of[r] = &rows[0][r], to[r] = &rows[1][r];
        const struct tg_rounds rounds = {.count = ROUNDS,
                                         .of_medians = medians[0],
                                         .to_medians = medians[1],
                                         .of_rows = of,
                                         .to_rows = to};
        plan.asked.is_imported = true;
        assert_int_equal(tg_digits_of_family(&plan, 0, &rounds), cases[i].rounds);
        plan.asked.is_imported = false; /* measured here: with all digits */
        assert_int_equal(tg_digits_of_family(&plan, 0, &rounds), ROUNDS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_rounding_decided_is_not_decided, end),
        cmocka_unit_test_teardown(zeros_before_the_point_are_no_digits, end),
        cmocka_unit_test_teardown(rounding_does_not_decide_who_saw_it, end),
        cmocka_unit_test_teardown(two_values_decide_no_more_wrongly_than_many, end),
        cmocka_unit_test_teardown(a_gain_of_three_times_is_asked_about, end),
        cmocka_unit_test_teardown(a_family_looks_at_no_coarse_rounds, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
