/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_JUDGED_VALUES_H
#define TG_TESTS_JUDGED_VALUES_H

#include <math.h>
#include <stdio.h>

#include "coordinator/rule.h"

/* Values of rounds that nobody measured, and what a rule says of them. */

enum { MOST = 64 };

static const struct tg_metric time_metric = {"call_time", "s",         TG_LOWER,
                                             TG_SAMPLED,  TG_POSITIVE, ""};
static struct tg_limits limits;
static struct tg_rule rule;
static double values[MOST];

/* The defaults, and a rule of that kind with tolerance 2 % and margins 5, 10, 15 %. */
static inline void begin(const char *kind)
{
    tg_record_init(&tg_limits_type, &limits);
    tg_record_init(&tg_rule_type, &rule);
    snprintf(rule.rule, sizeof rule.rule, "%s", kind);
    rule.tolerance = 0.02;
    rule.margin = 0.05;
    rule.major = 0.10;
    rule.critical = 0.15;
    rule.limit = 1.5;
}

static inline struct tg_verdict judge(const struct tg_metric *metric, size_t count, size_t required)
{
    struct tg_verdict v = {.estimate = NAN, .interval = {-INFINITY, INFINITY}};
    const struct tg_evidence evidence = {.rule = &rule,
                                         .limits = &limits,
                                         .metric = metric,
                                         .required_count = required,
                                         .values = values,
                                         .count = count};
    tg_rule_find(rule.rule)->judge(&evidence, &v);
    tg_rule_hold(&limits, &v);
    return v;
}

/* Fills the values with d - noise and d + noise in turn. */
static inline void fill(double d, double noise)
{
    for (int i = 0; i < MOST; i++) values[i] = d + (i % 2 ? noise : -noise);
}

static inline void assert_verdict(struct tg_verdict v, enum tg_answer answer, const char *word)
{
    assert_int_equal(v.answer, answer);
    assert_string_equal(v.word, word);
}

#endif
