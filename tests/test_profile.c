/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "results/metric.h"

static void each_profile_is_found_by_its_name_only(void **state)
{
    (void)state;
    assert_true(tg_profile_count() > 0);
    for (size_t i = 0; i < tg_profile_count(); i++)
        assert_ptr_equal(tg_profile_find(tg_profile_at(i)->name), tg_profile_at(i));
    assert_null(tg_profile_find(""));
    assert_null(tg_profile_find("decode"));
    assert_null(tg_profile_find("decode_128 "));
}

/* A rate counts tokens, a time is that of a call: no profile may give a time for a token as a rate.
 */
static void each_gives_a_metric_that_there_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < tg_profile_count(); i++) {
        const struct tg_profile *p = tg_profile_at(i);
        const struct tg_metric *metric = tg_metric_find(p->metric);
        if (!metric) fail_msg("%s gives '%s'", p->name, p->metric);
        bool is_rate = strcmp(metric->unit, "1/s") == 0, is_time = strcmp(metric->unit, "s") == 0;
        assert_true(p->call == TG_CALL_NONE ? metric->nature == TG_FIXED : is_rate || is_time);
        if (is_rate) assert_true(p->call == TG_CALL_PREFILL || p->call == TG_CALL_TOKEN);
        assert_true(p->prompt > 0 && p->batch > 0 && p->batch <= 512);
        assert_true(p->call == TG_CALL_PREFILL || p->call == TG_CALL_NONE || p->tokens > 0);
    }
}

static void a_rate_counts_the_tokens_of_one_call(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t tokens, context;
    } rows[] = {{"prefill_128", 128, 128}, {"prefill_512", 512, 512},      {"batch_32", 128, 128},
                {"decode_32", 1, 48},      {"long_context_4096", 1, 4096}, {"slo_128", 128, 144},
                {"first_token", 1, 17}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct tg_profile *p = tg_profile_find(rows[i].name);
        assert_non_null(p);
        assert_int_equal(tg_profile_call_tokens(p), rows[i].tokens);
        assert_int_equal(tg_profile_context(p), rows[i].context);
    }
}

/* What the last has is another batch only where it has fewer tokens than the others. */
static void a_prompt_is_computed_in_batches(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t batches[TG_PROFILE_BATCHES];
    } rows[] = {{"prefill_128", {128, 0}},
                {"prefill_512", {128, 0}},
                {"batch_32", {32, 0}},
                {"decode_32", {16, 0}},
                {"long_context_4096", {128, 96}}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t batches[TG_PROFILE_BATCHES];
        tg_profile_batches(tg_profile_find(rows[i].name), batches);
        assert_memory_equal(batches, rows[i].batches, sizeof batches);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_profile_is_found_by_its_name_only),
        cmocka_unit_test(each_gives_a_metric_that_there_is),
        cmocka_unit_test(a_rate_counts_the_tokens_of_one_call),
        cmocka_unit_test(a_prompt_is_computed_in_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
