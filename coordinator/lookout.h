/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_LOOKOUT_H
#define TG_COORDINATOR_LOOKOUT_H

#include "base/error.h"
#include "coordinator/plan.h"
#include "coordinator/rows.h"
#include "coordinator/rule.h"
#include "results/baseline_store.h"

/*
 * Tests whose cell has a stored baseline. Head is measured first as the baseline was, in a block of
 * its own, for rounds_min rounds. If the trigger (trigger.h) is quiet the test passes, "unchanged
 * (baseline)", and base is never measured for it; times that no machine can do stay "impossible".
 * Otherwise its own block, head beside the baseline's library, decides as if there were no
 * baseline. Where that library is missing nothing can: an alarm is then called "suspect", and the
 * test stays inconclusive.
 *
 * Numbers alone never fail a test.
 */

/* What a store has for a run; released by tg_lookout_release. */
struct tg_lookout_choice {
    struct tg_baseline_entries entries;
    struct tg_baseline *baselines; /* of the entries, for each class of hardware one at most */
    size_t count;
    char library[4096]; /* the path of their library, "" if it cannot be used */
    char note[300];     /* why none, or not its library, can be used, and what could not be read */
};

/*
 * Looks for the newest baseline of a plan's key, and its library, which a child opens to see that
 * it can be. The baselines of further classes of hardware must be of the same library. That nothing
 * fits is no failure, but a note; that there is no store is one.
 */
int tg_lookout_choose(const struct tg_plan *plan, const char *store, const char *now,
                      struct tg_lookout_choice *choice, struct tg_error *err);

void tg_lookout_release(struct tg_lookout_choice *choice);

/*
 * Finds out which tests of a plan are watched: those that compare builds, whose cell one of the
 * plan's baselines has, made on the same hardware under this very policy and matrix. Adds the
 * blocks in which they were measured. Without a base, such tests are no shadows any more.
 */
int tg_lookout_attach(struct tg_plan *plan, struct tg_error *err);

/*
 * What of a store of baselines is used, in a sentence, "" where none was asked for. False if it
 * makes a pass impossible: there is none that can be used, or without its library some test that
 * compares builds has no numbers in it, as under another policy than it is of.
 */
bool tg_lookout_note(const struct tg_plan *plan, char *out, size_t size);

/*
 * Judges a watched test on the rows of its first block. Returns 1 if the verdict stands for now
 * (which may be that rounds of that block are wanted), 0 if the test's own block is to decide, -1
 * on failure.
 */
int tg_lookout_judge(const struct tg_plan *plan, size_t test, const struct tg_rows *rows,
                     struct tg_verdict *verdict, struct tg_error *err);

#endif
