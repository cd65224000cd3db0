/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_GPU_H
#define TG_WORKER_GPU_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "worker/gpu_list.h"

/*
 * What the driver's own library says of NVIDIA's GPUs (NVML, libnvidia-ml.so.1; NVML API Reference
 * Guide). It comes with the driver, so it is opened when it is asked for, once, and stays open
 * until the process ends. The only door to it.
 *
 * A broken driver may hang or end whoever asks: only children call what is here. A rank has a child
 * ask (survey.h), with a deadline.
 */

/*
 * The GPUs of this node in the order of their PCI addresses, each instance of a divided one by
 * itself; GPUs that this process may not open are left out. If there is none, the reason says why.
 */
void tg_gpu_read(struct tg_gpu_list *list);

/*
 * Where a GPU is attached: fills numa and cores from its PCI address and the files of /sys below
 * `root`, "" but in tests.
 */
void tg_gpu_locate(const char *root, struct tg_gpu *gpu);

#endif
