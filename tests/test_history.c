/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/acceptance.h"
#include "tests/made_history.h"
#include "tests/made_run.h"
#include "tests/run_directory.h"

static const char matrix[] =
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"],"
    " \"kernel\": [\"i2s_avx2\", \"i2s_scalar\"], \"layer\": [\"640x2560\"]}}";
static const char policy[] =
    "{\"tritgate_policy\": 1, \"flow\": \"review\", \"rules\": ["
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"where\": \"kernel=i2s_avx2\","
    " \"axis\": \"build\", \"of\": \"head\", \"to\": \"base\", \"tolerance\": 0.02,"
    " \"margin\": 0.05},"
    "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.99}]}";

/* Makes a sealed run of six rounds, decided; base is the digest of its base, or NULL. */
static void decide(const char *base, double d, struct tg_plan *plan, struct tg_run *run,
                   struct tg_decision *decision)
{
    struct tg_error err;
    struct tg_capability worker = made_worker("a", base);
    *run = (struct tg_run){.is_sealed = 1};
    run->plan = tg_plan_text(&made_asked, &worker, 1);
    struct tg_asked asked = made_asked;
    asked.is_same = base && strcmp(base, MADE_HEAD) == 0;
    made_plan(matrix, policy, &worker, 1, &asked, plan);
    size_t pair = made_test(plan, 0, "i2s_avx2", 1);
    made_rounds(run, plan, pair, 0, 6, d, 0.002);
    for (int64_t r = 0; r < 3; r++)
        made_fixed(run, plan, made_test(plan, 1, "i2s_avx2", 1), r, 0.9999);
    for (size_t i = 0; i < run->count; i++)
        if (base && strcmp(run->rows[i].cell.build, "base") == 0)
            snprintf(run->rows[i].facts.library, sizeof run->rows[i].facts.library, "%s", base);
    snprintf(run->evidence, sizeof run->evidence, "%064d", 12);
    if (tg_gate_decide(plan, run, decision, &err) < 0) fail_msg("%s", err.text);
}

static void release(struct tg_plan *plan, struct tg_run *run, struct tg_decision *decision)
{
    tg_gate_release(decision);
    tg_plan_release(plan);
    tg_store_release(run);
}

static void verdicts_with_an_estimate_are_taken(void **state)
{
    (void)state;
    struct tg_plan plan;
    struct tg_run run;
    struct tg_decision decision;
    struct tg_history h;
    struct tg_error err;
    decide(MADE_BASE, 0.03, &plan, &run, &decision);
    assert_int_equal(tg_history_accept(&plan, &run, &err), 0);
    assert_int_equal(tg_history_take(&plan, &run, &decision, 0, &h, &err), 0);
    assert_string_equal(h.hardware, "unknown");
    assert_int_equal(h.run_count, 1);
    assert_int_equal(h.test_count, 2); /* the accuracy of the other kernel was not measured */
    assert_int_equal(h.verdict_count, 2);
    assert_string_equal(h.runs[0].date, decision.date);
    assert_string_equal(h.runs[0].evidence, run.evidence);
    assert_string_equal(h.runs[0].flow, "review");
    assert_string_equal(h.runs[0].cpu, "A_Processor");
    assert_string_equal(h.runs[0].head, MADE_HEAD);
    assert_string_equal(h.runs[0].base, MADE_BASE);
    const struct tg_history_verdict *v = &h.verdicts[0];
    const struct tg_verdict *from = &decision.verdicts[made_test(&plan, 0, "i2s_avx2", 1)];
    assert_string_equal(h.tests[v->test].rule, "noninferior");
    assert_string_equal(h.tests[v->test].of, "probe=kernel kernel=i2s_avx2 layer=640x2560");
    assert_string_equal(h.tests[v->test].to,
                        "probe=kernel kernel=i2s_avx2 build=base layer=640x2560");
    assert_string_equal(v->answer, tg_gate_word(from->answer));
    assert_string_equal(v->word, from->word);
    assert_true(v->estimate == from->estimate && v->low == from->interval.low);
    assert_true(v->high == from->interval.high && v->of_median == from->of_median);
    assert_true(v->to_median == from->to_median && v->rounds == (int64_t)from->rounds);
    assert_true(!v->is_shadow && isnan(v->canary_read_s));
    assert_false(tg_history_is_null(&h, v));
    assert_string_equal(h.tests[h.verdicts[1].test].to, "");
    tg_store_history_release(&h);
    release(&plan, &run, &decision);
}

