/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/acceptance.h"
#include "matrix/words.h"
#include "results/digest.h"
#include "results/metric.h"

#define ROUNDING     1e-9 /* a cosine may be so much above 1 */
#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

/* A cell as a line may name it: one, with counts from 1 on, of a build that there is. */
static int check_cell(const struct tg_cell *cell, struct tg_error *err)
{
    static const char *const builds[] = {"head", "base", "copy"};
    size_t b = 0;
    for (size_t i = 0; i < tg_cell_type.field_count; i++) {
        const struct tg_field *field = &tg_cell_type.fields[i];
        const void *value = (const char *)cell + field->offset;
        if (field->kind == TG_TEXT && strpbrk(value, "'`")) /* reports quote it for a shell */
            return tg_fail(err, "axis '%s' has a quote, ' or `", field->name);
        if (field->kind == TG_TEXT && tg_words_is_pattern(value))
            return tg_fail(err, "'%s' is a pattern, a cell is one", (const char *)value);
        if (field->kind == TG_COUNT && *(const int64_t *)value < 1)
            return tg_fail(err, "axis '%s' is less than 1", field->name);
    }
    while (b < 3 && strcmp(builds[b], cell->build) != 0) b++;
    if (b == 3) return tg_fail(err, "no such build '%s'", cell->build);
    if (!*cell->probe) return tg_fail(err, "axis 'probe' is missing");
    if (strspn(cell->kernel, NAME_LETTERS) != strlen(cell->kernel))
        return tg_fail(err, "kernel '%s': a name has letters, digits and _", cell->kernel);
    return 0;
}

/* The block must be one cell or two, this row's among them; its text becomes the canonical one. */
static int check_block(struct tg_measurement *m, struct tg_error *err)
{
    struct tg_cell cells[2];
    char texts[2][TG_CELL_TEXT_SIZE];
    int count = tg_block_parse(m->block, cells, err);
    if (count < 0) return tg_fail_in(err, "block");
    if (count == 1) cells[1] = cells[0];
    for (int i = 0; i < 2; i++) {
        if (check_cell(&cells[i], err) < 0) return tg_fail_in(err, "block");
        tg_cell_text(&cells[i], texts[i]);
    }
    bool is_first = memcmp(&m->cell, &cells[0], sizeof m->cell) == 0;
    if (!is_first && memcmp(&m->cell, &cells[1], sizeof m->cell) != 0)
        return tg_fail(err, "its cell is not in its block");
    if (count == 2 && strcmp(texts[0], texts[1]) == 0)
        return tg_fail(err, "both cells of its block are the same");
    snprintf(m->block, sizeof m->block, count == 2 ? "%s | %s" : "%s", texts[0], texts[1]);
    return 0;
}

static int check_series(const struct tg_series *series, struct tg_error *err)
{
    const struct tg_metric *metric = tg_metric_find(series->metric);
    if (metric->nature == TG_FIXED && series->count != 1)
        return tg_fail(err, "metric '%s' is fixed: it has one sample", metric->name);
    for (size_t k = 0; k < series->count; k++)
        if (metric->sign == TG_POSITIVE && !(series->samples[k] > 0))
            return tg_fail(err, "metric '%s' has a sample that is not above 0", metric->name);
        else if (metric->sign == TG_AMOUNT && !(series->samples[k] >= 0))
            return tg_fail(err, "metric '%s' has a sample below 0", metric->name);
        else if (metric->sign == TG_SHARE && series->samples[k] > 1 + ROUNDING)
            return tg_fail(err, "metric '%s' has a sample above 1: 0.99 stands for 99 %%",
                           metric->name);
    return 0;
}

