/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_RESULTS_TELEGRAM_H
#define TG_RESULTS_TELEGRAM_H

#include "base/error.h"
#include "results/measurement.h"

/*
 * A measurement on its way from a worker to the coordinator, which reads one after each round: all
 * of it, to the last bit, but short. As a JSON line (measurement.h) it is some 200 values with a
 * name or a place of their own, and reading these takes five times as long.
 *
 *   cell
 *   block
 *   round attempt outcome unpaired series
 *   facts that do not have their default, as name=value
 *   for each series four lines: its metric and length, its samples, turns and begun
 *   reason, to the end
 *
 * Samples are hexadecimal floats (C17 7.21.6.1, %a). Nobody keeps a telegram: what is stored,
 * digested, printed and imported is the line.
 */

/* Its text; the caller frees. NULL when there is no memory. */
char *tg_telegram_text(const struct tg_measurement *m);

/* Reads a text into *m, which is then to be freed; on failure it is not. */
int tg_telegram_read(const char *text, struct tg_measurement *m, struct tg_error *err);

#endif
