/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_GATE_H
#define TG_COORDINATOR_GATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "coordinator/fallback.h"
#include "coordinator/family.h"
#include "coordinator/judge.h"
#include "coordinator/plan.h"
#include "coordinator/retry.h"
#include "coordinator/rows.h"
#include "coordinator/rule.h"
#include "results/store.h"

/*
 * The decision: rules over tests become verdicts, and the verdicts one answer. It sees the plan and
 * the stored rows and nothing else, so that the same files give the same answer, byte for byte.
 *
 *   fail          a required test failed
 *   inconclusive  no such test, but one that is required was not resolved, or none was
 *   pass          every required test was resolved and passed
 *
 * A test is required unless it is a shadow (head against its own copy), its rule is optional, or no
 * worker could run it. Of the optional ones nine in ten must be resolved for a pass; what they fail
 * is named, unless a kernel is wrong or crashed: that fails. A run that was not sealed cannot pass:
 * what is missing from it cannot be known. Imported evidence is inconclusive unless the plan says
 * that it is accepted.
 */

struct tg_decision {
    const struct tg_run *run; /* the rows it was made on; the caller's */
    enum tg_answer answer;
    struct tg_verdict *verdicts; /* one for each test of the plan's spec */
    size_t verdict_count;
    size_t required, passed, failed, inconclusive, attention, skipped, shadows;
    /* Tests of optional rules; those of them that are unresolved, and those with attention. */
    size_t optional, optional_open, optional_attention;
    struct tg_family_verdict *families;
    size_t family_count, families_over; /* ... over their line, and not held */
    struct tg_fallback *fallbacks;      /* what was measured instead of what could not be */
    size_t fallback_count;
    size_t unused_rules; /* rules that select nothing */
    size_t unasked;      /* cells that could be run, and no rule asks for */
    char notes[32][400]; /* what a reader must know first, in order; note_count of them */
    size_t note_count;
    char date[TG_TEXT_SIZE]; /* of the last row, UTC, "unknown" if there is none */
    char evidence[65];       /* SHA-256 of the rows' digests */
    size_t row_count;
    size_t attempts;          /* at measuring: 1, and one more after each resume */
    struct tg_retry *retries; /* why each after the first was made */
    size_t retry_count, tries[TG_TRY_KINDS];
    char machines[300]; /* the names of the processors, ", " between */
    char devices[400];  /* likewise of devices, and the most that they held and drew; "" for none */
};

/* Whether a test must be resolved: see above. */
bool tg_gate_is_required(const struct tg_plan *plan, size_t test);

/*
 * Whether every row that says of which library it is, as those measured do, is of those that the
 * run was begun with.
 */
bool tg_gate_has_its_libraries(const struct tg_plan *plan, const struct tg_run *run);

/*
 * Whether a verdict counts for the decision: the test is required, or it saw head's kernel be wrong
 * or crash, which fails, or is open until it is repeated, as a shadow and under an optional rule,
 * too.
 */
bool tg_gate_counts(const struct tg_plan *plan, size_t test, const struct tg_verdict *verdict);

/*
 * Looks at every family of a decision's verdicts, which are there, and fills in its families
 * (gate_families.c). With family_fail one that is over its line is held if fewer than min_sessions
 * runs or nodes saw it: then the run cannot pass.
 */
int tg_gate_look_at_families(const struct tg_plan *plan, const struct tg_rows *rows,
                             struct tg_decision *decision, struct tg_error *err);

/* Decides on a whole run. The result is released by tg_gate_release. */
int tg_gate_decide(const struct tg_plan *plan, const struct tg_run *run,
                   struct tg_decision *decision, struct tg_error *err);

void tg_gate_release(struct tg_decision *decision);

/* "pass", "fail", "inconclusive", "skipped". */
const char *tg_gate_word(enum tg_answer answer);

/* The exit status of run and gate: 0 pass, 1 fail, 2 inconclusive. */
int tg_gate_status(const struct tg_decision *decision);

#endif
