/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_MODEL_GGUF_H
#define TG_WORKER_MODEL_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "worker/model/tensor_type.h"

/*
 * GGUF files, versions 2 and 3: values by key, and tensors by name.
 *
 *   open (a file, mapped for reading) or read (bytes of the caller) -> find, tensor, ... -> close
 *
 * Nothing in a file is believed: every offset, count and product is checked when it is opened, so
 * that what this header gives can be used without looking again. All pointers are into the file
 * and end with it. Whoever shortens a file while it is mapped ends the process (SIGBUS), as with
 * any mapping.
 *
 * Source: docs/gguf.md of ggml, the specification of the format.
 */

/* Text of a file: not ended by a zero byte, any bytes. */
struct tg_gguf_text {
    const char *bytes;
    uint64_t size;
};

/* The numbers are the file's. */
enum tg_gguf_kind {
    TG_GGUF_UINT8,
    TG_GGUF_INT8,
    TG_GGUF_UINT16,
    TG_GGUF_INT16,
    TG_GGUF_UINT32,
    TG_GGUF_INT32,
    TG_GGUF_FLOAT32,
    TG_GGUF_BOOL,
    TG_GGUF_STRING,
    TG_GGUF_ARRAY,
    TG_GGUF_UINT64,
    TG_GGUF_INT64,
    TG_GGUF_FLOAT64
};

/* Of each kind. */
struct tg_gguf_kind_row {
    const char *name; /* as the specification has it */
    uint64_t bytes;   /* of one; 0: as many as it says */
};

extern const struct tg_gguf_kind_row tg_gguf_kinds[];

/* A value: one, or, if is_array, `count` of the kind; an array of arrays is only passed over. */
struct tg_gguf_value {
    struct tg_gguf_text key; /* printable ASCII */
    enum tg_gguf_kind kind;
    bool is_array;
    uint64_t count;
    const uint8_t *bytes, *end; /* of all elements */
};

enum { TG_GGUF_DIMENSIONS = 4 };

/*
 * A tensor. Dimension 0 lies next to each other: of a matrix it is the columns (inputs), and
 * dimension 1 the rows. Dimensions that a tensor does not have are 1: one that has none is a
 * number. Their product is below 2^48.
 *
 * Some numbers of types have been given twice, by llama.cpp and by microsoft/BitNet. Which is meant
 * is told by the bytes that the tensor has; `type` is NULL where that leaves none, or two.
 */
struct tg_gguf_tensor {
    struct tg_gguf_text name; /* printable ASCII */
    uint32_t number;          /* of its type, as the file says it */
    const struct tg_tensor_type *type;
    int dimension_count;
    int64_t dimensions[TG_GGUF_DIMENSIONS];
    const uint8_t *data;
    uint64_t offset; /* in the file */
    uint64_t room;   /* bytes to the next tensor, or to the end of the file */
    int64_t bytes;   /* that its type says, at most `room`; 0 if type is NULL */
};

struct tg_gguf {
    const uint8_t *bytes;
    uint64_t size;
    uint32_t version;
    uint64_t alignment;
    struct tg_gguf_value *values; /* in the order of the file, as are the tensors */
    size_t value_count;
    struct tg_gguf_tensor *tensors;
    size_t tensor_count;
    void *mapping; /* NULL if the bytes are the caller's */
};

/* Opens a file; errors name the path. */
int tg_gguf_open(const char *path, struct tg_gguf **gguf, struct tg_error *err);

/* The same from bytes, which must stay until the end. */
int tg_gguf_read(const void *bytes, size_t size, struct tg_gguf **gguf, struct tg_error *err);

/* Accepts NULL. */
void tg_gguf_close(struct tg_gguf *gguf);

/* The value of that key, the tensor of that name, or NULL. */
const struct tg_gguf_value *tg_gguf_find(const struct tg_gguf *gguf, const char *key);
const struct tg_gguf_tensor *tg_gguf_tensor(const struct tg_gguf *gguf, const char *name);

/* Whether a text of a file is this one. */
bool tg_gguf_is(struct tg_gguf_text text, const char *is);

/* Element i as an integer or a real number; false if its kind is none, or does not fit. */
bool tg_gguf_count_at(const struct tg_gguf_value *value, uint64_t i, int64_t *out);
bool tg_gguf_real_at(const struct tg_gguf_value *value, uint64_t i, double *out);

/*
 * The texts of a value of the kind string, one after the other: *at is value->bytes to begin with.
 * Past the last one bytes is NULL.
 */
struct tg_gguf_text tg_gguf_next_text(const struct tg_gguf_value *value, const uint8_t **at);

/*
 * What a key must have, as errors say it: one integer of least..most, one real number above 0, or
 * one text (copied, of less than `size` bytes, printable ASCII). Where the key is not there the
 * value of *out stays, if is_optional, else that is the error.
 */
int tg_gguf_get_count(const struct tg_gguf *gguf, const char *key, bool is_optional, int64_t least,
                      int64_t most, int64_t *out, struct tg_error *err);
int tg_gguf_get_real(const struct tg_gguf *gguf, const char *key, bool is_optional, double *out,
                     struct tg_error *err);
int tg_gguf_get_text(const struct tg_gguf *gguf, const char *key, bool is_optional, char *out,
                     size_t size, struct tg_error *err);

#endif
