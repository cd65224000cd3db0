/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_ATTENTION_H
#define TG_WORKER_MODEL_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "kernels/vector.h"
#include "worker/model/network.h"

/*
 * Keys and values of earlier tokens, RoPE, and attention of one head. The cache of a block has for
 * each head of keys the positions one after the other, so that a head reads one stream:
 *
 *   keys | block | head | position | numbers       values likewise
 *
 * Nothing here has threads: forward.c shares heads and tokens out.
 */

struct tg_attention {
    const struct tg_vector *vector;
    int64_t heads, key_value_heads, dimension, context;
    int64_t rope_dimensions;
    enum tg_network_pairing pairing;
    int64_t number_bytes; /* 2: float16, 4: float32 */
    int64_t block_bytes;  /* of one of the two caches */
    uint8_t *keys, *values;
    float *cosines, *sines; /* of position p and pair i: [p * rope_dimensions / 2 + i] */
    float scale;            /* 1 / sqrt(dimension) */
};

int tg_attention_open(const struct tg_network *network, int64_t context, bool is_wide,
                      const struct tg_vector *vector, struct tg_attention *attention,
                      struct tg_error *err);

/* Turns the queries (heads x dimension) and scales them, and keeps keys and values of a token. */
void tg_attention_keep(const struct tg_attention *a, int64_t block, int64_t position,
                       float *queries, float *keys, const float *values);

/*
 * What `many` heads from `head` on, which share keys and values, see of the token at `position`:
 * queries (many x dimension) have been turned and scaled; `scores` is scratch of many x
 * (position + 1) numbers; out is many x dimension.
 */
void tg_attention_mix(const struct tg_attention *a, int64_t block, int64_t position, int64_t head,
                      int64_t many, const float *queries, float *scores, float *out);

/* Bytes of the caches. */
int64_t tg_attention_bytes(const struct tg_attention *a, int64_t blocks);

/* May be called on what was never opened, if it was 0 throughout. */
void tg_attention_close(struct tg_attention *a);

#endif
