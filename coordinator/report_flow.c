/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "coordinator/dialect.h"
#include "coordinator/report.h"
#include "coordinator/route.h"
#include "worker/probe/probe.h"

/* What reports have of the flow: its lines, its conclusion, and where the decision goes next. */

#define MOST_TESTS 8 /* that are named under a route; the others are counted */

size_t tg_report_flow_text(FILE *out, const struct tg_plan *plan, const struct tg_decision *d,
                           const char *name)
{
    char line[TG_DIALECT_LINE_SIZE];
    size_t written = 0;
    for (size_t i = 0; i < tg_flow_lines(&plan->policy.process, name).count; i++) {
        if (!tg_dialect_line(plan, d, name, i, line, sizeof line)) continue;
        fprintf(out, "%s\n", line);
        written++;
    }
    return written;
}

/*
 * The command that runs one cell again, once for all tests of the cell that are listed, and where
 * this program can: of an engine's cells it has no probe.
 */
static void put_command(FILE *out, const struct tg_plan *plan, const struct tg_decision *d,
                        const struct tg_flow_route *route, size_t test)
{
    char text[TG_CELL_TEXT_SIZE];
    const struct tg_test *tests = plan->spec.tests;
    if (!tg_probe_find(tests[test].of.probe)) return;
    for (size_t i = 0; i < test; i++)
        if (tg_route_is_about(plan, d, route, i) &&
            memcmp(&tests[i].of, &tests[test].of, sizeof tests[i].of) == 0)
            return;
    fprintf(out, "  `tritgate cell --library HEAD '%s'`\n", tg_cell_text(&tests[test].of, text));
}

/* What the receiver is given of one test. */
static void put_test(FILE *out, const struct tg_plan *plan, const struct tg_decision *d,
                     const struct tg_flow_route *route, size_t test)
{
    const struct tg_verdict *v = &d->verdicts[test];
    const struct tg_rule *rule = &plan->policy.rules[plan->spec.tests[test].rule];
    char text[TG_REPORT_TEXT_SIZE];
    fputs("- ", out);
    tg_report_put(out, tg_report_subject(plan, test, text, sizeof text));
    if (!tg_texts_have(&route->context, "thresholds")) fprintf(out, " (%s)", rule->metric);
    if (tg_texts_have(&route->context, "deltas") && isfinite(v->estimate))
        fprintf(out, ": %s", tg_report_measured(rule, v, text, sizeof text));
    if (tg_texts_have(&route->context, "thresholds"))
        fprintf(out, "; demanded: %s", tg_report_demanded(rule, text, sizeof text));
    if (tg_texts_have(&route->context, "reasons") && *tg_report_why(v, text, sizeof text)) {
        fputs("; ", out);
        tg_report_put(out, text);
    }
    fputc('\n', out);
    if (tg_texts_have(&route->context, "commands")) put_command(out, plan, d, route, test);
}

static void put_skipped(FILE *out, const struct tg_plan *plan, const struct tg_decision *d)
{
    char text[TG_REPORT_TEXT_SIZE];
    for (size_t i = 0; i < d->verdict_count; i++) {
        if (d->verdicts[i].answer != TG_SKIP) continue;
        fputs("- skipped (", out);
        tg_report_put(out, tg_route_skip_reason(plan, d, i));
        fputs("): ", out);
        tg_report_put(out, tg_report_subject(plan, i, text, sizeof text));
        fprintf(out, " (%s)\n", plan->policy.rules[plan->spec.tests[i].rule].metric);
    }
}

/* Whether anything is listed under a route beside its advice. */
static bool has_list(const struct tg_plan *plan, const struct tg_decision *d,
                     const struct tg_flow_route *route)
{
    if (tg_texts_have(&route->context, "machines") ||
        (tg_texts_have(&route->context, "skipped") && d->skipped))
        return true;
    for (size_t i = 0; i < d->verdict_count; i++)
        if (tg_route_is_about(plan, d, route, i)) return true;
    return false;
}

