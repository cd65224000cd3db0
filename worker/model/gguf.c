/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/gguf.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* More than any file has, and little enough for a table of them. */
enum { VALUES_MOST = 65536, TENSORS_MOST = 65536, NAME_MOST = 255, DEPTH_MOST = 4 };

#define WEIGHTS_MOST (INT64_C(1) << 48)

const struct tg_gguf_kind_row tg_gguf_kinds[] = {
    {"uint8", 1},  {"int8", 1},    {"uint16", 2},  {"int16", 2},  {"uint32", 4},
    {"int32", 4},  {"float32", 4}, {"bool", 1},    {"string", 0}, {"array", 0},
    {"uint64", 8}, {"int64", 8},   {"float64", 8},
};

enum { KINDS = sizeof tg_gguf_kinds / sizeof *tg_gguf_kinds };

/* Where reading is; what is taken is there. */
struct reader {
    const uint8_t *bytes;
    uint64_t size, at;
};

static uint64_t little(const uint8_t *bytes, uint64_t size)
{
    uint64_t number = 0;
    for (uint64_t i = 0; i < size; i++) number |= (uint64_t)bytes[i] << 8 * i;
    return number;
}

static const uint8_t *take(struct reader *r, uint64_t size)
{
    if (size > r->size - r->at) return NULL;
    r->at += size;
    return r->bytes + r->at - size;
}

static int take_number(struct reader *r, uint64_t size, uint64_t *out, struct tg_error *err)
{
    const uint8_t *bytes = take(r, size);
    if (!bytes) return tg_fail(err, "the file ends at byte %" PRIu64 ", within a number", r->at);
    *out = little(bytes, size);
    return 0;
}

static int take_text(struct reader *r, struct tg_gguf_text *out, struct tg_error *err)
{
    uint64_t size = 0;
    if (take_number(r, 8, &size, err) < 0) return -1;
    const uint8_t *bytes = take(r, size);
    if (!bytes)
        return tg_fail(err, "a text of %" PRIu64 " bytes at byte %" PRIu64 " is cut off", size,
                       r->at);
    *out = (struct tg_gguf_text){(const char *)bytes, size};
    return 0;
}

/* A key or a tensor's name: errors print it, so it must be fit to be printed. */
static int take_name(struct reader *r, const char *what, struct tg_gguf_text *out,
                     struct tg_error *err)
{
    const uint64_t at = r->at;
    if (take_text(r, out, err) < 0) return tg_fail_in(err, "a %s", what);
    if (out->size == 0 || out->size > NAME_MOST)
        return tg_fail(err, "a %s at byte %" PRIu64 " has %" PRIu64 " bytes, and may have 1 to %d",
                       what, at, out->size, NAME_MOST);
    for (uint64_t i = 0; i < out->size; i++)
        if (out->bytes[i] <= ' ' || out->bytes[i] > '~')
            return tg_fail(err, "a %s at byte %" PRIu64 " is not printable ASCII", what, at);
    return 0;
}

static int take_kind(struct reader *r, enum tg_gguf_kind *out, struct tg_error *err)
{
    uint64_t kind = 0;
    if (take_number(r, 4, &kind, err) < 0) return -1;
    if (kind >= KINDS)
        return tg_fail(err, "there is no kind of value %" PRIu64 " (at byte %" PRIu64 ")", kind,
                       r->at - 4);
    *out = (enum tg_gguf_kind)kind;
    return 0;
}

/* `count` elements of a kind; each has a byte at least, so that a count is as large as its file. */
static int skip_elements(struct reader *r, enum tg_gguf_kind kind, uint64_t count, int depth,
                         struct tg_error *err)
{
    if (count > r->size - r->at)
        return tg_fail(err, "%" PRIu64 " elements at byte %" PRIu64 " are more than the file has",
                       count, r->at);
    if (tg_gguf_kinds[kind].bytes) {
        if (!take(r, count * tg_gguf_kinds[kind].bytes))
            return tg_fail(err, "%" PRIu64 " elements at byte %" PRIu64 " are cut off", count,
                           r->at);
        return 0;
    }
    for (uint64_t i = 0; i < count; i++) {
        struct tg_gguf_text text;
        enum tg_gguf_kind element = TG_GGUF_UINT8;
        uint64_t elements = 0;
        if (kind == TG_GGUF_STRING) {
            if (take_text(r, &text, err) < 0) return -1;
            continue;
        }
        if (depth == DEPTH_MOST) return tg_fail(err, "arrays are more than %d deep", DEPTH_MOST);
        if (take_kind(r, &element, err) < 0 || take_number(r, 8, &elements, err) < 0 ||
            skip_elements(r, element, elements, depth + 1, err) < 0)
            return -1;
    }
    return 0;
}

