/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PROBE_MODEL_CHECK_H
#define TG_WORKER_PROBE_MODEL_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "worker/model/profile.h"
#include "worker/model/session.h"

/*
 * Whether the ternary products of a whole model are right: each matrix as it was packed, by the
 * kernels that the model runs with (for one token, for two, and for the batches of its prompt), in
 * the ranges of rows that its threads have, against the exact reference on the weights of the file.
 * Of the two tokens one is random, the other has small numbers among runs of zeros. All that a
 * model computes besides is this program's own. On a device the matrices are those in its memory,
 * and the kernel is that of batches.
 */

struct tg_model_check {
    int64_t first_block, blocks;         /* which are checked */
    uint64_t seed;                       /* of the activations */
    int64_t batches[TG_PROFILE_BATCHES]; /* tokens of each; none has more than the session's */
    int64_t checked;                     /* out: results that were compared */
    char reason[160];                    /* out: the first that differs, "" if none does */
};

/* Fails only without memory. */
int tg_model_check_products(const struct tg_session *session, struct tg_model_check *check,
                            struct tg_error *err);

#endif
