/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/gate.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/decided_run.h"

#define MATRIX(kernels)                                                                            \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [" kernels           \
    "], \"layer\": [\"640x2560\"]}}"
#define POLICY(limits, rules)                                                                      \
    "{\"tritgate_policy\": 1, \"flow\": \"f\", \"limits\": {" limits "}, \"rules\": [" rules "]}"
#define BUILDS(more)                                                                               \
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\", \"of\": "         \
    "\"head\", \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05" more "}"
#define FLOOR "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9}"

static const char one[] = MATRIX("\"i2s_avx2\"");
static const char two[] = MATRIX("\"i2s_avx2\", \"i2s_scalar\"");
static const char builds[] = POLICY("", BUILDS(""));

/* Accepted losses are held against it, so a row without a date must not hide a later one. */
static void the_date_is_that_of_the_last_row_that_has_one(void **state)
{
    (void)state;
    static const char *const dates[] = {"unknown", "2026-05-05", "unknown", "2025-01-01"};
    begin_run(one, builds);
    decide_run();
    assert_string_equal(decision.date, "unknown");
    for (int i = 0; i < 4; i++)
        snprintf(made_row(&run, &plan, 0, 0, i, TG_MEASURED)->facts.date, TG_TEXT_SIZE, "%s",
                 dates[i]);
    decide_run();
    assert_string_equal(decision.date, "2026-05-05");
}

static void assert_word(size_t test, const char *word)
{
    assert_string_equal(decision.verdicts[test].word, word);
}

static void assert_said(size_t test, const char *part)
{
    if (!strstr(decision.verdicts[test].reason, part))
        fail_msg("%s", decision.verdicts[test].reason);
}

static void assert_notes(const char *first, const char *second)
{
    assert_int_equal(decision.note_count, (first != NULL) + (second != NULL));
    if (first) assert_string_equal(decision.notes[0], first);
    if (second) assert_string_equal(decision.notes[1], second);
}

static void every_required_test_resolved_and_good_is_a_pass(void **state)
{
    (void)state;
    begin_run(two, builds);
    made_rounds(&run, &plan, 0, 0, 5, 0, 0.001);
    made_rounds(&run, &plan, 1, 0, 4, 0, 0.001);
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_int_equal(tg_gate_status(&decision), 2);
    assert_string_equal(decision.verdicts[1].reason, "not decided after 4 rounds");
    made_rounds(&run, &plan, 1, 4, 5, 0, 0.001);
    assert_int_equal(decide_run(), TG_PASS);
    assert_int_equal(tg_gate_status(&decision), 0);
    assert_int_equal(decision.required, 2);
    assert_int_equal(decision.passed, 2);
    assert_int_equal(decision.row_count, 20);
    assert_string_equal(decision.date, "2026-01-02T03:04:04Z");
    assert_notes(NULL, NULL);
}

static void one_failure_is_a_fail_whatever_else_is_open(void **state)
{
    (void)state;
    begin_run(two, builds);
    made_rounds(&run, &plan, 0, 0, 12, 0.07, 0.0001);
    assert_int_equal(decide_run(), TG_FAIL);
    assert_int_equal(tg_gate_status(&decision), 1);
    assert_int_equal(decision.failed, 1);
    assert_int_equal(decision.inconclusive, 1);
    assert_word(0, "slower, minor");
    assert_string_equal(decision.verdicts[1].reason, "not decided after 0 rounds");
}

static void attention_passes_and_is_counted(void **state)
{
    (void)state;
    begin_run(one, POLICY("\"rounds_min\": 64", BUILDS("")));
    made_rounds(&run, &plan, 0, 0, 12, 0.03, 0.0001);
    assert_int_equal(decide_run(), TG_PASS);
    assert_int_equal(decision.passed, 1);
    assert_int_equal(decision.attention, 1);
}

static void nothing_measured_is_never_a_pass(void **state)
{
    (void)state;
    begin_run(one, builds);
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_string_equal(decision.date, "unknown");
    begin_run(MATRIX("\"i2s_avx512vnni\""), builds);
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_int_equal(decision.required, 0);
    assert_int_equal(decision.skipped, 1);
    assert_notes("cannot pass: there is a base, and not one test compares head with it",
                 "nothing that counts could be measured here");
}

