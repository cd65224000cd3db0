/* SPDX-License-Identifier: Apache-2.0 */
#include "results/measurement.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/metric.h"

static const struct tg_field fact_fields[] = {
#define FIELD(name, KIND, fallback, unit, meaning)                                                 \
    {#name, TG_##KIND, offsetof(struct tg_facts, name), fallback, unit, meaning},
#include "results/facts.def"
#undef FIELD
};

const struct tg_record_type tg_facts_type = {
    "fact", fact_fields, sizeof fact_fields / sizeof *fact_fields, sizeof(struct tg_facts)};

static const char *const outcomes[] = {"measured", "wrong", "crashed", "late", "skipped"};

const char *tg_measurement_outcome(enum tg_outcome outcome)
{
    return outcomes[outcome];
}

bool tg_measurement_was_killed(const struct tg_measurement *m)
{
    int64_t end = m->facts.end_signal;
    return m->outcome == TG_CRASHED &&
           (end == SIGKILL || end == SIGTERM || end == SIGINT || end == SIGHUP);
}

bool tg_measurement_broke(const struct tg_measurement *m)
{
    if (m->outcome == TG_MEASURED || m->outcome == TG_WRONG) return false;
    if (m->outcome == TG_SKIPPED) return m->facts.pid > 0 && isnan(m->facts.call_s);
    return !tg_measurement_was_killed(m);
}

static struct tg_cell blank_cell;
static struct tg_facts blank_facts;

static void fill_blanks(void)
{
    tg_record_init(&tg_cell_type, &blank_cell);
    tg_record_init(&tg_facts_type, &blank_facts);
}

void tg_measurement_init(struct tg_measurement *m)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_blanks);
    /* The two long texts, which are half of it, are not filled with zeros. */
    m->cell = blank_cell;
    m->block[0] = 0;
    m->round = 0;
    m->attempt = 1;
    m->session = 0;
    m->outcome = TG_MEASURED;
    m->unpaired = 0;
    m->reason[0] = 0;
    m->facts = blank_facts;
    m->series = NULL;
    m->series_count = 0;
}

void tg_measurement_free(struct tg_measurement *m)
{
    for (size_t i = 0; i < m->series_count; i++) free(m->series[i].samples);
    free(m->series);
    m->series = NULL;
    m->series_count = 0;
}

struct tg_series *tg_measurement_add(struct tg_measurement *m, const char *metric, size_t count)
{
    struct tg_series *series = realloc(m->series, (m->series_count + 1) * sizeof *series);
    if (!series) return NULL;
    m->series = series;
    struct tg_series *added = &series[m->series_count];
    assert(strlen(metric) < sizeof added->metric);
    memset(added, 0, sizeof *added);
    memcpy(added->metric, metric, strlen(metric) + 1);
    added->count = count;
    added->samples = calloc(count + !count, sizeof *added->samples + 2 * sizeof *added->turns);
    if (!added->samples) return NULL;
    added->turns = (int64_t *)(void *)(added->samples + count);
    added->begun = added->turns + count;
    m->series_count++;
    return added;
}

struct tg_measurement *tg_measurement_copy(const struct tg_measurement *m)
{
    struct tg_measurement *copy = malloc(sizeof *copy);
    if (!copy) return NULL;
    *copy = *m;
    copy->series = NULL;
    copy->series_count = 0;
    for (size_t i = 0; i < m->series_count; i++) {
        const struct tg_series *from = &m->series[i];
        struct tg_series *to = tg_measurement_add(copy, from->metric, from->count);
        if (!to) {
            tg_measurement_free(copy);
            free(copy);
            return NULL;
        }
        memcpy(to->samples, from->samples, from->count * sizeof *to->samples);
        memcpy(to->turns, from->turns, from->count * sizeof *to->turns);
        memcpy(to->begun, from->begun, from->count * sizeof *to->begun);
    }
    return copy;
}

void tg_measurement_drop(struct tg_measurement *m, const char *metric)
{
    for (size_t i = 0; i < m->series_count; i++) {
        if (strcmp(m->series[i].metric, metric) != 0) continue;
        free(m->series[i].samples);
        memmove(&m->series[i], &m->series[i + 1], (--m->series_count - i) * sizeof *m->series);
        return;
    }
}

