/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/trigger.h"

#include <math.h>

#include "results/distributions.h"

#define TIE 1e-9 /* of logarithms: what lies so close to a line is open */

static double mean_of(const double *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += values[i];
    return sum / (double)count;
}

struct tg_trigger tg_trigger_ask(const double *baseline, size_t count, const double *head,
                                 size_t head_count, double margin, double miss)
{
    struct tg_trigger asked = {TG_TRIGGER_OPEN, NAN, NAN, NAN, INFINITY};
    if (count == 0) return asked;
    double mean = mean_of(baseline, count), squares = 0;
    asked.difference = mean_of(head, head_count) - mean;
    if (count < 2 || !isfinite(asked.difference)) return asked;
    for (size_t i = 0; i < count; i++) squares += (baseline[i] - mean) * (baseline[i] - mean);
    double spread = sqrt(squares / (double)(count - 1) *
                         (1 / (double)head_count + 1 / (double)count));
    asked.line = -tg_distributions_t_quantile(miss, (double)(count - 1));
    asked.t = asked.difference / spread;
    asked.bound = asked.difference + asked.line * spread;
    if (asked.difference > asked.line * spread + TIE)
        asked.answer = TG_TRIGGER_ALARM;
    else if (asked.difference < asked.line * spread - TIE && asked.bound < margin - TIE)
        asked.answer = TG_TRIGGER_QUIET;
    return asked;
}
