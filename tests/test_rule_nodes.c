/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/noise.h"
#include "tests/judged_values.h"

/* Eight nodes, round by round; one of them gives `odd`, the others `d`. */
static struct tg_verdict judge_nodes(size_t count, double d, double odd, double noise)
{
    static int nodes[MOST];
    static const char *const names[8] = {"n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7"};
    struct tg_verdict v = tg_rule_no_verdict();
    const struct tg_evidence evidence = {.rule = &rule,
                                         .limits = &limits,
                                         .metric = &time_metric,
                                         .required_count = 30,
                                         .values = values,
                                         .nodes = nodes,
                                         .count = count,
                                         .node_names = names};
    for (size_t i = 0; i < count; i++) {
        nodes[i] = (int)(i % 8);
        values[i] = (nodes[i] == 5 ? odd : d) + (i / 8 % 2 ? noise : -noise);
    }
    tg_rule_find(rule.rule)->judge(&evidence, &v);
    return v;
}

static void a_sick_node_is_named_and_fails_nothing(void **state)
{
    (void)state;
    begin("noninferior");
    struct tg_verdict v = judge_nodes(48, 0, log(1.1), 0.005);
    assert_verdict(v, TG_INCONCLUSIVE, "heterogeneous");
    assert_string_equal(v.reason, "node 'n5' gives +10.00 %, the others +0.00 %");
    assert_int_equal(v.odd_node, 5);
    assert_false(v.wants_more);
    v = judge_nodes(48, 0, log(0.9), 0.005); /* in either direction */
    assert_verdict(v, TG_INCONCLUSIVE, "heterogeneous");
    assert_verdict(judge_nodes(48, 0, 0.015, 0.002), TG_PASS, "unchanged"); /* within tolerance */
    assert_verdict(judge_nodes(48, 0, 0, 0.005), TG_PASS, "unchanged");
    assert_int_equal(judge_nodes(48, 0, 0, 0.005).odd_node, -1);
}

/* What fails on all nodes fails, though one of them disagrees on how much. */
static void what_fails_without_the_odd_node_fails(void **state)
{
    (void)state;
    begin("noninferior");
    assert_int_equal(judge_nodes(48, 0.08, 0.08, 0.005).answer, TG_FAIL);
    struct tg_verdict v = judge_nodes(48, 0.08, 0.3, 0.005);
    assert_int_equal(v.answer, TG_FAIL);
    assert_int_equal(v.odd_node, 5);
}

/* Two nodes in turn, which give `first` and `second`. */
static struct tg_verdict judge_two(double first, double second)
{
    static int nodes[MOST];
    struct tg_verdict v = tg_rule_no_verdict();
    const struct tg_evidence evidence = {.rule = &rule,
                                         .limits = &limits,
                                         .metric = &time_metric,
                                         .required_count = 3,
                                         .values = values,
                                         .nodes = nodes,
                                         .count = 60};
    for (int i = 0; i < MOST; i++) {
        nodes[i] = i % 2;
        values[i] = (nodes[i] ? second : first) + (i / 2 % 2 ? 0.002 : -0.002);
    }
    tg_rule_find(rule.rule)->judge(&evidence, &v);
    return v;
}

/* Of two nodes, the one that is slower may be the sick one. */
static void of_two_nodes_both_must_be_slower(void **state)
{
    (void)state;
    begin("noninferior");
    struct tg_verdict v = judge_two(0, 0.3);
    assert_verdict(v, TG_INCONCLUSIVE, "heterogeneous");
    assert_int_equal(v.odd_node, 1);
    assert_int_equal(judge_two(0.08, 0.38).answer, TG_FAIL);
}

/* Where only what is critical fails, one sick node must not make it so. */
static void both_must_be_as_severe_as_what_fails(void **state)
{
    (void)state;
    begin("noninferior");
    snprintf(rule.fail_from, sizeof rule.fail_from, "critical");
    assert_verdict(judge_two(log(1.06), log(1.06)), TG_PASS, "attention");
    struct tg_verdict v = judge_two(log(1.06), log(1.6));
    assert_verdict(v, TG_INCONCLUSIVE, "heterogeneous");
    assert_int_equal(v.odd_node, 1);
    assert_int_equal(judge_two(log(1.16), log(1.6)).answer, TG_FAIL);
}

/*
 * A test of two nodes, looked at after each round until it wants no more; one is off by `odd`. The
 * rounds that it took to say that they disagree, 0 if it never did.
 */
