/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "coordinator/rule.h"
#include "results/sequential.h"

/*
 * Whether a metric gets worse from sample to sample, as memory does that is never given back. A
 * round's value s is a slope, in the metric's unit a sample (round_value.h), its sign turned where
 * more is better. D = s / limit - 1, no logarithm, and a number without a unit, since what is a tie
 * in the tests is 1e-9 of D: it passes when D >= 0 is refuted and fails when D <= 0 is. The
 * estimate is the Hodges-Lehmann centre of the slopes.
 */

static const double LARGEST = 1e100; /* of D, which stays finite */

/* Of each round s / limit, or NULL without memory. */
static double *shares(const struct tg_evidence *e, double sign)
{
    double *found = malloc((e->count + 1) * sizeof *found);
    for (size_t r = 0; found && r < e->count; r++)
        found[r] = fmax(-LARGEST, fmin(LARGEST, sign * e->values[r] / e->rule->limit));
    return found;
}

static void estimate(const struct tg_evidence *e, double sign, struct tg_verdict *v)
{
    struct tg_student student = {0};
    double *slopes = e->count ? malloc(e->count * sizeof *slopes) : NULL;
    if (!slopes) return;
    for (size_t r = 0; r < e->count; r++) {
        slopes[r] = sign * e->values[r];
        tg_sequential_student_add(&student, slopes[r]);
    }
    v->estimate = tg_stats_hodges_lehmann(slopes, e->count);
    v->interval = tg_sequential_student_interval(&student, e->limits->confidence);
    free(slopes);
}

/* "by 195.3 KiB from sample to sample, less than 64 KiB is demanded" */
static void growth_text(const struct tg_evidence *e, double growth, char *out, size_t size)
{
    char value[64], limit[64];
    snprintf(out, size, "by %s from sample to sample, less than %s is demanded",
             tg_metric_text(e->metric, growth, value, sizeof value),
             tg_metric_text(e->metric, e->rule->limit, limit, sizeof limit));
}

void tg_rule_slope(const struct tg_evidence *e, struct tg_verdict *v)
{
    double sign = e->metric->better == TG_LOWER ? 1 : -1;
    double *values = shares(e, sign);
    struct tg_evidence of_limit = *e;
    of_limit.values = values;
    if (!values) of_limit.count = 0;
    struct tg_progress progress = tg_rule_follow(&of_limit, 1, -1, 0, 0, v);
    tg_rule_answer(&progress, sign > 0 ? "grows" : "falls", "steady", v);
    if (progress.is_over || !e->is_brief) estimate(e, sign, v);
    bool is_too_much = v->estimate >= e->rule->limit;
    if (progress.is_over || is_too_much) {
        char text[192];
        growth_text(e, v->estimate, text, sizeof text);
        if (progress.is_over) snprintf(v->reason, sizeof v->reason, "%s", text);
        tg_rule_say_since(v, progress.is_over, is_too_much, "%s", text);
    }
    tg_rule_look_at_nodes(&of_limit, 1, -1, NAN, 1e-9, v);
    free(values);
}
