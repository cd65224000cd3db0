/* SPDX-License-Identifier: Apache-2.0 */
#include "matrix/spec.h"

#include <fnmatch.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CELLS_MOST 20000u

/* Makes room for one more element of `size` bytes behind `count`; capacity doubles. */
static void *grown(void *list, size_t count, size_t size)
{
    if (count && (count & (count - 1))) return list;
    return realloc(list, (count ? 2 * count : 1) * size);
}

/* The values of one axis in one object: the words that a pattern stands for, or what is written. */
struct values {
    char (*texts)[TG_TEXT_SIZE];
    size_t count;
};

static int add_value(struct values *v, const char *text, struct tg_error *err)
{
    for (size_t i = 0; i < v->count; i++)
        if (strcmp(v->texts[i], text) == 0) return 0;
    void *texts = grown(v->texts, v->count, sizeof *v->texts);
    if (!texts) return tg_fail(err, "out of memory");
    v->texts = texts;
    snprintf(v->texts[v->count++], TG_TEXT_SIZE, "%s", text);
    return 0;
}

static int add_pattern(struct values *v, const char *axis, const char *pattern,
                       const struct tg_words *words, struct tg_error *err)
{
    bool any = false;
    for (size_t i = 0; i < words->count; i++) {
        const struct tg_word *word = &words->words[i];
        if (strcmp(word->axis, axis) != 0 || fnmatch(pattern, word->name, 0) != 0) continue;
        any = true;
        if (add_value(v, word->name, err) < 0) return -1;
    }
    return any ? 0 : add_value(v, pattern, err);
}

static int read_values(const struct tg_json_file *file, const struct tg_json *list,
                       const struct tg_words *words, struct values *v, struct tg_error *err)
{
    const char *axis = tg_json_key(list);
    struct tg_cell scratch;
    if (!tg_record_field(&tg_cell_type, axis))
        return tg_json_fail(file, list, err, "unknown axis '%s'", axis);
    if (tg_json_kind(list) != TG_JSON_ARRAY || tg_json_count(list) == 0)
        return tg_json_fail(file, list, err, "a list of at least one value is expected");
    if (tg_json_count(list) > CELLS_MOST)
        return tg_json_fail(file, list, err, "more than %u cells", CELLS_MOST);
    for (size_t i = 0; i < tg_json_count(list); i++) {
        const struct tg_json *value = tg_json_at(list, i);
        char number[32];
        const char *text = tg_json_text(value);
        tg_record_init(&tg_cell_type, &scratch);
        if (tg_json_read_field(file, value, &tg_cell_type, &scratch, axis, err) < 0) return -1;
        if (tg_json_kind(value) != TG_JSON_TEXT) {
            snprintf(number, sizeof number, "%.0f", tg_json_number(value));
            text = number;
        }
        int rc = tg_words_is_pattern(text) && tg_words_cover(words, axis)
                     ? add_pattern(v, axis, text, words, err)
                     : add_value(v, text, err);
        if (rc < 0) return -1;
    }
    return 0;
}

/* Whether the cell is one of the first `count`. */
static bool has_cell(const struct tg_spec *spec, size_t count, const struct tg_cell *cell)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(&spec->cells[i], cell, sizeof *cell) == 0) return true;
    return false;
}

static int add_cell(struct tg_spec *spec, const struct tg_cell *cell, struct tg_error *err)
{
    if (spec->cell_count == CELLS_MOST) return tg_fail(err, "more than %u cells", CELLS_MOST);
    void *cells = grown(spec->cells, spec->cell_count, sizeof *spec->cells);
    if (!cells) return tg_fail(err, "out of memory");
    spec->cells = cells;
    spec->cells[spec->cell_count++] = *cell;
    return 0;
}

/* The product of all axes of one object: `turn` counts through it, the last axis fastest. */
static int add_product(struct tg_spec *spec, const struct tg_json *axes,
                       const struct values *values, const struct tg_words *words,
                       struct tg_error *err)
{
    size_t axis_count = tg_json_count(axes), product = 1, earlier = spec->cell_count;
    for (size_t a = 0; a < axis_count; a++) {
        if (values[a].count > CELLS_MOST / product)
            return tg_fail(err, "more than %u cells", CELLS_MOST);
        product *= values[a].count;
    }
    for (size_t turn = 0; turn < product; turn++) {
        struct tg_cell cell;
        size_t rest = turn;
        tg_record_init(&tg_cell_type, &cell);
        for (size_t a = axis_count; a-- > 0; rest /= values[a].count)
            if (tg_record_set(&tg_cell_type, &cell, tg_json_key(tg_json_at(axes, a)),
                              values[a].texts[rest % values[a].count], err) < 0)
                return -1;
        if (tg_cell_check(&cell, words, err) < 0) return -1;
        if (!has_cell(spec, earlier, &cell) && add_cell(spec, &cell, err) < 0) return -1;
    }
    return 0;
}

