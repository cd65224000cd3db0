/* SPDX-License-Identifier: Apache-2.0 */
#include "matrix/policy.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "matrix/cell.h"

static const struct tg_field limit_fields[] = {
#define FIELD(name, KIND, fallback, unit, meaning)                                                 \
    {#name, TG_##KIND, offsetof(struct tg_limits, name), fallback, unit, meaning},
#include "matrix/limits.def"
#undef FIELD
};

static const struct tg_field rule_fields[] = {
#define FIELD(name, KIND, fallback, unit, meaning)                                                 \
    {#name, TG_##KIND, offsetof(struct tg_rule, name), fallback, unit, meaning},
#include "matrix/rule.def"
#undef FIELD
};

const struct tg_record_type tg_limits_type = {
    "limit", limit_fields, sizeof limit_fields / sizeof *limit_fields, sizeof(struct tg_limits)};

const struct tg_record_type tg_rule_type = {
    "key", rule_fields, sizeof rule_fields / sizeof *rule_fields, sizeof(struct tg_rule)};

enum tg_exclusive tg_policy_exclusive(const char *word)
{
    static const char *const words[] = {"node", "memory", "cache", "core"};
    int found = 0;
    while (found < TG_EXCLUSIVE_COUNT && strcmp(words[found], word) != 0) found++;
    return (enum tg_exclusive)found;
}

static int check_exclusive(const struct tg_limits *l, struct tg_error *err)
{
    enum tg_exclusive exclusive = tg_policy_exclusive(l->exclusive);
    if (exclusive == TG_EXCLUSIVE_COUNT)
        return tg_fail(err, "'exclusive' must be node, memory, cache or core");
    if (exclusive == TG_EXCLUSIVE_NODE && l->beside_gpu)
        return tg_fail(err, "'beside_gpu' lets blocks share a node, 'exclusive' does not");
    return 0;
}

/* Of what disturbs a round: none, or not negative. */
static int check_disturbances(const struct tg_limits *l, struct tg_error *err)
{
    const double most[] = {l->steal_share,       l->throttles_most, l->cpu_wait_share,
                           l->memory_wait_share, l->io_wait_share,  l->load_most};
    for (size_t i = 0; i < sizeof most / sizeof *most; i++)
        if (most[i] < 0)
            return tg_fail(err, "limits of what disturbs a round must not be negative");
    if (!(l->disturbed_share >= 0 && l->disturbed_share < 1) || l->repeats_max < 0 ||
        l->repeats_max > 100000)
        return tg_fail(err, "'disturbed_share' must be from 0 to below 1, and 'repeats_max' "
                            "from 0 to 100000");
    return 0;
}

static int check_times(const struct tg_limits *l, struct tg_error *err)
{
    if (!(l->round_s > 0 && l->sample_s >= 0.00001 && l->sample_s < 10))
        return tg_fail(err, "'round_s' must be above 0, and 'sample_s' from 0.00001 to below 10");
    if (!(l->warmup_min_s >= 0 && l->warmup_max_s >= l->warmup_min_s))
        return tg_fail(err,
                       "'warmup_min_s' must not be negative, and 'warmup_max_s' at least that");
    if (!(l->deadline_s > 0 && l->make_s > 0 && l->budget_s > 0))
        return tg_fail(err, "'deadline_s', 'make_s' and 'budget_s' must be above 0");
    const double times[] = {l->round_s, l->warmup_max_s, l->deadline_s,
                            l->make_s,  l->budget_s,     l->silence_s};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (!(times[i] <= 1e15)) return tg_fail(err, "no limit in seconds may be over 1e15");
    /* Else a kernel in order would be called late, which fails. */
    if (!(l->deadline_s > l->warmup_max_s && l->deadline_s > l->round_s))
        return tg_fail(err, "'deadline_s' must be longer than 'warmup_max_s' and 'round_s'");
    return 0;
}

static int check_limits(const struct tg_limits *l, struct tg_error *err)
{
    const double shares[] = {l->alpha_fail,       l->alpha_miss,  l->confidence, l->alpha_family,
                             l->family_tolerance, l->expected_sd, l->power};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        if (!(shares[i] > 0 && shares[i] < 1))
            return tg_fail(
                err, "error rates, confidence, power and expected noise must lie between 0 and 1");
    if (!(l->memory_share > 0 && l->memory_share <= 1))
        return tg_fail(err, "'memory_share' must be above 0 and at most 1");
    if (!(l->silence_s >= 3))
        return tg_fail(err, "'silence_s' must be at least 3: signs of life come once a second");
    if (!(l->clock_share >= 0 && l->clock_share < 1 && l->throttled_share >= 0 &&
          l->throttled_share < 1 && l->throttle_reasons >= 0))
        return tg_fail(err, "'clock_share' and 'throttled_share' must be from 0 to below 1, and "
                            "'throttle_reasons' must not be negative");
    if (l->rounds_min < 1 || l->rounds_max < l->rounds_min || l->rounds_max > 100000)
        return tg_fail(err,
                       "'rounds_min' must be at least 1, and 'rounds_max' from that to 100000");
    if (l->min_sessions < 1 || l->rounds_last < 0 || l->family_tests < 3 || l->family_rounds < 1)
        return tg_fail(err, "'min_sessions' and 'family_rounds' must be at least 1, 'family_tests' "
                            "at least 3, and 'rounds_last' not negative");
    if (l->quads_min < 1 || l->quads_max < l->quads_min || l->quads_max > 100000)
        return tg_fail(err, "'quads_min' must be at least 1, and 'quads_max' from that to 100000");
    if (l->broken_most < 0) return tg_fail(err, "'broken_most' must not be negative");
    if (l->stream_bytes < 1) return tg_fail(err, "'stream_bytes' must be at least 1");
    const int64_t switches[] = {l->require_release, l->require_base, l->family_watch,
                                l->family_fail,     l->fail_fast,    l->beside_gpu};
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
        if (switches[i] / 2 || switches[i] < 0)
            return tg_fail(err, "'require_release', 'require_base', 'family_watch', 'family_fail', "
                                "'fail_fast' and 'beside_gpu' must be true or false");
    return check_times(l, err) < 0 || check_exclusive(l, err) < 0 ? -1 : check_disturbances(l, err);
}

/* What the words say of a metric. */
struct traits {
    char sign[16], nature[16], unit[16];
};

static int check_nature(const struct tg_rule *r, const struct traits *m, const char *nature,
                        struct tg_error *err)
{
    if (strcmp(m->nature, nature) == 0) return 0;
    return tg_fail(err, "rule '%s' needs a %s metric, '%s' is %s", r->rule, nature, r->metric,
                   m->nature);
}

/* Of two numbers that are to be divided. */
static int check_ratio(const struct tg_rule *r, const struct traits *m, struct tg_error *err)
{
    if (strcmp(m->sign, "positive") != 0)
        return tg_fail(err, "metric '%s' can be zero or negative, so it has no ratio", r->metric);
    return check_nature(r, m, "sampled", err);
}

static int check_margin(const struct tg_rule *r, struct tg_error *err)
{
    if (!isnan(r->limit)) return tg_fail(err, "rule '%s' takes a margin, no limit", r->rule);
    if (!(r->tolerance > 0 && r->margin > r->tolerance && r->margin < 1))
        return tg_fail(err, "rule '%s' needs 0 < tolerance < margin < 1", r->rule);
    return 0;
}

/* The numbers that are read as a slow-down, in their order. */
static int check_slowdown(const struct tg_rule *r, const struct traits *m, struct tg_error *err)
{
    if (check_ratio(r, m, err) < 0 || check_margin(r, err) < 0) return -1;
    if ((!isnan(r->major) && !(r->major > r->margin && r->major < 1)) ||
        (!isnan(r->critical) && !(r->critical > r->margin && r->critical < 1)) ||
        (!isnan(r->major) && !isnan(r->critical) && !(r->critical > r->major)))
        return tg_fail(err, "rule '%s' needs margin < major < critical < 1", r->rule);
    if (strcmp(r->fail_from, "minor") != 0 && strcmp(r->fail_from, "major") != 0 &&
        strcmp(r->fail_from, "critical") != 0)
        return tg_fail(err, "'fail_from' must be minor, major or critical");
    if ((strcmp(r->fail_from, "major") == 0 && isnan(r->major)) ||
        (strcmp(r->fail_from, "critical") == 0 && isnan(r->critical)))
        return tg_fail(err, "'fail_from' names '%s', which the rule does not set", r->fail_from);
    if (strcmp(r->effect, "time") != 0 && strcmp(r->effect, "throughput") != 0)
        return tg_fail(err, "'effect' must be time or throughput");
    return 0;
}

/* The second metric of a rule is one that has ratios, too, and another one. */
static int check_also(const struct tg_rule *r, const char *reading, const struct tg_words *words,
                      struct tg_error *err)
{
    char sign[16] = "", nature[16] = "";
    const struct tg_word *also = tg_words_find(words, "metric", r->also);
    if (!*r->also) return 0;
    if (strcmp(reading, "slowdown") != 0)
        return tg_fail(err, "rule '%s' looks at one metric, 'also' means nothing", r->rule);
    if (!also) return tg_fail(err, "no such metric '%s'", r->also);
    tg_words_trait(also, "sign", sign, sizeof sign);
    tg_words_trait(also, "nature", nature, sizeof nature);
    if (strcmp(r->also, r->metric) == 0 || strcmp(sign, "positive") != 0 ||
        strcmp(nature, "sampled") != 0)
        return tg_fail(err,
                       "'also' must be another sampled metric, which is never zero or negative");
    return 0;
}

static int check_growth(const struct tg_rule *r, const struct traits *m, struct tg_error *err)
{
    if (strcmp(r->axis, "model") != 0)
        return tg_fail(err, "rule '%s' compares models: its axis must be 'model'", r->rule);
    if (strcmp(m->unit, "B") != 0)
        return tg_fail(err, "rule '%s' needs a metric in bytes, '%s' is in '%s'", r->rule,
                       r->metric, m->unit);
    if (!isnan(r->major) || !isnan(r->critical))
        return tg_fail(err, "rule '%s' takes a tolerance and a margin, no severities", r->rule);
    if (check_ratio(r, m, err) < 0) return -1;
    return check_margin(r, err);
}

/* The rules that have one number, or none. */
static int check_limit(const struct tg_rule *r, const struct traits *m, const char *reading,
                       struct tg_error *err)
{
    if (!isnan(r->tolerance) || !isnan(r->margin) || !isnan(r->major) || !isnan(r->critical))
        return tg_fail(err, "rule '%s' takes a limit, no tolerance or margin", r->rule);
    if (strcmp(reading, "same") == 0)
        return isnan(r->limit) ? check_nature(r, m, "fixed", err)
                               : tg_fail(err, "rule '%s' takes no limit", r->rule);
    if (strcmp(reading, "factor") == 0 && check_ratio(r, m, err) < 0) return -1;
    if (isnan(r->limit)) return tg_fail(err, "rule '%s' needs a 'limit'", r->rule);
    if (strcmp(reading, "distance") == 0) {
        if (!(r->limit >= 0))
            return tg_fail(err, "the limit of '%s' must not be negative", r->rule);
        return check_nature(r, m, "fixed", err);
    }
    if (strcmp(reading, "rate") == 0) {
        if (!(r->limit > 0)) return tg_fail(err, "the limit of '%s' must be above 0", r->rule);
        if (!(r->discard >= 0 && r->discard < 1))
            return tg_fail(err, "rule '%s' needs a 'discard' from 0 to below 1", r->rule);
        return check_nature(r, m, "sampled", err);
    }
    if (strcmp(m->sign, "positive") == 0 && !(r->limit > 0))
        return tg_fail(err, "the limit of '%s' must be above 0", r->metric);
    if (strcmp(m->sign, "share") == 0 && r->limit > 1)
        return tg_fail(err, "the limit of '%s' is at most 1: 0.99 stands for 99 %%", r->metric);
    if ((strcmp(reading, "least") == 0 && r->fail_limit >= r->limit) ||
        (strcmp(reading, "most") == 0 && r->fail_limit <= r->limit))
        return tg_fail(err, "'fail_limit' must be worse than 'limit'");
    return 0;
}

/* Rivals instead of one value: each cell of the matrix that matches, and is else as `of`. */
static int check_against(const struct tg_rule *r, const struct tg_words *words,
                         struct tg_error *err)
{
    if (*r->to) return tg_fail(err, "'against' stands in the place of 'to': give one of them");
    if (strcmp(r->axis, "build") == 0)
        return tg_fail(err, "builds are compared by 'to', not by 'against'");
    return tg_cell_check_where(r->against, words, err);
}

static int check_pair(const struct tg_rule *r, const struct tg_words *words, struct tg_error *err)
{
    if (!tg_record_field(&tg_cell_type, r->axis)) return tg_fail(err, "unknown axis '%s'", r->axis);
    if (!*r->of || (!*r->to && !*r->against))
        return tg_fail(err, "'of' and 'to' are needed along an axis");
    if (tg_words_is_pattern(r->to)) return tg_fail(err, "'to' must be one value, not a pattern");
    if (strcmp(r->of, r->to) == 0) return tg_fail(err, "'of' and 'to' are the same");
    if (!tg_words_is_pattern(r->of) && tg_cell_check_value(r->axis, r->of, words, err) < 0)
        return -1;
    if (*r->against) return check_against(r, words, err);
    return tg_cell_check_value(r->axis, r->to, words, err);
}

/* Machines are told by their fields, whose names are words; values can be any. */
static int check_hardware(const struct tg_rule *r, const struct tg_words *words,
                          struct tg_error *err)
{
    char name[256], pattern[256];
    const char *rest = r->hardware;
    int more;
    while ((more = tg_record_term(&rest, name, pattern, sizeof name)) == 1)
        if (!tg_words_find(words, "hardware", name))
            return tg_fail(err, "unknown field '%s' of hardware in '%s'", name, r->hardware);
    if (more < 0) return tg_fail(err, "'%s' is not of the form field=pattern", r->hardware);
    if (*r->hardware && (r->optional || r->required))
        return tg_fail(err, "a rule with 'hardware' is required there, and optional elsewhere");
    return 0;
}

static int check_rule(const struct tg_rule *r, const struct tg_words *words, struct tg_error *err)
{
    char needs[16] = "", reading[16] = "";
    struct traits m = {"", "", ""};
    const struct tg_word *kind = tg_words_find(words, "rule", r->rule);
    const struct tg_word *metric = tg_words_find(words, "metric", r->metric);
    if (!kind) return tg_fail(err, "no such rule '%s'", r->rule);
    if (!metric) return tg_fail(err, "no such metric '%s'", r->metric);
    if (tg_cell_check_where(r->where, words, err) < 0) return -1;

    tg_words_trait(metric, "sign", m.sign, sizeof m.sign);
    tg_words_trait(metric, "nature", m.nature, sizeof m.nature);
    tg_words_trait(metric, "unit", m.unit, sizeof m.unit);
    tg_words_trait(kind, "cells", needs, sizeof needs);
    tg_words_trait(kind, "reading", reading, sizeof reading);
    if (strcmp(needs, "pair") == 0 && check_pair(r, words, err) < 0) return -1;
    if (strcmp(needs, "pair") != 0 && (*r->axis || *r->of || *r->to || *r->against))
        return tg_fail(err, "rule '%s' looks at one cell, 'axis', 'of' and 'to' mean nothing",
                       r->rule);
    if (r->required / 2 || r->optional / 2 || (r->required && r->optional))
        return tg_fail(err, "'required' and 'optional' must be true or false, and not both true");
    if (check_hardware(r, words, err) < 0) return -1;
    if (!isnan(r->discard) && strcmp(reading, "rate") != 0)
        return tg_fail(err, "rule '%s' discards nothing: every sample counts", r->rule);
    if (check_also(r, reading, words, err) < 0) return -1;
    if (!isnan(r->fail_limit) && strcmp(reading, "least") != 0 && strcmp(reading, "most") != 0)
        return tg_fail(err, "rule '%s' takes no 'fail_limit'", r->rule);
    if (strspn(r->name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(r->name))
        return tg_fail(err, "'name' must be of lower case letters, digits and '_'");
    if (strcmp(reading, "slowdown") == 0) return check_slowdown(r, &m, err);
    if (strcmp(r->fail_from, "minor") != 0)
        return tg_fail(err, "rule '%s' has no severities, 'fail_from' means nothing", r->rule);
    if (strcmp(r->effect, "time") != 0)
        return tg_fail(err, "rule '%s' looks for no slow-down, 'effect' means nothing", r->rule);
    if (strcmp(reading, "growth") == 0) return check_growth(r, &m, err);
    return check_limit(r, &m, reading, err);
}

static int read_rule(const struct tg_json_file *file, const struct tg_json *object,
                     const struct tg_words *words, struct tg_rule *rule, struct tg_error *err)
{
    struct tg_error why;
    if (tg_json_kind(object) != TG_JSON_OBJECT)
        return tg_json_fail(file, object, err, "a rule must be an object");
    tg_record_init(&tg_rule_type, rule);
    for (size_t i = 0; i < tg_json_count(object); i++) {
        const struct tg_json *member = tg_json_at(object, i);
        const char *key = tg_json_key(member);
        bool is_where = strcmp(key, "where") == 0;
        if (is_where || strcmp(key, "against") == 0) {
            if (tg_json_kind(member) != TG_JSON_TEXT ||
                strlen(tg_json_text(member)) >= sizeof rule->where)
                return tg_json_fail(file, member, err, "a pattern of cells is expected");
            snprintf(is_where ? rule->where : rule->against, sizeof rule->where, "%s",
                     tg_json_text(member));
        } else if (tg_json_read_field(file, member, &tg_rule_type, rule, key, err) < 0) {
            return -1;
        }
    }
    return check_rule(rule, words, &why) < 0 ? tg_json_fail(file, object, err, "%s", why.text) : 0;
}

/* Keys are those of limits, rules and the flow. */
static int check_keys(const struct tg_json_file *file, struct tg_error *err)
{
    static const char *const keys[] = {"tritgate_policy", "meaning", "flow", "limits", "rules"};
    const struct tg_json *root = file->root;
    for (size_t i = 0; i < tg_json_count(root); i++) {
        const struct tg_json *member = tg_json_at(root, i);
        bool is_known = tg_flow_has_key(tg_json_key(member));
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            is_known = is_known || strcmp(keys[k], tg_json_key(member)) == 0;
        if (!is_known)
            return tg_json_fail(file, member, err, "unknown key '%s'", tg_json_key(member));
    }
    return 0;
}

static int read_limits(const struct tg_json_file *file, const struct tg_json *given,
                       struct tg_limits *limits, struct tg_error *err)
{
    struct tg_error why;
    if (given && tg_json_read_record(file, given, &tg_limits_type, limits, err) < 0) return -1;
    return check_limits(limits, &why) < 0 ? tg_json_fail(file, given, err, "%s", why.text) : 0;
}

static int read_rules(const struct tg_json_file *file, const struct tg_words *words,
                      struct tg_policy *p, struct tg_error *err)
{
    const struct tg_json *rules = tg_json_get(file->root, "rules");
    if (!rules || tg_json_kind(rules) != TG_JSON_ARRAY || tg_json_count(rules) == 0)
        return tg_json_fail(file, rules, err, "'rules' must be a list of at least one rule");
    p->rules = calloc(tg_json_count(rules), sizeof *p->rules);
    if (!p->rules) return tg_fail(err, "out of memory");
    for (; p->rule_count < tg_json_count(rules); p->rule_count++)
        if (read_rule(file, tg_json_at(rules, p->rule_count), words, &p->rules[p->rule_count],
                      err) < 0)
            return -1;
    return 0;
}

int tg_policy_read_exclusive(const struct tg_json_file *file, char word[TG_TEXT_SIZE],
                             struct tg_error *err)
{
    struct tg_limits limits;
    tg_record_init(&tg_limits_type, &limits);
    if (read_limits(file, tg_json_get(file->root, "limits"), &limits, err) < 0)
        return tg_fail_in(err, "policy");
    memcpy(word, limits.exclusive, TG_TEXT_SIZE);
    return 0;
}

/*
 * Each step's limits: the policy's, but for what it gives itself. Workers are placed before a step
 * is chosen. And rules name steps there are.
 */
static int read_steps(const struct tg_json_file *file, struct tg_policy *p, struct tg_error *err)
{
    const struct tg_json *steps = tg_json_get(file->root, "steps");
    const struct tg_json *rules = tg_json_get(file->root, "rules");
    struct tg_error why;
    size_t step;
    p->step_limits = calloc(p->process.step_count + 1, sizeof *p->step_limits);
    if (!p->step_limits) return tg_fail(err, "out of memory");
    for (size_t i = 0; i < p->process.step_count; i++) {
        const struct tg_json *given = tg_json_get(tg_json_at(steps, i), "limits");
        p->step_limits[i] = p->limits;
        if (tg_json_get(given, "exclusive"))
            return tg_json_fail(file, given, err, "'exclusive' must be the same for all steps");
        if (read_limits(file, given, &p->step_limits[i], err) < 0) return -1;
    }
    for (size_t i = 0; i < p->rule_count; i++)
        if (*p->rules[i].step && tg_flow_find_step(&p->process, p->rules[i].step, &step, &why) < 0)
            return tg_json_fail(file, tg_json_at(rules, i), err, "%s", why.text);
    return 0;
}

static int read_policy(const struct tg_json_file *file, const struct tg_words *words,
                       struct tg_policy *p, struct tg_error *err)
{
    const struct tg_json *root = file->root, *flow = tg_json_get(root, "flow");
    if (tg_json_kind(root) != TG_JSON_OBJECT ||
        tg_json_number(tg_json_get(root, "tritgate_policy")) != 1)
        return tg_json_fail(file, root, err, "not a policy: \"tritgate_policy\": 1 is missing");
    const struct tg_json *meaning = tg_json_get(root, "meaning");
    if (check_keys(file, err) < 0) return -1;
    if (meaning && !*tg_json_text(meaning))
        return tg_json_fail(file, meaning, err, "a line of text is expected");
    const char *name = tg_json_text(flow);
    if (!*name || strlen(name) >= sizeof p->flow ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != strlen(name))
        return tg_json_fail(file, flow, err,
                            "'flow' must be a name of lower case letters, digits, '-' and '_'");
    snprintf(p->flow, sizeof p->flow, "%s", name);

    tg_record_init(&tg_limits_type, &p->limits);
    if (read_limits(file, tg_json_get(root, "limits"), &p->limits, err) < 0 ||
        read_rules(file, words, p, err) < 0 ||
        tg_flow_parse(file, p->rules, p->rule_count, words, &p->process, err) < 0)
        return -1;
    return read_steps(file, p, err);
}

int tg_policy_parse(const struct tg_json_file *file, const struct tg_words *words,
                    struct tg_policy *policy, struct tg_error *err)
{
    struct tg_policy parsed = {0};
    if (read_policy(file, words, &parsed, err) < 0) {
        tg_policy_release(&parsed);
        return -1;
    }
    *policy = parsed;
    return 0;
}

int tg_policy_choose(struct tg_policy *policy, const char *step, struct tg_error *err)
{
    struct tg_flow *flow = &policy->process;
    size_t kept = 0;
    if (flow->step_count == 0 && !*step) return 0;
    if (tg_flow_find_step(flow, step, &flow->step, err) < 0) return -1;
    policy->limits = policy->step_limits[flow->step];
    for (size_t i = 0; i < policy->rule_count; i++) {
        const struct tg_rule *rule = &policy->rules[i];
        if (!*rule->step || strcmp(rule->step, flow->steps[flow->step].name) == 0)
            policy->rules[kept++] = *rule;
    }
    policy->rule_count = kept;
    return kept ? 0 : tg_fail(err, "step '%s' has no rules", flow->steps[flow->step].name);
}

const char *tg_policy_rule_name(const struct tg_rule *rule)
{
    return *rule->name ? rule->name : rule->metric;
}

double tg_policy_alpha(const struct tg_limits *limits)
{
    const bool by_family = limits->family_watch && limits->family_fail;
    return limits->alpha_fail + (by_family ? limits->alpha_family : 0);
}

void tg_policy_release(struct tg_policy *policy)
{
    free(policy->rules);
    free(policy->step_limits);
    tg_flow_release(&policy->process);
    *policy = (struct tg_policy){0};
}
