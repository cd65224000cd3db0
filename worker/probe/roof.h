/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PROBE_ROOF_H
#define TG_WORKER_PROBE_ROOF_H

#include <stdint.h>

#include "results/measurement.h"
#include "worker/probe/pool.h"

/*
 * The machine as the process of a cell finds it: its canaries, and its roof, which is what no call
 * of the cell can be faster than. Both are measured in that process, on its cores, after the check
 * and before the first sample; the canaries before the warm-up, since they empty the core's cache,
 * the roof after it, when clock and caches are as the samples will find them.
 *
 * Each figure is the best of several short repetitions: a limit is a maximum, and what disturbs can
 * only make it look lower.
 */

/*
 * Measures both canaries into canary, canary_dot_s and canary_read_s. Without the memory for the
 * second its time stays none. Takes about 4 ms.
 */
void tg_roof_time_canaries(struct tg_facts *facts);

/* What one call of a cell moves and does. */
struct tg_roof_call {
    const char *isa;            /* of its kernel */
    const uint8_t *const *walk; /* matrices of weights, call after call, 64-byte aligned */
    int64_t count;              /* how many these are */
    int64_t first;              /* number of the next call: matrix first % count of the walk */
    int64_t weight_bytes;       /* of one */
    uint8_t *results;           /* that it writes, 64-byte aligned */
    int64_t result_bytes;
    double multiply_adds;
};

/*
 * Sets limit_s and limited_by from the three rates (see below). A rate that is unknown or not above
 * 0 limits nothing.
 */
void tg_roof_limit(const struct tg_roof_call *call, struct tg_facts *facts);

/*
 * Measures read_rate over the call's own weights, so that it is the rate of the cache or memory in
 * which they are; write_rate over its results, which are overwritten with bytes 0x5a; dot_rate in
 * registers; each by all threads of the pool at once, which share the bytes as they share a call's,
 * but do not wait for each other. And sets limit_s, the least time that the call could take:
 *
 *   limit_s = max(weight_bytes / read_rate, result_bytes / write_rate, multiply_adds / dot_rate)
 *
 * and limited_by, which of the three it is. Both are unknown for an instruction set without a row
 * in kernels/peaks.def. Takes about 2 ms, or as long as reading the weights four times.
 *
 * Of a set of matrices it reads those that calls have not read for the longest, from number `first`
 * to the end of the walk (a whole walk more if that is near), so that no cache has any of them, and
 * none of those that are called next if the walk then begins again.
 *
 * Source: the roofline of Williams, Waterman & Patterson, CACM 52 (2009) 65-76.
 */
void tg_roof_measure(const struct tg_roof_call *call, struct tg_pool *pool, struct tg_facts *facts);

/* Multiply-adds of int8 a second, in registers, of all threads of the pool; NAN if unknown. */
double tg_roof_dot_rate(struct tg_pool *pool);

#endif
