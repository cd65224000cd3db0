/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_FORECAST_H
#define TG_COORDINATOR_FORECAST_H

#include <stddef.h>
#include <stdint.h>

#include "results/sequential.h"

/*
 * What more rounds would buy: how many a test will need, and what it can find with those it gets.
 * Pure functions of a few numbers, some microseconds each, so that they may be asked for every test
 * after every round. They plan and explain; no verdict hangs on them.
 *
 * Rounds are taken as normal, D ~ N(theta, sd), and both processes of results/sequential.h by how
 * they grow.
 *
 * E+: with the true median of |D - floor| in its score, each round adds to the logarithm of each
 * stake's product an amount whose mean and variance are integrals over the normal law. After n
 * rounds these logarithms are taken as normal, and the stakes as moving together.
 *
 * E-: it is over its line when the mean lies further below the margin than k(n) times the spread,
 * with k(n) from its formula. Mean and spread are taken as normal and independent.
 *
 * Against the processes themselves, simulated by tests/test_forecast.c, mean rounds come out within
 * 10 %, and those needed in 99 of 100 runs within 20 %.
 */

/* What a test is: its noise and its lines. Natural logarithms throughout, without a unit. */
struct tg_outlook {
    double sd;             /* of D from round to round, at least 0 */
    double floor, margin;  /* E+ speaks against theta <= floor, E- against theta >= margin */
    double log_fail_line;  /* of E+ */
    double log_clean_line; /* of E- */
    int64_t rounds_min;    /* before which E- is not looked at */
};

/*
 * The standard deviation of D from round to round, from the median distance of the rounds to their
 * median, times 1.4826 and a factor for few rounds, so that wild rounds do not count. Of more than
 * 256 rounds only the last 256 are used.
 *
 * A few rounds say little about a spread, so what was expected counts as four more of them:
 * (4 expected + (count - 1) seen) / (count + 3). An expected_sd of 0 or less is none, and the
 * rounds speak alone; 0 if they are fewer than two.
 *
 * Source: Croux & Rousseeuw, Computational Statistics (COMPSTAT 1992) 411-428, for the factors.
 */
double tg_forecast_sd(const double *values, size_t count, double expected_sd);

/*
 * The rounds after which E+ has crossed its line with the chance `power` (0 < power < 1) if theta
 * is the truth; INFINITY if it never does.
 */
double tg_forecast_fail_rounds(const struct tg_outlook *o, double theta, double power);

/* The same for E-. */
double tg_forecast_clean_rounds(const struct tg_outlook *o, double theta, double power);

/*
 * The least detectable effect: the smallest theta with which E+ crosses its line within so many
 * rounds with the chance `power`. INFINITY if none is large enough, since a round at most doubles
 * E+.
 */
double tg_forecast_effect(const struct tg_outlook *o, double rounds, double power);

/*
 * The mean number of rounds, from none, until one of both has crossed its line if theta is the
 * truth; INFINITY if neither ever does. It is the mean over five equally likely fortunes: where E+
 * is quick E- is slow.
 */
double tg_forecast_rounds(const struct tg_outlook *o, double theta);

/*
 * From how many to how many rounds more a test needs that is open after those that were `seen`,
 * with E+ at `log_fail`: fewer than `low` with a chance of one in ten, more than `high` with
 * another one; INFINITY for what may never be. Of fewer than two rounds only the least can be said.
 *
 * Neither theta nor the noise is known: 15 truths stand for what the rounds seen leave open (normal
 * noise, no opinion beforehand), each with five fortunes. For E- the spread and mean are carried on
 * from those seen, for E+ its rest of the way is begun anew.
 *
 * Against the processes, simulated by tests/test_forecast_rest.c with noise of five laws, 77 to 86
 * of 100 open tests are decided within the range, and 1 to 8 later. With noise that was recorded on
 * a busy machine, three of whose forty rounds are thirty times and more as far off as the usual
 * one, up to half come sooner, and up to 7 of 100 later.
 */
struct tg_interval tg_forecast_rest(const struct tg_outlook *o, const struct tg_student *seen,
                                    double log_fail);

#endif
