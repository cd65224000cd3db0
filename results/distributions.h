/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_DISTRIBUTIONS_H
#define TG_RESULTS_DISTRIBUTIONS_H

/*
 * The laws that tables used to be printed of: normal, Student's t, Fisher's F. A tail is the chance
 * of more than a value, a quantile the value below which a share lies. Nothing here can fail or
 * keeps memory. The relative error is below 1e-9 for degrees of freedom from 0.5 to 1e6 and values
 * up to 1e150, also far out, as long as the tail is a normal number.
 *
 * A small tail is exact where 1 - tail would not be. So a quantile that leaves `tail` above it is
 * asked for as -tg_distributions_..._quantile(tail), these two laws being symmetric.
 */

/*
 * The regularised incomplete beta function I_x(a, b), for a and b above 0 and x + y = 1, both at
 * least 0. y is asked for because 1 - x would lose its digits where x is close to 1.
 *
 * Source: the continued fraction of DLMF 8.17.22, summed by the method of Lentz, Appl. Opt. 15
 * (1976) 668-671 as modified by Thompson & Barnett, J. Comput. Phys. 64 (1986) 490-509. Its factor
 * x^a y^b / (a B(a, b)) is taken relative to its largest value, as in Loader, Fast and Accurate
 * Computation of Binomial Probabilities (2000), with Stirling's series for what remains (DLMF
 * 5.11.1).
 */
double tg_distributions_beta(double a, double b, double x, double y);

/*
 * The chance that Fisher's F with df1 and df2 degrees of freedom (above 0) is more than f. An f of
 * 0 or less gives 1, whatever the degrees of freedom, and an infinite one 0.
 */
double tg_distributions_f_tail(double f, double df1, double df2);

/* The chance that Student's t with df degrees of freedom (above 0) is more than t. */
double tg_distributions_t_tail(double t, double df);

/*
 * The value that Student's t with df degrees of freedom is below with chance p, 0 < p < 1. Searched
 * for by halving, which costs some 60 tails.
 */
double tg_distributions_t_quantile(double p, double df);

/* The chance that a standard normal variable is more than z. */
double tg_distributions_normal_tail(double z);

/*
 * The value that a standard normal variable is below with chance p, 0 < p < 1.
 *
 * Source: Hastings, Approximations for Digital Computers (1955), in Abramowitz & Stegun 26.2.23,
 * then three steps of Halley's method.
 */
double tg_distributions_normal_quantile(double p);

#endif
