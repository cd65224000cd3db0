/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/rule.h"

/*
 * Head against base. D is the logarithm of how many times worse `of` is than `to`: ln(of/to) where
 * lower is better, its negative where higher is. A slow-down is called when theta <= tolerance is
 * refuted; it fails when the estimate is at least the margin. It is called unchanged when
 * theta >= margin is refuted.
 *
 * With a second metric (`also`, cycles beside time) what fails must fail in both: what only took
 * longer because the device's clock was lower is a clock effect, which passes with attention. It
 * must be shown: as long as the second metric is open, so is the test. To be clean takes the first
 * metric alone.
 */

#define SEVERITIES 4

/* From no regression up; each begins at its cut. */
static const char *const severities[SEVERITIES] = {"below margin", "minor", "major", "critical"};

/* A slow-down as a ratio less 1, from the policy's percentage: of time, or lost throughput. */
static double as_time(const struct tg_rule *rule, double share)
{
    return strcmp(rule->effect, "throughput") == 0 ? share / (1 - share) : share;
}

/* Where severity i begins, as a ratio less 1; INFINITY where the rule does not set it. */
static double cut(const struct tg_rule *rule, int i)
{
    const double cuts[SEVERITIES] = {-1, rule->margin, rule->major, rule->critical};
    if (i == 0) return -1;
    return isnan(cuts[i]) ? INFINITY : as_time(rule, cuts[i]);
}

double tg_rule_margin(const struct tg_rule *rule)
{
    return log1p(cut(rule, 1));
}

/* The last severity whose cut lies at or below the effect (with the slack of ties downwards). */
static int severity(const struct tg_rule *rule, double effect)
{
    int found = 0;
    for (int i = 1; i < SEVERITIES; i++)
        if (isfinite(cut(rule, i)) && log1p(effect) >= log1p(cut(rule, i)) - 1e-9) found = i;
    return found;
}

static int fails_from(const struct tg_rule *rule)
{
    for (int i = 1; i < SEVERITIES; i++)
        if (strcmp(rule->fail_from, severities[i]) == 0) return i;
    return 1;
}

char *tg_rule_loss_text(const struct tg_rule *rule, const struct tg_metric *metric, double slower,
                        char out[TG_RULE_LOSS_SIZE])
{
    bool is_time = strcmp(rule->effect, "time") == 0;
    double lost = 100 * (is_time ? slower : -tg_rule_change(rule, slower));
    snprintf(out, TG_RULE_LOSS_SIZE, lost < 999.5 ? "%s by %.3g %%" : "%s by %.0f %%",
             is_time ? tg_metric_worse(metric) : "throughput less", lost);
    return out;
}

/* It is slower for certain, or worse in what the metric is of, and of that severity. */
static void is_slower(const struct tg_evidence *e, int class, struct tg_verdict *v)
{
    const struct tg_rule *rule = e->rule;
    bool settled = isfinite(v->interval.low) && isfinite(v->interval.high);
    bool one_class = settled && severity(rule, v->interval.low) == severity(rule, v->interval.high);
    bool narrow = settled && v->interval.high - v->interval.low <= 0.02;
    bool fails = class >= fails_from(rule);
    char word[sizeof v->word] = "attention", loss[TG_RULE_LOSS_SIZE];
    if (fails)
        snprintf(word, sizeof word, "%s, %s%s", tg_metric_worse(e->metric), severities[class],
                 one_class ? "" : ", borderline");
    tg_rule_say(v, fails ? TG_FAIL : TG_PASS, word, "%s%s",
                tg_rule_loss_text(rule, e->metric, v->estimate, loss),
                class == 0 ? ", which is below the margin"
                : fails    ? ""
                           : ", which the rule lets pass");
    v->wants_more = !one_class && !narrow;
}

/*
 * It was shown not to be slower by the margin: it is faster, the same, or not more than that. Where
 * later rounds say otherwise, the first answer stands, as it must, and is named.
 */