static int take_value(struct reader *r, struct tg_gguf_value *v, struct tg_error *err)
{
    if (take_name(r, "key", &v->key, err) < 0) return -1;
    int rc = take_kind(r, &v->kind, err);
    v->count = 1;
    v->is_array = rc == 0 && v->kind == TG_GGUF_ARRAY;
    if (v->is_array)
        rc = take_kind(r, &v->kind, err) < 0 || take_number(r, 8, &v->count, err) < 0 ? -1 : 0;
    v->bytes = r->bytes + r->at;
    if (rc == 0) rc = skip_elements(r, v->kind, v->count, 1, err);
    v->end = r->bytes + r->at;
    if (rc < 0) return tg_fail_in(err, "key '%.*s'", (int)v->key.size, v->key.bytes);
    return 0;
}

static int take_tensor(struct reader *r, struct tg_gguf_tensor *t, struct tg_error *err)
{
    uint64_t count = 0, number = 0, weights = 1;
    if (take_name(r, "tensor's name", &t->name, err) < 0) return -1;
    const int length = (int)t->name.size;
    if (take_number(r, 4, &count, err) < 0) return -1;
    if (count > TG_GGUF_DIMENSIONS)
        return tg_fail(err, "tensor '%.*s' has %" PRIu64 " dimensions, and may have %d at most",
                       length, t->name.bytes, count, TG_GGUF_DIMENSIONS);
    t->dimension_count = (int)count;
    for (int i = 0; i < TG_GGUF_DIMENSIONS; i++) {
        uint64_t size = 1;
        if (i < t->dimension_count && take_number(r, 8, &size, err) < 0) return -1;
        if (size < 1 || size >= (uint64_t)WEIGHTS_MOST / weights)
            return tg_fail(err, "tensor '%.*s' has a dimension of %" PRIu64, length, t->name.bytes,
                           size);
        weights *= size;
        t->dimensions[i] = (int64_t)size;
    }
    if (take_number(r, 4, &number, err) < 0 || take_number(r, 8, &t->offset, err) < 0) return -1;
    t->number = (uint32_t)number;
    return 0;
}

