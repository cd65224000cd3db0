/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_NUMBERING_H
#define TG_COORDINATOR_NUMBERING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What workers have in common, such as a node: any numbers that tell it apart, told of each worker
 * (tg_numbering_open, then `numbers`); counted, they become places from 0 on without gaps
 * (tg_numbering_count), each with a count for its owner to keep.
 */

struct tg_numbering {
    int *numbers;   /* of workers, as they were told */
    uint32_t *at;   /* the place of each */
    size_t *counts; /* of places; 0 when they are counted anew */
    size_t count;   /* of places */
};

/* All numbers are 0. Returns false without memory; it is to be closed in any case. */
bool tg_numbering_open(struct tg_numbering *numbering, size_t worker_count);
bool tg_numbering_count(struct tg_numbering *numbering, size_t worker_count);
void tg_numbering_close(struct tg_numbering *numbering); /* accepts zeros */

#endif
