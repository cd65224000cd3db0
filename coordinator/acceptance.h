/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_ACCEPTANCE_H
#define TG_COORDINATOR_ACCEPTANCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "matrix/cell.h"
#include "matrix/words.h"

/*
 * Losses that somebody has accepted, for a reason and for a time: a file in the repository that is
 * judged, so that it is reviewed as code is.
 *
 *   {"tritgate_acceptance": 1, "accepted": [
 *     {"cells": "kernel=i2s_avx2 layer=attn_q", "metric": "call_time", "loss": 0.08,
 *      "reason": "the new layout costs this; see the issue", "expires": "2026-12-31",
 *      "owner": "ann"}]}
 *
 * An entry turns a failure into attention: of a rule that compares speed, of a cell and metric that
 * it names, by no more than the loss, which, where one node disagrees with the others, is that of
 * the side that loses more. It never excuses what is wrong, crashed or missing. It holds up to the
 * day that it names, compared with the date of the run's last row, so that an old run is decided
 * tomorrow as it is today. It is parsed, applied to each verdict, and released.
 */

struct tg_accepted {
    char cells[256]; /* a pattern, see tg_cell_matches; of the cell that is judged */
    char metric[TG_TEXT_SIZE];
    double loss; /* as a share, of time or of throughput as the rule's effect says */
    char reason[256];
    char expires[TG_TEXT_SIZE]; /* the last day, "2026-12-31" */
    char owner[TG_TEXT_SIZE];
};

struct tg_acceptance {
    struct tg_accepted *entries;
    size_t count;
};

struct tg_plan;
struct tg_verdict;

/*
 * Reads the text of such a file; `words` as in tg_policy_parse. Every entry has all six members. To
 * be released by tg_acceptance_release; on failure there is nothing to.
 */
int tg_acceptance_parse(const char *text, const struct tg_words *words,
                        struct tg_acceptance *acceptance, struct tg_error *err);

/* Whether a text begins with a day of the calendar, as 2026-12-31. */
bool tg_acceptance_has_day(const char *text);

void tg_acceptance_release(struct tg_acceptance *acceptance);

/*
 * Turns the verdict of a test of the plan into attention if an entry of the plan's acceptance
 * covers it; the first that does is the verdict's `accepted`. So it does with one that is held,
 * which passes whoever sees it again. A failure that an entry names but does not cover, since it is
 * too large or the entry has expired, stays one, and its reason says so.
 *
 *   date  of the run's last row, "2026-01-02T03:04:05Z"; "" if it has not come: none has expired.
 * By a date that is of no day all have
 */
void tg_acceptance_apply(const struct tg_plan *plan, const char *date, size_t test,
                         struct tg_verdict *verdict);

/*
 * What a reader must know of the whole file: how many entries were used, and the names of those
 * that were not, and why: no such test, none that fails, covered by another, too little, expired.
 * "" without entries. Returns out, of `size` bytes.
 */
char *tg_acceptance_note(const struct tg_plan *plan, const char *date,
                         const struct tg_verdict *verdicts, char *out, size_t size);

#endif
