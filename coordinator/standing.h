/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_STANDING_H
#define TG_COORDINATOR_STANDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "coordinator/plan.h"
#include "results/measurement.h"

/*
 * How the tests of a run stand while it goes on: what is measured is taken, the tests of its block
 * are judged again, and each block is asked what its tests still wish of it. Dispatch gives out
 * rounds by that.
 */

struct tg_standing;

/* What the tests of a block wish of it. */
struct tg_wish {
    double urgency; /* of its most urgent test; below 0: nothing, the block is closed */
    double rounds;  /* that it still needs, as it looks now; 0 if that cannot be said */
};

/* Tests that count and can be measured here; done are those that want no more, also if open. */
struct tg_tally {
    size_t required, done;
    bool has_failed; /* one has, and the policy asks for no more then */
};

int tg_standing_create(const struct tg_plan *plan, struct tg_standing **standing,
                       struct tg_error *err);

/* Accepts NULL. */
void tg_standing_destroy(struct tg_standing *standing);

/* Says of which block the next rows should be: it is looked at first. */
void tg_standing_expect(struct tg_standing *standing, size_t block);

/* Takes a row that was allocated, and is freed with the others or when it fails. */
int tg_standing_take(struct tg_standing *standing, struct tg_measurement *row,
                     struct tg_error *err);

/* Judges the tests again that rounds of a block are about. */
int tg_standing_judge(struct tg_standing *standing, size_t block, struct tg_error *err);

/*
 * The other blocks of which, by that, something else may be wished than before: NULL, or a list
 * that is there until the next judging.
 */
const size_t *tg_standing_others(const struct tg_standing *standing, size_t *count);

/* What is wished of a block, of which a round takes so long. */
struct tg_wish tg_standing_wish(const struct tg_standing *standing, size_t block, double cost_s);

/* How many rounds of a block have numbers that are taken. */
int64_t tg_standing_rounds(const struct tg_standing *standing, size_t block);

/* Whether no round of a block was whole yet: then every result is compared. */
bool tg_standing_is_unchecked(const struct tg_standing *standing, size_t block);

/* Whether a library or model file was changed meanwhile: nothing more is worth to be measured. */
bool tg_standing_is_spoiled(const struct tg_standing *standing);

struct tg_tally tg_standing_tally(const struct tg_standing *standing);

#endif