void tg_report_flow_next(FILE *out, const struct tg_plan *plan, const struct tg_decision *d)
{
    const struct tg_flow_route *route = tg_route_choose(plan, d);
    size_t seen = 0;
    if (!route) return;
    fprintf(out, "\n## Next\n\n**%s** (%s)\n", route->to, route->condition);
    for (size_t i = 0; i < route->advice.count; i++)
        fprintf(out, "%s- %s\n", i ? "" : "\n", route->advice.at[i]);
    if (!route->advice.count && has_list(plan, d, route)) fputc('\n', out);
    for (size_t i = 0; i < d->verdict_count; i++) {
        if (!tg_route_is_about(plan, d, route, i)) continue;
        if (seen++ < MOST_TESTS) put_test(out, plan, d, route, i);
    }
    if (seen > MOST_TESTS) fprintf(out, "- and %zu more\n", seen - MOST_TESTS);
    if (tg_texts_have(&route->context, "skipped")) put_skipped(out, plan, d);
    if (tg_texts_have(&route->context, "machines")) {
        fputs("- machines: ", out);
        tg_report_put(out, *d->machines ? d->machines : "none");
        fputc('\n', out);
    }
}

static void add_tests(struct tg_json *object, const struct tg_plan *plan,
                      const struct tg_decision *d, const struct tg_flow_route *route)
{
    char text[TG_CELL_TEXT_SIZE];
    struct tg_json *list = tg_json_array(object, "tests");
    for (size_t i = 0; i < d->verdict_count; i++) {
        const struct tg_verdict *v = &d->verdicts[i];
        const struct tg_rule *rule = &plan->policy.rules[plan->spec.tests[i].rule];
        if (!tg_route_is_about(plan, d, route, i)) continue;
        struct tg_json *item = tg_json_object(list, NULL);
        tg_json_add_text(item, "rule", tg_policy_rule_name(rule));
        tg_json_add_text(item, "cell", tg_cell_text(&plan->spec.tests[i].of, text));
        if (tg_texts_have(&route->context, "deltas"))
            tg_json_add_text(item, "measured", tg_report_measured(rule, v, text, sizeof text));
        if (tg_texts_have(&route->context, "thresholds"))
            tg_json_add_text(item, "demanded", tg_report_demanded(rule, text, sizeof text));
        if (tg_texts_have(&route->context, "reasons"))
            tg_json_add_text(item, "reason", tg_report_why(v, text, sizeof text));
    }
}

void tg_report_flow_add(struct tg_json *root, const struct tg_plan *plan,
                        const struct tg_decision *d)
{
    const struct tg_flow *flow = &plan->policy.process;
    const struct tg_flow_route *route = tg_route_choose(plan, d);
    char line[TG_DIALECT_LINE_SIZE];
    if (flow->step_count == 0) return;
    tg_json_add_text(root, "step", flow->steps[flow->step].name);
    tg_json_add_text(root, "gate", flow->writes.count ? flow->writes.at[0] : "");
    tg_json_add_boolean(root, "writes_gate", flow->steps[flow->step].writes);
    tg_json_add_text(root, "conclusion", tg_dialect_conclusion(plan, d));
    struct tg_json *texts = tg_json_object(root, "texts");
    const struct tg_flow_step *step = &flow->steps[flow->step];
    for (size_t t = 0; t < step->text_count; t++) {
        bool is_evidence = strcmp(step->texts[t].name, "evidence") == 0;
        struct tg_json *list = tg_json_array(is_evidence ? root : texts,
                                             is_evidence ? "evidence_lines" : step->texts[t].name);
        for (size_t i = 0; i < step->texts[t].lines.count; i++)
            if (tg_dialect_line(plan, d, step->texts[t].name, i, line, sizeof line))
                tg_json_add_text(list, NULL, line);
    }
    struct tg_json *routes = tg_json_array(root, "routes");
    if (!route) return;
    struct tg_json *item = tg_json_object(routes, NULL);
    tg_json_add_text(item, "condition", route->condition);
    tg_json_add_text(item, "to", route->to);
    struct tg_json *advice = tg_json_array(item, "advice");
    for (size_t i = 0; i < route->advice.count; i++)
        tg_json_add_text(advice, NULL, route->advice.at[i]);
    add_tests(item, plan, d, route);
}
