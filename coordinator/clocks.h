/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_CLOCKS_H
#define TG_COORDINATOR_CLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "matrix/policy.h"
#include "results/measurement.h"

/*
 * Rounds in which the clock of a device was too low, or held down, say how hot it was and nothing
 * of the builds: they are discarded, for both sides. A round is discarded when, on either side,
 *
 *   the fact sm_clock_hz is below clock_share of the median clock of that side's cell, or
 *   the fact throttle has one of the bits of throttle_reasons.
 *
 * The rule looks at clocks and at no time, so that it cannot choose the rounds that suit. And it
 * looks at no clock that is still to come: the median is over the rounds up to the one in question,
 * the first rounds_min rounds sharing theirs. So whether a round counts never changes once there
 * are rounds_min of them, and the tests, which look after each round, keep their error rates.
 *
 * Each side has a median of its own: kernels that are not the same draw unlike power, and have
 * unlike clocks when nothing is wrong.
 */

struct tg_discards {
    size_t clocked;  /* rounds in which a side has a clock, or a mask of reasons */
    size_t rounds;   /* of those, that are discarded */
    size_t slow;     /* ... since a clock was below its share */
    size_t held;     /* ... since it was held down for a reason that counts */
    int64_t reasons; /* of all these, as in the fact throttle */
};

/*
 * Looks at `count` rounds, in their order: of[i] and to[i] (NULL for a test of one cell) are their
 * rows. discarded[i] is set to whether round i is; the counts go to *discards.
 */
int tg_clocks_look(const struct tg_measurement *const of[], const struct tg_measurement *const to[],
                   size_t count, const struct tg_limits *limits, bool discarded[],
                   struct tg_discards *discards, struct tg_error *err);

/* Whether more rounds were discarded than throttled_share allows: nothing is decided then. */
bool tg_clocks_are_thermal(const struct tg_discards *discards, const struct tg_limits *limits);

/* "7 of 30 rounds discarded: clock below 90 % of its median in 5, held down in 3 (power brake)" */
char *tg_clocks_text(const struct tg_discards *discards, const struct tg_limits *limits, char *out,
                     size_t size);

#endif
