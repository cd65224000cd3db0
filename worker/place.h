/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PLACE_H
#define TG_WORKER_PLACE_H

#include <stdint.h>

#include "base/error.h"
#include "base/record.h"
#include "worker/gpu_list.h"

/*
 * Where things run on a node: each memory domain has one core for what is timed, its last that this
 * process may use; the ranks stay on the others. What has several threads takes the cores before
 * it, too, from the last to the first. A GPU belongs to the domain that it is attached to: what
 * runs on it and what runs on the cores beside it take turns. The only door to hwloc.
 */

#define TG_PLACE_CORES 256 /* most that one cell is given */

struct tg_place {
    char domain[TG_TEXT_SIZE]; /* of memory, "numa0" */
    int core;                  /* operating-system number of the core that cells are timed on */
    int cores[TG_PLACE_CORES]; /* those of a cell with several threads, `core` first: one each */
    int core_count;            /* all that the domain has */
    int unshared;              /* so many threads leave a core to the ranks; 0 if none do */
    /* [n - 1]: bytes of the last-level caches that the first n cores see; 0 if that is unknown */
    int64_t cache_bytes[TG_PLACE_CORES];
    int gpu; /* number in the list of GPUs of the one that is this place's alone, -1 for none */
    int gpus_before; /* GPUs before it in the list that are attached to the same domain */
};

/*
 * Reads the machine, or a recorded topology (hwloc's XML) if `topology` is not NULL, and gives the
 * place of the `index`-th worker on this node. The first workers get the GPUs (NULL: there are
 * none), one each, and the domain that theirs is attached to: by the number of the domain, else by
 * the cores near it; where neither is known, domains in turn. The others take in turn the domains
 * that no GPU's worker has, or all if there are none.
 */
int tg_place_find(const char *topology, const struct tg_gpu_list *gpus, int index,
                  struct tg_place *place, struct tg_error *err);

/* Keeps this process off the cores that cells are timed on, where there are others. */
int tg_place_leave(struct tg_error *err);

/* Binds the calling thread, and threads that it starts from then on, to one core. */
int tg_place_bind(int core, struct tg_error *err);

/*
 * Some cores as a list that taskset reads, in rising order: "3", "0-3", "0-126:2" (every second),
 * "0-1,8". Cut off at a comma where TG_TEXT_SIZE bytes are too few.
 */
void tg_place_text(const int *cores, int count, char text[TG_TEXT_SIZE]);

#endif