/* Whoever accepted it, an alarm was one; but what is held has not failed. */
static void an_accepted_loss_is_kept_as_it_was_judged(void **state)
{
    (void)state;
    static const struct {
        bool is_accepted, is_held;
        const char *answer;
    } rows[] = {{false, false, "pass"}, {true, false, "fail"}, {true, true, "inconclusive"}};
    static const struct tg_accepted entry;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_plan plan;
        struct tg_run run;
        struct tg_decision decision;
        struct tg_history h;
        struct tg_error err;
        decide(MADE_BASE, 0, &plan, &run, &decision);
        struct tg_verdict *v = &decision.verdicts[made_test(&plan, 0, "i2s_avx2", 1)];
        v->answer = TG_PASS; /* as the gate answers with a loss that is accepted */
        v->accepted = rows[i].is_accepted ? &entry : NULL;
        v->is_held = rows[i].is_held;
        assert_int_equal(tg_history_take(&plan, &run, &decision, 0, &h, &err), 0);
        assert_string_equal(h.verdicts[0].answer, rows[i].answer);
        v->accepted = NULL;
        tg_store_history_release(&h);
        release(&plan, &run, &decision);
    }
}

static void take(const struct tg_plan *plan, const struct tg_run *run,
                 const struct tg_decision *decision, char origin[TG_DIGEST_SIZE])
{
    struct tg_history h;
    struct tg_error err;
    assert_int_equal(tg_history_take(plan, run, decision, 0, &h, &err), 0);
    memcpy(origin, h.runs[0].origin, TG_DIGEST_SIZE);
    tg_store_history_release(&h);
}

static void a_run_that_is_gone_on_with_keeps_its_origin(void **state)
{
    (void)state;
    char origin[TG_DIGEST_SIZE], other[TG_DIGEST_SIZE];
    struct tg_plan plan;
    struct tg_run run;
    struct tg_decision decision;
    decide(MADE_BASE, 0.03, &plan, &run, &decision);
    for (size_t i = 0; i < run.count; i++) {
        run.rows[i].attempt = 1;
        snprintf(run.rows[i].facts.date, TG_TEXT_SIZE, "2026-01-02T03:04:%02zuZ", i);
    }
    take(&plan, &run, &decision, origin);
    assert_int_equal(strlen(origin), 64);
    size_t before = run.count;
    made_rounds(&run, &plan, made_test(&plan, 0, "i2s_avx2", 1), 6, 9, 0.03, 0.002);
    for (size_t i = before; i < run.count; i++) run.rows[i].attempt = 2;
    struct tg_measurement first = run.rows[0], *last = &run.rows[run.count - 1];
    run.rows[0] = *last; /* in whatever order they are read */
    *last = first;
    take(&plan, &run, &decision, other);
    assert_string_equal(other, origin);
    last->facts.pid++;
    take(&plan, &run, &decision, other);
    assert_string_not_equal(other, origin);
    last->facts.pid--;
    snprintf(plan.asked.seed, sizeof plan.asked.seed, "8");
    take(&plan, &run, &decision, other);
    assert_string_not_equal(other, origin);
    release(&plan, &run, &decision);
}

static void the_model_file_is_taken_where_it_was_measured(void **state)
{
    (void)state;
    struct tg_plan plan;
    struct tg_run run;
    struct tg_decision decision;
    struct tg_error err;
    decide(MADE_BASE, 0.03, &plan, &run, &decision);
    snprintf(plan.workers[0].head.model_digest, TG_DIGEST_SIZE, "%s", MADE_BASE);
    for (int is_file = 0; is_file < 2; is_file++) {
        struct tg_history h;
        if (is_file) snprintf(plan.spec.tests[0].of.model, TG_TEXT_SIZE, "gguf");
        assert_int_equal(tg_history_take(&plan, &run, &decision, 0, &h, &err), 0);
        assert_string_equal(h.runs[0].model, is_file ? MADE_BASE : "");
        tg_store_history_release(&h);
    }
    release(&plan, &run, &decision);
}

