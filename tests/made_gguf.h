/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_MADE_GGUF_H
#define TG_TESTS_MADE_GGUF_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fill.h"
#include "kernels/format.h"
#include "kernels/number.h"
#include "worker/model/gguf_writer.h"
#include "worker/model/model.h"
#include "worker/model/network.h"
#include "worker/model/synthetic.h"

/* A tiny model in memory, as a file that others wrote might have it; tests spoil it. */

struct made_gguf {
    const char *architecture; /* default bitnet-b1.58 */
    const char *ternary;      /* type of the ternary matrices, default I2_S */
    const char *layout;       /* in which they lie, default i2s */
    const char *down;         /* type of ffn_down, default that of all */
    const char *head;         /* type of the embedding, default F16 */
    const char *extra;        /* a tensor that no model has, or NULL */
    const char *key;          /* of the architecture, as "rope.scaling.factor", or NULL: */
    const char *text;         /* a text, or NULL: */
    float value;              /* a number, or false where it is 0 */
    int has_output, has_no_sub_norms;
    int ffn, heads, key_value_heads; /* default MADE_FFN, MADE_HEADS and 2 */
    int vocabulary;                  /* default MADE_VOCABULARY */
    int tokens;                      /* of its text, as a synthetic model has them; 0: none */

    void (*write_tokens)(struct tg_gguf_writer *writer); /* another vocabulary, or NULL */

    uint8_t *bytes;
    size_t size;
};

enum { MADE_HIDDEN = 256, MADE_FFN = 512, MADE_BLOCKS = 2, MADE_HEADS = 4, MADE_VOCABULARY = 96 };

struct made_tensor {
    char name[64];
    const struct tg_tensor_type *type;
    int64_t rows, cols;
};