static int compare_texts(const struct tg_gguf_text *a, const struct tg_gguf_text *b)
{
    const uint64_t size = a->size < b->size ? a->size : b->size;
    const int order = memcmp(a->bytes, b->bytes, size);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

static int compare_pointed(const void *a, const void *b)
{
    return compare_texts(*(const struct tg_gguf_text *const *)a,
                         *(const struct tg_gguf_text *const *)b);
}

static int compare_offsets(const void *a, const void *b)
{
    const struct tg_gguf_tensor *const *one = a, *const *other = b;
    return ((*one)->offset > (*other)->offset) - ((*one)->offset < (*other)->offset);
}

/* Fails if two of the texts, which are `stride` bytes apart, are the same. */
static int check_unique(const void *first, size_t count, size_t stride, const char *what,
                        struct tg_error *err)
{
    if (count < 2) return 0;
    const struct tg_gguf_text **sorted = malloc(count * sizeof *sorted);
    int rc = 0;
    if (!sorted) return tg_fail(err, "out of memory");
    for (size_t i = 0; i < count; i++)
        sorted[i] = (const struct tg_gguf_text *)((const char *)first + i * stride);
    qsort(sorted, count, sizeof *sorted, compare_pointed);
    for (size_t i = 1; rc == 0 && i < count; i++)
        if (compare_texts(sorted[i - 1], sorted[i]) == 0)
            rc = tg_fail(err, "%s '%.*s' is given twice", what, (int)sorted[i]->size,
                         sorted[i]->bytes);
    free(sorted);
    return rc;
}

/*
 * The row of the table that a tensor's number means. Where two projects have given it, the one
 * whose bytes fill the room, but for padding.
 */
static int resolve(const struct tg_gguf *g, struct tg_gguf_tensor *t, struct tg_error *err)
{
    const int64_t cols = t->dimensions[0];
    const int64_t rows = t->dimensions[1] * t->dimensions[2] * t->dimensions[3];
    const uint64_t padding = g->alignment > 32 ? g->alignment : 32;
    size_t fitting = 0;
    for (size_t i = 0; i < tg_tensor_type_count(); i++) {
        const struct tg_tensor_type *type = tg_tensor_type_at(i);
        if (type->number != t->number) continue;
        const int64_t bytes = tg_tensor_type_bytes(type, rows, cols);
        if (type->origin == TG_ORIGIN_ANY && (bytes < 0 || (uint64_t)bytes > t->room))
            return tg_fail(
                err, "tensor '%.*s' of %" PRId64 " x %" PRId64 " %s %s %" PRIu64 " bytes",
                (int)t->name.size, t->name.bytes, rows, cols, type->name,
                bytes < 0 ? "has columns that are no whole blocks, and" : "does not fit in its",
                t->room);
        if (bytes < 0 || (uint64_t)bytes > t->room) continue;
        if (type->origin != TG_ORIGIN_ANY && t->room - (uint64_t)bytes >= padding) continue;
        fitting++;
        t->type = type;
        t->bytes = bytes;
    }
    if (fitting == 1) return 0;
    t->type = NULL;
    t->bytes = 0;
    return 0;
}

/* Offsets from the beginning of the data to places in the file, and what each may have. */
static int place_tensors(struct tg_gguf *g, uint64_t data, struct tg_error *err)
{
    struct tg_gguf_tensor **sorted = malloc((g->tensor_count + 1) * sizeof *sorted);
    int rc = 0;
    if (!sorted) return tg_fail(err, "out of memory");
    for (size_t i = 0; rc == 0 && i < g->tensor_count; i++) {
        struct tg_gguf_tensor *t = sorted[i] = &g->tensors[i];
        if (t->offset % g->alignment != 0)
            rc = tg_fail(err, "tensor '%.*s' is not aligned to %" PRIu64 " bytes",
                         (int)t->name.size, t->name.bytes, g->alignment);
        else if (data > g->size || t->offset >= g->size - data)
            rc = tg_fail(err, "tensor '%.*s' is beyond the end of the file", (int)t->name.size,
                         t->name.bytes);
        if (rc < 0) break;
        t->offset += data;
        t->data = g->bytes + t->offset;
    }
    if (rc == 0 && g->tensor_count > 1)
        qsort(sorted, g->tensor_count, sizeof *sorted, compare_offsets);
    for (size_t i = 0; rc == 0 && i < g->tensor_count; i++) {
        const bool is_last = i + 1 == g->tensor_count;
        sorted[i]->room = (is_last ? g->size : sorted[i + 1]->offset) - sorted[i]->offset;
        rc = resolve(g, sorted[i], err);
    }
    free(sorted);
    return rc;
}

static int read_alignment(struct tg_gguf *g, struct tg_error *err)
{
    int64_t alignment = 32;
    if (tg_gguf_get_count(g, "general.alignment", true, 1, 1 << 20, &alignment, err) < 0) return -1;
    if ((alignment & (alignment - 1)) != 0)
        return tg_fail(err, "an alignment of %" PRId64 " is no power of two", alignment);
    g->alignment = (uint64_t)alignment;
    return 0;
}

static int read_header(struct reader *r, struct tg_gguf *g, uint64_t *values, uint64_t *tensors,
                       struct tg_error *err)
{
    uint64_t version = 0;
    const uint8_t *magic = take(r, 4);
    if (!magic || memcmp(magic, "GGUF", 4) != 0) return tg_fail(err, "is not a GGUF file");
    if (take_number(r, 4, &version, err) < 0) return -1;
    if (version == 0x02000000 || version == 0x03000000)
        return tg_fail(err, "is a big-endian GGUF file, which is not read here");
    if (version != 2 && version != 3)
        return tg_fail(err, "GGUF version %" PRIu64 " is not read, only 2 and 3", version);
    g->version = (uint32_t)version;
    if (take_number(r, 8, tensors, err) < 0 || take_number(r, 8, values, err) < 0) return -1;
    if (*tensors > TENSORS_MOST)
        return tg_fail(err, "%" PRIu64 " tensors are more than %d", *tensors, TENSORS_MOST);
    if (*values > VALUES_MOST)
        return tg_fail(err, "%" PRIu64 " values are more than %d", *values, VALUES_MOST);
    return 0;
}

static int read_all(struct tg_gguf *g, struct tg_error *err)
{
    struct reader r = {g->bytes, g->size, 0};
    uint64_t values = 0, tensors = 0;
    if (read_header(&r, g, &values, &tensors, err) < 0) return -1;
    g->values = calloc(values + 1, sizeof *g->values);
    g->tensors = calloc(tensors + 1, sizeof *g->tensors);
    if (!g->values || !g->tensors) return tg_fail(err, "out of memory");
    for (; g->value_count < values; g->value_count++)
        if (take_value(&r, &g->values[g->value_count], err) < 0) return -1;
    if (check_unique(&g->values->key, values, sizeof *g->values, "key", err) < 0 ||
        read_alignment(g, err) < 0)
        return -1;
    for (; g->tensor_count < tensors; g->tensor_count++)
        if (take_tensor(&r, &g->tensors[g->tensor_count], err) < 0) return -1;
    if (check_unique(&g->tensors->name, tensors, sizeof *g->tensors, "tensor", err) < 0) return -1;
    const uint64_t data = (r.at + g->alignment - 1) / g->alignment * g->alignment;
    return place_tensors(g, data, err);
}

int tg_gguf_read(const void *bytes, size_t size, struct tg_gguf **gguf, struct tg_error *err)
{
    struct tg_gguf *g = calloc(1, sizeof *g);
    if (!g) return tg_fail(err, "out of memory");
    g->bytes = bytes;
    g->size = size;
    if (read_all(g, err) < 0) {
        tg_gguf_close(g);
        return -1;
    }
    *gguf = g;
    return 0;
}

int tg_gguf_open(const char *path, struct tg_gguf **gguf, struct tg_error *err)
{
    struct stat status;
    void *mapping = MAP_FAILED;
    /* Pipes are not waited for: they are no files. */
    int rc = -1, descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) return tg_fail(err, "cannot open '%s': %s", path, strerror(errno));
    if (fstat(descriptor, &status) < 0 || !S_ISREG(status.st_mode)) {
        tg_fail(err, "'%s' is no file", path);
        goto out;
    }
    if (status.st_size == 0) {
        tg_fail(err, "'%s' is empty", path);
        goto out;
    }
    mapping = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, descriptor, 0);
    if (mapping == MAP_FAILED) {
        tg_fail(err, "cannot map '%s': %s", path, strerror(errno));
        goto out;
    }
    rc = tg_gguf_read(mapping, (size_t)status.st_size, gguf, err);
    if (rc < 0) {
        tg_fail_in(err, "'%s'", path);
        munmap(mapping, (size_t)status.st_size);
    } else {
        (*gguf)->mapping = mapping;
    }
