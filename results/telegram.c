/* SPDX-License-Identifier: Apache-2.0 */
#include "results/telegram.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/metric.h"

static const char done[] = "done\n";

static void write_series(FILE *out, const struct tg_series *s)
{
    fprintf(out, "%s %zu\n", s->metric, s->count);
    for (size_t k = 0; k < s->count; k++) fprintf(out, k ? " %a" : "%a", s->samples[k]);
    fputc('\n', out);
    for (size_t k = 0; k < s->count; k++) fprintf(out, k ? " %" PRId64 : "%" PRId64, s->turns[k]);
    fputc('\n', out);
    for (size_t k = 0; k < s->count; k++) fprintf(out, k ? " %" PRId64 : "%" PRId64, s->begun[k]);
    fputc('\n', out);
}

char *tg_telegram_text(const struct tg_measurement *m)
{
    char cell[TG_CELL_TEXT_SIZE], *text = NULL;
    size_t size, facts_size = tg_record_format(&tg_facts_type, &m->facts, NULL, 0) + 1;
    char *facts = malloc(facts_size);
    FILE *out = facts ? open_memstream(&text, &size) : NULL;
    if (!out) {
        free(facts);
        return NULL;
    }
    tg_record_format(&tg_facts_type, &m->facts, facts, facts_size);
    fprintf(out, "%s\n%s\n", tg_cell_text(&m->cell, cell), m->block);
    fprintf(out, "%" PRId64 " %" PRId64 " %d %" PRId64 " %zu\n%s\n", m->round, m->attempt,
            (int)m->outcome, m->unpaired, m->series_count, facts);
    for (size_t i = 0; i < m->series_count; i++) write_series(out, &m->series[i]);
    fputs(m->reason, out);
    free(facts);
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
        char *telegram = tg_telegram_text(&rows[i]);
        is_whole = telegram && fprintf(out, "%zu %s", strlen(telegram), telegram) > 0;
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

/* The next count of a line: whole and not negative, before a blank or the end. */
static bool next_count(char **line, int64_t *number)
{
    char *end;
    if (**line < '0' || **line > '9') return false;
    errno = 0;
    *number = strtoll(*line, &end, 10);
    if (errno || (*end && *end != ' ')) return false;
    *line = *end ? end + 1 : end;
    return true;
}

static bool next_sample(char **line, double *sample)
{
    char *end;
    if (**line != '-' && (**line < '0' || **line > '9')) return false;
    *sample = strtod(*line, &end);
    if (end == *line || (*end && *end != ' ') || !isfinite(*sample)) return false;
    *line = *end ? end + 1 : end;
    return true;
}

/* One of the lists of a series: as many numbers as it is long, and nothing behind them. */
static bool read_list(char **text, size_t count, double *samples, int64_t *counts)
{
    char *line = next_line(text);
    for (size_t k = 0; line && k < count; k++)
        if (samples ? !next_sample(&line, &samples[k]) : !next_count(&line, &counts[k]))
            return false;
    return line && !*line;
}

static int read_series(char **text, struct tg_measurement *m, struct tg_error *err)
{
    int64_t count = -1;
    char *line = next_line(text), *blank = line ? strchr(line, ' ') : NULL;
    if (!blank) return tg_fail(err, "a series is missing");
    *blank++ = 0;
    if (!tg_metric_find(line)) return tg_fail(err, "no such metric '%s'", line);
    if (tg_measurement_series(m, line)) return tg_fail(err, "metric '%s' is given twice", line);
    /* A number takes a byte at least, so that no length is believed that the text cannot hold. */
    if (!next_count(&blank, &count) || *blank || (uint64_t)count > strlen(*text))
        return tg_fail(err, "metric '%s': its length is no count", line);
    struct tg_series *s = tg_measurement_add(m, line, (size_t)count);
    if (!s) return tg_fail(err, "out of memory");
    if (!read_list(text, s->count, s->samples, NULL) ||
        !read_list(text, s->count, NULL, s->turns) || !read_list(text, s->count, NULL, s->begun))
        return tg_fail(err, "metric '%s' has not %zu samples, turns and begins", line, s->count);
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

static int read_text(char *text, struct tg_measurement *m, struct tg_error *err)
{
    int64_t series_count = 0;
    const char *cell = next_line(&text), *block = cell ? next_line(&text) : NULL;
    if (!block || strlen(block) >= sizeof m->block) return tg_fail(err, "its block is missing");
    if (tg_cell_parse(cell, &m->cell, err) < 0) return -1;
    snprintf(m->block, sizeof m->block, "%s", block);
    if (read_numbers(next_line(&text), m, &series_count, err) < 0) return -1;
    const char *facts = next_line(&text);
    if (!facts) return tg_fail(err, "its facts are missing");
    if (tg_record_parse(&tg_facts_type, &m->facts, facts, err) < 0) return -1;
    for (int64_t i = 0; i < series_count; i++)
        if (read_series(&text, m, err) < 0) return -1;
    if (strlen(text) >= sizeof m->reason) return tg_fail(err, "its reason is too long");
    snprintf(m->reason, sizeof m->reason, "%s", text);
    return 0;
}

/* Reads a copy that is its own, and frees it; NULL is for no memory. */
static int read_copy(char *copy, struct tg_measurement *m, struct tg_error *err)
{
    if (!copy) return tg_fail(err, "out of memory");
    tg_measurement_init(m);
    int rc = read_text(copy, m, err);
    free(copy);
    if (rc == 0) return 0;
    tg_measurement_free(m);
    return tg_fail_in(err, "telegram");
}

int tg_telegram_read(const char *text, struct tg_measurement *m, struct tg_error *err)
{
    return read_copy(strdup(text), m, err);
}

const char *tg_telegrams_begin(const char *message)
{
    size_t length = strlen(done);
    return strncmp(message, done, length) == 0 ? message + length : NULL;
}

int tg_telegrams_next(const char **at, struct tg_measurement *m, struct tg_error *err)
{
    char *text;
    if (!**at) return 0;
    size_t length = strtoul(*at, &text, 10);
    if (**at < '0' || **at > '9' || *text != ' ' || strnlen(text + 1, length) < length)
        return tg_fail(err, "a telegram is not as long as it says");
    *at = text + 1 + length;
    return read_copy(strndup(text + 1, length), m, err) < 0 ? -1 : 1;
}
