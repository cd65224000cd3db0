/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/acceptance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/decided_run.h"

static const char matrix[] = "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"],"
                             "\"kernel\": [\"i2s_avx2\", \"i2s_scalar\"],"
                             "\"layer\": [\"640x2560\"]}}";
#define POLICY(effect)                                                                             \
    "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": [{\"rule\": \"noninferior\", "           \
    "\"metric\": \"call_time\", \"axis\": \"build\", \"of\": \"head\", \"to\": \"base\", "         \
    "\"tolerance\": 0.02, \"margin\": 0.05, \"effect\": \"" effect "\"},"                          \
    "{\"rule\": \"ratio\", \"metric\": \"call_time\", \"axis\": \"kernel\", \"of\": "              \
    "\"i2s_avx2\", \"to\": \"i2s_scalar\", \"limit\": 1.5}]}"
#define ENTRY(cells, loss, expires)                                                                \
    "{\"cells\": \"" cells "\", \"metric\": \"call_time\", \"loss\": " loss                        \
    ", \"reason\": \"a new layout\", \"expires\": \"" expires "\", \"owner\": \"ann\"}"
#define FILE_OF(entries) "{\"tritgate_acceptance\": 1, \"accepted\": [" entries "]}"

static size_t avx2, scalar, ratio;

static void begin(const char *policy)
{
    struct tg_capability worker = made_worker("a", MADE_BASE);
    end(NULL);
    made_plan(matrix, policy, &worker, 1, &made_asked, &plan);
    run.is_sealed = 1;
    avx2 = made_test(&plan, 0, "i2s_avx2", 1);
    scalar = made_test(&plan, 0, "i2s_scalar", 1);
    ratio = made_test(&plan, 1, "i2s_avx2", 1);
    made_rounds(&run, &plan, avx2, 0, 14, log(1.07), 0.0001);
    made_rounds(&run, &plan, scalar, 0, 14, 0, 0.0001);
    made_rounds(&run, &plan, ratio, 0, 14, -log(2), 0.0001);
}

static void take(const char *text)
{
    struct tg_error err;
    if (tg_plan_accept(&plan, text, &err) < 0) fail_msg("%s", err.text);
    snprintf(plan.asked.acceptance, sizeof plan.asked.acceptance, "%s", "");
    plan.is_own_acceptance = true;
}

static const struct tg_verdict *decide(enum tg_answer answer)
{
    struct tg_error err;
    tg_gate_release(&decision);
    if (tg_gate_decide(&plan, &run, &decision, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(decision.answer, answer);
    return &decision.verdicts[avx2];
}

static void assert_note(const char *sentence)
{
    for (size_t i = 0; i < decision.note_count; i++)
        if (strcmp(decision.notes[i], sentence) == 0) return;
    fail_msg("no note '%s' but %s", sentence, decision.note_count ? decision.notes[0] : "none");
}

static void assert_accepted(void)
{
    const struct tg_verdict *v = decide(TG_PASS);
    assert_string_equal(v->word, "attention");
    assert_string_equal(v->reason, "slower by 7 %; up to 8 % accepted until 2026-12-31 by ann: "
                                   "a new layout");
    assert_ptr_equal(v->accepted, &plan.acceptance.entries[0]);
}

static void an_accepted_loss_is_attention_with_its_reason_and_owner(void **state)
{
    (void)state;
    begin(POLICY("time"));
    assert_null(decide(TG_FAIL)->accepted);
    take(FILE_OF(ENTRY("kernel=i2s_avx2", "0.08", "2026-12-31")));
    assert_accepted();
    assert_int_equal(decision.attention, 1);
    assert_int_equal(decision.failed, 0);
    assert_note("accepted losses: 1 of 1 used");
    take(NULL);
    decide(TG_FAIL);
}

static void a_larger_loss_than_the_accepted_one_fails(void **state)
{
    (void)state;
    begin(POLICY("time"));
    take(FILE_OF(ENTRY("kernel=i2s_avx2", "0.0699", "2026-12-31")));
    assert_string_equal(decide(TG_FAIL)->reason,
                        "slower by 7 %; up to 6.99 % is accepted, until 2026-12-31 by ann");
    assert_note("accepted losses: 0 of 1 used; not used: 'kernel=i2s_avx2' of ann (less than the "
                "loss)");
    take(FILE_OF(ENTRY("kernel=i2s_avx2", "0.01", "2026-12-31") "," ENTRY(
        "layer=640x2560", "0.0701", "2026-12-31"))); /* the first that covers it */
    assert_ptr_equal(decide(TG_PASS)->accepted, &plan.acceptance.entries[1]);
    assert_note("accepted losses: 1 of 2 used; not used: 'kernel=i2s_avx2' of ann (another entry "
                "covers it)");
}

/* Whoever sees it again, it passes; but not what no machine was quiet enough for. */
static void an_accepted_loss_is_held_for_no_other_run(void **state)
{
    (void)state;
    begin(POLICY("time"));
    plan.policy.limits.min_sessions = 2;
    assert_string_equal(decide(TG_INCONCLUSIVE)->word, "held");
    take(FILE_OF(ENTRY("kernel=i2s_avx2", "0.06", "2026-12-31")));
    assert_string_equal(decide(TG_INCONCLUSIVE)->word, "held");
    assert_note("accepted losses: 0 of 1 used; not used: 'kernel=i2s_avx2' of ann (less than the "
                "loss)");
    take(FILE_OF(ENTRY("kernel=i2s_avx2", "0.08", "2026-12-31")));
    assert_accepted();
    plan.policy.limits.load_most = 1;
    made_rounds(&run, &plan, avx2, 14, 30, log(1.07), 0.0001);
    for (size_t i = 0; i < run.count; i++)
        run.rows[i].facts.load = run.rows[i].round < 14 ? 0.1 : 9;
    assert_string_equal(decide(TG_INCONCLUSIVE)->word, "disturbed");
}

/* Whichever node is left out, it fails by 7 %; but the third, which has every sixth round, by more.
 */
static void what_a_node_loses_is_not_accepted_for_what_others_lose(void **state)
{
    (void)state;
    begin(POLICY("time"));
    tg_store_release(&run);
    for (int64_t r = 0; r < 60; r++) {
        const int node = r % 6 == 5 ? 2 : (int)(r % 2);
        made_round(&run, &plan, avx2, r, log(node == 2 ? 1.4 : 1.07) + (r % 4 < 2 ? 1 : -1) * 1e-4);
        for (size_t i = run.count - 2; i < run.count; i++)
            snprintf(run.rows[i].facts.host, TG_TEXT_SIZE, "n%d", node);
    }
    made_rounds(&run, &plan, scalar, 0, 14, 0, 0.0001);
    made_rounds(&run, &plan, ratio, 0, 14, -log(2), 0.0001);
    run.is_sealed = 1;
    assert_string_equal(decide(TG_FAIL)->reason, "slower by 7 %");
    take(FILE_OF(ENTRY("kernel=i2s_avx2", "0.39", "2026-12-31")));
    assert_string_equal(decide(TG_FAIL)->reason,
                        "slower by 7 %, on some of its nodes slower by 40 %; up to 39 % is "
                        "accepted, until 2026-12-31 by ann");
    take(FILE_OF(ENTRY("kernel=i2s_avx2", "0.41", "2026-12-31")));
    decide(TG_PASS);
}

/* 7 % more time is 6.54 % less throughput. */
static void a_loss_is_one_of_what_the_rule_counts(void **state)
{
    (void)state;
    begin(POLICY("throughput"));
    take(FILE_OF(ENTRY("kernel=i2s_avx2", "0.066", "2026-12-31")));
    decide(TG_PASS);
    take(FILE_OF(ENTRY("kernel=i2s_avx2", "0.065", "2026-12-31")));
    decide(TG_FAIL);
}

/* The rows are of 2026-01-02. */
static void an_entry_holds_to_its_day_by_the_date_of_the_run(void **state)
{
    (void)state;
    begin(POLICY("time"));
    take(FILE_OF(ENTRY("kernel=i2s_avx2", "0.08", "2026-01-02")));
    decide(TG_PASS);
    take(FILE_OF(ENTRY("kernel=i2s_avx2", "0.08", "2026-01-01")));
    assert_string_equal(decide(TG_FAIL)->reason,
                        "slower by 7 %; up to 8 % was accepted until 2026-01-01 by ann");
    struct tg_verdict v = {.answer = TG_FAIL, .estimate = 0.01};
    tg_acceptance_apply(&plan, "unknown", avx2, &v);
    assert_int_equal(v.answer, TG_FAIL);
    static const char *const undated[] = {"01.01.2026", "2025", "2025-13-01T00:00:00Z",
                                          " 2025-01-01", "2025-01-0"};
    for (size_t i = 0; i < sizeof undated / sizeof *undated; i++) { /* of no day, none covers it */
        tg_acceptance_apply(&plan, undated[i], avx2, &v);
        assert_int_equal(v.answer, TG_FAIL);
    }
    tg_acceptance_apply(&plan, "2025-12-31T23:59:59Z", avx2, &v);
    assert_int_equal(v.answer, TG_PASS);
    v = (struct tg_verdict){.answer = TG_FAIL, .estimate = 0.01};
    tg_acceptance_apply(&plan, "", avx2, &v); /* it has not come */
    assert_int_equal(v.answer, TG_PASS);
}

static void a_run_without_a_date_is_excused_by_nothing(void **state)
{
    (void)state;
    static const char *const dates[] = {"unknown", "", "05.08.2027"};
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        begin(POLICY("time"));
        for (size_t k = 0; k < run.count; k++)
            snprintf(run.rows[k].facts.date, TG_TEXT_SIZE, "%s", dates[i]);
        take(FILE_OF(ENTRY("kernel=i2s_avx2", "0.08", "2026-01-02")));
        assert_string_equal(decide(TG_FAIL)->reason,
                            "slower by 7 %; up to 8 % is accepted, but the run has no date: until "
                            "2026-01-02 by ann");
        assert_note("accepted losses: 0 of 1 used; not used: 'kernel=i2s_avx2' of ann (the run has "
                    "no date)");
    }
}

static void what_meets_no_failure_is_named(void **state)
{
    (void)state;
    begin(POLICY("time"));
    take(FILE_OF(ENTRY("kernel=i2s_scalar", "0.08",
                       "2026-12-31") "," ENTRY("layer=640x2560 batch=8", "0.08", "2026-12-31")));
    decide(TG_FAIL);
    assert_note("accepted losses: 0 of 2 used; not used: 'kernel=i2s_scalar' of ann (nothing fails "
                "there), 'layer=640x2560 batch=8' of ann (no such test)");
}

static void only_slowness_can_be_accepted(void **state)
{
    (void)state;
    static const char all[] = FILE_OF(ENTRY("probe=kernel", "0.99", "2026-12-31"));
    begin(POLICY("time")); /* wrong */
    made_broken(&run, &plan, avx2, 20, TG_WRONG, TG_MEASURED, "row 3");
    take(all);
    assert_string_equal(decide(TG_FAIL)->word, "wrong");
    begin(POLICY("time")); /* crashed twice */
    tg_store_release(&run);
    made_broken(&run, &plan, avx2, 20, TG_CRASHED, TG_MEASURED, "");
    made_broken(&run, &plan, avx2, 21, TG_CRASHED, TG_MEASURED, "");
    take(all);
    assert_string_equal(decide(TG_FAIL)->word, "crashed or late");
    begin(POLICY("time")); /* a ratio is no comparison with what was */
    tg_store_release(&run);
    made_rounds(&run, &plan, ratio, 0, 14, -log(1.2), 0.0001);
    take(all);
    decide(TG_FAIL);
    assert_string_equal(decision.verdicts[ratio].word, "too little");
    struct tg_verdict v = {.answer = TG_FAIL, .estimate = 0.01};
    plan.prospects[avx2].fate = TG_TO_FAIL; /* missing in head */
    tg_acceptance_apply(&plan, "2026-01-01", avx2, &v);
    assert_int_equal(v.answer, TG_FAIL);
    v.answer = TG_INCONCLUSIVE;
    plan.prospects[avx2].fate = TG_TO_MEASURE;
    tg_acceptance_apply(&plan, "2026-01-01", avx2, &v);
    assert_int_equal(v.answer, TG_INCONCLUSIVE);
}

static void a_file_that_says_too_little_is_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"[]", "line 1: not an acceptance: \"tritgate_acceptance\": 1 is missing"},
        {"{\"tritgate_acceptance\": 1}", "line 1: 'accepted' is a list"},
        {FILE_OF("5"), "line 1: accepted[0]: an accepted loss is an object"},
        {FILE_OF("{}"), "line 1: accepted[0]: 'cells' is missing"},
        {FILE_OF(ENTRY("kernel=i2s_avx9", "0.1", "2026-12-31")),
         "line 1: accepted[0].cells: 'kernel=i2s_avx9': no such kernel 'i2s_avx9'"},
        {FILE_OF(ENTRY("", "0.1", "2026-12-31")),
         "line 1: accepted[0].cells: a line of 1 to 255 bytes is expected"},
        {FILE_OF(ENTRY("batch=1", "0", "2026-12-31")),
         "line 1: accepted[0].loss: 'loss' lies between 0 and 1"},
        {FILE_OF(ENTRY("batch=1", "8", "2026-12-31")),
         "line 1: accepted[0].loss: 'loss' lies between 0 and 1"},
        {FILE_OF(ENTRY("batch=1", "\"0.1\"", "2026-12-31")),
         "line 1: accepted[0].loss: 'loss' lies between 0 and 1"},
        {FILE_OF(ENTRY("batch=1", "0.1", "2026-02-29")),
         "line 1: accepted[0].expires: a day is expected, as 2026-12-31"},
        {FILE_OF(ENTRY("batch=1", "0.1", "2026-13-01")),
         "line 1: accepted[0].expires: a day is expected, as 2026-12-31"},
        {FILE_OF(ENTRY("batch=1", "0.1", "31.12.2026")),
         "line 1: accepted[0].expires: a day is expected, as 2026-12-31"},
        {FILE_OF(
             "{\"cells\": \"batch=1\", \"metric\": \"speed\", \"loss\": 0.1, \"reason\": \"r\", "
             "\"expires\": \"2026-12-31\", \"owner\": \"ann\"}"),
         "line 1: accepted[0].metric: no such metric 'speed'"},
        {FILE_OF("{\"cells\": \"batch=1\", \"metric\": \"call_time\", \"reason\": \"r\", "
                 "\"expires\": \"2026-12-31\", \"owner\": \"ann\"}"),
         "line 1: accepted[0]: 'loss' lies between 0 and 1"},
        {FILE_OF("{\"cells\": \"batch=1\", \"metric\": \"call_time\", \"loss\": 0.1, "
                 "\"expires\": \"2026-12-31\", \"owner\": \"ann\"}"),
         "line 1: accepted[0]: 'reason' is missing"},
        {FILE_OF("{\"until\": 5}"), "line 1: accepted[0].until: unknown key 'until'"},
    };
    begin(POLICY("time"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_acceptance a = {.count = 77};
        struct tg_error err;
        if (tg_acceptance_parse(rows[i][0], &plan.words, &a, &err) == 0)
            fail_msg("taken: %s", rows[i][0]);
        assert_string_equal(err.text, rows[i][1]);
        assert_int_equal(a.count, 77);
    }
    struct tg_acceptance a;
    assert_int_equal(
        tg_acceptance_parse(FILE_OF(ENTRY("batch=1", "0.1", "2028-02-29")), &plan.words, &a, NULL),
        0);
    assert_int_equal(a.count, 1);
    tg_acceptance_release(&a);
    assert_int_equal(tg_acceptance_parse(FILE_OF(""), &plan.words, &a, NULL), 0);
    assert_int_equal(a.count, 0);
    tg_acceptance_release(&a);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        TEST(an_accepted_loss_is_attention_with_its_reason_and_owner),
        TEST(a_larger_loss_than_the_accepted_one_fails),
        TEST(an_accepted_loss_is_held_for_no_other_run),
        TEST(what_a_node_loses_is_not_accepted_for_what_others_lose),
        TEST(a_loss_is_one_of_what_the_rule_counts),
        TEST(an_entry_holds_to_its_day_by_the_date_of_the_run),
        TEST(a_run_without_a_date_is_excused_by_nothing),
        TEST(what_meets_no_failure_is_named),
        TEST(only_slowness_can_be_accepted),
        TEST(a_file_that_says_too_little_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
