/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PLACE_H
#define TG_WORKER_PLACE_H

#include <stdint.h>

#include "base/error.h"
#include "base/record.h"
#include "matrix/policy.h"
#include "worker/gpu_list.h"

/*
 * Where things run on a node. The node is cut into parts, no two of which share what two timed
 * blocks may not share (the policy's limit `exclusive`): a worker has one, and its cells run on the
 * cores of it, the first hardware thread of each, from the last core to the first. Ranks stay on
 * cores that no cell of one thread is timed on. A GPU belongs to the domain that it is attached to:
 * what runs on it and what runs on the cores beside it take turns. The only door to hwloc.
 *
 *   node, memory  a part is a memory domain. On `node` all of them take turns; on `memory` those
 *                 do that see the same last-level cache
 *   cache         the cores of a domain that see the same last-level cache
 *   core          some cores of a domain, as many for each of its workers; its first core is the
 *                 ranks', if there are two
 *
 * Where a part has cores of several kinds (big and little ones), it is only the fastest of them.
 */

#define TG_PLACE_CORES 256 /* most that one cell is given */

/* Which worker of this node asks, of how many, and what timed blocks may not share. */
struct tg_place_wish {
    int index, count;
    enum tg_exclusive exclusive;
};

/* The only worker of its node, with a memory domain to itself. */
extern const struct tg_place_wish tg_place_alone;

struct tg_place {
    char domain[TG_TEXT_SIZE]; /* of memory, "numa0" */
    /* The part: what it is of the node, of memory domains, of caches, of cores: "node", "numa0",
     * "cache4", "cores5-7". Its own name is that of `exclusive`, the others are around it. All but
     * those of cores are the same for each process, whatever cores it may use. */
    char shares[TG_EXCLUSIVE_COUNT][TG_TEXT_SIZE];
    enum tg_exclusive exclusive;
    int core;                  /* operating-system number of the core that cells are timed on */
    int cores[TG_PLACE_CORES]; /* those of a cell with several threads, `core` first: one each */
    int core_count;            /* all that the part has */
    int held[TG_PLACE_CORES]; /* the first hardware thread of each one's core, whoever may use it */
    int caches[TG_PLACE_CORES]; /* ... of each one's last-level cache; -1 where that is unknown */
    int unshared;               /* so many threads leave a core to the ranks; 0 if none do */
    char ranks[TG_TEXT_SIZE];   /* the cores that tg_place_leave leaves; "" if there are none */
    /* [n - 1]: bytes of the last-level caches that the first n cores see; 0 if that is unknown */
    int64_t cache_bytes[TG_PLACE_CORES];
    int gpu; /* number in the list of GPUs of the one that is this place's alone, -1 for none */
    int gpus_before; /* GPUs before it in the list that are attached to the same domain */
};

/*
 * Reads the machine, or a recorded topology (a file of hwloc's XML, or its description of one
 * behind "synthetic:") if `topology` is not NULL, and gives a worker of this node its place. The
 * first workers get the GPUs (NULL: there are none), one each, and the domain that theirs is
 * attached to: by the number of the domain, else by the cores near it; where neither is known,
 * domains in turn. The others take in turn the domains that no GPU's worker has, or all if there
 * are none. Workers of one domain take its parts in turn.
 */
int tg_place_find(const char *topology, const struct tg_gpu_list *gpus,
                  const struct tg_place_wish *wish, struct tg_place *place, struct tg_error *err);

/* How many processors, hardware threads, this process may run on. */
int tg_place_processors(void);

/* Keeps this process off the cores that cells of one thread are timed on, where there are others.
 */
int tg_place_leave(enum tg_exclusive exclusive, struct tg_error *err);

/* Binds the calling thread, and threads that it starts from then on, to one core. */
int tg_place_bind(int core, struct tg_error *err);

/*
 * Some cores as a list that taskset reads, in rising order: "3", "0-3", "0-126:2" (every second),
 * "0-1,8". Cut off at a comma where TG_TEXT_SIZE bytes are too few.
 */
void tg_place_text(const int *cores, int count, char text[TG_TEXT_SIZE]);

#endif
