/* SPDX-License-Identifier: Apache-2.0 */
#include "results/store_history.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results/store_file.h"

#define PATH_SIZE (4096 + 2 * TG_TEXT_SIZE)

/* A column: a text of `size` bytes, or a count (COUNT) or real (REAL) of 8. */
struct column {
    const char *name;
    size_t offset, size;
};

enum { COUNT = 0, REAL = 1 };

#define TEXT_OF(type, member)                                                                      \
    {                                                                                              \
#member, offsetof(type, member), sizeof((type *)0)->member                                 \
    }
#define WORD_OF(type, member)                                                                      \
    {                                                                                              \
#member, offsetof(type, member), COUNT                                                     \
    }
#define REAL_OF(type, member)                                                                      \
    {                                                                                              \
#member, offsetof(type, member), REAL                                                      \
    }

static const struct column run_columns[] = {
    TEXT_OF(struct tg_history_run, date),    TEXT_OF(struct tg_history_run, evidence),
    TEXT_OF(struct tg_history_run, version), TEXT_OF(struct tg_history_run, flow),
    TEXT_OF(struct tg_history_run, cpu),     TEXT_OF(struct tg_history_run, head),
    TEXT_OF(struct tg_history_run, base),    TEXT_OF(struct tg_history_run, origin),
    TEXT_OF(struct tg_history_run, model),   TEXT_OF(struct tg_history_run, family),
};

static const struct column test_columns[] = {
    TEXT_OF(struct tg_history_test, rule),
    TEXT_OF(struct tg_history_test, metric),
    TEXT_OF(struct tg_history_test, of),
    TEXT_OF(struct tg_history_test, to),
};

static const struct column verdict_columns[] = {
    WORD_OF(struct tg_history_verdict, run),
    WORD_OF(struct tg_history_verdict, test),
    TEXT_OF(struct tg_history_verdict, answer),
    TEXT_OF(struct tg_history_verdict, word),
    WORD_OF(struct tg_history_verdict, is_shadow),
    WORD_OF(struct tg_history_verdict, rounds),
    REAL_OF(struct tg_history_verdict, estimate),
    REAL_OF(struct tg_history_verdict, low),
    REAL_OF(struct tg_history_verdict, high),
    REAL_OF(struct tg_history_verdict, of_median),
    REAL_OF(struct tg_history_verdict, to_median),
    TEXT_OF(struct tg_history_verdict, canary),
    REAL_OF(struct tg_history_verdict, canary_dot_s),
    REAL_OF(struct tg_history_verdict, canary_read_s),
};

/* The three lists of a file. */
static const struct list {
    const char *name;
    const struct column *columns;
    size_t column_count, size;
} lists[] = {
    {"runs", run_columns, sizeof run_columns / sizeof *run_columns, sizeof(struct tg_history_run)},
    {"tests", test_columns, sizeof test_columns / sizeof *test_columns,
     sizeof(struct tg_history_test)},
    {"verdicts", verdict_columns, sizeof verdict_columns / sizeof *verdict_columns,
     sizeof(struct tg_history_verdict)},
};

static hid_t memory_type(const struct list *list)
{
    hid_t row = H5Tcreate(H5T_COMPOUND, list->size);
    for (size_t i = 0; i < list->column_count; i++) {
        const struct column *c = &list->columns[i];
        hid_t type = H5Tcopy(c->size == COUNT  ? H5T_NATIVE_INT64
                             : c->size == REAL ? H5T_NATIVE_DOUBLE
                                               : H5T_C_S1);
        if (c->size > REAL) H5Tset_size(type, c->size);
        H5Tinsert(row, c->name, c->offset, type);
        H5Tclose(type);
    }
    return row;
}

static hid_t file_type(const struct list *list)
{
    hid_t row = memory_type(list);
    H5Tpack(row);
    return row;
}

/* The elements of a list, how many they are, and other ones in their place. */
static void *elements_of(const struct tg_history *h, size_t list)
{
    void *const elements[] = {h->runs, h->tests, h->verdicts};
    return elements[list];
}

static size_t *count_of(struct tg_history *h, size_t list)
{
    size_t *const counts[] = {&h->run_count, &h->test_count, &h->verdict_count};
    return counts[list];
}

