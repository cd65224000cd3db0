/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/course.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/made_history.h"

static struct tg_watch watch;

static int begin(void **state)
{
    static struct tg_history h;
    tg_record_init(&tg_watch_type, &watch);
    made_history(&h);
    *state = &h;
    return 0;
}

static int end(void **state)
{
    tg_store_history_release(*state);
    return 0;
}

static void compare(const struct tg_history *h, struct tg_course *c)
{
    struct tg_error err;
    if (tg_course_compare(h, 0, &watch, c, &err) < 0) fail_msg("%s", err.text);
}

static void absolute(const struct tg_history *h, struct tg_course *c)
{
    struct tg_error err;
    if (tg_course_absolute(h, 0, &watch, c, &err) < 0) fail_msg("%s", err.text);
}

static void heads_against_one_base_are_levels(void **state)
{
    struct tg_history *h = *state;
    struct tg_course c;
    for (int i = 0; i < 24; i++)
        made_past(h, 100 + i, 1, 0.004 * made_noise(i) + (i < 14 ? 0 : 0.03), 0.01, 1e-4);
    compare(h, &c);
    assert_int_equal(c.kind, TG_COURSE_COMPARED);
    assert_int_equal(c.count, 24);
    assert_int_equal(c.step_count, 1);
    assert_int_equal(c.steps[0].point, 14);
    assert_int_equal(c.points[14].run, 14);
    assert_true(c.steps[0].interval.low < 0.03 && c.steps[0].interval.high > 0.03);
    assert_true(c.steps[0].interval.low > 0.02 && c.steps[0].interval.high < 0.04);
    assert_true(c.steps[0].p_value > 0 && c.steps[0].p_value <= 0.01);
    assert_false(c.creep.is_found);
    tg_course_release(&c);
}

static void a_quiet_history_shows_nothing(void **state)
{
    struct tg_history *h = *state;
    struct tg_course c;
    for (int i = 0; i < 40; i++)
        made_past(h, 100 + i, 1, 0.004 * made_noise(i), 0.01, 1e-4 * exp(0.01 * made_noise(i + 3)));
    compare(h, &c);
    assert_int_equal(c.count, 40);
    assert_true(c.step_count == 0 && !c.creep.is_found);
    tg_course_release(&c);
    absolute(h, &c);
    assert_int_equal(c.kind, TG_COURSE_ABSOLUTE);
    assert_true(c.count == 40 && c.step_count == 0 && !c.creep.is_found);
    tg_course_release(&c);
}

/* Each build is compared with the one before it. Every run passes. */
static void a_line_of_builds_is_summed_and_its_creep_is_found(void **state)
{
    struct tg_history *h = *state;
    struct tg_course c;
    for (int i = 0; i < 30; i++)
        made_past(h, i + 2, i + 1, 0.003 * made_noise(i) + (i < 20 ? 0 : 0.005), 0.02, 1e-4);
    compare(h, &c);
    assert_int_equal(c.kind, TG_COURSE_SUMMED);
    assert_int_equal(c.count, 30);
    assert_int_equal(c.step_count, 0);
    assert_true(c.creep.is_found);
    assert_true(c.creep.count == 10 || c.creep.count == 20); /* the windows that hold it */
    assert_int_equal(c.creep.first, 30 - c.creep.count);
    assert_true(c.creep.interval.low > 0 && c.creep.interval.low < 0.0513);
    assert_true(c.creep.interval.high > 0.0513 && c.creep.interval.high < 0.1);
    double sum = 0;
    for (int i = 0; i < 30; i++) sum += log1p(h->verdicts[i].estimate);
    assert_float_equal(c.points[29].value, sum, 1e-12);
    assert_float_equal(c.points[29].ends.high - sum, 0.02, 1e-12);
    tg_course_release(&c);
}

/* A release that was once a head itself: what was compared with it since is more than its line. */
static void heads_against_a_base_that_was_judged_itself_are_levels(void **state)
{
    struct tg_history *h = *state;
    struct tg_course c;
    made_past(h, 1, 99, 0.001, 0.01, 1e-4);
    for (int i = 0; i < 30; i++)
        made_past(h, 100 + i, 1, 0.001 * i + 0.002 * made_noise(i), 0.03, 1e-4);
    compare(h, &c);
    assert_int_equal(c.kind, TG_COURSE_COMPARED);
    assert_int_equal(c.count, 30);
    assert_int_equal(c.points[0].run, 1);
    assert_true(c.creep.is_found);
    tg_course_release(&c);
}

static void a_head_that_is_measured_often_is_one_on_its_line(void **state)
{
    struct tg_history *h = *state;
    struct tg_course c;
    made_past(h, 2, 1, 0.01, 0.02, 1e-4);
    for (int i = 0; i < 5; i++) made_past(h, 3, 2, 0.02, 0.02, 1e-4);
    compare(h, &c);
    assert_int_equal(c.kind, TG_COURSE_SUMMED);
    assert_int_equal(c.count, 2);
    assert_float_equal(c.points[1].value, 0.03, 1e-12);
    tg_course_release(&c);
}

