/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/round_value.h"
#include "coordinator/rule.h"
#include "kernels/fill.h"

/* The kinds of rule that look at exact values, at growth and at leaks; the others: test_rule.c. */

enum { MOST = 64, SAMPLES = 100, RUNS = 25, KIB = 1024 };

static const struct tg_metric fixed_metric = {"share", "1", TG_HIGHER, TG_FIXED, TG_ANY, ""};
static const struct tg_metric memory = {"memory", "B", TG_LOWER, TG_SAMPLED, TG_POSITIVE, ""};
static const struct tg_metric duration = {"time", "s", TG_LOWER, TG_SAMPLED, TG_POSITIVE, ""};
static const struct tg_metric speed = {"speed", "1/s", TG_HIGHER, TG_SAMPLED, TG_POSITIVE, ""};

static struct tg_limits limits;
static struct tg_rule rule;
static double values[MOST];

static void begin(const char *kind)
{
    tg_record_init(&tg_limits_type, &limits);
    tg_record_init(&tg_rule_type, &rule);
    snprintf(rule.rule, sizeof rule.rule, "%s", kind);
}

static void fill(double d, double noise)
{
    for (int i = 0; i < MOST; i++) values[i] = d + (i % 2 ? noise : -noise);
}

static struct tg_verdict judge(const struct tg_metric *metric, size_t count)
{
    struct tg_verdict v = {.estimate = NAN, .interval = {-INFINITY, INFINITY}};
    const struct tg_evidence evidence = {.rule = &rule,
                                         .limits = &limits,
                                         .metric = metric,
                                         .required_count = 1,
                                         .values = values,
                                         .count = count};
    tg_rule_find(rule.rule)->judge(&evidence, &v);
    tg_rule_hold(&limits, &v);
    return v;
}

static void assert_verdict(struct tg_verdict v, enum tg_answer answer, const char *word)
{
    assert_string_equal(v.word, word);
    assert_int_equal(v.answer, answer);
    assert_int_equal(v.wants_more, answer == TG_INCONCLUSIVE);
}

static void parity_is_the_farthest_round_within_the_limit(void **state)
{
    (void)state;
    begin("parity");
    rule.limit = 1e-5;
    fill(0, 1e-5); /* exact values have no noise: the limit itself is within */
    assert_verdict(judge(&fixed_metric, 0), TG_INCONCLUSIVE, "inconclusive");
    assert_verdict(judge(&fixed_metric, 1), TG_INCONCLUSIVE, "inconclusive");
    assert_verdict(judge(&fixed_metric, 2), TG_PASS, "alike");
    assert_true(judge(&fixed_metric, 2).estimate == 1e-5);
    values[1] = nextafter(1e-5, 1);
    assert_verdict(judge(&fixed_metric, 2), TG_FAIL, "apart");
    values[1] = -values[1];
    assert_verdict(judge(&fixed_metric, MOST), TG_FAIL, "apart");
    values[0] = 2e-5; /* one is enough to know */
    assert_verdict(judge(&fixed_metric, 1), TG_FAIL, "apart");
    assert_string_equal(judge(&fixed_metric, 1).reason, "by 2e-05, at most 1e-05 is allowed");
    rule.limit = 0;
    fill(0, 0);
    assert_verdict(judge(&fixed_metric, 2), TG_PASS, "alike");
}

static void what_is_no_number_is_never_alike_nor_the_same(void **state)
{
    (void)state;
    static const double odd[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        begin("parity");
        rule.limit = 1e300;
        fill(0, 0);
        values[1] = odd[i];
        assert_verdict(judge(&fixed_metric, 2), TG_FAIL, "not a number");
        assert_verdict(judge(&fixed_metric, 9), TG_FAIL, "not a number");
        assert_true(isnan(judge(&fixed_metric, 9).estimate));
        begin("determinism");
        for (int j = 0; j < MOST; j++) values[j] = odd[i];
        assert_verdict(judge(&fixed_metric, 9), TG_FAIL, "not a number");
    }
}

static void determinism_is_the_same_value_to_the_last_bit_in_every_round(void **state)
{
    (void)state;
    begin("determinism");
    fill(0.1, 0);
    for (size_t n = 0; n < 5; n++)
        assert_verdict(judge(&fixed_metric, n), TG_INCONCLUSIVE, "inconclusive");
    assert_verdict(judge(&fixed_metric, 5), TG_PASS, "the same");
    assert_true(judge(&fixed_metric, 5).estimate == 0.1);
    limits.rounds_min = 1; /* one value is the same as itself: two are needed */
    assert_verdict(judge(&fixed_metric, 1), TG_INCONCLUSIVE, "inconclusive");
    assert_verdict(judge(&fixed_metric, 2), TG_PASS, "the same");
    values[40] = nextafter(0.1, 1);
    assert_verdict(judge(&fixed_metric, 40), TG_PASS, "the same");
    assert_verdict(judge(&fixed_metric, 41), TG_FAIL, "not deterministic");
    assert_string_equal(judge(&fixed_metric, 41).reason,
                        "the same input gave 0.10000000000000001 and 0.10000000000000002");
}