static void a_shadow_never_counts(void **state)
{
    (void)state;
    struct tg_capability worker = made_worker("a", NULL);
    made_plan(one, POLICY("", BUILDS("") ", " FLOOR), &worker, 1, &made_asked, &plan);
    run.is_sealed = 1;
    assert_false(tg_gate_is_required(&plan, 0));
    assert_true(tg_gate_is_required(&plan, 1));
    made_rounds(&run, &plan, 0, 0, 12, 0, 0.001);
    assert_int_equal(decide_run(), TG_INCONCLUSIVE); /* a shadow that is clean is no pass */
    assert_int_equal(decision.shadows, 1);
    assert_int_equal(decision.required, 1);
    made_fixed(&run, &plan, 1, 0, 1);
    made_fixed(&run, &plan, 1, 1, 1);
    assert_int_equal(decide_run(), TG_PASS);
    assert_notes("not compared with an earlier build", NULL);
    tg_store_release(&run);
    run.is_sealed = 1;
    made_rounds(&run, &plan, 0, 0, 20, 0.5, 0);
    made_fixed(&run, &plan, 1, 0, 1);
    made_fixed(&run, &plan, 1, 1, 1);
    assert_int_equal(decide_run(), TG_PASS); /* nor is one that is slow a fail */
    assert_int_equal(decision.failed, 0);
    assert_int_equal(decision.verdicts[0].answer, TG_FAIL);
}

static void a_shadow_that_is_wrong_or_crashes_fails(void **state)
{
    (void)state;
    static const enum tg_outcome outcomes[][2] = {
        {TG_WRONG, TG_MEASURED}, {TG_CRASHED, TG_MEASURED}, {TG_MEASURED, TG_WRONG},
        {TG_MEASURED, TG_LATE},  {TG_CRASHED, TG_CRASHED},  {TG_LATE, TG_CRASHED}};
    struct tg_capability worker = made_worker("a", NULL);
    made_plan(one, POLICY("", BUILDS("") ", " FLOOR), &worker, 1, &made_asked, &plan);
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++) {
        run.is_sealed = 1;
        made_fixed(&run, &plan, 1, 0, 1);
        made_fixed(&run, &plan, 1, 1, 1);
        made_broken(&run, &plan, 0, 0, outcomes[i][0], outcomes[i][1], "");
        made_broken(&run, &plan, 0, 1, outcomes[i][0], outcomes[i][1], "");
        assert_int_equal(decide_run(), TG_FAIL);
        assert_int_equal(decision.failed, 1);
        assert_int_equal(decision.shadows, 0);
        tg_store_release(&run);
    }
}

static void a_required_rule_that_selects_nothing_cannot_pass(void **state)
{
    (void)state;
    struct tg_capability worker = made_worker("a", NULL);
    made_plan(one,
              POLICY("", FLOOR ", {\"rule\": \"floor\", \"metric\": \"codec_exact\", "
                               "\"where\": \"batch=77\", \"limit\": 1, \"required\": true}"),
              &worker, 1, &made_asked, &plan);
    run.is_sealed = 1;
    made_fixed(&run, &plan, 0, 0, 1);
    made_fixed(&run, &plan, 0, 1, 1);
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
}

static void missing_in_head_fails_and_not_in_base_is_not_compared(void **state)
{
    (void)state;
    struct tg_capability worker = made_worker("a", MADE_BASE);
    made_lose(&worker.base, "i2s_scalar");
    made_plan(two, builds, &worker, 1, &made_asked, &plan);
    run.is_sealed = 1;
    made_rounds(&run, &plan, 0, 0, 5, 0, 0.001);
    assert_int_equal(decide_run(), TG_INCONCLUSIVE); /* but it must have run */
    made_round(&run, &plan, 1, 0, 0);
    assert_int_equal(decide_run(), TG_PASS);
    assert_int_equal(decision.shadows, 1);
    assert_notes("1 test of kernels that base has not: nothing is compared", NULL);
    made_broken(&run, &plan, 1, 1, TG_WRONG, TG_MEASURED, "3 is not 4"); /* and be right */
    assert_int_equal(decide_run(), TG_FAIL);

    end(NULL);
    worker = made_worker("a", MADE_BASE);
    made_lose(&worker.head, "i2s_scalar");
    made_plan(two, builds, &worker, 1, &made_asked, &plan);
    run.is_sealed = 1;
    made_rounds(&run, &plan, 0, 0, 5, 0, 0.001);
    assert_int_equal(decide_run(), TG_FAIL);
    assert_word(1, "missing");
    assert_int_equal(decision.required, 2);
}