static inline void made_metadata(const struct made_gguf *m, struct tg_gguf_writer *w)
{
    const struct {
        const char *key;
        uint64_t value;
    } counts[] = {{"embedding_length", MADE_HIDDEN},
                  {"feed_forward_length", (uint64_t)m->ffn},
                  {"block_count", MADE_BLOCKS},
                  {"attention.head_count", (uint64_t)m->heads},
                  {"attention.head_count_kv", (uint64_t)m->key_value_heads},
                  {"context_length", 64},
                  {"rope.dimension_count", (uint64_t)(MADE_HIDDEN / m->heads)},
                  {"vocab_size", (uint64_t)m->vocabulary}};
    char key[128];
    tg_gguf_writer_text(w, "general.architecture", m->architecture);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        snprintf(key, sizeof key, "%s.%s", m->architecture, counts[i].key);
        tg_gguf_writer_count(w, key, TG_GGUF_UINT32, counts[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", m->architecture);
    tg_gguf_writer_real(w, key, 1e-5f);
    snprintf(key, sizeof key, "%s.rope.freq_base", m->architecture);
    tg_gguf_writer_real(w, key, 500000.0f);
    snprintf(key, sizeof key, "%s.%s", m->architecture, m->key ? m->key : "");
    if (m->key && m->text)
        tg_gguf_writer_text(w, key, m->text);
    else if (m->key && m->value == 0)
        tg_gguf_writer_count(w, key, TG_GGUF_BOOL, 0);
    else if (m->key)
        tg_gguf_writer_real(w, key, m->value);
}

static inline size_t made_list(const struct made_gguf *m, struct made_tensor *list)
{
    const struct tg_network shape = {.hidden = MADE_HIDDEN,
                                     .ffn = m->ffn,
                                     .heads = m->heads,
                                     .key_value_heads = m->key_value_heads,
                                     .head_dimension = MADE_HIDDEN / m->heads};
    const struct {
        const char *name;
        int cols;
    } norms[] = {{"attn_norm", MADE_HIDDEN},
                 {"ffn_norm", MADE_HIDDEN},
                 {"attn_sub_norm", MADE_HIDDEN},
                 {"ffn_sub_norm", m->ffn}};
    const struct tg_tensor_type *f32 = tg_tensor_type_find("F32");
    const struct tg_tensor_type *head = tg_tensor_type_find(m->head);
    size_t count = 0;
    list[count++] = (struct made_tensor){"token_embd.weight", head, m->vocabulary, MADE_HIDDEN};
    if (m->has_output)
        list[count++] = (struct made_tensor){"output.weight", head, m->vocabulary, MADE_HIDDEN};
    list[count++] = (struct made_tensor){"output_norm.weight", f32, 0, MADE_HIDDEN};
    for (int i = 0; i < MADE_BLOCKS; i++) {
        for (int k = 0; k < (m->has_no_sub_norms ? 2 : 4); k++) {
            struct made_tensor *t = &list[count++];
            *t = (struct made_tensor){"", f32, 0, norms[k].cols};
            snprintf(t->name, sizeof t->name, "blk.%d.%s.weight", i, norms[k].name);
        }
        for (int layer = 0; layer < TG_LAYERS; layer++) {
            struct made_tensor *t = &list[count++];
            const char *type = layer == TG_LAYER_ffn_down && m->down ? m->down : m->ternary;
            *t = (struct made_tensor){"", tg_tensor_type_find(type), 0, 0};
            tg_network_shape(&shape, layer, &t->rows, &t->cols);
            snprintf(t->name, sizeof t->name, "blk.%d.%s.weight", i, tg_model_layer((size_t)layer));
        }
    }
    if (m->extra) {
        list[count] = (struct made_tensor){"", f32, 0, 8};
        snprintf(list[count].name, sizeof list[count].name, "%s", m->extra);
        count++;
    }
    return count;
}

static inline void made_put_float(uint8_t *to, float value)
{
    memcpy(to, &value, sizeof value);
}

/* The numbers of a tensor, from its place in the list. */
static inline void made_fill(const struct made_gguf *m, const struct made_tensor *t, size_t seed,
                             uint8_t *to)
{
    const int64_t rows = t->rows ? t->rows : 1, count = rows * t->cols;
    float *values = calloc((size_t)count, sizeof *values);
    int8_t *ternary = calloc((size_t)count, 1);
    tg_fill_normal(seed, values, (size_t)count);
    tg_fill_ternary(seed, ternary, (size_t)count);
    const bool is_plain = strncmp(t->name, "blk.", 4) == 0 && t->rows &&
                          t->type->block_weights == 1;
    if (is_plain && strcmp(t->type->name, "F32") == 0) {
        for (int64_t i = 0; i < count; i++) made_put_float(to + 4 * i, 0.03f * ternary[i]);
    } else if (is_plain) {
        static const uint16_t half[] = {0xa800, 0x8000, 0x2800}, /* 1/32, and the negative zero */
            upper[] = {0xbd00, 0, 0x3d00};
        const bool is_half = strcmp(t->type->name, "F16") == 0;
        for (int64_t i = 0; i < count; i++)
            memcpy(to + 2 * i, &(is_half ? half : upper)[ternary[i] + 1], sizeof *half);
    } else if (strcmp(t->type->name, "F32") == 0) {
        for (int64_t i = 0; i < count; i++) made_put_float(to + 4 * i, 1 + values[i] / 8);
    } else if (strcmp(t->type->name, "F16") == 0) {
        for (int64_t i = 0; i < count; i++) {
            const uint16_t bits = tg_number_to_f16(values[i]);
            memcpy(to + 2 * i, &bits, sizeof bits);
        }
    } else if (t->type->block_weights > 1 && strcmp(m->ternary, t->type->name) != 0) {
        const int64_t size = t->type->block_bytes; /* codes as they come, scales that are small */
        for (int64_t i = 0; i < tg_tensor_type_bytes(t->type, rows, t->cols); i++)
            to[i] = (uint8_t)(values[i % count] * 64);
        const int64_t scale = size == 210 ? 208 : size == 110 ? 108 : size == 66 ? 64 : 0;
        for (int64_t at = 0; at < tg_tensor_type_bytes(t->type, rows, t->cols); at += size) {
            memcpy(to + at + scale, "\0\x20", 2);
            if (size == 144) memcpy(to + at + 2, "\0\x20", 2); /* Q4_K: of offsets, too */
        }
    } else {
        const int64_t scale = tg_tensor_type_scale_at(t->type, rows, t->cols);
        const struct tg_format *layout = tg_format_find(m->layout);
        const int64_t room = tg_tensor_type_bytes(t->type, rows, t->cols);
        const int64_t packed = layout->packed_bytes(rows, t->cols);
        uint8_t *codes = malloc((size_t)packed);
        assert_non_null(codes);
        layout->pack(ternary, rows, t->cols, codes);
        memcpy(to, codes, (size_t)(packed < room ? packed : room));
        free(codes);
        for (int64_t at = t->type->block_bytes;
             at > 0 && at <= tg_tensor_type_bytes(t->type, rows, t->cols);
             at += t->type->block_bytes)
            memcpy(to + at - 2, "\0\x28", 2); /* 1/32 */
        if (scale >= 0) made_put_float(to + scale, 0.03f + 0.001f * (float)(seed % 7));
    }
    free(values);
    free(ternary);
}

static inline void made_gguf(struct made_gguf *m)
{
    struct tg_error err;
    struct made_tensor list[64];
    const uint8_t *head;
    size_t head_size, at;
    if (!m->architecture) m->architecture = "bitnet-b1.58";
    if (!m->ternary) m->ternary = "I2_S";
    if (!m->layout) m->layout = "i2s";
    if (!m->head) m->head = "F16";
    if (!m->ffn) m->ffn = MADE_FFN;
    if (!m->heads) m->heads = MADE_HEADS;
    if (!m->key_value_heads) m->key_value_heads = 2;
    if (!m->vocabulary) m->vocabulary = MADE_VOCABULARY;
    struct tg_gguf_writer *w = tg_gguf_writer_create(32, &err);
    assert_non_null(w);
    made_metadata(m, w);
    if (m->write_tokens) m->write_tokens(w);
    if (m->tokens) tg_synthetic_tokenizer(w, m->tokens);
    const size_t count = made_list(m, list);
    for (size_t i = 0; i < count; i++)
        assert_true(
            tg_gguf_writer_tensor(w, list[i].name, list[i].type, list[i].rows, list[i].cols) > 0);
    assert_int_equal(tg_gguf_writer_finish(w, &head, &head_size, &err), 0);
    m->size = head_size;
    for (size_t i = 0; i < count; i++)
        m->size += (size_t)(tg_tensor_type_bytes(list[i].type, list[i].rows ? list[i].rows : 1,
                                                 list[i].cols) +
                            31) /
                   32 * 32;
    m->bytes = calloc(m->size, 1);
    assert_non_null(m->bytes);
    memcpy(m->bytes, head, head_size);
    at = head_size;
    for (size_t i = 0; i < count; i++) {
        made_fill(m, &list[i], i + 1, m->bytes + at);
        at += (size_t)(tg_tensor_type_bytes(list[i].type, list[i].rows ? list[i].rows : 1,
                                            list[i].cols) +
                       31) /
              32 * 32;
    }
    tg_gguf_writer_destroy(w);
}

/* The place in the bytes where these stand, which must be there; `from` is where to begin. */
static inline uint8_t *made_find(struct made_gguf *m, const char *bytes)
{
    uint8_t *found = memmem(m->bytes, m->size, bytes, strlen(bytes));
    assert_non_null(found);
    return found;
}

static inline void made_write(const struct made_gguf *m, const char *path)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(m->bytes, 1, m->size, file), m->size);
    assert_int_equal(fclose(file), 0);
}

#endif
