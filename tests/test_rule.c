/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/rule.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/judged_values.h"

static const struct tg_metric rate_metric = {"rate", "1/s", TG_HIGHER, TG_SAMPLED, TG_POSITIVE, ""};
static const struct tg_metric fixed_metric = {"share", "1", TG_HIGHER, TG_FIXED, TG_ANY, ""};

/* The first count of rounds for which the answer is that one, or 0. */
static size_t first_round(const struct tg_metric *metric, size_t required, enum tg_answer answer)
{
    for (size_t n = 0; n <= MOST; n++)
        if (judge(metric, n, required).answer == answer) return n;
    return 0;
}

static void a_rule_is_found_by_its_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < tg_rule_count(); i++)
        assert_ptr_equal(tg_rule_find(tg_rule_at(i)->name), tg_rule_at(i));
    assert_string_equal(tg_rule_find("ratio")->cells, "pair");
    assert_string_equal(tg_rule_find("ceiling")->cells, "one");
    assert_null(tg_rule_find("noninferio"));
    assert_null(tg_rule_find(""));
}

/* When every round wins its bet whole, E+ after n rounds is the mean of (1 + stake)^n. */
static size_t rounds_to_cross(double required)
{
    static const double stakes[] = {.1, .3, .5, .75, .9, .99};
    for (size_t n = 1; n < MOST; n++) {
        double sum = 0;
        for (int i = 0; i < 6; i++) sum += pow(1 + stakes[i], (double)n);
        if (sum / 6 > required / 0.01) return n;
    }
    return 0;
}

static void a_steady_slow_down_fails_when_its_evidence_crosses_the_line(void **state)
{
    (void)state;
    static const size_t rows[][2] = {{1, 9}, {3, 10}, {300, 17}, {30000, 24}};
    begin("noninferior");
    fill(0.07, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(rounds_to_cross((double)rows[i][0]), rows[i][1]);
        assert_int_equal(first_round(&time_metric, rows[i][0], TG_FAIL), rows[i][1]);
        struct tg_verdict before = judge(&time_metric, rows[i][1] - 1, rows[i][0]);
        assert_verdict(before, TG_INCONCLUSIVE, "inconclusive");
        assert_true(before.wants_more && before.log_fail < before.log_fail_line);
    }
    struct tg_verdict v = judge(&time_metric, 9, 1);
    assert_verdict(v, TG_FAIL, "slower, minor");
    assert_string_equal(v.reason, "slower by 7.25 %");
    assert_int_equal(v.rounds, 9);
    assert_true(fabs(v.estimate - expm1(0.07)) < 1e-12);
    assert_true(fabs(v.log_fail_line - log(100)) < 1e-12);
    assert_false(v.wants_more);
    fill(log(12), 0);
    assert_string_equal(judge(&time_metric, 9, 1).reason, "slower by 1100 %");
}

static void no_difference_passes_at_the_least_number_of_rounds(void **state)
{
    (void)state;
    begin("noninferior");
    fill(0, 0.001);
    assert_int_equal(first_round(&time_metric, 1, TG_PASS), 5);
    assert_int_equal(first_round(&time_metric, 100000, TG_PASS), 5);
    assert_verdict(judge(&time_metric, 5, 1), TG_PASS, "unchanged");
    assert_false(judge(&time_metric, 5, 1).wants_more);
    limits.rounds_min = 12;
    assert_int_equal(first_round(&time_metric, 1, TG_PASS), 12);
    fill(0, 0.05);
    limits.rounds_min = 5;
    assert_true(first_round(&time_metric, 1, TG_PASS) > 5);
}

static void too_few_rounds_are_inconclusive(void **state)
{
    (void)state;
    begin("noninferior");
    fill(0, 0);
    for (size_t n = 0; n < 5; n++) {
        struct tg_verdict v = judge(&time_metric, n, 1);
        assert_verdict(v, TG_INCONCLUSIVE, "inconclusive");
        assert_true(v.wants_more && v.rounds == n);
        assert_int_equal(isnan(v.estimate), n == 0);
        assert_true(isinf(v.interval.high) || n > 1);
        assert_true(isinf(v.interval.low) || n > 1); /* not -1, which is a number */
    }
}

