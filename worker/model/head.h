/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_HEAD_H
#define TG_WORKER_MODEL_HEAD_H

#include <stdint.h>

#include "base/error.h"
#include "kernels/vector.h"
#include "worker/model/network.h"
#include "worker/probe/pool.h"

/*
 * The head of a model: from the normed numbers of one token to its logits, a dot product for each
 * row of the vocabulary. It is read once a token, as a whole, so it is copied into large pages:
 * from pages of 4 KiB, as a file has them, that is a sixth slower. Of types without a dot product
 * of their own the copy has the numbers in F32.
 *
 *   open -> run, run, ... -> close
 */

struct tg_head {
    const struct tg_network *network;
    const struct tg_gguf_tensor *tensor; /* `output`, or the embedding where that is tied */
    uint8_t *copy;
    int64_t bytes;     /* of the copy's pages */
    int64_t row_bytes; /* of the copy */
    void (*dots)(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                 float *out);
};

/* Bytes of the pages of a network's copy. */
int64_t tg_head_bytes(const struct tg_network *network);

/* Fails where the tensor's type is not read, or without memory. */
int tg_head_open(const struct tg_network *network, const struct tg_vector *vector,
                 struct tg_pool *pool, struct tg_head *head, struct tg_error *err);

/* The logits (vocabulary) of x (hidden), by all threads of the pool. */
void tg_head_run(const struct tg_head *head, struct tg_pool *pool, const float *x, float *logits);

/* May be called on what was never opened, if it was 0 throughout. */
void tg_head_close(struct tg_head *head);

#endif
