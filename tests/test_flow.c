/* SPDX-License-Identifier: Apache-2.0 */
#include "matrix/flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "matrix/policy.h"
#include "tests/known_words.h"
#include "tests/own_policy.h"

static const char head[] = "{\"tritgate_policy\": 1, \"flow\": \"review\", \"rules\": ["
                           "{\"rule\": \"floor\", \"name\": \"accuracy\", \"metric\":"
                           " \"kernel_accuracy\", \"limit\": 0.99},"
                           "{\"rule\": \"floor\", \"name\": \"first\", \"step\": \"one\","
                           " \"metric\": \"kernel_accuracy\", \"limit\": 0.9},"
                           "{\"rule\": \"ceiling\", \"metric\": \"call_time\", \"limit\": 1}]";

/* Parses head, ",\n" and `rest`. */
static int parse(const char *rest, struct tg_policy *policy, struct tg_error *err)
{
    char text[8192];
    struct tg_json_file file;
    snprintf(text, sizeof text, "%s,\n%s", head, rest);
    if (tg_json_parse(text, &file, err) < 0) return -1;
    int rc = tg_policy_parse(&file, &known, policy, err);
    tg_json_release(&file);
    return rc;
}

static const char whole[] =
    "\"agent\": \"reviewer\", \"mode\": \"slo\", \"writes\": [\"perf\"], \"inherits\": [\"a\"],\n"
    "\"guard\": {\"env\": \"FLOW\", \"equals\": \"review\", \"else\": \"skipped (out)\","
    " \"gate\": \"guard\", \"exit\": 2},\n"
    "\"conclusions\": {\"inconclusive\": \"action_required\"},\n"
    "\"dialect\": {\"colon\": \":\", \"unit\": \"tok/sec\"}, \"labels\": [\"state:ready\"],\n"
    "\"targets\": [\"NEXT → a\", \"LOOP → self\"],\n"
    "\"fallbacks\": [{\"name\": \"gpu\", \"levels\": [{\"level\": \"primary\", \"does\": \"d\"},"
    " {\"level\": \"alt1\", \"does\": \"e\", \"method\": \"m\", \"cells\": \"device=cpu\","
    " \"same\": \"op batch\"}], \"each\": true}],\n"
    "\"skips\": [{\"reason\": \"no-gpu\", \"aliases\": [\"GPU gone\"], \"cells\":"
    " [\"kernel=*cuda*\"]}],\n"
    "\"surface\": [\"kernels/*\"],"
    "\"components\": [{\"paths\": [\"kernels/a*\"], \"cells\": \"op=product\"}],\n"
    "\"steps\": [{\"name\": \"one\", \"agent\": \"x\", \"writes\": true, \"retry\": {\"gpu\": 2},"
    " \"limits\": {\"rounds_min\": 9}, \"texts\": {\"evidence\": [\"a {accuracy%:1}\","
    " \"b {call_time}[; {?skip.no-gpu}c]\", \"{gpu.method} {?gpu.alt1}\"]},"
    " \"routes\": [{\"condition\": \"slow\", \"when\": \"fail\", \"rules\": \"acc*\","
    " \"cells\": \"op=product\", \"retry\": \"gpu\", \"to\": \"LOOP → self\","
    " \"context\": [\"cells\"], \"advice\": [\"look\"]}]},"
    " {\"name\": \"two\"}, {\"name\": \"three\", \"writes\": false}]}";

static void a_flow_is_read_whole(void **state)
{
    (void)state;
    struct tg_policy p;
    struct tg_error err;
    if (parse(whole, &p, &err) < 0) fail_msg("%s", err.text);
    const struct tg_flow *f = &p.process;
    assert_string_equal(f->agent, "reviewer");
    assert_string_equal(f->mode, "slo");
    assert_string_equal(f->writes.at[0], "perf");
    assert_string_equal(f->conclusions[0], "success");
    assert_string_equal(f->conclusions[3], "action_required");
    assert_string_equal(f->unit, "tok/sec");
    assert_int_equal(f->targets.count, 2);
    assert_string_equal(f->chains[0].levels[0].method, "d");
    assert_string_equal(f->chains[0].levels[1].cells, "device=cpu");
    assert_string_equal(f->chains[0].levels[1].same, "op batch");
    assert_true(f->chains[0].is_for_each);
    assert_string_equal(tg_flow_skip_find(f, "GPU gone")->reason, "no-gpu");
    assert_null(tg_flow_skip_find(f, "gpu gone"));
    assert_string_equal(f->components[0].cells, "op=product");
    assert_int_equal(f->step_count, 3);
    assert_string_equal(f->steps[0].agent, "x");
    assert_string_equal(f->steps[1].agent, "reviewer");
    assert_int_equal(f->steps[0].retry.gpu, 2);
    assert_int_equal(f->steps[0].retry.statistical, 0);
    assert_string_equal(f->steps[0].routes[0].to, "LOOP → self");
    assert_string_equal(f->steps[0].routes[0].context.at[0], "cells");
    assert_string_equal(tg_flow_lines(f, "evidence").at[0], "a {accuracy%:1}");
    assert_int_equal(tg_flow_lines(f, "hop").count, 0);
    tg_policy_release(&p);
}

