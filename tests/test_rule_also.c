/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/fill.h"
#include "tests/judged_values.h"

/* A rule with a second metric: time, and cycles of the device's clock beside it. */

static const struct tg_metric cycles_metric = {"call_cycles", "1",         TG_LOWER,
                                               TG_SAMPLED,    TG_POSITIVE, ""};
static const struct tg_metric rate_metric = {"rate", "1/s", TG_HIGHER, TG_SAMPLED, TG_POSITIVE, ""};
static double cycles[MOST];

static struct tg_verdict judge_both(const struct tg_metric *metric, size_t count, size_t required,
                                    const double *also_values)
{
    struct tg_verdict v = tg_rule_no_verdict();
    const struct tg_evidence evidence = {.rule = &rule,
                                         .limits = &limits,
                                         .metric = metric,
                                         .also = &cycles_metric,
                                         .required_count = required,
                                         .values = values,
                                         .also_values = also_values,
                                         .count = count};
    tg_rule_find(rule.rule)->judge(&evidence, &v);
    tg_rule_hold(&limits, &v);
    return v;
}

/* Times and cycles, each with the same small noise up and down. */
static void fill_both(double time, double in_cycles)
{
    begin("noninferior");
    snprintf(rule.metric, sizeof rule.metric, "call_time");
    snprintf(rule.also, sizeof rule.also, "call_cycles");
    fill(time, 0.002);
    for (int i = 0; i < MOST; i++) cycles[i] = in_cycles + (i % 2 ? 0.002 : -0.002);
}

static void what_only_takes_more_time_is_a_clock_effect_and_named(void **state)
{
    (void)state;
    fill_both(0.09, 0.001);
    struct tg_verdict v = judge_both(&time_metric, 20, 1, cycles);
    assert_verdict(v, TG_PASS, "attention");
    assert_true(v.is_clock_effect);
    assert_false(v.wants_more);
    assert_string_equal(v.reason, "clock effect: +9.42 % in call_time, +0.10 % in call_cycles");
    assert_true(fabs(v.estimate - expm1(0.09)) < 1e-9 && fabs(v.also - expm1(0.001)) < 1e-9);
    assert_true(v.also_interval.low < 0.001 && v.also_interval.high > 0.001);
}

/* However many rounds there are, and whatever the clock did: never as if nothing had been seen. */
static void a_clock_effect_never_passes_in_silence(void **state)
{
    (void)state;
    static const double falls[] = {0.055, 0.09, 0.2, 0.5};
    for (size_t f = 0; f < sizeof falls / sizeof *falls; f++) {
        fill_both(falls[f], 0);
        for (size_t n = 0; n <= MOST; n++) {
            struct tg_verdict v = judge_both(&time_metric, n, 30, cycles);
            if (v.answer == TG_INCONCLUSIVE) continue;
            assert_verdict(v, TG_PASS, "attention");
            assert_non_null(strstr(v.reason, "clock effect"));
        }
        assert_int_equal(judge_both(&time_metric, MOST, 30, cycles).answer, TG_PASS);
    }
}

static void what_takes_more_cycles_too_fails_as_it_would(void **state)
{
    (void)state;
    fill_both(0.07, 0.068);
    for (size_t n = 0; n <= MOST; n++)
        assert_int_equal(judge_both(&time_metric, n, 3, cycles).answer,
                         judge_both(&time_metric, n, 3, NULL).answer);
    struct tg_verdict v = judge_both(&time_metric, MOST, 3, cycles);
    assert_verdict(v, TG_FAIL, "slower, minor");
    assert_string_equal(v.reason, "+7.25 % in call_time, +7.04 % in call_cycles");
    assert_false(v.is_clock_effect);
}

static void the_severity_is_what_holds_in_both(void **state)
{
    (void)state;
    fill_both(0.25, 0.07);
    assert_verdict(judge_both(&time_metric, 40, 1, cycles), TG_FAIL, "slower, minor");
    fill_both(0.07, 0.25); /* as many cycles more as its own clock was raised */
    assert_verdict(judge_both(&time_metric, 40, 1, cycles), TG_FAIL, "slower, minor");
    fill_both(0.25, 0.07);
    snprintf(rule.fail_from, sizeof rule.fail_from, "major");
    struct tg_verdict v = judge_both(&time_metric, 40, 1, cycles);
    assert_verdict(v, TG_PASS, "attention");
    assert_true(v.is_clock_effect);
}

/* Between tolerance and margin, where either answer is right, cycles may be over their line. */
static void a_few_more_cycles_are_named_but_no_failure(void **state)
{
    (void)state;
    fill_both(0.09, 0.035);
    struct tg_verdict v = judge_both(&time_metric, MOST, 1, cycles);
    assert_verdict(v, TG_PASS, "attention");
    assert_string_equal(v.reason, "clock effect: +9.42 % in call_time, +3.56 % in call_cycles");
}

