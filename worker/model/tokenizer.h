/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_TOKENIZER_H
#define TG_WORKER_MODEL_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "worker/model/gguf.h"

/*
 * Text to tokens and back, by the vocabulary of a GGUF file:
 *
 *   tg_gguf_open -> open -> encode, decode, ... -> close -> tg_gguf_close
 *
 * Two kinds are read (tokenizer.ggml.model): `gpt2`, byte-level BPE, whose text is first cut by a
 * pattern (tokenizer.ggml.pre, a row of pretokenizers.def), and `llama`, as SentencePiece has it,
 * with a score for each token and a token for each byte. What is encoded and decoded again is the
 * same bytes, whatever they are, but for bytes that a vocabulary of the kind `gpt2` lacks.
 *
 * Sources: GPT-2 (Radford et al. 2019) for bytes as characters; SentencePiece, Kudo and Richardson,
 * EMNLP 2018, arXiv:1808.06226.
 */

struct tg_tokenizer;

struct tg_tokens {
    int32_t *ids;
    size_t count, room;
};

int tg_tokenizer_open(const struct tg_gguf *gguf, struct tg_tokenizer **tokenizer,
                      struct tg_error *err);

/* Tokens of the vocabulary; that which begins and that which ends a text, or -1. */
int64_t tg_tokenizer_count(const struct tg_tokenizer *tokenizer);
int32_t tg_tokenizer_bos(const struct tg_tokenizer *tokenizer);
int32_t tg_tokenizer_eos(const struct tg_tokenizer *tokenizer);

/*
 * Whether a token ends what is generated, the last of a text or of a turn: by its id, or by
 * one of the names that models have for it, if it is no word.
 */
bool tg_tokenizer_is_end(const struct tg_tokenizer *tokenizer, int32_t id);

/*
 * Appends the tokens of a text. With has_specials, names of control tokens that stand in the text
 * ("<|eot_id|>") become these tokens, and the token that begins a text comes first if the
 * vocabulary wants it.
 */
int tg_tokenizer_encode(const struct tg_tokenizer *tokenizer, const char *text, size_t size,
                        bool has_specials, struct tg_tokens *tokens, struct tg_error *err);

/*
 * The bytes of tokens that stand behind the token `before` (-1: they begin a text), allocated, with
 * a zero byte behind them; the caller frees. Control tokens are left out unless has_specials.
 */
int tg_tokenizer_decode(const struct tg_tokenizer *tokenizer, int32_t before, const int32_t *ids,
                        size_t count, bool has_specials, char **text, size_t *size,
                        struct tg_error *err);

void tg_tokens_release(struct tg_tokens *tokens);

/* Accepts NULL. */
void tg_tokenizer_close(struct tg_tokenizer *tokenizer);

#endif
