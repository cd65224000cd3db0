/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/seat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/child.h"
#include "worker/host.h"

int tg_seat_gpus(const struct tg_node *node, struct tg_gpu_list *list, struct tg_error *err)
{
    int rc = 0;
    memset(list, 0, sizeof *list);
    if (node->gpus)
        rc = tg_gpu_list_read(node->gpus, list, err);
    else if (node->topology)
        tg_gpu_list_none(list, "no GPU is recorded");
    else
        rc = tg_survey_take_gpus(list, err);
    if (rc < 0) return -1;
    tg_gpu_list_choose(list, getenv("CUDA_VISIBLE_DEVICES"), getenv("CUDA_DEVICE_ORDER"));
    return 0;
}

/* Takes the seat's GPU from the list, or says why there is none for it. */
static void take_gpu(const struct tg_gpu_list *list, int index, struct tg_seat *seat)
{
    tg_record_init(&tg_gpu_type, &seat->gpu);
    if (list->count > 0)
        tg_gpu_list_describe(&list->gpus[(size_t)index % list->count], &seat->machine);
    if (seat->place.gpu >= 0) seat->gpu = list->gpus[seat->place.gpu];
    const char *mode = seat->gpu.compute_mode;
    if (list->count == 0)
        snprintf(seat->no_gpu, sizeof seat->no_gpu, "%s", list->reason);
    else if (seat->place.gpu < 0)
        snprintf(seat->no_gpu, sizeof seat->no_gpu, "other workers have the GPUs of this node");
    else if (strcmp(mode, "exclusive") == 0 || strcmp(mode, "prohibited") == 0)
        snprintf(seat->no_gpu, sizeof seat->no_gpu, "gpu-%s-mode", mode);
}

int tg_seat_find(const struct tg_node *node, const struct tg_place_wish *wish, struct tg_seat *seat,
                 struct tg_error *err)
{
    struct tg_gpu_list *list = calloc(1, sizeof *list);
    if (!list) return tg_fail(err, "out of memory");
    memset(seat, 0, sizeof *seat);
    tg_host_hardware("", &seat->machine);
    int rc = tg_seat_gpus(node, list, err);
    if (rc == 0) rc = tg_place_find(node->topology, list, wish, &seat->place, err);
    if (rc == 0) {
        take_gpu(list, wish->index, seat);
        tg_child_give_gpu(seat->place.gpu >= 0 ? seat->gpu.uuid : "");
    }
    free(list);
    return rc;
}

void tg_seat_mark(const struct tg_seat *seat, struct tg_survey *survey)
{
    survey->cores = seat->place.core_count;
    memcpy(survey->no_gpu, seat->no_gpu, sizeof survey->no_gpu);
    int64_t memory = tg_host_memory("");
    survey->memory_bytes = memory > 0 ? memory : 0;
    survey->gpu_bytes = seat->place.gpu >= 0 && seat->gpu.free_bytes > 0 ? seat->gpu.free_bytes : 0;
}
