/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/report.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/pulse.h"

static const struct tg_report reports[] = {
#define REPORT(name, file, meaning) {#name, file, meaning, tg_report_##name},
#include "coordinator/reports.def"
#undef REPORT
};

const struct tg_report *tg_report_find(const char *name)
{
    for (size_t i = 0; i < tg_report_count(); i++)
        if (strcmp(reports[i].name, name) == 0) return &reports[i];
    return NULL;
}

size_t tg_report_count(void)
{
    return sizeof reports / sizeof *reports;
}

const struct tg_report *tg_report_at(size_t i)
{
    return &reports[i];
}

int tg_report_write(const struct tg_report *report, const char *path, const struct tg_plan *plan,
                    const struct tg_decision *decision, struct tg_error *err)
{
    FILE *out = fopen(path, "w");
    if (!out) return tg_fail(err, "cannot write '%s': %s", path, strerror(errno));
    report->write(out, plan, decision);
    const int failed = ferror(out);
    if (fclose(out) != 0 || failed)
        return tg_fail(err, "cannot write '%s': %s", path, strerror(errno));
    return 0;
}

int tg_report_write_all(const char *directory, const struct tg_plan *plan,
                        const struct tg_decision *decision, struct tg_error *err)
{
    for (size_t i = 0; i < tg_report_count(); i++) {
        char path[4096 + 64];
        tg_pulse();
        if (!*reports[i].file) continue;
        snprintf(path, sizeof path, "%s/%s", directory, reports[i].file);
        if (tg_report_write(&reports[i], path, plan, decision, err) < 0) return -1;
    }
    return 0;
}

enum tg_report_part tg_report_part(const struct tg_plan *plan, const struct tg_decision *decision,
                                   size_t test)
{
    const struct tg_verdict *v = &decision->verdicts[test];
    if (plan->spec.tests[test].is_shadow && !tg_gate_counts(plan, test, v))
        return TG_REPORT_SHADOWS;
    if (v->answer == TG_FAIL) return TG_REPORT_FAILED;
    if (v->answer == TG_INCONCLUSIVE) return TG_REPORT_OPEN;
    if (v->answer == TG_SKIP) return TG_REPORT_SKIPPED;
    return strcmp(v->word, "attention") == 0 ? TG_REPORT_ATTENTION : TG_REPORT_PASSED;
}

void tg_report_add_axes(const struct tg_cell *cell, const char *but, const char *nor, char *out,
                        size_t size)
{
    for (size_t i = 0; i < tg_cell_type.field_count; i++) {
        const struct tg_field *field = &tg_cell_type.fields[i];
        char value[TG_TEXT_SIZE];
        tg_record_get(field, cell, value, sizeof value);
        if (strcmp(field->name, "probe") == 0 || strcmp(field->name, but) == 0 ||
            strcmp(field->name, nor) == 0 || strcmp(value, field->fallback) == 0)
            continue;
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%s%s%s", used ? ", " : "",
                 field->kind == TG_TEXT ? "" : field->name, field->kind == TG_TEXT ? "" : "=",
                 value);
    }
}

/* "of vs to" along the rule's axis, with what else `to` has of its own, or "" for one cell. */
static char *compared(const struct tg_plan *plan, const struct tg_test *test, char *out,
                      size_t size)
{
    char of[TG_TEXT_SIZE], to[TG_TEXT_SIZE];
    const struct tg_field *field = tg_record_field(&tg_cell_type,
                                                   plan->policy.rules[test->rule].axis);
    out[0] = 0;
    if (test->has_to)
        snprintf(out, size, "%s vs %s", tg_record_get(field, &test->of, of, sizeof of),
                 tg_record_get(field, &test->to, to, sizeof to));
    for (size_t i = 0; test->has_to && i < tg_cell_type.field_count; i++) {
        const struct tg_field *other = &tg_cell_type.fields[i];
        size_t used = strlen(out);
        tg_record_get(other, &test->of, of, sizeof of);
        tg_record_get(other, &test->to, to, sizeof to);
        if (other != field && strcmp(of, to) != 0)
            snprintf(out + used, size - used, " %s=%s", other->name, to);
    }
    return out;
}

