/* SPDX-License-Identifier: Apache-2.0 */
#include "results/store_history.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/added_runs.h"

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

/* As of what was merged of some shards, and of all: both have the last row. */
static void of_one_date_is_kept_what_has_more_rounds(void **state)
{
    (void)state;
    struct made m;
    struct tg_history h;
    static const struct {
        int64_t rounds;
        const char *evidence;
        size_t added;
    } rows[] = {{5, "a part", 1}, {9, "all", 1}, {5, "a part", 0}, {9, "all", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_error err;
        size_t added;
        make(&m, 3);
        snprintf(m.run.origin, sizeof m.run.origin, "one");
        snprintf(m.run.evidence, sizeof m.run.evidence, "%s", rows[i].evidence);
        m.verdicts[0].rounds = rows[i].rounds;
        assert_int_equal(tg_store_history_add(run_directory, &m.history, &added, &err), 0);
        assert_int_equal(added, rows[i].added);
    }
    read_history(&h);
    assert_int_equal(h.run_count, 1);
    assert_string_equal(h.runs[0].evidence, "all");
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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, run_make, run_remove)
    const struct CMUnitTest tests[] = {
        TEST(a_history_that_nobody_has_begun_is_empty),
        TEST(what_was_added_is_read_again),
        TEST(a_run_is_kept_once),
        TEST(a_run_that_was_gone_on_with_is_there_once_with_all_it_has),
        TEST(of_one_date_is_kept_what_has_more_rounds),
        TEST(a_directory_is_made_when_it_is_needed),
        TEST(two_that_add_at_once_lose_nothing),
        TEST(what_a_killed_process_had_added_is_there),
        TEST(a_disk_without_room_leaves_what_was_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