static void over_the_line_but_below_the_margin_is_attention_and_passes(void **state)
{
    (void)state;
    begin("noninferior");
    limits.rounds_min = 64;
    fill(0.035, 0);
    assert_int_equal(first_round(&time_metric, 1, TG_PASS), 9);
    struct tg_verdict v = judge(&time_metric, 9, 1);
    assert_verdict(v, TG_PASS, "attention");
    assert_string_equal(v.reason, "slower by 3.56 %, which is below the margin");
}

static void severity_is_the_class_of_the_estimate(void **state)
{
    (void)state;
    static const struct {
        double slower;
        const char *word;
    } rows[] = {{0.0499, "attention"},  {0.05, "slower, minor"},   {0.0999, "slower, minor"},
                {0.1, "slower, major"}, {0.1499, "slower, major"}, {0.15, "slower, critical"},
                {3, "slower, critical"}};
    begin("noninferior");
    limits.rounds_min = 64;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fill(log1p(rows[i].slower), 0);
        assert_verdict(judge(&time_metric, 9, 1), i == 0 ? TG_PASS : TG_FAIL, rows[i].word);
    }
    rule.major = rule.critical = NAN;
    assert_verdict(judge(&time_metric, 9, 1), TG_FAIL, "slower, minor");
    rule.critical = 0.15;
    assert_verdict(judge(&time_metric, 9, 1), TG_FAIL, "slower, critical");
}

static void an_interval_over_a_cut_is_borderline_and_wants_more(void **state)
{
    (void)state;
    begin("noninferior");
    fill(log(1.101), 0.02);
    size_t n = first_round(&time_metric, 1, TG_FAIL);
    struct tg_verdict v = judge(&time_metric, n, 1);
    assert_verdict(v, TG_FAIL, "slower, major, borderline");
    assert_true(v.wants_more && v.interval.low < 0.1 && v.interval.high > 0.1);
    fill(log(1.101), 0.004); /* less than 2 % wide: near enough */
    v = judge(&time_metric, 30, 1);
    assert_verdict(v, TG_FAIL, "slower, major, borderline");
    assert_false(v.wants_more);
    assert_true(v.interval.high - v.interval.low < 0.02);
}

static void a_rule_may_let_what_is_minor_pass(void **state)
{
    (void)state;
    begin("noninferior");
    snprintf(rule.fail_from, sizeof rule.fail_from, "major");
    fill(log(1.07), 0);
    assert_verdict(judge(&time_metric, 9, 1), TG_PASS, "attention");
    assert_string_equal(judge(&time_metric, 9, 1).reason,
                        "slower by 7 %, which the rule lets pass");
    fill(log(1.12), 0);
    assert_verdict(judge(&time_metric, 9, 1), TG_FAIL, "slower, major");
    snprintf(rule.fail_from, sizeof rule.fail_from, "critical");
    assert_verdict(judge(&time_metric, 9, 1), TG_PASS, "attention");
    fill(log(1.2), 0);
    assert_verdict(judge(&time_metric, 9, 1), TG_FAIL, "slower, critical");
}

/* 5 % less throughput is 1 / 0.95 of the time. */
static void a_throughput_is_lost_by_more_time(void **state)
{
    (void)state;
    begin("noninferior");
    limits.rounds_min = 64;
    fill(log(1.0526), 0);
    assert_verdict(judge(&time_metric, 9, 1), TG_FAIL, "slower, minor");
    snprintf(rule.effect, sizeof rule.effect, "throughput");
    assert_verdict(judge(&time_metric, 9, 1), TG_PASS, "attention");
    fill(log(1.0527), 0);
    assert_verdict(judge(&time_metric, 9, 1), TG_FAIL, "slower, minor");
    assert_string_equal(judge(&time_metric, 9, 1).reason, "throughput less by 5.01 %");
    fill(log(1 / 0.9 + 1e-4), 0);
    assert_verdict(judge(&time_metric, 9, 1), TG_FAIL, "slower, major");
    fill(log(1 / 0.85 - 1e-4), 0);
    assert_verdict(judge(&time_metric, 9, 1), TG_FAIL, "slower, major");
    limits.rounds_min = 5;
    fill(-log(1 - 0.012), 0.001);
    assert_string_equal(judge(&time_metric, 8, 1).reason,
                        "throughput less by 1.2 % for certain, within the margin");
}