/* Sets a fact by its name; false where this version has no such fact. */
static bool set_fact(struct tg_measurement *m, const char *name, const char *value)
{
    return tg_record_field(&tg_facts_type, name) &&
           tg_record_set(&tg_facts_type, &m->facts, name, value, NULL) == 0;
}

/* Of the rows of `of` alone; not where rows had other canaries. */
static void canaries_are_taken_where_all_rows_had_the_same(void **state)
{
    (void)state;
    struct tg_error err;
    for (int others = 0; others < 2; others++) {
        struct tg_plan plan;
        struct tg_run run;
        struct tg_decision decision;
        struct tg_history h;
        bool is_known = true;
        decide(MADE_BASE, 0, &plan, &run, &decision);
        for (size_t i = 0; i < run.count; i++) {
            bool is_of = strcmp(run.rows[i].cell.build, "head") == 0;
            is_known = set_fact(&run.rows[i], "canary", others && i == 4 ? "c2" : "c1") &&
                       set_fact(&run.rows[i], "canary_dot_s", is_of ? "0.25" : "9") &&
                       set_fact(&run.rows[i], "canary_read_s", i == 2 ? "none" : "0.5");
        }
        assert_int_equal(tg_history_take(&plan, &run, &decision, 0, &h, &err), 0);
        const struct tg_history_verdict *v = &h.verdicts[0];
        if (is_known && !others) {
            assert_string_equal(v->canary, "c1");
            assert_true(v->canary_dot_s == 0.25 && v->canary_read_s == 0.5);
        } else {
            assert_string_equal(v->canary, "unknown");
            assert_true(isnan(v->canary_dot_s) && isnan(v->canary_read_s));
        }
        tg_store_history_release(&h);
        release(&plan, &run, &decision);
    }
}

static void runs_that_are_none_to_remember_are_refused(void **state)
{
    (void)state;
    struct tg_error err;
    for (int i = 0; i < 6; i++) {
        static const char *const reasons[] = {"it was not ended in order; run --resume ends it",
                                              "head is slowed by 7 % on purpose",
                                              "base was built with assertions in it",
                                              "a library was changed while it was measured",
                                              "it was imported, not measured here",
                                              ""};
        struct tg_plan plan;
        struct tg_run run;
        struct tg_decision decision;
        decide(MADE_BASE, 0, &plan, &run, &decision);
        if (i == 0) run.is_sealed = 0;
        if (i == 1) plan.workers[0].head.injected_percent = 7;
        if (i == 2) plan.workers[0].base.is_debug = 1;
        if (i == 3) run.rows[2].facts.library[0] = 'f';
        if (i == 4) plan.asked.is_imported = true;
        int rc = tg_history_accept(&plan, &run, &err);
        assert_int_equal(rc, i == 5 ? 0 : -1);
        if (rc < 0) assert_string_equal(err.text, reasons[i]);
        release(&plan, &run, &decision);
    }
}

static void a_class_without_estimates_has_no_run(void **state)
{
    (void)state;
    struct tg_plan plan;
    struct tg_run run;
    struct tg_decision decision;
    struct tg_history h;
    struct tg_error err;
    decide(MADE_BASE, 0, &plan, &run, &decision);
    for (size_t i = 0; i < decision.verdict_count; i++) decision.verdicts[i].estimate = NAN;
    assert_int_equal(tg_history_take(&plan, &run, &decision, 0, &h, &err), 0);
    assert_true(h.run_count == 0 && h.verdict_count == 0);
    tg_store_history_release(&h);
    release(&plan, &run, &decision);
}

static void a_build_against_itself_is_a_null(void **state)
{
    (void)state;
    static const char *const bases[] = {NULL, MADE_HEAD, MADE_BASE};
    for (int i = 0; i < 3; i++) {
        struct tg_plan plan;
        struct tg_run run;
        struct tg_decision decision;
        struct tg_history h;
        struct tg_error err;
        decide(bases[i], 0, &plan, &run, &decision);
        assert_int_equal(tg_history_take(&plan, &run, &decision, 0, &h, &err), 0);
        assert_int_equal(h.verdict_count, 2);
        assert_int_equal(h.verdicts[0].is_shadow, i == 0);
        assert_int_equal(tg_history_is_null(&h, &h.verdicts[0]), i != 2);
        assert_false(tg_history_is_null(&h, &h.verdicts[1])); /* it compares nothing */
        tg_store_history_release(&h);
        release(&plan, &run, &decision);
    }
}

