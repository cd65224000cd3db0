/* SPDX-License-Identifier: Apache-2.0 */
#include "results/baseline.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_DIGITS = 16 };

#define TIE     1e-9 /* of logarithms: what lies so close to a line is on its worse side */
#define MARGINS 3    /* that sessions may lie apart: see tg_baseline_agree */

/* Texts of a struct, by name. One that need not be there is left out where it is empty. */
struct text {
    const char *name;
    size_t offset, size;
    bool is_optional;
};

#define TEXT_OF(type, name, is_optional)                                                           \
    {                                                                                              \
#name, offsetof(struct type, name), sizeof(((struct type *)0)->name), is_optional          \
    }
#define TEXT(type, name)     TEXT_OF(type, name, false)
#define OPTIONAL(type, name) TEXT_OF(type, name, true)

static const struct text key_texts[] = {
    TEXT(tg_baseline_key, hardware), TEXT(tg_baseline_key, machine),
    TEXT(tg_baseline_key, version),  TEXT(tg_baseline_key, build),
    TEXT(tg_baseline_key, models),   TEXT(tg_baseline_key, canary),
    TEXT(tg_baseline_key, step),     TEXT(tg_baseline_key, policy),
    TEXT(tg_baseline_key, matrix),   OPTIONAL(tg_baseline_key, program),
    OPTIONAL(tg_baseline_key, model)};
static const struct text own_texts[] = {TEXT(tg_baseline, library), TEXT(tg_baseline, created),
                                        TEXT(tg_baseline, expires)};
static const struct text session_texts[] = {TEXT(tg_baseline_session, run),
                                            TEXT(tg_baseline_session, date)};
static const struct text cell_texts[] = {
    TEXT(tg_baseline_cell, cell), TEXT(tg_baseline_cell, metric), TEXT(tg_baseline_cell, block),
    TEXT(tg_baseline_cell, canary)};

#define COUNT(table) (sizeof(table) / sizeof *(table))

static const char *text_of(const void *holder, const struct text *t)
{
    return (const char *)holder + t->offset;
}

static bool is_left_out(const void *holder, const struct text *t)
{
    return t->is_optional && !*text_of(holder, t);
}

/* Makes room for one more element, which is all zero. */
static void *grow(void *list, size_t *count, size_t size, void *list_slot)
{
    char *grown = realloc(list, (*count + 1) * size);
    if (!grown) return NULL;
    memcpy(list_slot, &grown, sizeof grown);
    memset(grown + *count * size, 0, size);
    return grown + (*count)++ * size;
}

struct tg_baseline_session *tg_baseline_add_session(struct tg_baseline *b)
{
    return grow(b->sessions, &b->session_count, sizeof *b->sessions, &b->sessions);
}

struct tg_baseline_cell *tg_baseline_add_cell(struct tg_baseline *b)
{
    return grow(b->cells, &b->cell_count, sizeof *b->cells, &b->cells);
}

struct tg_baseline_value *tg_baseline_add_value(struct tg_baseline_cell *cell)
{
    return grow(cell->values, &cell->count, sizeof *cell->values, &cell->values);
}

void tg_baseline_release(struct tg_baseline *b)
{
    for (size_t i = 0; i < b->cell_count; i++) free(b->cells[i].values);
    free(b->cells);
    free(b->sessions);
    *b = (struct tg_baseline){0};
}

/* The place of a cell, or cell_count. */
static size_t place_of(const struct tg_baseline *b, const char *cell, const char *metric,
                       const char *block)
{
    size_t i = 0;
    while (i < b->cell_count &&
           (strcmp(b->cells[i].cell, cell) != 0 || strcmp(b->cells[i].metric, metric) != 0 ||
            strcmp(b->cells[i].block, block) != 0))
        i++;
    return i;
}

const struct tg_baseline_cell *tg_baseline_find(const struct tg_baseline *b, const char *cell,
                                                const char *metric, const char *block)
{
    size_t place = place_of(b, cell, metric, block);
    return place < b->cell_count ? &b->cells[place] : NULL;
}

double tg_baseline_normalised(const struct tg_baseline_cell *cell,
                              const struct tg_baseline_value *value)
{
    if (strcmp(cell->canary, "dot") == 0) return value->value - value->canary_dot;
    if (strcmp(cell->canary, "read") == 0) return value->value - value->canary_read;
    return value->value;
}

