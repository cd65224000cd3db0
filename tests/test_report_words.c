/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/report.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* How reports say single numbers. */

/* A rule of a throughput speaks of that; what is told in time beside it says so. */
static void a_loss_says_of_what_it_is(void **state)
{
    (void)state;
    struct tg_rule rule;
    struct tg_verdict v = {.detectable = -log1p(-0.03), .estimate = 0.03, .interval = {0.02, 0.04}};
    struct tg_family_verdict family = {
        .name = "cpu", .tests = 4, .rounds = 20, .estimate = 0.0315, .interval = {0.0299, 0.0334}};
    char text[TG_REPORT_TEXT_SIZE];
    tg_record_init(&tg_rule_type, &rule);
    snprintf(rule.rule, sizeof rule.rule, "noninferior");
    snprintf(rule.metric, sizeof rule.metric, "decode_rate");
    assert_string_equal(tg_report_detectable(&rule, &v, text, sizeof text), "3.1 % slower");
    snprintf(rule.effect, sizeof rule.effect, "throughput");
    assert_string_equal(tg_report_detectable(&rule, &v, text, sizeof text), "3 % less throughput");
    assert_string_equal(tg_report_measured(&rule, &v, text, sizeof text), "-2.91 % [-3.85, -1.96]");
    assert_string_equal(tg_report_family(&family, text, sizeof text),
                        "family cpu: 4 tests, 20 rounds: slower by +3.15 % [+2.99, +3.34]");
    family.interval = (struct tg_interval){0.0299, INFINITY};
    assert_string_equal(tg_report_family(&family, text, sizeof text),
                        "family cpu: 4 tests, 20 rounds: slower by +3.15 %");
}

/* What a slope could have found is a share of its limit, and told in its unit. */
static void what_a_slope_would_find_is_told_in_its_unit(void **state)
{
    (void)state;
    struct tg_rule rule;
    struct tg_verdict v = {.detectable = 0.5};
    char text[TG_REPORT_TEXT_SIZE];
    tg_record_init(&tg_rule_type, &rule);
    snprintf(rule.rule, sizeof rule.rule, "slope");
    snprintf(rule.metric, sizeof rule.metric, "call_time");
    rule.limit = 2e-9;
    assert_string_equal(tg_report_detectable(&rule, &v, text, sizeof text), "3 ns");
    snprintf(rule.metric, sizeof rule.metric, "held_memory");
    rule.limit = 4096;
    assert_string_equal(tg_report_detectable(&rule, &v, text, sizeof text), "6 KiB");
}

/* Names that others gave are shown as they are; those of kernels stay readable. */
static void text_of_others_is_no_markup(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"i2s_avx2_unpack, attn_q: head vs base", "i2s_avx2_unpack, attn_q: head vs base"},
        {"_under_", "\\_under\\_"},
        {"a__b __c__ d_, _", "a__b \\_\\_c\\_\\_ d\\_, \\_"},
        {"~~strike~~", "\\~\\~strike\\~\\~"},
        {"&lt;img&gt;", "&amp;lt;img&amp;gt;"},
        {"a|b <b> *c* `d` \\ [e]", "a\\|b \\<b\\> \\*c\\* \\`d\\` \\\\ \\[e\\]"},
        {"@user\n", "&#64;user "}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);
        assert_non_null(out);
        tg_report_put(out, rows[i][0]);
        assert_int_equal(fclose(out), 0);
        assert_string_equal(text, rows[i][1]);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loss_says_of_what_it_is),
        cmocka_unit_test(what_a_slope_would_find_is_told_in_its_unit),
        cmocka_unit_test(text_of_others_is_no_markup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