static bool is_along_kernel(const struct tg_plan *plan, const struct tg_test *test)
{
    return test->has_to && strcmp(plan->policy.rules[test->rule].axis, "kernel") == 0;
}

void tg_report_add_hardware(const struct tg_plan *plan, const char *hardware, char *out,
                            size_t size)
{
    size_t used = strlen(out);
    if (plan->class_count > 1) snprintf(out + used, size - used, " on %s", hardware);
}

char *tg_report_subject(const struct tg_plan *plan, size_t test, char *out, size_t size)
{
    const struct tg_test *t = &plan->spec.tests[test];
    char pair[4 * TG_TEXT_SIZE];
    compared(plan, t, pair, sizeof pair);
    out[0] = 0;
    if (is_along_kernel(plan, t)) snprintf(out, size, "%s", pair);
    tg_report_add_axes(&t->of, t->has_to ? plan->policy.rules[t->rule].axis : "", "", out, size);
    if (!*out) snprintf(out, size, "%s", t->of.probe);
    size_t used = strlen(out);
    if (t->has_to && !is_along_kernel(plan, t)) snprintf(out + used, size - used, ": %s", pair);
    tg_report_add_hardware(plan, plan->classes[t->hardware], out, size);
    return out;
}

const char *tg_report_model(const struct tg_plan *plan)
{
    const struct tg_spec *spec = &plan->spec;
    for (size_t i = 1; i < spec->test_count; i++)
        if (strcmp(spec->tests[i].of.model, spec->tests[0].of.model) != 0) return "";
    return spec->tests[0].of.model;
}

char *tg_report_heading(const struct tg_plan *plan, size_t test, char *out, size_t size)
{
    const struct tg_test *t = &plan->spec.tests[test];
    const struct tg_rule *rule = &plan->policy.rules[t->rule];
    char pair[4 * TG_TEXT_SIZE], demand[128];
    if (!t->has_to || is_along_kernel(plan, t)) return tg_report_demanded(rule, out, size);
    compared(plan, t, pair, sizeof pair);
    tg_report_demand(rule, demand, sizeof demand);
    snprintf(out, size, "%s, %s: %s", rule->metric, pair, demand);
    return out;
}

char *tg_report_brief(const struct tg_plan *plan, size_t test, char *out, size_t size)
{
    const struct tg_test *t = &plan->spec.tests[test];
    out[0] = 0;
    if (is_along_kernel(plan, t)) compared(plan, t, out, size);
    tg_report_add_axes(&t->of, t->has_to ? plan->policy.rules[t->rule].axis : "",
                       *tg_report_model(plan) ? "model" : "", out, size);
    if (!*out) snprintf(out, size, "%s", *t->of.model ? t->of.model : t->of.probe);
    tg_report_add_hardware(plan, plan->classes[t->hardware], out, size);
    return out;
}

/* A multiple: three digits, or all of a whole number. */
static void factor_text(double factor, char *out, size_t size)
{
    snprintf(out, size, fabs(factor) >= 999.5 && fabs(factor) < 1e9 ? "%.0f" : "%.3g", factor);
}

/* Whether the numbers of a rule are to be read so. */
static bool is(const struct tg_rule *rule, const char *reading)
{
    return strcmp(tg_rule_find(rule->rule)->reading, reading) == 0;
}

char *tg_report_demand(const struct tg_rule *rule, char *out, size_t size)
{
    char value[64];
    if (is(rule, "slowdown")) {
        bool is_time = strcmp(rule->effect, "time") == 0;
        snprintf(out, size, "not %.3g %% %s", 100 * rule->margin,
                 is_time ? tg_metric_worse(tg_metric_find(rule->metric)) : "less throughput");
    } else if (is(rule, "factor")) {
        snprintf(out, size, "at least %.3gx", rule->limit);
    } else if (is(rule, "distance")) {
        snprintf(out, size, "within %.3g", rule->limit);
    } else if (is(rule, "same")) {
        snprintf(out, size, "%s the same every time", rule->metric);
    } else if (is(rule, "growth")) {
        snprintf(out, size, "not %.3g %% out of proportion", 100 * rule->margin);
    } else if (is(rule, "rate")) {
        tg_metric_text(tg_metric_find(rule->metric), rule->limit, value, sizeof value);
        snprintf(out, size, "%s worse by less than %s a sample", rule->metric, value);
    } else {
        tg_metric_text(tg_metric_find(rule->metric), rule->limit, value, sizeof value);
        snprintf(out, size, "%s at %s %s", rule->metric, is(rule, "least") ? "least" : "most",
                 value);
    }
    return out;
}

