/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_COVERAGE_H
#define TG_COORDINATOR_COVERAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "coordinator/plan.h"
#include "coordinator/rule.h"
#include "results/store.h"

/*
 * What the policy requires ("required" of a rule) and no machine of the run could measure: then
 * the answer is no pass, whatever the rest says.
 *
 * Each test of such a rule must have been measured, on one class of hardware at least; of tests
 * that compare one cell with several rivals (`against`), which differ in nothing but the axis of
 * the rule, one: who is better than every kernel that a machine has is better than its best. What
 * compares head with its copy for want of a base measures not what was asked. And a required rule
 * must select something.
 */

/*
 * Writes what is missing: "gpu_ratio (16 tests), gpu_decode (4 tests); the first: 8 threads need as
 * many cores, a cell here has at most 4". False, and "", if nothing is.
 */
bool tg_coverage_lacks(const struct tg_plan *plan, const struct tg_verdict verdicts[], char *out,
                       size_t size);

/*
 * Whether there is a base, the policy has rules for builds, and yet no test compares the two: base
 * has none of the kernels, the rules select nothing, or a filter left them out. A change whose
 * paths are all of components (changed.h) may be of new kernels alone. Imported lines have a base
 * if a block names it; a test of theirs compares if its block has a row.
 */
bool tg_coverage_has_idle_base(const struct tg_plan *plan, const struct tg_run *run);

/*
 * Writes the patterns of the matrix that nothing of this build matches: "kernel 'avx512_typo*'".
 * False, and "", if there are none.
 */
bool tg_coverage_has_idle_patterns(const struct tg_plan *plan, char *out, size_t size);

/* Whether a test is of a kernel that base has not: head is measured beside its copy, as a shadow.
 */
bool tg_coverage_is_new(const struct tg_plan *plan, size_t test);

/* Whether such a kernel was to run, and did not: it is not compared, but it must have run. */
bool tg_coverage_is_unseen(const struct tg_plan *plan, size_t test,
                           const struct tg_verdict *verdict);

/* How many there are of them that can be measured. */
size_t tg_coverage_count_new(const struct tg_plan *plan);

/*
 * The cells of the matrix that the first worker of some class of hardware could run and no rule
 * asks for: they are in no test, and are not measured. `places` has room for as many as there are
 * cells, *count becomes how many.
 */
int tg_coverage_find_unasked(const struct tg_plan *plan, size_t *places, size_t *count,
                             struct tg_error *err);

#endif
