/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_FORECAST_H
#define TG_COORDINATOR_FORECAST_H

#include <stdint.h>

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
 * Against the processes themselves, simulated by tests/test_forecast.c, the rounds needed in
 * half of all runs come out within 10 %, and those needed in 99 of 100 within 20 %.
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
 * The rounds after which E+ has crossed its line with the chance `power` (0 < power < 1) if theta
 * is the truth; INFINITY if it never does.
 */
double tg_forecast_fail_rounds(const struct tg_outlook *o, double theta, double power);

/* The same for E-. */
double tg_forecast_clean_rounds(const struct tg_outlook *o, double theta, double power);

#endif
