/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_BASE_JSON_H
#define TG_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/record.h"

/*
 * JSON: read strictly, written plainly. The only door to cJSON.
 *
 * A document is parsed whole; a key given twice, text after the end and a number that is not finite
 * are errors. Values are borrowed from their document. What is wrong with a value is said with the
 * line and path where it stands: tg_json_fail.
 */

struct tg_json; /* a value */

enum tg_json_kind {
    TG_JSON_NULL,
    TG_JSON_BOOLEAN,
    TG_JSON_NUMBER,
    TG_JSON_TEXT,
    TG_JSON_ARRAY,
    TG_JSON_OBJECT
};

struct tg_json_file {
    char *text;
    struct tg_json *root;
};

/* Parses text into *file, to be released; on failure there is nothing to release. */
int tg_json_parse(const char *text, struct tg_json_file *file, struct tg_error *err);

/* The same from a file of at most 64 MiB; errors name the path. */
int tg_json_read(const char *path, struct tg_json_file *file, struct tg_error *err);

void tg_json_release(struct tg_json_file *file);

enum tg_json_kind tg_json_kind(const struct tg_json *value);

/* Members or elements; 0 and NULL for what has none, as NULL. */
size_t tg_json_count(const struct tg_json *value);
const struct tg_json *tg_json_at(const struct tg_json *value, size_t i);

/* The element or member behind this one, or NULL; for lists too long for tg_json_at. */
const struct tg_json *tg_json_next(const struct tg_json *value);

/* A member's key, or NULL for an element. */
const char *tg_json_key(const struct tg_json *value);

/* The member of that key, or NULL; value may be NULL. */
const struct tg_json *tg_json_get(const struct tg_json *value, const char *key);

/* The text of a string (else ""), the number of a number or boolean (else 0). */
const char *tg_json_text(const struct tg_json *value);
double tg_json_number(const struct tg_json *value);

/* Fails with "line 12: rules[3].metric: <sentence>", the place of value in its file. */
int tg_json_fail(const struct tg_json_file *file, const struct tg_json *value, struct tg_error *err,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Fails if a member of object is not named in keys (ends with NULL). */
int tg_json_only(const struct tg_json_file *file, const struct tg_json *object,
                 const char *const keys[], struct tg_error *err);

/* Sets a field of a record from a value; true and false are the counts 1 and 0. */
int tg_json_read_field(const struct tg_json_file *file, const struct tg_json *value,
                       const struct tg_record_type *type, void *record, const char *name,
                       struct tg_error *err);

/* Reads an object whose members are all fields of the record; the others keep what they have. */
int tg_json_read_record(const struct tg_json_file *file, const struct tg_json *object,
                        const struct tg_record_type *type, void *record, struct tg_error *err);

/*
 * Writing. A value that was added belongs to what it was added to; the root is freed by
 * tg_json_free. key is NULL when adding to an array. Out of memory ends the program: what is
 * written is small.
 */
struct tg_json *tg_json_object(struct tg_json *parent, const char *key);
struct tg_json *tg_json_array(struct tg_json *parent, const char *key);
/* Adds a value that has no parent yet. */
void tg_json_add(struct tg_json *parent, const char *key, struct tg_json *value);
void tg_json_add_text(struct tg_json *parent, const char *key, const char *text);
void tg_json_add_number(struct tg_json *parent, const char *key, double number);
/* The same with six significant digits: more would differ between mathematical libraries. */
void tg_json_add_rounded(struct tg_json *parent, const char *key, double number);
void tg_json_add_boolean(struct tg_json *parent, const char *key, bool value);
void tg_json_add_record(struct tg_json *parent, const char *key, const struct tg_record_type *type,
                        const void *record);
void tg_json_free(struct tg_json *root);

/* The text, on one line or indented by two blanks; the caller frees. A number that is not finite is
 * null. */
char *tg_json_print(const struct tg_json *value, bool indented);

/*
 * Writes the indented text and a line end to a file: first beside it, then in its place, so that
 * the file is there whole or not at all.
 */
int tg_json_write(const struct tg_json *value, const char *path, struct tg_error *err);

/* Fails, as writing would, if such a file cannot be written; before there is anything to write.
 * Nothing is made or opened. */
int tg_json_can_write(const char *path, struct tg_error *err);

#endif
