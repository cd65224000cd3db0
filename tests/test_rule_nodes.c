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
    snprintf(rule.effect, sizeof rule.effect, "throughput"); /* as the report's column says it */
    v = judge_nodes(48, 0, log(1.1), 0.005);
    assert_string_equal(v.reason, "node 'n5' gives -9.09 %, the others +0.00 %");
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

/* Two nodes: the second takes one round of so many, and each has a noise of its own. */
struct two {
    size_t every;
    double sd[2];
};

static const struct two in_turn_6 = {2, {0.06, 0.06}}, in_turn_2 = {2, {0.02, 0.02}},
                        in_turn_3 = {2, {0.03, 0.03}}, in_turn_5 = {2, {0.05, 0.05}};

static int node_of(const struct two *two, size_t round)
{
    return round % two->every == two->every - 1;
}

/* A test of two nodes that give these values, looked at after each round until it wants no more. */
static struct tg_verdict walk(uint64_t seed, const struct tg_metric *metric, double first,
                              double second, const struct two *two, size_t required)
{
    static int nodes[MOST];
    struct tg_verdict v = {.wants_more = true};
    struct tg_evidence evidence = {.rule = &rule,
                                   .limits = &limits,
                                   .metric = metric,
                                   .required_count = required,
                                   .values = values,
                                   .nodes = nodes,
                                   .is_brief = true,
                                   .is_blind = true};
    for (size_t r = 0; v.wants_more && r < MOST; r++) {
        nodes[r] = node_of(two, r);
        values[r] = (nodes[r] ? second : first) + two->sd[nodes[r]] * tg_noise_normal(&seed);
        evidence.count = r + 1;
        v = tg_rule_no_verdict();
        tg_rule_find(rule.rule)->judge(&evidence, &v);
    }
    return v;
}

/* One is off by `odd`: the rounds that it took to say that they disagree, 0 if it never did. */
static size_t rounds_to_a_split(uint64_t seed, double odd, const struct two *two, size_t required)
{
    struct tg_verdict v = walk(seed, &time_metric, 0, odd, two, required);
    return strcmp(v.word, "heterogeneous") == 0 ? v.rounds : 0;
}

/* One run of a hundred over its ten tests: 2 of 2000 tests, though each is looked at 64 times. */
static void equal_nodes_seldom_disagree_however_often_they_are_looked_at(void **state)
{
    (void)state;
    enum { SERIES = 2000 };
    size_t split = 0;
    begin("noninferior");
    for (uint64_t i = 0; i < SERIES; i++)
        split += rounds_to_a_split(tg_noise_seed(1, i), 0, &in_turn_5, 10) > 0;
    assert_true(split <= SERIES / 1000);
}

/* ... though the second takes every fourth round, and its noise is ten times that of the first. */
static void a_noisy_node_is_not_odd_for_its_noise(void **state)
{
    (void)state;
    enum { SERIES = 2000 };
    const struct two noisy = {4, {0.002, 0.02}};
    size_t split = 0;
    begin("noninferior");
    for (uint64_t i = 0; i < SERIES; i++)
        split += rounds_to_a_split(tg_noise_seed(4, i), 0, &noisy, 10) > 0;
    assert_true(split <= SERIES / 1000);
}

