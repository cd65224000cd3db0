/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_RULE_H
#define TG_COORDINATOR_RULE_H

#include <stdbool.h>
#include <stddef.h>

#include "coordinator/disturbance.h"
#include "coordinator/forecast.h"
#include "matrix/policy.h"
#include "results/metric.h"
#include "results/stats.h"

/*
 * What a rule demands, as a pure function: the values of the rounds, in order, become a verdict.
 */

enum tg_answer { TG_PASS, TG_FAIL, TG_INCONCLUSIVE, TG_SKIP };

struct tg_accepted;

/* What was seen for one test: one value a round. */
struct tg_evidence {
    const struct tg_rule *rule;
    const struct tg_limits *limits;
    const struct tg_metric *metric;
    size_t required_count;        /* tests that share alpha_fail */
    const double *values;         /* pair: ln(of / to); one cell: the value itself */
    const struct tg_metric *also; /* the rule's second metric, or NULL */
    const double *also_values;    /* of it; NULL where not every round has it */
    const int *nodes;    /* of each round, the node that measured it, from 0; NULL: one node */
    const int *sessions; /* of each round, the run that it belongs to, from 0; NULL: one run */
    size_t count;
    const char *const *node_names; /* of the nodes, or NULL */
    bool is_brief;                 /* leave out an estimate that the answer does not need */
    bool is_blind;                 /* leave out what more rounds would meet */
};

/* A rule's answer for one cell or pair. */
struct tg_verdict {
    enum tg_answer answer;
    char word[40];    /* in a few words: "not slower", "slower, minor" */
    char reason[600]; /* of a failure, skip or inconclusive answer; "" for none */
    size_t left_out;  /* rounds that have all rows, but not the metric, or not all samples of it */
    size_t discarded; /* rounds that the clock of their device discards, which are not in rounds */
    size_t clocked;   /* ... out of so many on a device with a clock */
    struct tg_disturbed disturbed;        /* ... or that were disturbed */
    size_t spared;                        /* rounds that a broken device alone could not measure */
    char odd_device[TG_DEVICE_NAME_SIZE]; /* ... and its name, "" for none (evidence.h) */
    bool is_broken;                       /* of's kernel was wrong, or crashed or was late twice */
    bool is_unrepeated;   /* it crashed or was late last, and was not measured since */
    bool is_clock_effect; /* it would fail in the rule's metric, but does not in its second */
    bool is_held;    /* fewer than min_sessions runs or nodes saw what it fails for, if it does */
    bool wants_more; /* further rounds could change the answer or its severity */
    bool wants_head; /* ... of the block in which head is watched (lookout.h), not of the test's own
                      */
    bool wants_last; /* further rounds could say more than the answer, when nothing else is open */
    size_t rounds;
    size_t super_rounds; /* pairs of rounds that were counted as one, 0 if rounds were */
    int odd_node;        /* the node that disagrees with the others, -1 if none does */
    double node_loss; /* what a failure that stands is on the side that loses most, that node or the
                         others, as an estimate; NAN where they do not seem to disagree */
    double estimate;  /* of the effect, as a ratio less 1, or of the value; NAN if there is none */
    struct tg_interval interval; /* of the estimate, at limits->confidence */
    double also;                 /* the estimate in the rule's second metric, NAN without it */
    struct tg_interval also_interval;
    double of_median, to_median;    /* of the metric, over rounds; NAN if `to` was not seen */
    double of_share;                /* of the roofline that `of` reaches, 1 at it; NAN if unknown */
    double of_call_s;               /* what a call of `of` takes; NAN where that was not sampled */
    double of_bytes;                /* packed weights that one call of `of` reads, NAN if unknown */
    double log_fail, log_fail_line; /* evidence for failing, and its line */
    double log_clean, log_clean_line; /* evidence for passing, and its line */
    struct tg_outlook outlook;        /* what more rounds would meet; sd is NAN for no rounds */
    double theta;                     /* the mean of D, in which the outlook counts */
    /*
     * Of a test by rounds, in the terms of D: what it would find with the limit `power`, as planned
     * and with the noise seen; and of one that is open, rounds and node-seconds that would resolve
     * it, as it looks now. NAN where that cannot be said.
     */
    double detectable_planned, detectable, rounds_needed, seconds_needed;
    struct tg_interval rounds_left;     /* of that test: what is likely, see tg_forecast_rest */
    struct tg_student units;            /* what E- has taken: rounds, or super-rounds */
    const struct tg_accepted *accepted; /* what made a failure attention, or NULL (acceptance.h) */
};

struct tg_rule_kind {
    const char *name;
    const char *cells;   /* "pair" or "one" */
    const char *reading; /* of its numbers, see rules.def */
    const char *meaning;
    void (*judge)(const struct tg_evidence *evidence, struct tg_verdict *verdict);
};

/* The row of rules.def of that name, or NULL. */
const struct tg_rule_kind *tg_rule_find(const char *name);

/* The rows in order; tg_rule_at(i) for i < tg_rule_count(). */
size_t tg_rule_count(void);
const struct tg_rule_kind *tg_rule_at(size_t i);

