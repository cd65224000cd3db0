/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_COURSE_H
#define TG_COORDINATOR_COURSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/record.h"
#include "results/changes.h"
#include "results/store_history.h"

/*
 * How one test went over the runs of a history: a number for each run, in the order of their dates,
 * and what happened to it: steps, and creep.
 *
 * Two courses of a test are followed. One is what the test compares, `of` against `to`, which is
 * measured well, since both were alive at once. The other is what `of` took by itself, which shows
 * the machine's changes, too, unless frozen kernels (canaries) were measured beside it. A test of
 * the file of --model is followed over the runs that had the last run's file.
 */

/* The numbers of watch.def. */
struct tg_watch {
#define FIELD(name, KIND, fallback, unit, meaning) TG_MEMBER_##KIND(name)
#include "coordinator/watch.def"
#undef FIELD
};

extern const struct tg_record_type tg_watch_type;

/* Fails if a number of it cannot be used. */
int tg_course_check(const struct tg_watch *watch, struct tg_error *err);

enum tg_course_kind {
    TG_COURSE_COMPARED, /* ln(of / to) of each run */
    TG_COURSE_SUMMED,   /* head against base, where each run's base was the head of one before: the
                           sums of ln(head / base) from the first base on */
    TG_COURSE_ABSOLUTE, /* ln of what `of` took */
    TG_COURSE_RELATIVE  /* ln of what `of` took as a multiple of a canary */
};

/* A run of the course. Values are natural logarithms. */
struct tg_course_point {
    size_t run; /* its place in the history's runs */
    double value;
    struct tg_interval ends; /* of the run's own estimate around the value; without end if none */
};

/* From a point on another level holds; sizes are ratios less 1. */
struct tg_course_step {
    size_t point;
    double size;
    struct tg_interval interval;
    double p_value; /* of E-divisive; NAN for a run whose own interval lies off 0 */
};

struct tg_course {
    enum tg_course_kind kind;
    struct tg_course_point *points;
    size_t count;
    struct tg_course_step *steps;
    size_t step_count;
    struct tg_creep creep; /* over points; total and interval as ratios less 1 */
};

/*
 * What a test compares, run by run. Head against base is followed along the line of ancestors of
 * the last run, where an earlier run's head was its base; else, or if more heads than that line
 * has were compared with its base, over all runs that had its base. Runs that compared a build with
 * itself, or with stored numbers, are left out. A test of one cell, or whose estimates are no
 * ratios, has no points.
 */
int tg_course_compare(const struct tg_history *history, size_t test, const struct tg_watch *watch,
                      struct tg_course *course, struct tg_error *err);

/*
 * What `of` took by itself, or the value of a test of one cell; relative to that canary which
 * leaves the least between one run and the next, of the runs that had the last run's code for it,
 * if these are enough to look for a step in, or all. Runs that do not know what `of` took are left
 * out. No points where a value is not above 0.
 */
int tg_course_absolute(const struct tg_history *history, size_t test, const struct tg_watch *watch,
                       struct tg_course *course, struct tg_error *err);

void tg_course_release(struct tg_course *course);

#endif
