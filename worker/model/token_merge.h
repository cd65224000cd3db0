/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_TOKEN_MERGE_H
#define TG_WORKER_MODEL_TOKEN_MERGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "worker/model/gguf.h"

/*
 * Merging neighbours: of all pairs of neighbouring pieces of a text, the one that is best is made
 * one piece, again and again, until no pair may be merged. Of pairs that are equally good the first
 * is taken. This is byte-pair encoding, with ranks of pairs, and what SentencePiece does, with
 * scores of what they make. n pieces take n log n steps.
 *
 * Source: Sennrich, Haddow and Birch, ACL 2016, arXiv:1508.07909.
 */

/* Whether two pieces, which lie next to each other, may be merged, and how good that is. */
typedef bool (*tg_token_merge_fn)(const void *context, struct tg_gguf_text left,
                                  struct tg_gguf_text right, double *goodness);

/*
 * Merges pieces, which lie next to each other in memory; *count becomes how many are left, in
 * order.
 */
int tg_token_merge_all(struct tg_gguf_text *pieces, size_t *count, tg_token_merge_fn fn,
                       const void *context, struct tg_error *err);

#endif
