/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_WEIGHTS_H
#define TG_WORKER_MODEL_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kernels/kernel.h"
#include "worker/model/network.h"
#include "worker/probe/pool.h"

/*
 * The ternary matrices of a network, each with the kernel that multiplies with it:
 *
 *   tg_network_read, tg_network_find_layout -> load -> ... -> release, before the file is closed
 *
 * A matrix that lies in the file as its kernel wants it is used where it is; any other is packed
 * anew, into one region of large pages. Every code is looked at: one that stands for nothing is an
 * error, with its place.
 */

struct tg_matrix {
    const struct tg_kernel *kernel;
    const struct tg_kernel
        *one; /* of the same format, for one token: its weights come from memory */
    const uint8_t *packed;
    int64_t rows, cols, packed_bytes;
    float scale;
};

struct tg_weights {
    struct tg_matrix *matrices; /* of block b, layer l: matrices[b * TG_LAYERS + l] */
    int64_t count;
    int64_t bytes;    /* of all packed matrices: what one token reads */
    int64_t repacked; /* of these, bytes that are in memory of our own */
    void *region;
    size_t region_bytes;
};

/*
 * `kernel` is a row of the library that computes the ternary product, or NULL: then each matrix has
 * the first that this machine can run of those that are known to be fast, and that can hold it,
 * and perhaps another one for single tokens.
 */
int tg_weights_load(const struct tg_network *network, const struct tg_network_layout *layout,
                    const struct tg_library *library, const char *kernel, struct tg_pool *pool,
                    struct tg_weights *weights, struct tg_error *err);

void tg_weights_release(struct tg_weights *weights);

#endif