static void memory_in_proportion_to_its_model_passes(void **state)
{
    (void)state;
    begin("scaling");
    rule.tolerance = 0.02;
    rule.margin = 0.05;
    fill(0, 0.002);
    assert_verdict(judge(&memory, 4), TG_INCONCLUSIVE, "inconclusive");
    assert_verdict(judge(&memory, 5), TG_PASS, "in proportion");
    fill(-0.4, 0.002); /* a large part that does not grow */
    assert_verdict(judge(&memory, 5), TG_PASS, "in proportion");
    fill(log(1.3), 0);
    assert_verdict(judge(&memory, 8), TG_INCONCLUSIVE, "inconclusive");
    struct tg_verdict v = judge(&memory, 9);
    assert_verdict(v, TG_FAIL, "out of proportion");
    assert_string_equal(v.reason, "30 % more than its model is larger");
    assert_true(fabs(v.estimate - 0.3) < 1e-12);
    fill(log(1.035), 0);
    limits.rounds_min = 64;
    v = judge(&memory, 9);
    assert_verdict(v, TG_PASS, "attention");
    assert_string_equal(v.reason, "3.5 % more than its model is larger, which is below the margin");
    fill(log(1.05), 0); /* the margin itself fails */
    assert_verdict(judge(&memory, 9), TG_FAIL, "out of proportion");
}

static void a_slope_is_judged_in_its_unit(void **state)
{
    (void)state;
    begin("slope");
    rule.limit = 4 * KIB;
    fill(0, 0);
    assert_verdict(judge(&memory, 4), TG_INCONCLUSIVE, "inconclusive");
    assert_verdict(judge(&memory, 5), TG_PASS, "steady");
    fill(-1e6, 10); /* what is given back is no leak */
    assert_verdict(judge(&memory, 5), TG_PASS, "steady");
    fill(64 * KIB, 100);
    struct tg_verdict v = judge(&memory, 9);
    assert_verdict(v, TG_FAIL, "grows");
    assert_string_equal(v.reason, "by 64 KiB from sample to sample, less than 4 KiB is demanded");
    assert_true(v.estimate > 65400 && v.estimate < 65700);
    assert_true(v.interval.low < 65536 && v.interval.high > 65536);
    assert_true(v.interval.low > 60000 && v.interval.high < 70000);
    fill(4 * KIB, 0); /* a tie */
    for (size_t n = 0; n <= MOST; n++)
        assert_verdict(judge(&memory, n), TG_INCONCLUSIVE, "inconclusive");
    fill(-64 * KIB, 0); /* where more is better, less is worse */
    assert_verdict(judge(&speed, 9), TG_FAIL, "falls");
    assert_true(judge(&speed, 9).estimate == 64 * KIB);
    assert_true(isnan(judge(&memory, 0).estimate));
}

/* Memory held after each of the calls of a process. */
enum memory_kind { QUIET, NOISY, BURSTS, PLATEAUS, GROWTH_ONCE, FILLS_UP, KINDS };

static double between(uint64_t *draw, double low, double high)
{
    return low + (high - low) * (double)(tg_fill_next(draw) >> 11) * 0x1p-53;
}

/* Student's t with 2 degrees of freedom: its variance has no bound. */
static double wild(uint64_t *draw)
{
    double u = between(draw, -1, 1);
    return sqrt(2) * u / sqrt(1 - u * u);
}

static void hold(uint64_t *draw, enum memory_kind kind, double leak, double samples[SAMPLES])
{
    /* A program grows at the same call in every process; here in the worst place there is. */
    const int once = SAMPLES / 5 + (SAMPLES - SAMPLES / 5) / 2 - 12;
    for (int i = 0; i < SAMPLES; i++) {
        samples[i] = 300e6 + leak * i;
        if (kind != QUIET) samples[i] += 128 * KIB * wild(draw);
        if (kind == BURSTS && between(draw, 0, 1) < 0.1) samples[i] += between(draw, 0, 8e6);
        if (kind == PLATEAUS) samples[i] += floor(-leak * i) - 1048576 * floor(-leak * i / 1048576);
        if (kind == GROWTH_ONCE && i >= once) samples[i] += 16e6;
        if (kind == FILLS_UP) samples[i] += 32e6 * (1 - exp(-i / 8.0));
    }
}