static int take_line(const char *line, size_t length, struct tg_measurement *m,
                     struct tg_error *err)
{
    static const char place[] = "measurement: line 1: ";
    if (strlen(line) != length) return tg_fail(err, "it has a zero byte");
    if (tg_measurement_from_json(line, m, err) < 0) {
        size_t skipped = strncmp(err->text, place, sizeof place - 1) == 0 ? sizeof place - 1 : 0;
        memmove(err->text, err->text + skipped, strlen(err->text + skipped) + 1);
        return -1;
    }
    /* A name without letters is none: the plan calls such a class unknown, and so must its rows. */
    if (!*m->facts.hardware || strcmp(m->facts.hardware, "unknown") == 0)
        memcpy(m->facts.hardware, m->facts.cpu, sizeof m->facts.hardware);
    if (!*m->facts.hardware) snprintf(m->facts.hardware, sizeof m->facts.hardware, "unknown");
    int rc = 0;
    if (m->attempt < 1) rc = tg_fail(err, "its attempt is less than 1");
    if (strcmp(m->facts.date, "unknown") != 0 && !tg_acceptance_has_day(m->facts.date))
        rc = tg_fail(err, "date '%s' is of no day: as 2026-12-31T00:00:00Z, or unknown",
                     m->facts.date);
    if (!*m->facts.library)
        rc = tg_fail(err, "its library is empty: one that is not known is 'unknown'");
    if (m->unpaired > 1) rc = tg_fail(err, "'unpaired' is 0 or 1");
    if (rc == 0 && check_cell(&m->cell, err) < 0) rc = -1;
    if (rc == 0 && check_block(m, err) < 0) rc = -1;
    for (size_t i = 0; i < m->series_count && rc == 0; i++) rc = check_series(&m->series[i], err);
    if (rc < 0) tg_measurement_free(m);
    return rc;
}

static int read_lines(FILE *in, struct tg_lines *lines, struct tg_error *err)
{
    char *line = NULL;
    size_t size = 0, room = 0;
    ssize_t length;
    struct tg_error why;
    int rc = 0;
    while (rc == 0 && (length = getline(&line, &size, in)) >= 0) {
        if (length > 0 && line[length - 1] == '\n') line[--length] = 0;
        if (lines->count == room) {
            room = room ? 2 * room : 64;
            struct tg_measurement *rows = realloc(lines->rows, room * sizeof *rows);
            if (!rows) rc = tg_fail(err, "out of memory");
            if (rows) lines->rows = rows;
        }
        if (rc == 0 && take_line(line, (size_t)length, &lines->rows[lines->count], &why) < 0)
            rc = tg_fail(err, "line %zu: %s", lines->count + 1, why.text);
        if (rc == 0) lines->count++;
    }
    if (rc == 0 && ferror(in)) rc = tg_fail(err, "cannot be read: %s", strerror(errno));
    free(line);
    if (rc == 0 && lines->count == 0) rc = tg_fail(err, "there is no measurement in it");
    return rc;
}

static int by_place(const void *a, const void *b)
{
    const struct tg_measurement *x = *(const struct tg_measurement *const *)a;
    const struct tg_measurement *y = *(const struct tg_measurement *const *)b;
    int block = strcmp(x->block, y->block);
    if (block) return block;
    if (x->round != y->round) return x->round < y->round ? -1 : 1;
    if (x->attempt != y->attempt) return x->attempt < y->attempt ? -1 : 1;
    return memcmp(&x->cell, &y->cell, sizeof x->cell);
}