out:
    close(descriptor);
    return rc;
}

void tg_gguf_close(struct tg_gguf *gguf)
{
    if (!gguf) return;
    if (gguf->mapping) munmap(gguf->mapping, gguf->size);
    free(gguf->values);
    free(gguf->tensors);
    free(gguf);
}

bool tg_gguf_is(struct tg_gguf_text text, const char *is)
{
    return text.size == strlen(is) && memcmp(text.bytes, is, text.size) == 0;
}

const struct tg_gguf_value *tg_gguf_find(const struct tg_gguf *gguf, const char *key)
{
    for (size_t i = 0; i < gguf->value_count; i++)
        if (tg_gguf_is(gguf->values[i].key, key)) return &gguf->values[i];
    return NULL;
}

const struct tg_gguf_tensor *tg_gguf_tensor(const struct tg_gguf *gguf, const char *name)
{
    for (size_t i = 0; i < gguf->tensor_count; i++)
        if (tg_gguf_is(gguf->tensors[i].name, name)) return &gguf->tensors[i];
    return NULL;
}

bool tg_gguf_count_at(const struct tg_gguf_value *value, uint64_t i, int64_t *out)
{
    assert(i < value->count);
    const uint64_t size = tg_gguf_kinds[value->kind].bytes;
    const uint64_t bits = size ? little(value->bytes + i * size, size) : 0;
    switch (value->kind) {
    case TG_GGUF_INT8: *out = (int8_t)bits; return true;
    case TG_GGUF_INT16: *out = (int16_t)bits; return true;
    case TG_GGUF_INT32: *out = (int32_t)bits; return true;
    case TG_GGUF_INT64: *out = (int64_t)bits; return true;
    case TG_GGUF_UINT64:
        if (bits > INT64_MAX) return false;
        *out = (int64_t)bits;
        return true;
    case TG_GGUF_UINT8:
    case TG_GGUF_UINT16:
    case TG_GGUF_UINT32:
    case TG_GGUF_BOOL: *out = (int64_t)bits; return true;
    default: return false;
    }
}