char *tg_report_demanded(const struct tg_rule *rule, char *out, size_t size)
{
    char demand[128];
    bool is_pair = strcmp(tg_rule_find(rule->rule)->cells, "pair") == 0;
    tg_report_demand(rule, demand, sizeof demand);
    snprintf(out, size, "%s%s%s", is_pair ? rule->metric : "", is_pair ? ": " : "", demand);
    return out;
}

char *tg_report_measured(const struct tg_rule *rule, const struct tg_verdict *v, char *out,
                         size_t size)
{
    const struct tg_metric *metric = tg_metric_find(rule->metric);
    bool has_ends = isfinite(v->interval.low) && isfinite(v->interval.high);
    if (!isfinite(v->estimate)) {
        snprintf(out, size, "-");
    } else if (is(rule, "slowdown") || is(rule, "growth")) {
        bool is_time = strcmp(rule->effect, "time") == 0;
        double low = tg_rule_change(rule, is_time ? v->interval.low : v->interval.high);
        double high = tg_rule_change(rule, is_time ? v->interval.high : v->interval.low);
        int used = snprintf(out, size, "%+.2f %%",
                            tg_rule_percent(tg_rule_change(rule, v->estimate)));
        if (has_ends)
            snprintf(out + used, size - (size_t)used, " [%+.2f, %+.2f]", tg_rule_percent(low),
                     tg_rule_percent(high));
    } else if (is(rule, "factor")) {
        char factor[32], low[32], high[32];
        factor_text(1 + v->estimate, factor, sizeof factor);
        factor_text(1 + v->interval.low, low, sizeof low);
        factor_text(1 + v->interval.high, high, sizeof high);
        int used = snprintf(out, size, "%sx", factor);
        if (has_ends) snprintf(out + used, size - (size_t)used, " [%s, %s]", low, high);
    } else if (is(rule, "distance")) {
        snprintf(out, size, "%.3g", v->estimate);
    } else if (is(rule, "rate")) {
        int used = snprintf(out, size, "%+.6g %s", v->estimate, metric->unit);
        if (has_ends)
            snprintf(out + used, size - (size_t)used, " [%+.6g, %+.6g]", v->interval.low,
                     v->interval.high);
    } else {
        tg_metric_text(metric, v->estimate, out, size);
    }
    return out;
}

double tg_report_effect(const struct tg_rule *rule, double theta)
{
    const struct tg_metric *metric = tg_metric_find(rule->metric);
    if (!isfinite(theta)) return NAN;
    if (is(rule, "slowdown") || is(rule, "growth")) return expm1(theta);
    if (is(rule, "factor")) return rule->limit * exp(-theta);
    if (is(rule, "rate")) return rule->limit * (1 + theta);
    if (metric->nature != TG_SAMPLED) return NAN;
    return rule->limit * exp(is(rule, "least") ? -theta : theta);
}

char *tg_report_detectable(const struct tg_rule *rule, const struct tg_verdict *v, char *out,
                           size_t size)
{
    double effect = tg_report_effect(rule, v->detectable);
    char value[64];
    out[0] = 0;
    if (!isfinite(effect)) return out;
    if (is(rule, "slowdown")) {
        bool is_time = strcmp(rule->effect, "time") == 0;
        snprintf(out, size, "%.2g %% %s", 100 * fabs(tg_rule_change(rule, effect)),
                 is_time ? tg_metric_worse(tg_metric_find(rule->metric)) : "less throughput");
    } else if (is(rule, "growth")) {
        snprintf(out, size, "%.2g %% out of proportion", 100 * effect);
    } else if (is(rule, "factor")) {
        snprintf(out, size, "less than %.3gx", effect);
    } else if (is(rule, "rate")) {
        tg_metric_text(tg_metric_find(rule->metric), effect, out, size);
    } else {
        tg_metric_text(tg_metric_find(rule->metric), effect, value, sizeof value);
        snprintf(out, size, "%s %s", is(rule, "least") ? "less than" : "more than", value);
    }
    return out;
}

