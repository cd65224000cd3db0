/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/coverage.h"
#include "coordinator/report.h"
#include "worker/probe/probe.h"

/* Whether the underscores here are between two letters of a word, as in i2s_avx2: no markup. */
static bool is_in_word(const char *text, const char *at)
{
    const char *first = at, *end = at;
    while (first > text && first[-1] == '_') first--;
    while (*end == '_') end++;
    return first > text && isalnum((unsigned char)first[-1]) && isalnum((unsigned char)*end);
}

void tg_report_put(FILE *out, const char *text)
{
    for (const char *at = text; *at; at++) {
        if (*at == '@') { /* nobody is to be called by what a process printed */
            fputs("&#64;", out);
            continue;
        }
        if (*at == '&') {
            fputs("&amp;", out);
            continue;
        }
        if (strchr("|<>*`\\[]~", *at) || (*at == '_' && !is_in_word(text, at))) fputc('\\', out);
        fputc(*at == '\n' ? ' ' : *at, out);
    }
}

static void put_row(FILE *out, const struct tg_plan *plan, const struct tg_decision *d, size_t i)
{
    const struct tg_verdict *v = &d->verdicts[i];
    const struct tg_rule *rule = &plan->policy.rules[plan->spec.tests[i].rule];
    char text[TG_REPORT_TEXT_SIZE];
    fputs("| ", out);
    tg_report_put(out, tg_report_result(plan, i, v, text, sizeof text));
    fputs(" | ", out);
    tg_report_put(out, tg_report_subject(plan, i, text, sizeof text));
    fputs(" | ", out);
    tg_report_put(out, tg_report_demanded(rule, text, sizeof text));
    fputs(" | ", out);
    tg_report_put(out, tg_report_measured(rule, v, text, sizeof text));
    fputs(" | ", out);
    tg_report_put(out, tg_report_absolute(rule, v, text, sizeof text));
    fprintf(out, " | %zu", v->rounds);
    if (v->discarded) fprintf(out, " (%zu discarded)", v->discarded);
    if (v->disturbed.rounds) fprintf(out, " (%zu disturbed)", v->disturbed.rounds);
    if (v->super_rounds) fprintf(out, " (%zu super-rounds)", v->super_rounds);
    fputs(" | ", out);
    tg_report_put(out, tg_report_detectable(rule, v, text, sizeof text));
    fputs(" | ", out);
    tg_report_put(out, tg_report_why(v, text, sizeof text));
    if (v->answer == TG_INCONCLUSIVE && *tg_report_needed(v, text, sizeof text)) {
        fputs("; ", out);
        tg_report_put(out, text);
    }
    fputs(" |\n", out);
}

static void put_part(FILE *out, const struct tg_plan *plan, const struct tg_decision *d,
                     enum tg_report_part part, const char *title)
{
    bool any = false;
    for (size_t i = 0; i < d->verdict_count; i++) {
        if (tg_report_part(plan, d, i) != part) continue;
        if (!any)
            fprintf(out,
                    "\n## %s\n\n"
                    "| Result | Test | Demanded | Measured | Median | Rounds | Can find | Why |\n"
                    "|--------|------|----------|----------|--------|--------|----------|-----|\n",
                    title);
        any = true;
        put_row(out, plan, d, i);
    }
}

/* Whether a failure before test i showed the command of this cell. */
static bool was_shown(const struct tg_plan *plan, const struct tg_decision *d, size_t i,
                      const struct tg_cell *cell)
{
    for (size_t k = 0; k < i; k++) {
        const struct tg_test *test = &plan->spec.tests[k];
        if (tg_report_part(plan, d, k) != TG_REPORT_FAILED) continue;
        if (memcmp(&test->of, cell, sizeof *cell) == 0) return true;
        if (test->has_to && memcmp(&test->to, cell, sizeof *cell) == 0) return true;
    }
    return false;
}

/* How to see a failure again by hand, where this program can: of an engine's cells it has no probe.
 */
