/* SPDX-License-Identifier: Apache-2.0 */
#include "results/store_history.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <hdf5.h>

#include "tests/run_directory.h"

static struct tg_history_run a_run(int number)
{
    struct tg_history_run run = {.version = "0.1.0", .flow = "review", .cpu = "A_Processor"};
    snprintf(run.date, sizeof run.date, "2026-01-02T03:%02d:%02dZ", number / 60, number % 60);
    snprintf(run.evidence, sizeof run.evidence, "%064d", number);
    snprintf(run.head, sizeof run.head, "%064d", number + 1);
    if (number % 2) snprintf(run.base, sizeof run.base, "%064d", number);
    return run;
}

static struct tg_history_test a_test(int number)
{
    struct tg_history_test test = {.rule = "noninferior", .metric = "call_time"};
    snprintf(test.of, sizeof test.of, "kernel=k%d", number);
    snprintf(test.to, sizeof test.to, "kernel=k%d build=base", number);
    return test;
}

static struct tg_history_verdict a_verdict(int64_t run, int64_t test, double estimate)
{
    return (struct tg_history_verdict){.run = run,
                                       .test = test,
                                       .answer = "pass",
                                       .word = "not slower",
                                       .rounds = 5,
                                       .estimate = estimate,
                                       .low = estimate - 0.01,
                                       .high = INFINITY,
                                       .of_median = 1e-4,
                                       .to_median = NAN,
                                       .canary = "c1",
                                       .canary_dot_s = NAN,
                                       .canary_read_s = 2e-3};
}

/* A run with the verdicts of two tests; the first is numbered as the run, so that it is new. */
struct made {
    struct tg_history_run run;
    struct tg_history_test tests[2];
    struct tg_history_verdict verdicts[2];
    struct tg_history history;
};

static const struct tg_history *make(struct made *m, int number)
{
    m->run = a_run(number);
    m->tests[0] = a_test(number % 3);
    m->tests[1] = a_test(7);
    m->verdicts[0] = a_verdict(0, 0, 0.001 * number);
    m->verdicts[1] = a_verdict(0, 1, -0.001 * number);
    m->history = (struct tg_history){"class-a", &m->run, m->tests, m->verdicts, 1, 2, 2};
    return &m->history;
}

static size_t add(int number)
{
    struct made m;
    struct tg_error err;
    size_t added = 77;
    if (tg_store_history_add(run_directory, make(&m, number), &added, &err) < 0)
        fail_msg("%s", err.text);
    return added;
}

static void read_history(struct tg_history *h)
{
    struct tg_error err;
    if (tg_store_history_read(run_directory, "class-a", h, &err) < 0) fail_msg("%s", err.text);
}

/* Asserts that run `i` is the one of that number, with its verdicts. */
static void assert_run(const struct tg_history *h, size_t i, int number)
{
    struct made m;
    int verdicts = 0;
    make(&m, number);
    assert_memory_equal(&h->runs[i], &m.run, sizeof m.run);
    for (size_t v = 0; v < h->verdict_count; v++) {
        if (h->verdicts[v].run != (int64_t)i) continue;
        const struct tg_history_verdict *wanted = &m.verdicts[verdicts];
        assert_memory_equal(&h->tests[h->verdicts[v].test], &m.tests[verdicts++], sizeof *h->tests);
        assert_true(h->verdicts[v].estimate == wanted->estimate);
        assert_true(h->verdicts[v].low == wanted->low && isinf(h->verdicts[v].high));
        assert_true(isnan(h->verdicts[v].canary_dot_s));
        assert_true(h->verdicts[v].canary_read_s == 2e-3);
        assert_string_equal(h->verdicts[v].word, "not slower");
    }
    assert_int_equal(verdicts, 2);
}

static void a_history_that_nobody_has_begun_is_empty(void **state)
{
    (void)state;
    struct tg_history h;
    struct tg_error err;
    char(*classes)[TG_TEXT_SIZE];
    size_t count;
    read_history(&h);
    assert_true(h.run_count == 0 && h.test_count == 0 && h.verdict_count == 0);
    assert_string_equal(h.hardware, "class-a");
    tg_store_history_release(&h);
    assert_int_equal(tg_store_history_classes(run_directory, &classes, &count, &err), 0);
    assert_int_equal(count, 0);
    free(classes);
    assert_int_equal(tg_store_history_classes(run_path("none"), &classes, &count, &err), -1);
    assert_non_null(strstr(err.text, "cannot read history '"));
}