static void one_step_in_a_line_of_builds_is_named_by_its_own_run(void **state)
{
    struct tg_history *h = *state;
    struct tg_course c;
    for (int i = 0; i < 30; i++)
        made_past(h, i + 2, i + 1, 0.003 * made_noise(i) + (i == 17 ? 0.03 : 0), 0.01, 1e-4);
    compare(h, &c);
    assert_int_equal(c.step_count, 1);
    assert_int_equal(c.steps[0].point, 17);
    assert_true(isnan(c.steps[0].p_value));
    assert_float_equal(c.steps[0].size, h->verdicts[17].estimate, 1e-12);
    assert_float_equal(c.steps[0].interval.low, h->verdicts[17].low, 1e-12);
    assert_false(c.creep.is_found);
    tg_course_release(&c);
}

/* Branches that were never merged are not on the line; a comparison made twice counts once. */
static void only_the_ancestors_of_the_last_head_are_on_its_line(void **state)
{
    struct tg_history *h = *state;
    struct tg_course c;
    made_past(h, 2, 1, 0.01, 0.02, 1e-4);
    made_past(h, 90, 2, 0.07, 0.02, 1e-4); /* a branch */
    made_past(h, 3, 2, 0.02, 0.02, 1e-4);
    made_past(h, 3, 2, 0.04, 0.04, 1e-4); /* once more */
    made_past(h, 3, 3, 0.5, 0.1, 1e-4);   /* A/A */
    made_past(h, 70, 60, 0.5, 0.1, 1e-4); /* of another tree */
    made_past(h, 4, 3, 0.05, 0.02, 1e-4);
    compare(h, &c);
    assert_int_equal(c.kind, TG_COURSE_SUMMED);
    assert_int_equal(c.count, 3);
    const size_t runs[] = {0, 2, 6};
    const double sums[] = {0.01, 0.04, 0.09};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(c.points[i].run, runs[i]);
        assert_float_equal(c.points[i].value, sums[i], 1e-12);
    }
    assert_float_equal(c.points[1].ends.high, 0.01 + 0.03 + 0.03, 1e-12);
    tg_course_release(&c);
}

static void a_build_that_went_back_does_not_loop(void **state)
{
    struct tg_history *h = *state;
    struct tg_course c;
    made_past(h, 2, 1, 0.01, 0.02, 1e-4);
    made_past(h, 1, 2, -0.01, 0.02, 1e-4);
    made_past(h, 2, 1, 0.01, 0.02, 1e-4);
    compare(h, &c);
    assert_int_equal(c.kind, TG_COURSE_SUMMED);
    assert_int_equal(c.count, 3);
    tg_course_release(&c);
}

static void what_was_held_against_stored_numbers_is_no_pair(void **state)
{
    struct tg_history *h = *state;
    struct tg_course c;
    for (int i = 0; i < 24; i++) {
        struct tg_history_verdict *v = made_past(h, 100 + i, 1, i < 12 ? 0 : 0.03, 0.01, 1e-4);
        if (i >= 12) v->of_median = v->to_median = NAN;
    }
    compare(h, &c);
    assert_true(c.count == 12 && c.step_count == 0);
    tg_course_release(&c);
}

static void another_model_file_begins_another_course(void **state)
{
    struct tg_history *h = *state;
    struct tg_course c;
    for (int i = 0; i < 24; i++) {
        made_past(h, 100 + i, 1, i < 12 ? 0 : 0.03, 0.01, i < 12 ? 1e-4 : 2e-4);
        snprintf(h->runs[i].model, sizeof h->runs[i].model, "%d", i / 12);
    }
    for (int is_file = 0; is_file < 2; is_file++) {
        snprintf(h->tests[0].of, sizeof h->tests[0].of, "probe=decode model=%s",
                 is_file ? "gguf" : "bitnet-2b");
        compare(h, &c);
        assert_int_equal(c.count, is_file ? 12 : 24);
        tg_course_release(&c);
        absolute(h, &c);
        assert_int_equal(c.count, is_file ? 12 : 24);
        assert_int_equal(c.step_count, !is_file);
        tg_course_release(&c);
    }
}

static void runs_are_taken_in_the_order_of_their_dates(void **state)
{
    struct tg_history *h = *state;
    struct tg_course c;
    for (int i = 0; i < 3; i++) made_past(h, 100 + i, 1, 0.01 * i, 0.01, 1e-4);
    snprintf(h->runs[0].date, sizeof h->runs[0].date, "2027-01-01T00:00:00Z");
    compare(h, &c);
    assert_int_equal(c.count, 3);
    assert_true(c.points[0].run == 1 && c.points[1].run == 2 && c.points[2].run == 0);
    tg_course_release(&c);
}

