/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/family.h"

/* Who saw what a family shares. */

static int by_node(const void *a, const void *b)
{
    return strcmp(((const struct tg_family_sight *)a)->node,
                  ((const struct tg_family_sight *)b)->node);
}

static int by_session(const void *a, const void *b)
{
    int x = ((const struct tg_family_sight *)a)->session;
    int y = ((const struct tg_family_sight *)b)->session;
    return x < y ? -1 : x > y;
}

static int by_test(const void *a, const void *b)
{
    size_t x = ((const struct tg_family_sight *)a)->test;
    size_t y = ((const struct tg_family_sight *)b)->test;
    return x < y ? -1 : x > y;
}

static int by_round(const void *a, const void *b)
{
    size_t x = ((const struct tg_family_sight *)a)->round;
    size_t y = ((const struct tg_family_sight *)b)->round;
    return x < y ? -1 : x > y;
}

/* Whether so many tests have so many of these rounds. */
static bool has_tests(struct tg_family_sight *sights, size_t count, size_t tests, size_t rounds)
{
    size_t found = 0;
    qsort(sights, count, sizeof *sights, by_test);
    for (size_t first = 0, end = 0; first < count; first = end) {
        while (end < count && sights[end].test == sights[first].test) end++;
        found += end - first >= rounds;
    }
    return found >= tests;
}

/* How many of these there are from here on, that are of one node or run. */
static size_t alike(const struct tg_family_sight *sights, size_t count,
                    int (*compare)(const void *, const void *))
{
    size_t same = 1;
    while (same < count && compare(&sights[0], &sights[same]) == 0) same++;
    return same;
}

/*
 * How many nodes, or runs, whichever are compared, have a mean above the floor, and enough rounds
 * for it to be no chance: rounds_min of half of the tests, or, of nodes, half of an even share,
 * since each of many has little of a run.
 */
static size_t seen_by(const struct tg_limits *limits, struct tg_family_sight *sights, size_t count,
                      size_t tests, double *scratch, int (*compare)(const void *, const void *))
{
    const size_t half = tests / 2 + tests % 2;
    size_t found = 0, places = 0, n;
    qsort(sights, count, sizeof *sights, compare);
    for (size_t i = 0; i < count; i += alike(&sights[i], count - i, compare)) places++;
    for (size_t i = 0; i < count; i += n) {
        n = alike(&sights[i], count - i, compare);
        bool is_enough = has_tests(&sights[i], n, half > TG_FAMILY_LEAST ? half : TG_FAMILY_LEAST,
                                   (size_t)limits->rounds_min);
        if (compare == by_node && 2 * n * places >= count)
            is_enough = is_enough || has_tests(&sights[i], n, TG_FAMILY_LEAST, 1);
        for (size_t k = 0; k < n; k++) scratch[k] = sights[i + k].d;
        found += is_enough && tg_family_mean(scratch, n) > log1p(limits->family_tolerance);
    }
    return found;
}

size_t tg_family_span(const struct tg_limits *limits, struct tg_family_sight *sights, size_t count,
                      size_t tests, double *scratch)
{
    size_t nodes = seen_by(limits, sights, count, tests, scratch, by_node);
    size_t runs = seen_by(limits, sights, count, tests, scratch, by_session);
    return nodes > runs ? nodes : runs;
}

void tg_family_hold(const struct tg_limits *limits, const double log_fails[],
                    struct tg_family_sight *sights, size_t count, double *scratch,
                    struct tg_family_verdict *verdict)
{
    struct tg_family_verdict *v = verdict;
    bool is_over = false;
    qsort(sights, count, sizeof *sights, by_round);
    for (size_t r = 0, there = 0; r < v->rounds; r++) {
        /* Behind its last round are those that few tests have, or that are beyond rounds_max. */
        bool is_last = r + 1 == v->rounds;
        while (there < count && (is_last || sights[there].round <= r)) there++;
        is_over = tg_stats_is_over(log_fails[r], v->log_line);
        if (is_over && (int64_t)tg_family_span(limits, sights, there, v->tests, scratch) >=
                           limits->min_sessions) {
            v->log_fail = log_fails[r];
            return;
        }
    }
    v->is_held = is_over || v->estimate > limits->family_tolerance;
    if (v->is_held) return;
    v->is_over = false;
    v->log_fail = log_fails[v->rounds - 1];
}
