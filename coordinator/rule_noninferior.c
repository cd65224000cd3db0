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

static void is_slower(const struct tg_rule *rule, struct tg_verdict *v)
{
    int class = severity(rule, v->estimate);
    bool settled = isfinite(v->interval.low) && isfinite(v->interval.high);
    bool one_class = settled && severity(rule, v->interval.low) == severity(rule, v->interval.high);
    bool narrow = settled && v->interval.high - v->interval.low <= 0.02;
    v->answer = class >= fails_from(rule) ? TG_FAIL : TG_PASS;
    v->wants_more = !one_class && !narrow;
    if (class == 0)
        snprintf(v->word, sizeof v->word, "attention");
    else
        snprintf(v->word, sizeof v->word, "slower, %s%s", severities[class],
                 one_class ? "" : ", borderline");
    bool is_time = strcmp(rule->effect, "time") == 0;
    double lost = is_time ? v->estimate : v->estimate / (1 + v->estimate);
    snprintf(v->reason, sizeof v->reason, "%s by %.3g %%%s", is_time ? "slower" : "throughput less",
             100 * lost,
             class == 0                 ? ", which is below the margin"
             : class < fails_from(rule) ? ", which the rule lets pass"
                                        : "");
    if (class > 0 && v->answer == TG_PASS) snprintf(v->word, sizeof v->word, "attention");
}

void tg_rule_noninferior(const struct tg_evidence *e, struct tg_verdict *v)
{
    const struct tg_rule *rule = e->rule;
    double sign = e->metric->better == TG_LOWER ? 1 : -1;
    double floor = log1p(as_time(rule, rule->tolerance)), margin = log1p(cut(rule, 1));
    struct tg_progress progress = tg_rule_follow(e, sign, 0, floor, margin, v);
    tg_rule_estimate(e, sign, v);
    if (progress.is_over) {
        is_slower(rule, v);
    } else if (progress.is_clean) {
        v->answer = TG_PASS;
        snprintf(v->word, sizeof v->word, "not slower");
        if (v->interval.low > 0 && v->interval.high < cut(rule, 1)) /* sure, but too little */
            snprintf(v->word, sizeof v->word, "slower, within the margin");
    } else {
        v->answer = TG_INCONCLUSIVE;
        v->wants_more = true;
        snprintf(v->word, sizeof v->word, "inconclusive");
    }
}
