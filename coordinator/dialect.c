/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/dialect.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/inherit.h"
#include "coordinator/report.h"
#include "coordinator/route.h"

/* What a template is filled from; text holds what a figure says in words. */
struct source {
    const struct tg_plan *plan;
    const struct tg_decision *decision;
    char text[1024];
};

static const struct tg_rule *rule_of(const struct source *s, size_t test)
{
    return &s->plan->policy.rules[s->plan->spec.tests[test].rule];
}

static bool reads(const struct tg_rule *rule, const char *reading)
{
    return strcmp(tg_rule_find(rule->rule)->reading, reading) == 0;
}

/* Whether it was compared with head's own copy. */
static bool is_shadow(const struct source *s, size_t test)
{
    return s->plan->spec.tests[test].is_shadow;
}

static bool is_named(const struct source *s, size_t test, const char *name)
{
    return strcmp(tg_policy_rule_name(rule_of(s, test)), name) == 0 &&
           s->decision->verdicts[test].answer != TG_SKIP;
}

/* How bad a verdict's figure is, in the sense of its rule; more is worse. */
static double badness(const struct source *s, size_t test)
{
    const struct tg_rule *rule = rule_of(s, test);
    double estimate = s->decision->verdicts[test].estimate;
    return reads(rule, "least") || reads(rule, "factor") ? -estimate : estimate;
}

/* Whether a test is a shadow that decides nothing. */
static bool is_idle(const struct source *s, size_t test)
{
    return is_shadow(s, test) && !tg_gate_counts(s->plan, test, &s->decision->verdicts[test]);
}

/* Whether one test is worse than another; any that decides something is worse than a shadow. */
static bool is_worse(const struct source *s, size_t test, size_t other)
{
    if (is_idle(s, test) != is_idle(s, other)) return is_idle(s, other);
    return badness(s, test) > badness(s, other);
}

/* The worst of the measured tests of that name; the count of tests if there is none. */
static size_t worst(const struct source *s, const char *name)
{
    size_t found = s->decision->verdict_count;
    for (size_t i = 0; i < s->decision->verdict_count; i++) {
        if (!is_named(s, i, name) || !isfinite(s->decision->verdicts[i].estimate)) continue;
        if (found == s->decision->verdict_count || is_worse(s, i, found)) found = i;
    }
    return found;
}

/*
 * How many tests of that name count, passed, failed, are open, passed without attention, improved,
 * and are decided with a value.
 */
struct tally {
    size_t all, passed, failed, open, clear, improved, known;
};

static struct tally tally(const struct source *s, const char *name)
{
    struct tally t = {0};
    for (size_t i = 0; i < s->decision->verdict_count; i++) {
        const struct tg_verdict *v = &s->decision->verdicts[i];
        if (!is_named(s, i, name) || is_idle(s, i)) continue;
        t.all++;
        t.passed += v->answer == TG_PASS;
        t.clear += v->answer == TG_PASS && strcmp(v->word, "attention") != 0;
        t.improved += v->answer == TG_PASS && strcmp(v->word, "improved") == 0;
        t.failed += v->answer == TG_FAIL;
        t.open += v->answer == TG_INCONCLUSIVE;
        t.known += v->answer != TG_INCONCLUSIVE && isfinite(v->estimate);
    }
    return t;
}

/* A slow-down, as a ratio less 1, as the change of its metric or of its throughput. */
static double as_change(const struct tg_rule *rule, double slower)
{
    bool is_rate = tg_metric_find(rule->metric)->better == TG_HIGHER ||
                   strcmp(rule->effect, "throughput") == 0;
    return is_rate ? -slower / (1 + slower) : slower;
}

static struct tg_figure number(double value, int toward, bool is_signed)
{
    return (struct tg_figure){
        .is_there = isfinite(value), .value = value, .toward = toward, .is_signed = is_signed};
}

static struct tg_figure text(const char *words)
{
    return (struct tg_figure){.is_there = *words != 0, .text = words};
}

/*
 * As a table says it: what failed, what needs a look, improvements beyond the margin included. Of a
 * shadow, which passes nothing, it says nothing.
 */
static const char *token(const struct source *s, size_t test)
{
    const struct tg_verdict *v = &s->decision->verdicts[test];
    const struct tg_rule *rule = rule_of(s, test);
    if (is_idle(s, test)) return "";
    if (v->answer == TG_FAIL) return "❌ FAIL";
    if (v->answer == TG_INCONCLUSIVE || strcmp(v->word, "attention") == 0) return "⚠️ WARN";
    if (reads(rule, "slowdown") && fabs(as_change(rule, v->estimate)) > rule->margin)
        return "⚠️ WARN";
    return "✅ PASS";
}

