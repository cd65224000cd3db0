/* SPDX-License-Identifier: Apache-2.0 */
#include "matrix/cell.h"

#include <fnmatch.h>
#include <string.h>

static const struct tg_field cell_fields[] = {
#define FIELD(name, KIND, fallback, unit, meaning)                                                 \
    {#name, TG_##KIND, offsetof(struct tg_cell, name), fallback, unit, meaning},
#include "matrix/axes.def"
#undef FIELD
};

const struct tg_record_type tg_cell_type = {
    "axis", cell_fields, sizeof cell_fields / sizeof *cell_fields, sizeof(struct tg_cell)};

int tg_cell_parse(const char *text, struct tg_cell *cell, struct tg_error *err)
{
    struct tg_cell parsed;
    tg_record_init(&tg_cell_type, &parsed);
    if (tg_record_parse(&tg_cell_type, &parsed, text, err) < 0)
        return tg_fail_in(err, "cell '%s'", text);
    *cell = parsed;
    return 0;
}

char *tg_cell_text(const struct tg_cell *cell, char *out)
{
    tg_record_format(&tg_cell_type, cell, out, TG_CELL_TEXT_SIZE);
    return out;
}

bool tg_cell_matches(const struct tg_cell *cell, const char *where, const struct tg_words *words)
{
    char name[256], value[256], actual[256];
    while (tg_record_term(&where, name, value, sizeof name) == 1) {
        const struct tg_field *field = tg_record_field(&tg_cell_type, name);
        if (field) {
            tg_record_get(field, cell, actual, sizeof actual);
        } else {
            const struct tg_word *word = tg_words_find(words, "kernel", cell->kernel);
            if (!word || !tg_words_trait(word, name, actual, sizeof actual)) return false;
        }
        if (fnmatch(value, actual, 0) != 0) return false;
    }
    return true;
}

/* ROWSxCOLS, each of at most 8 digits of which the first is not 0. */
static bool is_shape(const char *text)
{
    size_t rows = strspn(text, "0123456789");
    if (rows < 1 || rows > 8 || *text == '0' || text[rows] != 'x') return false;
    text += rows + 1;
    size_t cols = strspn(text, "0123456789");
    return cols >= 1 && cols <= 8 && *text != '0' && !text[cols];
}

int tg_cell_check_value(const char *axis, const char *value, const struct tg_words *words,
                        struct tg_error *err)
{
    struct tg_cell scratch;
    char canonical[TG_TEXT_SIZE];
    const struct tg_field *field = tg_record_field(&tg_cell_type, axis);
    tg_record_init(&tg_cell_type, &scratch);
    if (tg_record_set(&tg_cell_type, &scratch, axis, value, err) < 0) return -1;
    tg_record_get(field, &scratch, canonical, sizeof canonical);
    if (strcmp(canonical, value) != 0)
        return tg_fail(err, "axis '%s': '%s' is written '%s'", axis, value, canonical);
    const char *stored = (const char *)&scratch + field->offset;
    if (field->kind == TG_COUNT && *(const int64_t *)(const void *)stored < 1)
        return tg_fail(err, "axis '%s': unusable value '%s', it is less than 1", axis, value);
    if (strcmp(axis, "layer") == 0 && is_shape(value)) return 0;
    if (*value && tg_words_cover(words, axis) && !tg_words_find(words, axis, value))
        return tg_fail(err, "no such %s '%s'", axis, value);
    return 0;
}

int tg_cell_check_where(const char *where, const struct tg_words *words, struct tg_error *err)
{
    char name[256], value[256];
    const char *rest = where;
    int more;
    while ((more = tg_record_term(&rest, name, value, sizeof name)) == 1) {
        bool is_axis = tg_record_field(&tg_cell_type, name) != NULL;
        if (!is_axis && !tg_words_have_trait(words, "kernel", name, NULL))
            return tg_fail(err, "unknown axis '%s' in '%s'", name, where);
        if (tg_words_is_pattern(value)) continue;
        if (is_axis && tg_cell_check_value(name, value, words, err) < 0)
            return tg_fail_in(err, "'%s'", where);
        if (!is_axis && !tg_words_have_trait(words, "kernel", name, value))
            return tg_fail(err, "no %s '%s' is known, in '%s'", name, value, where);
    }
    return more < 0 ? tg_fail(err, "'%s' is not of the form axis=pattern", where) : 0;
}

int tg_cell_check(const struct tg_cell *cell, const struct tg_words *words, struct tg_error *err)
{
    for (size_t i = 0; i < tg_cell_type.field_count; i++) {
        const struct tg_field *field = &tg_cell_type.fields[i];
        char value[TG_TEXT_SIZE];
        tg_record_get(field, cell, value, sizeof value);
        if (tg_words_is_pattern(value)) continue;
        if (tg_cell_check_value(field->name, value, words, err) < 0) return -1;
    }
    if (!*cell->probe) return tg_fail(err, "axis 'probe' is missing");
    return 0;
}