static int read_axes(const struct tg_json_file *file, const struct tg_json *axes,
                     const struct tg_words *words, struct tg_spec *spec, struct tg_error *err)
{
    struct tg_error why;
    if (tg_json_kind(axes) != TG_JSON_OBJECT || tg_json_count(axes) == 0)
        return tg_json_fail(file, axes, err, "an object of axes is expected");
    size_t axis_count = tg_json_count(axes);
    struct values *values = calloc(axis_count, sizeof *values);
    if (!values) return tg_fail(err, "out of memory");

    int rc = 0;
    for (size_t a = 0; a < axis_count && rc == 0; a++)
        rc = read_values(file, tg_json_at(axes, a), words, &values[a], err);
    if (rc == 0 && add_product(spec, axes, values, words, &why) < 0)
        rc = tg_json_fail(file, axes, err, "%s", why.text);
    for (size_t a = 0; a < axis_count; a++) free(values[a].texts);
    free(values);
    return rc;
}

static void keep_cells(struct tg_spec *spec, const char *where, bool keep,
                       const struct tg_words *words)
{
    size_t kept = 0;
    for (size_t i = 0; i < spec->cell_count; i++)
        if (tg_cell_matches(&spec->cells[i], where, words) == keep)
            spec->cells[kept++] = spec->cells[i];
    spec->cell_count = kept;
}

static int read_exclude(const struct tg_json_file *file, const struct tg_json *list,
                        const struct tg_words *words, struct tg_spec *spec, struct tg_error *err)
{
    struct tg_error why;
    if (list && tg_json_kind(list) != TG_JSON_ARRAY)
        return tg_json_fail(file, list, err, "a list of patterns of cells is expected");
    for (size_t i = 0; i < tg_json_count(list); i++) {
        const struct tg_json *where = tg_json_at(list, i);
        if (!*tg_json_text(where))
            return tg_json_fail(file, where, err, "a pattern of cells is expected");
        if (tg_cell_check_where(tg_json_text(where), words, &why) < 0)
            return tg_json_fail(file, where, err, "%s", why.text);
        keep_cells(spec, tg_json_text(where), false, words);
    }
    return 0;
}

static int read_spec(const struct tg_json_file *file, const struct tg_words *words,
                     struct tg_spec *spec, struct tg_error *err)
{
    static const char *const keys[] = {"tritgate_matrix", "meaning", "policy", "axes",
                                       "exclude",         NULL};
    const struct tg_json *root = file->root, *axes = tg_json_get(root, "axes");
    const struct tg_json *policy = tg_json_get(root, "policy");
    const struct tg_json *meaning = tg_json_get(root, "meaning");

    if (tg_json_kind(root) != TG_JSON_OBJECT ||
        tg_json_number(tg_json_get(root, "tritgate_matrix")) != 1)
        return tg_json_fail(file, root, err, "not a matrix: \"tritgate_matrix\": 1 is missing");
    if (tg_json_only(file, root, keys, err) < 0) return -1;
    if (!axes) return tg_json_fail(file, root, err, "'axes' is missing");
    if (policy && !*tg_json_text(policy))
        return tg_json_fail(file, policy, err, "a file is expected");
    if (meaning && !*tg_json_text(meaning))
        return tg_json_fail(file, meaning, err, "a line of text is expected");
    if (tg_json_kind(axes) == TG_JSON_ARRAY) {
        for (size_t i = 0; i < tg_json_count(axes); i++)
            if (read_axes(file, tg_json_at(axes, i), words, spec, err) < 0) return -1;
    } else if (read_axes(file, axes, words, spec, err) < 0) {
        return -1;
    }
    if (read_exclude(file, tg_json_get(root, "exclude"), words, spec, err) < 0) return -1;
    if (spec->cell_count == 0) return tg_json_fail(file, root, err, "the matrix has no cells");
    return 0;
}

void tg_spec_policy_path(const struct tg_json_file *file, const char *path, char *out, size_t size)
{
    const char *policy = tg_json_text(tg_json_get(file->root, "policy"));
    const char *slash = strrchr(path, '/');
    int folder = slash && *policy && *policy != '/' ? (int)(slash + 1 - path) : 0;
    snprintf(out, size, "%.*s%s", folder, path, policy);
}

