/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_DENSE_H
#define TG_KERNELS_DENSE_H

#include <stdint.h>

#include "kernels/number.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * How far a dense product may be from the exact one: products of f32, f16 or bf16 that are summed
 * in f32, in whatever order and with whatever instructions a kernel likes.
 *
 * Let s be the exact sum of n products w * x, and m the sum of their magnitudes |w * x|. With the
 * unit roundoff u = 2^-24 of f32, each product and each addition is within a factor of 1 + d, |d|
 * <= u, and no term goes through more than n of them, or through n with fused ones; so
 *
 *   |computed - s| <= g(n) * m,   g(k) = k * u / (1 - k * u)
 *
 * for every order of summation (Higham, Accuracy and Stability of Numerical Algorithms, 2nd
 * edition, SIAM 2002, sections 3.1 and 4.2). What comes on top of it:
 *
 *   - Products of f16 or bf16 are exact in f32. Tensor cores align the terms of a block of k = 4 to
 *     16 of them to the largest and cut what is below, instead of rounding: an addition loses up to
 *     2u of m, one more in each block; 2 * (n + n / 4) = 2.5 n, taken as 3 n (Fasi, Higham,
 *     Mikaitis, Pranesh, Numerical behavior of NVIDIA tensor cores, PeerJ CS 7:e330, 2021).
 *   - What a result is compared with is s rounded to f32: another u.
 *   - Some instructions take denormal numbers for zeros (AVX-512 BF16): each term and each sum may
 *     lose 2^-126 times the weight, which is taken as at most 4.
 *
 * The bound grows with n, but a wrong term need not be larger: it can hide. So operands are tried
 * that leave no room: if all terms are multiples of a power of two g, and m < 2^24 * g, then every
 * partial sum is a multiple of g below 2^24 * g, which f32 holds exactly; no order and no cut loses
 * anything, and the bound is 0.
 */

/*
 * The bound for a sum of n products with magnitudes that sum up to m, of numbers of that type.
 * `unit` is a power of two of which all terms are multiples, or 0 if none is known.
 */
double tg_dense_bound(const struct tg_number *number, int64_t n, double magnitudes, double unit);

/* The largest power of two of which `value` is a multiple; of 0, infinity and NaN infinity. */
double tg_dense_unit(float value);

#ifdef __cplusplus
}
#endif
#endif
