/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/model.h"

#include <stdio.h>
#include <string.h>

static const struct tg_model models[] = {
#define MODEL(name, hidden, ffn, layers, heads, kv, dimension, vocabulary, architecture, base,     \
              context, is_tied, has_sub_norms, source)                                             \
    {#name,        hidden, ffn,     layers,  heads,         kv,    dimension, vocabulary,          \
     architecture, base,   context, is_tied, has_sub_norms, source},
#include "worker/model/models.def"
#undef MODEL
};

static const char *const layer_names[] = {
#define LAYER(name, rows, cols) #name,
#include "worker/model/layers.def"
#undef LAYER
};

const struct tg_model *tg_model_find(const char *name)
{
    for (size_t i = 0; i < tg_model_count(); i++)
        if (strcmp(models[i].name, name) == 0) return &models[i];
    return NULL;
}

size_t tg_model_count(void)
{
    return sizeof models / sizeof *models;
}

const struct tg_model *tg_model_at(size_t i)
{
    return &models[i];
}

size_t tg_model_layer_count(void)
{
    return sizeof layer_names / sizeof *layer_names;
}

const char *tg_model_layer(size_t i)
{
    return layer_names[i];
}

int tg_model_shape(const char *model, const char *layer, int64_t *rows, int64_t *cols,
                   struct tg_error *err)
{
    unsigned long long r, c;
    char end;
    if (strspn(layer, "0123456789x") == strlen(layer) &&
        sscanf(layer, "%8llux%8llu%c", &r, &c, &end) == 2 && r > 0 && c > 0) {
        *rows = (int64_t)r;
        *cols = (int64_t)c;
        return 0;
    }
    if (!*layer) return tg_fail(err, "a layer is missing");
    if (!*model) return tg_fail(err, "layer '%s' is of no model: model= is missing", layer);
    const struct tg_model *m = tg_model_find(model);
    if (!m) return tg_fail(err, "no such model '%s'", model);
    const int64_t hidden = m->hidden, ffn = m->ffn, heads = m->heads;
    const int64_t key_value_heads = m->key_value_heads, head_dimension = m->head_dimension;
#define LAYER(name, row_count, col_count)                                                          \
    if (strcmp(layer, #name) == 0) {                                                               \
        *rows = row_count;                                                                         \
        *cols = col_count;                                                                         \
        return 0;                                                                                  \
    }
#include "worker/model/layers.def"
#undef LAYER
    return tg_fail(err, "no such layer '%s'", layer);
}

int tg_model_weights(const char *model, const char *layer, int64_t *weights, struct tg_error *err)
{
    const struct tg_model *m = tg_model_find(model);
    int64_t rows, cols, total = 0;
    if (*layer) {
        if (tg_model_shape(model, layer, &rows, &cols, err) < 0) return -1;
        *weights = rows * cols;
        return 0;
    }
    if (!m) return tg_fail(err, "no such model '%s'", model);
    for (size_t i = 0; i < tg_model_layer_count(); i++) {
        if (tg_model_shape(model, tg_model_layer(i), &rows, &cols, err) < 0) return -1;
        total += m->layers * rows * cols;
    }
    *weights = total;
    return 0;
}
