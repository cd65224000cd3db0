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
static const char builds[] = POLICY("", BUILDS(""));

/* Where rows are from, and which of them decide. */

/* A floor of named machines: below it is a failure there, and attention elsewhere. */
static void a_rule_of_named_hardware_counts_there_only(void **state)
{
    static const char floor[] = POLICY(
        "", "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9,"
            " \"hardware\": \"cpu=*9950X3D*\"}");
    static const char *const machines[] = {"cpu=AMD_Ryzen_9_9950X3D cores=16", "cpu=Other", ""};
    for (int i = 0; i < 3; i++) {
        struct tg_capability worker = made_worker("a", MADE_BASE);
        snprintf(worker.machine, sizeof worker.machine, "%s", machines[i]);
        made_plan(one, floor, &worker, 1, &made_asked, &plan);
        run.is_sealed = 1;
        made_fixed(&run, &plan, 0, 0, 0.5);
        made_fixed(&run, &plan, 0, 1, 0.5);
        assert_int_equal(tg_gate_is_required(&plan, 0), i != 1);
        decide_run();
        assert_int_equal(decision.verdicts[0].answer, i != 1 ? TG_FAIL : TG_PASS);
        assert_int_equal(decision.failed, i != 1);
        end(state);
    }
}

/* What was seen of head stands, whatever became of its partner. */
static void wrong_beside_a_skipped_partner_fails(void **state)
{
    (void)state;
    begin_run(one, builds);
    made_rounds(&run, &plan, 0, 0, 12, 0, 0.001);
    made_row(&run, &plan, 0, 0, 12, TG_WRONG);
    made_row(&run, &plan, 0, 1, 12, TG_SKIPPED);
    assert_int_equal(decide_run(), TG_FAIL);
}

static void rows_of_another_model_file_cannot_pass(void **state)
{
    static const char real[] =
        "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"model\"], \"kernel\": [\"i2s_avx2\"],"
        " \"model\": [\"gguf\"], \"profile\": [\"decode_32\"]}}";
    static const char same[] = POLICY(
        "", "{\"rule\": \"determinism\", \"metric\": \"output_checksum\"}");
    for (int i = 0; i < 2; i++) {
        struct tg_capability worker = made_worker("a", NULL);
        snprintf(worker.head.model_digest, sizeof worker.head.model_digest, "theirs");
        made_plan(real, same, &worker, 1, &made_asked, &plan);
        run.is_sealed = 1;
        for (int64_t r = 0; r < 6; r++) made_fixed(&run, &plan, 0, r, 7);
        for (size_t r = 0; r < run.count; r++)
            snprintf(run.rows[r].facts.model_digest, TG_TEXT_SIZE, "%s",
                     i == 1 && r == 3 ? "other" : "theirs");
        assert_int_equal(decide_run(), i == 0 ? TG_PASS : TG_INCONCLUSIVE);
        if (i == 1)
            assert_non_null(
                strstr(decision.notes[decision.note_count - 1], "model file was changed"));
        end(state);
    }
}

/* Head beside its own copy, for want of a base; and under a rule that fails nothing. */
static void what_crashed_last_is_open_where_nothing_else_would_count(void **state)
{
    (void)state;
    for (int optional = 0; optional < 2; optional++) {
        struct tg_capability worker = made_worker("a", optional ? MADE_BASE : NULL);
        end(NULL);
        made_plan(one,
                  optional ? POLICY("", BUILDS(", \"optional\": true") ", " FLOOR)
                           : POLICY("", BUILDS("") ", " FLOOR),
                  &worker, 1, &made_asked, &plan);
        run.is_sealed = 1;
        made_fixed(&run, &plan, 1, 0, 1);
        made_fixed(&run, &plan, 1, 1, 1);
        made_broken(&run, &plan, 0, 0, TG_CRASHED, TG_MEASURED, "");
        assert_int_equal(decide_run(), TG_INCONCLUSIVE);
        assert_int_equal(decision.inconclusive, 1);
        run.rows[2].facts.end_signal = SIGKILL; /* from outside: nothing of head */
        decide_run();
        assert_int_equal(decision.inconclusive, 0);
        run.rows[2].facts.end_signal = SIGSEGV;
        made_round(&run, &plan, 0, 1, 0);
        decide_run();
        assert_int_equal(decision.inconclusive, 0);
        assert_non_null(strstr(decision.verdicts[0].reason, "after 1 round; one broke: "));
        if (!optional) continue;
        made_broken(&run, &plan, 0, 2, TG_MEASURED, TG_CRASHED, ""); /* base: nothing of head */
        decide_run();
        assert_int_equal(decision.inconclusive, 0);
    }
}

