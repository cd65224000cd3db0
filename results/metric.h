/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_METRIC_H
#define TG_RESULTS_METRIC_H

#include <stdbool.h>
#include <stddef.h>

/* Quantities: each with its unit, its better side and its meaning, declared in metrics.def. */

enum tg_better { TG_LOWER, TG_HIGHER };
enum tg_nature { TG_SAMPLED, TG_FIXED };
enum tg_sign { TG_POSITIVE, TG_AMOUNT, TG_ANY, TG_SHARE };

struct tg_metric {
    const char *name;
    const char *unit;
    enum tg_better better;
    enum tg_nature nature;
    enum tg_sign sign;
    const char *meaning;
};

/* The row of metrics.def of that name, or NULL. */
const struct tg_metric *tg_metric_find(const char *name);

/*
 * Whether a metric depends on what the machine does meanwhile: what is noisy, but for bytes. False
 * for NULL.
 */
bool tg_metric_is_of_time(const struct tg_metric *metric);

/*
 * What is said of a value on the worse side, behind a percentage: "slower" of times and rates,
 * "more memory" of bytes, else "worse". NULL is a metric of no time.
 */
const char *tg_metric_worse(const struct tg_metric *metric);

/*
 * A value for readers, into `out` of `size` bytes, which it returns: "99.9956 %", "33.1 us", "8
 * GiB"; a share of unit "1" in percent, times and bytes in a handy unit.
 */
char *tg_metric_text(const struct tg_metric *metric, double value, char *out, size_t size);

/* The rows in order; tg_metric_at(i) for i < tg_metric_count(). */
size_t tg_metric_count(void);
const struct tg_metric *tg_metric_at(size_t i);

#endif
