/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/round_value.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/rule.h"

enum { SAMPLES_FOR_ALL = 10 };

static struct tg_measurement of, to;
static struct tg_rule rule;

static int begin(void **state)
{
    (void)state;
    tg_measurement_init(&of);
    tg_measurement_init(&to);
    tg_record_init(&tg_rule_type, &rule);
    return 0;
}

static int end(void **state)
{
    (void)state;
    tg_measurement_free(&of);
    tg_measurement_free(&to);
    return 0;
}

static void add(struct tg_measurement *m, const char *metric, size_t count, const double *samples)
{
    tg_measurement_drop(m, metric);
    struct tg_series *s = tg_measurement_add(m, metric, count);
    assert_non_null(s);
    memcpy(s->samples, samples, count * sizeof *samples);
}

/* The value of the round for a kind of rule about a metric; `has_to`: of both cells. */
static int value(const char *kind, const char *metric, int has_to, double *out)
{
    const struct tg_whole_round round = {&rule, &of, has_to ? &to : NULL};
    snprintf(rule.rule, sizeof rule.rule, "%s", kind);
    snprintf(rule.metric, sizeof rule.metric, "%s", metric);
    return tg_round_value(&round, out);
}

static void every_kind_of_rule_has_a_value_and_nothing_else_has(void **state)
{
    (void)state;
    double v = 7, samples[SAMPLES_FOR_ALL];
    for (int i = 0; i < SAMPLES_FOR_ALL; i++) samples[i] = 2 + i;
    of.facts.packed_bytes = to.facts.packed_bytes = 1;
    for (size_t i = 0; i < tg_rule_count(); i++) { /* nothing was measured: no value */
        int has_to = strcmp(tg_rule_at(i)->cells, "pair") == 0;
        assert_int_equal(value(tg_rule_at(i)->name, "call_time", has_to, &v), -1);
        assert_true(v == 7);
    }
    add(&of, "call_time", SAMPLES_FOR_ALL, samples);
    add(&to, "call_time", SAMPLES_FOR_ALL, samples);
    of.facts.quads = to.facts.quads = SAMPLES_FOR_ALL / 2;
    for (int64_t i = 0; i < SAMPLES_FOR_ALL; i++) {
        of.series[0].turns[i] = i / 2 * 4 + 3 * (i % 2);
        to.series[0].turns[i] = i / 2 * 4 + 1 + i % 2;
    }
    for (size_t i = 0; i < tg_rule_count(); i++) {
        int has_to = strcmp(tg_rule_at(i)->cells, "pair") == 0;
        rule.discard = 0;
        if (value(tg_rule_at(i)->name, "call_time", has_to, &v) < 0)
            fail_msg("%s has no value", tg_rule_at(i)->name);
    }
    assert_int_equal(value("faster", "call_time", 1, &v), -1);
}

static void exact_values_are_taken_as_they_are(void **state)
{
    (void)state;
    static const double x[] = {0.75}, y[] = {0.5}, none[] = {NAN};
    double v;
    add(&of, "kernel_accuracy", 1, x);
    add(&to, "kernel_accuracy", 1, y);
    assert_int_equal(value("parity", "kernel_accuracy", 1, &v), 0);
    assert_true(v == 0.25);
    assert_int_equal(value("determinism", "kernel_accuracy", 0, &v), 0);
    assert_true(v == 0.75);
    assert_int_equal(value("floor", "kernel_accuracy", 0, &v), 0);
    assert_true(v == 0.75);
    add(&of, "kernel_accuracy", 1, none); /* the rule must see it, to fail */
    assert_int_equal(value("parity", "kernel_accuracy", 1, &v), 0);
    assert_true(isnan(v));
    assert_int_equal(value("determinism", "kernel_accuracy", 0, &v), 0);
    assert_true(isnan(v));
}

static void a_level_is_the_median_and_of_memory_the_most(void **state)
{
    (void)state;
    static const double x[] = {4, 2, 9, 3, 5};
    double v;
    add(&of, "call_time", 5, x);
    assert_int_equal(value("ceiling", "call_time", 0, &v), 0);
    assert_true(v == log(4));
    add(&of, "gpu_memory", 5, x);
    assert_int_equal(value("ceiling", "gpu_memory", 0, &v), 0);
    assert_true(v == log(9));
}

