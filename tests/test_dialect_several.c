/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/dialect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/decided_run.h"

/* What is said of several tests together. */

static const char matrix[] = "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"],"
                             " \"kernel\": [\"i2s_scalar\", \"i2s_avx2\", \"i2s_avx512vnni\"],"
                             " \"model\": [\"bitnet-2b\"], \"layer\": [\"attn_k\"],"
                             " \"batch\": [1, 8]}}";

static void assert_says(const char *text, const char *wanted)
{
    char out[TG_DIALECT_LINE_SIZE];
    bool is_there = tg_dialect_write(&plan, &decision, text, out, sizeof out);
    if (strcmp(out, wanted) != 0) fail_msg("'%s' says '%s', not '%s'", text, out, wanted);
    assert_int_equal(is_there, *wanted != 0);
}

/* Two kernels of which the first is good enough. */
static void a_bound_holds_for_all_tests_or_not_at_all(void **state)
{
    (void)state;
    begin_run(matrix, "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": [{\"rule\": \"floor\","
                      " \"name\": \"accuracy\", \"metric\": \"kernel_accuracy\", \"limit\": 0.998,"
                      " \"fail_limit\": 0.99, \"where\": \"batch=1\"}]}");
    size_t good = made_test(&plan, 0, "i2s_avx2", 1), other = made_test(&plan, 0, "i2s_scalar", 1);
    for (int r = 0; r < 2; r++) made_fixed(&run, &plan, good, r, 0.9999);
    made_fixed(&run, &plan, other, 0, 0.9999);
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_says("{?accuracy.99e-2}one is open", "");
    for (int r = 1; r < 3; r++) made_row(&run, &plan, other, 0, r, TG_CRASHED);
    assert_int_equal(decide_run(), TG_FAIL);
    assert_says("{?accuracy.measured}of the good one", "of the good one");
    assert_says("{?accuracy.99e-2}one crashed", "");
    assert_says("{?!accuracy.99e-2}not all", "not all");
}

static void a_reason_is_listed_beside_one_that_contains_it(void **state)
{
    (void)state;
    begin_run(matrix,
              "{\"tritgate_policy\": 1, \"flow\": \"f\", \"agent\": \"a\", \"targets\": [\"b\"],"
              " \"steps\": [{\"name\": \"only\"}], \"skips\": ["
              "{\"reason\": \"not-so-wide\", \"cells\": [\"isa=avx512vnni batch=1\"]},"
              " {\"reason\": \"not-so\", \"cells\": [\"isa=avx512vnni batch=8\"]}], \"rules\": ["
              "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9},"
              " {\"rule\": \"floor\", \"metric\": \"codec_exact\", \"limit\": 1}]}");
    decide_run();
    assert_says("{skipped}", "not-so-wide, not-so");
}

/* It goes into comments, and to a terminal. */
static void a_reason_is_no_markup_and_calls_nobody(void **state)
{
    (void)state;
    begin_run(matrix, "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": [{\"rule\": \"floor\","
                      " \"metric\": \"kernel_accuracy\", \"limit\": 0.998}]}");
    static const char *const rows[][2] = {
        {"results[0][5] is 17, at 2 * 3 of i2s_avx2", "results[0][5] is 17, at 2 * 3 of i2s_avx2"},
        {"no|such\nfile `a`", "no/such file  a "},
        {"@user <img> &lt; [a](b)", "@ user < img> & lt; [a] (b)"},
        {"**a** ~~b~~ _c_ __d__ avx*, e", "* * a** ~ ~ b~~ _ c_ _ _ d__ avx*, e"}};
    for (int r = 0; r < 2; r++) made_row(&run, &plan, 0, 0, r, TG_CRASHED);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char wanted[256];
        snprintf(wanted, sizeof wanted, "i2s_scalar, bitnet-2b, attn_k: killed: %s", rows[i][1]);
        assert_int_equal(decide_run(), TG_FAIL);
        snprintf(decision.verdicts[0].word, sizeof decision.verdicts[0].word, "killed");
        snprintf(decision.verdicts[0].reason, sizeof decision.verdicts[0].reason, "%s", rows[i][0]);
        assert_says("{reason}", wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_bound_holds_for_all_tests_or_not_at_all, end),
        cmocka_unit_test_teardown(a_reason_is_no_markup_and_calls_nobody, end),
        cmocka_unit_test_teardown(a_reason_is_listed_beside_one_that_contains_it, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
