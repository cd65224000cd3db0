/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/dialect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/made_run.h"

/* Two products and an unpacking, a rule of every reading, and templates of their figures. */
static const char matrix[] = "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"],"
                             " \"kernel\": [\"i2s_scalar\", \"i2s_avx2\", \"i2s_avx512vnni\"],"
                             " \"model\": [\"bitnet-2b\"], \"layer\": [\"attn_k\"],"
                             " \"batch\": [1, 8]}}";
static const char policy_text[] =
    "{\"tritgate_policy\": 1, \"flow\": \"review\", \"agent\": \"me\", \"writes\": [\"perf\"],"
    " \"targets\": [\"NEXT → a\"], \"skips\": [{\"reason\": \"no-wide\", \"aliases\": [\"w\"],"
    " \"cells\": [\"isa=avx512vnni\"]}],"
    " \"fallbacks\": [{\"name\": \"way\", \"levels\": [{\"level\": \"primary\", \"does\": \"p\","
    " \"cells\": \"isa=avx512vnni\"}, {\"level\": \"alt1\", \"does\": \"q\", \"method\": \"m\","
    " \"cells\": \"isa=avx2\"}, {\"level\": \"skip\", \"does\": \"s\"}]}],"
    " \"steps\": [{\"name\": \"only\", \"routes\": [{\"condition\": \"all\", \"when\": \"always\","
    " \"to\": \"NEXT → a\"}], \"texts\": {\"evidence\": [\"k {kernel.delta%}\", \"x\"]}}],"
    " \"rules\": ["
    "{\"rule\": \"noninferior\", \"name\": \"kernel\", \"metric\": \"call_time\", \"axis\":"
    " \"build\", \"of\": \"head\", \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05,"
    " \"where\": \"kernel=i2s_avx*\"},"
    "{\"rule\": \"ratio\", \"name\": \"simd\", \"metric\": \"call_time\", \"where\": \"batch=1\","
    " \"axis\": \"kernel\", \"of\": \"i2s_avx2\", \"to\": \"i2s_scalar\", \"limit\": 1.5},"
    "{\"rule\": \"floor\", \"name\": \"accuracy\", \"metric\": \"kernel_accuracy\", \"limit\": "
    "0.998,"
    " \"fail_limit\": 0.99, \"where\": \"kernel=i2s_avx2 batch=1\"},"
    "{\"rule\": \"ceiling\", \"metric\": \"parity_numeric\", \"limit\": 1e-5,"
    " \"where\": \"kernel=i2s_avx2 batch=1\"},"
    "{\"rule\": \"floor\", \"name\": \"nowhere\", \"metric\": \"codec_exact\", \"limit\": 1,"
    " \"where\": \"batch=32\"}]}";

static struct tg_plan plan;
static struct tg_run run;
static struct tg_decision decision;

static int end(void **state)
{
    (void)state;
    tg_gate_release(&decision);
    tg_plan_release(&plan);
    tg_store_release(&run);
    return 0;
}

/* A run in which kernels of batch 1 take d1 and of batch 8 d8 as much more than base. */
static void decide(const char *base, double d1, double d8, double accuracy)
{
    struct tg_error err;
    struct tg_capability worker = made_worker("a", base);
    made_plan(matrix, policy_text, &worker, 1, &made_asked, &plan);
    run.is_sealed = 1;
    made_rounds(&run, &plan, made_test(&plan, 0, "i2s_avx2", 1), 0, 12, d1, 1e-4);
    made_rounds(&run, &plan, made_test(&plan, 0, "i2s_avx2", 8), 0, 12, d8, 1e-4);
    made_rounds(&run, &plan, made_test(&plan, 1, "i2s_avx2", 1), 0, 12, log(0.50001), 1e-6);
    for (int r = 0; r < 2; r++) {
        made_fixed(&run, &plan, made_test(&plan, 2, "i2s_avx2", 1), r, accuracy);
        struct tg_series *s = tg_measurement_add(&run.rows[run.count - 1], "parity_numeric", 1);
        s->samples[0] = 3e-6;
    }
    if (tg_gate_decide(&plan, &run, &decision, &err) < 0) fail_msg("%s", err.text);
}

static void assert_says(const char *text, const char *wanted)
{
    char out[TG_DIALECT_LINE_SIZE];
    bool is_there = tg_dialect_write(&plan, &decision, text, out, sizeof out);
    if (strcmp(out, wanted) != 0) fail_msg("'%s' says '%s', not '%s'", text, out, wanted);
    assert_int_equal(is_there, *wanted != 0);
}

