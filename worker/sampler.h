/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_SAMPLER_H
#define TG_WORKER_SAMPLER_H

#include <stdint.h>

#include "matrix/policy.h"

/* How much of a block is sampled in one round. Pure: time is a parameter. */

struct tg_sampling {
    int64_t calls[2]; /* of each side, in one sample */
    int64_t quads;
    double quad_s; /* what each takes, with the calls that are not timed */
};

/*
 * Plans a round from the time of one call of each side, in seconds (the second is 0 if there is one
 * side only), and what a sample of it takes besides its calls, such as keeping a device busy. A
 * sample is `untimed` calls, then `calls` timed as one interval of at least limits->sample_s for
 * the faster side. Sides that run the same kernel make the same number of calls, so that they do
 * the same. Four samples, two of each side, are a quad; as many quads as fit in limits->round_s are
 * taken, within quads_min and quads_max; a side that is alone is compared with nothing: if a quad
 * of it takes ten times as long as round_s, one is enough. Of what takes so long that its round
 * could be killed there are no more quads than fit in half of limits->deadline_s, and one at least.
 */
struct tg_sampling tg_sampler_plan(const struct tg_limits *limits, const double call_s[2],
                                   const double beside_s[2], int same_kernel, int untimed);

/*
 * Of a plan whose only quad does not fit into limits->deadline_s: the side that alone is to blame,
 * since one would fit if both were as fast as the other; -1 if none is.
 */
int tg_sampler_blame(const struct tg_limits *limits, const double call_s[2],
                     const double beside_s[2], int same_kernel, int untimed);

/*
 * Draws the order of `quads` quads, ABBA or BAAB by a fair coin each, into order[4 * quads]; with
 * one side only all are 0. *state is the seed of tg_fill_next and moves on.
 */
void tg_sampler_draw(uint64_t *state, int64_t quads, int sides, uint8_t *order);

#endif