/* The parts of a slow-down that need a build to compare with. */
static struct tg_figure compared(const struct source *s, size_t test, const char *part)
{
    const struct tg_verdict *v = &s->decision->verdicts[test];
    const struct tg_rule *rule = rule_of(s, test);
    if (is_shadow(s, test)) return (struct tg_figure){0};
    double low = as_change(rule, v->interval.low), high = as_change(rule, v->interval.high);
    if (strcmp(part, "baseline") == 0) return number(v->to_median, 0, false);
    if (strcmp(part, "delta") == 0) return number(as_change(rule, v->estimate), 0, true);
    return number(strcmp(part, "low") == 0 ? fmin(low, high) : fmax(low, high), 0, true);
}

/* The parts of the worst test of a rule's name. */
static struct tg_figure measured(const struct source *s, size_t test, const char *part)
{
    const struct tg_verdict *v = &s->decision->verdicts[test];
    const struct tg_rule *rule = rule_of(s, test);
    bool is_slowdown = reads(rule, "slowdown"), is_factor = reads(rule, "factor");
    bool is_low = strcmp(part, "low") == 0, is_value = !*part || strcmp(part, "value") == 0;
    int toward = reads(rule, "least") || is_factor ? -1 : reads(rule, "most") ? 1 : 0;
    if (strcmp(part, "token") == 0) return text(token(s, test));
    if (is_slowdown && is_value) return number(v->of_median, 0, false);
    if (is_slowdown && strcmp(part, "factor") != 0) return compared(s, test, part);
    if (strcmp(part, "factor") == 0 || (is_factor && !*part))
        return number(is_factor ? 1 + v->estimate : NAN, toward, false);
    if (is_factor && is_value) return number(v->of_median, 0, false);
    if (is_value) return number(v->estimate, toward, false);
    if (is_low || strcmp(part, "high") == 0)
        return number((is_low ? v->interval.low : v->interval.high) + (is_factor ? 1 : 0), 0,
                      false);
    if (strcmp(part, "baseline") == 0) return number(v->to_median, 0, false);
    return (struct tg_figure){0};
}

static struct tg_figure limit(const struct source *s, const char *name)
{
    for (size_t i = 0; i < s->plan->policy.rule_count; i++) {
        const struct tg_rule *rule = &s->plan->policy.rules[i];
        if (strcmp(tg_policy_rule_name(rule), name) == 0)
            return number(isfinite(rule->limit) ? rule->limit : rule->margin, 0, false);
    }
    return (struct tg_figure){0};
}

static struct tg_figure of_rule(const struct source *s, const struct tg_hole *hole)
{
    struct tally t = tally(s, hole->name);
    size_t test = worst(s, hole->name);
    if (strcmp(hole->part, "limit") == 0) return limit(s, hole->name);
    if (strcmp(hole->part, "count") == 0) return number(t.all ? (double)t.all : NAN, 0, false);
    if (strcmp(hole->part, "met") == 0) return number(t.all ? (double)t.passed : NAN, 0, false);
    if (strcmp(hole->part, "result") == 0)
        return text(t.failed ? "fail" : t.open ? "inconclusive" : t.all ? "pass" : "");
    if (test == s->decision->verdict_count) return (struct tg_figure){0};
    bool is_plain = reads(rule_of(s, test), "slowdown") &&
                    (!*hole->part || strcmp(hole->part, "value") == 0);
    if (t.open && !is_plain) return (struct tg_figure){0}; /* the worst is not known yet */
    return measured(s, test, hole->part);
}

/* Whether what is asked of a rule's tests is so. */
static bool rule_is(const struct source *s, const char *name, const char *state)
{
    struct tally t = tally(s, name);
    size_t test = worst(s, name);
    if (t.all == 0) return false;
    if (!*state) return t.clear == t.all;
    if (strcmp(state, "fail") == 0) return t.failed > 0;
    if (strcmp(state, "attention") == 0) return t.passed > t.clear;
    if (strcmp(state, "improved") == 0) return t.improved > 0;
    if (test == s->decision->verdict_count) return false;
    if (strcmp(state, "measured") == 0) return true;
    const struct tg_rule *rule = rule_of(s, test);
    double value = s->decision->verdicts[test].estimate, bound = strtod(state, NULL);
    if (t.known < t.all) return false; /* what is open or crashed may be worse than any */
    if (reads(rule, "factor")) return 1 + value >= bound;
    return reads(rule, "least") ? value >= bound : value <= bound;
}

/* The level of a chain that was reached: the first whose cells have an answer. */
static const struct tg_flow_level *level_of(const struct source *s,
                                            const struct tg_flow_chain *chain)
{
    for (size_t i = 0; i < chain->level_count; i++) {
        const struct tg_flow_level *level = &chain->levels[i];
        for (size_t t = 0; *level->cells && t < s->decision->verdict_count; t++)
            if (isfinite(s->decision->verdicts[t].estimate) &&
                tg_cell_matches(&s->plan->spec.tests[t].of, level->cells, &s->plan->words))
                return level;
    }
    for (size_t i = 0; i < chain->level_count; i++)
        if (strcmp(chain->levels[i].level, "skip") == 0) return &chain->levels[i];
    return NULL;
}

