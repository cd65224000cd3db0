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

/* How many nodes, or runs, whichever are compared, have a mean above the floor. */
static size_t seen_by(struct tg_family_sight *sights, size_t count, double floor, double *scratch,
                      int (*compare)(const void *, const void *))
{
    size_t found = 0;
    qsort(sights, count, sizeof *sights, compare);
    for (size_t first = 0, end; first < count; first = end) {
        for (end = first; end < count && compare(&sights[first], &sights[end]) == 0; end++)
            scratch[end - first] = sights[end].d;
        found += tg_family_mean(scratch, end - first) > floor;
    }
    return found;
}

size_t tg_family_span(const struct tg_limits *limits, struct tg_family_sight *sights, size_t count,
                      double *scratch)
{
    double floor = log1p(limits->family_tolerance);
    size_t nodes = seen_by(sights, count, floor, scratch, by_node);
    size_t runs = seen_by(sights, count, floor, scratch, by_session);
    return nodes > runs ? nodes : runs;
}
