/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/skipped.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "coordinator/gate.h"
#include "tests/made_run.h"
#include "tests/run_directory.h"

static char matrix[] =
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\"],"
    " \"model\": [\"bitnet-2b\"], \"layer\": [\"attn_q\"]}}";
static char policy[] =
    "{\"tritgate_policy\": 1, \"flow\": \"review\", \"rules\": [{\"rule\": \"noninferior\","
    " \"metric\": \"call_time\", \"axis\": \"build\", \"of\": \"head\", \"to\": \"base\","
    " \"tolerance\": 0.02, \"margin\": 0.05}]}";

static struct tg_plan plan;
static struct tg_run texts;

static int begin(void **state)
{
    struct tg_capability worker = made_worker("nodea", MADE_BASE);
    if (run_make(state) < 0) return -1;
    texts = (struct tg_run){.matrix = matrix, .policy = policy};
    texts.plan = tg_plan_text(&made_asked, &worker, 1);
    tg_plan_capability_release(&worker);
    if (tg_plan_make(matrix, "a.json", policy, texts.plan, &plan, NULL) < 0) return -1;
    run_write("matrix.json", matrix, strlen(matrix));
    run_write("policy.json", policy, strlen(policy));
    run_write("plan.json", texts.plan, strlen(texts.plan));
    return 0;
}

static int end(void **state)
{
    tg_plan_release(&plan);
    free(texts.plan);
    return run_remove(state);
}

static void what_nobody_measures_is_stored_with_its_reason(void **state)
{
    (void)state;
    struct tg_measurement rows[2];
    struct tg_run run;
    struct tg_decision decision;
    struct tg_error err;
    struct tg_skipped *skipped = tg_skipped_open(&plan, &texts, run_directory, 3);
    if (tg_skipped_add(skipped, 0, 7, "nodeb", "two were lost", rows, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < 2; i++) {
        assert_true(tg_plan_is_of(&plan, &plan.spec.blocks[0], &rows[i]));
        tg_measurement_free(&rows[i]);
    }
    assert_int_equal(tg_skipped_close(skipped, &err), 0);

    assert_int_equal(access(run_path("worker-0000.3.h5"), R_OK), 0);
    if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(run.count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(run.rows[i].outcome, TG_SKIPPED);
        assert_string_equal(run.rows[i].reason, "two were lost");
        assert_string_equal(run.rows[i].facts.host, "nodeb");
        assert_true(run.rows[i].round == 7 && run.rows[i].attempt == 3);
    }
    assert_int_equal(tg_gate_decide(&plan, &run, &decision, &err), 0);
    assert_int_equal(decision.verdicts[0].answer, TG_INCONCLUSIVE);
    assert_string_equal(decision.verdicts[0].word, "not run");
    assert_non_null(strstr(decision.verdicts[0].reason, "was skipped: two were lost"));
    assert_string_equal(decision.machines, "");
    tg_gate_release(&decision);
    tg_store_release(&run);
}

static void a_round_is_skipped_whole(void **state)
{
    (void)state;
    struct tg_measurement rows[6] = {{.round = 4, .attempt = 1, .outcome = TG_CRASHED},
                                     {.round = 4, .attempt = 1, .outcome = TG_SKIPPED},
                                     {.round = 4, .attempt = 2, .outcome = TG_MEASURED},
                                     {.round = 5, .attempt = 2, .outcome = TG_SKIPPED},
                                     {.round = 6, .attempt = 2, .outcome = TG_MEASURED},
                                     {.round = 5, .attempt = 2, .outcome = TG_SKIPPED}};
    static const bool wanted[6] = {true, true, false, true, false, true};
    const struct tg_run some = {.rows = rows, .count = 6};
    for (size_t i = 0; i < some.count; i++)
        snprintf(rows[i].block, sizeof rows[i].block, "%s", i == 5 ? "another" : "block");
    for (size_t i = 0; i < some.count; i++) assert_int_equal(tg_skipped_has(&some, i), wanted[i]);
}

static void without_such_rounds_there_is_no_file(void **state)
{
    (void)state;
    struct tg_error err;
    assert_int_equal(tg_skipped_close(tg_skipped_open(&plan, &texts, run_directory, 3), &err), 0);
    assert_int_equal(tg_skipped_close(NULL, &err), 0);
    assert_int_equal(access(run_path("worker-0000.3.h5"), F_OK), -1);
}

static void what_cannot_be_stored_is_an_error(void **state)
{
    (void)state;
    struct tg_measurement rows[2];
    struct tg_error err;
    struct tg_skipped *skipped = tg_skipped_open(&plan, &texts, "/proc/nowhere", 1);
    assert_int_equal(tg_skipped_add(skipped, 0, 0, "nodea", "why", rows, &err), -1);
    assert_non_null(strstr(err.text, "/proc/nowhere/worker-0000.1.h5"));
    assert_int_equal(tg_skipped_close(skipped, &err), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(what_nobody_measures_is_stored_with_its_reason),
        TEST(a_round_is_skipped_whole),
        TEST(without_such_rounds_there_is_no_file),
        TEST(what_cannot_be_stored_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
