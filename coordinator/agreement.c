/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/agreement.h"

#include <math.h>
#include <stdlib.h>

#include "results/distributions.h"
#include "results/trend.h"

enum { LEAST = 6 }; /* values that a spread of one side's own needs */

struct group {
    size_t count;
    double sum;
};

/*
 * The group farthest from the mean of all others, in standard errors of a common spread; of two
 * that are, the one with the larger mean.
 */
static int farthest(const struct group *groups, size_t group_count, size_t count, double sum)
{
    double most = -1;
    int found = -1;
    for (size_t g = 0; g < group_count; g++) {
        double n = (double)groups[g].count, others = (double)count - n;
        if (n == 0 || others == 0) continue;
        double gap = groups[g].sum / n - (sum - groups[g].sum) / others;
        double distance = fabs(gap) / sqrt(1 / n + 1 / others);
        if (distance < most * (1 - 1e-9) || (distance <= most * (1 + 1e-9) && gap < 0)) continue;
        most = distance;
        found = (int)g;
    }
    return found;
}

static struct tg_agreement compare(const double *values, const int *nodes, size_t count,
                                   struct group *groups, size_t group_count)
{
    struct tg_agreement a = {1, -1, NAN, NAN};
    double sum = 0;
    struct tg_variance_ratio ratio = tg_trend_f(values, nodes, count, group_count);
    if (ratio.within == 0) return a;
    for (size_t i = 0; i < count; i++) {
        groups[nodes[i]].count++;
        groups[nodes[i]].sum += values[i];
        sum += values[i];
    }
    a.odd = farthest(groups, group_count, count, sum);
    double n = (double)groups[a.odd].count;
    a.odd_mean = groups[a.odd].sum / n;
    a.rest_mean = (sum - groups[a.odd].sum) / ((double)count - n);
    a.p = isinf(ratio.f)
              ? 0
              : tg_distributions_f_tail(ratio.f, (double)ratio.between, (double)ratio.within);
    return a;
}

struct tg_agreement tg_agreement_look(const double *values, const int *nodes, size_t count)
{
    struct tg_agreement a = {1, -1, NAN, NAN};
    size_t group_count = 0;
    for (size_t i = 0; nodes && i < count; i++)
        if ((size_t)nodes[i] >= group_count) group_count = (size_t)nodes[i] + 1;
    if (group_count < 2) return a;
    struct group *groups = calloc(group_count, sizeof *groups);
    if (groups) a = compare(values, nodes, count, groups, group_count);
    free(groups);
    return a;
}

void tg_agreement_divide(const double *values, const int *nodes, size_t count, int node,
                         struct tg_side *own, struct tg_side *rest)
{
    struct tg_side *sides[] = {rest, own};
    *own = *rest = (struct tg_side){0};
    for (size_t i = 0; i < count; i++) {
        sides[nodes[i] == node]->count++;
        sides[nodes[i] == node]->mean += values[i];
    }
    for (int k = 0; k < 2; k++) sides[k]->mean /= (double)sides[k]->count;
    for (size_t i = 0; i < count; i++) {
        struct tg_side *side = sides[nodes[i] == node];
        side->error += pow(values[i] - side->mean, 2);
    }
    for (int k = 0; k < 2; k++)
        sides[k]->error /= (double)sides[k]->count * ((double)sides[k]->count - 1);
}

double tg_agreement_unlike(const struct tg_side *own, const struct tg_side *rest)
{
    if (own->count < LEAST || rest->count < LEAST) return NAN;
    double gap = own->mean - rest->mean, error = own->error + rest->error;
    if (error == 0) return gap == 0;
    double freedom = error * error /
                     (own->error * own->error / (double)(own->count - 1) +
                      rest->error * rest->error / (double)(rest->count - 1));
    return tg_distributions_f_tail(gap * gap / error, 1, freedom);
}
