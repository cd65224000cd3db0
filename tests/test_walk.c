/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/walk.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/fill.h"

enum { MOST = 64 };

static double values[MOST];
static int nodes[MOST], sessions[MOST];

/* Noise of about that size, even around 0. */
static double noise(uint64_t *state, double size)
{
    return size * ((double)(tg_fill_next(state) >> 11) * 0x1p-52 - 1);
}

static struct tg_walk *walk_over(size_t count, const int *by_node, const int *by_session)
{
    const struct tg_walk_path path = {.values = values,
                                      .nodes = by_node,
                                      .sessions = by_session,
                                      .count = count,
                                      .sign = 1,
                                      .floor = 0.02};
    struct tg_walk *walk = tg_walk_begin(&path);
    assert_non_null(walk);
    for (size_t i = 0; i < count; i++) tg_walk_step(walk);
    return walk;
}

static void one_node_is_the_plain_tests(void **state)
{
    (void)state;
    double distances[MOST], log_fail = 0;
    struct tg_symmetry symmetry;
    struct tg_student student = {0};
    uint64_t draws = 1;
    tg_sequential_symmetry_init(&symmetry, 0.02, distances, MOST);
    for (int i = 0; i < MOST; i++) {
        values[i] = 0.05 + noise(&draws, 0.03);
        log_fail = tg_sequential_symmetry_add(&symmetry, values[i]);
        tg_sequential_student_add(&student, values[i]);
    }
    for (int named = 0; named < 2; named++) {
        struct tg_walk *walk = walk_over(MOST, named ? nodes : NULL, NULL);
        assert_true(tg_walk_log_fail(walk) == log_fail);
        assert_true(tg_walk_log_student(walk, 0.05) == tg_sequential_student_log_e(&student, 0.05));
        assert_int_equal(tg_walk_student(walk)->rounds, MOST);
        assert_int_equal(tg_walk_super_rounds(walk), 0);
        assert_int_equal(tg_walk_span(walk), 1);
        tg_walk_end(walk);
    }
    tg_walk_end(NULL);
}

static void values_are_turned_and_shifted(void **state)
{
    (void)state;
    const struct tg_walk_path path = {
        .values = values, .count = 2, .sign = -1, .shift = 0.5, .floor = 0};
    values[0] = 0.2;
    values[1] = 0.4;
    struct tg_walk *walk = tg_walk_begin(&path);
    tg_walk_step(walk);
    assert_true(fabs(tg_walk_student(walk)->mean - 0.3) < 1e-15);
    tg_walk_step(walk);
    assert_true(fabs(tg_walk_student(walk)->mean - 0.2) < 1e-15);
    tg_walk_end(walk);
}

/* Rounds that come in pairs of equals are half as many. */
static void rounds_that_are_alike_are_counted_in_pairs(void **state)
{
    (void)state;
    uint64_t draws = 3;
    for (int i = 0; i < MOST; i += 2) values[i] = values[i + 1] = noise(&draws, 0.01);
    struct tg_walk *walk = walk_over(MOST, NULL, NULL);
    assert_int_equal(tg_walk_super_rounds(walk), MOST / 2);
    assert_int_equal(tg_walk_student(walk)->rounds, MOST / 2);
    tg_walk_end(walk);
    walk = walk_over(15, NULL, NULL); /* too few to tell */
    assert_int_equal(tg_walk_super_rounds(walk), 0);
    tg_walk_end(walk);
    walk = walk_over(MOST - 1, NULL, NULL); /* the last waits for its second */
    assert_int_equal(tg_walk_super_rounds(walk), MOST / 2 - 1);
    tg_walk_end(walk);
}

static void independent_rounds_are_hardly_ever_paired(void **state)
{
    (void)state;
    uint64_t draws = 5;
    int paired = 0;
    for (int k = 0; k < 500; k++) {
        for (int i = 0; i < MOST; i++) values[i] = noise(&draws, 0.01);
        struct tg_walk *walk = walk_over(MOST, NULL, NULL);
        paired += tg_walk_super_rounds(walk) > 0;
        tg_walk_end(walk);
    }
    assert_in_range(paired, 1, 40); /* it is looked at in 49 rounds of each */
}

/* What differs between nodes, in turn, is no autocorrelation; what lasts on each of them is. */
static void alikeness_is_looked_for_on_each_node(void **state)
{
    (void)state;
    uint64_t draws = 7;
    for (int i = 0; i < MOST; i++) {
        nodes[i] = i / 8 % 2; /* eight rounds here, eight there */
        values[i] = 0.05 * nodes[i] + noise(&draws, 0.002);
    }
    struct tg_walk *walk = walk_over(MOST, nodes, NULL);
    assert_int_equal(tg_walk_super_rounds(walk), 0);
    tg_walk_end(walk);
    for (int i = 0; i < MOST; i++) {
        nodes[i] = i % 2;
        values[i] = i / 16 % 2 ? 0.01 : -0.01;
    }
    walk = walk_over(MOST, nodes, NULL);
    assert_int_equal(tg_walk_super_rounds(walk), MOST / 2);
    tg_walk_end(walk);
}

