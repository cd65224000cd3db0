/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/calibrate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "coordinator/import.h"
#include "coordinator/vocabulary.h"

static struct tg_policy policy;

/* The policy that is built in. */
static int begin(void **state)
{
    (void)state;
    struct tg_json_file file;
    struct tg_words words;
    assert_int_equal(tg_json_parse((const char *)tg_import_policy, &file, NULL), 0);
    assert_int_equal(tg_vocabulary_gather(NULL, 0, &words, NULL), 0);
    assert_int_equal(tg_policy_parse(&file, &words, &policy, NULL), 0);
    tg_vocabulary_release(&words);
    tg_json_release(&file);
    return 0;
}

static int end(void **state)
{
    (void)state;
    tg_policy_release(&policy);
    return 0;
}

/* A few small gates under all the promises. */
static struct tg_calibrate_options few(void)
{
    struct tg_calibrate_options o;
    tg_calibrate_defaults(&o);
    o.gates = 3;
    o.cells = 10;
    o.tests = 20;
    return o;
}

static struct tg_calibration calibrate(const struct tg_calibrate_options *o)
{
    struct tg_calibration c;
    assert_int_equal(tg_calibrate_begin(&policy, &c, NULL), 0);
    assert_int_equal(tg_calibrate_simulate(o, &c, NULL), 0);
    return c;
}

static size_t points_of(const struct tg_calibration *c, const char *part)
{
    size_t count = 0;
    for (size_t i = 0; i < c->point_count; i++) count += strcmp(c->points[i].part, part) == 0;
    return count;
}

static void a_promise_is_kept_open_or_broken_by_its_exact_interval(void **state)
{
    (void)state;
    static const struct {
        bool is_least;
        double share;
        size_t events, trials;
        enum tg_promise_state promised;
    } rows[] = {
        {false, 0.01, 0, 400, TG_KEPT},   {false, 0.01, 0, 100, TG_OPEN},
        {false, 0.01, 9, 100, TG_BROKEN}, {false, 0.01, 2, 100, TG_OPEN},
        {true, 0.99, 400, 400, TG_KEPT},  {true, 0.99, 100, 100, TG_OPEN},
        {true, 0.99, 90, 100, TG_BROKEN},
    };
    struct tg_calibration c;
    assert_int_equal(tg_calibrate_begin(&policy, &c, NULL), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tg_calibrate_promise(&c, rows[i].is_least, rows[i].share, rows[i].events, rows[i].trials,
                             "row %zu", i);
        assert_int_equal(c.promises[i].state, rows[i].promised);
        assert_int_equal(tg_calibrate_is_broken(&c), i >= 2);
    }
    tg_calibrate_promise(&c, true, 1, 0, 0, "nothing was tried");
    assert_int_equal(c.promise_count, sizeof rows / sizeof *rows);
    tg_calibrate_release(&c);
}

static void what_must_fail_is_above_what_the_rule_fails_from(void **state)
{
    (void)state;
    struct tg_rule rule = {.tolerance = 0.02, .margin = 0.05, .major = 0.1, .critical = 0.15};
    static const struct {
        const char *fail_from;
        double sure;
    } rows[] = {{"minor", 0.07}, {"major", 0.12}, {"critical", 0.17}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(rule.fail_from, sizeof rule.fail_from, "%s", rows[i].fail_from);
        assert_float_equal(tg_calibrate_sure(&rule), rows[i].sure, 1e-12);
    }
}

/* A run in which no test fails, but a family is over its line. */
static void a_run_that_its_family_fails_has_failed(void **state)
{
    (void)state;
    struct tg_capability worker = {.head.injected_percent = 0};
    struct tg_plan plan = {.workers = &worker, .required_count = 1};
    const struct tg_decision decision = {.families_over = 1};
    struct tg_limits *limits = &plan.policy.limits;
    *limits = (struct tg_limits){.alpha_fail = 0.01, .alpha_family = 0.0025, .family_watch = 1};
    for (int fails = 0; fails < 2; fails++) {
        struct tg_calibration c = {0};
        struct tg_point point = {.part = "farm"};
        limits->family_fail = fails;
        tg_calibrate_count(&c, &plan, &decision, &point);
        assert_int_equal(point.seen.families_over, 1);
        assert_int_equal(point.seen.gates_failed, fails);
        assert_int_equal(point.seen.gates_passed, !fails);
        assert_float_equal(tg_policy_alpha(limits), fails ? 0.0125 : 0.01, 1e-12);
    }
}

