/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_AGREEMENT_H
#define TG_COORDINATOR_AGREEMENT_H

#include <stddef.h>

/*
 * Whether the nodes that measured a test agree on it. Nodes of one class of hardware should; one
 * that does not is sick, or the test depends on something that the class does not say.
 */

struct tg_agreement {
    double p; /* chance of so much disagreement among nodes that agree; 1 if it cannot be told */
    int odd;  /* the node farthest from the others, -1 if it cannot be told */
    double odd_mean, rest_mean; /* of its values, and of all others; NAN if it cannot be told */
};

/*
 * Compares nodes by one-way analysis of variance, which is Cochran's Q with one spread for all. It
 * has an answer from few values on, but only raises a suspicion: where one node is noisier than
 * another and has fewer values, chance comes out so more often than p says. `nodes` has the node of
 * each of `count` values, from 0, or is NULL for one node. Two nodes at least, and two values of
 * one of them, are needed.
 *
 * Source: Cochran, Biometrics 10 (1954) 101-129; Fisher, Statistical Methods for Research Workers
 * (1925), chapter 7.
 */
struct tg_agreement tg_agreement_look(const double *values, const int *nodes, size_t count);

/* The values of one node, or those of all others. */
struct tg_side {
    size_t count;
    double mean;  /* NAN without values */
    double error; /* the variance of the mean; NAN with fewer than two */
};

void tg_agreement_divide(const double *values, const int *nodes, size_t count, int node,
                         struct tg_side *own, struct tg_side *rest);

/*
 * The chance that sides that agree lie so far apart, by Welch's test, which takes a spread of its
 * own for each. NAN where one has fewer than 6 values: of so few a spread is too uncertain for
 * chances as small as are asked for here.
 *
 * Source: Welch, Biometrika 34 (1947) 28-35.
 */
double tg_agreement_unlike(const struct tg_side *own, const struct tg_side *rest);

#endif
