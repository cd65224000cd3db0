/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "coordinator/import.h"
#include "coordinator/plan.h"
#include "kernels/kernel.h"
#include "matrix/words.h"

/* What a run announces before its first round, made afterwards of its rows. */

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

static bool is_same_worker(const struct tg_facts *a, const struct tg_facts *b)
{
    return strcmp(a->host, b->host) == 0 && strcmp(a->domain, b->domain) == 0 &&
           strcmp(a->hardware, b->hardware) == 0;
}

size_t tg_import_workers(const struct tg_lines *lines, size_t workers[])
{
    size_t count = 0;
    for (size_t i = 0; i < lines->count; i++) {
        size_t k = 0;
        while (k < i && !is_same_worker(&lines->rows[k].facts, &lines->rows[i].facts)) k++;
        workers[i] = k < i ? workers[k] : count++;
    }
    return count;
}

/* The cells of a row's block, which tg_import_read has looked at; returns how many. */
static size_t block_cells(const struct tg_measurement *m, struct tg_cell cells[2])
{
    int count = tg_block_parse(m->block, cells, NULL);
    return count > 0 ? (size_t)count : 0;
}

/* Adds the cell to a matrix as an object of its own: an axis with one value each. */
static void add_cell(struct tg_json *list, const struct tg_cell *cell)
{
    struct tg_json *axes = tg_json_object(list, NULL);
    for (size_t i = 0; i < tg_cell_type.field_count; i++) {
        const struct tg_field *field = &tg_cell_type.fields[i];
        const void *value = (const char *)cell + field->offset;
        char text[TG_TEXT_SIZE];
        if (strcmp(tg_record_get(field, cell, text, sizeof text), field->fallback) == 0) continue;
        struct tg_json *values = tg_json_array(axes, field->name);
        if (field->kind == TG_TEXT)
            tg_json_add_text(values, NULL, value);
        else
            tg_json_add_number(values, NULL, (double)*(const int64_t *)value);
    }
}

char *tg_import_matrix(const struct tg_lines *lines, struct tg_error *err)
{
    size_t count = 0;
    const char *last = ""; /* block: those of its other rounds say nothing new */
    struct tg_cell *cells = calloc(2 * lines->count, sizeof *cells);
    if (!cells) {
        tg_fail(err, "out of memory");
        return NULL;
    }
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_number(root, "tritgate_matrix", 1);
    struct tg_json *list = tg_json_array(root, "axes");
    for (size_t i = 0; i < lines->count; i++) {
        struct tg_cell named[2];
        size_t of_block = block_cells(&lines->rows[i], named);
        if (strcmp(lines->rows[i].block, last) == 0) continue;
        last = lines->rows[i].block;
        for (size_t c = 0; c < of_block; c++) {
            size_t k = 0;
            if (strcmp(named[c].build, "head") != 0) continue;
            while (k < count && memcmp(&cells[k], &named[c], sizeof *cells) != 0) k++;
            if (k < count) continue;
            cells[count++] = named[c];
            add_cell(list, &named[c]);
        }
    }
    char *text = count ? tg_json_print(root, true) : NULL;
    if (!count) tg_fail(err, "no line names a cell of head");
    tg_json_free(root);
    free(cells);
    return text;
}

/* A part of a kernel's name, from 0; "unknown" if there is none. */
static void name_part(const char *name, int part, char *out)
{
    while (part-- > 0) {
        name += strcspn(name, "_");
        name += *name == '_';
    }
    int length = (int)strcspn(name, "_");
    snprintf(out, TG_TEXT_SIZE, "%.*s", length ? length : 7, length ? name : "unknown");
}

static bool ends_in(const char *text, const char *end)
{
    size_t length = strlen(text), wanted = strlen(end);
    return length >= wanted && strcmp(text + length - wanted, end) == 0;
}

/* The operation whose name ends a kernel's name, as in i2s_avx2_unpack; or product. */
static const char *op_of(const char *name)
{
    for (size_t i = 0; i < tg_op_count(); i++) {
        char end[TG_TEXT_SIZE];
        snprintf(end, sizeof end, "_%s", tg_op_at(i)->name);
        if (ends_in(name, end)) return tg_op_at(i)->name;
    }
    return "product";
}

