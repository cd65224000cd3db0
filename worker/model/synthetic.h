/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_SYNTHETIC_H
#define TG_WORKER_MODEL_SYNTHETIC_H

#include <stdint.h>

#include "base/error.h"
#include "worker/model/gguf_writer.h"
#include "worker/model/model.h"
#include "worker/probe/pool.h"

/*
 * Models without training: a GGUF file of the shape of a row of models.def, with random weights and
 * a small tokenizer. What it generates means nothing; what it costs to run is what a real model of
 * the shape costs. The key `tritgate.synthetic` of the file says so.
 *
 * The same shape, types and seed give the same bytes on any machine, whatever the threads.
 */

struct tg_synthetic {
    const struct tg_model *model;
    const char *ternary; /* type of the ternary matrices: I2_S, TL1, TL2, TQ1_0, TQ2_0 */
    const char *head;    /* type of embedding and head: F16, BF16, F32, Q8_0, Q6_K */
    uint64_t seed;
};

/*
 * The type that a model has if none is said: I2_S, or TL2 where not all columns are whole groups of
 * I2_S, as in the published file of bitnet-3b.
 */
const char *tg_synthetic_ternary(const struct tg_model *model);

/* Bytes of the file. Fails where the types cannot have the shape. */
int tg_synthetic_bytes(const struct tg_synthetic *what, int64_t *bytes, struct tg_error *err);

/*
 * Writes the file: first beside it (worker/model/part_file.h), then in its place, so that it is
 * there whole or not at all. Takes less than 200 MiB of memory. Fails, too, if the disk has not
 * enough room left.
 */
int tg_synthetic_write(const struct tg_synthetic *what, struct tg_pool *pool, const char *path,
                       struct tg_error *err);

/*
 * The values of a byte-level BPE tokenizer (model gpt2): the 256 bytes, then pairs, triples and so
 * on of letters, each made by a merge, until there are `vocabulary` tokens, of which the last two
 * begin and end a text.
 */
void tg_synthetic_tokenizer(struct tg_gguf_writer *w, int64_t vocabulary);

#endif
