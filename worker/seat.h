/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_SEAT_H
#define TG_WORKER_SEAT_H

#include "base/error.h"
#include "results/hardware.h"
#include "worker/gpu_list.h"
#include "worker/place.h"
#include "worker/survey.h"

/*
 * What a worker has of its node: cores of a memory domain, and a GPU if there is one for it. It is
 * found once, before anything is measured; children that are started after it see that GPU and no
 * other. Surveys are marked with what it means for cells.
 *
 * Its class of hardware names a GPU wherever the node has one: its own, or for a worker without one
 * that of another, so that the workers of a node with equal GPUs are of one class.
 */

struct tg_seat {
    struct tg_place place;
    struct tg_hardware machine;
    struct tg_gpu gpu;               /* its own; the uuid is "unknown" where there is none */
    char no_gpu[TG_GPU_REASON_SIZE]; /* why cells cannot be given it, "" if they can */
};

/* A node that was recorded, in tests; NULL stands for what is there. */
struct tg_node {
    const char *topology; /* hwloc's XML; without `gpus` it has none */
    const char *gpus;     /* as tg_gpu_list_read has it */
};

/*
 * Finds the seat of a worker of this node, with the GPUs that the driver shows (a child
 * asks it) and CUDA_VISIBLE_DEVICES leaves. A driver that is not there, hangs or crashes is the
 * reason for none, and no failure.
 */
int tg_seat_find(const struct tg_node *node, const struct tg_place_wish *wish, struct tg_seat *seat,
                 struct tg_error *err);

/* The GPUs of the node that its workers are given, or the reason why there are none. */
int tg_seat_gpus(const struct tg_node *node, struct tg_gpu_list *list, struct tg_error *err);

/* Writes into a survey what cells can be given in this seat. */
void tg_seat_mark(const struct tg_seat *seat, struct tg_survey *survey);

#endif
