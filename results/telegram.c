/* SPDX-License-Identifier: Apache-2.0 */
#include "results/telegram.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/metric.h"

static const char done[] = "done\n", none[] = "none";

static uint64_t bits_of(double real)
{
    uint64_t bits;
    memcpy(&bits, &real, sizeof bits);
    return bits;
}

static void write_list(FILE *out, const int64_t *counts, size_t count)
{
    for (size_t k = 0; k < count; k++) fprintf(out, k ? " %" PRId64 : "%" PRId64, counts[k]);
    fputc('\n', out);
}

static void write_series(FILE *out, const struct tg_series *s)
{
    fprintf(out, "%s %zu\n", s->metric, s->count);
    for (size_t k = 0; k < s->count; k++)
        fprintf(out, k ? " %016" PRIx64 : "%016" PRIx64, bits_of(s->samples[k]));
    fputc('\n', out);
    write_list(out, s->turns, s->count);
    write_list(out, s->begun, s->count);
}

static const void *of_fact(const struct tg_facts *facts, const struct tg_field *field)
{
    return (const char *)facts + field->offset;
}

/* Whether a fact is as it is in another record; of reals that are not finite all are alike. */
static bool is_alike(const struct tg_field *field, const void *a, const void *b)
{
    double x, y;
    switch (field->kind) {
    case TG_TEXT: return strcmp(a, b) == 0;
    case TG_COUNT: return *(const int64_t *)a == *(const int64_t *)b;
    case TG_REAL:
        x = *(const double *)a, y = *(const double *)b;
        return bits_of(x) == bits_of(y) || (!isfinite(x) && !isfinite(y));
    }
    return false;
}

/* The facts that are not as `known`, which the reader has. */
static void write_facts(FILE *out, const struct tg_facts *facts, const struct tg_facts *known)
{
    const char *blank_or_not = "";
    for (size_t i = 0; i < tg_facts_type.field_count; i++) {
        const struct tg_field *field = &tg_facts_type.fields[i];
        const void *fact = of_fact(facts, field);
        if (is_alike(field, fact, of_fact(known, field))) continue;
        fprintf(out, "%s%s=", blank_or_not, field->name);
        switch (field->kind) {
        case TG_TEXT: fputs(fact, out); break;
        case TG_COUNT: fprintf(out, "%" PRId64, *(const int64_t *)fact); break;
        case TG_REAL:
            if (isfinite(*(const double *)fact))
                fprintf(out, "%016" PRIx64, bits_of(*(const double *)fact));
            else
                fputs(none, out);
            break;
        }
        blank_or_not = " ";
    }
    fputc('\n', out);
}

char *tg_telegram_text(const struct tg_measurement *m, const struct tg_measurement *before)
{
    char cell[TG_CELL_TEXT_SIZE], *text = NULL;
    size_t size;
    struct tg_measurement blank;
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    tg_measurement_init(&blank);
    fprintf(out, "%s\n%s\n", tg_cell_text(&m->cell, cell), m->block);
    fprintf(out, "%" PRId64 " %" PRId64 " %d %" PRId64 " %zu\n", m->round, m->attempt,
            (int)m->outcome, m->unpaired, m->series_count);
    write_facts(out, &m->facts, before ? &before->facts : &blank.facts);
    for (size_t i = 0; i < m->series_count; i++) write_series(out, &m->series[i]);
    fputs(m->reason, out);
    bool is_whole = !ferror(out);
    if (fclose(out) == 0 && is_whole) return text;
    free(text);
    return NULL;
}

char *tg_telegrams_text(const struct tg_measurement *rows, size_t count)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    fputs(done, out);
    bool is_whole = true;
    for (size_t i = 0; is_whole && i < count; i++) {
        char *telegram = tg_telegram_text(&rows[i], i ? &rows[i - 1] : NULL);
        is_whole = telegram && fprintf(out, "%zu %s\n", strlen(telegram), telegram) > 0;
        free(telegram);
    }
    if (fclose(out) == 0 && is_whole) return text;
    free(text);
    return NULL;
}

/* The next line of a text, whose end is made that of a string; NULL if there is none. */
static char *next_line(char **text)
{
    char *line = *text, *end = strchr(line, '\n');
    if (!end) return NULL;
    *end = 0;
    *text = end + 1;
    return line;
}

/* Goes behind a number, which a blank or the end must follow. */
static bool go_on(char **line, char *end)
{
    if (*end && *end != ' ') return false;
    *line = *end ? end + 1 : end;
    return true;
}

/* The next count of a line: whole and not negative. */
static bool next_count(char **line, int64_t *number)
{
    char *c = *line;
    int64_t sum = 0;
    for (; *c >= '0' && *c <= '9'; c++)
        if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, *c - '0', &sum))
            return false;
    *number = sum;
    return c != *line && go_on(line, c);
}

/* 16 more than what a hexadecimal digit is, 0 for other characters. */
static const unsigned char digits[256] = {
    ['0'] = 16, ['1'] = 17, ['2'] = 18, ['3'] = 19, ['4'] = 20, ['5'] = 21, ['6'] = 22, ['7'] = 23,
    ['8'] = 24, ['9'] = 25, ['a'] = 26, ['b'] = 27, ['c'] = 28, ['d'] = 29, ['e'] = 30, ['f'] = 31};

/* The next real of a line. */
static bool next_real(char **line, double *real)
{
    char *c = *line;
    uint64_t bits = 0;
    for (char *end = c + 16; c < end; c++) {
        unsigned char digit = digits[(unsigned char)*c];
        if (!digit) return false;
        bits = bits << 4 | (digit & 15);
    }
    memcpy(real, &bits, sizeof *real);
    return isfinite(*real) && go_on(line, c);
}

