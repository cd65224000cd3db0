/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "coordinator/report.h"
#include "worker/model/pretokenizer.h"

static void add_library(struct tg_json *list, const char *name, const struct tg_survey *survey)
{
    struct tg_json *library = tg_json_object(list, name);
    tg_json_add_text(library, "digest", survey->digest);
    tg_json_add_text(library, "build", survey->build);
    tg_json_add_number(library, "injected_percent", (double)survey->injected_percent);
    tg_json_add_boolean(library, "is_debug", survey->is_debug);
}

/* What it could find, and what it still needs. */
static void add_forecasts(struct tg_json *item, const struct tg_rule *rule,
                          const struct tg_verdict *v)
{
    tg_json_add_rounded(item, "detectable_planned", tg_report_effect(rule, v->detectable_planned));
    tg_json_add_rounded(item, "detectable", tg_report_effect(rule, v->detectable));
    tg_json_add_rounded(item, "rounds_needed", v->rounds_needed);
    tg_json_add_rounded(item, "seconds_needed", v->seconds_needed);
    tg_json_add_rounded(item, "rounds_low", v->rounds_left.low);
    tg_json_add_rounded(item, "rounds_high", v->rounds_left.high);
}

static void add_verdict(struct tg_json *list, const struct tg_plan *plan,
                        const struct tg_decision *d, size_t i)
{
    const struct tg_verdict *v = &d->verdicts[i];
    const struct tg_test *test = &plan->spec.tests[i];
    const struct tg_rule *rule = &plan->policy.rules[test->rule];
    char text[TG_CELL_TEXT_SIZE];
    struct tg_json *item = tg_json_object(list, NULL);
    tg_json_add_text(item, "rule", rule->rule);
    tg_json_add_text(item, "metric", rule->metric);
    tg_json_add_text(item, "of", tg_cell_text(&test->of, text));
    tg_json_add_text(item, "hardware", plan->classes[test->hardware]);
    if (test->has_to) tg_json_add_text(item, "to", tg_cell_text(&test->to, text));
    if (isfinite(rule->limit)) tg_json_add_number(item, "limit", rule->limit);
    if (isfinite(rule->tolerance)) tg_json_add_number(item, "tolerance", rule->tolerance);
    if (isfinite(rule->margin)) tg_json_add_number(item, "margin", rule->margin);
    tg_json_add_boolean(item, "is_required", tg_gate_is_required(plan, i));
    tg_json_add_boolean(item, "is_shadow", test->is_shadow);
    tg_json_add_text(item, "answer", tg_gate_word(v->answer));
    tg_json_add_text(item, "word", v->word);
    tg_json_add_text(item, "reason", v->reason);
    if (v->accepted) {
        struct tg_json *accepted = tg_json_object(item, "accepted");
        tg_json_add_number(accepted, "loss", v->accepted->loss);
        tg_json_add_text(accepted, "reason", v->accepted->reason);
        tg_json_add_text(accepted, "expires", v->accepted->expires);
        tg_json_add_text(accepted, "owner", v->accepted->owner);
    }
    tg_json_add_number(item, "rounds", (double)v->rounds);
    if (v->clocked) tg_json_add_number(item, "clocked", (double)v->clocked);
    if (v->clocked) tg_json_add_number(item, "discarded", (double)v->discarded);
    if (v->disturbed.rounds) tg_json_add_number(item, "disturbed", (double)v->disturbed.rounds);
    if (v->super_rounds) tg_json_add_number(item, "super_rounds", (double)v->super_rounds);
    /* A factor is written as it is demanded: 1.5, not 0.5 more than 1. */
    double one = strcmp(tg_rule_find(rule->rule)->reading, "factor") == 0 ? 1 : 0;
    tg_json_add_rounded(item, "estimate", v->estimate + one);
    tg_json_add_rounded(item, "low", v->interval.low + one);
    tg_json_add_rounded(item, "high", v->interval.high + one);
    if (isfinite(v->also)) {
        struct tg_json *also = tg_json_object(item, "also");
        tg_json_add_text(also, "metric", rule->also);
        tg_json_add_rounded(also, "estimate", v->also);
        tg_json_add_rounded(also, "low", v->also_interval.low);
        tg_json_add_rounded(also, "high", v->also_interval.high);
        tg_json_add_boolean(also, "is_clock_effect", v->is_clock_effect);
    }
    tg_json_add_rounded(item, "of_median", v->of_median);
    tg_json_add_rounded(item, "to_median", v->to_median);
    tg_json_add_number(item, "of_bytes", v->of_bytes);
    tg_json_add_rounded(item, "of_share", v->of_share);
    add_forecasts(item, rule, v);
    tg_json_add_rounded(item, "log_fail", v->log_fail);
    tg_json_add_rounded(item, "log_fail_line", v->log_fail_line);
    tg_json_add_rounded(item, "log_clean", v->log_clean);
    tg_json_add_rounded(item, "log_clean_line", v->log_clean_line);
}

static void add_families(struct tg_json *root, const struct tg_decision *d)
{
    struct tg_json *list = d->family_count ? tg_json_array(root, "families") : NULL;
    for (size_t i = 0; i < d->family_count; i++) {
        const struct tg_family_verdict *v = &d->families[i];
        struct tg_json *item = tg_json_object(list, NULL);
        tg_json_add_text(item, "name", v->name);
        tg_json_add_boolean(item, "is_over", v->is_over);
        tg_json_add_boolean(item, "is_held", v->is_held);
        tg_json_add_number(item, "tests", (double)v->tests);
        tg_json_add_number(item, "rounds", (double)v->rounds);
        tg_json_add_rounded(item, "estimate", v->estimate);
        tg_json_add_rounded(item, "low", v->interval.low);
        tg_json_add_rounded(item, "high", v->interval.high);
        tg_json_add_rounded(item, "log_fail", v->log_fail);
        tg_json_add_rounded(item, "log_line", v->log_line);
    }
}