const struct tg_series *tg_measurement_series(const struct tg_measurement *m, const char *metric)
{
    for (size_t i = 0; i < m->series_count; i++)
        if (strcmp(m->series[i].metric, metric) == 0) return &m->series[i];
    return NULL;
}

char *tg_measurement_to_json(const struct tg_measurement *m)
{
    return tg_measurement_to_json_with(m, &tg_facts_type);
}

char *tg_measurement_to_json_with(const struct tg_measurement *m,
                                  const struct tg_record_type *facts)
{
    char text[TG_CELL_TEXT_SIZE];
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_number(root, "tritgate_measurement", 1);
    tg_json_add_text(root, "cell", tg_cell_text(&m->cell, text));
    tg_json_add_text(root, "block", m->block);
    tg_json_add_number(root, "round", (double)m->round);
    tg_json_add_number(root, "attempt", (double)m->attempt);
    tg_json_add_text(root, "outcome", tg_measurement_outcome(m->outcome));
    tg_json_add_number(root, "unpaired", (double)m->unpaired);
    tg_json_add_text(root, "reason", m->reason);
    tg_json_add_record(root, "facts", facts, &m->facts);
    struct tg_json *list = tg_json_array(root, "series");
    for (size_t i = 0; i < m->series_count; i++) {
        const struct tg_series *s = &m->series[i];
        struct tg_json *item = tg_json_object(list, NULL);
        tg_json_add_text(item, "metric", s->metric);
        struct tg_json *samples = tg_json_array(item, "samples");
        for (size_t k = 0; k < s->count; k++) tg_json_add_number(samples, NULL, s->samples[k]);
        struct tg_json *turns = tg_json_array(item, "turn");
        for (size_t k = 0; k < s->count; k++) tg_json_add_number(turns, NULL, (double)s->turns[k]);
        struct tg_json *begun = tg_json_array(item, "begun");
        for (size_t k = 0; k < s->count; k++) tg_json_add_number(begun, NULL, (double)s->begun[k]);
    }
    char *line = tg_json_print(root, false);
    tg_json_free(root);
    return line;
}

/* Whether it is a count: whole, not negative, and an int64_t. (Above 2^53, which nanoseconds are
 * after 104 days without a boot, its last digits are lost.) */
static bool is_count(const struct tg_json *value)
{
    double real = tg_json_number(value);
    return value && tg_json_kind(value) == TG_JSON_NUMBER && real >= 0 && real == floor(real) &&
           real < 9.2e18;
}

static int read_count(const struct tg_json_file *file, const struct tg_json *object,
                      const char *key, int64_t *number, struct tg_error *err)
{
    const struct tg_json *value = tg_json_get(object, key);
    if (!is_count(value))
        return tg_json_fail(file, value ? value : object, err, "'%s' is a count", key);
    *number = (int64_t)tg_json_number(value);
    return 0;
}

static int read_text(const struct tg_json_file *file, const struct tg_json *object, const char *key,
                     char *text, size_t size, struct tg_error *err)
{
    const struct tg_json *value = tg_json_get(object, key);
    if (!value || tg_json_kind(value) != TG_JSON_TEXT || strlen(tg_json_text(value)) >= size)
        return tg_json_fail(file, value ? value : object, err, "'%s' is a text", key);
    snprintf(text, size, "%s", tg_json_text(value));
    return 0;
}

/* One of the three lists of a series, which are equally long. */
static int read_list(const struct tg_json_file *file, const struct tg_json *item, const char *key,
                     size_t count, double *reals, int64_t *wholes, struct tg_error *err)
{
    const struct tg_json *list = tg_json_get(item, key);
    if (!list || tg_json_kind(list) != TG_JSON_ARRAY || tg_json_count(list) != count)
        return tg_json_fail(file, list ? list : item, err, "'%s' is a list of %zu numbers", key,
                            count);
    const struct tg_json *value = count ? tg_json_at(list, 0) : NULL;
    for (size_t k = 0; k < count; k++, value = tg_json_next(value)) {
        if (wholes ? !is_count(value) : tg_json_kind(value) != TG_JSON_NUMBER)
            return tg_json_fail(file, value, err, "%s is expected",
                                wholes ? "a count" : "a number");
        if (reals) reals[k] = tg_json_number(value);
        if (wholes) wholes[k] = (int64_t)tg_json_number(value);
    }
    return 0;
}