static void a_machine_that_is_required_must_be_there(void **state)
{
    (void)state;
    begin_run(MATRIX("\"i2s_avx2\", \"i2s_avx512vnni\""),
              POLICY("", BUILDS(", \"required\": true") ", " BUILDS(", \"required\": true")));
    made_rounds(&run, &plan, 0, 0, 5, 0, 0.001);
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_int_equal(decision.passed, 2);
    assert_int_equal(decision.skipped, 2);
    assert_notes("cannot pass: required, and not measured: call_time (1 test), call_time (1 test); "
                 "the first: instruction set 'avx512vnni' is not on this machine",
                 NULL);
    begin_run(MATRIX("\"i2s_avx2\", \"i2s_avx512vnni\""), builds);
    made_rounds(&run, &plan, 0, 0, 5, 0, 0.001);
    assert_int_equal(decide_run(), TG_PASS);
}

static void a_policy_may_require_a_base(void **state)
{
    (void)state;
    static const char policy[] = POLICY("\"require_base\": true", BUILDS("") ", " FLOOR);
    struct tg_capability worker = made_worker("a", NULL);
    made_plan(one, policy, &worker, 1, &made_asked, &plan);
    run.is_sealed = 1;
    made_fixed(&run, &plan, 1, 0, 1);
    made_fixed(&run, &plan, 1, 1, 1);
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_int_equal(decision.passed, 1);
    assert_notes("not compared with an earlier build", "cannot pass: the policy requires a base");
    begin_run(one, policy);
    made_fixed(&run, &plan, 1, 0, 1);
    made_fixed(&run, &plan, 1, 1, 1);
    made_rounds(&run, &plan, 0, 0, 5, 0, 0.001);
    assert_int_equal(decide_run(), TG_PASS);
}

static void a_policy_may_require_kernels_without_assertions(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct tg_capability worker = made_worker("a", MADE_BASE);
        if (side) worker.base.is_debug = true;
        if (!side) worker.head.is_debug = true;
        end(NULL);
        made_plan(one, POLICY("\"require_release\": true", BUILDS("")), &worker, 1, &made_asked,
                  &plan);
        run.is_sealed = 1;
        made_rounds(&run, &plan, 0, 0, 5, 0, 0.001);
        assert_int_equal(decide_run(), TG_INCONCLUSIVE);
        assert_notes(side ? "base was built with assertions in it"
                          : "head was built with assertions in it",
                     "cannot pass: the policy requires kernels without assertions");
    }
}

static void what_a_reader_must_know_stands_first(void **state)
{
    (void)state;
    static const char *const wanted[] = {
        "head is slowed by 5 % on purpose",
        "base was built with assertions in it",
        "A/A: base and head are the same file",
        "only cells that match 'batch=1'",
        "cannot pass: the run was not ended in order; run --resume ends it",
        "left out, still being written or damaged by a kill: a row",
        "cannot pass: base has assertions in it, which slow it, and head has none"};
    struct tg_asked asked = {.seed = "7", .filter = "batch=1", .budget_s = 60, .is_same = true};
    struct tg_capability worker = made_worker("a", MADE_HEAD);
    worker.head.injected_percent = 5;
    worker.base.is_debug = true;
    made_plan(one, builds, &worker, 1, &asked, &plan);
    snprintf(run.dropped, sizeof run.dropped, "a row");
    decide_run();
    assert_int_equal(decision.note_count, sizeof wanted / sizeof *wanted);
    for (size_t i = 0; i < decision.note_count; i++)
        assert_string_equal(decision.notes[i], wanted[i]);
}

static void a_wait_of_both_sides_of_a_round_is_one(void **state)
{
    (void)state;
    begin_run(one, builds);
    made_rounds(&run, &plan, 0, 0, 2, 0, 0.001);
    for (size_t i = 0; i < run.count; i++) run.rows[i].facts.waited_s = 20;
    decide_run();
    assert_notes("workers waited 40 s in all for other runs on the same memory, out of the budget",
                 NULL);
}

static void rows_of_another_library_cannot_pass(void **state)
{
    (void)state;
    for (size_t row = 0; row < 2; row++) {
        begin_run(one, builds);
        made_rounds(&run, &plan, 0, 0, 5, 0, 0.001);
        assert_int_equal(decide_run(), TG_PASS);
        run.rows[4 + row].facts.library[9] = 'f';
        assert_int_equal(decide_run(), TG_INCONCLUSIVE);
        assert_notes("cannot pass: a library was changed while it was measured",
                     "left out: 1 rounds of tests that lack their metric, or samples of it");
    }
}