/* 40 runs of a build against itself, in which one test failed, beside 10 that compare builds. */
static void false_alarms_are_counted_over_all_classes(void **state)
{
    (void)state;
    struct tg_alarms a;
    struct tg_error err;
    char text[256];
    size_t added;
    assert_int_equal(tg_history_alarms(run_directory, &a, &err), 0);
    assert_true(a.tests == 0 && a.runs == 0 && a.tests_most == 1);
    assert_string_equal(tg_history_alarms_text(&a, text, sizeof text),
                        "false alarms so far: none, for no run compared a build with itself");
    for (int class = 0; class < 2; class ++) {
        struct tg_history h;
        made_history(&h);
        snprintf(h.hardware, sizeof h.hardware, "class-%d", class);
        for (int i = 0; i < 25; i++) {
            made_past(&h, 7, i < 20 ? 7 : 8, 0, 0.01, 1e-4);
            snprintf(h.runs[i].origin, TG_DIGEST_SIZE, "run %d of class %d", i, class);
        }
        for (int64_t i = 0; i < 20; i++) { /* a second test of these runs, beside the first */
            h.verdicts[h.verdict_count] = h.verdicts[i];
            h.verdicts[h.verdict_count++].test = 1;
        }
        h.tests[h.test_count] = h.tests[0];
        snprintf(h.tests[h.test_count++].metric, TG_TEXT_SIZE, "other_time");
        h.verdicts[h.verdict_count] = h.verdicts[0]; /* held against stored numbers */
        h.verdicts[h.verdict_count].of_median = h.verdicts[h.verdict_count].to_median = NAN;
        h.verdicts[h.verdict_count++].test = 1;
        if (class) snprintf(h.verdicts[3].answer, sizeof h.verdicts[3].answer, "fail");
        snprintf(h.verdicts[22].answer, sizeof h.verdicts[22].answer, "fail"); /* no null */
        assert_int_equal(tg_store_history_add(run_directory, &h, &added, &err), 0);
        assert_int_equal(added, 25);
        tg_store_history_release(&h);
    }
    assert_int_equal(tg_history_alarms(run_directory, &a, &err), 0);
    assert_true(a.runs == 40 && a.failed_runs == 1 && a.tests == 80 && a.failed == 1);
    /* The chance p at which 1 of n or fewer is seen once in 20: (1-p)^n + n p (1-p)^(n-1). */
    const double n[] = {40, 80}, p[] = {a.runs_most, a.tests_most};
    for (int i = 0; i < 2; i++)
        assert_float_equal(pow(1 - p[i], n[i]) + n[i] * p[i] * pow(1 - p[i], n[i] - 1), 0.05, 1e-9);
    assert_string_equal(tg_history_alarms_text(&a, text, sizeof text),
                        "false alarms so far: 1 of 40 runs (at most 11.3 %), 1 of 80 tests (at "
                        "most 5.79 %)");
    assert_int_equal(tg_history_alarms(run_path("none"), &a, &err), -1);
}