static void what_was_added_is_read_again(void **state)
{
    (void)state;
    struct tg_history h;
    char(*classes)[TG_TEXT_SIZE];
    size_t count;
    for (int i = 0; i < 5; i++) assert_int_equal(add(i), 1);
    read_history(&h);
    assert_int_equal(h.run_count, 5);
    assert_int_equal(h.test_count, 4); /* each test is there once */
    assert_int_equal(h.verdict_count, 10);
    for (int i = 0; i < 5; i++) assert_run(&h, (size_t)i, i);
    tg_store_history_release(&h);
    assert_int_equal(tg_store_history_classes(run_directory, &classes, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_string_equal(classes[0], "class-a");
    free(classes);
}

static void a_run_is_kept_once(void **state)
{
    (void)state;
    struct tg_history h;
    assert_int_equal(add(3), 1);
    assert_int_equal(add(3), 0);
    assert_int_equal(add(4), 1);
    assert_int_equal(add(3), 0);
    read_history(&h);
    assert_int_equal(h.run_count, 2);
    assert_int_equal(h.verdict_count, 4);
    tg_store_history_release(&h);
}

/* Adds a run of an origin, with another estimate of its first test the later it is. */
static size_t add_state(int number, const char *origin)
{
    struct made m;
    struct tg_error err;
    size_t added = 77;
    make(&m, number);
    snprintf(m.run.origin, sizeof m.run.origin, "%s", origin);
    if (tg_store_history_add(run_directory, &m.history, &added, &err) < 0) fail_msg("%s", err.text);
    return added;
}

static void a_run_that_was_gone_on_with_is_there_once_with_all_it_has(void **state)
{
    (void)state;
    struct tg_history h;
    assert_int_equal(add_state(3, "one"), 1);
    assert_int_equal(add_state(4, "two"), 1);
    assert_int_equal(add_state(5, "one"), 1);
    assert_int_equal(add_state(3, "one"), 0); /* a copy of it as it was */
    assert_int_equal(add_state(5, "one"), 0);
    assert_int_equal(add_state(6, ""), 1);
    assert_int_equal(add_state(7, ""), 1); /* of which nothing is known */
    read_history(&h);
    assert_int_equal(h.run_count, 4);
    assert_int_equal(h.verdict_count, 8);
    static const int numbers[] = {5, 4, 6, 7};
    static const char *const origins[] = {"one", "two", "", ""};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(h.runs[i].origin, origins[i]);
        memset(h.runs[i].origin, 0, sizeof h.runs[i].origin);
        assert_run(&h, i, numbers[i]);
    }
    tg_store_history_release(&h);
}

static void a_directory_is_made_when_it_is_needed(void **state)
{
    (void)state;
    struct made m;
    struct tg_error err;
    size_t added;
    char there[4096], nowhere[4096];
    snprintf(there, sizeof there, "%s", run_path("new"));
    snprintf(nowhere, sizeof nowhere, "%s", run_path("no/new"));
    assert_int_equal(tg_store_history_add(there, make(&m, 1), &added, &err), 0);
    char *const files[] = {"class-a.h5", "class-a.lock"};
    for (int i = 0; i < 2; i++) {
        char path[5000];
        snprintf(path, sizeof path, "%s/%s", there, files[i]);
        assert_int_equal(unlink(path), 0); /* and nothing else is left behind */
    }
    assert_int_equal(rmdir(there), 0);
    assert_int_equal(tg_store_history_add(nowhere, make(&m, 1), &added, &err), -1);
    assert_non_null(strstr(err.text, "cannot make '"));
    snprintf(m.history.hardware, sizeof m.history.hardware, "../class");
    assert_int_equal(tg_store_history_add(there, &m.history, &added, &err), -1);
    assert_string_equal(err.text, "unusable class of hardware '../class'");
}

/* Starts a process that adds `count` runs from `first` on, and says so by a byte after each. */
static pid_t start_adding(int first, int count, int *said)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        for (int i = first; i < first + count; i++) {
            struct made m;
            size_t added;
            if (tg_store_history_add(run_directory, make(&m, i), &added, NULL) < 0) _exit(1);
            if (write(ends[1], "", 1) != 1) _exit(2);
        }
        _exit(0);
    }
    close(ends[1]);
    *said = ends[0];
    return child;
}

static void two_that_add_at_once_lose_nothing(void **state)
{
    (void)state;
    struct tg_history h;
    int said[2], status;
    pid_t children[2];
    for (int i = 0; i < 2; i++) children[i] = start_adding(100 * i, 30, &said[i]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
        close(said[i]);
    }
    read_history(&h);
    assert_int_equal(h.run_count, 60);
    for (size_t i = 0; i < 60; i++) assert_run(&h, i, (int)strtol(h.runs[i].evidence, NULL, 10));
    tg_store_history_release(&h);
}