/* Nothing of it is compared, but it must have run. */
static void a_kernel_that_base_has_not_must_have_run(void **state)
{
    (void)state;
    for (int optional = 0; optional < 2; optional++) {
        struct tg_capability worker = made_worker("a", MADE_BASE);
        end(NULL);
        made_lose(&worker.base, "i2s_avx2");
        made_plan(one,
                  optional ? POLICY("", BUILDS(", \"optional\": true") ", " FLOOR)
                           : POLICY("", BUILDS("") ", " FLOOR),
                  &worker, 1, &made_asked, &plan);
        run.is_sealed = 1;
        made_fixed(&run, &plan, 1, 0, 1);
        made_fixed(&run, &plan, 1, 1, 1);
        decide_run();
        assert_int_equal(decision.inconclusive, !optional);
        made_round(&run, &plan, 0, 0, 0);
        decide_run();
        assert_int_equal(decision.inconclusive, 0);
    }
}

/* Beside it anything is fast. */
static void a_base_that_was_slowed_on_purpose_lets_nothing_pass(void **state)
{
    (void)state;
    static const int64_t percents[][2] = {{0, 0}, {7, 7}, {7, 0}, {0, 7}}; /* of head and base */
    for (size_t i = 0; i < 4; i++) {
        struct tg_capability worker = made_worker("a", MADE_BASE);
        end(NULL);
        worker.head.injected_percent = percents[i][0];
        worker.base.injected_percent = percents[i][1];
        made_plan(one, builds, &worker, 1, &made_asked, &plan);
        run.is_sealed = 1;
        made_rounds(&run, &plan, 0, 0, 6, 0, 0.001);
        assert_int_equal(decide_run(), i < 3 ? TG_PASS : TG_INCONCLUSIVE);
    }
    assert_string_equal(decision.notes[0], "base is slowed by 7 % on purpose");
    assert_string_equal(decision.notes[1], "cannot pass: head was compared with a base that is "
                                           "slowed more than it is");
}

/* A library that was built anew while it was measured: what is not head fails nothing, either. */
static void rows_of_another_library_fail_nothing(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        begin_run(one, builds);
        made_rounds(&run, &plan, 0, 0, 6, 0, 0.001);
        made_rounds(&run, &plan, 0, 6, 40, 0.5, 0.001);
        made_broken(&run, &plan, 0, 40, TG_CRASHED, TG_MEASURED, "");
        made_broken(&run, &plan, 0, 41, TG_CRASHED, TG_MEASURED, "");
        made_broken(&run, &plan, 0, 42, TG_WRONG, TG_MEASURED, "");
        assert_int_equal(decide_run(), TG_FAIL);
        for (size_t i = 12 + (size_t)side; i < run.count; i += 2)
            run.rows[i].facts.library[9] = 'f';
        if (side) run.count -= 2; /* a head that is wrong needs no partner */
        assert_int_equal(decide_run(), TG_INCONCLUSIVE);
        assert_int_equal(decision.verdicts[0].rounds, 6);
        assert_int_equal(decision.note_count, 2);
        assert_non_null(strstr(decision.notes[0], "a library was changed while it was measured"));
        if (side) run.count += 2;
    }
}

/* What only broke or was wrong in the other library is not judged, and lets no run pass. */
static void a_row_of_another_library_cannot_pass(void **state)
{
    (void)state;
    static const enum tg_outcome outcomes[] = {TG_WRONG, TG_CRASHED, TG_LATE, TG_SKIPPED};
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++) {
        begin_run(one, builds);
        made_rounds(&run, &plan, 0, 0, 6, 0, 0.001);
        assert_int_equal(decide_run(), TG_PASS);
        made_row(&run, &plan, 0, 0, 6, outcomes[i])->facts.library[9] = 'f';
        assert_int_equal(decide_run(), TG_INCONCLUSIVE);
        assert_non_null(strstr(decision.notes[0], "a library was changed while it was measured"));
    }
}