static const struct tg_flow_chain *chain_of(const struct source *s, const char *name)
{
    const struct tg_flow *flow = &s->plan->policy.process;
    for (size_t i = 0; i < flow->chain_count; i++)
        if (strcmp(flow->chains[i].name, name) == 0) return &flow->chains[i];
    return NULL;
}

/* Whether Markdown may take a letter of a text for the begin of something: of a link its middle. */
static bool begins_markup(const char *text, const char *at)
{
    const unsigned char before = at > text ? (unsigned char)at[-1] : ' ';
    const unsigned char next = (unsigned char)at[1];
    if (!next || next == ' ') return false;
    if (strchr("@&<", *at)) return true;
    if (*at == ']') return next == '(';
    if (!strchr("*~_", *at)) return false;
    return !isalnum(before) || (*at != '_' && !ispunct(next));
}

/*
 * Puts what others may have printed into s->text: in a comment it must break no table, begin no
 * markup and call nobody. It is also read where nothing is rendered; so, instead of being escaped,
 * what would begin something has a blank behind it.
 */
static const char *put_plain(struct source *s, const char *text)
{
    size_t used = 0;
    for (const char *at = text; *at && used + 2 < sizeof s->text; at++) {
        bool is_blank = *at == '`' || (unsigned char)*at < ' ';
        s->text[used++] = is_blank ? ' ' : *at == '|' ? '/' : *at;
        if (begins_markup(text, at)) s->text[used++] = ' ';
    }
    s->text[used] = 0;
    return s->text;
}

/* Why it is no pass: the first test that failed or is open, or the note that says so. */
static const char *reason(struct source *s)
{
    const struct tg_decision *d = s->decision;
    enum tg_answer wanted = d->answer == TG_FAIL ? TG_FAIL : TG_INCONCLUSIVE;
    char subject[TG_REPORT_TEXT_SIZE], why[TG_REPORT_TEXT_SIZE], said[sizeof s->text];
    if (d->answer == TG_PASS) return "";
    for (size_t i = 0; i < d->verdict_count; i++) {
        if (d->verdicts[i].answer != wanted || !tg_gate_counts(s->plan, i, &d->verdicts[i]))
            continue;
        snprintf(said, sizeof said, "%s: %s",
                 tg_report_subject(s->plan, i, subject, sizeof subject),
                 tg_report_why(&d->verdicts[i], why, sizeof why));
        return put_plain(s, said);
    }
    for (size_t i = d->note_count; i-- > 0;)
        if (strncmp(d->notes[i], "cannot pass", 11) == 0 || strncmp(d->notes[i], "fails", 5) == 0 ||
            strncmp(d->notes[i], "nothing", 7) == 0)
            return put_plain(s, d->notes[i]);
    return "too little could be decided";
}

/* Whether a reason, which is not "", is one of a list's, ", " between. */
static bool is_listed(const char *list, const char *reason)
{
    size_t length = strlen(reason);
    for (const char *p = list; (p = strstr(p, reason)); p++) {
        bool is_begin = p == list || (p - list >= 2 && strncmp(p - 2, ", ", 2) == 0);
        if (is_begin && (!p[length] || strncmp(p + length, ", ", 2) == 0)) return true;
    }
    return false;
}

/* The reasons of skips, each once, ", " between. */
static const char *skipped(struct source *s)
{
    s->text[0] = 0;
    for (size_t i = 0; i < s->decision->verdict_count; i++) {
        if (s->decision->verdicts[i].answer != TG_SKIP) continue;
        const char *why = tg_route_skip_reason(s->plan, s->decision, i);
        size_t used = strlen(s->text);
        if (*why && !is_listed(s->text, why))
            snprintf(s->text + used, sizeof s->text - used, "%s%s", used ? ", " : "", why);
    }
    return s->text;
}

/* As a ledger says it: pass, fail, or skipped with what is missing. */
static const char *answer(struct source *s)
{
    const struct tg_decision *d = s->decision;
    char why[sizeof s->text];
    if (d->answer != TG_INCONCLUSIVE) return tg_gate_word(d->answer);
    bool is_nothing = d->required == 0 && d->skipped > 0;
    snprintf(why, sizeof why, "%s", is_nothing ? skipped(s) : reason(s));
    snprintf(s->text, sizeof s->text,
             is_nothing ? "skipped (%.900s)" : "skipped (inconclusive: %.900s)", why);
    return s->text;
}

