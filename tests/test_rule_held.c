/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/judged_values.h"

/* Policies by which one run or node may fail nothing: min_sessions is 2. */

#define HELD "it would fail, but fewer than 2 runs or nodes saw it"

static void a_failure_may_have_to_be_seen_twice(void **state)
{
    (void)state;
    static int sessions[MOST];
    begin("noninferior");
    fill(0.07, 0.001);
    limits.min_sessions = 2;
    struct tg_verdict v = judge(&time_metric, 30, 1);
    assert_verdict(v, TG_INCONCLUSIVE, "held");
    assert_string_equal(v.reason, HELD);
    assert_false(v.wants_more);
    for (size_t i = 20; i < MOST; i++) sessions[i] = 1;
    struct tg_evidence evidence = {.rule = &rule,
                                   .limits = &limits,
                                   .metric = &time_metric,
                                   .required_count = 1,
                                   .values = values,
                                   .sessions = sessions,
                                   .count = 30};
    tg_rule_find(rule.rule)->judge(&evidence, &v);
    tg_rule_hold(&limits, &v);
    assert_verdict(v, TG_FAIL, "slower, minor");
    evidence.count = 20;
    tg_rule_find(rule.rule)->judge(&evidence, &v);
    tg_rule_hold(&limits, &v);
    assert_verdict(v, TG_INCONCLUSIVE, "held");
    for (size_t i = 20; i < 23; i++) values[i] = 0; /* a run that was there, and saw nothing */
    evidence.count = 23;
    tg_rule_find(rule.rule)->judge(&evidence, &v);
    tg_rule_hold(&limits, &v);
    assert_verdict(v, TG_INCONCLUSIVE, "held");
}

/* What passes whoever sees it again is not held, nor what a rule lets pass. */
static void what_would_not_fail_needs_no_other_run(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *fail_from;
        double slower;
        enum tg_answer answer;
        const char *word, *reason;
    } cases[] = {
        {"noninferior", "minor", 0.047, TG_PASS, "attention",
         "slower by 4.7 %, which is below the margin"},
        {"noninferior", "critical", 0.115, TG_PASS, "attention",
         "slower by 11.5 %, which the rule lets pass"},
        {"noninferior", "critical", 0.2, TG_INCONCLUSIVE, "held", HELD},
        {"scaling", "minor", 0.047, TG_PASS, "attention",
         "4.7 % more than its model is larger, which is below the margin"},
        {"scaling", "minor", 0.06, TG_INCONCLUSIVE, "held", HELD},
        {"slope", "minor", 2, TG_INCONCLUSIVE, "held", HELD},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(cases[i].kind);
        snprintf(rule.fail_from, sizeof rule.fail_from, "%s", cases[i].fail_from);
        limits.min_sessions = 2;
        fill(strcmp(cases[i].kind, "slope") == 0 ? cases[i].slower : log1p(cases[i].slower), 0.01);
        struct tg_verdict v = judge(&time_metric, 30, 1);
        assert_verdict(v, cases[i].answer, cases[i].word);
        assert_string_equal(v.reason, cases[i].reason);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_may_have_to_be_seen_twice),
        cmocka_unit_test(what_would_not_fail_needs_no_other_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
