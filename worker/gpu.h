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

/* Why a GPU's clock is lower than it could be: bits of a mask, as NVML numbers them. */
enum {
    TG_GPU_IDLE = 0x1,        /* nothing runs */
    TG_GPU_CLOCKS_SET = 0x2,  /* somebody asked for these clocks */
    TG_GPU_POWER_CAP = 0x4,   /* it keeps to its power limit */
    TG_GPU_HARDWARE = 0x8,    /* the hardware slows it: heat, power brake, or a fault of supply */
    TG_GPU_SYNC_BOOST = 0x10, /* it keeps to the clock of a slower GPU */
    TG_GPU_HEAT = 0x20,       /* the driver slows it, for it is hot */
    TG_GPU_HARDWARE_HEAT = 0x40, /* the hardware slows it, for it is hot */
    TG_GPU_POWER_BRAKE = 0x80,   /* the hardware slows it, for the machine has too little power */
    TG_GPU_DISPLAY = 0x100       /* the clock of a display */
};

/* A look at a running GPU. What cannot be read is -1, or not a number. */
struct tg_gpu_look {
    int64_t throttle;                 /* mask of reasons, now */
    double power_held_s, heat_held_s; /* so long, in all, have power and heat held its clock */
    double temperature_c, power_w;
};

/*
 * The GPUs of this node in the order of their PCI addresses, each instance of a divided one by
 * itself; GPUs that this process may not open are left out. If there is none, the reason says why.
 */
void tg_gpu_read(struct tg_gpu_list *list);

/*
 * Looks at one, by its uuid. What is seen of an instance is that of the GPU that it is a part of.
 * The first look opens the library, which may take a second; others take less than a millisecond on
 * a driver that answers.
 */
int tg_gpu_look(const char *uuid, struct tg_gpu_look *look, struct tg_error *err);

/*
 * The reasons that held between two looks of one GPU: those of both, and what the driver has
 * counted meanwhile. -1 if neither look knows.
 */
int64_t tg_gpu_throttle(const struct tg_gpu_look *before, const struct tg_gpu_look *after);

/*
 * Writes the names of a mask's reasons, as "power_cap,heat"; "none" of 0, "unknown" of -1. At most
 * size - 1 bytes. Returns out.
 */
char *tg_gpu_throttle_text(int64_t mask, char *out, size_t size);

/*
 * The uuid of the GPU that this process was given (child.h), "" if none was: the one word of
 * CUDA_VISIBLE_DEVICES, if it is a uuid.
 */
const char *tg_gpu_own(void);

/*
 * Where a GPU is attached: fills numa and cores from its PCI address and the files of /sys below
 * `root`, "" but in tests.
 */
void tg_gpu_locate(const char *root, struct tg_gpu *gpu);

#endif