/* The machine became slower by 5 %; beside canaries that did so too, nothing happened. */
static void canaries_take_the_machine_out(void **state)
{
    struct tg_history *h = *state;
    struct tg_course c;
    for (int i = 0; i < 24; i++) {
        double machine = i < 12 ? 1 : 1.05, noise = 0.002 * made_noise(i);
        struct tg_history_verdict *v = made_past(h, 100 + i, 1, 0, 0.01,
                                                 1e-4 * machine * exp(noise));
        v->canary_read_s = 1e-3 * machine;
        v->canary_dot_s = 1e-3 * exp(0.02 * made_noise(i + 5));
    }
    absolute(h, &c);
    assert_int_equal(c.kind, TG_COURSE_RELATIVE);
    assert_true(c.count == 24 && c.step_count == 0 && !c.creep.is_found);
    assert_float_equal(exp(c.points[0].value), 0.1, 1e-3); /* the quieter of the two was taken */
    tg_course_release(&c);
    for (int i = 0; i < 24; i++) h->verdicts[i].canary_read_s = h->verdicts[i].canary_dot_s = NAN;
    absolute(h, &c);
    assert_int_equal(c.kind, TG_COURSE_ABSOLUTE);
    assert_int_equal(c.step_count, 1);
    assert_int_equal(c.steps[0].point, 12);
    assert_float_equal(c.steps[0].size, 0.05, 0.004);
    tg_course_release(&c);
}

/* A run without canaries, and one with others, have no point beside those of the last run. */
static void runs_with_other_canaries_than_the_last_are_left_out(void **state)
{
    struct tg_history *h = *state;
    struct tg_course c;
    for (int i = 0; i < 24; i++) {
        double machine = i < 12 ? 1 : 1.05;
        struct tg_history_verdict *v = made_past(h, 100 + i, 1, 0, 0.01,
                                                 1e-4 * machine * exp(0.002 * made_noise(i)));
        v->canary_read_s = v->canary_dot_s = 1e-3 * machine;
    }
    snprintf(h->verdicts[3].canary, sizeof h->verdicts[3].canary, "another");
    h->verdicts[17].canary_read_s = h->verdicts[17].canary_dot_s = NAN;
    absolute(h, &c);
    assert_int_equal(c.kind, TG_COURSE_RELATIVE);
    assert_true(c.count == 22 && c.step_count == 0 && !c.creep.is_found);
    assert_true(c.points[2].run == 2 && c.points[3].run == 4);
    tg_course_release(&c);
    for (int others = 7; others <= 8; others++) { /* of the last runs: too few, and enough */
        for (int i = 24 - others; i < 24; i++)
            snprintf(h->verdicts[i].canary, sizeof h->verdicts[i].canary, "new");
        h->verdicts[17].canary_read_s = 1.05e-3;
        absolute(h, &c);
        assert_int_equal(c.kind, others == 8 ? TG_COURSE_RELATIVE : TG_COURSE_ABSOLUTE);
        assert_int_equal(c.count, others == 8 ? 8 : 24);
        tg_course_release(&c);
    }
}

static void what_creep_explains_is_no_step(void **state)
{
    struct tg_history *h = *state;
    struct tg_course c;
    for (int i = 0; i < 40; i++)
        made_past(h, 100 + i, 1, 0.002 * made_noise(i) + 0.005 * i, 0.01, 1e-4);
    compare(h, &c);
    assert_true(c.creep.is_found);
    assert_true(c.creep.total > 0.15);
    assert_int_equal(c.creep.count, 40);
    assert_int_equal(c.step_count, 0);
    tg_course_release(&c);
}

static void a_test_of_one_cell_is_followed_by_its_value(void **state)
{
    struct tg_history *h = *state;
    struct tg_course c;
    h->tests[0] = (struct tg_history_test){"floor", "kernel_accuracy", "kernel=i2s_avx2", ""};
    for (int i = 0; i < 24; i++) {
        struct tg_history_verdict *v = made_past(h, 100 + i, 1, 0, 0, NAN);
        v->estimate = i < 12 ? 0.9999 : 0.98;
        v->low = v->high = v->estimate;
        v->of_median = v->to_median = NAN;
        v->canary_dot_s = v->canary_read_s = 1e-3 * (1 + i % 2); /* is no unit of accuracy */
    }
    compare(h, &c);
    assert_int_equal(c.count, 0);
    tg_course_release(&c);
    absolute(h, &c);
    assert_int_equal(c.kind, TG_COURSE_ABSOLUTE);
    assert_int_equal(c.count, 24);
    assert_int_equal(c.step_count, 1);
    assert_int_equal(c.steps[0].point, 12);
    tg_course_release(&c);
    h->verdicts[3].estimate = 0; /* has no logarithm */
    absolute(h, &c);
    assert_int_equal(c.count, 0);
    tg_course_release(&c);
}

