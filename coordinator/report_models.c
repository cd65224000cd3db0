/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/report.h"
#include "coordinator/stages.h"

/* Of a Markdown report: where the time of whole models went, and what kernels are worth in them. */

static void put_cell(FILE *out, const struct tg_plan *plan, const struct tg_stages *s)
{
    char text[TG_CELL_TEXT_SIZE] = "";
    tg_report_add_axes(s->cell, "", "", text, sizeof text);
    tg_report_add_hardware(plan, s->hardware, text, sizeof text);
    tg_report_put(out, text);
}

static void put_seconds(FILE *out, double seconds, double before)
{
    static const struct tg_metric time = {"", "s", TG_LOWER, TG_SAMPLED, TG_POSITIVE, ""};
    char text[64];
    if (!isfinite(seconds)) {
        fputs(" | -", out);
        return;
    }
    fprintf(out, " | %s", tg_metric_text(&time, seconds, text, sizeof text));
    if (before > 0) fprintf(out, " (%+.1f %%)", tg_rule_percent(seconds / before - 1));
}

static void put_stages(FILE *out, const struct tg_plan *plan, const struct tg_stages *list,
                       size_t count)
{
    fputs("\n## Where the time of models went\n\n| Cell | Rounds", out);
    for (int stage = 0; stage < TG_STAGES; stage++)
        if (tg_stages_has(list, count, (enum tg_stage)stage))
            fprintf(out, " | %s", tg_stages_title((enum tg_stage)stage));
    fputs(" | A token, p50 | p95 |\n|------|--------", out);
    for (int stage = 0; stage < TG_STAGES; stage++)
        if (tg_stages_has(list, count, (enum tg_stage)stage)) fputs("|------", out);
    fputs("|------|------|\n", out);
    for (size_t i = 0; i < count; i++) {
        fputs("| ", out);
        put_cell(out, plan, &list[i]);
        fprintf(out, " | %zu", list[i].rounds);
        for (int stage = 0; stage < TG_STAGES; stage++)
            if (tg_stages_has(list, count, (enum tg_stage)stage))
                put_seconds(out, list[i].seconds[stage], list[i].before[stage]);
        put_seconds(out, list[i].token_p50, NAN);
        put_seconds(out, list[i].token_p95, NAN);
        fputs(" |\n", out);
    }
    fputs("\nLoad and Quantization are had once a round, the rest is of one call; in brackets, how "
          "much"
          " more than the other\nbuild's. Medians: they show where to look, and decide nothing.\n",
          out);
}

/* Whether a test compares two builds of that one's kernel, in a whole model or by itself. */
static bool is_of_kernel(const struct tg_plan *plan, const struct tg_decision *d, size_t i,
                         const struct tg_test *like, bool in_model)
{
    const struct tg_test *t = &plan->spec.tests[i];
    const bool is_model = *t->of.profile != 0;
    return strcmp(plan->policy.rules[t->rule].rule, "noninferior") == 0 &&
           strcmp(plan->policy.rules[t->rule].axis, "build") == 0 && is_model == in_model &&
           isfinite(d->verdicts[i].of_call_s) && isfinite(d->verdicts[i].estimate) &&
           t->hardware == like->hardware && strcmp(t->of.kernel, like->of.kernel) == 0 &&
           strcmp(t->of.model, like->of.model) == 0;
}

static void put_deltas(FILE *out, const struct tg_plan *plan, const struct tg_decision *d,
                       const struct tg_test *like, bool in_model)
{
    const char *before = "";
    for (size_t i = 0; i < d->verdict_count; i++) {
        const struct tg_test *t = &plan->spec.tests[i];
        if (!is_of_kernel(plan, d, i, like, in_model)) continue;
        fputs(before, out);
        tg_report_put(out, in_model ? t->of.profile : t->of.layer);
        if (!in_model && t->of.batch != 1) fprintf(out, " batch=%lld", (long long)t->of.batch);
        fprintf(out, " %+.2f %%", tg_rule_percent(d->verdicts[i].estimate));
        before = ", ";
    }
}

/* Whether no test before i is of the same kernel, model and hardware, in a model. */
static bool is_first(const struct tg_plan *plan, const struct tg_decision *d, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (is_of_kernel(plan, d, k, &plan->spec.tests[i], true)) return false;
    return true;
}

static void put_kernels(FILE *out, const struct tg_plan *plan, const struct tg_decision *d)
{
    bool any = false;
    for (size_t i = 0; i < d->verdict_count; i++) {
        const struct tg_test *test = &plan->spec.tests[i];
        char model[TG_REPORT_TEXT_SIZE];
        bool has_kernel = false;
        if (!is_of_kernel(plan, d, i, test, true) || !is_first(plan, d, i)) continue;
        for (size_t k = 0; k < d->verdict_count; k++)
            has_kernel = has_kernel || is_of_kernel(plan, d, k, test, false);
        if (!has_kernel) continue;
        if (!any)
            fputs("\n## Kernels by themselves, and in the model\n\n"
                  "| Kernel | Model | By itself, a call takes more by | The model takes more by "
                  "|\n|--------|-------|---------------------------------|-------------------------"
                  "|\n",
                  out);
        any = true;
        fputs("| ", out);
        tg_report_put(out, test->of.kernel);
        fputs(" | ", out);
        snprintf(model, sizeof model, "%s", test->of.model);
        tg_report_add_hardware(plan, plan->classes[test->hardware], model, sizeof model);
        tg_report_put(out, model);
        fputs(" | ", out);
        put_deltas(out, plan, d, test, false);
        fputs(" | ", out);
        put_deltas(out, plan, d, test, true);
        fputs(" |\n", out);
    }
}

void tg_report_models(FILE *out, const struct tg_plan *plan, const struct tg_decision *d)
{
    struct tg_stages *list;
    size_t count;
    if (d->run && tg_stages_find(d->run, &list, &count, NULL) == 0) {
        if (count) put_stages(out, plan, list, count);
        free(list);
    }
    put_kernels(out, plan, d);
}