static void put_elements(struct tg_history *h, size_t list, void *elements)
{
    if (list == 0) h->runs = elements;
    if (list == 1) h->tests = elements;
    if (list == 2) h->verdicts = elements;
}

void tg_store_history_release(struct tg_history *history)
{
    free(history->runs);
    free(history->tests);
    free(history->verdicts);
    *history = (struct tg_history){0};
}

/* Whether a foreign file's text ends within its column, and has nothing to steer a terminal. */
static bool is_text(const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    if (length == size) return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) return false;
    return true;
}

static bool has_texts(const struct list *list, const char *elements, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < list->column_count; c++)
            if (list->columns[c].size > REAL &&
                !is_text(elements + i * list->size + list->columns[c].offset,
                         list->columns[c].size))
                return false;
    return true;
}

static bool is_time(double value)
{
    return isnan(value) || (isfinite(value) && value > 0);
}

/* Whether the numbers of a history can be. */
static bool is_sound(const struct tg_history *h)
{
    for (size_t i = 0; i < h->verdict_count; i++) {
        const struct tg_history_verdict *v = &h->verdicts[i];
        if (v->run < 0 || (uint64_t)v->run >= h->run_count || v->test < 0 ||
            (uint64_t)v->test >= h->test_count || v->rounds < 0)
            return false;
        if (!isfinite(v->estimate) ||
            !(v->low <= v->high && v->low < INFINITY && v->high > -INFINITY) ||
            !is_time(v->canary_dot_s) || !is_time(v->canary_read_s))
            return false;
        /* What is no time, as bytes that a call leaks, may be 0 or less. */
        if (isinf(v->of_median) || isinf(v->to_median)) return false;
    }
    return true;
}

static int read_lists(const char *path, hid_t file, int schema, struct tg_history *h,
                      struct tg_error *err)
{
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct list list = lists[i];
        /* Each schema since the first has one more column of runs, behind the others. */
        if (i == 0) list.column_count -= (size_t)(TG_STORE_HISTORY_SCHEMA - schema);
        hid_t type = file_type(&list), memory = memory_type(&list);
        void *elements = tg_store_file_read_list(file, list.name, type, memory, list.size,
                                                 count_of(h, i));
        put_elements(h, i, elements);
        bool other = tg_store_file_has_other_type(file, list.name, type);
        H5Tclose(type);
        H5Tclose(memory);
        if (!elements)
            return tg_fail(err, "'%s' %s", path,
                           other ? "has other columns than this version's" : "is damaged");
        if (!has_texts(&lists[i], elements, *count_of(h, i)))
            return tg_fail(err, "'%s' has texts that cannot be", path);
    }
    return is_sound(h) ? 0 : tg_fail(err, "'%s' has numbers that cannot be", path);
}

static int read_open(const char *path, hid_t file, const char *hardware, struct tg_history *h,
                     struct tg_error *err)
{
    int schema = tg_store_file_read_number(file, "tritgate_history");
    if (schema == -1) return tg_fail(err, "'%s' is no history", path);
    if (schema < 1 || schema > TG_STORE_HISTORY_SCHEMA)
        return tg_fail(err, "'%s' has schema %d, this version reads up to %d", path, schema,
                       TG_STORE_HISTORY_SCHEMA);
    char *text = tg_store_file_read_text(file, "hardware");
    bool is_its = text && strcmp(text, hardware) == 0;
    free(text);
    if (!is_its) return tg_fail(err, "'%s' is of another class of hardware", path);
    return read_lists(path, file, schema, h, err);
}

static int path_of(const char *directory, const char *hardware, const char *ending, char *path,
                   struct tg_error *err)
{
    if (!*hardware || *hardware == '.' || strchr(hardware, '/'))
        return tg_fail(err, "unusable class of hardware '%s'", hardware);
    int length = snprintf(path, PATH_SIZE, "%s/%s%s", directory, hardware, ending);
    return length < PATH_SIZE ? 0 : tg_fail(err, "path '%s' is too long", directory);
}

