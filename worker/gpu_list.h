/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_GPU_LIST_H
#define TG_WORKER_GPU_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/record.h"
#include "results/hardware.h"

/*
 * The GPUs of a node, as data: made by the driver's library (gpu.h), by a file of a test, or by a
 * line from a child; cut down to those that this process may use; then dealt to workers (place.h).
 * Nothing here asks a driver.
 */

struct tg_gpu {
#define FIELD(name, KIND, fallback, unit, meaning) TG_MEMBER_##KIND(name)
#include "worker/gpu.def"
#undef FIELD
};

extern const struct tg_record_type tg_gpu_type;

enum { TG_GPU_MOST = 64, TG_GPU_REASON_SIZE = 256 };

struct tg_gpu_list {
    struct tg_gpu gpus[TG_GPU_MOST];
    size_t count;
    char reason[TG_GPU_REASON_SIZE]; /* why there is none, "" if there are */
};

/* Makes it a list of no GPU, for a reason (printf). */
void tg_gpu_list_none(struct tg_gpu_list *list, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Reads recorded GPUs, each a line "uuid=... name=..." of the fields of gpu.def; lines that begin
 * with # are passed over, and a line "reason ..." says why there is none.
 */
int tg_gpu_list_read(const char *path, struct tg_gpu_list *list, struct tg_error *err);

/* Adds the list as members `gpus` and `reason` of an object, and back. */
void tg_gpu_list_add(struct tg_json *object, const struct tg_gpu_list *list);
int tg_gpu_list_parse(const struct tg_json_file *file, const struct tg_json *object,
                      struct tg_gpu_list *list, struct tg_error *err);

/*
 * Keeps those GPUs that CUDA would show to a process with these values of CUDA_VISIBLE_DEVICES and
 * CUDA_DEVICE_ORDER (NULL: not set), in the order in which they are named (CUDA C++ Programming
 * Guide, "CUDA Environment Variables"): numbers or uuids, which may be cut short as long as they
 * name one; from the first that names none, or one again, the rest is not seen; "" shows none.
 *
 * It differs from CUDA in two ways. A process sees one instance of divided GPUs, the first; here
 * all of them are kept, since each will be given to a process of its own. And numbers count in the
 * order of PCI addresses. CUDA does so only with CUDA_DEVICE_ORDER=PCI_BUS_ID, or where GPUs are
 * alike; where they are not, its own order, the fastest first, is not specified, so numbers are
 * refused: the list is none, and the reason says what to do.
 */
void tg_gpu_list_choose(struct tg_gpu_list *list, const char *visible, const char *order);

/* Writes a GPU's part of the class of a machine: what its times depend on. */
void tg_gpu_list_describe(const struct tg_gpu *gpu, struct tg_hardware *hardware);

#endif