/* What nobody judges may not say that head is wrong; another policy may ask for less on purpose. */
static void a_fault_of_head_that_no_test_asks_for_cannot_pass(void **state)
{
    (void)state;
    static const char which[] =
        "1 rows that no test asks for, or of hardware that the plan does not know";
    static const struct {
        enum tg_outcome outcome;
        int side, signal, is_fault;
    } rows[] = {{TG_WRONG, 0, 0, 1},         {TG_CRASHED, 0, SIGSEGV, 1}, {TG_LATE, 0, SIGKILL, 1},
                {TG_CRASHED, 0, SIGKILL, 0}, {TG_MEASURED, 0, 0, 0},      {TG_SKIPPED, 0, 0, 0},
                {TG_WRONG, 1, 0, 0},         {TG_CRASHED, 1, SIGSEGV, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char said[sizeof *decision.notes];
        begin_run(one, builds);
        made_rounds(&run, &plan, 0, 0, 6, 0, 0.001);
        struct tg_measurement *m = made_row(&run, &plan, 0, rows[i].side, 6, rows[i].outcome);
        m->facts.end_signal = rows[i].signal;
        snprintf(m->block, sizeof m->block, "probe=engine model=bitnet-2b");
        assert_int_equal(decide_run(), rows[i].is_fault ? TG_INCONCLUSIVE : TG_PASS);
        snprintf(said, sizeof said, "%s%s",
                 rows[i].is_fault ? "cannot pass: head was wrong, crashed or was late in 1 of "
                                  : "left out: ",
                 which);
        assert_string_equal(decision.notes[0], said);
        plan.is_own_policy = false;
        assert_int_equal(decide_run(), TG_PASS);
        snprintf(said, sizeof said, "left out: %s%s", which,
                 rows[i].is_fault ? "; head was wrong, crashed or was late in 1" : "");
        assert_string_equal(decision.notes[1], said);
    }
}

static void how_base_was_built_otherwise_is_said_first(void **state)
{
    static const struct {
        const char *head, *base, *said;
    } rows[] = {{"GNU -O3", "GNU -O3", NULL},
                {"GNU -O3", "", NULL},
                {"", "GNU -O3", NULL},
                {"GNU -O3", "GNU -O0", "base was built otherwise: GNU -O0; head: GNU -O3"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_capability worker = made_worker("a", MADE_BASE);
        snprintf(worker.head.build, sizeof worker.head.build, "%s", rows[i].head);
        snprintf(worker.base.build, sizeof worker.base.build, "%s", rows[i].base);
        made_plan(one, builds, &worker, 1, &made_asked, &plan);
        run.is_sealed = 1;
        made_rounds(&run, &plan, 0, 0, 5, 0, 0.001);
        assert_int_equal(decide_run(), TG_PASS); /* a change may be one of flags */
        assert_int_equal(decision.note_count, rows[i].said != NULL);
        if (rows[i].said) assert_string_equal(decision.notes[0], rows[i].said);
        end(state);
    }
}

static void only_a_head_with_assertions_passes_beside_a_base_with_them(void **state)
{
    for (int of_head = 0; of_head < 2; of_head++) {
        struct tg_capability worker = made_worker("a", MADE_BASE);
        worker.head.is_debug = of_head;
        worker.base.is_debug = true;
        made_plan(one, builds, &worker, 1, &made_asked, &plan);
        run.is_sealed = 1;
        made_rounds(&run, &plan, 0, 0, 5, 0, 0.001);
        assert_int_equal(decide_run(), of_head ? TG_PASS : TG_INCONCLUSIVE);
        assert_string_equal(decision.notes[1],
                            of_head ? "base was built with assertions in it"
                                    : "cannot pass: base has assertions in it, which slow it, and "
                                      "head has none");
        end(state);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        TEST(a_rule_of_named_hardware_counts_there_only),
        TEST(wrong_beside_a_skipped_partner_fails),
        TEST(rows_of_another_model_file_cannot_pass),
        TEST(what_crashed_last_is_open_where_nothing_else_would_count),
        TEST(a_kernel_that_base_has_not_must_have_run),
        TEST(rows_of_another_library_fail_nothing),
        TEST(a_row_of_another_library_cannot_pass),
        TEST(a_fault_of_head_that_no_test_asks_for_cannot_pass),
        TEST(a_base_that_was_slowed_on_purpose_lets_nothing_pass),
        TEST(how_base_was_built_otherwise_is_said_first),
        TEST(only_a_head_with_assertions_passes_beside_a_base_with_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
