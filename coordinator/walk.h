/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_WALK_H
#define TG_COORDINATOR_WALK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "results/sequential.h"

/*
 * The rounds of a test, taken one after the other by the two sequential tests: begun, fed, asked
 * for its evidence after each round, and ended.
 *
 * Two things stand between rounds and evidence. Rounds that follow each other on one node and are
 * alike (autocorrelated) are worth less than they seem: from the round on at which that shows, two
 * successive rounds of a node are averaged and counted as one, a super-round. And nodes of one
 * class may differ: what only some of them show is evidence too.
 */

struct tg_walk;

/* What a walk goes over; values, nodes and sessions are as in struct tg_evidence (rule.h). */
struct tg_walk_path {
    const double *values;
    const int *nodes, *sessions;
    size_t count;
    double sign, shift; /* D = sign * value + shift */
    double floor;       /* the fail side refutes theta <= floor; NAN: there is no such side */
};

/* NULL when there is no memory. */
struct tg_walk *tg_walk_begin(const struct tg_walk_path *path);
void tg_walk_end(struct tg_walk *walk); /* accepts NULL */

/* Takes the next round; there must be one. */
void tg_walk_step(struct tg_walk *walk);

/*
 * The log e-value against theta <= floor: the mean of that of all rounds together and of the mean
 * over nodes of theirs. With one node it is E+ of results/sequential.h.
 */
double tg_walk_log_fail(const struct tg_walk *walk);

/*
 * The log e-value against theta = centre, from the side of it on which the mean of all rounds lies:
 * of all rounds together, or, where the spread of one node is more than three times that of
 * another, the product over nodes. A node whose mean lies on the other side only costs.
 */
double tg_walk_log_student(const struct tg_walk *walk, double centre);

/* Mean and spread of all units so far, and how many they are: rounds, or super-rounds. */
const struct tg_student *tg_walk_student(const struct tg_walk *walk);

/*
 * How many runs or nodes, whichever are more, saw a shift above the floor so far: most of their
 * rounds lie above it. It is 1 at least if there is any round.
 */
size_t tg_walk_span(const struct tg_walk *walk);

/* Super-rounds so far, 0 while rounds are counted. */
size_t tg_walk_super_rounds(const struct tg_walk *walk);

#endif