static void head_that_crashed_once_must_be_repeated(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        enum tg_outcome outcome = late ? TG_LATE : TG_CRASHED;
        begin_run(one, builds);
        made_rounds(&run, &plan, 0, 0, 6, 0, 0.001);
        made_broken(&run, &plan, 0, 6, outcome, TG_MEASURED, "why");
        assert_int_equal(decide_run(), TG_INCONCLUSIVE);
        assert_said(0, "broken once and not yet repeated: ");
        assert_true(decision.verdicts[0].wants_more);
        made_rounds(&run, &plan, 0, 7, 8, 0, 0.001);
        assert_int_equal(decide_run(), TG_PASS);
        assert_said(0, "broken once, and repeated: ");
        assert_word(0, "attention");
        assert_int_equal(decision.attention, 1);
        made_broken(&run, &plan, 0, 8, outcome, TG_MEASURED, "why");
        assert_int_equal(decide_run(), TG_FAIL);
        assert_word(0, "crashed or late");
        assert_said(0, "2 times; last: ");
        assert_false(decision.verdicts[0].wants_more);
        assert_true(isnan(decision.verdicts[0].of_median));
    }
}

static void a_base_that_breaks_says_nothing_of_head(void **state)
{
    (void)state;
    static const enum tg_outcome rows[][2] = {{TG_MEASURED, TG_CRASHED},
                                              {TG_MEASURED, TG_WRONG},
                                              {TG_MEASURED, TG_LATE},
                                              {TG_CRASHED, TG_CRASHED}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin_run(one, builds);
        made_rounds(&run, &plan, 0, 0, 6, 0, 0.001);
        made_broken(&run, &plan, 0, 6, rows[i][0], rows[i][1], "why");
        made_rounds(&run, &plan, 0, 7, 8, 0, 0.001);
        assert_int_equal(decide_run(), TG_PASS);
        assert_said(0, "broken once, and repeated: i2s_avx2 of ");
        assert_int_equal(decision.attention, 0);
        made_broken(&run, &plan, 0, 8, rows[i][0], rows[i][1], "why");
        made_rounds(&run, &plan, 0, 9, 12, 0, 0.001);
        assert_int_equal(decide_run(), TG_INCONCLUSIVE);
        assert_word(0, "partner broke");
        assert_false(decision.verdicts[0].wants_more);
    }
}

static void kills_from_outside_are_inconclusive(void **state)
{
    (void)state;
    begin_run(one, builds);
    made_rounds(&run, &plan, 0, 0, 6, 0, 0.001);
    for (int i = 0; i < 2; i++) {
        made_broken(&run, &plan, 0, 6 + i, TG_CRASHED, TG_MEASURED, "signal 9");
        run.rows[run.count - 2].facts.end_signal = SIGKILL;
        assert_int_equal(decide_run(), TG_INCONCLUSIVE);
        assert_word(0, i ? "killed" : "inconclusive");
    }
    assert_said(0, "2 times from outside (out of memory, or stopped?); last: ");
}

static void wrong_once_fails_and_has_no_speed(void **state)
{
    (void)state;
    begin_run(one, builds);
    made_rounds(&run, &plan, 0, 0, 20, -0.3, 0.001);
    made_broken(&run, &plan, 0, 20, TG_WRONG, TG_MEASURED, "row 3");
    made_rounds(&run, &plan, 0, 21, 30, -0.3, 0.001);
    assert_int_equal(decide_run(), TG_FAIL);
    assert_word(0, "wrong");
    assert_said(0, "is wrong: row 3");
    assert_true(isnan(decision.verdicts[0].estimate) && isnan(decision.verdicts[0].of_median));
}

static void what_was_skipped_while_it_ran_is_inconclusive(void **state)
{
    (void)state;
    begin_run(one, builds);
    made_rounds(&run, &plan, 0, 0, 6, 0, 0.001);
    made_broken(&run, &plan, 0, 6, TG_SKIPPED, TG_SKIPPED, "9 bytes of memory are needed");
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_word(0, "not run");
    assert_int_equal(decision.required, 1); /* it stays in coverage */
}

