/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_TOKEN_TABLE_H
#define TG_WORKER_MODEL_TOKEN_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "worker/model/gguf.h"

/*
 * A number for each text: the tokens of a vocabulary, and the ranks of merges. Texts are of the
 * file, and stay there.
 *
 *   create (for so many) -> add ... -> find ... -> destroy
 */

struct tg_token_table;

/* NULL when there is no memory. */
struct tg_token_table *tg_token_table_create(size_t most, struct tg_error *err);

/* Of two equal texts the later one counts. At most as many as were said. */
void tg_token_table_add(struct tg_token_table *table, struct tg_gguf_text text, int32_t number);

/* The number of a text, or -1. */
int32_t tg_token_table_find(const struct tg_token_table *table, struct tg_gguf_text text);

/* The same of "<left> <right>", the way merges are written. */
int32_t tg_token_table_find_pair(const struct tg_token_table *table, struct tg_gguf_text left,
                                 struct tg_gguf_text right);

/* Accepts NULL. */
void tg_token_table_destroy(struct tg_token_table *table);

#endif