static size_t rounds_to_a_split(uint64_t seed, double odd, double sd, size_t required)
{
    static int nodes[MOST];
    struct tg_evidence evidence = {.rule = &rule,
                                   .limits = &limits,
                                   .metric = &time_metric,
                                   .required_count = required,
                                   .values = values,
                                   .nodes = nodes,
                                   .is_brief = true,
                                   .is_blind = true};
    for (size_t i = 0; i < MOST; i++) {
        struct tg_verdict v = tg_rule_no_verdict();
        nodes[i] = i % 2;
        values[i] = (nodes[i] ? odd : 0) + sd * tg_noise_normal(&seed);
        evidence.count = i + 1;
        tg_rule_find(rule.rule)->judge(&evidence, &v);
        if (strcmp(v.word, "heterogeneous") == 0) return i + 1;
        if (!v.wants_more) return 0;
    }
    return 0;
}

/* One run of a hundred over its ten tests: 2 of 2000 tests, though each is looked at 64 times. */
static void equal_nodes_seldom_disagree_however_often_they_are_looked_at(void **state)
{
    (void)state;
    enum { SERIES = 2000 };
    size_t split = 0;
    begin("noninferior");
    for (uint64_t i = 0; i < SERIES; i++)
        split += rounds_to_a_split(tg_noise_seed(1, i), 0, 0.05, 10) > 0;
    assert_true(split <= SERIES / 1000);
}

static void a_sick_node_is_found_though_each_look_has_its_share(void **state)
{
    (void)state;
    begin("noninferior");
    for (uint64_t i = 0; i < 100; i++) {
        size_t rounds = rounds_to_a_split(tg_noise_seed(2, i), log(1.1), 0.02, 10);
        assert_true(rounds > 0 && rounds <= 24);
    }
}

/* A node that may disagree keeps a test open until that is clear. */
static void a_doubtful_node_keeps_a_clean_test_open(void **state)
{
    (void)state;
    begin("noninferior");
    struct tg_verdict v = judge_nodes(16, 0, 0.1, 0.012);
    assert_verdict(v, TG_INCONCLUSIVE, "inconclusive");
    assert_string_equal(v.reason, "its nodes may disagree");
    assert_true(v.wants_more);
}

/* Node 0 is quiet and slower by 8 %; what node 1 measures is mostly noise, and faster. */
static void a_quiet_node_that_is_slower_keeps_a_test_open(void **state)
{
    (void)state;
    static int nodes[MOST];
    struct tg_verdict v = tg_rule_no_verdict();
    const struct tg_evidence evidence = {.rule = &rule,
                                         .limits = &limits,
                                         .metric = &time_metric,
                                         .required_count = 1,
                                         .values = values,
                                         .nodes = nodes,
                                         .count = 12};
    begin("noninferior");
    for (int i = 0; i < 12; i++) {
        nodes[i] = i % 2;
        values[i] = nodes[i] ? (i % 4 == 1 ? 0.1 : -0.14) : 0.08 + (i % 4 ? 0.001 : -0.001);
    }
    tg_rule_find(rule.rule)->judge(&evidence, &v);
    assert_int_equal(v.answer, TG_INCONCLUSIVE);
}

static void a_failure_may_have_to_be_seen_twice(void **state)
{
    (void)state;
    static int sessions[MOST];
    begin("noninferior");
    fill(0.07, 0.001);
    limits.min_sessions = 2;
    struct tg_verdict v = judge(&time_metric, 30, 1);
    assert_verdict(v, TG_INCONCLUSIVE, "held");
    assert_string_equal(v.reason, "it would fail, but fewer than 2 runs or nodes saw it");
    assert_false(v.wants_more);
    for (size_t i = 20; i < MOST; i++) sessions[i] = 1;
    struct tg_evidence evidence = {.rule = &rule,
                                   .limits = &limits,
                                   .metric = &time_metric,
                                   .required_count = 1,
                                   .values = values,
                                   .sessions = sessions,
                                   .count = 30};
    tg_rule_find(rule.rule)->judge(&evidence, &v);
    assert_verdict(v, TG_FAIL, "slower, minor");
    evidence.count = 20;
    tg_rule_find(rule.rule)->judge(&evidence, &v);
    assert_verdict(v, TG_INCONCLUSIVE, "held");
    for (size_t i = 20; i < 23; i++) values[i] = 0; /* a run that was there, and saw nothing */
    evidence.count = 23;
    tg_rule_find(rule.rule)->judge(&evidence, &v);
    assert_verdict(v, TG_INCONCLUSIVE, "held");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sick_node_is_named_and_fails_nothing),
        cmocka_unit_test(what_fails_without_the_odd_node_fails),
        cmocka_unit_test(of_two_nodes_both_must_be_slower),
        cmocka_unit_test(both_must_be_as_severe_as_what_fails),
        cmocka_unit_test(equal_nodes_seldom_disagree_however_often_they_are_looked_at),
        cmocka_unit_test(a_sick_node_is_found_though_each_look_has_its_share),
        cmocka_unit_test(a_doubtful_node_keeps_a_clean_test_open),
        cmocka_unit_test(a_quiet_node_that_is_slower_keeps_a_test_open),
        cmocka_unit_test(a_failure_may_have_to_be_seen_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
