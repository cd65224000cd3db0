/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PROBE_MODEL_HOST_H
#define TG_WORKER_PROBE_MODEL_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "worker/model/session.h"

/*
 * Whether what a device computes is what the host computes: each block of a model by itself, with
 * embedding, last norm and head, and then all of them. Their sums have another order, so an
 * activation halfway between two int8 may become the other one, and then the logits differ.
 *
 * Of one block that is little. On the 2B shape, with each of its numbers changed by 1e-7, the
 * logits of the host had a cosine of 0.99995 and more with its own; with one head of twenty set to
 * zero 0.93, with 8 of 2560 numbers of its result 0.998. So 0.999 is asked of a block. Thirty
 * blocks add up to 0.998 from the same change, which says as little as one head that is missing:
 * of all of them 0.98 is asked, which only shows that they follow each other. A cosine knows no
 * size: logits may have at most 1.1 times the norm of the host's, and no less than 1 / 1.1.
 */

enum {
    TG_MODEL_HOST_TOKENS = 8, /* half of them together and half one by one */
    TG_MODEL_HOST_LONG = 160  /* of a text that goes on: at most */
};

struct tg_model_host {
    bool is_complete; /* in: every block, and one on a text that goes on; else one block */
    uint64_t draw;    /* in: which is the one */
    int64_t together; /* in: tokens of the text that goes on that are run together, not 0 */
    int64_t checked;  /* out: logits that were compared */
    char reason[160]; /* out: the first that is too far off, "" if none is */
};

/*
 * `session` has a device; the tokens are in its vocabulary, and at most TG_MODEL_HOST_LONG. Its
 * context is empty afterwards. The text that goes on has all of them, the others the first few.
 */
int tg_model_host_compare(struct tg_session *session, const int32_t *tokens, int64_t count,
                          struct tg_model_host *host, struct tg_error *err);

#endif
