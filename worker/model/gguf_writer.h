/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_GGUF_WRITER_H
#define TG_WORKER_MODEL_GGUF_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "worker/model/gguf.h"

/*
 * The head of a GGUF file (version 3), built in memory:
 *
 *   create -> values, in the order of the file -> tensors -> finish -> destroy
 *
 * Behind the head come the tensors' bytes in the order in which they were named, each filled up to
 * the alignment: who writes the file writes those. Out of memory is told by finish.
 */

struct tg_gguf_writer;

/* `alignment` is a power of two, and written if it is not 32. NULL when there is no memory. */
struct tg_gguf_writer *tg_gguf_writer_create(uint64_t alignment, struct tg_error *err);

/* One value; of a kind of integers for count, FLOAT32 for real. */
void tg_gguf_writer_count(struct tg_gguf_writer *w, const char *key, enum tg_gguf_kind kind,
                          uint64_t value);
void tg_gguf_writer_real(struct tg_gguf_writer *w, const char *key, float value);
void tg_gguf_writer_text(struct tg_gguf_writer *w, const char *key, const char *text);

/* An array of `count`: its elements follow, by the functions below. */
void tg_gguf_writer_array(struct tg_gguf_writer *w, const char *key, enum tg_gguf_kind kind,
                          uint64_t count);
void tg_gguf_writer_add_text(struct tg_gguf_writer *w, const void *bytes, uint64_t size);
void tg_gguf_writer_add_count(struct tg_gguf_writer *w, enum tg_gguf_kind kind, uint64_t value);
void tg_gguf_writer_add_real(struct tg_gguf_writer *w, float value);

/*
 * A tensor of rows x cols, or of cols if rows is 0. Returns the bytes that its type has for it, and
 * -1 if there is no such matrix.
 */
int64_t tg_gguf_writer_tensor(struct tg_gguf_writer *w, const char *name,
                              const struct tg_tensor_type *type, int64_t rows, int64_t cols);

/* The bytes of the head, which are the writer's, filled up to the alignment. */
int tg_gguf_writer_finish(struct tg_gguf_writer *w, const uint8_t **bytes, size_t *size,
                          struct tg_error *err);

/* Accepts NULL. */
void tg_gguf_writer_destroy(struct tg_gguf_writer *w);

#endif
