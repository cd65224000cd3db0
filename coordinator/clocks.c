/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/clocks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/gpu.h"

#define SLACK 1e-9 /* a clock this close to its share is not below it */

/* The clocks of one side so far, ascending. */
struct clocks {
    double *sorted;
    size_t count;
};

static double clock_of(const struct tg_measurement *row)
{
    return row && row->facts.sm_clock_hz > 0 ? row->facts.sm_clock_hz : NAN;
}

static void insert(struct clocks *clocks, double clock_hz)
{
    size_t place = clocks->count;
    if (!isfinite(clock_hz)) return;
    while (place > 0 && clocks->sorted[place - 1] > clock_hz) place--;
    memmove(clocks->sorted + place + 1, clocks->sorted + place,
            (clocks->count++ - place) * sizeof *clocks->sorted);
    clocks->sorted[place] = clock_hz;
}

static double median(const struct clocks *clocks)
{
    size_t n = clocks->count;
    return n ? (clocks->sorted[(n - 1) / 2] + clocks->sorted[n / 2]) / 2 : NAN;
}

/* Marks the rounds in which one side's clock is below its share. */
static int mark_slow(const struct tg_measurement *const rows[], size_t count,
                     const struct tg_limits *limits, bool slow[], struct tg_error *err)
{
    struct clocks clocks = {0};
    size_t seen = 0, first = (size_t)limits->rounds_min, known = 0;
    for (size_t r = 0; r < count; r++) known += isfinite(clock_of(rows[r]));
    if (known == 0) return 0;
    clocks.sorted = malloc((count + 1) * sizeof *clocks.sorted);
    if (!clocks.sorted) return tg_fail(err, "out of memory");
    for (size_t r = 0; r < count; r++) {
        size_t end = r + 1 > first ? r + 1 : first;
        for (; seen < end && seen < count; seen++) insert(&clocks, clock_of(rows[seen]));
        double least = limits->clock_share * median(&clocks) * (1 - SLACK);
        if (clock_of(rows[r]) < least) slow[r] = true;
    }
    free(clocks.sorted);
    return 0;
}

/* The reasons of a round that count, of both sides. */
static int64_t reasons_of(const struct tg_measurement *of, const struct tg_measurement *to,
                          const struct tg_limits *limits)
{
    int64_t mask = of->facts.throttle > 0 ? of->facts.throttle : 0;
    if (to && to->facts.throttle > 0) mask |= to->facts.throttle;
    return mask & limits->throttle_reasons;
}

static bool has_clock(const struct tg_measurement *row)
{
    return row && (isfinite(clock_of(row)) || row->facts.throttle >= 0);
}

int tg_clocks_look(const struct tg_measurement *const of[], const struct tg_measurement *const to[],
                   size_t count, const struct tg_limits *limits, bool discarded[],
                   struct tg_discards *discards, struct tg_error *err)
{
    struct tg_discards seen = {0};
    for (size_t r = 0; r < count; r++) discarded[r] = false;
    if (mark_slow(of, count, limits, discarded, err) < 0 ||
        mark_slow(to, count, limits, discarded, err) < 0)
        return -1;
    for (size_t r = 0; r < count; r++) {
        int64_t reasons = reasons_of(of[r], to[r], limits);
        seen.clocked += has_clock(of[r]) || has_clock(to[r]);
        seen.slow += discarded[r];
        seen.held += reasons != 0;
        seen.reasons |= reasons;
        discarded[r] = discarded[r] || reasons;
        seen.rounds += discarded[r];
    }
    *discards = seen;
    return 0;
}

bool tg_clocks_are_thermal(const struct tg_discards *discards, const struct tg_limits *limits)
{
    return (double)discards->rounds >
           limits->throttled_share * (double)discards->clocked * (1 + SLACK);
}

char *tg_clocks_text(const struct tg_discards *discards, const struct tg_limits *limits, char *out,
                     size_t size)
{
    char reasons[160];
    int used = snprintf(out, size, "%zu of %zu rounds discarded: ", discards->rounds,
                        discards->clocked);
    if (discards->slow && used >= 0 && (size_t)used < size)
        used += snprintf(out + used, size - (size_t)used,
                         "clock below %.3g %% of its median in %zu", 100 * limits->clock_share,
                         discards->slow);
    if (discards->held && used >= 0 && (size_t)used < size)
        snprintf(out + used, size - (size_t)used, "%sheld down in %zu (%s)",
                 discards->slow ? ", " : "", discards->held,
                 tg_gpu_throttle_text(discards->reasons, reasons, sizeof reasons));
    return out;
}
