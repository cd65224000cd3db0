/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/numbering.h"

#include <stdlib.h>

/* A worker and its number, to be sorted. */
struct numbered {
    int number;
    uint32_t worker;
};

bool tg_numbering_open(struct tg_numbering *numbering, size_t worker_count)
{
    *numbering = (struct tg_numbering){0};
    numbering->numbers = calloc(worker_count + 1, sizeof *numbering->numbers);
    numbering->at = calloc(worker_count + 1, sizeof *numbering->at);
    numbering->counts = calloc(worker_count + 1, sizeof *numbering->counts);
    return numbering->numbers && numbering->at && numbering->counts;
}

static int by_number(const void *a, const void *b)
{
    int x = ((const struct numbered *)a)->number, y = ((const struct numbered *)b)->number;
    return (x > y) - (x < y);
}

bool tg_numbering_count(struct tg_numbering *numbering, size_t worker_count)
{
    struct numbered *list = calloc(worker_count + 1, sizeof *list);
    if (!list) return false;
    for (uint32_t w = 0; w < worker_count; w++)
        list[w] = (struct numbered){numbering->numbers[w], w};
    qsort(list, worker_count, sizeof *list, by_number);
    numbering->count = 0;
    for (size_t i = 0; i < worker_count; i++) {
        if (i == 0 || list[i].number != list[i - 1].number)
            numbering->counts[numbering->count++] = 0;
        numbering->at[list[i].worker] = (uint32_t)numbering->count - 1;
    }
    free(list);
    return true;
}

void tg_numbering_close(struct tg_numbering *numbering)
{
    free(numbering->numbers);
    free(numbering->at);
    free(numbering->counts);
    *numbering = (struct tg_numbering){0};
}