int tg_spec_parse(const struct tg_json_file *file, const struct tg_words *words,
                  struct tg_spec *spec, struct tg_error *err)
{
    struct tg_spec parsed = {0};
    if (read_spec(file, words, &parsed, err) < 0) {
        tg_spec_release(&parsed);
        return -1;
    }
    *spec = parsed;
    return 0;
}

int tg_spec_filter(struct tg_spec *spec, const char *where, const struct tg_words *words,
                   struct tg_error *err)
{
    if (tg_cell_check_where(where, words, err) < 0) return -1;
    keep_cells(spec, where, true, words);
    return spec->cell_count ? 0 : tg_fail(err, "no cell of the matrix matches '%s'", where);
}

int tg_block_parse(const char *text, struct tg_cell cells[2], struct tg_error *err)
{
    char own[TG_BLOCK_TEXT_SIZE];
    if (strlen(text) >= sizeof own) return tg_fail(err, "the text of a block is too long");
    memcpy(own, text, strlen(text) + 1);
    char *bar = strstr(own, " | ");
    if (bar) *bar = 0;
    if (!*own || (bar && !bar[3])) return tg_fail(err, "a block with a cell missing");
    if (tg_cell_parse(own, &cells[0], err) < 0) return -1;
    if (bar && tg_cell_parse(bar + 3, &cells[1], err) < 0) return -1;
    return bar ? 2 : 1;
}

int tg_spec_add_block(struct tg_spec *spec, const struct tg_test *test, size_t *block,
                      struct tg_error *err)
{
    struct tg_block made = {.cells = {test->of, test->to},
                            .cell_count = test->has_to ? 2 : 1,
                            .hardware = test->hardware};
    char of[TG_CELL_TEXT_SIZE], to[TG_CELL_TEXT_SIZE];
    tg_cell_text(&test->of, of);
    tg_cell_text(&test->to, to);
    snprintf(made.text, sizeof made.text, test->has_to ? "%s | %s" : "%s", of, to);

    for (*block = 0; *block < spec->block_count; ++*block)
        if (strcmp(spec->blocks[*block].text, made.text) == 0 &&
            spec->blocks[*block].hardware == test->hardware)
            return 0;
    void *blocks = grown(spec->blocks, spec->block_count, sizeof *spec->blocks);
    if (!blocks) return tg_fail(err, "out of memory");
    spec->blocks = blocks;
    spec->blocks[spec->block_count++] = made;
    return 0;
}

static int add_test(struct tg_spec *spec, const struct tg_test *test, bool is_timed,
                    struct tg_error *err)
{
    void *tests = grown(spec->tests, spec->test_count, sizeof *spec->tests);
    if (!tests) return tg_fail(err, "out of memory");
    spec->tests = tests;
    struct tg_test *added = &spec->tests[spec->test_count];
    *added = *test;
    if (tg_spec_add_block(spec, test, &added->block, err) < 0) return -1;
    if (is_timed)
        spec->blocks[added->block].is_timed = true;
    else
        spec->blocks[added->block].is_fixed = true;
    spec->test_count++;
    return 0;
}

/* The other cell of a pair along the rule's axis. False if this cell has none. */
static bool other_cell(const struct tg_rule *rule, const struct tg_words *words, bool has_base,
                       struct tg_test *test)
{
    char value[TG_TEXT_SIZE];
    const char *to = rule->to;
    tg_record_get(tg_record_field(&tg_cell_type, rule->axis), &test->of, value, sizeof value);
    if (fnmatch(rule->of, value, 0) != 0 || strcmp(value, rule->to) == 0) return false;
    test->has_to = true;
    test->to = test->of;
    bool is_there = has_base && !tg_words_find(words, TG_SPEC_NEW, test->of.kernel);
    if (strcmp(rule->axis, "build") == 0 && strcmp(to, "base") == 0 && !is_there) to = "copy";
    test->is_shadow = strcmp(rule->axis, "build") == 0 && strcmp(to, "copy") == 0;
    return tg_record_set(&tg_cell_type, &test->to, rule->axis, to, NULL) == 0;
}

/* Whether a cell is a rival of the one that a test judges. */
static bool is_rival(const struct tg_rule *rule, const struct tg_cell *of, const struct tg_cell *to,
                     const struct tg_words *words)
{
    const struct tg_word named = {"", "", rule->against};
    char value[TG_TEXT_SIZE], other[TG_TEXT_SIZE], pattern[sizeof rule->against];
    if (!tg_cell_matches(to, rule->against, words)) return false;
    for (size_t i = 0; i < tg_cell_type.field_count; i++) {
        const struct tg_field *field = &tg_cell_type.fields[i];
        bool is_axis = strcmp(field->name, rule->axis) == 0;
        tg_record_get(field, of, value, sizeof value);
        tg_record_get(field, to, other, sizeof other);
        if (is_axis && fnmatch(rule->of, value, 0) != 0) return false;
        if (is_axis == (strcmp(value, other) != 0)) continue;
        if (is_axis || !tg_words_trait(&named, field->name, pattern, sizeof pattern)) return false;
    }
    return true;
}

