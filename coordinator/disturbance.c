/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/disturbance.h"

#include <math.h>
#include <stdio.h>

#define SLACK 1e-9 /* what is this close to its limit is not over it */

enum how { SHARE, COUNT };

static const struct {
    const char *name;
    size_t fact, limit; /* offsets in tg_disturbance_facts and tg_limits, of doubles */
    enum how how;
} causes[] = {
#define DISTURBANCE(name, fact, how, limit, meaning)                                               \
    {#name, offsetof(struct tg_disturbance_facts, fact), offsetof(struct tg_limits, limit), how},
#include "coordinator/disturbances.def"
#undef DISTURBANCE
};

static double number_at(const void *record, size_t offset)
{
    return *(const double *)((const char *)record + offset);
}

struct tg_disturbance_facts tg_disturbance_facts(const struct tg_facts *facts)
{
    struct tg_disturbance_facts taken = {
        .sampled_s = facts->sampled_s,
#define DISTURBANCE(name, fact, how, limit, meaning)                                               \
    .fact = facts->fact >= 0 ? (double)facts->fact : NAN,
#include "coordinator/disturbances.def"
#undef DISTURBANCE
    };
    return taken;
}

unsigned tg_disturbance_causes(const struct tg_disturbance_facts *facts,
                               const struct tg_limits *limits)
{
    unsigned found = 0;
    for (unsigned i = 0; i < TG_DISTURBANCE_COUNT; i++) {
        double seen = number_at(facts, causes[i].fact), limit = number_at(limits, causes[i].limit);
        if (causes[i].how != COUNT) seen = facts->sampled_s > 0 ? seen / facts->sampled_s : NAN;
        if (seen > limit * (1 + SLACK)) found |= 1u << i;
    }
    return found;
}

void tg_disturbance_count(struct tg_disturbed *disturbed, unsigned found)
{
    disturbed->seen++;
    disturbed->rounds += found != 0;
    for (unsigned i = 0; i < TG_DISTURBANCE_COUNT; i++) disturbed->causes[i] += found >> i & 1;
}

void tg_disturbance_add(struct tg_disturbed *sum, const struct tg_disturbed *more)
{
    sum->seen += more->seen;
    sum->rounds += more->rounds;
    for (unsigned i = 0; i < TG_DISTURBANCE_COUNT; i++) sum->causes[i] += more->causes[i];
}

bool tg_disturbance_is_over(const struct tg_disturbed *disturbed, const struct tg_limits *limits)
{
    return (double)disturbed->rounds >
           limits->disturbed_share * (double)disturbed->seen * (1 + SLACK);
}

int64_t tg_disturbance_rounds_max(const struct tg_disturbed *disturbed,
                                  const struct tg_limits *limits)
{
    int64_t repeats = (int64_t)disturbed->rounds;
    return limits->rounds_max + (repeats < limits->repeats_max ? repeats : limits->repeats_max);
}

char *tg_disturbance_text(const struct tg_disturbed *disturbed, char *out, size_t size)
{
    int used = snprintf(out, size, "%zu of %zu rounds were disturbed and left out",
                        disturbed->rounds, disturbed->seen);
    const char *before = ": ";
    for (unsigned i = 0; i < TG_DISTURBANCE_COUNT; i++) {
        if (!disturbed->causes[i] || used < 0 || (size_t)used >= size) continue;
        used += snprintf(out + used, size - (size_t)used, "%s%s in %zu", before, causes[i].name,
                         disturbed->causes[i]);
        before = ", ";
    }
    return out;
}
