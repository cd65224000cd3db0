/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "tests/made_run.h"

/* Kernels, whole models on a processor and on a GPU, engines on a GPU, and a reference engine. */
static const char matrix[] =
    "{\"tritgate_matrix\": 1, \"axes\": [{\"probe\": [\"kernel\"], \"kernel\": [\"i2s_scalar\","
    " \"i2s_avx2\", \"i2s_scalar_unpack\", \"i2s_avx2_unpack\"], \"model\": [\"bitnet-2b\"],"
    " \"layer\": [\"attn_q\", \"attn_k\"]}, {\"probe\": [\"model\"], \"kernel\": [\"i2s_avx2\","
    " \"i2s_cuda*\"], \"model\": [\"bitnet-2b\"], \"profile\": [\"decode_128\", \"slo_128\"]}, "
    "{\"probe\": [\"engine*\"], \"kernel\": [\"i2s_cuda*\"], \"model\": [\"bitnet-2b\"]}, "
    "{\"probe\": [\"engine*\"],"
    " \"model\": [\"bitnet-2b\"]}]}";

/* What was decided: "rule=answer word", ", " between; all else passed. Then where it must go. */
struct row {
    const char *flow, *step, *verdicts;
    size_t attempts;
    const char *condition, *to;
};

#define NO_BASE "no base"
#define NOTHING "nothing"
static const struct row rows[] = {
    {"generative", "record", "", 1, "baseline established", "FINALIZE → quality-finalizer"},
    {"generative", "record", NO_BASE, 1, "baseline established", "FINALIZE → quality-finalizer"},
    {"generative", "record", "i2s_accuracy=fail", 1, "architectural", "NEXT → spec-analyzer"},
    {"generative", "record", "simd=fail", 1, "below baseline", "NEXT → code-refiner"},
    {"generative", "record", "i2s_rate=pass attention", 1, "slow", "NEXT → code-refiner"},
    {"generative", "record", "simd=inconclusive", 1, "more needed", "NEXT → self"},
    {"generative", "record", "simd=inconclusive", 2, "undecided", "NEXT → code-refiner"},
    {"generative", "record", NOTHING, 1, "tooling", "NEXT → self"},
    {"generative", "record", NOTHING, 2, "tooling", "NEXT → self"},
    {"generative", "record", NOTHING, 3, "dependency", "NEXT → issue-creator"},

    {"review", "detect", "", 1, "maintained", "NEXT → perf-finalizer"},
    {"review", "detect", "kernel=pass attention", 1, "maintained", "NEXT → perf-finalizer"},
    {"review", "detect", "kernel=fail slower, critical", 1, "critical", "NEXT → perf-fixer"},
    {"review", "detect", "kernel=fail slower, minor", 1, "minor", "NEXT → perf-fixer"},
    {"review", "detect", "i2s_accuracy=fail, kernel=fail slower, critical", 1, "accuracy",
     "NEXT → architecture-reviewer"},
    {"review", "detect", "crossval_numeric=fail", 1, "crossval", "NEXT → C++ parity specialist"},
    {"review", "detect", "gpu_decode=fail slower, major", 1, "gpu", "NEXT → GPU specialist"},
    {"review", "detect", "kernel=inconclusive", 1, "inconclusive", "LOOP → self"},
    {"review", "detect", "kernel=inconclusive", 2, "inconclusive",
     "NEXT → review-performance-benchmark"},
    {"review", "detect", NO_BASE, 1, "baseline needed", "NEXT → review-performance-benchmark"},

    {"review", "analyse", "", 1, "validated", "NEXT → test-finalizer"},
    {"review", "analyse", "kernel=pass attention", 1, "within threshold",
     "NEXT → promotion-validator"},
    {"review", "analyse", "kernel=fail slower, minor", 1, "regression", "NEXT → perf-fixer"},
    {"review", "analyse", "unpack=fail slower, minor", 1, "quantization",
     "NEXT → quantization-optimizer"},
    {"review", "analyse", "gpu_decode=fail slower, minor", 1, "gpu", "NEXT → gpu-optimizer"},
    {"review", "analyse", "kernel=inconclusive", 2, "inconclusive", "LOOP → self"},
    {"review", "analyse", "kernel=inconclusive", 3, "inconclusive", "NEXT → review-summarizer"},
    {"review", "analyse", NO_BASE, 1, "baseline needed", "NEXT → review-summarizer"},

    {"review", "finalise", "", 1, "validated", "NEXT → review-docs-reviewer"},
    {"review", "finalise", "kernel=pass attention", 1, "minor regression",
     "NEXT → review-docs-reviewer"},
    {"review", "finalise", "kernel=pass improved", 1, "improved", "NEXT → review-docs-reviewer"},
    {"review", "finalise", "kernel=fail slower, minor", 1, "needs optimisation",
     "NEXT → review-perf-fixer"},
    {"review", "finalise", "gpu_memory=fail slower, minor", 1, "hardware",
     "NEXT → GPU/CUDA troubleshooting"},
    {"review", "finalise", "kernel=inconclusive", 1, "inconclusive",
     "NEXT → review-performance-benchmark"},
    {"review", "finalise", NO_BASE, 1, "baseline update", "NEXT → performance baseline manager"},

    {"integrative", "validate", "", 1, "validated", "NEXT → integrative-performance-finalizer"},
    {"integrative", "validate", "slo=fail", 1, "slo or memory",
     "NEXT → integrative-throughput-validator"},
    {"integrative", "validate", "leak=fail", 1, "slo or memory",
     "NEXT → integrative-throughput-validator"},
    {"integrative", "validate", "crossval_speed=fail, slo=fail", 1, "crossval",
     "NEXT → integration-tester"},
    {"integrative", "validate", "simd=fail", 1, "core bottleneck", "NEXT → architecture-reviewer"},
    {"integrative", "validate", "kernel=fail slower, critical", 1, "regression",
     "NEXT → perf-fixer"},
    {"integrative", "validate", "kernel=inconclusive", 1, "better hardware", "LOOP → self"},
    {"integrative", "validate", "kernel=inconclusive", 2, "undecided",
     "NEXT → integrative-throughput-validator"},
    {"integrative", "validate", NO_BASE, 1, "baseline needed", "LOOP → self"},
    {"integrative", "validate", NO_BASE, 2, "validated",
     "NEXT → integrative-performance-finalizer"},
};

