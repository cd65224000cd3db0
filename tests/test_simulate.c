/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/simulate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { CELLS = 20 }; /* of a gate, and so the N of its error rate */

static struct tg_limits limits;
static struct tg_rule rule;

static int begin(void **state)
{
    (void)state;
    tg_record_init(&tg_limits_type, &limits);
    tg_record_init(&tg_rule_type, &rule);
    snprintf(rule.rule, sizeof rule.rule, "noninferior");
    snprintf(rule.metric, sizeof rule.metric, "call_time");
    rule.tolerance = 0.02;
    rule.margin = 0.05;
    rule.major = 0.10;
    rule.critical = 0.15;
    return 0;
}

/* Gates of CELLS tests that are slower by `effect`, with noise of 1 % (and its spread). */
static struct tg_scene scene_of(const char *law, double effect, size_t gates)
{
    return (struct tg_scene){.rule = &rule,
                             .limits = &limits,
                             .gates = gates,
                             .cells = CELLS,
                             .required_count = CELLS,
                             .law = tg_noise_find(law),
                             .theta = log1p(effect),
                             .sd = 0.01,
                             .sigma = 0.7,
                             .seed = 1};
}

static struct tg_tally run(struct tg_scene scene)
{
    struct tg_tally tally;
    assert_int_equal(tg_simulate_run(&scene, 2, NULL, &tally, NULL), 0);
    return tally;
}

/* A family of tests that are all slower by 1 %, far too little for any of them alone. */
static void a_loss_that_all_tests_share_is_seen_by_their_family(void **state)
{
    (void)state;
    struct tg_tally alone = run(scene_of("skewed", 0.01, 5));
    limits.family_watch = 1;
    struct tg_tally watched = run(scene_of("skewed", 0.01, 5));
    assert_int_equal(alone.families_over, 0);
    assert_int_equal(alone.over + watched.over, 0);
    assert_int_equal(watched.families_over, 5);
    assert_int_equal(watched.gates_failed, 0);
    assert_true(watched.rounds > alone.rounds);
    assert_true(watched.rounds <= alone.rounds + 5 * CELLS * (size_t)limits.family_rounds);
    limits.family_fail = 1;
    assert_int_equal(run(scene_of("skewed", 0.01, 5)).gates_failed, 5);
    struct tg_tally same = run(scene_of("skewed", 0, 5));
    assert_int_equal(same.families_over + same.gates_failed, 0);
}

/* Whether a rate is shown to be above what was promised, by its exact 99.9 % interval. */
static bool is_above(size_t events, size_t trials, double promised)
{
    return tg_stats_clopper_pearson(events, trials, 0.999).low > promised;
}

static void what_is_as_fast_passes_in_about_six_rounds(void **state)
{
    (void)state;
    struct tg_tally t = run(scene_of("skewed", 0, 40));
    assert_int_equal(t.gates, 40);
    assert_int_equal(t.tests, 40 * CELLS);
    assert_int_equal(t.gates_failed, 0);
    assert_int_equal(t.over, 0);
    assert_true(t.gates_passed > 30);
    assert_int_equal(t.clean + t.inconclusive, t.tests);
    assert_true((double)t.rounds / (double)t.tests < 6.5);
    assert_true(t.most_rounds <= (size_t)limits.rounds_max);
}

static void what_is_much_slower_fails_and_is_called_what_it_is(void **state)
{
    (void)state;
    struct tg_scene scene = scene_of("normal", 0.12, 2);
    scene.sigma = 0;
    struct tg_tally t = run(scene);
    assert_int_equal(t.failed, t.tests);
    assert_int_equal(t.over, t.tests);
    assert_int_equal(t.gates_failed, 2);
    assert_int_equal(t.gates_passed, 0);
    assert_true(t.severities[2][0] + t.severities[2][1] == t.tests); /* major */
    assert_true(t.decided_rounds <= t.rounds);
    assert_true(t.decided_rounds >= 11 * t.tests); /* log2(20 / 1 %) = 11 */
}

static void a_loss_of_what_is_better_higher_fails_as_well(void **state)
{
    (void)state;
    snprintf(rule.metric, sizeof rule.metric, "decode_rate");
    struct tg_tally lost = run(scene_of("normal", 0.1, 2)), won = run(scene_of("normal", -0.1, 2));
    assert_int_equal(lost.failed, lost.tests);
    assert_int_equal(won.clean, won.tests);
}

static void intervals_hold_the_truth_wherever_a_test_stops(void **state)
{
    (void)state;
    static const char *const laws[] = {"normal", "skewed", "t3"};
    for (size_t i = 0; i < 3; i++) {
        struct tg_tally t = run(scene_of(laws[i], 0.02, 20));
        assert_true(t.intervals > 380);
        assert_false(is_above(t.intervals - t.covered, t.intervals, 0.01));
    }
}

static void threads_and_other_seeds_change_what_they_should(void **state)
{
    (void)state;
    struct tg_scene scene = scene_of("skewed", 0.03, 8);
    struct tg_tally one, three;
    assert_int_equal(tg_simulate_run(&scene, 1, NULL, &one, NULL), 0);
    assert_int_equal(tg_simulate_run(&scene, 3, NULL, &three, NULL), 0);
    assert_memory_equal(&one, &three, sizeof one);
    scene.seed = 2;
    assert_int_equal(tg_simulate_run(&scene, 3, NULL, &three, NULL), 0);
    assert_memory_not_equal(&one, &three, sizeof one);
}