static void what_a_killed_process_had_added_is_there(void **state)
{
    (void)state;
    int number = 0;
    for (int kill_at = 1; kill_at <= 8; kill_at++) {
        struct tg_history h;
        char byte;
        int said, done = 0;
        pid_t child = start_adding(number, 100, &said);
        for (; done < kill_at; done++) assert_int_equal(read(said, &byte, 1), 1);
        usleep((useconds_t)(kill_at * 137));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        while (read(said, &byte, 1) == 1) done++;
        close(said);
        read_history(&h);
        assert_in_range(h.run_count, (size_t)(number + done), (size_t)(number + done + 1));
        for (size_t i = 0; i < h.run_count; i++) assert_run(&h, i, (int)i);
        number = (int)h.run_count;
        tg_store_history_release(&h);
    }
}

static void a_disk_without_room_leaves_what_was_there(void **state)
{
    (void)state;
    struct tg_history h;
    int status;
    for (int i = 0; i < 3; i++) add(i);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct made m;
        struct tg_error err;
        size_t added;
        const struct rlimit most = {2048, 2048};
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &most) != 0) _exit(9);
        int rc = tg_store_history_add(run_directory, make(&m, 3), &added, &err);
        _exit(rc == -1 && strncmp(err.text, "cannot write '", 14) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    read_history(&h);
    assert_int_equal(h.run_count, 3);
    tg_store_history_release(&h);
    assert_int_equal(add(3), 1);
}

static void assert_refused(const char *part)
{
    struct tg_history h = {.run_count = 77};
    struct tg_error err;
    size_t added = 77;
    struct made m;
    if (tg_store_history_read(run_directory, "class-a", &h, &err) == 0)
        fail_msg("taken, without: %s", part);
    if (!strstr(err.text, part)) fail_msg("'%s' is not in: %s", part, err.text);
    assert_null(strchr(err.text, '\n'));
    assert_int_equal(tg_store_history_add(run_directory, make(&m, 9), &added, &err), -1);
    assert_true(h.run_count == 77 && added == 77);
}