static void a_sick_node_is_found_though_each_look_has_its_share(void **state)
{
    (void)state;
    begin("noninferior");
    for (uint64_t i = 0; i < 100; i++) {
        size_t rounds = rounds_to_a_split(tg_noise_seed(2, i), log(1.1), &in_turn_2, 10);
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
    assert_string_equal(v.reason,
                        "its nodes may disagree: node 'n5' gives +10.52 %, the others +0.00 %");
    assert_true(v.wants_more);
}

/* Of 100 tests of two nodes that are slower by so much, N 300: how many fail. */
static int count_failures(double first, double second, const struct two *two)
{
    int failed = 0;
    begin("noninferior");
    for (uint64_t i = 0; i < 100; i++) {
        double seen[] = {log1p(first), log1p(second)};
        uint64_t seed = tg_noise_seed(5, i);
        failed += walk(seed, &time_metric, seen[0], seen[1], two, 300).answer == TG_FAIL;
    }
    return failed;
}

/* One is quiet and in order, the other takes few rounds, in much noise, and is far over the margin.
 */
static void a_sick_node_seldom_passes_for_its_noise(void **state)
{
    (void)state;
    const struct two noisy = {4, {0.003, 0.06}};
    int passed = 0;
    begin("noninferior");
    for (uint64_t i = 0; i < 200; i++)
        passed += walk(tg_noise_seed(6, i), &time_metric, 0, log(1.1), &noisy, 10).answer ==
                  TG_PASS;
    assert_in_range(passed, 0, 60);
}

/* The other node is at the tolerance; in much noise the two are not apart for certain. */
static void one_sick_node_fails_nothing_in_noise_either(void **state)
{
    (void)state;
    assert_in_range(count_failures(0.02, 0.12, &in_turn_6), 0, 2);
    assert_in_range(count_failures(0.12, 0.02, &(const struct two){4, {0.06, 0.06}}), 0, 6);
    assert_int_equal(count_failures(0.07, 0.07, &in_turn_2), 100);
}

/* What five rounds of a node say is not certain, be it as plain as it may. */
static void a_node_with_few_rounds_keeps_a_test_open(void **state)
{
    (void)state;
    static int nodes[MOST];
    struct tg_verdict v = tg_rule_no_verdict();
    struct tg_evidence evidence = {.rule = &rule,
                                   .limits = &limits,
                                   .metric = &time_metric,
                                   .required_count = 1,
                                   .values = values,
                                   .nodes = nodes,
                                   .count = 40};
    begin("noninferior");
    for (int i = 0; i < 41; i++) {
        nodes[i] = i % 8 == 4;
        values[i] = (nodes[i] ? 0.5 : 0) + (i / 8 % 2 ? 0.002 : -0.002);
    }
    tg_rule_find(rule.rule)->judge(&evidence, &v);
    assert_verdict(v, TG_INCONCLUSIVE, "inconclusive");
    assert_true(v.wants_more);
    nodes[40] = 1;
    values[40] = 0.5;
    evidence.count = 41;
    v = tg_rule_no_verdict();
    tg_rule_find(rule.rule)->judge(&evidence, &v);
    assert_verdict(v, TG_INCONCLUSIVE, "heterogeneous");
    assert_false(v.wants_more);
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

/* Rules that have no other number than a limit: what disagrees lies on its two sides. */

static const struct tg_metric rate = {"rate", "1/s", TG_HIGHER, TG_SAMPLED, TG_POSITIVE, ""};
static const struct tg_metric memory = {"memory", "B", TG_LOWER, TG_SAMPLED, TG_POSITIVE, ""};

/* Nodes in turn, each of which gives a value of its own, with noise. */
static struct tg_verdict judge_each(const char *kind, const struct tg_metric *metric, double limit,
                                    const double *each, int node_count, double noise)
{
    static int nodes[MOST];
    static const char *const names[8] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct tg_verdict v = tg_rule_no_verdict();
    const struct tg_evidence evidence = {.rule = &rule,
                                         .limits = &limits,
                                         .metric = metric,
                                         .required_count = 3,
                                         .values = values,
                                         .nodes = nodes,
                                         .count = (size_t)(MOST - MOST % (2 * node_count)),
                                         .node_names = names};
    snprintf(rule.rule, sizeof rule.rule, "%s", kind);
    rule.limit = limit;
    for (int i = 0; i < MOST; i++) {
        nodes[i] = i % node_count;
        values[i] = each[nodes[i]] + (i / node_count % 2 ? noise : -noise);
    }
    tg_rule_find(kind)->judge(&evidence, &v);
    return v;
}

static void nodes_on_two_sides_of_a_limit_answer_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *kind;
        const struct tg_metric *metric;
        double limit, first, second; /* of a time, a rate, a factor: logarithms */
        enum tg_answer answer;
        const char *word, *reason;
    } rows[] = {
        {"floor", &rate, 45, 4.0943446, 3.5553481, TG_INCONCLUSIVE, "heterogeneous",
         "node 'b' gives 35 1/s, the others 60 1/s"},
        {"floor", &rate, 45, 4.0943446, 3.7841896, TG_INCONCLUSIVE, "heterogeneous",
         "node 'b' gives 44 1/s, the others 60 1/s"},
        {"floor", &rate, 45, 4.0943446, 3.9120230, TG_PASS, "within", ""},
        {"floor", &rate, 45, 3.6888795, 3.5553481, TG_FAIL, "too low", ""},
        {"ceiling", &time_metric, 10, 1.6094379, 2.6390573, TG_INCONCLUSIVE, "heterogeneous",
         "node 'b' gives 14 s, the others 5 s"},
        {"ceiling", &time_metric, 10, 1.6094379, 2.1972246, TG_PASS, "within", ""},
        {"ratio", &time_metric, 1.5, -1.0986123, -0.1823216, TG_INCONCLUSIVE, "heterogeneous",
         "node 'b' gives 1.2x, the others 3x"},
        {"ratio", &rate, 1.5, 0.1823216, 1.0986123, TG_INCONCLUSIVE, "heterogeneous",
         "node 'a' gives 1.2x, the others 3x"},
        {"ratio", &rate, 1.5, 0.6931472, 1.0986123, TG_PASS, "enough", ""},
        {"ratio", &rate, 1.5, 0.1823216, 0.2623643, TG_FAIL, "too little",
         "1.25x, at least 1.5x is demanded"},
        {"slope", &memory, 65536, 1000, 100000, TG_INCONCLUSIVE, "heterogeneous",
         "node 'b' gives 97.66 KiB a sample, the others 1000 B a sample"},
        {"slope", &memory, 65536, 1000, 10000, TG_PASS, "steady", ""},
        {"slope", &time_metric, 1e-10, 1e-11, 9e-10, TG_INCONCLUSIVE, "heterogeneous",
         "node 'b' gives 0.9 ns a sample, the others 0.01 ns a sample"},
        {"slope", &time_metric, 1e-10, 5e-10, 9e-10, TG_FAIL, "grows",
         "by 0.7 ns from sample to sample, less than 0.1 ns is demanded"},
        {"scaling", &memory, 0, 0, 0.2623643, TG_INCONCLUSIVE, "heterogeneous",
         "node 'b' gives +30.00 %, the others +0.00 %"},
        {"scaling", &memory, 0, 0.2623643, 0.4054651, TG_FAIL, "out of proportion",
         "39.6 % more than its model is larger"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const double each[] = {rows[i].first, rows[i].second};
        begin(rows[i].kind);
        struct tg_verdict v = judge_each(rows[i].kind, rows[i].metric, rows[i].limit, each, 2,
                                         strcmp(rows[i].kind, "slope") == 0 ? 0.0015 * rows[i].limit
                                                                            : 0.003);
        assert_verdict(v, rows[i].answer, rows[i].word);
        assert_string_equal(v.reason, rows[i].reason);
        assert_false(v.wants_more);
    }
}

/* The one that breaks a limit need not be the one farthest from the others. */
static void any_node_may_be_the_one_that_breaks_a_limit(void **state)
{
    (void)state;
    const double one[] = {4, 4, 4, 3, 4, 4, 4, 4}, all_but_one[] = {3, 3, 3, 4, 3, 3, 3, 3};
    const double last[] = {log(100), log(50), log(44)};
    begin("floor");
    struct tg_verdict v = judge_each("floor", &rate, 45, one, 8, 0.003);
    assert_verdict(v, TG_INCONCLUSIVE, "heterogeneous");
    assert_int_equal(v.odd_node, 3);
    v = judge_each("floor", &rate, 45, all_but_one, 8, 0.003);
    assert_verdict(v, TG_FAIL, "too low");
    assert_int_equal(v.odd_node, 3);
    v = judge_each("floor", &rate, 45, last, 3, 0.003);
    assert_verdict(v, TG_INCONCLUSIVE, "heterogeneous");
    assert_string_equal(v.reason, "node 'c' gives 44 1/s, the others 70.7107 1/s");
}

/* What decides is the line that fails; a node beyond the other one is named. */
static void a_node_between_limit_and_fail_limit_is_named(void **state)
{
    (void)state;
    const double between[] = {log(60), log(42)}, below[] = {log(60), log(35)};
    begin("floor");
    rule.fail_limit = 40;
    struct tg_verdict v = judge_each("floor", &rate, 45, between, 2, 0.003);
    assert_verdict(v, TG_PASS, "attention");
    assert_string_equal(v.reason, "node 'b' gives 42 1/s, the others 60 1/s");
    v = judge_each("floor", &rate, 45, below, 2, 0.003);
    assert_verdict(v, TG_INCONCLUSIVE, "heterogeneous");
    rule.fail_limit = 0; /* a target fails nowhere */
    assert_verdict(judge_each("floor", &rate, 45, below, 2, 0.003), TG_PASS, "attention");
}

/*
 * Of 200 floors on two nodes whose D has these means, looked at after each round until they want no
 * more: how many passed, failed, and came out as heterogeneous.
 */
struct counts {
    int passed, failed, split;
};

static struct counts count_floors(double first, double second, const struct two *two)
{
    enum { SERIES = 200 };
    struct counts counts = {0};
    begin("floor");
    rule.limit = 1;
    for (uint64_t i = 0; i < SERIES; i++) {
        struct tg_verdict v = walk(tg_noise_seed(3, i), &rate, -first, -second, two, 1);
        counts.passed += v.answer == TG_PASS;
        counts.failed += v.answer == TG_FAIL;
        counts.split += strcmp(v.word, "heterogeneous") == 0;
    }
    return counts;
}

/* A limit is broken by a node, not by its noise; and seldom does one that breaks it pass. */
static void noise_takes_no_node_over_a_limit(void **state)
{
    (void)state;
    struct counts c = count_floors(-0.6, -0.03, &in_turn_3);
    assert_int_equal(c.passed, 200); /* both are good */
    c = count_floors(0.6, 0.03, &in_turn_3);
    assert_int_equal(c.failed, 200); /* both are bad */
    c = count_floors(-0.2, 0.03, &in_turn_3);
    assert_true(c.passed <= 2 && c.failed == 0 && c.split >= 180);
    c = count_floors(-0.03, 0.2, &in_turn_3);
    assert_true(c.passed == 0 && c.failed <= 2 && c.split >= 180);
    c = count_floors(-0.2, 0, &in_turn_3);
    assert_true(c.failed <= 2 && c.split <= 2); /* one at the limit breaks it for certain nowhere */
    c = count_floors(-0.01, -0.01, &(const struct two){4, {0.002, 0.03}});
    assert_true(c.passed >= 198 && c.split == 0); /* nor is one that is noisier than the other */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sick_node_is_named_and_fails_nothing),
        cmocka_unit_test(what_fails_without_the_odd_node_fails),
        cmocka_unit_test(of_two_nodes_both_must_be_slower),
        cmocka_unit_test(both_must_be_as_severe_as_what_fails),
        cmocka_unit_test(equal_nodes_seldom_disagree_however_often_they_are_looked_at),
        cmocka_unit_test(a_noisy_node_is_not_odd_for_its_noise),
        cmocka_unit_test(a_sick_node_is_found_though_each_look_has_its_share),
        cmocka_unit_test(a_doubtful_node_keeps_a_clean_test_open),
        cmocka_unit_test(a_sick_node_seldom_passes_for_its_noise),
        cmocka_unit_test(one_sick_node_fails_nothing_in_noise_either),
        cmocka_unit_test(a_node_with_few_rounds_keeps_a_test_open),
        cmocka_unit_test(a_quiet_node_that_is_slower_keeps_a_test_open),
        cmocka_unit_test(nodes_on_two_sides_of_a_limit_answer_nothing),
        cmocka_unit_test(any_node_may_be_the_one_that_breaks_a_limit),
        cmocka_unit_test(a_node_between_limit_and_fail_limit_is_named),
        cmocka_unit_test(noise_takes_no_node_over_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