static void every_part_has_its_points_and_is_told(void **state)
{
    (void)state;
    struct tg_calibrate_options o = few();
    struct tg_calibration c = calibrate(&o);
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(points_of(&c, "gates"), 1);
    assert_int_equal(points_of(&c, "power"), o.effect_count);
    assert_int_equal(points_of(&c, "severity"), 5);
    assert_int_equal(points_of(&c, "families"), 0);
    assert_true(points_of(&c, "boundary") > 10);
    assert_int_equal(c.points[0].seen.gates, 3);
    assert_int_equal(c.points[0].seen.tests, 30);
    assert_int_equal(c.points[1].seen.tests, 20);
    assert_false(tg_calibrate_is_broken(&c));
    tg_calibrate_print(out, &c);
    fclose(out);
    assert_non_null(strstr(text, "skewed: a gate with nothing slower fails"));
    assert_non_null(strstr(text, "0 of 3"));
    assert_non_null(strstr(text, "\nNONE BROKEN  "));
    free(text);
    tg_calibrate_release(&c);
}

/* Gates are decided one by one, and none of them spans two sessions. */
static void failures_are_not_held_for_another_session(void **state)
{
    (void)state;
    static const double large = 0.25;
    struct tg_calibrate_options o = few();
    o.effects = &large;
    o.effect_count = 1;
    policy.limits.min_sessions = 2;
    struct tg_calibration c = calibrate(&o);
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    tg_calibrate_print(out, &c);
    fclose(out);
    policy.limits.min_sessions = 1;
    assert_string_equal(c.points[1].part, "power");
    assert_int_equal(c.points[1].seen.failed, o.tests);
    assert_false(tg_calibrate_is_broken(&c));
    assert_non_null(strstr(text,
                           "\nno failure is held for another session: each gate is decided by "
                           "itself, as if min_sessions were 1 and not 2\n"));
    free(text);
    tg_calibrate_release(&c);
}

static void families_all_laws_and_an_ablation_are_asked_for(void **state)
{
    (void)state;
    struct tg_calibrate_options o = few();
    o.families = 1;
    o.law = "all";
    o.effect_count = 1;
    struct tg_calibration c = calibrate(&o);
    assert_int_equal(points_of(&c, "gates"), tg_noise_law_count() - 1); /* nothing is recorded */
    assert_int_equal(points_of(&c, "families"), 2 * (tg_noise_law_count() - 1));
    tg_calibrate_release(&c);
    o.law = "skewed";
    o.has_ablation = true;
    o.ablation = TG_POOLED_SAMPLES;
    o.gates = 30;
    o.cells = 40;
    c = calibrate(&o);
    assert_int_equal(c.point_count, 2);
    assert_string_equal(c.points[1].name, "pooled-samples");
    assert_int_equal(c.promises[0].state == TG_BROKEN, 0);
    assert_int_equal(c.promises[2].state, TG_BROKEN);
    tg_calibrate_release(&c);
}

/* Writes the JSON of a calibration and reads it again. */
static void read_back(const struct tg_calibration *c, struct tg_json_file *file)
{
    char path[] = "/tmp/calibrate_XXXXXX";
    int made = mkstemp(path);
    assert_true(made >= 0);
    close(made);
    assert_int_equal(tg_calibrate_write(path, c, NULL), 0);
    assert_int_equal(tg_json_read(path, file, NULL), 0);
    unlink(path);
}

