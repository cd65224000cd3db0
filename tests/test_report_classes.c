/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/decided_run.h"

/* Reports of runs on several classes of hardware, and of families. */

static const char matrix[] =
    "{\"tritgate_matrix\": 1, \"axes\": ["
    "{\"probe\": [\"model\"], \"kernel\": [\"i2s_avx2\"], \"model\": [\"bitnet-2b\"],"
    " \"profile\": [\"decode_32\"]},"
    "{\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\"], \"model\": [\"bitnet-2b\"],"
    " \"layer\": [\"attn_k\"]}]}";
static const char policy[] =
    "{\"tritgate_policy\": 1, \"flow\": \"review\", \"rules\": ["
    "{\"rule\": \"noninferior\", \"metric\": \"decode_rate\", \"where\": \"probe=model\","
    " \"axis\": \"build\", \"of\": \"head\", \"to\": \"base\", \"tolerance\": 0.02,"
    " \"margin\": 0.05, \"effect\": \"throughput\"},"
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"where\": \"probe=kernel\","
    " \"axis\": \"build\", \"of\": \"head\", \"to\": \"base\", \"tolerance\": 0.02,"
    " \"margin\": 0.05}]}";

/*
 * On the first class 12 rounds of a model at 100 tokens a second, and on the second 8 at 10; head
 * is 10 % faster than base on the first, and as fast on the second, the kernel by itself as well.
 */
static void decide(const char *first, const char *second)
{
    struct tg_capability workers[] = {made_worker("a", MADE_BASE), made_worker("b", MADE_BASE)};
    snprintf(workers[0].hardware, sizeof workers[0].hardware, "%s", first);
    snprintf(workers[1].hardware, sizeof workers[1].hardware, "%s", second);
    made_plan(matrix, policy, workers, 2, &made_asked, &plan);
    run.is_sealed = 1;
    for (size_t t = 0; t < plan.spec.test_count; t++) {
        const bool is_second = plan.spec.tests[t].hardware == 1;
        const double rate = is_second ? 10 : 100, gain = is_second ? 1 : 1.1;
        for (int64_t r = 0; r < (is_second ? 8 : 12); r++)
            for (int side = 0; side < 2; side++) {
                struct tg_measurement *m = made_row(&run, &plan, t, side, r, TG_MEASURED);
                const double more = side ? gain : 1;
                if (*m->cell.profile)
                    made_samples(m, "decode_rate", side, rate / more);
                else
                    made_samples(m, "call_time", side, more / rate);
            }
    }
    decide_run();
}

/* Whether a report has a line with these words. */
static void assert_has(const char *report, const char *words)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    tg_report_find(report)->write(out, &plan, &decision);
    assert_int_equal(fclose(out), 0);
    if (!strstr(text, words)) fail_msg("no '%s' in: %s", words, text);
    free(text);
}

static void models_took_what_they_took_on_each_class(void **state)
{
    (void)state;
    decide("old", "new");
    assert_has("markdown", "| i2s_avx2, bitnet-2b, decode_32 on old | 12 |");
    assert_has("markdown", "| 10 ms | 10 ms |\n");
    assert_has("markdown", "| i2s_avx2, bitnet-2b, decode_32 on new | 8 |");
    assert_has("markdown", "| 100 ms | 100 ms |\n");
    assert_has("markdown", "| By itself, a call takes more by | The model takes more by |\n");
    assert_has("markdown", "| i2s_avx2 | bitnet-2b on old | attn_k -9.09 % | decode_32 -9.09 % |");
    assert_has("markdown", "| i2s_avx2 | bitnet-2b on new | attn_k +0.00 % | decode_32 +0.00 % |");
}

static void one_class_is_not_named(void **state)
{
    (void)state;
    decide("old", "old");
    assert_has("markdown", "| i2s_avx2, bitnet-2b, decode_32 | 12 |");
    assert_has("markdown", "| i2s_avx2 | bitnet-2b | attn_k -9.09 % | decode_32 -9.09 % |");
}

/* As that of imported lines, which is the name of the processor. */
static void a_class_with_a_long_name_is_named_in_full(void **state)
{
    (void)state;
    decide("Intel_Xeon_Processor_8480", "Intel_Xeon_Processor_8592");
    assert_has("markdown", "decode_32: head vs base on Intel_Xeon_Processor_8480 |");
    assert_has("markdown", "decode_32: head vs base on Intel_Xeon_Processor_8592 |");
    assert_has("terminal", "i2s_avx2, attn_k on Intel_Xeon_Processor_8480");
    assert_has("terminal", "i2s_avx2, attn_k on Intel_Xeon_Processor_8592");
}

static void a_held_family_is_told_from_one_that_failed(void **state)
{
    (void)state;
    decide("old", "old");
    decision.family_count = 1;
    decision.families[0] = (struct tg_family_verdict){.name = "cpu", .is_over = true};
    assert_has("markdown", ", **over its line**\n");
    assert_has("receipt", "\"is_held\": false");
    decision.families[0].is_held = true;
    assert_has("markdown", ", **over its line**, held\n");
    assert_has("receipt", "\"is_held\": true");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(models_took_what_they_took_on_each_class, end),
        cmocka_unit_test_teardown(a_class_with_a_long_name_is_named_in_full, end),
        cmocka_unit_test_teardown(one_class_is_not_named, end),
        cmocka_unit_test_teardown(a_held_family_is_told_from_one_that_failed, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