int tg_store_history_read(const char *directory, const char *hardware, struct tg_history *history,
                          struct tg_error *err)
{
    char path[PATH_SIZE];
    struct tg_history read = {0};
    if (path_of(directory, hardware, ".h5", path, err) < 0) return -1;
    snprintf(read.hardware, sizeof read.hardware, "%s", hardware);
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        *history = read;
        return 0;
    }
    H5dont_atexit(); /* for a file that this process writes, see store.c */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0) return tg_fail(err, "cannot read '%s': not a whole HDF5 file", path);
    int rc = read_open(path, file, hardware, &read, err);
    H5Fclose(file);
    if (rc < 0)
        tg_store_history_release(&read);
    else
        *history = read;
    return rc;
}

/* Makes room for more elements of a list. */
static int grow(struct tg_history *h, size_t list, size_t more, struct tg_error *err)
{
    size_t wanted = (*count_of(h, list) + more + 1) * lists[list].size;
    void *grown = realloc(elements_of(h, list), wanted);
    if (!grown) return tg_fail(err, "out of memory");
    put_elements(h, list, grown);
    return 0;
}

/* The place of a test, which is put behind the others if it is new; there is room. */
static int64_t place_test(struct tg_history *h, const struct tg_history_test *test)
{
    for (size_t i = 0; i < h->test_count; i++) {
        const struct tg_history_test *t = &h->tests[i];
        if (strcmp(t->rule, test->rule) == 0 && strcmp(t->metric, test->metric) == 0 &&
            strcmp(t->of, test->of) == 0 && strcmp(t->to, test->to) == 0)
            return (int64_t)i;
    }
    h->tests[h->test_count] = *test;
    return (int64_t)h->test_count++;
}

/* The place of a run, or of an earlier or later state of it; behind the others if there is none. */
static size_t place_run(const struct tg_history *h, const struct tg_history_run *run)
{
    size_t i = 0;
    while (i < h->run_count && strcmp(h->runs[i].evidence, run->evidence) != 0 &&
           (!*run->origin || strcmp(h->runs[i].origin, run->origin) != 0))
        i++;
    return i;
}

/* The rounds of all tests of a run. */
static int64_t rounds_of(const struct tg_history *h, size_t run)
{
    int64_t sum = 0;
    for (size_t i = 0; i < h->verdict_count; i++)
        if (h->verdicts[i].run == (int64_t)run) sum += h->verdicts[i].rounds;
    return sum;
}

/*
 * Whether what is kept in that place is all there is of a run. Of one date can be what was merged
 * of some of the shards, and of all.
 */
static bool is_known(const struct tg_history *h, size_t place, const struct tg_history *added,
                     size_t r)
{
    if (place == h->run_count) return false;
    const struct tg_history_run *kept = &h->runs[place], *run = &added->runs[r];
    int later = strcmp(kept->date, run->date);
    return strcmp(kept->evidence, run->evidence) == 0 || later > 0 ||
           (later == 0 && rounds_of(h, place) >= rounds_of(added, r));
}

static void remove_verdicts(struct tg_history *h, size_t run)
{
    size_t kept = 0;
    for (size_t i = 0; i < h->verdict_count; i++)
        if (h->verdicts[i].run != (int64_t)run) h->verdicts[kept++] = h->verdicts[i];
    h->verdict_count = kept;
}

static int merge(struct tg_history *h, const struct tg_history *added, size_t *new_count,
                 struct tg_error *err)
{
    *new_count = 0;
    if (grow(h, 0, added->run_count, err) < 0 || grow(h, 1, added->test_count, err) < 0 ||
        grow(h, 2, added->verdict_count, err) < 0)
        return -1;
    for (size_t r = 0; r < added->run_count; r++) {
        size_t place = place_run(h, &added->runs[r]);
        if (is_known(h, place, added, r)) continue;
        remove_verdicts(h, place);
        for (size_t i = 0; i < added->verdict_count; i++) {
            struct tg_history_verdict v = added->verdicts[i];
            if (v.run != (int64_t)r) continue;
            v.run = (int64_t)place;
            v.test = place_test(h, &added->tests[v.test]);
            h->verdicts[h->verdict_count++] = v;
        }
        h->run_count += place == h->run_count;
        h->runs[place] = added->runs[r];
        ++*new_count;
    }
    return 0;
}

