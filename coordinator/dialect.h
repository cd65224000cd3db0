/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_DIALECT_H
#define TG_COORDINATOR_DIALECT_H

#include <stdbool.h>
#include <stddef.h>

#include "coordinator/gate.h"
#include "coordinator/plan.h"
#include "matrix/template.h"

/*
 * The lines that a flow writes, "benchmarks: inference:45.2 tokens/sec; SLO: pass": templates of
 * its policy, filled from the decision and from nowhere else. docs/POLICIES.md lists what a
 * template may name.
 *
 * A rule's name stands for all of its tests. Its figure is the worst of them: the one that is
 * nearest to failing, or farthest beyond. While one of them is open there is none, but for plain
 * times and rates. What was compared with head's own copy has no baseline and no delta.
 */

/* Writes one template. False, and "" in `out`, if the line is left out. */
bool tg_dialect_write(const struct tg_plan *plan, const struct tg_decision *decision,
                      const char *text, char *out, size_t size);

/*
 * Writes line i, below tg_flow_lines(...).count, of the step's text of that name; false if it is
 * left out.
 */
bool tg_dialect_line(const struct tg_plan *plan, const struct tg_decision *decision,
                     const char *name, size_t i, char *out, size_t size);

enum { TG_DIALECT_LINE_SIZE = 2048 };

/* "success", "failure", ...: the conclusion towards GitHub, as the flow says it. */
const char *tg_dialect_conclusion(const struct tg_plan *plan, const struct tg_decision *decision);

#endif
