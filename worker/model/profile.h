/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_PROFILE_H
#define TG_WORKER_MODEL_PROFILE_H

#include <stddef.h>
#include <stdint.h>

/* What of a whole model a cell times, by name: the axis `profile`, declared in profiles.def. */

enum tg_profile_call {
    TG_CALL_PREFILL, /* the prompt, of an empty context */
    TG_CALL_TOKEN,   /* one token, at positions all over those behind the prompt */
    TG_CALL_TEXT,    /* a text to tokens, its prefill, and the choice of the first token */
    TG_CALL_WHOLE,   /* the prompt and all new tokens */
    TG_CALL_NONE     /* nothing is timed */
};

struct tg_profile {
    const char *name;
    enum tg_profile_call call;
    int64_t prompt, tokens; /* of the prompt, and behind it */
    int64_t batch;          /* tokens of the prompt that are computed together at most */
    const char *metric;     /* that its samples give */
    const char *meaning;
};

/* The row of profiles.def of that name, or NULL. */
const struct tg_profile *tg_profile_find(const char *name);

/* The rows in order; tg_profile_at(i) for i < tg_profile_count(). */
size_t tg_profile_count(void);
const struct tg_profile *tg_profile_at(size_t i);

/* Tokens that one call computes: those that a rate counts. */
int64_t tg_profile_call_tokens(const struct tg_profile *profile);

/* Tokens of the batches in which its prompt is computed: of the first, and of the last where that
 * has fewer; else 0. */
enum { TG_PROFILE_BATCHES = 2 };
void tg_profile_batches(const struct tg_profile *profile, int64_t batches[TG_PROFILE_BATCHES]);

/* Positions of the context that it needs. */
int64_t tg_profile_context(const struct tg_profile *profile);

#endif