static int add_rivals(struct tg_spec *spec, const struct tg_rule *rule,
                      const struct tg_words *words, const struct tg_test *test, bool is_timed,
                      struct tg_error *err)
{
    for (size_t i = 0; i < spec->cell_count; i++) {
        struct tg_test pair = *test;
        if (!is_rival(rule, &test->of, &spec->cells[i], words)) continue;
        pair.to = spec->cells[i];
        pair.has_to = true;
        if (add_test(spec, &pair, is_timed, err) < 0) return -1;
    }
    return 0;
}

int tg_spec_plan(struct tg_spec *spec, const struct tg_policy *policy, const struct tg_words *words,
                 bool has_base, size_t classes, struct tg_error *err)
{
    for (size_t r = 0; r < policy->rule_count; r++) {
        const struct tg_rule *rule = &policy->rules[r];
        char nature[16] = "";
        tg_words_trait(tg_words_find(words, "metric", rule->metric), "nature", nature,
                       sizeof nature);
        bool is_timed = strcmp(nature, "sampled") == 0;
        for (size_t i = 0; i < spec->cell_count * classes; i++) {
            struct tg_test test = {
                .rule = r, .of = spec->cells[i / classes], .hardware = i % classes};
            if (!tg_cell_matches(&test.of, rule->where, words)) continue;
            if (*rule->against) {
                if (add_rivals(spec, rule, words, &test, is_timed, err) < 0) return -1;
                continue;
            }
            if (*rule->axis && !other_cell(rule, words, has_base, &test)) continue;
            if (add_test(spec, &test, is_timed, err) < 0) return -1;
        }
    }
    if (spec->test_count) return 0;
    return tg_fail(err, "no rule of policy '%s' selects a cell of the matrix", policy->flow);
}

static bool matches_any(const struct tg_cell *cell, const char *const patterns[], size_t count,
                        const struct tg_words *words)
{
    for (size_t i = 0; i < count; i++)
        if (tg_cell_matches(cell, patterns[i], words)) return true;
    return false;
}

/* Whether the cell is one of a block. */
static bool is_compared(const struct tg_spec *spec, const struct tg_cell *cell)
{
    for (size_t b = 0; b < spec->block_count; b++)
        for (size_t i = 0; i < spec->blocks[b].cell_count; i++)
            if (memcmp(&spec->blocks[b].cells[i], cell, sizeof *cell) == 0) return true;
    return false;
}

/* A block has all tests of its cells, so that each goes or stays as its block does. */
int tg_spec_keep(struct tg_spec *spec, const char *const patterns[], size_t count,
                 const struct tg_words *words, struct tg_error *err)
{
    size_t kept = 0, *places = calloc(spec->block_count + 1, sizeof *places);
    if (!places) return tg_fail(err, "out of memory");
    for (size_t b = 0; b < spec->block_count; b++) {
        const struct tg_block *block = &spec->blocks[b];
        bool is_kept = false;
        for (size_t i = 0; i < block->cell_count; i++)
            is_kept = is_kept || matches_any(&block->cells[i], patterns, count, words);
        places[b] = is_kept ? kept : SIZE_MAX;
        if (is_kept) spec->blocks[kept++] = *block;
    }
    spec->block_count = kept;
    kept = 0;
    for (size_t t = 0; t < spec->test_count; t++) {
        struct tg_test test = spec->tests[t];
        test.block = places[test.block];
        if (test.block != SIZE_MAX) spec->tests[kept++] = test;
    }
    spec->test_count = kept;
    kept = 0;
    for (size_t i = 0; i < spec->cell_count; i++) {
        const struct tg_cell *cell = &spec->cells[i];
        if (matches_any(cell, patterns, count, words) || is_compared(spec, cell))
            spec->cells[kept++] = *cell;
    }
    spec->cell_count = kept;
    free(places);
    return 0;
}

bool tg_spec_has_model(const struct tg_spec *spec, const char *model)
{
    for (size_t b = 0; b < spec->block_count; b++)
        for (size_t i = 0; i < spec->blocks[b].cell_count; i++)
            if (strcmp(spec->blocks[b].cells[i].model, model) == 0) return true;
    return false;
}

void tg_spec_release(struct tg_spec *spec)
{
    free(spec->cells);
    free(spec->tests);
    free(spec->blocks);
    *spec = (struct tg_spec){0};
}
