/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/digits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/metric.h"
#include "results/stats.h"

#define DIGITS_MOST   40    /* behind the point: no time is shorter */
#define DIGITS_BEFORE 18    /* the point, that may be zeros: no rate is higher */
#define ROUNDING      1e-12 /* of a number, that is lost in binary */
#define SMALL         0.2   /* of a family's tolerance */
#define GAIN_MOST     3     /* times as fast as base, of what may well do the same work */
#define NO_EVIDENCE   1e-9  /* as in the rules: what is so close to a line has not crossed it */

/* The step that all samples of one cell are multiples of: 1000 where they are 1.2e4 and 1.3e4. */
static double step_of(const struct tg_measurement *const *rows, size_t count, const char *metric)
{
    int digits = -DIGITS_BEFORE;
    for (size_t r = 0; r < count; r++) {
        const struct tg_series *s = tg_measurement_series(rows[r], metric);
        for (size_t k = 0; s && k < s->count; k++)
            for (; digits < DIGITS_MOST; digits++) {
                double whole = s->samples[k] * pow(10, digits);
                if (fabs(whole - round(whole)) <= ROUNDING * whole) break;
            }
    }
    return pow(10, -digits);
}

/* How far rounding may have moved the values of all rounds: half a step of either cell. */
static double width(const struct tg_rounds *rounds, const char *metric)
{
    double of = step_of(rounds->of_rows, rounds->count, metric);
    double to = step_of(rounds->to_rows, rounds->count, metric);
    return (of / tg_stats_median(rounds->of_medians, rounds->count) +
            to / tg_stats_median(rounds->to_medians, rounds->count)) /
           2;
}

/*
 * Whether the rule has the same answer if every value is so much more. *is_held: whether too few
 * saw it then.
 */
static bool is_answer_at(const struct tg_evidence *evidence, enum tg_answer answer, double more,
                         double *values, bool *is_held)
{
    struct tg_evidence moved = *evidence;
    struct tg_verdict v = tg_rule_no_verdict();
    for (size_t r = 0; r < evidence->count; r++) values[r] = evidence->values[r] + more;
    moved.values = values;
    moved.is_brief = moved.is_blind = true;
    tg_rule_find(evidence->rule->rule)->judge(&moved, &v);
    *is_held = *is_held || v.is_held;
    return v.answer == answer;
}

/* What fails at once is fast, and so is what was written in another unit. */
static void ask_of_gain(const struct tg_evidence *evidence, struct tg_verdict *verdict)
{
    const double times = 1 / (1 + verdict->estimate);
    if (verdict->answer != TG_PASS || strcmp(evidence->rule->axis, "build") != 0 ||
        strcmp(evidence->rule->rule, "noninferior") != 0 || !(times >= GAIN_MOST))
        return;
    const size_t used = strlen(verdict->reason);
    snprintf(verdict->reason + used, sizeof verdict->reason - used,
             "%s%.3g times as good as base: are work, inputs and units the same?", used ? "; " : "",
             times);
}

void tg_digits_doubt(const struct tg_rounds *rounds, const struct tg_evidence *evidence,
                     struct tg_verdict *verdict)
{
    tg_rule_doubt_copies(evidence, verdict);
    if (verdict->answer == TG_INCONCLUSIVE || !tg_metric_is_of_time(evidence->metric)) return;
    double step = width(rounds, evidence->metric->name);
    double *values = step > NO_EVIDENCE ? malloc(evidence->count * sizeof *values) : NULL;
    bool is_held = verdict->is_held;
    if (step > NO_EVIDENCE &&
        (!values || !is_answer_at(evidence, verdict->answer, step, values, &is_held) ||
         !is_answer_at(evidence, verdict->answer, -step, values, &is_held))) {
        tg_rule_say(verdict, TG_INCONCLUSIVE, "impossible",
                    "its samples are written in steps of %.2g %%, and how they were rounded may "
                    "have decided: write more digits",
                    100 * step);
        verdict->wants_more = verdict->wants_last = verdict->is_clock_effect = false;
    } else {
        verdict->is_held = is_held;
    }
    ask_of_gain(evidence, verdict);
    free(values);
}

size_t tg_digits_of_family(const struct tg_plan *plan, size_t test, const struct tg_rounds *rounds)
{
    const char *metric = plan->policy.rules[plan->spec.tests[test].rule].metric;
    if (!plan->asked.is_imported || rounds->count == 0) return rounds->count;
    return width(rounds, metric) > SMALL * plan->policy.limits.family_tolerance ? 0 : rounds->count;
}
