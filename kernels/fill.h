/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_FILL_H
#define TG_KERNELS_FILL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Random numbers and operands from a seed: the same seed gives the same bytes on any machine.
 *
 * Source: SplitMix64, Steele, Lea and Flood, OOPSLA 2014, doi:10.1145/2660193.2660195.
 */

/* The next 64 random bits of *state. */
uint64_t tg_fill_next(uint64_t *state);

/* Fills with -1, 0 and +1, each with probability a third (bias below 2^-14). */
void tg_fill_ternary(uint64_t seed, int8_t *weights, size_t count);

/* Fills with -127..127, each with the same probability (bias below 2^-7 of it). */
void tg_fill_int8(uint64_t seed, int8_t *activations, size_t count);

/*
 * Fills with numbers close to a standard normal distribution: the sum of twelve uniform ones less
 * six (Irwin-Hall), in integers until the last step, so that every machine makes the same floats.
 */
void tg_fill_normal(uint64_t seed, float *values, size_t count);

#ifdef __cplusplus
}
#endif
#endif