/* How many runs gave that answer after `rounds` rounds. */
static int answers(enum memory_kind kind, double leak, size_t rounds, enum tg_answer answer)
{
    uint64_t draw = 20260101 + (uint64_t)kind;
    double samples[SAMPLES];
    int count = 0;
    for (int run = 0; run < RUNS; run++) {
        for (size_t r = 0; r < rounds; r++) {
            hold(&draw, kind, leak, samples);
            assert_int_equal(tg_round_value_slope(samples, SAMPLES, 0.2, &values[r]), 0);
        }
        count += judge(&memory, rounds).answer == answer;
    }
    return count;
}

static void a_leak_is_found_in_any_noise_and_none_is_invented(void **state)
{
    (void)state;
    begin("slope");
    rule.limit = 8 * KIB;
    for (enum memory_kind kind = QUIET; kind < KINDS; kind++) {
        int found = answers(kind, 64 * KIB, 12, TG_FAIL);
        int cleared = kind == PLATEAUS ? RUNS : answers(kind, 0, 12, TG_PASS);
        if (found != RUNS || cleared != RUNS)
            fail_msg("kind %d: %d found, %d cleared", (int)kind, found, cleared);
    }
}

/* At the limit itself neither answer may be had more often than its error rate allows. */
static void a_slope_at_the_limit_is_seldom_called_either(void **state)
{
    (void)state;
    begin("slope");
    rule.limit = 2 * KIB;
    assert_in_range(answers(NOISY, 2 * KIB, 20, TG_FAIL), 0, 2);
    assert_in_range(answers(NOISY, 2 * KIB, 20, TG_PASS), 0, 2);
    assert_in_range(answers(BURSTS, 2 * KIB, 20, TG_PASS), 0, 2);
}

static double normal(uint64_t *draw)
{
    double u = between(draw, 0x1p-53, 1);
    return sqrt(-2 * log(u)) * cos(2 * acos(-1) * between(draw, 0, 1));
}

/* How many of 100 gates fail whose rounds have these samples: level + slope * i + noise. */
static int failures(const struct tg_metric *metric, int samples, double level, double slope,
                    double sd, size_t rounds)
{
    uint64_t draw = 20260102;
    double line[SAMPLES];
    int count = 0;
    for (int gate = 0; gate < 100; gate++) {
        for (size_t r = 0; r < rounds; r++) {
            for (int i = 0; i < samples; i++) line[i] = level + slope * i + sd * normal(&draw);
            assert_int_equal(tg_round_value_slope(line, (size_t)samples, 0.2, &values[r]), 0);
        }
        count += judge(metric, rounds).answer == TG_FAIL;
    }
    return count;
}

/* Slopes that are noise are as often down as up; those of a rate that falls are all down. */
static void slopes_are_judged_with_their_sign(void **state)
{
    (void)state;
    begin("slope");
    rule.limit = 64 * KIB;
    assert_int_equal(failures(&memory, 20, 3e9, 0, 16e6, MOST), 0);
    rule.limit = 0.5;
    assert_int_equal(failures(&speed, SAMPLES, 3e9, -2, 1, 20), 100);
    assert_int_equal(failures(&speed, SAMPLES, 3e9, 2, 1, 20), 0);
}

static void a_slope_in_seconds_is_decided_as_one_in_bytes(void **state)
{
    (void)state;
    begin("slope");
    rule.limit = 1e-10;
    assert_int_equal(failures(&duration, SAMPLES, 1e-6, 0, 1e-9, 12), 0);
    assert_verdict(judge(&duration, 12), TG_PASS, "steady");
    assert_int_equal(failures(&duration, SAMPLES, 1e-6, 9e-10, 1e-9, 12), 100);
    struct tg_verdict v = judge(&duration, 12);
    assert_true(v.interval.low > 8e-10 && v.interval.high < 10e-10);
    assert_non_null(strstr(v.reason, " ns from sample to sample, less than 0.1 ns is demanded"));
    rule.limit = 1e-300; /* what no double holds is as much as one can be */
    fill(1e200, 0);
    assert_verdict(judge(&duration, 12), TG_FAIL, "grows");
}

