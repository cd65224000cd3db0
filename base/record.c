/* SPDX-License-Identifier: Apache-2.0 */
#include "base/record.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The field of that name, looked for from the first-th on, and then before it. */
static const struct tg_field *field_from(const struct tg_record_type *type, const char *name,
                                         size_t first)
{
    for (size_t i = 0; i < type->field_count; i++) {
        size_t k = first + i < type->field_count ? first + i : first + i - type->field_count;
        if (type->fields[k].name[0] == name[0] && strcmp(type->fields[k].name, name) == 0)
            return &type->fields[k];
    }
    return NULL;
}

const struct tg_field *tg_record_field(const struct tg_record_type *type, const char *name)
{
    return field_from(type, name, 0);
}

static int store_text(char *target, const char *value)
{
    size_t length = strlen(value);
    if (length >= TG_TEXT_SIZE) return -1;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)value[i] <= ' ' || value[i] == 0x7f) return -1;
    memset(target, 0, TG_TEXT_SIZE);
    memcpy(target, value, length);
    return 0;
}

static int store_count(int64_t *target, const char *value)
{
    const bool is_negative = *value == '-';
    const char *c = value + is_negative;
    int64_t number = 0; /* on the side of its sign: the least has no opposite */
    if (!*c) return -1;
    for (; *c; c++) {
        const int digit = *c - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, is_negative ? -digit : digit, &number))
            return -1;
    }
    *target = number;
    return 0;
}

static int store_real(double *target, const char *value)
{
    char *end;
    if (strcmp(value, "none") == 0) {
        *target = NAN;
        return 0;
    }
    double number = strtod(value, &end);
    if (end == value || *end || !strchr("-.0123456789", *value) || !isfinite(number)) return -1;
    *target = number;
    return 0;
}

int tg_record_store(const struct tg_field *field, void *record, const char *value)
{
    char *target = (char *)record + field->offset;
    switch (field->kind) {
    case TG_TEXT: return store_text(target, value);
    case TG_COUNT: return store_count((int64_t *)(void *)target, value);
    case TG_REAL: return store_real((double *)(void *)target, value);
    }
    return -1;
}

void tg_record_init(const struct tg_record_type *type, void *record)
{
    memset(record, 0, type->size);
    for (size_t i = 0; i < type->field_count; i++) {
        const struct tg_field *field = &type->fields[i];
        int rc = strlen(field->fallback) < TG_TEXT_SIZE ? 0 : -1;
        if (field->kind == TG_TEXT) /* all zeros so far */
            memcpy((char *)record + field->offset, field->fallback, strlen(field->fallback));
        else
            rc = tg_record_store(field, record, field->fallback);
        assert(rc == 0);
        (void)rc;
    }
}

int tg_record_set(const struct tg_record_type *type, void *record, const char *name,
                  const char *value, struct tg_error *err)
{
    const struct tg_field *field = tg_record_field(type, name);
    if (!field) return tg_fail(err, "unknown %s '%s'", type->name, name);
    if (tg_record_store(field, record, value) < 0)
        return tg_fail(err, "%s '%s': unusable value '%.300s'%s", type->name, name, value,
                       field->kind == TG_TEXT ? ", a name has at most 95 bytes and no blanks" : "");
    return 0;
}

char *tg_record_get(const struct tg_field *field, const void *record, char *out, size_t size)
{
    const char *source = (const char *)record + field->offset;
    double real;
    switch (field->kind) {
    case TG_TEXT: snprintf(out, size, "%s", source); break;
    case TG_COUNT: snprintf(out, size, "%" PRId64, *(const int64_t *)(const void *)source); break;
    case TG_REAL:
        real = *(const double *)(const void *)source;
        if (!isfinite(real))
            snprintf(out, size, "none");
        else
            snprintf(out, size, "%.17g", real);
        break;
    }
    return out;
}

int tg_record_parse(const struct tg_record_type *type, void *record, const char *text,
                    struct tg_error *err)
{
    uint64_t seen[2] = {0};
    size_t next = 0; /* behind the last field: text mostly comes in the order of the table */
    assert(type->field_count <= 128);
    while (*(text += strspn(text, " "))) {
        char word[256];
        size_t length = strcspn(text, " ");
        if (length >= sizeof word) return tg_fail(err, "%s text is too long", type->name);
        memcpy(word, text, length);
        word[length] = 0;
        text += length;

        char *value = strchr(word, '=');
        if (!value) return tg_fail(err, "'%s' is not of the form %s=value", word, type->name);
        *value++ = 0;
        const struct tg_field *field = field_from(type, word, next);
        if (!field) return tg_fail(err, "unknown %s '%s'", type->name, word);
        size_t place = (size_t)(field - type->fields);
        uint64_t bit = UINT64_C(1) << place % 64;
        if (seen[place / 64] & bit) return tg_fail(err, "%s '%s' is given twice", type->name, word);
        seen[place / 64] |= bit;
        next = place + 1;
        if (tg_record_store(field, record, value) < 0)
            return tg_fail(err, "%s '%s': unusable value '%s'", type->name, word, value);
    }
    return 0;
}

/* Equal in value to the field's default, however that is spelled. */
static int has_default(const struct tg_field *field, const void *record, const char *value)
{
    if (strcmp(value, field->fallback) == 0) return 1;
    if (field->kind == TG_TEXT) return 0;
    double actual = NAN, fallback = NAN;
    if (field->kind == TG_COUNT) {
        int64_t number = 0;
        store_count(&number, field->fallback);
        return number == *(const int64_t *)(const void *)((const char *)record + field->offset);
    }
    store_real(&fallback, field->fallback);
    actual = *(const double *)(const void *)((const char *)record + field->offset);
    return actual == fallback || (isnan(actual) && isnan(fallback));
}

size_t tg_record_format(const struct tg_record_type *type, const void *record, char *out,
                        size_t size)
{
    size_t used = 0;
    if (size) out[0] = 0;
    for (size_t i = 0; i < type->field_count; i++) {
        const struct tg_field *field = &type->fields[i];
        char value[TG_TEXT_SIZE];
        tg_record_get(field, record, value, sizeof value);
        if (has_default(field, record, value)) continue;
        size_t room = used < size ? size - used : 0;
        int length = snprintf(room ? out + used : NULL, room, "%s%s=%s", used ? " " : "",
                              field->name, value);
        used += (size_t)length;
    }
    return used;
}

int tg_record_term(const char **where, char *name, char *value, size_t size)
{
    const char *p = *where + strspn(*where, " ");
    size_t length = strcspn(p, " ");
    const char *equal = memchr(p, '=', length);
    if (!*p) return 0;
    if (!equal || equal == p || length >= size) return -1;
    snprintf(name, size, "%.*s", (int)(equal - p), p);
    snprintf(value, size, "%.*s", (int)(p + length - equal - 1), equal + 1);
    *where = p + length;
    return 1;
}