/* The rows round by round; the caller frees. */
static const struct tg_measurement **in_order(const struct tg_lines *lines, struct tg_error *err)
{
    const struct tg_measurement **sorted = calloc(lines->count, sizeof *sorted);
    if (!sorted) {
        tg_fail(err, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < lines->count; i++) sorted[i] = &lines->rows[i];
    qsort(sorted, lines->count, sizeof *sorted, by_place);
    return sorted;
}

/* No cell has two rows in one round. */
static int check_once(const struct tg_lines *lines, struct tg_error *err)
{
    const struct tg_measurement **sorted = in_order(lines, err);
    int rc = sorted ? 0 : -1;
    for (size_t i = 1; i < lines->count && rc == 0; i++) {
        if (by_place(&sorted[i - 1], &sorted[i]) != 0) continue;
        const struct tg_measurement *first = sorted[i - 1], *second = sorted[i];
        if (first > second) first = sorted[i], second = sorted[i - 1];
        rc = tg_fail(err, "line %td: block, round, attempt and cell are those of line %td",
                     second - lines->rows + 1, first - lines->rows + 1);
    }
    free(sorted);
    return rc;
}

/* A line's content without its place: of the same process, two are one measurement. */
struct content {
    char digest[TG_DIGEST_SIZE];
    size_t line;
};

static int by_content(const void *a, const void *b)
{
    const struct content *x = a, *y = b;
    int order = strcmp(x->digest, y->digest);
    return order ? order : (x->line > y->line) - (x->line < y->line);
}

/* Whether a line says when, and in which process, it was measured. */
static bool is_placed(const struct tg_measurement *m)
{
    return m->facts.pid > 0 && strcmp(m->facts.date, "unknown") != 0 && m->series_count > 0;
}

/* No measurement of a known process stands in two rounds. */
static int check_copies(const struct tg_lines *lines, struct tg_error *err)
{
    struct content *contents = calloc(lines->count, sizeof *contents);
    size_t count = 0;
    int rc = contents ? 0 : tg_fail(err, "out of memory");
    for (size_t i = 0; i < lines->count && rc == 0; i++) {
        struct tg_measurement m = lines->rows[i];
        if (!is_placed(&m)) continue;
        m.round = m.attempt = 0;
        char *text = tg_measurement_to_json(&m);
        contents[count].line = i + 1;
        rc = tg_digest_text(text, contents[count++].digest, err);
        free(text);
    }
    if (rc == 0) qsort(contents, count, sizeof *contents, by_content);
    for (size_t i = 1; i < count && rc == 0; i++)
        if (strcmp(contents[i - 1].digest, contents[i].digest) == 0)
            rc = tg_fail(err, "line %zu: it is line %zu with another round", contents[i].line,
                         contents[i - 1].line);
    free(contents);
    return rc;
}

int tg_import_read(FILE *in, struct tg_lines *lines, struct tg_error *err)
{
    struct tg_lines read = {0};
    if (read_lines(in, &read, err) < 0 || check_once(&read, err) < 0 ||
        check_copies(&read, err) < 0) {
        tg_import_release(&read);
        return -1;
    }
    *lines = read;
    return 0;
}

static bool has_block(const struct tg_plan *plan, const char *text)
{
    for (size_t i = 0; i < plan->spec.block_count; i++)
        if (strcmp(plan->spec.blocks[i].text, text) == 0) return true;
    return false;
}

int tg_import_order(struct tg_lines *lines, const struct tg_plan *plan, struct tg_error *err)
{
    for (size_t i = 0; i < lines->count; i++) {
        char turned[TG_BLOCK_TEXT_SIZE], *block = lines->rows[i].block;
        const char *bar = strstr(block, " | ");
        if (!bar || has_block(plan, block)) continue;
        snprintf(turned, sizeof turned, "%s | %.*s", bar + 3, (int)(bar - block), block);
        if (has_block(plan, turned)) memcpy(block, turned, strlen(turned) + 1);
    }
    return check_once(lines, err);
}

static bool is_one_round(const struct tg_measurement *a, const struct tg_measurement *b)
{
    return strcmp(a->block, b->block) == 0 && a->round == b->round && a->attempt == b->attempt;
}

int tg_import_check_pairs(const struct tg_lines *lines, struct tg_error *err)
{
    const struct tg_measurement **sorted = in_order(lines, err);
    int rc = sorted ? 0 : -1;
    for (size_t i = 0; i < lines->count && rc == 0; i++) {
        const struct tg_measurement *m = sorted[i];
        bool has_other = (i > 0 && is_one_round(sorted[i - 1], m)) ||
                         (i + 1 < lines->count && is_one_round(sorted[i + 1], m));
        if (strstr(m->block, " | ") && !has_other)
            rc = tg_fail(err,
                         "line %td: the other cell of its block has no line in this round; one "
                         "that broke has a line, too",
                         m - lines->rows + 1);
    }
    free(sorted);
    return rc;
}

void tg_import_release(struct tg_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) tg_measurement_free(&lines->rows[i]);
    free(lines->rows);
    *lines = (struct tg_lines){0};
}

/* The rows of worker w go into its file, in the order of the lines. */
static int store_worker(const struct tg_lines *lines, const struct tg_store_plan *plan,
                        const size_t *workers, size_t w, const char *directory,
                        struct tg_error *err)
{
    char path[4096 + 64];
    struct tg_store *store;
    int rc = 0;
    snprintf(path, sizeof path, "%s/worker-%04zu.1.h5", directory, w + 1);
    if (tg_store_create(path, plan, &store, err) < 0) return -1;
    for (size_t i = 0; i < lines->count && rc == 0; i++)
        if (workers[i] == w) rc = tg_store_append(store, &lines->rows[i], err);
    if (tg_store_close(store, rc < 0 ? NULL : err) < 0) rc = -1;
    return rc;
}

int tg_import_store(const struct tg_lines *lines, const struct tg_run *texts, const char *directory,
                    struct tg_error *err)
{
    const struct tg_store_plan plan = {texts->matrix, texts->policy, texts->plan};
    size_t *workers = calloc(lines->count, sizeof *workers);
    if (!workers) return tg_fail(err, "out of memory");
    size_t count = tg_import_workers(lines, workers);
    int rc = 0;
    for (size_t w = 0; w < count && rc == 0; w++)
        rc = store_worker(lines, &plan, workers, w, directory, err);
    free(workers);
    return rc < 0 ? -1 : tg_store_seal(directory, err);
}
