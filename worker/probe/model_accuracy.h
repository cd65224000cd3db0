/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PROBE_MODEL_ACCURACY_H
#define TG_WORKER_PROBE_MODEL_ACCURACY_H

#include <stdint.h>

#include "base/error.h"

/* How far logits are from those of a reference, over positions of a text. */

struct tg_model_accuracy {
    double cosine;     /* the least over positions */
    double agreement;  /* share of positions with the same best token */
    double divergence; /* nats, the mean over positions: sum of p ln(p / q), p the reference's */
};

/*
 * Compares two sets of logits, `positions` x `vocabulary` each. A position where one of them is not
 * finite has a cosine of -1, no agreement, and an infinite divergence.
 */
void tg_model_accuracy_compare(const float *logits, const float *reference, int64_t positions,
                               int64_t vocabulary, struct tg_model_accuracy *accuracy);

#endif
