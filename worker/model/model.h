/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_MODEL_H
#define TG_WORKER_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The models whose shapes a cell may name, and the matrices in them; with what a whole one needs.
 */

struct tg_model {
    const char *name;
    int64_t hidden, ffn, layers, heads, key_value_heads, head_dimension, vocabulary;
    const char *architecture; /* a row of architectures.def */
    double rope_base;
    int64_t context;
    bool is_tied, has_sub_norms;
    const char *source;
};

/* The row of models.def of that name, or NULL. */
const struct tg_model *tg_model_find(const char *name);

/* The rows in order; tg_model_at(i) for i < tg_model_count(). */
size_t tg_model_count(void);
const struct tg_model *tg_model_at(size_t i);

/* The names of layers.def in order; tg_model_layer(i) for i < tg_model_layer_count(). */
size_t tg_model_layer_count(void);
const char *tg_model_layer(size_t i);

/*
 * Rows (outputs) and columns (inputs) of a layer of a model, or of a shape written as "640x2560"
 * (at most 8 digits each). Fails if there is no such model or layer.
 */
int tg_model_shape(const char *model, const char *layer, int64_t *rows, int64_t *cols,
                   struct tg_error *err);

/*
 * How many ternary weights such a layer has, or, if `layer` is "", all layers of all blocks of the
 * model together. Fails as tg_model_shape does.
 */
int tg_model_weights(const char *model, const char *layer, int64_t *weights, struct tg_error *err);

#endif