static void what_one_run_saw_is_held_only_if_it_would_fail_in_both(void **state)
{
    (void)state;
    static const struct {
        double time, in_cycles;
        enum tg_answer answer;
        const char *word;
    } cases[] = {{0.09, 0.001, TG_PASS, "attention"},
                 {0.09, 0.035, TG_PASS, "attention"},
                 {0.09, 0.09, TG_INCONCLUSIVE, "held"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fill_both(cases[i].time, cases[i].in_cycles);
        limits.min_sessions = 2;
        assert_verdict(judge_both(&time_metric, 40, 1, cycles), cases[i].answer, cases[i].word);
    }
}

static void cycles_that_are_open_leave_the_test_open(void **state)
{
    (void)state;
    fill_both(0.09, 0);
    for (int i = 0; i < MOST; i++) cycles[i] = 0.035 + (i % 2 ? 0.2 : -0.2);
    struct tg_verdict v = judge_both(&time_metric, 30, 1, cycles);
    assert_verdict(v, TG_INCONCLUSIVE, "inconclusive");
    assert_true(v.wants_more && v.outlook.sd > 0.1);
    assert_non_null(strstr(v.reason, "not decided in call_cycles"));
}

/* The first rounds alone showed no more cycles; all together show as many more as time. */
static void a_first_impression_excuses_nothing(void **state)
{
    (void)state;
    fill_both(0.09, 0.09);
    for (int i = 0; i < 7; i++) cycles[i] = i % 2 ? 0.002 : -0.002;
    assert_int_equal(judge_both(&time_metric, 40, 1, NULL).answer, TG_FAIL);
    assert_verdict(judge_both(&time_metric, 40, 1, cycles), TG_INCONCLUSIVE, "inconclusive");
}

static void more_cycles_in_the_same_time_are_noted_only(void **state)
{
    (void)state;
    fill_both(0, 0.09);
    struct tg_verdict v = judge_both(&time_metric, 40, 1, cycles);
    assert_verdict(v, TG_PASS, "unchanged");
    assert_string_equal(v.reason,
                        "slower by 9.42 % in call_cycles for certain, but not in call_time");
    fill_both(0, 0.001);
    assert_string_equal(judge_both(&time_metric, 40, 1, cycles).reason, "");
}

/* To be clean takes time alone, at the same round as without cycles. */
static void cycles_make_nothing_clean(void **state)
{
    (void)state;
    fill_both(0.035, -0.2);
    for (size_t n = 0; n <= MOST; n++) {
        struct tg_verdict v = judge_both(&time_metric, n, 1, cycles);
        assert_int_equal(v.answer, judge_both(&time_metric, n, 1, NULL).answer);
        assert_string_equal(v.word, judge_both(&time_metric, n, 1, NULL).word);
    }
}

static void each_metric_has_its_own_better_side(void **state)
{
    (void)state;
    fill_both(-0.09, 0.09);
    snprintf(rule.metric, sizeof rule.metric, "rate");
    assert_int_equal(judge_both(&rate_metric, 20, 1, cycles).answer, TG_FAIL);
    fill_both(-0.09, -0.09);
    snprintf(rule.metric, sizeof rule.metric, "rate");
    assert_true(judge_both(&rate_metric, 20, 1, cycles).is_clock_effect);
}

static double normal(uint64_t *random)
{
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += (double)(tg_fill_next(random) >> 11) * 0x1p-53;
    return sum;
}

/* Whether the cycles of so many rounds were shown not to be more by the margin. */
static bool cycles_were_clean(size_t count)
{
    struct tg_verdict scratch = tg_rule_no_verdict();
    const struct tg_evidence evidence = {.rule = &rule,
                                         .limits = &limits,
                                         .metric = &cycles_metric,
                                         .required_count = 1,
                                         .values = cycles,
                                         .count = count,
                                         .is_brief = true};
    return tg_rule_follow(&evidence, 1, 0, log1p(rule.tolerance), log1p(rule.margin), &scratch)
        .is_clean;
}

/*
 * Noise in time and, half of it the same, in cycles: a test that fails does so in time alone, too;
 * and where both are slower by the margin, to pass has two ways, each with alpha_miss at most.
 */
static void failing_is_only_made_harder_and_missing_at_most_twice_as_likely(void **state)
{
    (void)state;
    enum { SERIES = 2000 };
    uint64_t random = 7;
    int missed = 0;
    for (int s = 0; s < SERIES; s++) {
        fill_both(0, 0);
        for (int i = 0; i < MOST; i++) {
            double shared = normal(&random);
            values[i] = log1p(0.05) + 0.01 * (shared + normal(&random));
            cycles[i] = log1p(0.05) + 0.01 * (shared + normal(&random));
        }
        enum tg_answer both = judge_both(&time_metric, MOST, 1, cycles).answer;
        if (both == TG_FAIL)
            assert_int_equal(judge_both(&time_metric, MOST, 1, NULL).answer, TG_FAIL);
        struct tg_verdict v = judge_both(&time_metric, MOST, 1, cycles);
        bool is_excused = v.is_clock_effect && cycles_were_clean(MOST);
        bool is_clean = strncmp(v.word, "unchanged", 9) == 0 || strcmp(v.word, "improved") == 0;
        missed += is_excused || is_clean;
    }
    print_message("missed: %d of %d\n", missed, SERIES);
    assert_true(missed <= 2 * 0.01 * SERIES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_only_takes_more_time_is_a_clock_effect_and_named),
        cmocka_unit_test(a_clock_effect_never_passes_in_silence),
        cmocka_unit_test(what_takes_more_cycles_too_fails_as_it_would),
        cmocka_unit_test(the_severity_is_what_holds_in_both),
        cmocka_unit_test(a_few_more_cycles_are_named_but_no_failure),
        cmocka_unit_test(what_one_run_saw_is_held_only_if_it_would_fail_in_both),
        cmocka_unit_test(cycles_that_are_open_leave_the_test_open),
        cmocka_unit_test(a_first_impression_excuses_nothing),
        cmocka_unit_test(more_cycles_in_the_same_time_are_noted_only),
        cmocka_unit_test(cycles_make_nothing_clean),
        cmocka_unit_test(each_metric_has_its_own_better_side),
        cmocka_unit_test(failing_is_only_made_harder_and_missing_at_most_twice_as_likely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