int tg_baseline_name(const struct tg_baseline *b, char name[TG_TEXT_SIZE], struct tg_error *err)
{
    char hex[TG_DIGEST_SIZE];
    struct tg_digest *digest = tg_digest_create(err);
    if (!digest) return -1;
    for (size_t i = 0; i < COUNT(key_texts); i++) {
        const char *text = text_of(&b->key, &key_texts[i]);
        if (is_left_out(&b->key, &key_texts[i])) continue;
        tg_digest_update(digest, text, strlen(text) + 1);
    }
    tg_digest_update(digest, b->library, strlen(b->library));
    int rc = tg_digest_finish(digest, hex, err);
    tg_digest_destroy(digest);
    if (rc == 0) snprintf(name, TG_TEXT_SIZE, "%.*s", NAME_DIGITS, hex);
    return rc;
}

/* The machines' own words, if both say what they are. */
static bool tell_machines(const struct tg_baseline_key *here, const struct tg_baseline_key *there,
                          char *out, size_t size)
{
    struct tg_hardware a, b;
    tg_record_init(&tg_hardware_type, &a);
    tg_record_init(&tg_hardware_type, &b);
    if (tg_record_parse(&tg_hardware_type, &a, here->machine, NULL) < 0 ||
        tg_record_parse(&tg_hardware_type, &b, there->machine, NULL) < 0)
        return false;
    tg_hardware_difference(&a, &b, out, size);
    return *out != 0;
}

char *tg_baseline_difference(const struct tg_baseline_key *here,
                             const struct tg_baseline_key *there, char *out, size_t size)
{
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < COUNT(key_texts) && used < size; i++) {
        const struct text *t = &key_texts[i];
        const char *a = text_of(here, t), *b = text_of(there, t);
        char machines[400];
        const char *between = used ? "; " : "";
        bool is_machine = strcmp(t->name, "machine") == 0;
        if (strcmp(a, b) == 0) continue;
        if (is_machine && strcmp(here->hardware, there->hardware) == 0) {
            used += (size_t)snprintf(out + used, size - used, "%smachine", between);
        } else if (strcmp(t->name, "hardware") == 0 &&
                   tell_machines(here, there, machines, sizeof machines)) {
            used += (size_t)snprintf(out + used, size - used, "%s%s", between, machines);
        } else if (!is_machine) {
            /* Of digests the first digits, unless they are the same. */
            bool is_long = t->size == TG_DIGEST_SIZE && strncmp(a, b, NAME_DIGITS) != 0;
            int shown = is_long ? NAME_DIGITS : (int)t->size;
            used += (size_t)snprintf(out + used, size - used, "%s%s %.*s here, %.*s there", between,
                                     t->name, shown, *a ? a : "none", shown, *b ? b : "none");
        }
    }
    return out;
}

static bool has_session(const struct tg_baseline *b, const char *run)
{
    for (size_t i = 0; i < b->session_count; i++)
        if (strcmp(b->sessions[i].run, run) == 0) return true;
    return false;
}

/* Adds what `from` has of one session to `into`, as its last session. */
static int take_session(struct tg_baseline *into, const struct tg_baseline *from, size_t session)
{
    struct tg_baseline_session *added = tg_baseline_add_session(into);
    if (!added) return -1;
    *added = from->sessions[session];
    for (size_t c = 0; c < from->cell_count; c++) {
        const struct tg_baseline_cell *cell = &from->cells[c];
        for (size_t v = 0; v < cell->count; v++) {
            if ((size_t)cell->values[v].session != session) continue;
            size_t place = place_of(into, cell->cell, cell->metric, cell->block);
            struct tg_baseline_cell *own = place < into->cell_count ? &into->cells[place] : NULL;
            if (!own) {
                if (!(own = tg_baseline_add_cell(into))) return -1;
                *own = *cell;
                own->values = NULL;
                own->count = 0;
            }
            struct tg_baseline_value *value = tg_baseline_add_value(own);
            if (!value) return -1;
            *value = cell->values[v];
            value->session = (int64_t)into->session_count - 1;
        }
    }
    return 0;
}

int tg_baseline_merge(struct tg_baseline *into, const struct tg_baseline *from,
                      struct tg_error *err)
{
    for (size_t s = 0; s < from->session_count; s++)
        if (!has_session(into, from->sessions[s].run) && take_session(into, from, s) < 0)
            return tg_fail(err, "out of memory");
    return 0;
}