bool tg_gguf_real_at(const struct tg_gguf_value *value, uint64_t i, double *out)
{
    assert(i < value->count);
    int64_t count;
    if (value->kind == TG_GGUF_FLOAT32) {
        *out = (double)tg_tensor_type_f32(value->bytes + 4 * i);
        return true;
    }
    if (value->kind == TG_GGUF_FLOAT64) {
        const uint64_t bits = little(value->bytes + 8 * i, 8);
        memcpy(out, &bits, sizeof *out);
        return true;
    }
    if (!tg_gguf_count_at(value, i, &count)) return false;
    *out = (double)count;
    return true;
}

struct tg_gguf_text tg_gguf_next_text(const struct tg_gguf_value *value, const uint8_t **at)
{
    assert(value->kind == TG_GGUF_STRING);
    if (*at == value->end) return (struct tg_gguf_text){NULL, 0};
    const struct tg_gguf_text text = {(const char *)*at + 8, little(*at, 8)};
    *at += 8 + text.size;
    return text;
}

/* *value becomes NULL where the key may be missing and is. */
static int find_one(const struct tg_gguf *gguf, const char *key, bool is_optional,
                    const struct tg_gguf_value **value, struct tg_error *err)
{
    *value = tg_gguf_find(gguf, key);
    if (!*value) return is_optional ? 0 : tg_fail(err, "there is no key '%s'", key);
    if ((*value)->is_array) return tg_fail(err, "key '%s' is an array", key);
    return 0;
}

int tg_gguf_get_count(const struct tg_gguf *gguf, const char *key, bool is_optional, int64_t least,
                      int64_t most, int64_t *out, struct tg_error *err)
{
    const struct tg_gguf_value *value;
    int64_t count;
    if (find_one(gguf, key, is_optional, &value, err) < 0) return -1;
    if (!value) return 0;
    if (!tg_gguf_count_at(value, 0, &count))
        return tg_fail(err, "key '%s' is no count but %s", key, tg_gguf_kinds[value->kind].name);
    if (count < least || count > most)
        return tg_fail(err, "key '%s' is %" PRId64 ", and may be %" PRId64 " to %" PRId64, key,
                       count, least, most);
    *out = count;
    return 0;
}

int tg_gguf_get_real(const struct tg_gguf *gguf, const char *key, bool is_optional, double *out,
                     struct tg_error *err)
{
    const struct tg_gguf_value *value;
    double real;
    if (find_one(gguf, key, is_optional, &value, err) < 0) return -1;
    if (!value) return 0;
    if (!tg_gguf_real_at(value, 0, &real))
        return tg_fail(err, "key '%s' is no number but %s", key, tg_gguf_kinds[value->kind].name);
    if (!(real > 0 && real < 1e30))
        return tg_fail(err, "key '%s' is %g, and must be above 0", key, real);
    *out = real;
    return 0;
}

int tg_gguf_get_text(const struct tg_gguf *gguf, const char *key, bool is_optional, char *out,
                     size_t size, struct tg_error *err)
{
    const struct tg_gguf_value *value;
    if (find_one(gguf, key, is_optional, &value, err) < 0) return -1;
    if (!value) return 0;
    if (value->kind != TG_GGUF_STRING)
        return tg_fail(err, "key '%s' is no text but %s", key, tg_gguf_kinds[value->kind].name);
    const uint8_t *at = value->bytes;
    const struct tg_gguf_text text = tg_gguf_next_text(value, &at);
    if (text.size >= size) return tg_fail(err, "key '%s' has %" PRIu64 " bytes", key, text.size);
    for (uint64_t i = 0; i < text.size; i++)
        if (text.bytes[i] < ' ' || text.bytes[i] > '~')
            return tg_fail(err, "key '%s' is not printable ASCII", key);
    memcpy(out, text.bytes, text.size);
    out[text.size] = 0;
    return 0;
}
