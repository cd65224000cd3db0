/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_UNREST_H
#define TG_WORKER_UNREST_H

#include <stdint.h>

#include "results/measurement.h"

/*
 * What the kernel of a node has counted, since boot, of what takes time from whoever is timed. Two
 * looks, before the first sample and after the last, become facts of a round: the same for all of
 * its cells, and known without a look at any time that was measured. What cannot be read is none
 * or -1, never 0.
 */

struct tg_unrest {
    double at_s; /* when this was, monotonic */
    double steal_s,
        own_steal_s; /* that a hypervisor took: from all cores, from those of the cell */
    /* Pressure stall information (Linux, Documentation/accounting/psi.rst): in which processes
     * waited for a core, for memory, for a disk; not of the whole node at once, but the mean of its
     * cores, each by the time that it was not idle (kernel/sched/psi.c). */
    double cpu_wait_s, memory_wait_s, io_wait_s;
    int64_t throttles; /* times that heat or power slowed a core of the cell */
};

/* Looks at a node, with the cores of a cell, in the files of /proc and /sys below `root`: "" but in
 * tests. */
void tg_unrest_look(const char *root, const int *cores, int count, struct tg_unrest *look);

/* Writes what was counted between two looks. */
void tg_unrest_between(const struct tg_unrest *before, const struct tg_unrest *after,
                       struct tg_facts *facts);

#endif