static int read_series(const struct tg_json_file *file, const struct tg_json *item,
                       struct tg_measurement *m, struct tg_error *err)
{
    static const char *const keys[] = {"metric", "samples", "turn", "begun", NULL};
    char metric[TG_TEXT_SIZE];
    if (tg_json_only(file, item, keys, err) < 0 ||
        read_text(file, item, "metric", metric, sizeof metric, err) < 0)
        return -1;
    if (!tg_metric_find(metric))
        return tg_json_fail(file, item, err, "no such metric '%s'", metric);
    if (tg_measurement_series(m, metric))
        return tg_json_fail(file, item, err, "metric '%s' is given twice", metric);
    const struct tg_json *samples = tg_json_get(item, "samples");
    size_t count = tg_json_count(samples);
    struct tg_series *s = tg_measurement_add(m, metric, count);
    if (!s) return tg_fail(err, "out of memory");
    if (read_list(file, item, "samples", count, s->samples, NULL, err) < 0 ||
        read_list(file, item, "turn", count, NULL, s->turns, err) < 0 ||
        read_list(file, item, "begun", count, NULL, s->begun, err) < 0)
        return -1;
    return 0;
}

static int read_line(const struct tg_json_file *file, struct tg_measurement *m,
                     struct tg_error *err)
{
    static const char *const keys[] = {"tritgate_measurement",
                                       "cell",
                                       "block",
                                       "round",
                                       "attempt",
                                       "outcome",
                                       "unpaired",
                                       "reason",
                                       "facts",
                                       "series",
                                       NULL};
    const struct tg_json *root = file->root;
    char cell[TG_CELL_TEXT_SIZE], outcome[16];
    size_t o = 0;

    if (tg_json_only(file, root, keys, err) < 0) return -1;
    if (tg_json_number(tg_json_get(root, "tritgate_measurement")) != 1)
        return tg_json_fail(file, root, err, "not a measurement");
    if (read_text(file, root, "cell", cell, sizeof cell, err) < 0 ||
        read_text(file, root, "block", m->block, sizeof m->block, err) < 0 ||
        read_text(file, root, "outcome", outcome, sizeof outcome, err) < 0 ||
        read_text(file, root, "reason", m->reason, sizeof m->reason, err) < 0 ||
        read_count(file, root, "round", &m->round, err) < 0 ||
        read_count(file, root, "attempt", &m->attempt, err) < 0 ||
        read_count(file, root, "unpaired", &m->unpaired, err) < 0 ||
        tg_cell_parse(cell, &m->cell, err) < 0)
        return -1;
    while (o < sizeof outcomes / sizeof *outcomes && strcmp(outcomes[o], outcome) != 0) o++;
    if (o == sizeof outcomes / sizeof *outcomes)
        return tg_json_fail(file, root, err, "no such outcome '%s'", outcome);
    m->outcome = (enum tg_outcome)o;
    if (tg_json_read_record(file, tg_json_get(root, "facts"), &tg_facts_type, &m->facts, err) < 0)
        return -1;
    const struct tg_json *list = tg_json_get(root, "series");
    if (!list || tg_json_kind(list) != TG_JSON_ARRAY)
        return tg_json_fail(file, list, err, "'series' is a list");
    for (size_t i = 0; i < tg_json_count(list); i++)
        if (read_series(file, tg_json_at(list, i), m, err) < 0) return -1;
    return 0;
}

int tg_measurement_from_json(const char *line, struct tg_measurement *m, struct tg_error *err)
{
    struct tg_json_file file;
    if (tg_json_parse(line, &file, err) < 0) return tg_fail_in(err, "measurement");
    tg_measurement_init(m);
    int rc = read_line(&file, m, err);
    tg_json_release(&file);
    if (rc < 0) {
        tg_measurement_free(m);
        return tg_fail_in(err, "measurement");
    }
    return 0;
}