static void a_step_has_its_own_rules_and_limits(void **state)
{
    (void)state;
    struct tg_policy p;
    struct tg_error err;
    assert_int_equal(parse(whole, &p, &err), 0);
    assert_int_equal(tg_policy_choose(&p, "one", &err), 0);
    assert_int_equal(p.rule_count, 3);
    assert_int_equal(p.limits.rounds_min, 9);
    tg_policy_release(&p);

    assert_int_equal(parse(whole, &p, &err), 0);
    assert_int_equal(tg_policy_choose(&p, "", &err), 0); /* the last that writes */
    assert_string_equal(p.process.steps[p.process.step].name, "two");
    assert_int_equal(p.rule_count, 2);
    assert_string_equal(p.rules[1].metric, "call_time");
    assert_int_equal(p.limits.rounds_min, 5);
    assert_int_equal(tg_policy_choose(&p, "four", &err), -1);
    assert_string_equal(err.text, "the policy has no step 'four', it has one, two, three");
    tg_policy_release(&p);
}

static void a_policy_without_a_flow_has_no_steps(void **state)
{
    (void)state;
    struct tg_policy p;
    struct tg_error err;
    char text[] = "\"agent\": \"a\", \"steps\": [{\"name\": \"one\", \"writes\": false}]}";
    assert_int_equal(parse(text, &p, &err), 0);
    assert_int_equal(tg_policy_choose(&p, "", &err), -1);
    assert_string_equal(err.text, "no step of the policy writes its gate; name one");
    tg_policy_release(&p);

    struct tg_json_file file;
    assert_int_equal(
        tg_json_parse("{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": [{\"rule\":"
                      " \"floor\", \"metric\": \"call_time\", \"limit\": 1}]}",
                      &file, &err),
        0);
    assert_int_equal(tg_policy_parse(&file, &known, &p, &err), 0);
    assert_string_equal(p.process.conclusions[1], "failure");
    assert_int_equal(tg_policy_choose(&p, "", &err), 0);
    assert_int_equal(tg_policy_choose(&p, "one", &err), -1);
    tg_policy_release(&p);
    tg_json_release(&file);
}

#define ONE "\"name\": \"one\""
static const char *const refused[][2] = {
    {"\"fallbacks\": [{\"name\": \"answer\", \"levels\": []}]}",
     "line 2: fallbacks[0]: 'answer' is a word or another fallback, no name for one"},
    {"\"fallbacks\": [{\"name\": \"pass\", \"levels\": []}]}",
     "line 2: fallbacks[0]: 'pass' is a word or another fallback, no name for one"},
    {"\"fallbacks\": [{\"name\": \"gpu\", \"levels\": []}, {\"name\": \"gpu\", \"levels\": []}]}",
     "line 2: fallbacks[1]: 'gpu' is a word or another fallback, no name for one"},
    {"\"agents\": 1}", "line 2: agents: unknown key 'agents'"},
    {"\"agent\": 1}", "line 2: agent: a text is expected"},
    {"\"mode\": \"slow\"}", "line 2: mode: a mode is record, compare or slo"},
    {"\"writes\": \"perf\"}", "line 2: writes: a list of texts is expected"},
    {"\"writes\": [1]}", "line 2: writes[0]: a text is expected"},
    {"\"guard\": {\"env\": \"A\"}}", "line 2: guard: 'equals' is missing"},
    {"\"guard\": {\"env\": \"A\", \"equals\": \"b\", \"else\": \"pass\", \"gate\": \"d\","
     "\n\"exit\": 0}}",
     "line 2: guard.else: what is not measured is 'skipped (...)'"},
    {"\"conclusions\": {\"fail\": \"success\"}}",
     "line 2: conclusions.fail: only a pass is a success"},
    {"\"conclusions\": {\"inconclusive\": \"success\"}}",
     "line 2: conclusions.inconclusive: only a pass is a success"},
    {"\"guard\": {\"env\": \"A\", \"equals\": \"b\", \"else\": \"c\", \"gate\": \"d\","
     "\n\"exit\": 3}}",
     "line 3: guard.exit: a whole number from 0 to 2 is expected"},
    {"\"conclusions\": {\"pass\": \"green\"}}",
     "line 2: conclusions.pass: a conclusion is success, failure, neutral or action_required"},
    {"\"dialect\": {\"space\": true}}", "line 2: dialect.space: unknown key 'space'"},
    {"\"skips\": [{\"reason\": \"a\"}, {\"reason\": \"a\"}]}",
     "line 2: skips: reason 'a' is given twice"},
    {"\"skips\": [{\"reason\": \"a\", \"cells\": [\"colour=red\"]}]}",
     "line 2: skips[0].cells: unknown axis 'colour' in 'colour=red'"},
    {"\"fallbacks\": [{\"name\": \"a\", \"each\": 1, \"levels\": []}]}",
     "line 2: fallbacks[0].each: true or false is expected"},
    {"\"fallbacks\": [{\"name\": \"a\", \"levels\": [{\"level\": \"alt1\", \"does\": "
     "\"d\", \"same\": \"op colour\"}]}]}",
     "line 2: fallbacks[0].levels[0].same: 'colour' is no axis, and no label of a kernel"},
    {"\"fallbacks\": [{\"name\": \"a\", \"levels\": [{\"level\": \"alt3\", \"does\": "
     "\"d\"}]}]}",
     "line 2: fallbacks[0].levels[0].level: a level is primary, alt1, alt2 or skip"},
    {"\"components\": [{\"cells\": \"op=product\"}]}",
     "line 2: components[0]: 'paths' has at least one pattern"},
    {"\"steps\": [{\"agent\": \"a\"}]}", "line 2: steps[0]: 'name' is missing"},
    {"\"steps\": [{\"name\": \"on`e\", \"agent\": \"a\"}]}",
     "line 2: steps[0].name: a step's name is of lower case letters, digits, '-' and '_'"},
    {"\"steps\": [{" ONE ", \"retry\": {\"gpu\": -1}}]}",
     "line 2: steps[0].retry.gpu: a whole number from 0 to 100 is expected"},
    {"\"steps\": [{" ONE ", \"writes\": 1}]}",
     "line 2: steps[0].writes: 'writes' is true or false"},
    {"\"steps\": [{" ONE ", \"limits\": {\"rounds_min\": 0}}]}",
     "line 2: steps[0].limits: 'rounds_min' must be at least 1, and 'rounds_max' from that to "
     "100000"},
    {"\"steps\": [{" ONE ", \"limits\": {\"exclusive\": \"core\"}}]}",
     "line 2: steps[0].limits: 'exclusive' must be the same for all steps"},
    {"\"steps\": [{" ONE ",\n \"texts\": {\"hop\": [\"x\",\n\"{speed}\"]}}]}",
     "line 4: steps[0].texts.hop[1]: nothing is called 'speed'"},
    {"\"steps\": [{" ONE ", \"texts\": {\"hop\": [\"{accuracy.speed}\"]}}]}",
     "line 2: steps[0].texts.hop[0]: nothing is called 'accuracy.speed'"},
    {"\"steps\": [{" ONE ", \"texts\": {\"hop\": [\"{?skip.no-gpu}\"]}}]}",
     "line 2: steps[0].texts.hop[0]: nothing is called '?skip.no-gpu'"},
    {"\"steps\": [{" ONE ", \"texts\": {\"hop\": [\"[{accuracy}\"]}}]}",
     "line 2: steps[0].texts.hop[0]: a group is not closed"},
    {"\"steps\": [{" ONE ", \"texts\": {\"evidance\": [\"{accuracy}\"]}}]}",
     "line 2: steps[0].texts.evidance: unknown key 'evidance'"},
    {"\"steps\": [{" ONE ", \"routes\": [{\"condition\": \"a\", \"when\": \"fail\","
     " \"to\": \"NEXT → b\"}]}]}",
     "line 2: steps[0].routes[0].to: 'NEXT → b' is not one of the flow's targets"},
    {"\"targets\": [\"b\"], \"steps\": [{" ONE ", \"routes\": [{\"condition\": \"a\","
     " \"when\": \"failed\", \"to\": \"b\"}]}]}",
     "line 2: steps[0].routes[0].when: routes know no condition 'failed'"},
    {"\"targets\": [\"b\"], \"steps\": [{" ONE ", \"routes\": [{\"condition\": \"a\","
     " \"when\": \"fail\", \"to\": \"b\", \"context\": [\"all\"]}]}]}",
     "line 2: steps[0].routes[0].context: routes know no context 'all'"},
    {"\"targets\": [\"b\"], \"steps\": [{" ONE ", \"routes\": [{\"condition\": \"a\","
     " \"when\": \"fail\", \"to\": \"b\", \"retry\": \"all\"}]}]}",
     "line 2: steps[0].routes[0].retry: a bound of retries is tooling, gpu or statistical"},
    {"\"targets\": [\"b\"], \"steps\": [{" ONE ", \"routes\": [{\"condition\": \"a\","
     " \"when\": \"fail\", \"to\": \"b\", \"rules\": \"acc* speed*\"}]}]}",
     "line 2: steps[0].routes[0].rules: 'speed*' matches no rule of the policy"},
    {"\"steps\": [{" ONE "}, {\"name\": \"two\"}, {" ONE "}]}",
     "line 2: steps: step 'one' is given twice"},
    {"\"steps\": [{\"name\": \"two\"}]}",
     "line 1: rules[1]: the policy has no step 'one', it has two"},
};

/* {answer.limit} would be the word, and {?pass} the decision's. */
static void a_rule_has_no_name_that_means_something_else(void **state)
{
    (void)state;
    static const char *const names[] = {"answer", "failed", "pass", "same", "skip", "gpu"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tg_policy p;
        struct tg_error err = {""};
        struct tg_json_file file;
        char text[500], sentence[200];
        snprintf(text, sizeof text,
                 "{\"tritgate_policy\": 1, \"flow\": \"f\", \"fallbacks\": [{\"name\": \"gpu\","
                 " \"levels\": []}], \"rules\": [{\"rule\": \"floor\", \"name\": \"%s\","
                 " \"metric\": \"kernel_accuracy\", \"limit\": 0.9}]}",
                 names[i]);
        snprintf(sentence, sizeof sentence,
                 "line 1: rules[0]: '%s' is a word or a fallback, no name for a rule", names[i]);
        assert_int_equal(tg_json_parse(text, &file, &err), 0);
        if (tg_policy_parse(&file, &known, &p, &err) == 0) fail_msg("taken: %s", names[i]);
        assert_string_equal(err.text, sentence);
        tg_json_release(&file);
    }
}

static void what_a_flow_may_not_say_is_refused_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct tg_policy p;
        struct tg_error err = {""};
        if (parse(refused[i][0], &p, &err) == 0) fail_msg("taken: %s", refused[i][0]);
        assert_string_equal(err.text, refused[i][1]);
    }
}