/* Loading a model is done once a round; a kernel's samples that are one are not whole. */
static void what_is_measured_once_a_round_is_compared_as_it_is(void **state)
{
    (void)state;
    static const double slow[] = {3}, fast[] = {2}, two[] = {2, 2}, zero[] = {0};
    static const double ten[10] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    double v = 7;
    of.facts.quads = to.facts.quads = 5;
    tg_cell_parse("probe=model model=tiny profile=decode_32", &of.cell, NULL);
    to.cell = of.cell;
    add(&of, "load_time", 1, slow);
    add(&to, "load_time", 1, fast);
    /* Who tells of quads, and has one sample, has not whole ones. */
    assert_int_equal(value("noninferior", "load_time", 1, &v), -1);
    add(&of, "decode_rate", 10, ten);
    add(&to, "decode_rate", 10, ten);
    assert_int_equal(value("noninferior", "load_time", 1, &v), 0);
    assert_true(fabs(v - log(1.5)) < 1e-12);
    add(&to, "load_time", 1, zero);
    assert_int_equal(value("noninferior", "load_time", 1, &v), -1);
    add(&to, "load_time", 2, two);
    assert_int_equal(value("noninferior", "load_time", 1, &v), -1);
    add(&of, "decode_rate", 1, slow);
    add(&to, "decode_rate", 1, fast);
    assert_int_equal(value("noninferior", "decode_rate", 1, &v), -1);
}

static void growth_is_measured_by_the_bytes_of_both_models(void **state)
{
    (void)state;
    static const double small[] = {100, 110, 5000}, large[] = {330};
    double v;
    add(&of, "call_time", 1, large);
    add(&to, "call_time", 3, small);
    of.facts.packed_bytes = 3000;
    to.facts.packed_bytes = 1000;
    assert_int_equal(value("scaling", "call_time", 1, &v), 0);
    assert_true(fabs(v) < 1e-12);
    to.facts.packed_bytes = 1500;
    assert_int_equal(value("scaling", "call_time", 1, &v), 0);
    assert_true(fabs(v - log(1.5)) < 1e-12);
    /* Without the fact on one side, the weights of the models count for both. */
    of.facts.packed_bytes = -1;
    snprintf(of.cell.model, sizeof of.cell.model, "bitnet-2b");
    snprintf(of.cell.layer, sizeof of.cell.layer, "attn_q");
    snprintf(to.cell.model, sizeof to.cell.model, "falcon3-1b");
    snprintf(to.cell.layer, sizeof to.cell.layer, "attn_q");
    assert_int_equal(value("scaling", "call_time", 1, &v), 0);
    assert_true(fabs(v - (log(3) - log(2560. * 2560 / (2048. * 2048)))) < 1e-12);
    of.cell.layer[0] = to.cell.layer[0] = 0;
    assert_int_equal(value("scaling", "call_time", 1, &v), 0);
    assert_true(v < log(3) - log(1.3) && v > log(3) - log(3)); /* 2.1e9 to 1.1e9 weights */
    snprintf(to.cell.model, sizeof to.cell.model, "unheard-of");
    assert_int_equal(value("scaling", "call_time", 1, &v), -1);
}

static void a_slope_is_had_from_the_better_half(void **state)
{
    (void)state;
    double line[100], v = 0;
    for (int i = 0; i < 100; i++) line[i] = 1000 + 3 * i;
    assert_int_equal(tg_round_value_slope(line, 100, 0, &v), 0);
    assert_true(v == 3);
    for (int i = 0; i < 20; i++) line[i] = -1e9 * (20 - i); /* the warm-up */
    assert_int_equal(tg_round_value_slope(line, 100, 0.2, &v), 0);
    assert_true(v == 3);
    for (int i = 45; i < 100; i++) line[i] += 1e6; /* a step in the first half of the rest */
    assert_int_equal(tg_round_value_slope(line, 100, 0.2, &v), 0);
    assert_true(v == 3);
    for (int i = 45; i < 100; i++) line[i] -= 1e6;
    for (int i = 75; i < 100; i++) line[i] += 1e6; /* and in the second */
    assert_int_equal(tg_round_value_slope(line, 100, 0.2, &v), 0);
    assert_true(v == 3);
    for (int i = 0; i < 100; i++) line[i] = 1000 + (i == 60 ? 1e9 : 0);
    assert_int_equal(tg_round_value_slope(line, 100, 0, &v), 0);
    assert_true(v == 0);
}

