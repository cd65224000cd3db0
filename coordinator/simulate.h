/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_SIMULATE_H
#define TG_COORDINATOR_SIMULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "coordinator/noise.h"
#include "coordinator/rule.h"

/*
 * Gates whose truth is known. Noise takes the place of the machine; everything behind it is what
 * decides on real runs: after each round the rule sees all values so far, until it wants no more or
 * the policy allows no more. Where the policy watches families, the tests of a gate are one, and
 * its quietest get the rounds that it wants.
 *
 * A scene is described, then run, which fills a tally. Gate i of a scene has a seed of its own, and
 * a tally holds counts only, so that the result is the same for any number of threads.
 */

/* What a scene leaves out of the method, to see what it was good for. Nothing else can do this. */
enum tg_ablation {
    TG_WHOLE,          /* nothing is left out */
    TG_FIXED_ORDER,    /* the sides of a round are not measured in a drawn order */
    TG_POOLED_SAMPLES, /* quads count, and not rounds */
    TG_PEEKING,        /* a textbook's 95 % interval, looked at after every round */
    TG_NO_MULTIPLICITY /* each test as if it were the only one */
};

struct tg_ablation_kind {
    const char *name; /* "fixed-order" */
    const char *meaning;
    const char *law; /* under which it shows; NULL: any */
};

/* The kinds in the order of the enum; the first is "none". tg_ablation_find: -1 if there is none.
 */
size_t tg_ablation_count(void);
const struct tg_ablation_kind *tg_ablation_kind(enum tg_ablation ablation);
int tg_ablation_find(const char *name);

struct tg_scene {
    const struct tg_rule *rule; /* of the kind noninferior */
    const struct tg_limits *limits;
    size_t gates, cells;   /* how many gates, and tests in each */
    size_t required_count; /* N */
    const struct tg_noise_law *law;
    const struct tg_noise_record *record; /* for the law "recorded" */
    double theta;                         /* the truth: ln(head / base) */
    double sd;    /* of D; with a spread, the median over the cells of a gate */
    double sigma; /* the sd of a cell is sd exp(sigma z), z standard normal; 0: all are alike */
    enum tg_ablation ablation;
    uint64_t seed;
};

enum { TG_SEVERITY_COUNT = 4 }; /* below margin, minor, major, critical */

/* What was seen. "Over" is a test whose evidence for being slower crossed its line. */
struct tg_tally {
    size_t gates, gates_failed, gates_passed, gates_over; /* over: with any test over */
    size_t families_over;                                 /* gates whose family is over its line */
    size_t tests, over, failed, clean, inconclusive;
    size_t rounds;             /* until the test wanted no more, all tests together */
    size_t decided_rounds;     /* until it was over or clean, in tests that came to be */
    size_t most_rounds;        /* of any test */
    size_t intervals, covered; /* with both ends, and those that hold the truth */
    size_t severities[TG_SEVERITY_COUNT][2]; /* tests over, by that of the estimate; [1]: borderline
                                              */
};

/* A slow-down that a rule names by its percentage (of time, or of lost throughput), as a theta. */
double tg_simulate_theta(const struct tg_rule *rule, double share);

/* The severity of a rule that an effect has, as the logarithm of a time ratio: 0 below the margin.
 */
int tg_simulate_severity(const struct tg_rule *rule, double theta);

/*
 * Counts a test of a gate by its verdict: how many rounds it had, and in how many it was decided, 0
 * if in none. truth is the effect, as a ratio less 1; NAN if it is not known.
 */
void tg_tally_count(struct tg_tally *gate, const struct tg_rule *rule,
                    const struct tg_verdict *verdict, size_t rounds, size_t decided_rounds,
                    double truth);

/* What became of a gate whose tests and families are counted. */
void tg_tally_end_gate(struct tg_tally *gate, const struct tg_limits *limits);

/* Adds what another part of the same scene saw. */
void tg_tally_add(struct tg_tally *all, const struct tg_tally *part);

/*
 * Simulates all gates of a scene, `threads` at a time (at least 1, this one among them). `show`, if
 * not NULL, is called now and then by this thread with the number of gates done.
 */
int tg_simulate_run(const struct tg_scene *scene, size_t threads, void (*show)(size_t done),
                    struct tg_tally *tally, struct tg_error *err);

#endif