static int agree_on(const struct tg_baseline_cell *cell, struct tg_error *err)
{
    double low = INFINITY, high = -INFINITY;
    for (size_t v = 0; v < cell->count; v++) {
        double y = tg_baseline_normalised(cell, &cell->values[v]);
        if (!isfinite(y)) return tg_fail(err, "%s has a value that is no number", cell->cell);
        low = fmin(low, y);
        high = fmax(high, y);
    }
    if (cell->count < 2 || high - low < MARGINS * cell->margin - TIE) return 0;
    bool is_plain = strcmp(cell->canary, "none") == 0;
    return tg_fail(err,
                   "the runs do not agree: %s of %s is %.4g in one and %.4g in another%s, %.3g %% "
                   "apart, and less than %.3g %%, %d margins, is demanded",
                   cell->metric, cell->cell, exp(low), exp(high),
                   is_plain ? "" : " as a multiple of its canary", 100 * expm1(high - low),
                   100 * expm1(MARGINS * cell->margin), MARGINS);
}

int tg_baseline_agree(const struct tg_baseline *b, struct tg_error *err)
{
    if (b->session_count < 2) return tg_fail(err, "a baseline needs two runs that agree");
    if (b->cell_count == 0)
        return tg_fail(err, "the runs hold nothing that a later run could be compared with");
    size_t shared = 0;
    for (size_t c = 0; c < b->cell_count; c++) {
        if (agree_on(&b->cells[c], err) < 0) return -1;
        shared += b->cells[c].count > 1;
    }
    return shared ? 0 : tg_fail(err, "no cell was measured in two of the runs: nothing agrees");
}

static void add_texts(struct tg_json *object, const void *holder, const struct text *texts,
                      size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!is_left_out(holder, &texts[i]))
            tg_json_add_text(object, texts[i].name, text_of(holder, &texts[i]));
}

static struct tg_json *without_digest(const struct tg_baseline *b)
{
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_number(root, "tritgate_baseline", 1);
    add_texts(root, b, own_texts, COUNT(own_texts));
    add_texts(tg_json_object(root, "key"), &b->key, key_texts, COUNT(key_texts));
    struct tg_json *sessions = tg_json_array(root, "sessions");
    for (size_t s = 0; s < b->session_count; s++)
        add_texts(tg_json_object(sessions, NULL), &b->sessions[s], session_texts,
                  COUNT(session_texts));
    struct tg_json *cells = tg_json_array(root, "cells");
    for (size_t c = 0; c < b->cell_count; c++) {
        const struct tg_baseline_cell *cell = &b->cells[c];
        struct tg_json *object = tg_json_object(cells, NULL);
        add_texts(object, cell, cell_texts, COUNT(cell_texts));
        tg_json_add_number(object, "margin", cell->margin);
        struct tg_json *values = tg_json_array(object, "values");
        for (size_t v = 0; v < cell->count; v++) {
            struct tg_json *value = tg_json_object(values, NULL);
            tg_json_add_number(value, "session", (double)cell->values[v].session);
            tg_json_add_number(value, "rounds", (double)cell->values[v].rounds);
            tg_json_add_number(value, "value", cell->values[v].value);
            tg_json_add_number(value, "canary_dot", cell->values[v].canary_dot);
            tg_json_add_number(value, "canary_read", cell->values[v].canary_read);
        }
    }
    return root;
}

static int digest_of(const struct tg_json *root, char digest[TG_DIGEST_SIZE], struct tg_error *err)
{
    char *text = tg_json_print(root, false);
    int rc = tg_digest_text(text, digest, err);
    free(text);
    return rc;
}

struct tg_json *tg_baseline_to_json(const struct tg_baseline *b, struct tg_error *err)
{
    char digest[TG_DIGEST_SIZE];
    struct tg_json *root = without_digest(b);
    if (digest_of(root, digest, err) < 0) {
        tg_json_free(root);
        return NULL;
    }
    tg_json_add_text(root, "digest", digest);
    return root;
}

static int read_texts(const struct tg_json_file *file, const struct tg_json *object, void *holder,
                      const struct text *texts, size_t count, struct tg_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct tg_json *value = tg_json_get(object, texts[i].name);
        const char *text = tg_json_text(value);
        if (!value && texts[i].is_optional) continue;
        if (!value || tg_json_kind(value) != TG_JSON_TEXT)
            return tg_json_fail(file, object, err, "'%s' is missing", texts[i].name);
        if (strlen(text) >= texts[i].size)
            return tg_json_fail(file, value, err, "the text is too long");
        memcpy((char *)holder + texts[i].offset, text, strlen(text) + 1);
    }
    return 0;
}

static double real(const struct tg_json *object, const char *key)
{
    const struct tg_json *value = tg_json_get(object, key);
    return value && tg_json_kind(value) == TG_JSON_NUMBER ? tg_json_number(value) : NAN;
}

/* A whole number from 0 on, or -1. */
static int64_t whole(const struct tg_json *object, const char *key)
{
    double number = real(object, key);
    return number >= 0 && number < 1e9 && number == floor(number) ? (int64_t)number : -1;
}