/* Sets the verdicts of one rule; the last row that names it is what it gets. */
static void set(const struct tg_plan *plan, struct tg_decision *d, const char *text)
{
    size_t name = strcspn(text, "="), found = 0;
    const char *answer = text + name + 1, *word = strchr(answer, ' ');
    for (size_t i = 0; i < d->verdict_count; i++) {
        const struct tg_rule *rule = &plan->policy.rules[plan->spec.tests[i].rule];
        const char *called = tg_policy_rule_name(rule);
        if (strlen(called) != name || strncmp(called, text, name) != 0) continue;
        struct tg_verdict *v = &d->verdicts[i];
        v->answer = *answer == 'f' ? TG_FAIL : *answer == 'i' ? TG_INCONCLUSIVE : TG_PASS;
        snprintf(v->word, sizeof v->word, "%s", word ? word + 1 : "");
        found++;
    }
    if (!found) fail_msg("no test of '%s'", text);
}

static void plan_for(const struct row *row, struct tg_plan *plan)
{
    char path[4096];
    struct tg_json_file file;
    struct tg_error err;
    struct tg_asked asked = made_asked;
    snprintf(asked.step, sizeof asked.step, "%s", row->step);
    snprintf(path, sizeof path, TG_TEST_DATA "/../../matrix/policy/%s.json", row->flow);
    if (tg_json_read(path, &file, &err) < 0) fail_msg("%s", err.text);
    bool has_base = strcmp(row->verdicts, NO_BASE) != 0;
    struct tg_capability worker = made_worker("a", has_base ? MADE_BASE : NULL);
    made_plan(matrix, file.text, &worker, 1, &asked, plan);
    tg_json_release(&file);
}

