/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/detect.h"
#include "kernels/tiles.h"
#include "worker/model/network.h"

/* Layouts and scales of ternary matrices: network.h. */

/*
 * Standard deviations that the unlikeness of rows and columns must have before it says anything:
 * one matrix in 10^9 of random weights has six.
 */
#define LEAST_DEVIATIONS 6

/* Which layouts have been written as type 36. */
static uint64_t known_as_i2s(void)
{
    static const char *const names[] = {"i2s", "i2s64", "i2sx4"};
    uint64_t set = 0;
    for (size_t i = 0; i < tg_format_count(); i++)
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            if (strcmp(tg_format_at(i)->name, names[k]) == 0) set |= UINT64_C(1) << i;
    return set;
}

static uint64_t bit_of(const struct tg_format *format)
{
    for (size_t i = 0; i < tg_format_count(); i++)
        if (tg_format_at(i) == format) return UINT64_C(1) << i;
    return 0;
}

/* Of the set, those whose columns all matrices of the network have. */
static uint64_t of_shapes(const struct tg_network *n, uint64_t set)
{
    uint64_t left = 0;
    for (size_t i = 0; i < tg_format_count(); i++) {
        bool fits = set >> i & 1;
        for (int layer = 0; layer < TG_LAYERS; layer++) {
            int64_t rows, cols;
            tg_network_shape(n, layer, &rows, &cols);
            fits = fits && cols % tg_format_at(i)->column_multiple == 0;
        }
        if (fits) left |= UINT64_C(1) << i;
    }
    return left;
}

/*
 * Fails if a matrix would need more bytes than it has before its scale: some formats fill up their
 * last rows. All blocks are alike, by tg_network_read.
 */
static int check_room(const struct tg_network *n, const struct tg_format *format,
                      struct tg_error *err)
{
    for (int layer = 0; layer < TG_LAYERS; layer++) {
        const struct tg_gguf_tensor *t = n->blocks[0].layers[layer];
        const int64_t rows = t->dimensions[1], cols = t->dimensions[0];
        if (tg_network_is_plain(t)) continue;
        const int64_t scale = tg_tensor_type_scale_at(t->type, rows, cols);
        const int64_t codes = scale < 0 ? t->bytes : scale;
        const int64_t needed = format->packed_bytes(rows, cols);
        if (needed > codes)
            return tg_fail(err,
                           "tensor '%.*s' of %" PRId64 " x %" PRId64 " has %" PRId64
                           " bytes of codes, and as %s it would have %" PRId64,
                           (int)t->name.size, t->name.bytes, rows, cols, codes, format->name,
                           needed);
    }
    return 0;
}

/* Of the set, those that all matrices have room for. Where none is left, err says why not. */
static uint64_t with_room(const struct tg_network *n, uint64_t set, struct tg_error *err)
{
    uint64_t left = 0;
    for (size_t i = 0; i < tg_format_count(); i++)
        if ((set >> i & 1) && check_room(n, tg_format_at(i), err) == 0) left |= UINT64_C(1) << i;
    return left;
}

/* The smallest matrix of the first block is looked at: all of a file are packed alike. */
static int by_weights(const struct tg_network *n, uint64_t *set, struct tg_error *err)
{
    const struct tg_gguf_tensor *t = n->blocks[0].layers[TG_LAYER_attn_k];
    const int64_t rows = t->dimensions[1], cols = t->dimensions[0];
    int8_t *scratch = malloc((size_t)(rows * cols));
    if (!scratch) return tg_fail(err, "out of memory");
    *set &= tg_detect_possible(t->data, tg_tensor_type_scale_at(t->type, rows, cols), rows, cols,
                               scratch);
    if (*set) *set = tg_detect_by_margins(*set, t->data, rows, cols, LEAST_DEVIATIONS, scratch);
    free(scratch);
    if (*set) return 0;
    return tg_fail(err, "tensor '%.*s' has codes that no layout of type 36 has", (int)t->name.size,
                   t->name.bytes);
}

static int find_i2s(const struct tg_network *n, const char *named, struct tg_network_layout *layout,
                    struct tg_error *err)
{
    const struct tg_format *usual = tg_format_find("i2s");
    uint64_t set = with_room(n, of_shapes(n, known_as_i2s()), err); /* i2sx4 has all columns */
    if (!set || by_weights(n, &set, err) < 0) return -1;
    layout->possible = set;
    if (named) {
        layout->format = tg_format_find(named);
        if (!layout->format) return tg_fail(err, "no such layout '%s'", named);
        if (set & bit_of(layout->format)) return 0;
        return tg_fail(err, "the matrices of type 36 (I2_S) cannot lie as '%s'", named);
    }
    /* Who packs a matrix as one long row never looks at its columns: such a file fits no layout. */
    if (of_shapes(n, bit_of(usual)) == 0)
        return tg_fail(err,
                       "how the matrices of type 36 (I2_S) lie is unknown: not all columns are "
                       "whole groups of %" PRId64 ", as those of published files",
                       usual->column_multiple);
    layout->format = tg_detect_only(set);
    if (layout->format) return 0;
    if (!(set & bit_of(usual)))
        return tg_fail(err, "how the matrices of type 36 (I2_S) lie is unknown: they fit several "
                            "layouts, and not that of published files");
    layout->format = usual;
    layout->is_assumed = 1;
    return 0;
}

