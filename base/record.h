/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_BASE_RECORD_H
#define TG_BASE_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * A struct described by a table, so that one list of fields gives its members, its defaults, its
 * text form, its JSON and its columns in a file.
 *
 * A table is a .def file of rows FIELD(name, KIND, default, unit, meaning). KIND is TEXT (a name of
 * at most 95 bytes without blanks), COUNT (int64_t) or REAL (double). The text form of a record is
 * "name=value name=value", in the order of the table, with fields that have their default left out.
 */

enum tg_kind { TG_TEXT, TG_COUNT, TG_REAL };

#define TG_TEXT_SIZE 96

/* Members of a struct made from a .def file, by kind. */
#define TG_MEMBER_TEXT(name)  char name[TG_TEXT_SIZE];
#define TG_MEMBER_COUNT(name) int64_t name;
#define TG_MEMBER_REAL(name)  double name;

struct tg_field {
    const char *name;
    enum tg_kind kind;
    size_t offset;
    const char *fallback; /* the default, as text */
    const char *unit;
    const char *meaning;
};

struct tg_record_type {
    const char *name; /* of the thing, for messages: "axis", "limit", "fact" */
    const struct tg_field *fields;
    size_t field_count;
    size_t size; /* of the struct */
};

/* The field of that name, or NULL. */
const struct tg_field *tg_record_field(const struct tg_record_type *type, const char *name);

/* Gives every field its default. */
void tg_record_init(const struct tg_record_type *type, void *record);

/* Sets one field from text; fails for an unknown name or a value that is not of its kind. */
int tg_record_set(const struct tg_record_type *type, void *record, const char *name,
                  const char *value, struct tg_error *err);

/* The same for a field that is known. Returns 0, or -1 for a value that is not of its kind. */
int tg_record_store(const struct tg_field *field, void *record, const char *value);

/*
 * Writes one field's value as text (at most size - 1 bytes) and returns out. A number that is not
 * finite is "none".
 */
char *tg_record_get(const struct tg_field *field, const void *record, char *out, size_t size);

/*
 * Takes the next "name=value" of a text of such terms, as patterns are written too, into two
 * buffers of that size. Returns 1, 0 at the end, or -1 if what comes is not of that form.
 */
int tg_record_term(const char **text, char *name, char *value, size_t size);

/* Reads "name=value name=value" into a record that has its defaults; a name twice is an error. */
int tg_record_parse(const struct tg_record_type *type, void *record, const char *text,
                    struct tg_error *err);

/* Writes the text form (at most size - 1 bytes). Returns its whole length. */
size_t tg_record_format(const struct tg_record_type *type, const void *record, char *out,
                        size_t size);

#endif
