/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_SEQUENTIAL_H
#define TG_RESULTS_SEQUENTIAL_H

#include <stdbool.h>
#include <stddef.h>

#include "results/stats.h"

/*
 * Evidence that may be looked at after every round: two processes, each begun, then given the value
 * D of one round at a time, in the order of the rounds. D is the logarithm of a ratio, finite, and
 * theta is where its law is centred.
 *
 * An e-value is what a fair game would have paid for 1 staked against a hypothesis. If the
 * hypothesis is true, the chance that it *ever* reaches 1/alpha is at most alpha, so measuring may
 * stop at any round and for any reason (Ville 1939). All e-values are given as natural logarithms,
 * which neither overflow nor vanish; lines are compared with them by tg_stats_is_over.
 */

enum { TG_SEQUENTIAL_STAKES = 6 };

/* The numbers of both processes, for who forecasts them. */
extern const double tg_sequential_stakes[TG_SEQUENTIAL_STAKES]; /* ascending shares of a round */
extern const double tg_sequential_score_scale; /* of the median distance: a score of 1 */
extern const double tg_sequential_prior;       /* c2 below */

/* Evidence against theta <= floor, right for every symmetric noise, however heavy its tails. */
struct tg_symmetry {
    double floor;
    double log_products[TG_SEQUENTIAL_STAKES]; /* what each stake has become */
    double *distances;                         /* |D - floor| of the rounds so far, ascending */
    size_t rounds, room;
};

/*
 * Begins with no rounds. distances has room for `room` numbers, as many as rounds will be added; it
 * is the caller's, and must live as long as *s.
 */
void tg_sequential_symmetry_init(struct tg_symmetry *s, double floor, double *distances,
                                 size_t room);

/*
 * Adds a round and returns log E+.
 *
 * With the score z = (D - floor) / (0.8 * median of the earlier |D - floor|), cut to -1..1 (in the
 * first two rounds, and where that median is 0, its sign; 0 for a D within 1e-9 of the floor, so
 * that the last bit of a logarithm is no evidence), E+ is the mean over the stakes l = .1 .3 .5 .75
 * .9 .99 of the products of 1 + l z. One round at most doubles it, so that reaching a line takes
 * log2(line) rounds at least.
 *
 * Source: de la Pena, Ann. Probab. 27 (1999) 537-564; Ramdas, Ruf, Larsson & Koolen,
 * arXiv:2009.03167 (symmetric laws).
 */
double tg_sequential_symmetry_add(struct tg_symmetry *s, double d);

/* Mean and spread of the rounds so far, from which Student's t speaks. Zeros are no rounds. */
struct tg_student {
    size_t rounds;
    double mean;
    double squares; /* sum of (D - mean)^2 */
};

/*
 * Adds a round. Values beyond 1e100 either way count as that.
 *
 * Source: Welford, Technometrics 4 (1962) 419-420.
 */
void tg_sequential_student_add(struct tg_student *t, double d);

/*
 * The log e-value against theta = `centre`, from either side:
 *
 *   E = sqrt(c2 / (n + c2)) * ((n + c2) V / ((n + c2) V - S^2))^(n/2),  c2 = 0.1,
 *   S and V the sums of D - centre and of its square.
 *
 * Right for normal noise, close to it for others. No rounds give 0, and rounds that all equal the
 * centre speak for it.
 *
 * Source: Lai, Ann. Statist. 4 (1976) 265-280; Wang & Ramdas, arXiv:2310.03722.
 */
double tg_sequential_student_log_e(const struct tg_student *t, double centre);

/*
 * Whether theta >= margin is refuted: the mean is below the margin and the log e-value over
 * log_line. The caller demands its least number of rounds.
 */
bool tg_sequential_student_is_below(const struct tg_student *t, double margin, double log_line);

/*
 * All centres that are not refuted at that confidence (for example 0.99): an interval around the
 * mean that holds at all rounds at once, and has no ends while there are too few.
 *
 *   k = 1 - (alpha^2 c2 / (n + c2))^(1/n),  alpha = 1 - confidence
 *   half of its width = sqrt(squares * k / (n^2 / (n + c2) - n k))
 *
 * Source: as tg_sequential_student_log_e, solved for the centre.
 */
struct tg_interval tg_sequential_student_interval(const struct tg_student *t, double confidence);

#endif