static void the_first_crossing_stands(void **state)
{
    (void)state;
    begin("noninferior");
    fill(0, 0.001);
    for (int i = 5; i < MOST; i++) values[i] = 0.5;
    struct tg_verdict v = judge(&time_metric, MOST, 1);
    assert_verdict(v, TG_PASS, "attention");
    assert_true(v.rounds == MOST && v.estimate > 0.3);
    fill(0.12, 0);
    for (int i = 9; i < 40; i++) values[i] = 0.07;
    v = judge(&time_metric, 40, 1);
    assert_int_equal(v.answer, TG_FAIL); /* later rounds change what it is called */
    assert_true(strncmp(v.word, "slower, minor", 13) == 0);
    assert_true(v.log_fail == judge(&time_metric, 9, 1).log_fail);
}

static void better_may_be_higher(void **state)
{
    (void)state;
    begin("noninferior");
    fill(-log(1.12), 0);
    assert_verdict(judge(&rate_metric, 9, 1), TG_FAIL, "slower, major");
    assert_true(fabs(judge(&rate_metric, 9, 1).estimate - 0.12) < 1e-12);
    assert_verdict(judge(&time_metric, 9, 1), TG_PASS, "improved");
    begin("ratio");
    fill(log(2), 0);
    assert_verdict(judge(&rate_metric, 9, 1), TG_PASS, "enough");
    assert_verdict(judge(&time_metric, 9, 1), TG_FAIL, "too little");
}

/* Clean, and more: the same, surely faster, neither, or slower by less than the margin. */
static void a_clean_test_says_what_it_is(void **state)
{
    (void)state;
    begin("noninferior");
    fill(0, 0.001);
    struct tg_verdict v = judge(&time_metric, 5, 1);
    assert_verdict(v, TG_PASS, "unchanged");
    assert_false(v.wants_last);
    fill(-0.06, 0.001);
    v = judge(&time_metric, 5, 1);
    assert_verdict(v, TG_PASS, "unchanged*");
    assert_true(v.wants_last && !v.wants_more);
    assert_int_equal(judge(&time_metric, 16, 1).rounds, 16);
    assert_verdict(judge(&time_metric, 9, 1), TG_PASS, "improved");
    assert_false(judge(&time_metric, 9, 1).wants_last);
    fill(-0.02, 0.04);
    v = judge(&time_metric, 16, 1); /* not slower, and no more than that */
    assert_verdict(v, TG_PASS, "unchanged*");
    assert_false(v.wants_last);
    fill(0.012, 0.001);
    v = judge(&time_metric, 8, 1);
    assert_verdict(v, TG_PASS, "unchanged");
    assert_string_equal(v.reason, "slower by 1.21 % for certain, within the margin");
}

static void more_memory_is_not_called_slower(void **state)
{
    (void)state;
    static const struct tg_metric memory = {"peak_memory", "B",         TG_LOWER,
                                            TG_SAMPLED,    TG_POSITIVE, ""};
    begin("noninferior");
    fill(0.07, 0);
    struct tg_verdict v = judge(&memory, 9, 1);
    assert_verdict(v, TG_FAIL, "more memory, minor");
    assert_string_equal(v.reason, "more memory by 7.25 %");
    fill(0.012, 0.001);
    v = judge(&memory, 8, 1);
    assert_verdict(v, TG_PASS, "unchanged");
    assert_string_equal(v.reason, "more memory by 1.21 % for certain, within the margin");
    fill(0.12, 0);
    for (int r = 0; r < 6; r++) values[r] = 0; /* clean by then */
    v = judge(&memory, 40, 1);
    assert_verdict(v, TG_PASS, "attention");
    assert_string_equal(v.reason,
                        "it was not so at first; all rounds together: more memory by 12.7 %");
}