/* TL1 and TL2 do not say their tiles: those of shapes that have been published are known. */
static bool has_known_tiles(const struct tg_network *n)
{
    for (int layer = 0; layer < TG_LAYERS; layer++) {
        int64_t rows, cols;
        tg_network_shape(n, layer, &rows, &cols);
        if (!tg_tiles_are_published(rows, cols)) return false;
    }
    return true;
}

static bool is_tq(const struct tg_tensor_type *type)
{
    return strcmp(type->name, "TQ1_0") == 0 || strcmp(type->name, "TQ2_0") == 0;
}

/* The type of all matrices, or of all that are not plain beside those of TQ; NULL if there is none.
 */
static const struct tg_tensor_type *common_type(const struct tg_network *n, struct tg_error *err)
{
    const struct tg_tensor_type *type = n->blocks[0].layers[0]->type;
    for (int64_t i = 0; i < n->layers; i++)
        for (int layer = 0; layer < TG_LAYERS; layer++)
            if (is_tq(n->blocks[i].layers[layer]->type)) type = n->blocks[i].layers[layer]->type;
    for (int64_t i = 0; i < n->layers; i++)
        for (int layer = 0; layer < TG_LAYERS; layer++) {
            const struct tg_gguf_tensor *t = n->blocks[i].layers[layer];
            if (t->type == type || (is_tq(type) && tg_network_is_plain(t))) continue;
            tg_fail(err, "some ternary matrices are %s and some %s", type->name, t->type->name);
            return NULL;
        }
    return type;
}

int tg_network_find_layout(const struct tg_network *n, const char *named,
                           struct tg_network_layout *layout, struct tg_error *err)
{
    static const struct {
        const char *type, *format;
    } rows[] = {{"TL1", "tl1"}, {"TL2", "tl2"}, {"TQ1_0", "tq1"}, {"TQ2_0", "tq2"},
                {"F32", "f32"}, {"F16", "f16"}, {"BF16", "bf16"}};
    const struct tg_tensor_type *type = common_type(n, err);
    struct tg_network_layout found = {0};
    if (!type) return -1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].type, type->name) == 0) found.format = tg_format_find(rows[i].format);
    if (!found.format) {
        if (find_i2s(n, named, &found, err) < 0) return -1;
    } else if (named && strcmp(named, found.format->name) != 0) {
        return tg_fail(err, "the matrices are %s, and cannot lie as '%s'", type->name, named);
    } else if (!is_tq(type) && of_shapes(n, bit_of(found.format)) == 0) {
        return tg_fail(err, "not all matrices have columns that %s can hold", type->name);
    } else if (check_room(n, found.format, err) < 0) {
        return -1;
    } else {
        found.is_assumed = type->name[1] == 'L' && !has_known_tiles(n);
    }
    *layout = found;
    return 0;
}

/* Blocks of TQ1_0 and TQ2_0 end with a float16 scale. Those of a ternary matrix are one number. */
static int common_scale(const struct tg_gguf_tensor *t, float *scale, struct tg_error *err)
{
    const int64_t size = t->type->block_bytes;
    float common = 0;
    for (int64_t at = size - 2; at < t->bytes; at += size) {
        const float one = tg_tensor_type_f16(tg_tensor_type_u16(t->data + at));
        if (one == common || one == 0) continue;
        if (common != 0)
            return tg_fail(err, "tensor '%.*s' has blocks of different scales, %g and %g",
                           (int)t->name.size, t->name.bytes, (double)common, (double)one);
        common = one;
    }
    *scale = common;
    return 0;
}

/* A block whose scale is 0 is zeros, whatever its codes say; only codes of zeros are read right. */
static int check_zero_blocks(const struct tg_gguf_tensor *t, struct tg_error *err)
{
    const struct tg_format *format = tg_format_find(strcmp(t->type->name, "TQ1_0") == 0 ? "tq1"
                                                                                        : "tq2");
    const int64_t size = t->type->block_bytes, cols = t->type->block_weights;
    int8_t ternary[256];
    for (int64_t at = 0; at < t->bytes; at += size) {
        if ((tg_tensor_type_u16(t->data + at + size - 2) & 0x7fff) != 0) continue;
        format->unpack(t->data + at, 1, cols, ternary);
        for (int64_t i = 0; i < cols; i++)
            if (ternary[i] != 0)
                return tg_fail(err, "tensor '%.*s' has a block of scale 0 that is not 0",
                               (int)t->name.size, t->name.bytes);
    }
    return 0;
}

int tg_network_find_scale(const struct tg_network *n, int64_t block, int layer, float *scale,
                          struct tg_error *err)
{
    const struct tg_gguf_tensor *t = n->blocks[block].layers[layer];
    const struct tg_gguf_tensor *beside = n->blocks[block].scales[layer];
    const int64_t at = tg_tensor_type_scale_at(t->type, t->dimensions[1], t->dimensions[0]);
    float found = 1, factor = 1;
    if (tg_network_is_plain(t))
        found = tg_network_plain_scale(t);
    else if (at >= 0)
        found = tg_tensor_type_f32(t->data + at);
    else if (common_scale(t, &found, err) < 0 || check_zero_blocks(t, err) < 0)
        return -1;
    if (beside) tg_tensor_type_decode(beside->type, beside->data, 1, &factor);
    found *= factor;
    if (!(found > 0) || !isfinite(found))
        return tg_fail(err, "tensor '%.*s' has the scale %g", (int)t->name.size, t->name.bytes,
                       (double)found);
    *scale = found;
    return 0;
}