static struct tg_figure of_word(struct source *s, const char *name)
{
    const struct tg_policy *policy = &s->plan->policy;
    const struct tg_flow *flow = &policy->process;
    const struct tg_flow_step *step = &flow->steps[flow->step];
    if (strcmp(name, "tests") == 0) return number((double)s->decision->required, 0, false);
    if (strcmp(name, "passed") == 0) return number((double)s->decision->passed, 0, false);
    if (strcmp(name, "failed") == 0) return number((double)s->decision->failed, 0, false);
    if (strcmp(name, "answer") == 0) return text(answer(s));
    if (strcmp(name, "reason") == 0) return text(reason(s));
    if (strcmp(name, "skipped") == 0) return text(skipped(s));
    if (strcmp(name, "machines") == 0) return text(put_plain(s, s->decision->machines));
    if (strcmp(name, "route") == 0) {
        const struct tg_flow_route *route = tg_route_choose(s->plan, s->decision);
        return text(route ? route->to : "");
    }
    const struct {
        const char *name, *words;
    } rows[] = {{"flow", policy->flow}, {"gate", flow->writes.count ? flow->writes.at[0] : ""},
                {"agent", step->agent}, {"step", step->name},
                {"unit", flow->unit},   {"colon", flow->colon}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, name) == 0) return text(rows[i].words);
    return (struct tg_figure){0};
}

/* Whether every gate that the flow inherits was given. */
static bool has_inherited(const struct tg_plan *plan)
{
    const struct tg_texts *gates = &plan->policy.process.inherits;
    for (size_t i = 0; i < gates->count; i++)
        if (!tg_inherit_find(&plan->asked.inherit, gates->at[i])) return false;
    return gates->count > 0;
}

static bool condition(const struct source *s, const struct tg_hole *hole)
{
    const struct tg_decision *d = s->decision;
    const struct tg_flow_chain *chain = chain_of(s, hole->name);
    const char *name = hole->name;
    if (chain) {
        const struct tg_flow_level *level = level_of(s, chain);
        return level && strcmp(level->level, hole->part) == 0;
    }
    for (size_t i = 0; strcmp(name, "skip") == 0 && i < d->verdict_count; i++)
        if (d->verdicts[i].answer == TG_SKIP &&
            tg_flow_skip_find(&s->plan->policy.process, hole->part) ==
                tg_flow_skip_find(&s->plan->policy.process, tg_route_skip_reason(s->plan, d, i)))
            return true;
    if (strcmp(name, "pass") == 0) return d->answer == TG_PASS;
    if (strcmp(name, "fail") == 0) return d->answer == TG_FAIL;
    if (strcmp(name, "inconclusive") == 0) return d->answer == TG_INCONCLUSIVE;
    if (strcmp(name, "attention") == 0) return d->attention + d->optional_attention > 0;
    if (strcmp(name, "base") == 0) return s->plan->has_base;
    if (strcmp(name, "same") == 0)
        return s->plan->asked.is_same && strcmp(s->plan->workers[0].head.digest, "unknown") != 0;
    if (strcmp(name, "inherited") == 0) return has_inherited(s->plan);
    return rule_is(s, name, hole->part);
}

static void figure_of(void *context, const struct tg_hole *hole, struct tg_figure *figure)
{
    struct source *s = context;
    const struct tg_flow_chain *chain = chain_of(s, hole->name);
    const struct tg_flow_level *level = chain ? level_of(s, chain) : NULL;
    if (hole->is_condition)
        figure->is_there = condition(s, hole);
    else if (chain && level)
        *figure = text(strcmp(hole->part, "level") == 0    ? level->level
                       : strcmp(hole->part, "method") == 0 ? level->method
                                                           : level->does);
    else if (!chain)
        *figure = of_word(s, hole->name);
    if (!hole->is_condition && !chain && !figure->is_there) *figure = of_rule(s, hole);
}

bool tg_dialect_write(const struct tg_plan *plan, const struct tg_decision *decision,
                      const char *template, char *out, size_t size)
{
    struct source source = {.plan = plan, .decision = decision};
    return tg_template_write(template, figure_of, &source, out, size);
}

bool tg_dialect_line(const struct tg_plan *plan, const struct tg_decision *decision,
                     const char *name, size_t i, char *out, size_t size)
{
    struct tg_texts lines = tg_flow_lines(&plan->policy.process, name);
    return tg_dialect_write(plan, decision, lines.at[i], out, size);
}

const char *tg_dialect_conclusion(const struct tg_plan *plan, const struct tg_decision *decision)
{
    const struct tg_flow *flow = &plan->policy.process;
    bool is_skipped = decision->answer == TG_INCONCLUSIVE && decision->required == 0;
    return flow->conclusions[decision->answer == TG_PASS   ? 0
                             : decision->answer == TG_FAIL ? 1
                             : is_skipped                  ? 2
                                                           : 3];
}