static void put_commands(FILE *out, const struct tg_plan *plan, const struct tg_decision *d)
{
    char text[TG_CELL_TEXT_SIZE];
    bool any = false;
    for (size_t i = 0; i < d->verdict_count; i++) {
        const struct tg_test *test = &plan->spec.tests[i];
        if (tg_report_part(plan, d, i) != TG_REPORT_FAILED) continue;
        if (!tg_probe_find(test->of.probe)) continue;
        if (!any)
            fputs("\nTo see it again by hand (a cell alone shows whether it runs and is right; two "
                  "builds are\ncompared by `tritgate run MATRIX --base BASE --head HEAD --filter "
                  "'kernel=...'`):\n\n```sh\n",
                  out);
        any = true;
        for (int side = 0; side <= test->has_to; side++) {
            const struct tg_cell *cell = side ? &test->to : &test->of;
            bool is_base = strcmp(cell->build, "base") == 0;
            if (!was_shown(plan, d, i, cell))
                fprintf(out, "tritgate cell --library %s '%s'\n", is_base ? "BASE" : "HEAD",
                        tg_cell_text(cell, text));
        }
    }
    if (any) fputs("```\n", out);
}

/* What is imported may name its library in any letters: no backtick ends the code that it is. */
static void put_library(FILE *out, const char *name, const struct tg_survey *survey)
{
    fprintf(out, "- %s: `", name);
    for (const char *at = survey->digest; *at && at < survey->digest + 16; at++)
        fputc(*at == '`' ? ' ' : *at, out);
    fputs("`, ", out);
    tg_report_put(out, survey->build);
    fputc('\n', out);
}

static void put_rules(FILE *out, const struct tg_plan *plan, const struct tg_decision *d)
{
    if (!d->unused_rules) return;
    fputs("\n## Rules that select nothing here: skipped (n/a-surface)\n\n", out);
    for (size_t r = 0; r < plan->policy.rule_count; r++) {
        const struct tg_rule *rule = &plan->policy.rules[r];
        bool used = false;
        for (size_t i = 0; i < plan->spec.test_count; i++)
            used = used || plan->spec.tests[i].rule == r;
        if (used) continue;
        fprintf(out, "- %s of %s", rule->rule, rule->metric);
        if (*rule->where) fprintf(out, " where `%s`", rule->where);
        fputc('\n', out);
    }
}

static void put_unasked(FILE *out, const struct tg_plan *plan, const struct tg_decision *d)
{
    char text[TG_CELL_TEXT_SIZE];
    size_t count = 0, *places = calloc(plan->spec.cell_count + 1, sizeof *places);
    if (d->unasked && places && tg_coverage_find_unasked(plan, places, &count, NULL) == 0)
        fputs("\n## Cells that no rule asks for: not measured\n\n", out);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "- `%s`\n", tg_cell_text(&plan->spec.cells[places[i]], text));
    free(places);
}

static void put_families(FILE *out, const struct tg_decision *d)
{
    char text[TG_REPORT_TEXT_SIZE];
    if (d->family_count) fputs("\n## Families: tests looked at together\n\n", out);
    for (size_t i = 0; i < d->family_count; i++) {
        fputs("- ", out);
        tg_report_put(out, tg_report_family(&d->families[i], text, sizeof text));
        if (d->families[i].is_over) fputs(", **over its line**", out);
        fputs(d->families[i].is_held ? ", held\n" : "\n", out);
    }
}

static void put_fallbacks(FILE *out, const struct tg_decision *d)
{
    char text[TG_CELL_TEXT_SIZE];
    if (d->fallback_count)
        fputs("\n## Not measured, and what was instead\n\n"
              "| Cell | Tries | Reason | Method | Result | Cell instead |\n"
              "|------|-------|--------|--------|--------|--------------|\n",
              out);
    for (size_t i = 0; i < d->fallback_count; i++) {
        const struct tg_fallback *f = &d->fallbacks[i];
        fputs("| ", out);
        *text = 0;
        tg_report_add_axes(f->cell, "", "", text, sizeof text);
        tg_report_put(out, text);
        fprintf(out, " | %zu | ", f->tries);
        tg_report_put(out, f->reason);
        fputs(" | ", out);
        tg_report_put(out, f->level->method);
        fprintf(out, " | %s | ", f->instead ? tg_gate_word(f->answer) : "skipped");
        *text = 0;
        if (f->instead) tg_report_add_axes(f->instead, "", "", text, sizeof text);
        tg_report_put(out, text);
        fputs(" |\n", out);
    }
}

/* The flow's lines, set as they are. */
static void put_lines(FILE *out, const struct tg_plan *plan, const struct tg_decision *d)
{
    static const char *const names[] = {"evidence", "chain", "assumption"};
    if (plan->policy.process.step_count == 0) return;
    fputs("```text\n", out);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        tg_report_flow_text(out, plan, d, names[i]);
    fputs("```\n\n", out);
    if (tg_report_flow_text(out, plan, d, "table")) fputc('\n', out);
}

