/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_NOISE_H
#define TG_COORDINATOR_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * Noise whose law is known: how the rounds of a test would scatter on such a machine.
 *
 * A law is found by its name. A stream is begun with a law, a size and a seed, and then gives the
 * noise of one round at a time, D - theta; there is nothing to end. The same seed gives the same
 * numbers, whatever else runs beside it.
 *
 *   D = theta + sd (e_H - e_B) / sqrt 2
 *
 * with e_H and e_B the noise of one side, independent, of standard deviation 1 each.
 */

struct tg_noise_law {
    const char *name;
    const char *meaning;
    double (*side)(uint64_t *state); /* e of one side; NULL: recorded noise */
    double carried; /* lag-1 autocorrelation of D itself over rounds: AR(1), 0 for none */
    double drift;   /* lag-1 autocorrelation of a drift that is tied to the order, 0 for no drift */
    bool is_fixed;  /* the order of the two sides is the same in every round, not drawn */
    bool is_promised; /* the method's assumptions hold */
};

/*
 * The laws in order; tg_noise_law(i) for i < tg_noise_law_count(). A law with a drift measures one
 * side after the other, and adds to D what the machine drifted meanwhile: an AR(1) series of
 * standard deviation sd, for whichever side is second.
 */
size_t tg_noise_law_count(void);
const struct tg_noise_law *tg_noise_law(size_t i);
const struct tg_noise_law *tg_noise_find(const char *name);

/* Noise that was recorded: centred values of D, test after test; a zero is an empty one. */
struct tg_noise_record {
    double *values;
    size_t count;
    size_t *ends; /* of each test in values: values[ends[i - 1]] to values[ends[i] - 1] */
    size_t test_count;
};

/*
 * Adds the values of one test, less their median. So few values lie nearer to their own median than
 * to the true one; they are stretched by sqrt(n / (n - 1)) for it. A test of fewer than 4 values
 * is left out.
 */
int tg_noise_record_add(struct tg_noise_record *record, const double *values, size_t count,
                        struct tg_error *err);

/*
 * Reads a text file: one number D a line (0.01: head took 1 % longer), an empty line between two
 * tests. Fails if it holds anything else, or less than one test of 4 values.
 */
int tg_noise_record_read(const char *path, struct tg_noise_record *record, struct tg_error *err);

void tg_noise_record_release(struct tg_noise_record *record);

/* A stream of noise. */
struct tg_noise {
    const struct tg_noise_law *law;
    const struct tg_noise_record *record; /* borrowed */
    double sd;
    bool is_fixed;
    uint64_t state;
    double carried, drift; /* their values in the round before */
    size_t rounds;
    size_t at, left; /* of the block of recorded values that is being given */
};

/*
 * Begins a stream. `record` is for the law "recorded" alone, which takes its size from there: sd is
 * unused. is_fixed fixes the order of the sides, whatever the law says.
 */
void tg_noise_begin(struct tg_noise *noise, const struct tg_noise_law *law,
                    const struct tg_noise_record *record, double sd, bool is_fixed, uint64_t seed);

/*
 * The noise of the next round. Recorded noise comes in blocks of successive values of one test, of
 * about the cube root of its length, from places that are drawn.
 *
 * Source: of blocks, Kuensch, Ann. Statist. 17 (1989) 1217-1241.
 */
double tg_noise_next(struct tg_noise *noise);

/* A number between 0 and 1, and one of the standard normal law (Box & Muller 1958). */
double tg_noise_uniform(uint64_t *state);
double tg_noise_normal(uint64_t *state);

/* A seed of its own for part `part` of what `seed` begins. */
uint64_t tg_noise_seed(uint64_t seed, uint64_t part);

#endif