static void add_fallbacks(struct tg_json *root, const struct tg_decision *d)
{
    char text[TG_CELL_TEXT_SIZE];
    struct tg_json *list = d->fallback_count ? tg_json_array(root, "fallbacks") : NULL;
    for (size_t i = 0; i < d->fallback_count; i++) {
        const struct tg_fallback *f = &d->fallbacks[i];
        struct tg_json *item = tg_json_object(list, NULL);
        tg_json_add_text(item, "chain", f->chain->name);
        tg_json_add_text(item, "cell", tg_cell_text(f->cell, text));
        tg_json_add_number(item, "tries", (double)f->tries);
        tg_json_add_text(item, "reason", f->reason);
        tg_json_add_text(item, "level", f->level->level);
        tg_json_add_text(item, "method", f->level->method);
        if (!f->instead) continue;
        tg_json_add_text(item, "instead", tg_cell_text(f->instead, text));
        tg_json_add_text(item, "result", tg_gate_word(f->answer));
    }
}

static void add_tries(struct tg_json *root, const struct tg_decision *d)
{
    struct tg_json *list = d->retry_count ? tg_json_array(root, "tries") : NULL;
    for (size_t i = 0; i < d->retry_count; i++) {
        const struct tg_retry *retry = &d->retries[i];
        struct tg_json *item = tg_json_object(list, NULL);
        tg_json_add_number(item, "attempt", (double)retry->attempt);
        tg_json_add_text(item, "kind", tg_retry_word(retry->kind));
        tg_json_add_text(item, "reason", retry->reason);
    }
}

/* JSON is UTF-8; a text of others need not be, nor one that was cut within a letter. */
static void make_utf8(char *text)
{
    for (size_t size; *text; text += size) {
        size = tg_pretokenizer_character((struct tg_gguf_text){text, strnlen(text, 4)});
        if (size > 0) continue;
        *text = '?';
        size = 1;
    }
}

void tg_report_receipt(FILE *out, const struct tg_plan *plan, const struct tg_decision *d)
{
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_number(root, "tritgate_receipt", 1);
    tg_json_add_text(root, "version", TRITGATE_VERSION);
    tg_json_add_text(root, "flow", plan->policy.flow);
    tg_json_add_text(root, "answer", tg_gate_word(d->answer));
    tg_json_add_number(root, "status", tg_gate_status(d));
    tg_json_add_text(root, "date", d->date);
    tg_report_flow_add(root, plan, d);
    struct tg_json *notes = tg_json_array(root, "notes");
    for (size_t n = 0; n < d->note_count; n++) tg_json_add_text(notes, NULL, d->notes[n]);

    tg_json_add_text(root, "alarms", tg_report_alarms(plan));
    struct tg_json *counts = tg_json_object(root, "counts");
    tg_json_add_number(counts, "required", (double)d->required);
    tg_json_add_number(counts, "passed", (double)d->passed);
    tg_json_add_number(counts, "failed", (double)d->failed);
    tg_json_add_number(counts, "inconclusive", (double)d->inconclusive);
    tg_json_add_number(counts, "attention", (double)d->attention);
    tg_json_add_number(counts, "skipped", (double)d->skipped);
    tg_json_add_number(counts, "shadows", (double)d->shadows);
    tg_json_add_number(counts, "optional", (double)d->optional);
    tg_json_add_number(counts, "optional_open", (double)d->optional_open);
    tg_json_add_number(counts, "optional_attention", (double)d->optional_attention);
    tg_json_add_number(counts, "statistical", (double)plan->required_count);

    struct tg_json *evidence = tg_json_object(root, "evidence");
    tg_json_add_number(evidence, "rows", (double)d->row_count);
    tg_json_add_text(evidence, "digest", d->evidence);
    tg_json_add_text(evidence, "seed", plan->asked.seed);
    tg_json_add_text(evidence, "matrix", plan->matrix_digest);
    tg_json_add_text(evidence, "policy", plan->policy_digest);
    tg_json_add_boolean(evidence, "is_own_policy", plan->is_own_policy);
    struct tg_json *runs = plan->session_count ? tg_json_array(evidence, "runs") : NULL;
    for (size_t i = 0; i < plan->session_count; i++) {
        struct tg_json *one = tg_json_object(runs, NULL);
        tg_json_add_number(one, "rows", (double)plan->sessions[i].row_count);
        tg_json_add_text(one, "digest", plan->sessions[i].evidence);
        tg_json_add_text(one, "seed", plan->sessions[i].seed);
    }
    tg_inherit_add(root, &plan->asked.inherit);
    struct tg_json *libraries = tg_json_object(root, "libraries");
    add_library(libraries, "head", &plan->workers[0].head);
    if (plan->has_base) add_library(libraries, "base", &plan->workers[0].base);
    tg_json_add_record(root, "limits", &tg_limits_type, &plan->policy.limits);

    add_families(root, d);
    add_fallbacks(root, d);
    add_tries(root, d);
    struct tg_json *list = tg_json_array(root, "verdicts");
    for (size_t i = 0; i < d->verdict_count; i++) add_verdict(list, plan, d, i);
    char *text = tg_json_print(root, true);
    make_utf8(text);
    fprintf(out, "%s\n", text);
    free(text);
    tg_json_free(root);
}