/* One of the lists of a series: as many numbers as it is long, and nothing behind them. */
static bool read_list(char **text, size_t count, double *samples, int64_t *counts)
{
    char *line = next_line(text);
    for (size_t k = 0; line && k < count; k++)
        if (samples ? !next_real(&line, &samples[k]) : !next_count(&line, &counts[k])) return false;
    return line && !*line;
}

/* `size` is that of the whole telegram. */
static int read_series(char **text, size_t size, struct tg_measurement *m, struct tg_error *err)
{
    int64_t count = -1;
    char *line = next_line(text), *blank = line ? strchr(line, ' ') : NULL;
    if (!blank) return tg_fail(err, "a series is missing");
    *blank++ = 0;
    if (!tg_metric_find(line)) return tg_fail(err, "no such metric '%s'", line);
    if (tg_measurement_series(m, line)) return tg_fail(err, "metric '%s' is given twice", line);
    /* A number takes a byte at least, so that no length is believed that the text cannot hold. */
    if (!next_count(&blank, &count) || *blank || (uint64_t)count > size)
        return tg_fail(err, "metric '%s': its length is no count", line);
    struct tg_series *s = tg_measurement_add(m, line, (size_t)count);
    if (!s) return tg_fail(err, "out of memory");
    if (!read_list(text, s->count, s->samples, NULL) ||
        !read_list(text, s->count, NULL, s->turns) || !read_list(text, s->count, NULL, s->begun))
        return tg_fail(err, "metric '%s' has not %zu samples, turns and begins", line, s->count);
    return 0;
}

/* A real that is a fact may be none. */
static bool read_real(char *value, double *real)
{
    if (strcmp(value, none) != 0) return next_real(&value, real) && !*value;
    *real = NAN;
    return true;
}

/* The facts of a line into a record of what is known without it. */
static int read_facts(char *line, struct tg_facts *facts, struct tg_error *err)
{
    size_t next = 0;
    while (*line) {
        char *name = line, *value = strchr(name, '='), *end = value ? strchr(value, ' ') : NULL;
        if (!value) return tg_fail(err, "'%s' is not of the form fact=value", name);
        line = end ? end + 1 : value + strlen(value);
        if (end) *end = 0;
        *value++ = 0;
        while (next < tg_facts_type.field_count &&
               strcmp(tg_facts_type.fields[next].name, name) != 0)
            next++;
        if (next == tg_facts_type.field_count)
            return tg_fail(err, "fact '%s' is unknown, or not in its place", name);
        const struct tg_field *field = &tg_facts_type.fields[next++];
        bool is_usable = field->kind == TG_REAL
                             ? read_real(value, (double *)(void *)((char *)facts + field->offset))
                             : tg_record_store(field, facts, value) == 0;
        if (!is_usable) return tg_fail(err, "fact '%s': unusable value '%s'", name, value);
    }
    return 0;
}

static int read_numbers(char *line, struct tg_measurement *m, int64_t *series_count,
                        struct tg_error *err)
{
    int64_t outcome;
    if (!line || !next_count(&line, &m->round) || !next_count(&line, &m->attempt) ||
        !next_count(&line, &outcome) || !next_count(&line, &m->unpaired) ||
        !next_count(&line, series_count) || *line)
        return tg_fail(err, "its numbers are not five counts");
    if (outcome > TG_SKIPPED) return tg_fail(err, "no such outcome '%" PRId64 "'", outcome);
    m->outcome = (enum tg_outcome)outcome;
    return 0;
}

static int read_text(char *text, size_t size, struct tg_measurement *m, struct tg_error *err)
{
    int64_t series_count = 0;
    const char *cell = next_line(&text), *block = cell ? next_line(&text) : NULL;
    if (!block || strlen(block) >= sizeof m->block) return tg_fail(err, "its block is missing");
    if (tg_cell_parse(cell, &m->cell, err) < 0) return -1;
    memcpy(m->block, block, strlen(block) + 1);
    if (read_numbers(next_line(&text), m, &series_count, err) < 0) return -1;
    char *facts = next_line(&text);
    if (!facts) return tg_fail(err, "its facts are missing");
    if (read_facts(facts, &m->facts, err) < 0) return -1;
    for (int64_t i = 0; i < series_count; i++)
        if (read_series(&text, size, m, err) < 0) return -1;
    if (strlen(text) >= sizeof m->reason) return tg_fail(err, "its reason is too long");
    memcpy(m->reason, text, strlen(text) + 1);
    return 0;
}

/* Cuts up a text that ends behind so many bytes. */
static int cut_up(char *text, size_t size, const struct tg_measurement *before,
                  struct tg_measurement *m, struct tg_error *err)
{
    tg_measurement_init(m);
    if (before) m->facts = before->facts;
    if (read_text(text, size, m, err) == 0) return 0;
    tg_measurement_free(m);
    return tg_fail_in(err, "telegram");
}

char *tg_telegrams_begin(char *message)
{
    size_t length = strlen(done);
    return strncmp(message, done, length) == 0 ? message + length : NULL;
}

struct tg_measurement *tg_telegrams_next(char **at, const struct tg_measurement *before,
                                         struct tg_error *err)
{
    int64_t size;
    char *text = *at, *blank = strchr(text, ' ');
    bool is_whole = blank && next_count(&text, &size) && text == blank + 1 &&
                    strnlen(text, (size_t)size) == (size_t)size && text[size] == '\n';
    struct tg_measurement *m = is_whole ? malloc(sizeof *m) : NULL;
    if (!m) {
        tg_fail(err, is_whole ? "out of memory" : "a telegram is not as long as it says");
        return NULL;
    }
    text[size] = 0;
    *at = text + size + 1;
    if (cut_up(text, (size_t)size, before, m, err) == 0) return m;
    free(m);
    return NULL;
}