static void decide(const struct row *row, const struct tg_plan *plan, struct tg_decision *d)
{
    const char *p = row->verdicts;
    *d = (struct tg_decision){
        .verdict_count = plan->spec.test_count,
        .required = plan->spec.test_count,
        .row_count = 1,
        .tries = {0, row->attempts - 1, row->attempts - 1, row->attempts - 1}};
    d->verdicts = calloc(d->verdict_count, sizeof *d->verdicts);
    assert_non_null(d->verdicts);
    if (strcmp(p, NOTHING) == 0) {
        d->required = d->row_count = 0;
        d->answer = TG_INCONCLUSIVE;
        return;
    }
    while (strchr(p, '=')) {
        set(plan, d, p);
        const char *next = strchr(p, '=');
        for (next = strstr(next, ", "); next && strcspn(next + 2, "=") > strcspn(next + 2, ",");)
            next = strstr(next + 2, ", ");
        if (!next || !strchr(next, '=')) break;
        p = next + 2;
    }
    for (size_t i = 0; i < d->verdict_count; i++) {
        enum tg_answer answer = d->verdicts[i].answer;
        if (answer == TG_FAIL || (answer == TG_INCONCLUSIVE && d->answer != TG_FAIL))
            d->answer = answer;
    }
}

static void each_decision_goes_where_its_flow_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_plan plan;
        struct tg_decision d;
        plan_for(&rows[i], &plan);
        decide(&rows[i], &plan, &d);
        const struct tg_flow_route *route = tg_route_choose(&plan, &d);
        if (!route || strcmp(route->condition, rows[i].condition) != 0 ||
            strcmp(route->to, rows[i].to) != 0)
            fail_msg("row %zu: %s, %s, '%s' goes by '%s' to '%s'", i, rows[i].flow, rows[i].step,
                     rows[i].verdicts, route ? route->condition : "", route ? route->to : "");
        tg_gate_release(&d);
        tg_plan_release(&plan);
    }
}

static void a_route_is_about_the_tests_that_made_it(void **state)
{
    (void)state;
    const struct row row = {"review", "detect", "kernel=fail slower, critical, simd=fail",
                            1,        "",       ""};
    struct tg_plan plan;
    struct tg_decision d;
    plan_for(&row, &plan);
    decide(&row, &plan, &d);
    const struct tg_flow_route *route = tg_route_choose(&plan, &d);
    assert_string_equal(route->condition, "critical");
    size_t about = 0;
    for (size_t i = 0; i < d.verdict_count; i++) {
        const char *name = tg_policy_rule_name(&plan.policy.rules[plan.spec.tests[i].rule]);
        bool is_about = tg_route_is_about(&plan, &d, route, i);
        about += is_about;
        assert_int_equal(is_about, strcmp(name, "kernel") == 0);
    }
    assert_true(about > 0);
    assert_true(tg_texts_have(&route->context, "commands") &&
                !tg_texts_have(&route->context, "machines"));
    tg_gate_release(&d);
    tg_plan_release(&plan);
}

static void a_skip_has_the_reason_of_the_registry(void **state)
{
    (void)state;
    const struct row row = {"review", "finalise", "", 1, "", ""};
    struct tg_plan plan;
    struct tg_decision d;
    plan_for(&row, &plan);
    decide(&row, &plan, &d);
    for (size_t i = 0; i < d.verdict_count; i++) {
        const struct tg_cell *cell = &plan.spec.tests[i].of;
        snprintf(d.verdicts[i].reason, sizeof d.verdicts[i].reason, "C++ unavailable");
        const char *reason = tg_route_skip_reason(&plan, &d, i);
        bool is_gpu = strstr(cell->kernel, "cuda") != NULL;
        if (is_gpu)
            assert_string_equal(reason, "no-gpu-available");
        else
            assert_string_equal(reason, "no-cpp-reference"); /* by its cell, or as an alias */
        snprintf(d.verdicts[i].reason, sizeof d.verdicts[i].reason, "something else");
        if (strcmp(cell->probe, "kernel") == 0 && !is_gpu)
            assert_string_equal(tg_route_skip_reason(&plan, &d, i), "something else");
    }
    tg_gate_release(&d);
    tg_plan_release(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_decision_goes_where_its_flow_says),
        cmocka_unit_test(a_route_is_about_the_tests_that_made_it),
        cmocka_unit_test(a_skip_has_the_reason_of_the_registry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
