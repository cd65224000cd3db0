/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_TOKEN_LIST_H
#define TG_WORKER_MODEL_TOKEN_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "worker/model/gguf.h"
#include "worker/model/token_table.h"

/* The vocabulary of a file: its tokens in order, and the id of each text. Read, then released. */

/* What a token is (tokenizer.ggml.token_type), as llama.cpp numbers it. */
enum tg_token_kind {
    TG_TOKEN_NORMAL = 1,
    TG_TOKEN_UNKNOWN,
    TG_TOKEN_CONTROL,      /* meant by its id only, unless names of specials are asked for */
    TG_TOKEN_USER_DEFINED, /* its text is always this token */
    TG_TOKEN_UNUSED,
    TG_TOKEN_BYTE
};

struct tg_token {
    struct tg_gguf_text text;
    float score;
    enum tg_token_kind kind;
};

struct tg_token_list {
    struct tg_token *tokens;
    size_t count;
    struct tg_token_table *table;
};

/*
 * Reads tokenizer.ggml.tokens, token_type (all normal without it) and scores (0 without them,
 * unless they are needed). Nothing to release after a failure.
 */
int tg_token_list_read(const struct tg_gguf *gguf, bool needs_scores, struct tg_token_list *list,
                       struct tg_error *err);

/* May be called on what was never read, if it was 0 throughout. */
void tg_token_list_release(struct tg_token_list *list);

/* An array of a file of so many elements (0: any); *out is NULL where it may be missing and is. */
int tg_token_list_array(const struct tg_gguf *gguf, const char *key, bool is_optional,
                        uint64_t count, const struct tg_gguf_value **out, struct tg_error *err);

#endif