/* Seven nodes lose what the eighth wins: together nothing, but one node shows it. */
static void what_one_node_shows_is_evidence(void **state)
{
    (void)state;
    double plain, split;
    for (int i = 0; i < MOST; i++) {
        nodes[i] = i % 4;
        values[i] = nodes[i] == 3 ? 0.2 : 0.02 - 0.001 * (i % 3);
    }
    struct tg_walk *walk = walk_over(MOST, NULL, NULL);
    plain = tg_walk_log_fail(walk);
    tg_walk_end(walk);
    walk = walk_over(MOST, nodes, NULL);
    split = tg_walk_log_fail(walk);
    assert_int_equal(tg_walk_span(walk), 1); /* the others saw nothing */
    tg_walk_end(walk);
    /* Node 3 alone won 16 bets; it has a quarter of a half of the stakes. */
    assert_true(split > plain);
    assert_true(split > 16 * log(1.99) - log(6) - log(8) - 1);
}

static void nodes_of_unequal_spread_speak_for_themselves(void **state)
{
    (void)state;
    double sum = 0;
    struct tg_student students[2] = {{0}, {0}};
    for (int i = 0; i < 20; i++) {
        nodes[i] = i % 2;
        values[i] = (i % 4 < 2 ? 1 : -1) * (nodes[i] ? 0.05 : 0.001);
        tg_sequential_student_add(&students[nodes[i]], values[i]);
    }
    struct tg_walk *walk = walk_over(20, nodes, NULL);
    for (int n = 0; n < 2; n++) sum += tg_sequential_student_log_e(&students[n], 0.05);
    assert_true(tg_walk_log_student(walk, 0.05) == sum);
    tg_walk_end(walk);
}

/* Certainty that a quiet node lies above the centre is none that all of them lie below. */
static void a_node_on_the_other_side_is_no_evidence(void **state)
{
    (void)state;
    struct tg_student noisy = {0}, nowhere = {.rounds = 10};
    for (int i = 0; i < 20; i++) {
        nodes[i] = i % 2;
        values[i] = nodes[i] ? (i % 4 < 2 ? 0.1 : -0.14) : 0.08 + (i % 4 ? 0.001 : -0.001);
        if (nodes[i]) tg_sequential_student_add(&noisy, values[i]);
    }
    struct tg_walk *walk = walk_over(20, nodes, NULL);
    assert_true(tg_walk_student(walk)->mean < 0.05);
    double prior = tg_sequential_student_log_e(&nowhere, 0);
    assert_true(prior < 0);
    assert_float_equal(tg_walk_log_student(walk, 0.05),
                       prior + tg_sequential_student_log_e(&noisy, 0.05), 1e-9);
    tg_walk_end(walk);
    for (int i = 0; i < 20; i++) values[i] = -values[i]; /* and from above */
    walk = walk_over(20, nodes, NULL);
    assert_float_equal(tg_walk_log_student(walk, -0.05),
                       prior + tg_sequential_student_log_e(&noisy, 0.05), 1e-9);
    tg_walk_end(walk);
}

static void runs_that_saw_it_are_counted_as_nodes_are(void **state)
{
    (void)state;
    for (int i = 0; i < 12; i++) {
        nodes[i] = i % 2;
        sessions[i] = i / 4;
        values[i] = 0.03;
    }
    struct tg_walk *walk = walk_over(12, nodes, sessions);
    assert_int_equal(tg_walk_span(walk), 3);
    tg_walk_end(walk);
    walk = walk_over(4, nodes, sessions);
    assert_int_equal(tg_walk_span(walk), 2);
    tg_walk_end(walk);
    values[4] = values[5] = values[6] = 0.01; /* most of the second run */
    walk = walk_over(12, NULL, sessions);
    assert_int_equal(tg_walk_span(walk), 2);
    tg_walk_end(walk);
    for (int i = 0; i < 12; i++) values[i] = 0.01;
    walk = walk_over(12, nodes, sessions);
    assert_int_equal(tg_walk_span(walk), 1);
    tg_walk_end(walk);
    walk = walk_over(0, nodes, sessions);
    assert_int_equal(tg_walk_span(walk), 0);
    tg_walk_end(walk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_node_is_the_plain_tests),
        cmocka_unit_test(values_are_turned_and_shifted),
        cmocka_unit_test(rounds_that_are_alike_are_counted_in_pairs),
        cmocka_unit_test(independent_rounds_are_hardly_ever_paired),
        cmocka_unit_test(alikeness_is_looked_for_on_each_node),
        cmocka_unit_test(what_one_node_shows_is_evidence),
        cmocka_unit_test(nodes_of_unequal_spread_speak_for_themselves),
        cmocka_unit_test(a_node_on_the_other_side_is_no_evidence),
        cmocka_unit_test(runs_that_saw_it_are_counted_as_nodes_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
