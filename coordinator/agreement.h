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
 * Compares nodes by one-way analysis of variance, which is Cochran's Q with one spread for all:
 * with few rounds a node, a spread of each would be too uncertain. `nodes` has the node of each of
 * `count` values, from 0, or is NULL for one node. Two nodes at least, and two values of one of
 * them, are needed.
 *
 * Source: Cochran, Biometrics 10 (1954) 101-129; Fisher, Statistical Methods for Research Workers
 * (1925), chapter 7.
 */
struct tg_agreement tg_agreement_look(const double *values, const int *nodes, size_t count);

#endif