static void a_failure_stays_whatever_breaks_beside_it(void **state)
{
    (void)state;
    static const enum tg_outcome rows[][2] = {
        {TG_CRASHED, TG_MEASURED}, {TG_MEASURED, TG_CRASHED}, {TG_SKIPPED, TG_SKIPPED}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin_run(one, builds);
        made_rounds(&run, &plan, 0, 0, 12, 0.07, 0.0001);
        for (int times = 0; times < 2; times++) {
            made_broken(&run, &plan, 0, 12 + times, rows[i][0], rows[i][1], "why");
            assert_int_equal(decide_run(), TG_FAIL);
            assert_word(0, i == 0 && times ? "crashed or late" : "slower, minor");
        }
    }
}

static void no_round_is_wanted_beyond_the_most(void **state)
{
    (void)state;
    begin_run(one, POLICY("\"rounds_max\": 8", BUILDS("")));
    made_rounds(&run, &plan, 0, 0, 7, 0, 0.2);
    decide_run();
    assert_true(decision.verdicts[0].wants_more);
    made_rounds(&run, &plan, 0, 7, 8, 0, 0.2);
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_false(decision.verdicts[0].wants_more);
}

static void the_order_of_rows_changes_nothing(void **state)
{
    (void)state;
    begin_run(two, builds);
    made_rounds(&run, &plan, 0, 0, 14, 0.06, 0.01);
    made_rounds(&run, &plan, 1, 0, 7, 0.01, 0.02);
    made_broken(&run, &plan, 1, 7, TG_CRASHED, TG_MEASURED, "why");
    made_rounds(&run, &plan, 1, 8, 9, 0.01, 0.02);
    decide_run();
    struct tg_verdict verdicts[2];
    memcpy(verdicts, decision.verdicts, sizeof verdicts);
    enum tg_answer answer = decision.answer;
    for (size_t turn = 1; turn < 20; turn++) {
        for (size_t i = 0; i < run.count; i++) {
            size_t k = (i * 7 + turn * 13) % run.count;
            struct tg_measurement m = run.rows[i];
            run.rows[i] = run.rows[k];
            run.rows[k] = m;
        }
        assert_int_equal(decide_run(), answer);
        for (int i = 0; i < 2; i++) {
            const struct tg_verdict *v = &decision.verdicts[i];
            assert_string_equal(v->word, verdicts[i].word);
            assert_string_equal(v->reason, verdicts[i].reason);
            assert_true(v->estimate == verdicts[i].estimate);
            assert_true(v->interval.low == verdicts[i].interval.low);
            assert_true(v->log_fail == verdicts[i].log_fail);
            assert_true(v->log_clean == verdicts[i].log_clean);
        }
    }
}

static void rules_that_select_nothing_are_counted(void **state)
{
    (void)state;
    begin_run(one, POLICY("", BUILDS("") ", " BUILDS(", \"where\": \"op=unpack\"")));
    decide_run();
    assert_int_equal(decision.unused_rules, 1);
    assert_int_equal(decision.verdict_count, 1);
    assert_string_equal(tg_gate_word(TG_SKIP), "skipped");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        TEST(every_required_test_resolved_and_good_is_a_pass),
        TEST(the_date_is_that_of_the_last_row_that_has_one),
        TEST(one_failure_is_a_fail_whatever_else_is_open),
        TEST(attention_passes_and_is_counted),
        TEST(nothing_measured_is_never_a_pass),
        TEST(a_shadow_never_counts),
        TEST(a_shadow_that_is_wrong_or_crashes_fails),
        TEST(a_required_rule_that_selects_nothing_cannot_pass),
        TEST(missing_in_head_fails_and_not_in_base_is_not_compared),
        TEST(a_machine_that_is_required_must_be_there),
        TEST(a_policy_may_require_a_base),
        TEST(a_policy_may_require_kernels_without_assertions),
        TEST(what_a_reader_must_know_stands_first),
        TEST(a_wait_of_both_sides_of_a_round_is_one),
        TEST(rows_of_another_library_cannot_pass),
        TEST(head_that_crashed_once_must_be_repeated),
        TEST(a_base_that_breaks_says_nothing_of_head),
        TEST(kills_from_outside_are_inconclusive),
        TEST(wrong_once_fails_and_has_no_speed),
        TEST(what_was_skipped_while_it_ran_is_inconclusive),
        TEST(a_failure_stays_whatever_breaks_beside_it),
        TEST(no_round_is_wanted_beyond_the_most),
        TEST(the_order_of_rows_changes_nothing),
        TEST(rules_that_select_nothing_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
