/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_RUN_DIRECTORY_H
#define TG_TESTS_RUN_DIRECTORY_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "results/store.h"

/*
 * A run's directory for the tests of the store: made, filled with measurements that differ from
 * round to round, changed behind the store's back, and removed.
 */

static const struct tg_store_plan run_plan = {"{\"matrix\": 1}\n", "{\"policy\": 1}\n",
                                              "{\"plan\": 1}\n"};

static char run_directory[3000];

static inline const char *run_path(const char *name)
{
    static char paths[4][4096];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", run_directory, name);
    return path;
}

static inline void run_write(const char *name, const void *bytes, size_t size)
{
    FILE *f = fopen(run_path(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* The bytes of a file; the caller frees. */
static inline char *run_bytes(const char *name, size_t *size)
{
    FILE *f = fopen(run_path(name), "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *size = (size_t)ftell(f);
    rewind(f);
    char *bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, f), *size);
    fclose(f);
    return bytes;
}

/* Makes the directory, with the three texts of the plan in it. */
static inline int run_make(void **state)
{
    (void)state;
    const char *temporary = getenv("TMPDIR");
    snprintf(run_directory, sizeof run_directory, "%s/tritgate-run-XXXXXX",
             temporary ? temporary : "/tmp");
    if (!mkdtemp(run_directory)) return -1;
    run_write("matrix.json", run_plan.matrix, strlen(run_plan.matrix));
    run_write("policy.json", run_plan.policy, strlen(run_plan.policy));
    run_write("plan.json", run_plan.plan, strlen(run_plan.plan));
    return 0;
}

static inline int run_remove(void **state)
{
    (void)state;
    struct dirent *entry;
    DIR *directory = opendir(run_directory);
    if (!directory) return -1;
    while ((entry = readdir(directory))) unlink(run_path(entry->d_name));
    closedir(directory);
    return rmdir(run_directory);
}

/* The measurement of a round: every third is wrong and has no samples. To be freed. */
static inline void run_measurement(int64_t round, struct tg_measurement *m)
{
    tg_measurement_init(m);
    assert_int_equal(tg_cell_parse("probe=kernel kernel=i2s_avx2 batch=8", &m->cell, NULL), 0);
    snprintf(m->block, sizeof m->block, "probe=kernel kernel=i2s_avx2 batch=8 | other");
    snprintf(m->facts.host, sizeof m->facts.host, "node-%lld", (long long)round);
    m->facts.load = 0.1 + 0.2;
    m->round = round;
    m->outcome = round % 3 == 2 ? TG_WRONG : TG_MEASURED;
    if (m->outcome == TG_WRONG) {
        snprintf(m->reason, sizeof m->reason, "row %lld: \"differs\"\n\\ \xc3\xa9",
                 (long long)round);
        return;
    }
    struct tg_series *s = tg_measurement_add(m, "call_time", 10);
    assert_non_null(s);
    for (size_t i = 0; i < s->count; i++) {
        s->samples[i] = 1e-3 / 3 + (double)round * 1e-6 + (double)i * 1e-9;
        s->turns[i] = (int64_t)(9 - i);
        s->begun[i] = 1000000007 * (round + 1) + (int64_t)i;
    }
    s = tg_measurement_add(m, "kernel_accuracy", 1);
    assert_non_null(s);
    s->samples[0] = 1 - 1e-16 * (double)round;
}

/* Writes a closed file with the rounds from `first` on. */
static inline void run_fill(const char *name, int64_t first, int64_t count)
{
    struct tg_store *store;
    struct tg_error err;
    if (tg_store_create(run_path(name), &run_plan, &store, &err) < 0) fail_msg("%s", err.text);
    for (int64_t round = first; round < first + count; round++) {
        struct tg_measurement m;
        run_measurement(round, &m);
        if (tg_store_append(store, &m, &err) < 0) fail_msg("%s", err.text);
        tg_measurement_free(&m);
    }
    if (tg_store_close(store, &err) < 0) fail_msg("%s", err.text);
}

/* Asserts that row `i` of the run is the measurement of that round, to the last bit. */
static inline void run_assert_row(const struct tg_run *run, size_t i, int64_t round)
{
    struct tg_measurement m;
    run_measurement(round, &m);
    char *wanted = tg_measurement_to_json(&m), *line = tg_measurement_to_json(&run->rows[i]);
    assert_string_equal(line, wanted);
    free(wanted);
    free(line);
    tg_measurement_free(&m);
}

/* Asserts that the run is refused, with this in the sentence. */
static inline void run_assert_refused(const char *part)
{
    struct tg_run run = {.count = 77};
    struct tg_error err;
    if (tg_store_read(run_directory, &run, &err) == 0) fail_msg("taken, without: %s", part);
    if (!strstr(err.text, part)) fail_msg("'%s' is not in: %s", part, err.text);
    assert_int_equal(run.count, 77);
}

#endif
