/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PROBE_MODEL_ACCURACY_H
#define TG_WORKER_PROBE_MODEL_ACCURACY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "worker/model/session.h"

/* How far logits are from those of a reference, over positions of a text. */

struct tg_model_accuracy {
    int64_t together;  /* in, of a measurement: tokens that a device has in a batch; 0: half */
    double cosine;     /* the least over positions */
    double scale;      /* norm of the logits over that of the reference's, the furthest from 1 */
    double agreement;  /* share of positions with the same best token */
    double divergence; /* nats, the mean over positions: sum of p ln(p / q), p the reference's */
};

/*
 * Compares two sets of logits, `positions` x `vocabulary` each. A position where one of them is not
 * finite has a cosine of -1, a scale of infinity, no agreement, and an infinite divergence.
 */
void tg_model_accuracy_compare(const float *logits, const float *reference, int64_t positions,
                               int64_t vocabulary, struct tg_model_accuracy *accuracy);

/*
 * Runs tokens from an empty context, and again by a pass of the host: one that does not round
 * activations if is_plain, else its own. Compares all their logits.
 */
int tg_model_accuracy_measure(struct tg_session *session, const int32_t *tokens, int64_t count,
                              bool is_plain, struct tg_model_accuracy *accuracy,
                              struct tg_error *err);

#endif
