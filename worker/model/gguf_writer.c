/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/gguf_writer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct buffer {
    uint8_t *bytes;
    size_t size, room;
};

struct tg_gguf_writer {
    uint64_t alignment, value_count, tensor_count, offset;
    struct buffer values, tensors, whole;
    bool is_out_of_memory;
};

static void put(struct tg_gguf_writer *w, struct buffer *b, const void *bytes, size_t size)
{
    if (size == 0 || w->is_out_of_memory) return;
    if (size > b->room - b->size) {
        const size_t room = 2 * (b->room + size);
        uint8_t *more = realloc(b->bytes, room);
        if (!more) {
            w->is_out_of_memory = true;
            return;
        }
        b->bytes = more;
        b->room = room;
    }
    memcpy(b->bytes + b->size, bytes, size);
    b->size += size;
}

static void put_number(struct tg_gguf_writer *w, struct buffer *b, uint64_t number, int size)
{
    uint8_t bytes[8];
    for (int i = 0; i < size; i++) bytes[i] = (uint8_t)(number >> 8 * i);
    put(w, b, bytes, (size_t)size);
}

static void put_text(struct tg_gguf_writer *w, struct buffer *b, const void *bytes, uint64_t size)
{
    put_number(w, b, size, 8);
    put(w, b, bytes, size);
}

static void key_of(struct tg_gguf_writer *w, const char *key, enum tg_gguf_kind kind)
{
    put_text(w, &w->values, key, strlen(key));
    put_number(w, &w->values, (uint64_t)kind, 4);
    w->value_count++;
}

struct tg_gguf_writer *tg_gguf_writer_create(uint64_t alignment, struct tg_error *err)
{
    struct tg_gguf_writer *w = calloc(1, sizeof *w);
    if (!w) {
        tg_fail(err, "out of memory");
        return NULL;
    }
    w->alignment = alignment;
    if (alignment != 32) tg_gguf_writer_count(w, "general.alignment", TG_GGUF_UINT32, alignment);
    return w;
}

void tg_gguf_writer_count(struct tg_gguf_writer *w, const char *key, enum tg_gguf_kind kind,
                          uint64_t value)
{
    key_of(w, key, kind);
    tg_gguf_writer_add_count(w, kind, value);
}

void tg_gguf_writer_real(struct tg_gguf_writer *w, const char *key, float value)
{
    key_of(w, key, TG_GGUF_FLOAT32);
    tg_gguf_writer_add_real(w, value);
}

void tg_gguf_writer_text(struct tg_gguf_writer *w, const char *key, const char *text)
{
    key_of(w, key, TG_GGUF_STRING);
    tg_gguf_writer_add_text(w, text, strlen(text));
}

void tg_gguf_writer_array(struct tg_gguf_writer *w, const char *key, enum tg_gguf_kind kind,
                          uint64_t count)
{
    key_of(w, key, TG_GGUF_ARRAY);
    put_number(w, &w->values, (uint64_t)kind, 4);
    put_number(w, &w->values, count, 8);
}

void tg_gguf_writer_add_text(struct tg_gguf_writer *w, const void *bytes, uint64_t size)
{
    put_text(w, &w->values, bytes, size);
}

void tg_gguf_writer_add_count(struct tg_gguf_writer *w, enum tg_gguf_kind kind, uint64_t value)
{
    put_number(w, &w->values, value, (int)tg_gguf_kinds[kind].bytes);
}

void tg_gguf_writer_add_real(struct tg_gguf_writer *w, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_number(w, &w->values, bits, 4);
}

static uint64_t aligned(const struct tg_gguf_writer *w, uint64_t size)
{
    return (size + w->alignment - 1) / w->alignment * w->alignment;
}

int64_t tg_gguf_writer_tensor(struct tg_gguf_writer *w, const char *name,
                              const struct tg_tensor_type *type, int64_t rows, int64_t cols)
{
    const int64_t bytes = tg_tensor_type_bytes(type, rows ? rows : 1, cols);
    if (bytes < 0) return -1;
    put_text(w, &w->tensors, name, strlen(name));
    put_number(w, &w->tensors, rows ? 2 : 1, 4);
    put_number(w, &w->tensors, (uint64_t)cols, 8);
    if (rows) put_number(w, &w->tensors, (uint64_t)rows, 8);
    put_number(w, &w->tensors, type->number, 4);
    put_number(w, &w->tensors, w->offset, 8);
    w->tensor_count++;
    w->offset += aligned(w, (uint64_t)bytes);
    return bytes;
}

int tg_gguf_writer_finish(struct tg_gguf_writer *w, const uint8_t **bytes, size_t *size,
                          struct tg_error *err)
{
    struct buffer *b = &w->whole;
    b->size = 0;
    put(w, b, "GGUF", 4);
    put_number(w, b, 3, 4);
    put_number(w, b, w->tensor_count, 8);
    put_number(w, b, w->value_count, 8);
    put(w, b, w->values.bytes, w->values.size);
    put(w, b, w->tensors.bytes, w->tensors.size);
    while (!w->is_out_of_memory && b->size % w->alignment != 0) put_number(w, b, 0, 1);
    if (w->is_out_of_memory) return tg_fail(err, "out of memory");
    *bytes = b->bytes;
    *size = b->size;
    return 0;
}

void tg_gguf_writer_destroy(struct tg_gguf_writer *w)
{
    if (!w) return;
    free(w->values.bytes);
    free(w->tensors.bytes);
    free(w->whole.bytes);
    free(w);
}