/* However many runs ago one did not know what head took, the others are followed. */
static void a_run_that_does_not_know_its_time_has_no_point(void **state)
{
    struct tg_history *h = *state;
    struct tg_course c;
    for (int i = 0; i < 50; i++)
        made_past(h, 100 + i, 1, 0, 0.01, (i < 38 ? 1e-4 : 1.05e-4) * exp(0.002 * made_noise(i)));
    h->verdicts[0].of_median = h->verdicts[30].of_median = NAN;
    absolute(h, &c);
    assert_int_equal(c.count, 48);
    assert_int_equal(c.points[0].run, 1);
    assert_int_equal(c.step_count, 1);
    assert_int_equal(c.points[c.steps[0].point].run, 38);
    tg_course_release(&c);
    watch.runs_max = 20;
    h->verdicts[29].of_median = 0; /* has no logarithm, and is one of the last 20 no more */
    absolute(h, &c);
    assert_int_equal(c.count, 0);
    tg_course_release(&c);
    watch.runs_max = 19;
    absolute(h, &c);
    assert_int_equal(c.count, 19);
    assert_int_equal(c.points[0].run, 31);
    tg_course_release(&c);
}

static void only_the_last_runs_are_looked_at(void **state)
{
    struct tg_history *h = *state;
    struct tg_course c;
    watch.runs_max = 20;
    for (int i = 0; i < 50; i++)
        made_past(h, 100 + i, 1, i < 30 ? 0 : 0.05, 0.01, i < 30 ? 1e-4 : 2e-4);
    for (int which = 0; which < 2; which++) {
        if (which)
            absolute(h, &c);
        else
            compare(h, &c);
        assert_int_equal(c.count, 20);
        assert_int_equal(c.points[0].run, 30);
        assert_int_equal(c.step_count, 0);
        tg_course_release(&c);
    }
}

static void numbers_that_cannot_be_used_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "level=0",    "level=1",         "confidence=1",         "segment_min=1", "creep_min=1",
        "runs_max=0", "permutations=98", "permutations=9999999", "level=0.0001"};
    struct tg_error err;
    assert_int_equal(tg_course_check(&watch, &err), 0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct tg_watch w;
        tg_record_init(&tg_watch_type, &w);
        assert_int_equal(tg_record_parse(&tg_watch_type, &w, texts[i], &err), 0);
        if (tg_course_check(&w, &err) == 0) fail_msg("taken: %s", texts[i]);
    }
    watch.permutations = 99;
    assert_int_equal(tg_course_check(&watch, &err), 0);
}

/* Two rules of a policy, of other margins, that ask the same of a pair: the first by stored
 * numbers. */
static void a_run_that_asks_twice_has_one_point(void **state)
{
    struct tg_history *h = *state;
    struct tg_course c;
    for (int i = 0; i < 9; i++) {
        const struct tg_history_verdict first = *made_past(h, 100 + i, 1, 0.01, 0.02, 1e-4);
        h->verdicts[h->verdict_count] = first;
        h->verdicts[h->verdict_count - 1].of_median = NAN;
        h->verdicts[h->verdict_count++ - 1].to_median = NAN;
    }
    compare(h, &c);
    assert_int_equal(c.count, 9);
    for (size_t i = 0; i < c.count; i++) assert_int_equal(c.points[i].run, i);
    tg_course_release(&c);
    absolute(h, &c);
    assert_int_equal(c.count, 9);
    tg_course_release(&c);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(heads_against_one_base_are_levels),
        TEST(a_quiet_history_shows_nothing),
        TEST(a_line_of_builds_is_summed_and_its_creep_is_found),
        TEST(heads_against_a_base_that_was_judged_itself_are_levels),
        TEST(a_head_that_is_measured_often_is_one_on_its_line),
        TEST(one_step_in_a_line_of_builds_is_named_by_its_own_run),
        TEST(only_the_ancestors_of_the_last_head_are_on_its_line),
        TEST(a_build_that_went_back_does_not_loop),
        TEST(what_was_held_against_stored_numbers_is_no_pair),
        TEST(another_model_file_begins_another_course),
        TEST(runs_are_taken_in_the_order_of_their_dates),
        TEST(canaries_take_the_machine_out),
        TEST(runs_with_other_canaries_than_the_last_are_left_out),
        TEST(what_creep_explains_is_no_step),
        TEST(a_test_of_one_cell_is_followed_by_its_value),
        TEST(a_run_that_does_not_know_its_time_has_no_point),
        TEST(only_the_last_runs_are_looked_at),
        TEST(a_run_that_asks_twice_has_one_point),
        TEST(numbers_that_cannot_be_used_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
