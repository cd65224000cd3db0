/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_FAMILY_H
#define TG_COORDINATOR_FAMILY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "coordinator/plan.h"
#include "results/stats.h"

/*
 * Families: tests of one device, or of one model, looked at together. A loss of one percent in all
 * of them is invisible in each and plain in their mean.
 *
 * In each round the 10 % trimmed mean over the family's quietest tests is one value more for the
 * test that refutes "not slower by more than family_tolerance" (E+ of results/sequential.h), whose
 * line is the number of families over alpha_family.
 */

enum { TG_FAMILY_LEAST = 3 }; /* tests that make one */

struct tg_family_verdict {
    char name[TG_TEXT_SIZE]; /* of the device or the model */
    size_t tests;            /* that were looked at */
    size_t rounds;           /* that all of these have, or at least half of them */
    double log_fail, log_line;
    double estimate;             /* of the shared slow-down, a ratio less 1; NAN if there is none */
    struct tg_interval interval; /* of it */
    bool is_over;                /* the line was crossed in a round; see tg_family_hold, too */
    bool is_held;    /* it would fail, but fewer than min_sessions runs or nodes saw it (gate.h) */
    bool wants_more; /* it has fewer than family_rounds rounds and is not over */
};

/*
 * Judges one family from the values of its tests: values[i] are counts[i] values D of test i, in
 * the order of rounds, above 0 where head is worse. A test with fewer than rounds_min rounds is not
 * looked at. `chosen`, if not NULL, receives which tests were, and `log_fails`, if not NULL, which
 * has room for rounds_max, the evidence after each round. Without memory, or with fewer than three
 * tests, there are no rounds.
 */
void tg_family_judge(const struct tg_limits *limits, size_t family_count,
                     const double *const values[], const size_t counts[], size_t test_count,
                     bool *chosen, double *log_fails, struct tg_family_verdict *verdict);

/* The 10 % trimmed mean: of what is left when the least and the most are taken off. Sorts them. */
double tg_family_mean(double *values, size_t count);

/* A round of one of a family's tests: D, as above, and who measured it. */
struct tg_family_sight {
    double d;
    size_t test, round; /* its place among the test's rounds */
    const char *node;   /* borrowed */
    int session;        /* the run that it belongs to */
};

/*
 * How many runs or nodes, whichever are more, saw the slow-down that a family of so many tests
 * shares: the trimmed mean of all their rounds lies above family_tolerance, and they have
 * rounds_min rounds of half of the tests, and of three; or it is a node with rounds of three that
 * are half as many as each node would have if all had as many. Orders the rounds anew; `scratch`
 * has room for `count` numbers. (family_span.c)
 */
size_t tg_family_span(const struct tg_limits *limits, struct tg_family_sight *sights, size_t count,
                      size_t tests, double *scratch);

/*
 * Holds a family that is over its line, unless min_sessions runs or nodes saw it, by these rounds
 * of its tests and `log_fails`, the evidence after each of its own: it has failed in the first
 * round after which the evidence is over the line and enough saw it. Where there is none, and in
 * the end neither the evidence nor the estimate is over its limit, it is no longer over. Orders the
 * rounds anew, as above.
 */
void tg_family_hold(const struct tg_limits *limits, const double log_fails[],
                    struct tg_family_sight *sights, size_t count, double *scratch,
                    struct tg_family_verdict *verdict);

/* The families of a plan, with the values of their tests; made, told values, asked, destroyed. */
struct tg_families;

/* There are none unless the policy watches families. */
int tg_family_create(const struct tg_plan *plan, struct tg_families **families,
                     struct tg_error *err);

/* Accepts NULL. */
void tg_family_destroy(struct tg_families *families);

/*
 * Takes the values of a test as its rounds give them (ln(of / to)), instead of those before; a test
 * of no family is passed over.
 */
int tg_family_take(struct tg_families *families, size_t test, const double *values, size_t count,
                   struct tg_error *err);

size_t tg_family_count(const struct tg_families *families);

/* The plan's tests that are in a family, and how many; the list is the families'. */
size_t tg_family_tests(const struct tg_families *families, size_t family, const size_t **tests);

/* As tg_family_judge, of what was taken. */
void tg_family_look(const struct tg_families *families, size_t family, bool *chosen,
                    double *log_fails, struct tg_family_verdict *verdict);

/* Whether a family still wants rounds of this test. */
bool tg_family_wants(struct tg_families *families, size_t test);

/*
 * The tests of which a family may want rounds now and did not when this was last asked, or the
 * other way round, but for those that were taken since: of these it is to be asked in any case.
 * The list is there until something is taken.
 */
size_t tg_family_turned(struct tg_families *families, const size_t **tests);

#endif
