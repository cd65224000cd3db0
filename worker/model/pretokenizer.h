/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_PRETOKENIZER_H
#define TG_WORKER_MODEL_PRETOKENIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "worker/model/gguf.h"

/*
 * How text is cut into words before the bytes of each are merged: open (a row of pretokenizers.def
 * by its name) -> cut -> close. The only door to PCRE2.
 *
 * Patterns are tried on what is UTF-8; bytes that are not are pieces of their own. The pieces in
 * their order are the text again.
 */

struct tg_pretokenizer;

/* Takes in a piece; a failure ends the cutting. */
typedef int (*tg_pretokenizer_fn)(void *context, struct tg_gguf_text piece, struct tg_error *err);

int tg_pretokenizer_open(const char *name, struct tg_pretokenizer **pretokenizer,
                         struct tg_error *err);

/* Whether a piece that is a token as a whole is taken so; whether a text begins with bos. */
bool tg_pretokenizer_takes_whole(const struct tg_pretokenizer *pretokenizer);
bool tg_pretokenizer_has_bos(const struct tg_pretokenizer *pretokenizer);

int tg_pretokenizer_cut(const struct tg_pretokenizer *pretokenizer, struct tg_gguf_text text,
                        tg_pretokenizer_fn fn, void *context, struct tg_error *err);

/*
 * Bytes of the UTF-8 character with which a text, which is not empty, begins; 0 if it is none
 * (RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF).
 */
size_t tg_pretokenizer_character(struct tg_gguf_text text);

/* Accepts NULL. */
void tg_pretokenizer_close(struct tg_pretokenizer *pretokenizer);

#endif
