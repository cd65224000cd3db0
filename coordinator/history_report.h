/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_HISTORY_REPORT_H
#define TG_COORDINATOR_HISTORY_REPORT_H

#include <stddef.h>
#include <stdio.h>

#include "base/error.h"
#include "base/json.h"
#include "coordinator/course.h"
#include "coordinator/history.h"

/*
 * What `tritgate history` says about one class of hardware: its series, each with both courses, as
 * text and as JSON. Numbers come from the history and from nowhere else, so that the same history
 * gives the same bytes.
 */

enum {
    TG_HISTORY_BRIEF_SIZE = 2 * TG_CELL_TEXT_SIZE,
    TG_HISTORY_TITLE_SIZE = TG_HISTORY_BRIEF_SIZE + 2 * TG_TEXT_SIZE
};

/* A test on one class of hardware, over all runs that have a verdict of it. */
struct tg_history_series {
    size_t test;
    char brief[TG_HISTORY_BRIEF_SIZE]; /* "i2s_avx2, attn_q: head vs base" */
    char title[TG_HISTORY_TITLE_SIZE]; /* with rule and metric before it */
    size_t run_count;
    const char *first, *last;    /* dates, borrowed from the history */
    struct tg_course courses[2]; /* what is compared, and the absolute */
};

struct tg_history_report {
    const struct tg_history *history;
    struct tg_history_series *series;
    size_t count;
};

/*
 * Follows the series whose title matches a shell pattern somewhere, or all if it is NULL. The
 * history is borrowed. Released by tg_history_report_release.
 */
int tg_history_report_make(const struct tg_history *history, const char *pattern,
                           const struct tg_watch *watch, struct tg_history_report *report,
                           struct tg_error *err);

void tg_history_report_release(struct tg_history_report *report);

/* How many series show a step or creep. */
size_t tg_history_report_found(const struct tg_history_report *report);

/* How often a course was looked at, for steps or for creep: those that are long enough to show any.
 */
size_t tg_history_report_looks(const struct tg_history_report *report,
                               const struct tg_watch *watch);

/* "head against base, summed", "i2s_avx2 against i2s_scalar", "call_time" ... of a course. */
char *tg_history_report_subject(const struct tg_history_report *report, size_t series,
                                size_t course, char *out, size_t size);

/* "1a2b3c4d5e6f": the head of a run, short. */
char *tg_history_report_head(const struct tg_history_run *run, char out[16]);

void tg_history_report_print(const struct tg_history_report *report, FILE *out);

/* Adds it as a member of a list. */
void tg_history_report_json(const struct tg_history_report *report, struct tg_json *list);

#endif