static void put_tries(FILE *out, const struct tg_decision *d)
{
    for (size_t i = 0; i < d->retry_count; i++) {
        fprintf(out, "- attempt %lld, %s: ", (long long)d->retries[i].attempt,
                tg_retry_word(d->retries[i].kind));
        tg_report_put(out, d->retries[i].reason);
        fputc('\n', out);
    }
}

/* What decides so again: with the options that the run has not kept. */
static void put_command(FILE *out, const struct tg_plan *plan)
{
    const struct tg_flow *flow = &plan->policy.process;
    const char *step = flow->step_count ? flow->steps[flow->step].name : "";
    bool is_asked = *step && strcmp(step, plan->asked.step) == 0;
    fprintf(out, "- decide again from the stored samples: `tritgate gate %s%s%s%s%s%sDIRECTORY`\n",
            plan->asked.is_imported ? "--imported " : "", plan->is_own_text ? "" : "--policy FILE ",
            is_asked ? "--step " : "", is_asked ? step : "", is_asked ? " " : "",
            plan->is_own_acceptance ? "" : "--accept FILE ");
}

/* With a stored baseline its numbers may call a test clean, and, where they do not, the duet. */
static void put_rates(FILE *out, const struct tg_plan *plan)
{
    const struct tg_limits *limits = &plan->policy.limits;
    const int ways = plan->asked.baseline_count && plan->has_base ? 2 : 1;
    fprintf(out,
            "- policy: flow %s; at most %.3g %% of runs without a slow-down fail, over %zu "
            "statistical test%s; a slow-down of its margin is called clean in at most %.3g %%\n",
            plan->policy.flow, 100 * tg_policy_alpha(limits), plan->required_count,
            plan->required_count == 1 ? "" : "s", 100 * ways * limits->alpha_miss);
    fprintf(out, "- intervals: %.3g %%, over rounds; a round is fresh processes, sampled in turn\n",
            100 * limits->confidence);
}

void tg_report_markdown(FILE *out, const struct tg_plan *plan, const struct tg_decision *d)
{
    char summary[TG_REPORT_TEXT_SIZE];
    fprintf(out, "# tritgate: %s\n\n", tg_gate_word(d->answer));
    for (size_t n = 0; n < d->note_count; n++) {
        fputs("**", out);
        tg_report_put(out, d->notes[n]);
        fputs("**\n\n", out);
    }
    fprintf(out, "%s.\n", tg_report_summary(d, summary, sizeof summary));
    fputc('\n', out);
    tg_report_put(out, tg_report_alarms(plan));
    fputs(".\n", out);

    put_part(out, plan, d, TG_REPORT_FAILED, "Failed");
    put_commands(out, plan, d);
    put_part(out, plan, d, TG_REPORT_OPEN, "Inconclusive");
    put_part(out, plan, d, TG_REPORT_ATTENTION, "Attention");
    put_part(out, plan, d, TG_REPORT_PASSED, "Passed");
    put_part(out, plan, d, TG_REPORT_SKIPPED, "Skipped: this run could not measure it");
    put_part(out, plan, d, TG_REPORT_SHADOWS, "Shadows: head against its own copy, not counted");
    tg_report_models(out, plan, d);
    put_families(out, d);
    put_fallbacks(out, d);
    put_rules(out, plan, d);
    put_unasked(out, plan, d);
    tg_report_flow_next(out, plan, d);

    fputs("\n## Evidence\n\n", out);
    put_lines(out, plan, d);
    fputs("- measured on: ", out);
    tg_report_put(out, *d->machines ? d->machines : "nothing");
    fprintf(out, "; %zu worker%s; tritgate " TRITGATE_VERSION "\n", plan->worker_count,
            plan->worker_count == 1 ? "" : "s");
    if (*d->devices) {
        fputs("- devices: ", out);
        tg_report_put(out, d->devices);
        fputc('\n', out);
    }
    put_rates(out, plan);
    put_library(out, "head", &plan->workers[0].head);
    if (plan->has_base) put_library(out, "base", &plan->workers[0].base);
    fprintf(out, "- rows: %zu, the last of ", d->row_count);
    tg_report_put(out, d->date);
    fprintf(out, ", SHA-256 of their digests `%.16s`, seed %s\n", d->evidence, plan->asked.seed);
    for (size_t i = 0; i < plan->session_count; i++)
        fprintf(out, "- run %zu of %zu: %zu rows, SHA-256 of their digests `%.16s`, seed %s\n",
                i + 1, plan->session_count, plan->sessions[i].row_count, plan->sessions[i].evidence,
                plan->sessions[i].seed);
    put_tries(out, d);
    put_command(out, plan);
}