/* What is known of a kernel: the program's own row of that name, or what its name says. */
static void describe(const char *name, const char *isa, struct tg_survey_kernel *k)
{
    const struct tg_kernel *own = tg_kernel_find(name);
    snprintf(k->name, sizeof k->name, "%s", name);
    k->column_multiple = own ? own->column_multiple : 1;
    if (own) {
        snprintf(k->op, sizeof k->op, "%s", own->op);
        snprintf(k->format, sizeof k->format, "%s", own->format);
        snprintf(k->isa, sizeof k->isa, "%s", own->isa);
        snprintf(k->device, sizeof k->device, "%s", own->device);
        return;
    }
    snprintf(k->op, sizeof k->op, "%s", op_of(name));
    name_part(name, 0, k->format);
    if (*isa && strcmp(isa, "unknown") != 0 && strspn(isa, NAME_LETTERS) == strlen(isa))
        snprintf(k->isa, sizeof k->isa, "%s", isa);
    else
        name_part(name, 1, k->isa);
    bool is_cuda = strncmp(k->isa, "sm", 2) == 0 || strncmp(k->isa, "cuda", 4) == 0;
    snprintf(k->device, sizeof k->device, "%s", is_cuda ? "cuda" : "cpu");
}

/* Adds a kernel, if it has a name that is not there yet; survey has room for it. */
static void add_kernel(struct tg_survey *survey, const char *name, const char *isa)
{
    if (!*name || tg_words_is_pattern(name) || tg_survey_find(survey, name)) return;
    if (strlen(name) >= TG_TEXT_SIZE || strspn(name, NAME_LETTERS) != strlen(name)) return;
    describe(name, isa, &survey->kernels[survey->count]);
    survey->kernels[survey->count++].built = true;
}

/* The kernels that objects of axes write out. */
static size_t matrix_kernels(const struct tg_json *root, struct tg_survey *survey)
{
    const struct tg_json *axes = tg_json_get(root, "axes");
    size_t count = 0;
    bool is_list = tg_json_kind(axes) == TG_JSON_ARRAY;
    const struct tg_json *one = !is_list ? axes : tg_json_count(axes) ? tg_json_at(axes, 0) : NULL;
    for (; one; one = is_list ? tg_json_next(one) : NULL) {
        const struct tg_json *list = tg_json_get(one, "kernel");
        for (size_t i = 0; i < tg_json_count(list); i++, count++)
            if (survey) add_kernel(survey, tg_json_text(tg_json_at(list, i)), "");
    }
    return count;
}

/* Every kernel that rows, their blocks and the matrix name; none is here yet. */
static int find_kernels(const struct tg_lines *lines, const struct tg_json *matrix,
                        struct tg_survey *survey, struct tg_error *err)
{
    size_t most = 3 * lines->count + matrix_kernels(matrix, NULL);
    survey->kernels = calloc(most + 1, sizeof *survey->kernels);
    if (!survey->kernels) return tg_fail(err, "out of memory");
    for (size_t i = 0; i < lines->count; i++)
        if (strcmp(lines->rows[i].facts.isa_requested, "unknown") != 0)
            add_kernel(survey, lines->rows[i].cell.kernel, lines->rows[i].facts.isa_requested);
    for (size_t i = 0; i < lines->count; i++) {
        struct tg_cell cells[2];
        size_t count = block_cells(&lines->rows[i], cells);
        for (size_t c = 0; c < count; c++) add_kernel(survey, cells[c].kernel, "");
    }
    matrix_kernels(matrix, survey);
    return 0;
}

/* What the rows of a library say of it: the digest that comes first, and the worst of the rest. */
static void describe_library(const struct tg_lines *lines, bool is_base, struct tg_survey *survey)
{
    snprintf(survey->build, sizeof survey->build, "unknown, imported");
    snprintf(survey->digest, sizeof survey->digest, "unknown");
    for (size_t i = 0; i < lines->count; i++) {
        const struct tg_facts *facts = &lines->rows[i].facts;
        if ((strcmp(lines->rows[i].cell.build, "base") == 0) != is_base) continue;
        if (strcmp(survey->digest, "unknown") == 0)
            memcpy(survey->digest, facts->library, sizeof survey->digest);
        if (facts->injected_percent > survey->injected_percent)
            survey->injected_percent = facts->injected_percent;
        if (facts->is_debug) survey->is_debug = true;
    }
}