static void the_same_seed_gives_the_same_json_on_any_number_of_threads(void **state)
{
    (void)state;
    struct tg_calibrate_options o = few();
    struct tg_json_file one, three;
    struct tg_calibration c = calibrate(&o);
    read_back(&c, &one);
    tg_calibrate_release(&c);
    o.threads = 3;
    c = calibrate(&o);
    read_back(&c, &three);
    tg_calibrate_release(&c);
    assert_string_equal(one.text, three.text);
    const struct tg_json *point = tg_json_at(tg_json_get(one.root, "points"), 0);
    assert_string_equal(tg_json_text(tg_json_get(point, "part")), "gates");
    const struct tg_json *failed = tg_json_get(point, "gates_failed");
    assert_true(tg_json_number(tg_json_get(failed, "trials")) == 3);
    assert_true(fabs(tg_json_number(tg_json_get(failed, "high")) - 0.707598) < 1e-6);
    tg_json_release(&one);
    tg_json_release(&three);
}

static void power_is_drawn_for_each_noise(void **state)
{
    (void)state;
    struct tg_calibrate_options o = few();
    char path[] = "/tmp/calibrate_XXXXXX", text[1 << 16];
    struct tg_error err;
    o.law = "all";
    struct tg_calibration c = calibrate(&o);
    int made = mkstemp(path);
    assert_true(made >= 0);
    assert_int_equal(tg_calibrate_plot(path, &c, NULL), 0);
    ssize_t size = read(made, text, sizeof text - 1);
    assert_true(size > 0);
    text[size] = 0;
    close(made);
    unlink(path);
    assert_non_null(strstr(text, "<svg"));
    assert_non_null(strstr(text, "normal noise, sd 1.5 %"));
    assert_non_null(strstr(text, "over its line"));
    assert_null(strstr(text, "nan"));
    assert_int_equal(tg_calibrate_plot("/nowhere/f.svg", &c, &err), -1);
    assert_non_null(strstr(err.text, "cannot write '/nowhere/f.svg'"));
    tg_calibrate_release(&c);
}

/* What was left out for want of time is said, and makes no promise. */
static void a_budget_leaves_out_what_comes_later(void **state)
{
    (void)state;
    struct tg_calibrate_options o = few();
    o.budget_s = 1e-9;
    struct tg_calibration c = calibrate(&o);
    assert_int_equal(c.promise_count, 0);
    for (size_t i = 0; i < c.point_count; i++) assert_false(c.points[i].is_done);
    tg_calibrate_release(&c);
}

static void recorded_noise_is_a_law_like_others(void **state)
{
    (void)state;
    static const double rounds[] = {0.01, -0.01, 0.02, -0.02, 0.005, 0};
    struct tg_calibrate_options o = few();
    struct tg_noise_record record = {0};
    assert_int_equal(tg_noise_record_add(&record, rounds, 6, NULL), 0);
    o.record = &record;
    o.law = "recorded";
    struct tg_calibration c = calibrate(&o);
    assert_string_equal(c.points[0].name, "recorded");
    assert_true(isnan(c.points[0].sd));
    assert_int_equal(c.points[0].seen.tests, 30);
    tg_calibrate_release(&c);
    tg_noise_record_release(&record);
}

static void a_policy_without_the_rule_is_refused(void **state)
{
    (void)state;
    const struct tg_policy none = {.rule_count = 0};
    struct tg_calibration c;
    struct tg_error err;
    assert_int_equal(tg_calibrate_begin(&none, &c, &err), -1);
    assert_non_null(strstr(err.text, "has no rule 'noninferior'"));
    struct tg_noise_record record;
    assert_int_equal(tg_calibrate_record("/", &record, &err), -1); /* a directory, but no run */
    assert_int_equal(tg_calibrate_record("/nowhere", &record, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_promise_is_kept_open_or_broken_by_its_exact_interval),
        cmocka_unit_test(what_must_fail_is_above_what_the_rule_fails_from),
        cmocka_unit_test(a_run_that_its_family_fails_has_failed),
        cmocka_unit_test(every_part_has_its_points_and_is_told),
        cmocka_unit_test(failures_are_not_held_for_another_session),
        cmocka_unit_test(families_all_laws_and_an_ablation_are_asked_for),
        cmocka_unit_test(the_same_seed_gives_the_same_json_on_any_number_of_threads),
        cmocka_unit_test(power_is_drawn_for_each_noise),
        cmocka_unit_test(a_budget_leaves_out_what_comes_later),
        cmocka_unit_test(recorded_noise_is_a_law_like_others),
        cmocka_unit_test(a_policy_without_the_rule_is_refused),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
