/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_HISTORY_PLOT_H
#define TG_COORDINATOR_HISTORY_PLOT_H

#include <stddef.h>
#include <stdio.h>

#include "base/error.h"
#include "coordinator/history_report.h"

/*
 * The courses of histories as a plot: a panel for each course of at least two runs, with a point
 * for each run, the levels between steps, the line of creep, and a mark where each begins.
 */

/* Draws the reports, `count` of them; whether the writing worked, ferror says. */
int tg_history_plot_write(const struct tg_history_report *reports, size_t count, FILE *out,
                          struct tg_error *err);

#endif
