/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/lease.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct lease {
    size_t block;
    double since_s, length_s, end_s;
    bool is_out, is_lost;
};

struct tg_leases {
    struct lease *leases; /* one for each worker */
    bool *is_idle;        /* likewise: neither out nor lost, which every answer asks of all */
    int *times;           /* for each block: how often it was lost */
    size_t block_count, lost_count;
};

struct tg_leases *tg_lease_create(size_t worker_count, size_t block_count)
{
    struct tg_leases *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    l->leases = calloc(worker_count + 1, sizeof *l->leases);
    l->is_idle = malloc((worker_count + 1) * sizeof *l->is_idle);
    l->times = calloc(block_count + 1, sizeof *l->times);
    l->block_count = block_count;
    if (l->is_idle) memset(l->is_idle, true, worker_count + 1);
    if (l->leases && l->is_idle && l->times) return l;
    tg_lease_destroy(l);
    return NULL;
}

void tg_lease_destroy(struct tg_leases *leases)
{
    if (!leases) return;
    free(leases->leases);
    free(leases->is_idle);
    free(leases->times);
    free(leases);
}

double tg_lease_length(const struct tg_limits *limits, size_t cell_count)
{
    /* Each cell may need a model made, is prepared and warmed up, then all take their turns: a
     * deadline each. What is between them is not the cells' and must not take longer than a
     * silence. */
    double each_s = limits->make_s + 2 * limits->deadline_s;
    return (double)cell_count * each_s + limits->deadline_s + limits->silence_s;
}

void tg_lease_give(struct tg_leases *leases, size_t worker, size_t block, double now_s,
                   double length_s)
{
    struct lease *l = &leases->leases[worker];
    *l = (struct lease){block, now_s, length_s, now_s + length_s, true, l->is_lost};
    leases->is_idle[worker] = false;
}

void tg_lease_hold(struct tg_leases *leases, size_t worker)
{
    leases->leases[worker].end_s = INFINITY;
}

void tg_lease_begin(struct tg_leases *leases, size_t worker, double now_s)
{
    struct lease *l = &leases->leases[worker];
    l->since_s = now_s;
    l->end_s = now_s + l->length_s;
}

bool tg_lease_return(struct tg_leases *leases, size_t worker, double now_s, size_t *block,
                     double *took_s)
{
    struct lease *l = &leases->leases[worker];
    if (!l->is_out) return false;
    l->is_out = false;
    leases->is_idle[worker] = !l->is_lost;
    *block = l->block;
    *took_s = now_s - l->since_s;
    return true;
}

bool tg_lease_is_idle(const struct tg_leases *leases, size_t worker)
{
    return leases->is_idle[worker];
}

bool tg_lease_is_over(const struct tg_leases *leases, size_t worker, double now_s)
{
    const struct lease *l = &leases->leases[worker];
    return l->is_out && now_s > l->end_s;
}

bool tg_lease_lose(struct tg_leases *leases, size_t worker, size_t *block, int *times)
{
    struct lease *l = &leases->leases[worker];
    if (l->is_lost) return false;
    l->is_lost = true;
    leases->is_idle[worker] = false;
    leases->lost_count++;
    *block = l->is_out ? l->block : leases->block_count;
    *times = l->is_out ? ++leases->times[l->block] : 0;
    return true;
}

size_t tg_lease_lost_count(const struct tg_leases *leases)
{
    return leases->lost_count;
}
