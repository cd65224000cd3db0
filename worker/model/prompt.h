/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_PROMPT_H
#define TG_WORKER_MODEL_PROMPT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "worker/model/tokenizer.h"

/*
 * What whole models are asked, the same in every run: so many tokens, or a text that has so many.
 * What it says has no part in how long it takes, but is kept so that results can be compared.
 */

/* `count` tokens of a vocabulary, drawn by a fixed seed, without its last 256 (control tokens). */
void tg_prompt_draw(int64_t vocabulary, int64_t count, int32_t *tokens);

/*
 * The shortest beginning of a fixed passage that has exactly `count` tokens: its bytes in *size of
 * `tg_prompt_passage`. Fails if no beginning has.
 */
int tg_prompt_find(const struct tg_tokenizer *tokenizer, int64_t count, size_t *size,
                   struct tg_error *err);

extern const char tg_prompt_passage[];

#endif