/* Whether a block, of any row, has a cell of base. */
static bool names_base(const struct tg_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        struct tg_cell cells[2];
        size_t count = block_cells(&lines->rows[i], cells);
        for (size_t c = 0; c < count; c++)
            if (strcmp(cells[c].build, "base") == 0) return true;
    }
    return false;
}

/* Marks the kernels that rows from this hardware name, or all where a matrix says what was asked.
 */
static void mark_seen(const struct tg_lines *lines, const char *hardware, bool all,
                      struct tg_survey *survey)
{
    for (size_t k = 0; k < survey->count; k++) survey->kernels[k].here = all;
    for (size_t i = 0; i < lines->count && !all; i++) {
        struct tg_cell cells[2];
        size_t count = block_cells(&lines->rows[i], cells);
        if (strcmp(lines->rows[i].facts.hardware, hardware) != 0) continue;
        for (size_t c = 0; c < count; c++)
            for (size_t k = 0; k < survey->count; k++)
                if (strcmp(survey->kernels[k].name, cells[c].kernel) == 0)
                    survey->kernels[k].here = true;
    }
}

/* The worker that a row is from; its kernels are those that its hardware has seen, or all. */
static int make_worker(const struct tg_lines *lines, const struct tg_facts *facts,
                       const struct tg_survey *kernels, bool all, struct tg_capability *w,
                       struct tg_error *err)
{
    struct tg_survey *const libraries[] = {&w->head, &w->base};
    memcpy(w->host, facts->host, sizeof w->host);
    memcpy(w->domain, facts->domain, sizeof w->domain);
    memcpy(w->hardware, facts->hardware, sizeof w->hardware);
    w->has_base = names_base(lines);
    for (int i = 0; i < 2; i++) {
        struct tg_survey *library = libraries[i];
        library->kernels = calloc(kernels->count + 1, sizeof *library->kernels);
        if (!library->kernels) return tg_fail(err, "out of memory");
        if (kernels->count)
            memcpy(library->kernels, kernels->kernels, kernels->count * sizeof *library->kernels);
        library->count = kernels->count;
        describe_library(lines, i == 1, library);
        mark_seen(lines, w->hardware, all, library);
    }
    return 0;
}

static char *print_plan(const struct tg_lines *lines, const struct tg_survey *kernels,
                        bool is_matrix_seen, struct tg_error *err)
{
    struct tg_asked asked = {
        .seed = "unknown", .is_imported = true, .is_matrix_seen = is_matrix_seen};
    size_t *numbers = calloc(lines->count, sizeof *numbers), count = 0, made = 0;
    struct tg_capability *workers = calloc(lines->count, sizeof *workers);
    int rc = numbers && workers ? 0 : tg_fail(err, "out of memory");
    if (rc == 0) count = tg_import_workers(lines, numbers);
    for (size_t i = 0; i < lines->count && rc == 0; i++)
        if (numbers[i] == made)
            rc = make_worker(lines, &lines->rows[i].facts, kernels, !is_matrix_seen,
                             &workers[made++], err);
    if (rc == 0)
        asked.is_same = workers[0].has_base && strcmp(workers[0].head.digest, "unknown") != 0 &&
                        strcmp(workers[0].head.digest, workers[0].base.digest) == 0;
    char *text = rc == 0 ? tg_plan_text(&asked, workers, count) : NULL;
    for (size_t i = 0; i < made; i++) tg_plan_capability_release(&workers[i]);
    free(workers);
    free(numbers);
    return text;
}

char *tg_import_plan(const struct tg_lines *lines, const char *matrix, bool is_matrix_seen,
                     struct tg_error *err)
{
    struct tg_json_file file;
    struct tg_survey kernels = {0};
    if (tg_json_parse(matrix, &file, err) < 0) return NULL;
    char *text = NULL;
    if (find_kernels(lines, file.root, &kernels, err) == 0)
        text = print_plan(lines, &kernels, is_matrix_seen, err);
    tg_survey_release(&kernels);
    tg_json_release(&file);
    return text;
}