static void foreign_files_are_refused(void **state)
{
    (void)state;
    size_t size;
    int schema = 3;
    run_write("class-a.h5", "text", 4);
    assert_refused("not a whole HDF5 file");
    run_fill("class-a.h5.run", 0, 1);
    assert_int_equal(rename(run_path("class-a.h5.run"), run_path("class-a.h5")), 0);
    assert_refused("is no history");
    unlink(run_path("class-a.h5"));
    add(1);
    char *bytes = run_bytes("class-a.h5", &size);
    run_write("class-a.h5", bytes, size / 2);
    assert_refused("not a whole HDF5 file");
    run_write("class-b.h5", bytes, size);
    run_write("class-a.h5", bytes, size);
    free(bytes);
    struct tg_history h;
    struct tg_error err;
    assert_int_equal(tg_store_history_read(run_directory, "class-b", &h, &err), -1);
    assert_non_null(strstr(err.text, "is of another class of hardware"));
    hid_t file = H5Fopen(run_path("class-a.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t attribute = H5Aopen(file, "tritgate_history", H5P_DEFAULT);
    H5Awrite(attribute, H5T_NATIVE_INT, &schema);
    H5Aclose(attribute);
    H5Fclose(file);
    assert_refused("has schema 3, this version reads up to 2");
}

/* Makes the history one of schema 1: as it is, but for the last column of its runs. */
static void make_older(void)
{
    int schema = 1;
    char rows[16 * sizeof(struct tg_history_run)];
    hid_t file = H5Fopen(run_path("class-a.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t attribute = H5Aopen(file, "tritgate_history", H5P_DEFAULT);
    hid_t set = H5Dopen2(file, "runs", H5P_DEFAULT);
    hid_t type = H5Dget_type(set), had = H5Dget_space(set);
    hsize_t count = (hsize_t)H5Sget_simple_extent_npoints(had);
    hid_t space = H5Screate_simple(1, &count, NULL);
    int last = H5Tget_nmembers(type) - 1;
    hid_t older = H5Tcreate(H5T_COMPOUND, H5Tget_member_offset(type, (unsigned)last));
    for (unsigned i = 0; i < (unsigned)last; i++) {
        char *name = H5Tget_member_name(type, i);
        hid_t member = H5Tget_member_type(type, i);
        H5Tinsert(older, name, H5Tget_member_offset(type, i), member);
        H5Tclose(member);
        H5free_memory(name);
    }
    assert_true(H5Dread(set, older, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0);
    H5Dclose(set);
    H5Ldelete(file, "runs", H5P_DEFAULT);
    set = H5Dcreate2(file, "runs", older, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Dwrite(set, older, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0);
    H5Awrite(attribute, H5T_NATIVE_INT, &schema);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Sclose(had);
    H5Tclose(older);
    H5Tclose(type);
    H5Dclose(set);
    H5Fclose(file);
}

static void a_history_of_the_first_schema_is_gone_on_with(void **state)
{
    (void)state;
    struct tg_history h;
    for (int i = 0; i < 3; i++) add_state(i, "one");
    add(7);
    make_older();
    read_history(&h);
    assert_int_equal(h.run_count, 2);
    assert_run(&h, 0, 2); /* its origin is not known */
    assert_run(&h, 1, 7);
    tg_store_history_release(&h);
    assert_int_equal(add(7), 0);
    assert_int_equal(add_state(8, "two"), 1);
    assert_int_equal(add_state(9, "two"), 1);
    read_history(&h);
    assert_int_equal(h.run_count, 3);
    assert_string_equal(h.runs[2].origin, "two");
    tg_store_history_release(&h);
}

/* Puts a number or a text into a column of the first element of a list. */
static void spoil(const char *list, const char *column, hid_t type, const void *value)
{
    char element[4096];
    hid_t file = H5Fopen(run_path("class-a.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t set = H5Dopen2(file, list, H5P_DEFAULT);
    hid_t part = H5Tcreate(H5T_COMPOUND, H5Tget_size(type));
    hsize_t one = 1, none = 0;
    hid_t space = H5Dget_space(set), memory = H5Screate_simple(1, &one, NULL);
    H5Tinsert(part, column, 0, type);
    memcpy(element, value, H5Tget_size(type));
    H5Sselect_hyperslab(space, H5S_SELECT_SET, &none, NULL, &one, NULL);
    assert_true(H5Dwrite(set, part, memory, space, H5P_DEFAULT, element) >= 0);
    H5Sclose(memory);
    H5Sclose(space);
    H5Tclose(part);
    H5Dclose(set);
    H5Fclose(file);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *column;
        int64_t count;
        double real;
    } rows[] = {{"run", 1, 0},
                {"run", -1, 0},
                {"test", 2, 0},
                {"rounds", -1, 0},
                {"estimate", 0, NAN},
                {"low", 0, INFINITY},
                {"of_median", 0, -INFINITY},
                {"high", 0, NAN},
                {"to_median", 0, INFINITY},
                {"canary_dot_s", 0, -2}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        add(1);
        if (rows[i].count)
            spoil("verdicts", rows[i].column, H5T_NATIVE_INT64, &rows[i].count);
        else
            spoil("verdicts", rows[i].column, H5T_NATIVE_DOUBLE, &rows[i].real);
        assert_refused("has numbers that cannot be");
        unlink(run_path("class-a.h5"));
    }
    char text[TG_TEXT_SIZE];
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, sizeof text);
    for (int i = 0; i < 2; i++) {
        add(1);
        memset(text, i ? 'x' : 27, sizeof text); /* without an end; what steers a terminal */
        if (!i) text[1] = 0;
        spoil("runs", "flow", type, text);
        assert_refused("has texts that cannot be");
        unlink(run_path("class-a.h5"));
    }
    H5Tclose(type);
}

/* As a leak of nothing is, of two that were compared. */
static void a_quantity_may_be_0_or_less(void **state)
{
    (void)state;
    struct made m;
    struct tg_history h;
    struct tg_error err;
    size_t added;
    make(&m, 1);
    m.verdicts[0].of_median = 0;
    m.verdicts[0].to_median = -1;
    assert_int_equal(tg_store_history_add(run_directory, &m.history, &added, &err), 0);
    read_history(&h);
    assert_true(h.verdicts[0].of_median == 0 && h.verdicts[0].to_median == -1);
    tg_store_history_release(&h);
}

static void what_would_be_refused_is_not_added(void **state)
{
    (void)state;
    struct made m;
    struct tg_history h;
    struct tg_error err;
    size_t added = 77;
    add(1);
    make(&m, 2);
    m.verdicts[0].low = NAN;
    assert_int_equal(tg_store_history_add(run_directory, &m.history, &added, &err), -1);
    assert_string_equal(err.text, "the run has numbers that cannot be");
    assert_int_equal(added, 77);
    read_history(&h);
    assert_int_equal(h.run_count, 1);
    tg_store_history_release(&h);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, run_make, run_remove)
    const struct CMUnitTest tests[] = {
        TEST(a_history_that_nobody_has_begun_is_empty),
        TEST(what_was_added_is_read_again),
        TEST(a_run_is_kept_once),
        TEST(a_run_that_was_gone_on_with_is_there_once_with_all_it_has),
        TEST(a_directory_is_made_when_it_is_needed),
        TEST(two_that_add_at_once_lose_nothing),
        TEST(what_a_killed_process_had_added_is_there),
        TEST(a_disk_without_room_leaves_what_was_there),
        TEST(a_history_of_the_first_schema_is_gone_on_with),
        TEST(foreign_files_are_refused),
        TEST(what_cannot_be_is_refused),
        TEST(a_quantity_may_be_0_or_less),
        TEST(what_would_be_refused_is_not_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