static void the_policies_of_the_three_flows_can_be_read(void **state)
{
    (void)state;
    static const struct {
        const char *flow, *gate, *mode, *step;
        size_t steps;
    } rows[] = {{"generative", "benchmarks", "record", "record", 1},
                {"review", "perf", "compare", "finalise", 3},
                {"integrative", "benchmarks", "slo", "validate", 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_policy p;
        struct tg_error err;
        own_policy(rows[i].flow, &p);
        assert_string_equal(p.flow, rows[i].flow);
        assert_string_equal(p.process.mode, rows[i].mode);
        assert_string_equal(p.process.writes.at[0], rows[i].gate);
        assert_int_equal(p.process.step_count, rows[i].steps);
        for (size_t s = 0; s < p.process.step_count; s++) { /* some route always holds */
            const struct tg_flow_step *step = &p.process.steps[s];
            assert_true(step->route_count > 0);
            assert_string_equal(step->routes[step->route_count - 1].when, "pass");
        }
        assert_int_equal(tg_policy_choose(&p, "", &err), 0);
        assert_string_equal(p.process.steps[p.process.step].name, rows[i].step);
        assert_true(tg_flow_lines(&p.process, "evidence").count > 0);
        tg_policy_release(&p);
    }
}

static void a_real_model_is_no_synthetic_one(void **state)
{
    (void)state;
    static const char *const names[] = {"models", "gpu", "review", "integrative", "generative"};
    size_t levels = 0;
    struct tg_error err;
    struct tg_cell real;
    assert_int_equal(tg_cell_parse("probe=model kernel=panel_avx2 model=gguf", &real, &err), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tg_policy p;
        own_policy(names[i], &p);
        for (size_t c = 0; c < p.process.chain_count; c++)
            for (size_t l = 0; l < p.process.chains[c].level_count; l++) {
                const struct tg_flow_level *level = &p.process.chains[c].levels[l];
                if (!strstr(level->does, "synthetic model")) continue;
                levels++;
                if (tg_cell_matches(&real, level->cells, &known))
                    fail_msg("%s: %s", names[i], level->does);
            }
        tg_policy_release(&p);
    }
    assert_true(levels >= sizeof names / sizeof *names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flow_is_read_whole),
        cmocka_unit_test(a_step_has_its_own_rules_and_limits),
        cmocka_unit_test(a_policy_without_a_flow_has_no_steps),
        cmocka_unit_test(a_rule_has_no_name_that_means_something_else),
        cmocka_unit_test(what_a_flow_may_not_say_is_refused_with_its_place),
        cmocka_unit_test(the_policies_of_the_three_flows_can_be_read),
        cmocka_unit_test(a_real_model_is_no_synthetic_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
