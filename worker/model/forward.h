/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_FORWARD_H
#define TG_WORKER_MODEL_FORWARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "kernels/vector.h"
#include "worker/model/network.h"
#include "worker/model/weights.h"
#include "worker/probe/pool.h"

/*
 * The forward pass: tokens in, logits out, with the keys and values of earlier tokens kept.
 *
 *   open -> run (a prompt, in batches) -> run (one token), run, ... -> rewind -> run ... -> close
 *
 * What is computed is W1.58A8: activations become int8 for each token before each ternary product
 * (kernels/vector.h), the product is exact, and its results are divided by the activations' scale
 * and multiplied by the weights'. All else is float, in the order that kernels/vector.h fixes, and
 * every number is made by one thread: the same tokens give the same bits for any number of threads
 * and any kernel, and for a prompt in one batch or token by token.
 *
 * Sources: BitNet b1.58, Ma et al. 2024, arXiv:2402.17764; RoPE, Su et al. 2021, arXiv:2104.09864;
 * grouped-query attention, Ainslie et al. 2023, arXiv:2305.13245.
 */

struct tg_forward;

struct tg_forward_options {
    int64_t context;                /* tokens that are kept at most */
    int64_t batch;                  /* tokens that are computed together at most */
    bool is_wide;                   /* keys and values are float32, else float16 */
    const struct tg_vector *vector; /* NULL: the widest of this machine */
    bool is_plain; /* activations are not rounded to int8: a reference, and far slower */
    const struct tg_kernel *product; /* of batches on a device; NULL: a fast one of the program's */
};

/* Where time goes, in seconds, summed up over runs. */
struct tg_forward_times {
    double prepare;   /* embedding, norms, int8 activations */
    double products;  /* ternary products, with scales and gates */
    double attention; /* RoPE, keys and values, scores, mixing */
    double head;
};

/* What a watcher is shown, in the order of a block. Values are float, or int8 where they are so. */
enum tg_forward_point {
    TG_POINT_INPUT,       /* x: tokens x hidden */
    TG_POINT_ATTN_INPUT,  /* int8: tokens x hidden */
    TG_POINT_ATTN_OUTPUT, /* int8: tokens x heads * head dimension */
    TG_POINT_FFN_INPUT,   /* int8: tokens x hidden */
    TG_POINT_FFN_DOWN,    /* int8: tokens x ffn */
    TG_POINT_RESULT       /* x after the block */
};

/*
 * Sees values between stages, and may change them: for tests, which feed each block with what a
 * reference had. `scales` has one number a token where values are int8, else it is NULL.
 */
typedef void (*tg_forward_watch)(void *context, int64_t block, enum tg_forward_point point,
                                 void *values, float *scales, int64_t tokens, int64_t width);

/* Weights, network and pool are the caller's, and stay until close. */
int tg_forward_open(const struct tg_network *network, const struct tg_weights *weights,
                    struct tg_pool *pool, const struct tg_forward_options *options,
                    struct tg_forward **forward, struct tg_error *err);

/*
 * Computes `count` more tokens, and the logits of the last `wanted` of them (wanted x vocabulary).
 * Fails where a token is not in the vocabulary, or no room is left in the context.
 */
int tg_forward_run(struct tg_forward *forward, const int32_t *tokens, int64_t count, float *logits,
                   int64_t wanted, struct tg_error *err);

/* Tokens that are kept; forgets those from `position` on. */
int64_t tg_forward_position(const struct tg_forward *forward);
void tg_forward_rewind(struct tg_forward *forward, int64_t position);

/*
 * Goes to any position up to which tokens were computed before. Keys and values from there on are
 * those of these tokens: the caller computes the same ones again, or none behind them.
 */
void tg_forward_revisit(struct tg_forward *forward, int64_t position);

/* NULL for none. */
void tg_forward_set_watch(struct tg_forward *forward, tg_forward_watch watch, void *context);

struct tg_forward_times tg_forward_times(const struct tg_forward *forward);

/* Bytes that one token at this position reads: matrices, head, keys and values. */
int64_t tg_forward_token_bytes(const struct tg_forward *forward, int64_t position);

/* Bytes of its own memory, without the weights. */
int64_t tg_forward_bytes(const struct tg_forward *forward);

/* Accepts NULL. */
void tg_forward_close(struct tg_forward *forward);

#endif
