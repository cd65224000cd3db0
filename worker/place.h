/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PLACE_H
#define TG_WORKER_PLACE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/record.h"

/*
 * Where things run on a node: each memory domain has one core for what is timed, its last that this
 * process may use; the ranks stay on the others. The only door to hwloc.
 */

struct tg_place {
    char domain[TG_TEXT_SIZE]; /* of memory, "numa0" */
    int core;                  /* operating-system number of the core that cells are timed on */
    bool is_shared;            /* there is no other core, the ranks use it too */
};

/*
 * Reads the machine, or a recorded topology (hwloc's XML) if `topology` is not NULL, and gives the
 * place of the `index`-th worker on this node; workers take the memory domains in turn.
 */
int tg_place_find(const char *topology, int index, struct tg_place *place, struct tg_error *err);

/* Keeps this process off the cores that cells are timed on, where there are others. */
int tg_place_leave(struct tg_error *err);

/* Binds this process to one core. */
int tg_place_bind(int core, struct tg_error *err);

#endif
