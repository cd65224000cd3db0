/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/route.h"

#include <fnmatch.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Whether a name matches one of the patterns, which blanks separate; all match "". */
static bool matches_any(const char *patterns, const char *name)
{
    char pattern[TG_TEXT_SIZE];
    const char *p = patterns + strspn(patterns, " ");
    if (!*p) return true;
    while (*p) {
        size_t length = strcspn(p, " ");
        snprintf(pattern, sizeof pattern, "%.*s", (int)length, p);
        if (fnmatch(pattern, name, 0) == 0) return true;
        p += length;
        p += strspn(p, " ");
    }
    return false;
}

/* Whether the test is of the rules and cells that the route is about, and no shadow. */
static bool is_in(const struct tg_plan *plan, const struct tg_decision *d,
                  const struct tg_flow_route *route, size_t test)
{
    const struct tg_test *t = &plan->spec.tests[test];
    if (t->is_shadow && !tg_gate_counts(plan, test, &d->verdicts[test])) return false;
    return matches_any(route->rules, tg_policy_rule_name(&plan->policy.rules[t->rule])) &&
           tg_cell_matches(&t->of, route->cells, &plan->words);
}

/* Whether one verdict is what the route waits for. */
static bool is_so(const char *when, const struct tg_verdict *v)
{
    static const struct {
        const char *when;
        enum tg_answer answer;
        const char *word; /* that its word holds */
    } rows[] = {{"pass", TG_PASS, ""},
                {"fail", TG_FAIL, ""},
                {"minor", TG_FAIL, "minor"},
                {"major", TG_FAIL, "major"},
                {"critical", TG_FAIL, "critical"},
                {"attention", TG_PASS, "attention"},
                {"improved", TG_PASS, "improved"},
                {"inconclusive", TG_INCONCLUSIVE, ""},
                {"skipped", TG_SKIP, ""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].when, when) == 0)
            return v->answer == rows[i].answer && strstr(v->word, rows[i].word);
    return false;
}

static bool any_is_so(const struct tg_plan *plan, const struct tg_decision *d,
                      const struct tg_flow_route *route)
{
    for (size_t i = 0; i < d->verdict_count; i++)
        if (is_in(plan, d, route, i) && is_so(route->when, &d->verdicts[i])) return true;
    return false;
}

size_t tg_route_retries(const struct tg_flow_step *step, enum tg_try kind)
{
    return kind == TG_TRY_TOOLING       ? (size_t)step->retry.tooling
           : kind == TG_TRY_GPU         ? (size_t)step->retry.gpu
           : kind == TG_TRY_STATISTICAL ? (size_t)step->retry.statistical
                                        : SIZE_MAX; /* it had no decision yet */
}

/* Whether the same step may be tried once more. */
static bool may_retry(const struct tg_flow_step *step, const char *bound,
                      const size_t tries[TG_TRY_KINDS])
{
    for (enum tg_try kind = 0; kind < TG_TRY_KINDS; kind++)
        if (strcmp(bound, tg_retry_word(kind)) == 0)
            return tries[kind] < tg_route_retries(step, kind);
    return true;
}

static bool holds(const struct tg_plan *plan, const struct tg_decision *d,
                  const struct tg_flow_route *route)
{
    const struct tg_flow *flow = &plan->policy.process;
    bool is_whole = !*route->rules && !*route->cells;
    if (!may_retry(&flow->steps[flow->step], route->retry, d->tries)) return false;
    if (strcmp(route->when, "always") == 0) return true;
    if (strcmp(route->when, "nothing") == 0)
        return d->answer == TG_INCONCLUSIVE && (d->required == 0 || d->row_count == 0);
    if (strcmp(route->when, "baseline-needed") == 0)
        return strcmp(flow->mode, "record") != 0 && !plan->has_base;
    /* Of the whole decision, which can also fail by a family, or be open for want of a seal. */
    if (is_whole && strcmp(route->when, "pass") == 0) return d->answer == TG_PASS;
    if (is_whole && strcmp(route->when, "fail") == 0) return d->answer == TG_FAIL;
    if (is_whole && strcmp(route->when, "inconclusive") == 0) return d->answer == TG_INCONCLUSIVE;
    return any_is_so(plan, d, route);
}

const struct tg_flow_route *tg_route_choose(const struct tg_plan *plan,
                                            const struct tg_decision *decision)
{
    const struct tg_flow *flow = &plan->policy.process;
    if (flow->step_count == 0) return NULL;
    const struct tg_flow_step *step = &flow->steps[flow->step];
    for (size_t i = 0; i < step->route_count; i++)
        if (holds(plan, decision, &step->routes[i])) return &step->routes[i];
    return NULL;
}

bool tg_route_is_about(const struct tg_plan *plan, const struct tg_decision *decision,
                       const struct tg_flow_route *route, size_t test)
{
    const struct tg_test *t = &plan->spec.tests[test];
    if (!is_in(plan, decision, route, test)) return false;
    if (strcmp(route->when, "pass") == 0 && !(t->has_to && strcmp(t->to.build, t->of.build) != 0))
        return false;
    return is_so(route->when, &decision->verdicts[test]);
}

const char *tg_route_skip_reason(const struct tg_plan *plan, const struct tg_decision *decision,
                                 size_t test)
{
    const struct tg_flow *flow = &plan->policy.process;
    for (size_t i = 0; i < flow->skip_count; i++)
        for (size_t k = 0; k < flow->skips[i].cells.count; k++)
            if (tg_cell_matches(&plan->spec.tests[test].of, flow->skips[i].cells.at[k],
                                &plan->words))
                return flow->skips[i].reason;
    const struct tg_flow_skip *skip = tg_flow_skip_find(flow, decision->verdicts[test].reason);
    return skip ? skip->reason : decision->verdicts[test].reason;
}
