/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_DOCTOR_H
#define TG_WORKER_DOCTOR_H

#include <stddef.h>

#include "worker/gpu_list.h"

/*
 * What on this node disturbs timing, and what to do about it: a table of ailments (ailments.def),
 * each looked at by itself, from files that anybody may read. Where a file is missing the answer is
 * unknown, which is neither well nor ill. That addresses are drawn anew for each process (ASLR) is
 * no ailment: rounds are fresh processes, so it is a part of the noise that they measure.
 */

enum tg_ailment_state { TG_AILMENT_FINE, TG_AILMENT_FOUND, TG_AILMENT_UNKNOWN };

struct tg_ailment {
    const char *name, *what, *advice; /* of the table */
    enum tg_ailment_state state;
    char seen[200]; /* "powersave on 8 of 8 cores"; what is missing if it is unknown */
};

/* How many there are. */
size_t tg_doctor_count(void);

/*
 * Looks at a node for all of them, in the files of /proc and /sys below `root` ("" but in tests),
 * and at its GPUs. ailments[] has tg_doctor_count elements.
 */
void tg_doctor_look(const char *root, const struct tg_gpu_list *gpus, struct tg_ailment *ailments);

/* "fine", "found" or "unknown". */
const char *tg_doctor_word(enum tg_ailment_state state);

#endif