static void between_limit_and_fail_limit_a_value_passes_with_attention(void **state)
{
    (void)state;
    begin("floor");
    rule.limit = 0.998;
    rule.fail_limit = 0.99;
    const struct {
        double value;
        enum tg_answer answer;
        const char *word;
    } rows[] = {{0.998, TG_PASS, "within"},
                {0.9979, TG_PASS, "attention"},
                {0.99, TG_PASS, "attention"},
                {0.9899, TG_FAIL, "too low"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fill(rows[i].value, 0);
        assert_verdict(judge(&fixed_metric, 2), rows[i].answer, rows[i].word);
    }
    begin("ceiling");
    rule.limit = 10;
    rule.fail_limit = 20;
    fill(log(9.), 0.01);
    assert_verdict(judge(&memory, MOST), TG_PASS, "within");
    fill(log(15.), 0.01);
    assert_verdict(judge(&memory, MOST), TG_PASS, "attention");
    assert_string_equal(judge(&memory, MOST).reason,
                        "more than 10 B, but not more than 20 B, where it fails");
    fill(log(20.), 0.01); /* neither can be shown at the line itself */
    assert_verdict(judge(&memory, MOST), TG_INCONCLUSIVE, "inconclusive");
    fill(log(22.), 0.01);
    assert_verdict(judge(&memory, MOST), TG_FAIL, "too high");
    begin("floor"); /* a target: it is said when it is missed, and never fails */
    rule.limit = 40;
    rule.fail_limit = 0;
    fill(log(1e-3), 0.01);
    assert_verdict(judge(&speed, MOST), TG_PASS, "attention");
    assert_verdict(judge(&speed, 3), TG_INCONCLUSIVE, "inconclusive");
}

/* Eight rounds of one value, the last of the test of another; and what all of them say. */
static void an_answer_that_later_rounds_contradict_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *kind;
        const struct tg_metric *metric;
        double limit, first, later;
        enum tg_answer answer;
        const char *word, *reason;
    } rows[] = {
        {"floor", &speed, 45, 4.0943446, 3.4011974, TG_PASS, "attention",
         "it was not so at first; all rounds together: 30 1/s, at least 45 1/s is demanded"},
        {"floor", &speed, 45, 3.4011974, 4.0943446, TG_FAIL, "too low",
         "it was so at first; all rounds together: 60 1/s, at least 45 1/s is demanded"},
        {"floor", &speed, 45, 4.0943446, 3.9120230, TG_PASS, "within", ""},
        {"ceiling", &memory, 45, 3.4011974, 4.0943446, TG_PASS, "attention",
         "it was not so at first; all rounds together: 60 B, at most 45 B is demanded"},
        {"ratio", &speed, 1.5, 1.0986123, -0.2231436, TG_PASS, "attention",
         "it was not so at first; all rounds together: 0.8x, at least 1.5x is demanded"},
        {"ratio", &speed, 1.5, 0, 0.6931472, TG_FAIL, "too little",
         "it was so at first; all rounds together: 2x, at least 1.5x is demanded"},
        {"slope", &memory, 65536, 0, 200000, TG_PASS, "attention",
         "it was not so at first; all rounds together: by 195.3 KiB from sample to sample, less "
         "than 64 KiB is demanded"},
        {"slope", &memory, 65536, 200000, 1, TG_FAIL, "grows",
         "it was so at first; all rounds together: by 1 B from sample to sample, less than 64 KiB "
         "is demanded"},
        {"scaling", &memory, 0, 0, 0.4054651, TG_PASS, "attention",
         "it was not so at first; all rounds together: 50 % more than its model is larger"},
        {"scaling", &memory, 0, 0.4054651, 0, TG_PASS, "attention",
         "it was so at first; all rounds together: 0 % more than its model is larger"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin(rows[i].kind);
        rule.limit = rows[i].limit;
        rule.tolerance = 0.02;
        rule.margin = 0.1;
        for (int r = 0; r < MOST; r++) values[r] = r < 10 ? rows[i].first : rows[i].later;
        struct tg_verdict v = judge(rows[i].metric, MOST);
        assert_verdict(v, rows[i].answer, rows[i].word);
        assert_string_equal(v.reason, rows[i].reason);
    }
}

/* Attention between both limits, of what all rounds together put beyond either. */
static void what_passed_between_its_limits_may_leave_them(void **state)
{
    (void)state;
    begin("floor");
    rule.limit = 45;
    rule.fail_limit = 40;
    fill(log(60), 0);
    for (int r = 0; r < 16; r++) values[r] = log(42);
    struct tg_verdict v = judge(&speed, MOST);
    assert_verdict(v, TG_PASS, "attention");
    assert_string_equal(
        v.reason, "it was so at first; all rounds together: 60 1/s, at least 45 1/s is demanded");
    for (int r = 16; r < MOST; r++) values[r] = log(30);
    v = judge(&speed, MOST);
    assert_verdict(v, TG_PASS, "attention");
    assert_string_equal(
        v.reason,
        "it was not so at first; all rounds together: 30 1/s, at least 40 1/s is demanded");
}

