/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/rule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/sequential.h"

static const struct tg_rule_kind kinds[] = {
#define RULE(name, cells, reading, meaning) {#name, #cells, #reading, meaning, tg_rule_##name},
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

struct tg_progress tg_rule_follow(const struct tg_evidence *evidence, double sign, double shift,
                                  double fail_floor, double clean_margin,
                                  struct tg_verdict *verdict)
{
    const struct tg_limits *limits = evidence->limits;
    struct tg_progress progress = {false, false};
    struct tg_symmetry symmetry;
    struct tg_student student = {0};
    double *distances = malloc((evidence->count + 1) * sizeof *distances);

    verdict->rounds = evidence->count;
    verdict->log_fail_line = log((double)evidence->required_count) - log(limits->alpha_fail);
    verdict->log_clean_line = -log(limits->alpha_miss);
    verdict->log_fail = verdict->log_clean = 0;
    if (!distances) return progress;
    tg_sequential_symmetry_init(&symmetry, fail_floor, distances, evidence->count);
    for (size_t r = 0; r < evidence->count; r++) {
        double d = sign * evidence->values[r] + shift;
        double log_fail = tg_sequential_symmetry_add(&symmetry, d);
        tg_sequential_student_add(&student, d);
        if (progress.is_over || progress.is_clean) continue;
        verdict->log_fail = log_fail;
        verdict->log_clean = tg_sequential_student_log_e(&student, clean_margin);
        if (student.mean >= clean_margin) verdict->log_clean = 0;
        if (tg_stats_is_over(log_fail, verdict->log_fail_line))
            progress.is_over = true;
        else if ((int64_t)student.rounds >= limits->rounds_min &&
                 tg_sequential_student_is_below(&student, clean_margin, verdict->log_clean_line))
            progress.is_clean = true;
    }
    free(distances);
    return progress;
}

void tg_rule_estimate(const struct tg_evidence *evidence, double sign, struct tg_verdict *verdict)
{
    struct tg_student student = {0};
    if (evidence->count == 0) return;
    double *values = malloc(evidence->count * sizeof *values);
    if (!values) return;
    for (size_t r = 0; r < evidence->count; r++) {
        values[r] = sign * evidence->values[r];
        tg_sequential_student_add(&student, values[r]);
    }
    struct tg_interval interval = tg_sequential_student_interval(&student,
                                                                 evidence->limits->confidence);
    verdict->estimate = expm1(tg_stats_hodges_lehmann(values, evidence->count));
    verdict->interval.low = expm1(interval.low);
    verdict->interval.high = expm1(interval.high);
    free(values);
}