/* What goes down with noise goes down, as much as its mirror goes up. */
static void a_slope_is_as_steep_down_as_up(void **state)
{
    (void)state;
    double line[100], v = 0;
    for (int i = 0; i < 100; i++) line[i] = 1000 - 2 * i + (i % 2 ? 3 : -3);
    assert_int_equal(tg_round_value_slope(line, 100, 0, &v), 0);
    assert_true(fabs(v + 2) < 0.1);
    for (int i = 0; i < 100; i++) line[i] *= -1;
    assert_int_equal(tg_round_value_slope(line, 100, 0, &v), 0);
    assert_true(fabs(v - 2) < 0.1);
}

/* 120 kB a sample, in pieces of 2 MiB; then one piece in all, one piece that is given back. */
static void what_grows_in_pieces_has_a_slope(void **state)
{
    (void)state;
    static const double piece = 2097152;
    double line[50], v;
    for (int phase = 0; phase < 21; phase++) {
        for (int i = 0; i < 50; i++) line[i] = piece * floor((i + phase) * 1.2e5 / piece);
        assert_int_equal(tg_round_value_slope(line, 50, 0.2, &v), 0);
        if (!(v > 6.5e4 && v < 2.4e5)) fail_msg("%d: %g", phase, v);
        for (int i = 0; i < 50; i++) line[i] *= -1;
        assert_int_equal(tg_round_value_slope(line, 50, 0.2, &v), 0);
        if (!(v < -6.5e4 && v > -2.4e5)) fail_msg("%d: %g", phase, v);
    }
    for (int i = 0; i < 50; i++) line[i] = i < 20 ? 0 : piece;
    assert_int_equal(tg_round_value_slope(line, 50, 0.2, &v), 0);
    assert_true(v == 0);
    for (int i = 0; i < 50; i++) line[i] = i < 20 ? 0 : i == 40 ? 0.5 * piece : piece;
    assert_int_equal(tg_round_value_slope(line, 50, 0.2, &v), 0);
    assert_true(v == 0);
}

/* In how many of 64 places of the first step a leak in pieces of 2 MiB has a slope over `limit`. */
static int seen(size_t count, double leak, double limit)
{
    static const double piece = 2097152;
    double line[100], v;
    int times = 0;
    for (int phase = 0; phase < 64; phase++) {
        for (size_t i = 0; i < count; i++)
            line[i] = piece * floor(((double)i * leak + piece * phase / 64) / piece);
        assert_int_equal(tg_round_value_slope(line, count, 0.2, &v), 0);
        times += v > limit;
    }
    return times;
}

/* What docs/GPU.md says: of 20 samples 16 are left, 7 steps in the half that has fewer. */
static void a_leak_in_pieces_is_surely_seen_from_one_in_each_half_on(void **state)
{
    (void)state;
    assert_int_equal(seen(20, 2097152.0 / 7 + 1, 65536), 64);
    assert_in_range(seen(20, 262144, 65536), 1, 63);
    assert_int_equal(seen(20, 65536, 0), 0);
    assert_int_equal(seen(100, 2097152.0 / 39 + 1, 0), 64);
    assert_in_range(seen(100, 50000, 0), 1, 63);
}

static void too_few_samples_have_no_slope(void **state)
{
    (void)state;
    static double line[3001];
    double v = 7;
    for (int i = 0; i < 3001; i++) line[i] = 2 * i;
    for (size_t n = 0; n < 8; n++) assert_int_equal(tg_round_value_slope(line, n, 0, &v), -1);
    assert_true(v == 7);
    assert_int_equal(tg_round_value_slope(line, 8, 0, &v), 0);
    assert_true(v == 2);
    assert_int_equal(tg_round_value_slope(line, 10, 0.2, &v), 0);
    assert_int_equal(tg_round_value_slope(line, 10, 0.21, &v), -1);
    assert_int_equal(tg_round_value_slope(line, 10, 0.9999, &v), -1);
    for (size_t n = 509; n < 3001; n += 311) { /* not all of many are looked at */
        v = 0;
        assert_int_equal(tg_round_value_slope(line, n, 0.1, &v), 0);
        assert_true(v == 2);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(every_kind_of_rule_has_a_value_and_nothing_else_has),
        TEST(exact_values_are_taken_as_they_are),
        TEST(a_level_is_the_median_and_of_memory_the_most),
        TEST(what_is_measured_once_a_round_is_compared_as_it_is),
        TEST(growth_is_measured_by_the_bytes_of_both_models),
        TEST(a_slope_is_had_from_the_better_half),
        TEST(a_slope_is_as_steep_down_as_up),
        TEST(what_grows_in_pieces_has_a_slope),
        TEST(a_leak_in_pieces_is_surely_seen_from_one_in_each_half_on),
        TEST(too_few_samples_have_no_slope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