/* What cannot be shown of limit need not be, where what fails is refuted. */
static void what_is_not_shown_to_reach_its_limit_passes_with_attention(void **state)
{
    (void)state;
    begin("floor");
    rule.limit = 45;
    rule.fail_limit = 40;
    fill(log(45), 0.003);
    struct tg_verdict v = judge(&speed, MOST);
    assert_int_equal(v.answer, TG_PASS);
    assert_string_equal(v.word, "attention");
    assert_string_equal(
        v.reason, "not shown to be at least 45 1/s, but not less than 40 1/s, where it fails");
    assert_true(v.wants_more); /* it may come to be within */
    fill(log(50), 0.03);
    assert_string_equal(judge(&speed, 5).word, "attention");
    assert_true(judge(&speed, 5).wants_more);
    assert_verdict(judge(&speed, MOST), TG_PASS, "within");
    begin("ceiling");
    rule.limit = 10;
    rule.fail_limit = 20;
    fill(log(10), 0.003);
    assert_string_equal(judge(&memory, MOST).reason,
                        "not shown to be at most 10 B, but not more than 20 B, where it fails");
    begin("floor"); /* a target */
    rule.limit = 40;
    rule.fail_limit = 0;
    fill(log(40), 0.003);
    assert_verdict(judge(&speed, 4), TG_INCONCLUSIVE, "inconclusive");
    assert_string_equal(judge(&speed, 5).word, "attention");
}

/* What would be held at limit is decided at the line that fails. */
static void what_few_runs_saw_below_its_limit_is_asked_of_the_line_that_fails(void **state)
{
    (void)state;
    begin("floor");
    rule.limit = 45;
    rule.fail_limit = 40;
    limits.min_sessions = 2;
    fill(log(42), 0.003);
    struct tg_verdict v = judge(&speed, MOST);
    assert_verdict(v, TG_PASS, "attention");
    assert_string_equal(v.reason, "less than 45 1/s, but not less than 40 1/s, where it fails");
    fill(log(38), 0.003);
    v = judge(&speed, MOST);
    assert_int_equal(v.answer, TG_INCONCLUSIVE);
    assert_string_equal(v.word, "held");
}

/* Of 300 floors of 45 that fail at 40, with a noise of 5 %: those of that answer after all rounds.
 */
static int floors(double truth, const char *word)
{
    uint64_t draw = 20260103;
    int count = 0;
    begin("floor");
    rule.limit = 45;
    rule.fail_limit = 40;
    for (int i = 0; i < 300; i++) {
        for (int r = 0; r < MOST; r++) values[r] = log(truth) + 0.05 * normal(&draw);
        count += strcmp(judge(&speed, MOST).word, word) == 0;
    }
    return count;
}

/* Each line has its own error rates, 1 %; simulated, E+ and E- keep to about half of it. */
static void neither_line_is_crossed_more_often_than_its_error_rate_allows(void **state)
{
    (void)state;
    assert_true(floors(45, "within") <= 3);
    assert_int_equal(floors(45, "too low"), 0);
    assert_true(floors(40, "too low") <= 3);
    assert_true(floors(40, "within") + floors(40, "attention") <= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parity_is_the_farthest_round_within_the_limit),
        cmocka_unit_test(what_is_no_number_is_never_alike_nor_the_same),
        cmocka_unit_test(determinism_is_the_same_value_to_the_last_bit_in_every_round),
        cmocka_unit_test(memory_in_proportion_to_its_model_passes),
        cmocka_unit_test(a_slope_is_judged_in_its_unit),
        cmocka_unit_test(a_leak_is_found_in_any_noise_and_none_is_invented),
        cmocka_unit_test(a_slope_at_the_limit_is_seldom_called_either),
        cmocka_unit_test(slopes_are_judged_with_their_sign),
        cmocka_unit_test(a_slope_in_seconds_is_decided_as_one_in_bytes),
        cmocka_unit_test(between_limit_and_fail_limit_a_value_passes_with_attention),
        cmocka_unit_test(what_is_not_shown_to_reach_its_limit_passes_with_attention),
        cmocka_unit_test(what_few_runs_saw_below_its_limit_is_asked_of_the_line_that_fails),
        cmocka_unit_test(neither_line_is_crossed_more_often_than_its_error_rate_allows),
        cmocka_unit_test(an_answer_that_later_rounds_contradict_is_named),
        cmocka_unit_test(what_passed_between_its_limits_may_leave_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
