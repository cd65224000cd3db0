/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_DISTURBANCE_H
#define TG_COORDINATOR_DISTURBANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "matrix/policy.h"
#include "results/measurement.h"

/*
 * Which rounds were disturbed: by the machine, as its kernel counted it, never by what came out. A
 * disturbed round stays in the store, is left out of both sides of a test, and is repeated.
 *
 * The rule sees tg_disturbance_facts and nothing else: no sample, no time of a call, no outcome.
 * Its answer for a round does not depend on other rounds, nor on which side is which. So what is
 * known of a round when it is left out says nothing of the sign of its value, and the tests keep
 * their error rates (docs/STATISTICS.md).
 */

enum {
#define DISTURBANCE(name, fact, how, limit, meaning) TG_DISTURBANCE_##name,
#include "coordinator/disturbances.def"
#undef DISTURBANCE
    TG_DISTURBANCE_COUNT
};

/* What is looked at of one cell; NAN for what is not known, which disturbs nothing. */
struct tg_disturbance_facts {
    double sampled_s;
#define DISTURBANCE(name, fact, how, limit, meaning) double fact;
#include "coordinator/disturbances.def"
#undef DISTURBANCE
};

/* Rounds that were looked at. */
struct tg_disturbed {
    size_t seen, rounds;                 /* all, and those disturbed */
    size_t causes[TG_DISTURBANCE_COUNT]; /* ... of these, by each: one may have several */
};

struct tg_disturbance_facts tg_disturbance_facts(const struct tg_facts *facts);

/* The causes that disturbed a cell, as bits 1 << TG_DISTURBANCE_...: those over their limit. */
unsigned tg_disturbance_causes(const struct tg_disturbance_facts *facts,
                               const struct tg_limits *limits);

/* Counts a round: with the causes of both its cells. */
void tg_disturbance_count(struct tg_disturbed *disturbed, unsigned causes);

/* Adds the rounds of one to another. */
void tg_disturbance_add(struct tg_disturbed *sum, const struct tg_disturbed *more);

/* Whether more rounds were disturbed than disturbed_share allows: nothing is decided then. */
bool tg_disturbance_is_over(const struct tg_disturbed *disturbed, const struct tg_limits *limits);

/* How many rounds a block may have: rounds_max, and in the place of disturbed ones repeats_max. */
int64_t tg_disturbance_rounds_max(const struct tg_disturbed *disturbed,
                                  const struct tg_limits *limits);

/* "7 of 30 rounds were disturbed and left out: steal in 5, faults in 2". Returns out. */
char *tg_disturbance_text(const struct tg_disturbed *disturbed, char *out, size_t size);

#endif