static void is_not_slower(const struct tg_evidence *e, const struct tg_progress *progress,
                          double sign, double floor, struct tg_verdict *v)
{
    double sum = 0;
    char loss[TG_RULE_LOSS_SIZE];
    for (size_t r = 0; r < e->count; r++) sum += sign * e->values[r];
    bool seems_faster = sum / (double)e->count <= -floor;
    v->wants_last = seems_faster && !progress->is_improved &&
                    (int64_t)e->count < e->limits->rounds_last;
    snprintf(v->word, sizeof v->word, "%s",
             progress->is_improved     ? "improved"
             : progress->is_equivalent ? "unchanged"
                                       : "unchanged*");
    if (!(v->interval.low > 0)) return;
    tg_rule_loss_text(e->rule, e->metric, v->estimate, loss);
    if (severity(e->rule, v->estimate) > 0)
        tg_rule_say_since(v, false, true, "%s", loss);
    else
        snprintf(v->reason, sizeof v->reason, "%s for certain, within the margin", loss);
}

/* Adds to what a verdict says. */
static void say_more(struct tg_verdict *v, const char *text)
{
    size_t used = strlen(v->reason);
    snprintf(v->reason + used, sizeof v->reason - used, "%s%s", used ? "; " : "", text);
}

/* A slow-down for certain in the first metric: what the second says of it. */
static void must_hold_in_both(const struct tg_evidence *e, const struct tg_progress *also,
                              const struct tg_verdict *seen, struct tg_verdict *v)
{
    const struct tg_rule *rule = e->rule;
    int own = severity(rule, v->estimate), class = severity(rule, seen->estimate);
    char both[160];
    snprintf(both, sizeof both, "%+.2f %% in %s, %+.2f %% in %s",
             tg_rule_percent(tg_rule_change(rule, v->estimate)), rule->metric,
             tg_rule_percent(tg_rule_change(rule, seen->estimate)), rule->also);
    if (also->is_over && class >= fails_from(rule)) {
        if (class < own) is_slower(e, class, v);
        v->is_held = v->is_held || seen->is_held;
        snprintf(v->reason, sizeof v->reason, "%s", both);
    } else if (also->is_over || (also->is_clean && class == 0)) {
        tg_rule_say(v, TG_PASS, "attention", "clock effect: %s", both);
        v->is_clock_effect = true;
        v->wants_more = false;
    } else {
        tg_rule_say(v, TG_INCONCLUSIVE, "inconclusive",
                    "%s for certain in %s, not decided in %s: %s", tg_metric_worse(e->metric),
                    rule->metric, rule->also, both);
        v->wants_more = true;
        v->outlook = seen->outlook;
        v->theta = seen->theta;
    }
}

/* The second metric, by the same two tests with the same lines. */
static void look_at_also(const struct tg_evidence *e, const struct tg_progress *progress,
                         double floor, double margin, struct tg_verdict *v)
{
    struct tg_evidence second = *e;
    struct tg_verdict seen = tg_rule_no_verdict();
    double sign = e->also->better == TG_LOWER ? 1 : -1;
    char note[160], loss[TG_RULE_LOSS_SIZE];
    second.metric = e->also;
    second.values = e->also_values;
    struct tg_progress also = tg_rule_follow(&second, sign, 0, floor, margin, &seen);
    tg_rule_estimate(&second, sign, &seen.units, &seen);
    v->also = seen.estimate;
    v->also_interval = seen.interval;
    if (v->answer == TG_FAIL) must_hold_in_both(e, &also, &seen, v);
    if (!progress->is_clean || v->answer != TG_PASS || !also.is_over) return;
    snprintf(note, sizeof note, "%s in %s for certain, but not in %s",
             tg_rule_loss_text(e->rule, e->also, seen.estimate, loss), e->rule->also,
             e->rule->metric);
    say_more(v, note);
}

void tg_rule_noninferior(const struct tg_evidence *e, struct tg_verdict *v)
{
    const struct tg_rule *rule = e->rule;
    double sign = e->metric->better == TG_LOWER ? 1 : -1;
    double floor = log1p(as_time(rule, rule->tolerance)), margin = tg_rule_margin(rule);
    struct tg_progress progress = tg_rule_follow(e, sign, 0, floor, margin, v);
    if (progress.is_over || progress.is_clean || !e->is_brief)
        tg_rule_estimate(e, sign, &v->units, v);
    tg_rule_answer(&progress, tg_metric_worse(e->metric), "unchanged", v);
    if (progress.is_over) is_slower(e, severity(rule, v->estimate), v);
    if (progress.is_clean) is_not_slower(e, &progress, sign, floor, v);
    if (e->also_values) look_at_also(e, &progress, floor, margin, v);
    double least = log1p(cut(rule, fails_from(rule)));
    tg_rule_look_at_nodes(e, sign, 0, floor, least - 1e-9, v);
}