/* Though none of its tests did. What is not compared with itself has not failed wrongly. */
static void a_run_that_its_family_failed_is_a_false_alarm(void **state)
{
    (void)state;
    static const struct {
        const char *base, *family;
    } rows[] = {{MADE_HEAD, "fail"}, {MADE_HEAD, "pass"}, {MADE_BASE, "fail"}, {NULL, "pass"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_plan plan;
        struct tg_run run;
        struct tg_decision decision;
        struct tg_history h;
        size_t added;
        decide(rows[i].base, 0, &plan, &run, &decision);
        assert_int_equal(tg_history_take(&plan, &run, &decision, 0, &h, NULL), 0);
        assert_string_equal(h.runs[0].family, "pass");
        tg_store_history_release(&h);
        decision.families_over = 1;
        plan.policy.limits.family_fail = strcmp(rows[i].family, "fail") == 0;
        assert_int_equal(tg_history_take(&plan, &run, &decision, 0, &h, NULL), 0);
        assert_string_equal(h.runs[0].family, rows[i].family);
        snprintf(h.runs[0].origin, TG_DIGEST_SIZE, "run %zu", i);
        snprintf(h.runs[0].evidence, TG_DIGEST_SIZE, "run %zu", i);
        assert_int_equal(tg_store_history_add(run_directory, &h, &added, NULL), 0);
        tg_store_history_release(&h);
        release(&plan, &run, &decision);
    }
    struct tg_alarms a;
    assert_int_equal(tg_history_alarms(run_directory, &a, NULL), 0);
    assert_true(a.runs == 3 && a.failed_runs == 1 && a.tests == 3 && a.failed == 0);
}

static void a_false_alarm_that_was_accepted_is_one(void **state)
{
    (void)state;
    struct tg_plan plan;
    struct tg_run run;
    struct tg_decision decision;
    struct tg_history h;
    struct tg_error err;
    static const char all[] =
        "{\"tritgate_acceptance\": 1, \"accepted\": [{\"cells\": \"kernel=*\","
        " \"metric\": \"call_time\", \"loss\": 0.5, \"reason\": \"r\","
        " \"expires\": \"2999-12-31\", \"owner\": \"ann\"}]}";
    decide(MADE_HEAD, 0.2, &plan, &run, &decision);
    tg_gate_release(&decision);
    const size_t pair = made_test(&plan, 0, "i2s_avx2", 1);
    made_rounds(&run, &plan, pair, 6, 16, 0.2, 0.002);
    for (size_t i = 0; i < run.count; i++)
        snprintf(run.rows[i].facts.library, sizeof run.rows[i].facts.library, MADE_HEAD);
    if (tg_plan_accept(&plan, all, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(tg_gate_decide(&plan, &run, &decision, &err), 0);
    assert_non_null(decision.verdicts[pair].accepted);
    assert_int_equal(tg_history_take(&plan, &run, &decision, 0, &h, &err), 0);
    assert_true(tg_history_is_null(&h, &h.verdicts[0]));
    assert_string_equal(h.verdicts[0].answer, "fail");
    assert_string_equal(h.verdicts[0].word, "attention");
    tg_store_history_release(&h);
    release(&plan, &run, &decision);
}

/* Known by its origin, or, of an older history, by its evidence; it failed if any class did. */
static void a_run_on_two_classes_is_one_run(void **state)
{
    (void)state;
    struct tg_alarms a;
    struct tg_error err;
    size_t added;
    for (int class = 0; class < 2; class ++) {
        struct tg_history h;
        made_history(&h);
        snprintf(h.hardware, sizeof h.hardware, "class-%d", class);
        for (int i = 0; i < 6; i++) {
            made_past(&h, 7, 7, 0, 0.01, 1e-4);
            if (i < 3) continue;
            snprintf(h.runs[i].origin, TG_DIGEST_SIZE, "run %d", i);
            snprintf(h.runs[i].evidence, TG_DIGEST_SIZE, "run %d, class %d", i, class);
        }
        snprintf(h.verdicts[class].answer, sizeof h.verdicts[class].answer, "fail");
        snprintf(h.verdicts[5].answer, sizeof h.verdicts[5].answer, "fail");
        assert_int_equal(tg_store_history_add(run_directory, &h, &added, &err), 0);
        assert_int_equal(added, 6);
        tg_store_history_release(&h);
    }
    assert_int_equal(tg_history_alarms(run_directory, &a, &err), 0);
    assert_true(a.runs == 6 && a.failed_runs == 3 && a.tests == 12 && a.failed == 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_with_an_estimate_are_taken),
        cmocka_unit_test(an_accepted_loss_is_kept_as_it_was_judged),
        cmocka_unit_test(a_run_that_is_gone_on_with_keeps_its_origin),
        cmocka_unit_test(the_model_file_is_taken_where_it_was_measured),
        cmocka_unit_test(canaries_are_taken_where_all_rows_had_the_same),
        cmocka_unit_test(runs_that_are_none_to_remember_are_refused),
        cmocka_unit_test(a_class_without_estimates_has_no_run),
        cmocka_unit_test(a_build_against_itself_is_a_null),
        cmocka_unit_test_setup_teardown(false_alarms_are_counted_over_all_classes, run_make,
                                        run_remove),
        cmocka_unit_test_setup_teardown(a_run_that_its_family_failed_is_a_false_alarm, run_make,
                                        run_remove),
        cmocka_unit_test(a_false_alarm_that_was_accepted_is_one),
        cmocka_unit_test_setup_teardown(a_run_on_two_classes_is_one_run, run_make, run_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
