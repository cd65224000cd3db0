/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/rule.h"

/*
 * One cell's metric against a limit. A metric that is fixed is looked at as it is: the worst value
 * of all rounds decides, and rounds that differ fail, since it was promised to be deterministic. A
 * sampled one is tested as a ratio is, with D = ln(limit) - ln(x) for a floor. With a fail_limit,
 * what is worse than limit, or was not shown to be as good, but is not worse than that passes with
 * attention.
 */

#define FIXED_ROUNDS 2 /* as many as show whether they differ */

/*
 * A value that passes although it is worse than the limit, or, where that is open, although it was
 * not shown to be as good, which more rounds may.
 */
static void say_attention(const struct tg_evidence *e, double sign, bool is_worse,
                          struct tg_verdict *v)
{
    const char *worse = sign < 0 ? "less" : "more", *bound = sign < 0 ? "least" : "most";
    char first[96], limit[64], last[64];
    tg_metric_text(e->metric, e->rule->limit, limit, sizeof limit);
    if (is_worse)
        snprintf(first, sizeof first, "%s than %s", worse, limit);
    else
        snprintf(first, sizeof first, "not shown to be at %s %s", bound, limit);
    tg_rule_say(v, TG_PASS, "attention", "%s, but not %s than %s, where it fails", first, worse,
                tg_metric_text(e->metric, e->rule->fail_limit, last, sizeof last));
    v->wants_more = !is_worse;
}

static void fixed(const struct tg_evidence *e, double sign, struct tg_verdict *v)
{
    double worst = NAN;
    bool differ = false;
    for (size_t r = 0; r < e->count; r++) {
        if (r == 0 || sign * e->values[r] > sign * worst) worst = e->values[r];
        if (e->values[r] != e->values[0]) differ = true;
    }
    v->rounds = e->count;
    v->estimate = worst;
    v->interval = (struct tg_interval){worst, worst};
    if (e->count < FIXED_ROUNDS) {
        tg_rule_say(v, TG_INCONCLUSIVE, "inconclusive", "%s", "");
        v->wants_more = true;
    } else if (differ) {
        tg_rule_say(v, TG_FAIL, "not deterministic", "the same input gave different values");
    } else if (sign * worst > sign * e->rule->limit && sign * worst <= sign * e->rule->fail_limit) {
        say_attention(e, sign, true, v);
    } else if (sign * worst > sign * e->rule->limit) {
        tg_rule_say(v, TG_FAIL, sign < 0 ? "too low" : "too high", "%s", "");
    } else {
        tg_rule_say(v, TG_PASS, "within", "%s", "");
    }
}

/*
 * How it stands to the fail_limit, where it was not shown to be as good as limit: in the D of that,
 * so that what is told of it is told alike. One of 0 is never missed.
 */
static struct tg_progress follow_fail_limit(const struct tg_evidence *e, double sign,
                                            struct tg_verdict *v)
{
    const struct tg_rule *rule = e->rule;
    if (!(rule->fail_limit > 0))
        return (struct tg_progress){.is_clean = (int64_t)e->count >= e->limits->rounds_min};
    double line = sign * (log(rule->fail_limit) - log(rule->limit));
    return tg_rule_follow(e, sign, -sign * log(rule->limit), line, line, v);
}

/* The value itself. */
static void estimate(const struct tg_evidence *e, struct tg_verdict *v)
{
    tg_rule_estimate(e, 1, NULL, v);
    v->estimate += 1;
    v->interval.low += 1;
    v->interval.high += 1;
}

/* Whether all rounds together contradict what was answered, of limit and of fail_limit. */
static void say_since(const struct tg_evidence *e, double sign, const struct tg_progress *progress,
                      struct tg_verdict *v)
{
    const struct tg_rule *rule = e->rule;
    bool has_failed = v->answer == TG_FAIL, is_worse = progress->is_over;
    const double lines[] = {rule->limit, rule->fail_limit};
    const bool was_worse[] = {has_failed || is_worse, has_failed};
    const bool was_said[] = {has_failed || is_worse || progress->is_clean, !isnan(lines[1])};
    char value[64], line[64];
    for (int i = 0; i < 2; i++) {
        const bool is_beyond = sign * v->estimate > sign * lines[i];
        if (!was_said[i] || was_worse[i] == is_beyond || !isfinite(v->estimate)) continue;
        tg_rule_say_since(v, was_worse[i], is_beyond, "%s, at %s %s is demanded",
                          tg_metric_text(e->metric, v->estimate, value, sizeof value),
                          sign < 0 ? "least" : "most",
                          tg_metric_text(e->metric, lines[i], line, sizeof line));
    }
}

/*
 * Nodes must not lie on two sides of the line that fails. Where it is another, what passes although
 * they lie on two sides of limit is named.
 */
static void look_at_nodes(const struct tg_evidence *e, double sign, struct tg_verdict *v)
{
    const struct tg_rule *rule = e->rule;
    double line = isnan(rule->fail_limit) ? rule->limit : rule->fail_limit;
    if (line > 0) tg_rule_look_at_nodes(e, sign, -sign * log(line), NAN, 1e-9, v);
    if (isnan(rule->fail_limit) || v->answer != TG_PASS) return;
    struct tg_verdict seen = *v;
    tg_rule_look_at_nodes(e, sign, -sign * log(rule->limit), NAN, 1e-9, &seen);
    if (strcmp(seen.word, "heterogeneous") == 0)
        tg_rule_say(v, TG_PASS, "attention", "%s", seen.reason);
}

static void sampled(const struct tg_evidence *e, double sign, struct tg_verdict *v)
{
    const struct tg_progress progress = tg_rule_follow(e, sign, -sign * log(e->rule->limit), 0, 0,
                                                       v);
    struct tg_progress last = progress;
    bool has_room = !progress.is_clean && !isnan(e->rule->fail_limit);
    if (has_room) last = follow_fail_limit(e, sign, v);
    tg_rule_answer(&last, sign < 0 ? "too low" : "too high", "within", v);
    if (has_room && last.is_clean) say_attention(e, sign, progress.is_over, v);
    if (!e->is_brief) estimate(e, v);
    say_since(e, sign, &progress, v);
    look_at_nodes(e, sign, v);
}

/* sign is -1 where less is worse, 1 where more is. */
static void judge(const struct tg_evidence *e, double sign, struct tg_verdict *v)
{
    if (e->metric->nature == TG_FIXED)
        fixed(e, sign, v);
    else
        sampled(e, sign, v);
}

void tg_rule_floor(const struct tg_evidence *e, struct tg_verdict *v)
{
    judge(e, -1, v);
}

void tg_rule_ceiling(const struct tg_evidence *e, struct tg_verdict *v)
{
    judge(e, 1, v);
}
