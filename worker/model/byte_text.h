/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_BYTE_TEXT_H
#define TG_WORKER_MODEL_BYTE_TEXT_H

#include <stddef.h>

#include "worker/model/gguf.h"

/*
 * How byte-level vocabularies write bytes: printable characters of Latin-1 as they are, the 68
 * others as the characters from U+0100 on, in their order; all in UTF-8, so that a vocabulary is
 * text. Source: GPT-2, Radford et al. 2019, the encoder published with it.
 */

/* Writes the character of a byte, 1 or 2 bytes, and returns how many. */
size_t tg_byte_text_write(int byte, char out[2]);

/* The byte that the character stands for with which a text begins; -1 if it stands for none. */
int tg_byte_text_read(struct tg_gguf_text text, size_t *size);

#endif