/* Fails if an object has other members than these: `more`, and the texts. */
static int only(const struct tg_json_file *file, const struct tg_json *object,
                const struct text *texts, size_t count, const char *const more[],
                struct tg_error *err)
{
    const char *keys[16] = {0};
    size_t used = 0;
    for (size_t i = 0; i < count; i++) keys[used++] = texts[i].name;
    for (; *more; more++) keys[used++] = *more;
    return tg_json_only(file, object, keys, err);
}

static int read_cell(const struct tg_json_file *file, const struct tg_json *object,
                     struct tg_baseline *b, struct tg_error *err)
{
    static const char *const cell_members[] = {"margin", "values", NULL};
    static const char *const value_members[] = {"session",    "rounds",      "value",
                                                "canary_dot", "canary_read", NULL};
    struct tg_baseline_cell *cell = tg_baseline_add_cell(b);
    if (!cell) return tg_fail(err, "out of memory");
    if (only(file, object, cell_texts, COUNT(cell_texts), cell_members, err) < 0 ||
        read_texts(file, object, cell, cell_texts, COUNT(cell_texts), err) < 0)
        return -1;
    cell->margin = real(object, "margin");
    const struct tg_json *values = tg_json_get(object, "values");
    const struct tg_json *item = tg_json_count(values) ? tg_json_at(values, 0) : NULL;
    for (; item; item = tg_json_next(item)) {
        struct tg_baseline_value *value = tg_baseline_add_value(cell);
        if (!value) return tg_fail(err, "out of memory");
        if (tg_json_only(file, item, value_members, err) < 0) return -1;
        value->session = whole(item, "session");
        value->rounds = whole(item, "rounds");
        value->value = real(item, "value");
        value->canary_dot = real(item, "canary_dot");
        value->canary_read = real(item, "canary_read");
        if (value->session < 0 || (size_t)value->session >= b->session_count || value->rounds < 1)
            return tg_json_fail(file, item, err, "not a value of a session");
    }
    return 0;
}

static int read(const struct tg_json_file *file, const struct tg_json *object,
                struct tg_baseline *b, struct tg_error *err)
{
    static const char *const members[] = {
        "tritgate_baseline", "key", "sessions", "cells", "digest", NULL};
    static const char *const none[] = {NULL};
    const struct tg_json *item;
    if (tg_json_number(tg_json_get(object, "tritgate_baseline")) != 1)
        return tg_json_fail(file, object, err, "not a baseline of this version");
    if (only(file, object, own_texts, COUNT(own_texts), members, err) < 0 ||
        read_texts(file, object, b, own_texts, COUNT(own_texts), err) < 0)
        return -1;
    const struct tg_json *key = tg_json_get(object, "key");
    if (!key) return tg_json_fail(file, object, err, "'key' is missing");
    if (only(file, key, key_texts, COUNT(key_texts), none, err) < 0 ||
        read_texts(file, key, &b->key, key_texts, COUNT(key_texts), err) < 0)
        return -1;
    const struct tg_json *list = tg_json_get(object, "sessions");
    for (item = tg_json_count(list) ? tg_json_at(list, 0) : NULL; item; item = tg_json_next(item)) {
        struct tg_baseline_session *session = tg_baseline_add_session(b);
        if (!session) return tg_fail(err, "out of memory");
        if (only(file, item, session_texts, COUNT(session_texts), none, err) < 0 ||
            read_texts(file, item, session, session_texts, COUNT(session_texts), err) < 0)
            return -1;
    }
    list = tg_json_get(object, "cells");
    for (item = tg_json_count(list) ? tg_json_at(list, 0) : NULL; item; item = tg_json_next(item))
        if (read_cell(file, item, b, err) < 0) return -1;
    return 0;
}

/* Its digest must be that of what was read. */
static int check_digest(const struct tg_json *object, const struct tg_baseline *b,
                        struct tg_error *err)
{
    char digest[TG_DIGEST_SIZE];
    struct tg_json *again = without_digest(b);
    int rc = digest_of(again, digest, err);
    tg_json_free(again);
    if (rc == 0 && strcmp(digest, tg_json_text(tg_json_get(object, "digest"))) != 0)
        rc = tg_fail(err, "it was edited: its digest does not fit what it says");
    return rc;
}

int tg_baseline_from_json(const struct tg_json_file *file, const struct tg_json *object,
                          struct tg_baseline *baseline, struct tg_error *err)
{
    struct tg_baseline made = {0};
    if (read(file, object, &made, err) < 0 || check_digest(object, &made, err) < 0) {
        tg_baseline_release(&made);
        return -1;
    }
    *baseline = made;
    return 0;
}
