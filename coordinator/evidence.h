/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_EVIDENCE_H
#define TG_COORDINATOR_EVIDENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "coordinator/clocks.h"
#include "coordinator/disturbance.h"
#include "coordinator/faults.h"
#include "matrix/spec.h"
#include "results/measurement.h"

/*
 * The rounds of a test, taken from a run's rows: in the order of their numbers, the value of each
 * whole round, and what happened in those that broke.
 */

enum { TG_EVIDENCE_REASON_SIZE = 800 };

struct tg_rounds {
    double *values;      /* see round_value.h; the room that all lists here are in */
    double *also_values; /* likewise of the rule's second metric, NAN where a round lacks it */
    size_t also_count;   /* how many of them are not */
    size_t count;
    int *nodes, *sessions; /* of each round in values: where and in which run it was measured */
    double *of_medians, *to_medians;                  /* of the metric in each round in values */
    const struct tg_measurement **of_rows, **to_rows; /* of each round in values; borrowed */
    int64_t of_bytes; /* packed weights that one call of `of` reads, -1 if unknown */
    size_t wrong;     /* rounds in which `of` was wrong, or `to` if it is head's */
    size_t
        of_broken; /* ... in which only `of` crashed or was late; or either, if `to` is its copy */
    size_t of_killed;   /* ... of those, killed from outside */
    size_t else_broken; /* ... in which `to`, or both, broke, but for a copy of `of` */
    size_t else_heads;  /* ... of those, where `to` is head's, and was not killed from outside */
    size_t skipped;     /* ... in which a cell was skipped, in the last attempt at the block */
    size_t unfit;       /* ... of those, what was to run on a device */
    size_t spared;      /* ... that only a broken device could not measure; in none of the above */
    const struct tg_measurement *odd;    /* ... of which this row is; NULL for none; borrowed */
    bool of_is_at_fault, to_is_at_fault; /* the kernel of that side, in other blocks, too */
    size_t apart;   /* ... whose sides are of two nodes, devices or model files: not compared */
    size_t hollow;  /* ... that were measured, but whose samples give no value, or lack a row */
    size_t lacking; /* ... of those, with a side that has no samples of the metric at all */
    struct tg_discards discards;   /* ... for the clock of their device; they are not in values */
    struct tg_disturbed disturbed; /* ... or for what disturbed them, likewise */
    size_t since_broken;           /* whole rounds after the last that broke */
    int64_t last;                  /* the number of the last round, -1 if there is none */
    const struct tg_measurement *broken; /* of the last round that broke, NULL for none; borrowed */
    const char **node_names; /* of the nodes, in the order in which they first appear; borrowed */
    size_t node_count;
    bool *is_known; /* each round in values: it was there before, and is not looked at again */
};

/*
 * Gathers the rounds of a test for its rule under these limits out of the `count` rows of its block
 * (pointers, in any order). A round of a pair with a row missing was not finished: it is hollow.
 * What the other row says went wrong counts; where it broke, as if both had.
 *
 * *rounds is all zeros, or what was gathered for the same test before, when some of these rows were
 * not there: then the values of its rounds are taken over. Released by tg_evidence_release.
 *
 * Where all rounds that broke or were skipped on a device did so on one and the same, whose name is
 * known, which measured none after the first of them, and another device measured the block, it is
 * the device that is broken: these rounds are spared. How fast anything was is not looked at. What
 * broke on two devices, or now and then, is the kernel's, as is what is wrong; and so is what
 * broke, twice or only so, in rounds in which that device measured the other side. None is spared
 * where `faults`, which has the rows of other blocks, too, says that it is the kernel's; it may be
 * NULL.
 */
int tg_evidence_gather(const struct tg_measurement *const rows[], size_t count,
                       const struct tg_test *test, const struct tg_rule *rule,
                       const struct tg_limits *limits, const struct tg_faults *faults,
                       struct tg_rounds *rounds, struct tg_error *err);

void tg_evidence_release(struct tg_rounds *rounds);

/* What is said of the last round that broke, in one line; "" if none did. Returns out. */
char *tg_evidence_reason(const struct tg_rounds *rounds, char out[TG_EVIDENCE_REASON_SIZE]);

/*
 * The value of one round of a pair from the samples of both sides: whole quads only (turns 4k to
 * 4k + 3, two of each side). Returns 0, or -1 if there is none.
 */
int tg_evidence_value(const struct tg_series *of, const struct tg_series *to, double *value);

#endif