#define RULE(name, cells, values, reading, meaning)                                                \
    void tg_rule_##name(const struct tg_evidence *evidence, struct tg_verdict *verdict);
#include "coordinator/rules.def"
#undef RULE

/* The margin of a noninferior rule, as the logarithm of a ratio. */
double tg_rule_margin(const struct tg_rule *rule);

#define TG_RULE_LOSS_SIZE 64

/*
 * A slow-down, a ratio less 1, in words of the effect of a noninferior rule: "slower by 8.7 %",
 * "throughput less by 8 %". Returns out.
 */
char *tg_rule_loss_text(const struct tg_rule *rule, const struct tg_metric *metric, double slower,
                        char out[TG_RULE_LOSS_SIZE]);

/* A verdict on which nothing was seen yet. */
struct tg_verdict tg_rule_no_verdict(void);

/* What a verdict says, in a few words and a sentence. Returns the verdict's answer. */
enum tg_answer tg_rule_say(struct tg_verdict *verdict, enum tg_answer answer, const char *word,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));

/*
 * A ratio less 1 in percent, for two digits behind the point: what they would show as -0.00 is 0,
 * since the sign of almost nothing differs between mathematical libraries.
 */
double tg_rule_percent(double ratio);

/*
 * A slow-down, as a ratio less 1, as the rule's effect counts it: how much more time was taken, or
 * by how much a throughput changed, below 0 where it is less.
 */
double tg_rule_change(const struct tg_rule *rule, double slower);

/* How far two tests have come that look at the same rounds (rule.c). */
struct tg_progress {
    bool is_over;       /* theta <= fail_floor was refuted first */
    bool is_clean;      /* theta >= clean_margin was refuted first */
    bool is_equivalent; /* it is clean, and theta <= -clean_margin is refuted, too */
    bool is_improved;   /* it is clean, and theta >= -fail_floor is refuted */
};

/*
 * Feeds the rounds (walk.h) to the test against theta <= fail_floor and to the one against
 * theta >= clean_margin until one crosses its line, and sets the verdict's rounds, evidence and
 * lines. The first crossing stands, whatever later rounds say; what came after it decides only
 * whether a clean one is equivalent or improved. But the fail side's stands from when min_sessions
 * runs or nodes saw it; as long as they did not, the verdict's is_held says so.
 *
 *   sign   each value is multiplied with it: 1, or -1 where more is better
 *   shift  and this is added
 */
struct tg_progress tg_rule_follow(const struct tg_evidence *evidence, double sign, double shift,
                                  double fail_floor, double clean_margin,
                                  struct tg_verdict *verdict);

/* Sets the answer that the tests give: failed as `over`, passed as `clean`, or open. */
void tg_rule_answer(const struct tg_progress *progress, const char *over, const char *clean,
                    struct tg_verdict *verdict);

/*
 * Takes a failure back that too few runs or nodes saw. It is the last thing to do with an answer:
 * what passes for any reason needs nobody else who saw it.
 */
void tg_rule_hold(const struct tg_limits *limits, struct tg_verdict *verdict);

/*
 * Sets the verdict's estimate (Hodges-Lehmann) and interval from the values times sign, as ratios
 * less 1: exp(x) - 1. `units` are those that tg_rule_follow found with that sign and no shift, or
 * NULL.
 */
void tg_rule_estimate(const struct tg_evidence *evidence, double sign,
                      const struct tg_student *units, struct tg_verdict *verdict);

/*
 * Names an answer that the estimate contradicts: the first crossing stands, as it must, where later
 * rounds say otherwise. A pass becomes attention; what is open, or has no estimate, stays.
 *
 *   was_worse  than the limit, which is what was answered
 *   is_worse   the estimate
 *   format     a text of what all rounds together say
 */
void tg_rule_say_since(struct tg_verdict *verdict, bool was_worse, bool is_worse,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));

/*
 * Nodes that disagree answer nothing together (rule_nodes.c). For certain, as chance would make it
 * in one run of a hundred over all its tests: then the test is heterogeneous, and the node named,
 * unless it fails without any one of them. A test is looked at after each round, and the first look
 * that says so ends it, so each has its share of that chance. Nothing is certain before the node
 * and all others together have rounds for a spread of their own (agreement.h). If it only seems so,
 * with p < 0.01, a clean answer waits for more rounds; with p < 0.1 so does a failure that does not
 * stand without any one of them.
 *
 *   sign, shift  D = sign * value + shift, as for tg_rule_follow
 *   tolerance    a node must be off by more than this; NAN: its mean D and that of the others must
 *                lie on two sides of 0, to be certain beyond what chance makes of one at 0
 *   least        what fails: a mean D of at least this, whichever node is left out
 */
void tg_rule_look_at_nodes(const struct tg_evidence *evidence, double sign, double shift,
                           double tolerance, double least, struct tg_verdict *verdict);

/*
 * Takes a pass back where rounds of a metric that depends on time have one value, to the last bit:
 * no two rounds that were measured, and written down whole, do. For those that others measured.
 */
void tg_rule_doubt_copies(const struct tg_evidence *evidence, struct tg_verdict *verdict);

#endif
