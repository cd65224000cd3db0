/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_CHOOSE_H
#define TG_WORKER_MODEL_CHOOSE_H

#include <stdint.h>

#include "base/error.h"

/*
 * Which token comes next: the best, or one that is drawn. The same logits, numbers and seed give
 * the same token on any machine.
 */

struct tg_choice {
    double temperature; /* 0: the best token, of equal ones the first */
    int64_t top_k;      /* draw from that many of the best; 0: from all */
    double top_p;       /* and of these from the fewest whose shares sum up to so much, 0..1 */
    uint64_t seed;      /* changes with each draw */
};

/* A token of the vocabulary, or -1: a logit is not finite, or there is no memory. */
int32_t tg_choose_token(const float *logits, int64_t vocabulary, struct tg_choice *choice,
                        struct tg_error *err);

/* Fails if a logit is not finite, as where weights are not: such a model chooses nothing. */
int tg_choose_check(const float *logits, int64_t vocabulary, struct tg_error *err);

/* The best token, of equal ones the first. What is no number is never the best; where there is
 * nothing else it is token 0. */
int32_t tg_choose_best(const float *logits, int64_t vocabulary);

#endif
