/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_ROUND_VALUE_H
#define TG_COORDINATOR_ROUND_VALUE_H

#include "matrix/policy.h"
#include "results/measurement.h"

/*
 * What becomes of a round: its samples in, one number out, which the rule then judges. How, is said
 * by the column `values` of rules.def:
 *
 *   quads       of two cells, ln(of / to) as the median over quads (tg_evidence_value); of what is
 *               measured once a round, of the two values
 *   level       of one cell, the logarithm of its median sample, of bytes of the largest, or its
 *               fixed value
 *   exact       of one cell, its fixed value as it is, even if it is no number
 *   difference  of two cells, the fixed value of `of` less that of `to`, likewise
 *   slope       of one cell, how much the metric grows from sample to sample
 *   growth      of two models, ln(of / to) of the medians less ln(of / to) of the models' bytes
 *
 * slope: the first `discard` of the samples are the warm-up and left out. Each half of the rest
 * gets a line, with the slope of Theil and Sen (results/trend.h), and the half whose samples lie
 * closer to their line gives the value (the second, if both do). A cache that is filled once is a
 * step in one half only, while a leak goes on in both. For noise that is as likely up as down the
 * choice says nothing about the error of the slope, so that the value is right on average. Memory
 * that is given out in large pieces stands still for many samples: where no sample falls and both
 * halves grow, it is at least what they grow by, from end to end, the lesser of the two; likewise
 * down. All other slopes keep their sign.
 *
 * growth: the bytes are the fact packed_bytes of both sides, or, where one lacks it, the weights
 * that the two models have in the cells' layer (in all layers, if the cells name none).
 */

/* One round: whole measurements of one cell, or of two. */
struct tg_whole_round {
    const struct tg_rule *rule;
    const struct tg_measurement *of, *to; /* to is NULL for one cell */
};

/* Its value for the rule, or -1 if the samples do not give one. */
int tg_round_value(const struct tg_whole_round *round, double *value);

/*
 * The slope of `count` samples as above, in their unit a sample, when the first `discard` of them
 * (a share) are left out; -1 if fewer than 8 are left. Of many, 512 evenly spaced ones are looked
 * at.
 */
int tg_round_value_slope(const double *samples, size_t count, double discard, double *slope);

#endif
