/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/rule.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/walk.h"
#include "results/sequential.h"

static const struct tg_rule_kind kinds[] = {
#define RULE(name, cells, values, reading, meaning)                                                \
    {#name, #cells, #reading, meaning, tg_rule_##name},
#include "coordinator/rules.def"
#undef RULE
};

const struct tg_rule_kind *tg_rule_find(const char *name)
{
    for (size_t i = 0; i < tg_rule_count(); i++)
        if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
    return NULL;
}

size_t tg_rule_count(void)
{
    return sizeof kinds / sizeof *kinds;
}

const struct tg_rule_kind *tg_rule_at(size_t i)
{
    return &kinds[i];
}

struct tg_verdict tg_rule_no_verdict(void)
{
    return (struct tg_verdict){.answer = TG_INCONCLUSIVE,
                               .odd_node = -1,
                               .node_loss = NAN,
                               .estimate = NAN,
                               .interval = {-INFINITY, INFINITY},
                               .also = NAN,
                               .also_interval = {-INFINITY, INFINITY},
                               .of_median = NAN,
                               .to_median = NAN,
                               .of_share = NAN,
                               .of_call_s = NAN,
                               .of_bytes = NAN,
                               .outlook = {.sd = NAN},
                               .theta = NAN,
                               .detectable_planned = NAN,
                               .detectable = NAN,
                               .rounds_needed = NAN,
                               .seconds_needed = NAN,
                               .rounds_left = {NAN, NAN}};
}

enum tg_answer tg_rule_say(struct tg_verdict *verdict, enum tg_answer answer, const char *word,
                           const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(verdict->reason, sizeof verdict->reason, format, args);
    va_end(args);
    snprintf(verdict->word, sizeof verdict->word, "%s", word);
    return verdict->answer = answer;
}

double tg_rule_percent(double ratio)
{
    double percent = 100 * ratio;
    return fabs(percent) < 0.005 ? 0 : percent;
}

double tg_rule_change(const struct tg_rule *rule, double slower)
{
    return strcmp(rule->effect, "throughput") == 0 ? -slower / (1 + slower) : slower;
}

/* What more rounds would meet: the noise seen so far, or, if that is less, mixed with the expected.
 */
static void look_ahead(const struct tg_evidence *e, const struct tg_walk_path *path,
                       double clean_margin, struct tg_verdict *v)
{
    double *values = malloc((e->count + 1) * sizeof *values), sum = 0;
    if (!values) return;
    for (size_t r = 0; r < e->count; r++)
        sum += values[r] = path->sign * e->values[r] + path->shift;
    v->theta = e->count ? sum / (double)e->count : NAN;
    v->outlook = (struct tg_outlook){
        .sd = fmax(tg_forecast_sd(values, e->count, e->limits->expected_sd),
                   tg_forecast_sd(values, e->count, 0)),
        .floor = path->floor,
        .margin = clean_margin,
        .log_fail_line = v->log_fail_line,
        .log_clean_line = v->log_clean_line,
        .rounds_min = e->limits->rounds_min};
    free(values);
}

/* One round more for a test that is open: whether one of the lines is crossed now. */
static void look(const struct tg_evidence *e, const struct tg_walk *walk, double clean_margin,
                 struct tg_progress *progress, struct tg_verdict *v)
{
    const struct tg_student *student = tg_walk_student(walk);
    v->log_fail = tg_walk_log_fail(walk);
    v->log_clean = student->mean < clean_margin ? tg_walk_log_student(walk, clean_margin) : 0;
    v->super_rounds = tg_walk_super_rounds(walk);
    progress->is_over = tg_stats_is_over(v->log_fail, v->log_fail_line);
    v->is_held = progress->is_over && (int64_t)tg_walk_span(walk) < e->limits->min_sessions;
    progress->is_clean = !progress->is_over && (int64_t)student->rounds >= e->limits->rounds_min &&
                         student->mean < clean_margin &&
                         tg_stats_is_over(v->log_clean, v->log_clean_line);
}

struct tg_progress tg_rule_follow(const struct tg_evidence *evidence, double sign, double shift,
                                  double fail_floor, double clean_margin,
                                  struct tg_verdict *verdict)
{
    const struct tg_limits *limits = evidence->limits;
    struct tg_progress progress = {false};
    const struct tg_walk_path path = {.values = evidence->values,
                                      .nodes = evidence->nodes,
                                      .sessions = evidence->sessions,
                                      .count = evidence->count,
                                      .sign = sign,
                                      .shift = shift,
                                      .floor = fail_floor};
    struct tg_walk_path mirrored = path;
    mirrored.sign = -sign;
    mirrored.shift = -shift;

    verdict->rounds = evidence->count;
    verdict->log_fail_line = log((double)evidence->required_count) - log(limits->alpha_fail);
    verdict->log_clean_line = -log(limits->alpha_miss);
    verdict->log_fail = verdict->log_clean = 0;
    verdict->is_held = false;
    if (!evidence->is_blind) look_ahead(evidence, &path, clean_margin, verdict);
    struct tg_walk *walk = tg_walk_begin(&path), *back = NULL;
    for (size_t r = 0, behind = 0; walk && r < evidence->count; r++) {
        tg_walk_step(walk);
        if ((!progress.is_over || verdict->is_held) && !progress.is_clean)
            look(evidence, walk, clean_margin, &progress, verdict);
        if (!progress.is_clean) continue;
        if (!back && !(back = tg_walk_begin(&mirrored))) break;
        for (; behind <= r; behind++) tg_walk_step(back);
        progress.is_improved = progress.is_improved ||
                               tg_stats_is_over(tg_walk_log_fail(back), verdict->log_clean_line);
        progress.is_equivalent = progress.is_equivalent ||
                                 (tg_walk_student(walk)->mean > -clean_margin &&
                                  tg_stats_is_over(tg_walk_log_student(walk, -clean_margin),
                                                   verdict->log_clean_line));
    }
    if (walk) verdict->units = *tg_walk_student(walk);
    tg_walk_end(walk);
    tg_walk_end(back);
    return progress;
}

/* What a verdict says, in a few words alone: this is said after every round. */
static void say_word(struct tg_verdict *verdict, enum tg_answer answer, const char *word)
{
    assert(strlen(word) < sizeof verdict->word);
    memcpy(verdict->word, word, strlen(word) + 1);
    *verdict->reason = 0;
    verdict->answer = answer;
}

void tg_rule_answer(const struct tg_progress *progress, const char *over, const char *clean,
                    struct tg_verdict *verdict)
{
    verdict->wants_more = false;
    if (progress->is_over) {
        say_word(verdict, TG_FAIL, over);
    } else if (progress->is_clean) {
        say_word(verdict, TG_PASS, clean);
    } else {
        say_word(verdict, TG_INCONCLUSIVE, "inconclusive");
        verdict->wants_more = true;
    }
}

void tg_rule_hold(const struct tg_limits *limits, struct tg_verdict *verdict)
{
    if (verdict->answer != TG_FAIL || !verdict->is_held) return;
    tg_rule_say(verdict, TG_INCONCLUSIVE, "held",
                "it would fail, but fewer than %lld runs or nodes saw it",
                (long long)limits->min_sessions);
    verdict->wants_more = false;
}

/* The mean and spread of the values times sign, as a walk takes them; false without memory. */
static bool take_units(const struct tg_evidence *evidence, double sign, struct tg_student *units)
{
    const struct tg_walk_path path = {.values = evidence->values,
                                      .nodes = evidence->nodes,
                                      .sessions = evidence->sessions,
                                      .count = evidence->count,
                                      .sign = sign,
                                      .floor = NAN};
    struct tg_walk *walk = tg_walk_begin(&path);
    for (size_t r = 0; walk && r < evidence->count; r++) tg_walk_step(walk);
    if (walk) *units = *tg_walk_student(walk);
    tg_walk_end(walk);
    return walk != NULL;
}

void tg_rule_estimate(const struct tg_evidence *evidence, double sign,
                      const struct tg_student *units, struct tg_verdict *verdict)
{
    struct tg_student own;
    if (evidence->count == 0 || (!units && !take_units(evidence, sign, &own))) return;
    double *values = malloc(evidence->count * sizeof *values);
    if (!values) return;
    for (size_t r = 0; r < evidence->count; r++) values[r] = sign * evidence->values[r];
    struct tg_interval interval = tg_sequential_student_interval(units ? units : &own,
                                                                 evidence->limits->confidence);
    verdict->estimate = expm1(tg_stats_hodges_lehmann(values, evidence->count));
    verdict->interval = tg_stats_ratios(interval);
    free(values);
}

void tg_rule_say_since(struct tg_verdict *verdict, bool was_worse, bool is_worse,
                       const char *format, ...)
{
    char text[sizeof verdict->reason - 64];
    bool is_answer = verdict->answer == TG_PASS || verdict->answer == TG_FAIL;
    if (!is_answer || !isfinite(verdict->estimate) || was_worse == is_worse) return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (verdict->answer == TG_PASS) snprintf(verdict->word, sizeof verdict->word, "attention");
    snprintf(verdict->reason, sizeof verdict->reason, "it was %s at first; all rounds together: %s",
             was_worse ? "so" : "not so", text);
}

void tg_rule_doubt_copies(const struct tg_evidence *evidence, struct tg_verdict *verdict)
{
    size_t same = 0;
    while (same < evidence->count && evidence->values[same] == evidence->values[0]) same++;
    if (verdict->answer != TG_PASS || !tg_metric_is_of_time(evidence->metric) || same < 2 ||
        same < evidence->count)
        return;
    tg_rule_say(verdict, TG_INCONCLUSIVE, "impossible",
                "every round gives the same value to the last digit: copied, or written too "
                "coarsely");
    verdict->wants_more = verdict->wants_last = verdict->is_clock_effect = false;
}
