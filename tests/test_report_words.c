/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/report.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loss_says_of_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