/* No clock that is read to its last digit says the same twice; memory may be the same. */
static void rounds_of_one_value_do_not_pass_where_they_may_be_copies(void **state)
{
    (void)state;
    static const struct tg_metric memory = {"peak_memory", "B",         TG_LOWER,
                                            TG_SAMPLED,    TG_POSITIVE, ""};
    static const struct {
        const struct tg_metric *metric;
        double last; /* value of 20, the others 0 */
        size_t count;
        enum tg_answer before, after;
    } rows[] = {{&time_metric, 0, 20, TG_PASS, TG_INCONCLUSIVE},
                {&rate_metric, 0, 20, TG_PASS, TG_INCONCLUSIVE},
                {&memory, 0, 20, TG_PASS, TG_PASS},
                {&fixed_metric, 0, 20, TG_PASS, TG_PASS},
                {&time_metric, 1e-9, 20, TG_PASS, TG_PASS},
                {&time_metric, 0, 1, TG_PASS, TG_PASS},
                {&time_metric, 0, 20, TG_FAIL, TG_FAIL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_verdict v = tg_rule_no_verdict();
        double seen[20] = {[19] = rows[i].last};
        const struct tg_evidence e = {
            .metric = rows[i].metric, .values = seen, .count = rows[i].count};
        tg_rule_say(&v, rows[i].before, "unchanged", "%s", "");
        v.wants_last = true;
        tg_rule_doubt_copies(&e, &v);
        assert_int_equal(v.answer, rows[i].after);
        assert_int_equal(v.wants_last, rows[i].before == rows[i].after);
        assert_string_equal(v.word, rows[i].before == rows[i].after ? "unchanged" : "impossible");
    }
}

static void a_ratio_is_enough_too_little_or_neither(void **state)
{
    (void)state;
    begin("ratio");
    fill(-log(2), 0.01);
    assert_int_equal(first_round(&time_metric, 300, TG_PASS), 5);
    struct tg_verdict v = judge(&time_metric, 5, 300);
    assert_verdict(v, TG_PASS, "enough");
    assert_true(fabs(v.estimate - 1) < 0.01);
    assert_true(v.interval.low < v.estimate && v.estimate < v.interval.high);
    fill(-log(1.2), 0);
    assert_int_equal(first_round(&time_metric, 1, TG_FAIL), 9);
    assert_int_equal(first_round(&time_metric, 300, TG_FAIL), 17);
    v = judge(&time_metric, 9, 1);
    assert_verdict(v, TG_FAIL, "too little");
    assert_string_equal(v.reason, "1.2x, at least 1.5x is demanded");
    fill(-log(1.5), 0); /* a tie */
    for (size_t n = 0; n <= MOST; n++)
        assert_verdict(judge(&time_metric, n, 1), TG_INCONCLUSIVE, "inconclusive");
    assert_true(judge(&time_metric, MOST, 1).wants_more);
}

static void the_worst_fixed_value_decides(void **state)
{
    (void)state;
    begin("floor");
    rule.limit = 0.998;
    fill(0.9985, 0);
    assert_verdict(judge(&fixed_metric, 0, 1), TG_INCONCLUSIVE, "inconclusive");
    assert_verdict(judge(&fixed_metric, 1, 1), TG_INCONCLUSIVE, "inconclusive");
    assert_true(judge(&fixed_metric, 1, 1).wants_more);
    assert_verdict(judge(&fixed_metric, 2, 1), TG_PASS, "within");
    assert_false(judge(&fixed_metric, 2, 1).wants_more);
    fill(0.998, 0); /* a fixed value has no noise: the limit itself is within */
    assert_verdict(judge(&fixed_metric, 2, 1), TG_PASS, "within");
    fill(nextafter(0.998, 0), 0);
    assert_verdict(judge(&fixed_metric, 2, 1), TG_FAIL, "too low");
    fill(0.9985, 0);
    values[40] = nextafter(0.9985, 1);
    assert_verdict(judge(&fixed_metric, 40, 1), TG_PASS, "within");
    assert_verdict(judge(&fixed_metric, 41, 1), TG_FAIL, "not deterministic");
    values[40] = 0.5;
    assert_true(judge(&fixed_metric, MOST, 1).estimate == 0.5);

    begin("ceiling");
    rule.limit = 3;
    fill(3, 0);
    assert_verdict(judge(&fixed_metric, 2, 1), TG_PASS, "within");
    fill(3.5, 0);
    assert_verdict(judge(&fixed_metric, 2, 1), TG_FAIL, "too high");
    rule.limit = -3;
    fill(-4, 0);
    assert_verdict(judge(&fixed_metric, 2, 1), TG_PASS, "within");
    fill(-2, 0);
    assert_verdict(judge(&fixed_metric, 2, 1), TG_FAIL, "too high");
}

static void a_sampled_value_is_tested_against_its_limit(void **state)
{
    (void)state;
    begin("ceiling");
    rule.limit = 1e-4;
    fill(log(0.9e-4), 0.001);
    assert_int_equal(first_round(&time_metric, 1, TG_PASS), 5);
    struct tg_verdict v = judge(&time_metric, 5, 1);
    assert_verdict(v, TG_PASS, "within");
    assert_true(fabs(v.estimate - 0.9e-4) < 1e-7);
    assert_true(v.interval.low < v.estimate && v.estimate < v.interval.high);
    fill(log(1.1e-4), 0);
    assert_int_equal(first_round(&time_metric, 1, TG_FAIL), 9);
    assert_verdict(judge(&time_metric, 9, 1), TG_FAIL, "too high");
    fill(log(1e-4), 0);
    assert_verdict(judge(&time_metric, MOST, 1), TG_INCONCLUSIVE, "inconclusive");
    begin("floor");
    rule.limit = 1e-4;
    fill(log(1.1e-4), 0);
    assert_verdict(judge(&time_metric, 9, 1), TG_PASS, "within");
    fill(log(0.9e-4), 0);
    assert_verdict(judge(&time_metric, 9, 1), TG_FAIL, "too low");
    assert_verdict(judge(&time_metric, 0, 1), TG_INCONCLUSIVE, "inconclusive");
    assert_true(isnan(judge(&time_metric, 0, 1).estimate));
}

/* A clean answer needs its own line, however large alpha_fail is, and the other way round. */
static void each_error_rate_has_its_own_line(void **state)
{
    (void)state;
    begin("noninferior");
    limits.alpha_miss = 1e-12;
    fill(0, 0.001);
    size_t late = first_round(&time_metric, 1, TG_PASS);
    assert_true(late > 5);
    assert_true(fabs(judge(&time_metric, late, 1).log_clean_line - 12 * log(10)) < 1e-9);
    begin("noninferior");
    limits.alpha_fail = 0.5;
    fill(0.07, 0);
    assert_int_equal(first_round(&time_metric, 1, TG_FAIL), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_is_found_by_its_name),
        cmocka_unit_test(a_steady_slow_down_fails_when_its_evidence_crosses_the_line),
        cmocka_unit_test(no_difference_passes_at_the_least_number_of_rounds),
        cmocka_unit_test(too_few_rounds_are_inconclusive),
        cmocka_unit_test(over_the_line_but_below_the_margin_is_attention_and_passes),
        cmocka_unit_test(severity_is_the_class_of_the_estimate),
        cmocka_unit_test(an_interval_over_a_cut_is_borderline_and_wants_more),
        cmocka_unit_test(a_rule_may_let_what_is_minor_pass),
        cmocka_unit_test(a_throughput_is_lost_by_more_time),
        cmocka_unit_test(the_first_crossing_stands),
        cmocka_unit_test(better_may_be_higher),
        cmocka_unit_test(a_clean_test_says_what_it_is),
        cmocka_unit_test(more_memory_is_not_called_slower),
        cmocka_unit_test(rounds_of_one_value_do_not_pass_where_they_may_be_copies),
        cmocka_unit_test(a_ratio_is_enough_too_little_or_neither),
        cmocka_unit_test(the_worst_fixed_value_decides),
        cmocka_unit_test(a_sampled_value_is_tested_against_its_limit),
        cmocka_unit_test(each_error_rate_has_its_own_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