/*
 * Gates that are all at the tolerance: the worst truth for which nothing was to be over its line in
 * more than alpha_fail of the gates. With the method whole that is so; each thing that is left out
 * breaks it, on the very same noise.
 */
static void assert_needed(enum tg_ablation ablation, const char *law, size_t gates, size_t cells)
{
    struct tg_scene scene = scene_of(law, rule.tolerance, gates);
    const double each = limits.alpha_fail / (double)cells;
    scene.cells = scene.required_count = cells;
    scene.sd = 0.03;
    scene.sigma = 0;
    struct tg_tally whole = run(scene);
    scene.ablation = ablation;
    struct tg_tally ablated = run(scene);
    assert_false(is_above(whole.gates_over, whole.gates, limits.alpha_fail));
    assert_false(is_above(whole.over, whole.tests, each));
    assert_true(whole.gates_failed == 0);
    assert_true(is_above(ablated.gates_over, ablated.gates, limits.alpha_fail));
    assert_true(is_above(ablated.over, ablated.tests, each));
}

static void a_fixed_order_lets_drift_raise_false_alarms(void **state)
{
    (void)state;
    assert_needed(TG_FIXED_ORDER, "drift", 20, CELLS);
}

static void samples_taken_for_rounds_raise_false_alarms(void **state)
{
    (void)state;
    assert_needed(TG_POOLED_SAMPLES, "skewed", 20, CELLS);
}

static void a_textbook_interval_looked_at_often_raises_false_alarms(void **state)
{
    (void)state;
    assert_needed(TG_PEEKING, "skewed", 20, CELLS);
}

static void many_tests_without_a_correction_raise_false_alarms(void **state)
{
    (void)state;
    assert_needed(TG_NO_MULTIPLICITY, "normal", 20, 100);
}

/* What was left out not only puts tests over their line: gates fail that must not. */
static void gates_within_the_tolerance_fail_without_order_or_rounds(void **state)
{
    (void)state;
    static const struct {
        enum tg_ablation left_out;
        const char *law;
    } rows[] = {{TG_FIXED_ORDER, "drift"}, {TG_POOLED_SAMPLES, "skewed"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_scene scene = scene_of(rows[i].law, rule.tolerance, 20);
        scene.sd = 0.03;
        scene.cells = scene.required_count = 50;
        assert_int_equal(run(scene).gates_failed, 0);
        scene.ablation = rows[i].left_out;
        struct tg_tally t = run(scene);
        assert_true(is_above(t.gates_failed, t.gates, limits.alpha_fail));
    }
}

static void an_ablation_is_found_by_its_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < tg_ablation_count(); i++)
        assert_int_equal(tg_ablation_find(tg_ablation_kind((enum tg_ablation)i)->name), i);
    assert_int_equal(tg_ablation_find("peek"), -1);
}

static void a_severity_begins_at_its_cut(void **state)
{
    (void)state;
    static const struct {
        double effect;
        int severity;
    } rows[] = {{-1e-3, 0}, {0.049, 0}, {0.05, 1}, {0.099, 1}, {0.1, 2}, {0.15, 3}, {9, 3}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(tg_simulate_severity(&rule, log1p(rows[i].effect)), rows[i].severity);
    rule.critical = NAN;
    assert_int_equal(tg_simulate_severity(&rule, log1p(0.5)), 2);
    assert_true(tg_simulate_theta(&rule, 0.25) == log1p(0.25));
    snprintf(rule.effect, sizeof rule.effect,
             "throughput"); /* a fifth less is 1.25 times as long */
    assert_true(fabs(tg_simulate_theta(&rule, 0.2) - log(1.25)) < 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_as_fast_passes_in_about_six_rounds, begin),
        cmocka_unit_test_setup(what_is_much_slower_fails_and_is_called_what_it_is, begin),
        cmocka_unit_test_setup(a_loss_of_what_is_better_higher_fails_as_well, begin),
        cmocka_unit_test_setup(intervals_hold_the_truth_wherever_a_test_stops, begin),
        cmocka_unit_test_setup(a_loss_that_all_tests_share_is_seen_by_their_family, begin),
        cmocka_unit_test_setup(threads_and_other_seeds_change_what_they_should, begin),
        cmocka_unit_test_setup(a_fixed_order_lets_drift_raise_false_alarms, begin),
        cmocka_unit_test_setup(samples_taken_for_rounds_raise_false_alarms, begin),
        cmocka_unit_test_setup(a_textbook_interval_looked_at_often_raises_false_alarms, begin),
        cmocka_unit_test_setup(many_tests_without_a_correction_raise_false_alarms, begin),
        cmocka_unit_test_setup(gates_within_the_tolerance_fail_without_order_or_rounds, begin),
        cmocka_unit_test_setup(an_ablation_is_found_by_its_name, begin),
        cmocka_unit_test_setup(a_severity_begins_at_its_cut, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