double tg_report_round(double value, bool up)
{
    double unit = pow(10, floor(log10(value)) - 1), digits = value / unit;
    double whole = up ? ceil(digits - 1e-9) : floor(digits + 1e-9);
    return unit < 1 ? whole / round(1 / unit) : whole * unit;
}

/* " (12 to 1500 s)"; nothing where it is not known what a round takes. */
static const char *in_seconds(double from_s, double to_s, char *out, size_t size)
{
    double from = tg_report_round(from_s, false), to = tg_report_round(to_s, true);
    if (!isfinite(to_s))
        out[0] = 0;
    else if (isnan(from_s))
        snprintf(out, size, " (%.15g s)", to);
    else
        snprintf(out, size, " (%.15g to %.15g s)", from, to);
    return out;
}

char *tg_report_needed(const struct tg_verdict *v, char *out, size_t size)
{
    double low = v->rounds_left.low, high = v->rounds_left.high;
    double cost_s = v->seconds_needed / v->rounds_needed;
    char seconds[80];
    out[0] = 0;
    if (!isfinite(low)) return out;
    double from = low < 100 ? low : tg_report_round(low, false);
    double to = !isfinite(high) ? NAN : high < 100 ? high : tg_report_round(high, true);
    if (isnan(to))
        snprintf(out, size, "at least %.15g round%s more%s would be needed", from,
                 from == 1 ? "" : "s", in_seconds(NAN, low * cost_s, seconds, sizeof seconds));
    else if (from == to)
        snprintf(out, size, "%.15g round%s more%s would probably decide", to, to == 1 ? "" : "s",
                 in_seconds(NAN, high * cost_s, seconds, sizeof seconds));
    else
        snprintf(out, size, "%.15g to %.15g rounds more%s would probably decide", from, to,
                 in_seconds(low * cost_s, high * cost_s, seconds, sizeof seconds));
    return out;
}

char *tg_report_absolute(const struct tg_rule *rule, const struct tg_verdict *v, char *out,
                         size_t size)
{
    const struct tg_metric *metric = tg_metric_find(rule->metric);
    char of[64], to[64], speed[64] = "";
    out[0] = 0;
    if (!isfinite(v->of_median) || !isfinite(v->to_median)) return out;
    tg_metric_text(metric, v->of_median, of, sizeof of);
    tg_metric_text(metric, v->to_median, to, sizeof to);
    if (isfinite(v->of_call_s) && isfinite(v->of_bytes)) {
        int used = snprintf(speed, sizeof speed, " (%.3g GB/s", v->of_bytes / v->of_call_s * 1e-9);
        if (isfinite(v->of_share))
            used += snprintf(speed + used, sizeof speed - (size_t)used, ", %.2g %% of the limit",
                             100 * v->of_share);
        snprintf(speed + used, sizeof speed - (size_t)used, ")");
    }
    snprintf(out, size, "%s%s vs %s", of, speed, to);
    return out;
}

char *tg_report_result(const struct tg_plan *plan, size_t test, const struct tg_verdict *v,
                       char *out, size_t size)
{
    const struct tg_rule *rule = &plan->policy.rules[plan->spec.tests[test].rule];
    bool is_shadow = plan->spec.tests[test].is_shadow && !tg_gate_counts(plan, test, v);
    bool says_more = strcmp(v->word, "attention") == 0 || strcmp(v->word, "heterogeneous") == 0 ||
                     strcmp(v->word, "impossible") == 0 || strcmp(v->word, "thermal") == 0 ||
                     strcmp(v->word, "disturbed") == 0 ||
                     (v->answer == TG_PASS && is(rule, "slowdown"));
    snprintf(out, size, "%s%s", is_shadow ? "shadow: " : "",
             says_more ? v->word : tg_gate_word(v->answer));
    return out;
}

