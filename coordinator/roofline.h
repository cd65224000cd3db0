/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_ROOFLINE_H
#define TG_COORDINATOR_ROOFLINE_H

#include <stdbool.h>
#include <stddef.h>

#include "results/measurement.h"

/*
 * Times against what the machine can do: the share of the roofline that a call reaches, and whether
 * a time is impossible. limit_s, the least time of a call, is a fact of each row; how it is
 * measured is told in worker/probe/roof.h.
 *
 * Source: the roofline of Williams, Waterman & Patterson, CACM 52 (2009) 65-76.
 */

/*
 * How much faster than its limit a time may be before it is impossible: the error of measuring the
 * limit. In 2600 processes of honest kernels, on two cores that up to ten others shared, the median
 * time of two or more was at most 0.97 times as fast as the lowest of their limits. One process by
 * itself can be over it (1.12 times, once), so it takes two rows to judge (docs/STATISTICS.md).
 */
#define TG_ROOFLINE_SLACK 0.10
#define TG_ROOFLINE_ROWS  2

/*
 * Where multiply-adds are the limit, a time may be shorter by this factor besides: a kernel that
 * looks sums of several ternary weights up multiplies nothing. By counting instructions the best
 * such kernel that we know of would do 1.5 times the multiply-adds of the widest units.
 */
#define TG_ROOFLINE_LOOKUP 2.0

/*
 * Of some rows of one cell the one whose limit is the lowest, NULL if none has a limit. What
 * disturbs a process can only raise its limit, so the lowest is the machine undisturbed, and times
 * of all these rows are held against it.
 */
const struct tg_measurement *tg_roofline_lowest(const struct tg_measurement *const rows[],
                                                size_t count);

/* The share, 1 at the limit, of a call that took call_s seconds; NAN where the row has no limit. */
double tg_roofline_share(const struct tg_measurement *m, double call_s);

/*
 * Whether no call of a cell can be as fast as call_s seconds, the median of its times: more than
 * TG_ROOFLINE_SLACK over the lowest limit of its rows, and where that is `dot`, TG_ROOFLINE_LOOKUP
 * times as much. False where fewer than TG_ROOFLINE_ROWS were measured with a limit.
 */
bool tg_roofline_is_impossible(const struct tg_measurement *const rows[], size_t count,
                               double call_s);

#endif
