/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_TRIGGER_H
#define TG_COORDINATOR_TRIGGER_H

#include <stddef.h>

/*
 * Whether a session of head is where a baseline was. It can say that nothing happened, or raise an
 * alarm; it never fails anything, since sessions that were not measured side by side carry what
 * happened to the machine between them. After an alarm, and where sessions scatter too much to say
 * anything, head is measured against the baseline's library, alive together.
 *
 * Values are logarithms, normalised by a canary, one a session, and of a metric of which less is
 * better. With the mean m and the standard deviation s of the baseline's n sessions, and the mean y
 * of head's k, t = (y - m) / (s sqrt(1/k + 1/n)) follows Student's law with n - 1 degrees of
 * freedom if nothing changed and sessions are normal.
 */

enum tg_trigger_answer {
    TG_TRIGGER_QUIET, /* no alarm, and a slow-down of the margin is refuted */
    TG_TRIGGER_ALARM, /* slower than what sessions differ by */
    TG_TRIGGER_OPEN   /* neither: too few sessions, or they scatter too much */
};

struct tg_trigger {
    enum tg_trigger_answer answer;
    double difference; /* y - m */
    double t, line;    /* the statistic, and the quantile of its law */
    double bound;      /* the difference that head is below, with the same confidence */
};

/*
 * Compares `head_count` (at least 1) sessions of head with `count` of the baseline.
 *
 *   margin  logarithm of the ratio that is not to be missed
 *   miss    chance of missing it, and of an alarm without any change, each: 0.01
 *
 * Fewer than two sessions of the baseline leave it open.
 */
struct tg_trigger tg_trigger_ask(const double *baseline, size_t count, const double *head,
                                 size_t head_count, double margin, double miss);

#endif
