/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_FORWARD_DEVICE_H
#define TG_WORKER_MODEL_FORWARD_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "worker/model/forward.h"
#include "worker/model/network.h"
#include "worker/model/weights.h"

/*
 * The forward pass of forward.h on a device, with weights, keys and values in its memory. The host
 * needs no row.
 *
 *   open -> run (a prompt) -> generate, or run (one token), run, ... -> rewind -> run ... -> close
 *
 * What is computed is what forward.h says, with sums in another order: logits are those of the host
 * but for the rounding of float, and a number that is nearly halfway between two int8 may become
 * the other one. The same tokens in the same batches give the same bits each time.
 *
 * A device that fails while it computes ends the process with one line on stderr, as
 * worker/probe/device.h has it.
 */

/* Where time goes, in seconds of the host's clock, summed up over calls. */
struct tg_forward_device_times {
    double load;     /* matrices, norms, head to the device */
    double copy_in;  /* tokens to the device */
    double prompt;   /* tokens of a batch, with the head of the last */
    double step;     /* single tokens, with their heads */
    double copy_out; /* logits and tokens back */
};

struct tg_forward_device {
    const char *name;

    /*
     * The first device that the process may use. Matrices must be packed as i2s, embedding and
     * head be F16; options->is_wide, is_plain and vector are the host's alone. Network and weights
     * are the caller's and stay until close.
     */
    int (*open)(const struct tg_network *network, const struct tg_weights *weights,
                const struct tg_forward_options *options, void **state, struct tg_error *err);

    /* As tg_forward_run. */
    int (*run)(void *state, const int32_t *tokens, int64_t count, float *logits, int64_t wanted,
               struct tg_error *err);

    /*
     * Computes `count` more tokens, each of them that of the largest logit behind the one before,
     * of equal ones the first: to begin with, behind the last run. tokens[i] becomes the choice
     * behind the i-th of these, so that the last is what the next call begins with. Nothing of the
     * host is waited for in between. Fails where no run came before, and where the context has no
     * room.
     */
    int (*generate)(void *state, int64_t count, int32_t *tokens, struct tg_error *err);

    /* The choice behind the last token that was run, as of generate; fails likewise. */
    int (*choice)(void *state, int32_t *token, struct tg_error *err);

    /* The logits of the last token that was run; in no time that is told. */
    void (*logits)(void *state, float *logits);

    int64_t (*position)(const void *state);
    void (*rewind)(void *state, int64_t position);

    /*
     * As tg_forward_revisit. What comes next may also be generate: it begins with the token that
     * was run, or chosen, at this position before.
     */
    void (*revisit)(void *state, int64_t position);

    /*
     * The product of a batch by itself, with the matrix (b * TG_LAYERS + l of the weights) as it
     * lies in the device's memory: results[t * rows + row]. At most as many tokens as a batch has.
     */
    void (*multiply)(void *state, int64_t matrix, const int8_t *activations, int64_t tokens,
                     int32_t *results);

    struct tg_forward_device_times (*times)(const void *state);

    /* Bytes that one token at this position reads: matrices, head, keys and values. */
    int64_t (*token_bytes)(const void *state, int64_t position);

    /* Bytes of the device's memory that it has. */
    int64_t (*bytes)(const void *state);

    /* Bytes of the device's memory that are taken, by whomever; -1 if that is unknown. */
    int64_t (*taken_bytes)(const void *state);

    /* Accepts NULL. */
    void (*close)(void *state);
};

/* What any device asks of a model: matrices packed as i2s, and numbers of 16 bits for the rest. */
int tg_forward_device_check(const struct tg_network *network, const struct tg_weights *weights,
                            const struct tg_forward_options *options, struct tg_error *err);

/* The row of forward_devices.def of that name, or NULL. */
const struct tg_forward_device *tg_forward_device_find(const char *name);

/* The rows, each in its forward_<name>.c or .cu. */
#define FORWARD(name) extern const struct tg_forward_device tg_forward_device_##name;
#include "worker/model/forward_devices.def"
#undef FORWARD

#endif