static int write_parts(hid_t file, struct tg_history *h)
{
    int rc = 0;
    if (tg_store_file_write_number(file, "tritgate_history", TG_STORE_HISTORY_SCHEMA) < 0 ||
        tg_store_file_write_text(file, "hardware", h->hardware) < 0)
        return -1;
    for (size_t i = 0; rc == 0 && i < sizeof lists / sizeof *lists; i++) {
        hid_t type = file_type(&lists[i]), memory = memory_type(&lists[i]);
        rc = tg_store_file_write_list(file, lists[i].name, type, memory, elements_of(h, i),
                                      *count_of(h, i));
        H5Tclose(type);
        H5Tclose(memory);
    }
    return rc == 0 && H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0 ? 0 : -1;
}

/* Writes the history beside its file, and puts it in its place when it is whole. */
static int replace(const char *directory, struct tg_history *h, struct tg_error *err)
{
    char path[PATH_SIZE], beside[PATH_SIZE];
    if (path_of(directory, h->hardware, ".h5", path, err) < 0 ||
        path_of(directory, h->hardware, ".h5.new", beside, err) < 0)
        return -1;
    H5dont_atexit(); /* it would write what could not be written */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = H5Fcreate(beside, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    if (file < 0) return tg_fail(err, "cannot write '%s': %s", beside, strerror(errno));
    /* After a failure it stays open: closing would try to write once more. */
    if (write_parts(file, h) == 0 && H5Fclose(file) >= 0 && tg_store_file_sync(beside) == 0 &&
        rename(beside, path) == 0)
        return 0;
    tg_fail(err, "cannot write '%s': %s", path, strerror(errno));
    unlink(beside);
    return -1;
}

/* Holds the class's lock file; closing gives it back. -1 if it cannot be had. */
static int lock(const char *directory, const char *hardware, struct tg_error *err)
{
    char path[PATH_SIZE];
    int rc;
    if (path_of(directory, hardware, ".lock", path, err) < 0) return -1;
    if (mkdir(directory, 0777) < 0 && errno != EEXIST)
        return tg_fail(err, "cannot make '%s': %s", directory, strerror(errno));
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0) return tg_fail(err, "cannot write '%s': %s", path, strerror(errno));
    do rc = flock(descriptor, LOCK_EX);
    while (rc < 0 && errno == EINTR);
    if (rc == 0) return descriptor;
    tg_fail(err, "cannot lock '%s': %s", path, strerror(errno));
    close(descriptor);
    return -1;
}

int tg_store_history_add(const char *directory, const struct tg_history *added, size_t *new_count,
                         struct tg_error *err)
{
    struct tg_history h = {0};
    size_t count = 0;
    int held = lock(directory, added->hardware, err);
    if (held < 0) return -1;
    int rc = tg_store_history_read(directory, added->hardware, &h, err);
    if (rc == 0) rc = merge(&h, added, &count, err);
    /* It would be refused when it is read, with all that was there before. */
    if (rc == 0 && !is_sound(&h)) rc = tg_fail(err, "the run has numbers that cannot be");
    if (rc == 0 && count > 0) rc = replace(directory, &h, err);
    tg_store_history_release(&h);
    close(held);
    if (rc == 0) *new_count = count;
    return rc;
}

static int is_history(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return fnmatch("[!.]*.h5", entry->d_name, 0) == 0 && length - 3 < TG_TEXT_SIZE;
}

int tg_store_history_classes(const char *directory, char (**classes)[TG_TEXT_SIZE], size_t *count,
                             struct tg_error *err)
{
    struct dirent **entries;
    int found = scandir(directory, &entries, is_history, alphasort);
    if (found < 0) return tg_fail(err, "cannot read history '%s': %s", directory, strerror(errno));
    char(*names)[TG_TEXT_SIZE] = calloc((size_t)found + 1, sizeof *names);
    for (int i = 0; i < found; i++) {
        if (names)
            snprintf(names[i], sizeof *names, "%.*s", (int)strlen(entries[i]->d_name) - 3,
                     entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (!names) return tg_fail(err, "out of memory");
    *classes = names;
    *count = (size_t)found;
    return 0;
}