static void a_name_stands_for_the_worst_of_its_tests(void **state)
{
    (void)state;
    decide(MADE_BASE, -0.02, 0.03, 0.99948);
    assert_int_equal(decision.answer, TG_PASS);
    assert_says("{kernel.delta%:1}", "+3.0%");
    assert_says("{kernel:1u} us, was {kernel.baseline:1u}", "103.0 us, was 100.0");
    assert_says("{kernel.limit%}", "5%");
    assert_says("{kernel.met} of {kernel.count}: {kernel.result}", "2 of 2: pass");
    assert_says("{kernel.token}", "✅ PASS");
    assert_says("{simd:1}x", "1.9x"); /* 1.99996: never up to what is demanded */
    assert_says("{simd.factor:2} of at least {simd.limit}", "1.99 of at least 1.5");
    assert_says("{accuracy%:2}", "99.94%");
    assert_says("{parity_numeric:1u}", "3.0");
    assert_says("{?parity_numeric.1e-5}within 1e-5", "within 1e-5");
    assert_says("{?parity_numeric.1e-6}within 1e-6", "");
    assert_says("{?accuracy}good[, {?accuracy.attention}nearly]", "good");
    assert_says("{?kernel}all clear", "all clear");
    assert_says("{?kernel.measured}seen", "seen");
    assert_says("{nowhere}", "");
    assert_says("{nowhere.result}", "");
    assert_says("{?nowhere}no test, no pass", "");
    assert_says("{nowhere.limit}", "1");
}

static void what_a_run_is_and_where_it_goes(void **state)
{
    (void)state;
    decide(MADE_BASE, 0, 0, 0.995);
    assert_says("{flow}:gate:{gate} = {answer} by {agent}, {step}", "review:gate:perf = pass by "
                                                                    "me, only");
    assert_says("{passed} of {tests}, {failed} failed", "5 of 5, 0 failed");
    assert_says("{?accuracy.attention}nearly[; {?attention}look]", "nearly; look");
    assert_says("{?accuracy}good", "");
    assert_says("{accuracy.token}", "⚠️ WARN");
    assert_says("{route}", "NEXT → a");
    assert_says("{reason}", "");
    assert_says("[{?pass}yes|no]; {?base}base", "yes; base");
    assert_says("{way.method} {way.level}", "m alt1");
    assert_says("{?way.alt1}second", "second");
    assert_says("{?way.primary}first", "");
    assert_says("{skipped}", "no-wide");
    assert_says("{?skip.w}none of it", "none of it");
    assert_string_equal(tg_dialect_conclusion(&plan, &decision), "success");
    char line[TG_DIALECT_LINE_SIZE];
    assert_true(tg_dialect_line(&plan, &decision, "evidence", 1, line, sizeof line));
    assert_string_equal(line, "x");
}

static void a_shadow_has_no_baseline_and_no_delta(void **state)
{
    (void)state;
    decide(NULL, 0.2, 0.2, 0.9999);
    assert_says("{kernel:u} us", "122 us");
    assert_says("{kernel.delta%}", "");
    assert_says("{kernel.baseline}", "");
    assert_says("{kernel.result}", "");
    assert_says("{?kernel}no test that counts", "");
    assert_says("{?base}compared", "");
    assert_says("{?!base}alone", "alone");
}

static void a_failure_gives_its_reason(void **state)
{
    (void)state;
    decide(MADE_BASE, 0, 0.12, 0.9999);
    assert_int_equal(decision.answer, TG_FAIL);
    assert_says("{answer}: {reason}",
                "fail: i2s_avx2, bitnet-2b, attn_k, batch=8: head vs base: slower, minor");
    assert_says("{kernel.delta%} {kernel.token} {kernel.result}", "+12.7% ❌ FAIL fail");
    assert_says("{?kernel.fail}x", "x");
    assert_string_equal(tg_dialect_conclusion(&plan, &decision), "failure");
}

static void an_open_run_is_skipped_and_says_what_is_missing(void **state)
{
    (void)state;
    decide(MADE_BASE, 0, 0, 0.9999);
    run.is_sealed = 0;
    tg_gate_release(&decision);
    struct tg_error err;
    assert_int_equal(tg_gate_decide(&plan, &run, &decision, &err), 0);
    assert_says("{answer}", "skipped (inconclusive: cannot pass: the run was not ended in order; "
                            "run --resume ends it)");
    assert_string_equal(tg_dialect_conclusion(&plan, &decision), "neutral");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_name_stands_for_the_worst_of_its_tests, end),
        cmocka_unit_test_teardown(what_a_run_is_and_where_it_goes, end),
        cmocka_unit_test_teardown(a_shadow_has_no_baseline_and_no_delta, end),
        cmocka_unit_test_teardown(a_failure_gives_its_reason, end),
        cmocka_unit_test_teardown(an_open_run_is_skipped_and_says_what_is_missing, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