char *tg_report_why(const struct tg_verdict *v, char *out, size_t size)
{
    static const char *const said[] = {"attention",    "disturbed",  "heterogeneous", "impossible",
                                       "inconclusive", "missing",    "skipped",       "thermal",
                                       "unchanged",    "unchanged*", "wrong"};
    bool in_reason = false, has_severity = strchr(v->word, ',') != NULL;
    bool in_word = !*v->reason || (has_severity && !isfinite(v->also));
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        in_reason = in_reason || strcmp(v->word, said[i]) == 0;
    if (in_reason)
        snprintf(out, size, "%s", v->reason);
    else
        snprintf(out, size, "%s%s%s", v->word, in_word ? "" : ": ", in_word ? "" : v->reason);
    return out;
}

char *tg_report_family(const struct tg_family_verdict *v, char *out, size_t size)
{
    int used = snprintf(out, size, "family %s: %zu tests, %zu rounds", v->name, v->tests,
                        v->rounds);
    if (isfinite(v->estimate))
        used += snprintf(out + used, size - (size_t)used, ": slower by %+.2f %%",
                         tg_rule_percent(v->estimate));
    if (isfinite(v->estimate) && isfinite(v->interval.low) && isfinite(v->interval.high))
        snprintf(out + used, size - (size_t)used, " [%+.2f, %+.2f]",
                 tg_rule_percent(v->interval.low), tg_rule_percent(v->interval.high));
    return out;
}

const char *tg_report_alarms(const struct tg_plan *plan)
{
    return *plan->asked.alarms ? plan->asked.alarms
                               : "false alarms so far: not counted here (tritgate calibrate)";
}

/* Why what is decided all the same is no pass: the first note that says so, or NULL. */
static const char *obstacle(const struct tg_decision *d)
{
    static const char begin[] = "cannot pass: ";
    bool is_open = d->answer == TG_INCONCLUSIVE && d->inconclusive == 0;
    for (size_t i = 0; is_open && i < d->note_count; i++)
        if (strncmp(d->notes[i], begin, strlen(begin)) == 0) return d->notes[i];
    return NULL;
}

/* " optional: 2 need attention and 1 inconclusive": these are in no other count. */
static char *optional_text(const struct tg_decision *d, char *out, size_t size)
{
    int used = snprintf(out, size, " optional");
    if (d->optional_attention)
        used += snprintf(out + used, size - (size_t)used, ": %zu need%s attention",
                         d->optional_attention, d->optional_attention == 1 ? "s" : "");
    if (d->optional_open)
        snprintf(out + used, size - (size_t)used, "%s %zu inconclusive",
                 d->optional_attention ? " and" : ":", d->optional_open);
    return out;
}

char *tg_report_summary(const struct tg_decision *d, char *out, size_t size)
{
    char optional[128];
    int used = snprintf(out, size, "%zu required test%s: %zu passed", d->required,
                        d->required == 1 ? "" : "s", d->passed);
    const struct {
        size_t count;
        const char *what;
    } parts[] = {
        {d->failed, " failed"},
        {d->inconclusive, " inconclusive"},
        {d->attention,
         d->attention == 1 ? " of the passed needs attention" : " of the passed need attention"},
        {d->optional, optional_text(d, optional, sizeof optional)},
        {d->skipped, " skipped beside them"},
        {d->unasked,
         d->unasked == 1 ? " cell is asked for by no rule" : " cells are asked for by no rule"},
        {d->unused_rules, d->unused_rules == 1 ? " rule selects nothing" : " rules select nothing"},
        {d->shadows, d->shadows == 1 ? " shadow, not counted" : " shadows, not counted"}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].count && (size_t)used < size)
            used += snprintf(out + used, size - (size_t)used, ", %zu%s", parts[i].count,
                             parts[i].what);
    if (obstacle(d) && (size_t)used < size)
        snprintf(out + used, size - (size_t)used, "; %s", obstacle(d));
    return out;
}
