/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_TELEGRAM_H
#define TG_RESULTS_TELEGRAM_H

#include <stddef.h>

#include "base/error.h"
#include "results/measurement.h"

/*
 * A measurement on its way from a worker to the coordinator, which reads one after each round: all
 * of it, as it is stored, but short, and read without looking for anything. As a JSON line
 * (measurement.h) it is some 200 values with a name or a place of their own, and reading these
 * takes twelve times as long.
 *
 *   cell
 *   block
 *   round attempt outcome unpaired series
 *   facts that are not as in the telegram before, or of the first their defaults, as name=value, in
 *     the order of their table
 *   for each series four lines: its metric and length, its samples, turns and begun
 *   reason, to the end
 *
 * Reals are the 16 hexadecimal digits of their bits (IEEE 754 binary64), or "none". Nobody keeps a
 * telegram: what is stored, digested, printed and imported is the line.
 */

/*
 * Its text, which follows that of `before`, NULL for none; the caller frees. NULL when there is no
 * memory.
 */
char *tg_telegram_text(const struct tg_measurement *m, const struct tg_measurement *before);

/*
 * That of the measurements of a round: "done", a newline, and for each its length in bytes, a
 * blank, its telegram and a newline. Other messages are JSON, and begin with a brace.
 */
char *tg_telegrams_text(const struct tg_measurement *rows, size_t count);

/* Where the first telegram of such a message begins; NULL if it is another. */
char *tg_telegrams_begin(char *message);

/*
 * Reads the telegram at *at, which it cuts up, and goes behind it; *at is "" behind the last.
 * `before` is what was read of the one before, NULL at the first. The row is to be freed by
 * tg_measurement_free and free. NULL on failure.
 */
struct tg_measurement *tg_telegrams_next(char **at, const struct tg_measurement *before,
                                         struct tg_error *err);

#endif
