/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/launcher.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

/* Shells stand for mpirun: $0 is the mark. */

extern char **environ;

static char folder[] = "/tmp/tritgate-launcher-XXXXXX";
static char mark[sizeof folder + 8];

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(mark, sizeof mark, "%s/mark", folder);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(mark);
    int rc = rmdir(folder);
    memcpy(strstr(folder, "launcher-") + 9, "XXXXXX", 6);
    return rc;
}

static struct tg_launched try(const char *script, double begin_s, double end_s, double kill_s)
{
    const char *const argv[] = {"/bin/sh", "-c", script, mark, NULL};
    const struct tg_launcher launch = {.argv = argv,
                                       .environment = environ,
                                       .mark = mark,
                                       .begin_s = begin_s,
                                       .end_s = end_s,
                                       .kill_s = kill_s};
    struct tg_launched launched;
    struct tg_error err;
    if (tg_launcher_try(&launch, &launched, &err) < 0) fail_msg("%s", err.text);
    return launched;
}

static void a_mark_is_what_was_left_last(void **state)
{
    (void)state;
    struct tg_error err;
    assert_int_equal(tg_launcher_read_mark(mark), TG_MARK_NONE);
    assert_int_equal(tg_launcher_mark(mark, TG_MARK_BEGUN, &err), 0);
    assert_int_equal(tg_launcher_read_mark(mark), TG_MARK_BEGUN);
    assert_int_equal(tg_launcher_mark(mark, 2, &err), 0);
    assert_int_equal(tg_launcher_read_mark(mark), 2);
    assert_int_equal(tg_launcher_mark(NULL, 2, &err), 0);
    assert_int_equal(tg_launcher_mark("/proc/nowhere/mark", 2, &err), -1);
    assert_string_equal(err.text, "cannot write '/proc/nowhere/mark': No such file or directory");
}

static void what_came_of_a_try_is_its_mark_whatever_the_launcher_says(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        int mark;
        const char *how;
        int status;
    } rows[] = {
        {"echo 0 >$0; exit 137", 0, "status 137", 137},
        {"echo 1 >$0", 1, "status 0", 0},
        {"echo -1 >$0; exit 1", TG_MARK_BEGUN, "status 1", 1},
        {"exit 3", TG_MARK_NONE, "status 3", 3},
        {"kill -SEGV $$", TG_MARK_NONE, "signal 11", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_launched launched = try(rows[i].script, 60, 60, 60);
        assert_int_equal(launched.mark, rows[i].mark);
        assert_string_equal(launched.how, rows[i].how);
        assert_int_equal(launched.status, rows[i].status);
        assert_int_equal(launched.signal, 0);
    }
}

static void what_an_earlier_try_left_is_forgotten(void **state)
{
    (void)state;
    assert_int_equal(tg_launcher_mark(mark, 0, NULL), 0);
    assert_int_equal(try("exit 7", 60, 60, 60).mark, TG_MARK_NONE);
}

static void a_launcher_that_hangs_is_ended(void **state)
{
    (void)state;
    struct tg_launched launched = try("sleep 60", 0.1, 60, 60);
    assert_int_equal(launched.mark, TG_MARK_NONE);
    assert_string_equal(launched.how, "signal 15, as it hung and was ended");
    launched = try("echo 2 >$0; sleep 60", 60, 0.1, 60);
    assert_int_equal(launched.mark, 2);
    assert_string_equal(launched.how, "signal 15, as it hung and was ended");
    launched = try("kill -STOP $$", 0.1, 60, 60);
    assert_string_equal(launched.how, "signal 15, as it hung and was ended");
    launched = try("trap '' TERM; sleep 60", 0.1, 60, 0.1);
    assert_string_equal(launched.how, "signal 9, as it hung and was ended");
}

static void nothing_of_a_try_is_left(void **state)
{
    (void)state;
    char path[sizeof folder + 32];
    long pid = 0;
    snprintf(path, sizeof path, "%s/pid", folder);
    setenv("TG_PID", path, 1);
    try("sh -c 'kill -STOP $$' & echo $! >$TG_PID; exit 5", 60, 60, 60);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld", &pid), 1);
    fclose(f);
    unlink(path);
    char mood = 'Z'; /* dead, if nobody has reaped it */
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    f = fopen(path, "r");
    if (f) assert_int_equal(fscanf(f, "%*d (%*[^)]) %c", &mood), 1);
    if (f) fclose(f);
    assert_int_equal(mood, 'Z');
}

static void *terminate_us(void *mark_of)
{
    while (tg_launcher_read_mark(mark_of) != TG_MARK_BEGUN) usleep(10000);
    kill(getpid(), SIGTERM);
    return NULL;
}

static void signals_are_passed_on_and_its_end_is_waited_for(void **state)
{
    (void)state;
    pthread_t thread;
    sigset_t own, before;
    sigemptyset(&own);
    sigaddset(&own, SIGTERM);
    sigprocmask(SIG_BLOCK, &own, &before); /* for the thread, which has the mask */
    assert_int_equal(pthread_create(&thread, NULL, terminate_us, mark), 0);
    struct tg_launched launched = try(
        "trap 'echo 4 >$0; exit 3' TERM; echo -1 >$0; while :; do sleep 0.05; done", 60, 60, 60);
    pthread_join(thread, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(launched.signal, SIGTERM);
    assert_int_equal(launched.mark, 4);
    assert_string_equal(launched.how, "status 3");
}

/* As nohup ignores SIGHUP for what it starts, and a shell SIGINT for what it leaves behind. */
static void a_signal_that_is_ignored_stops_nothing(void **state)
{
    (void)state;
    void (*before)(int) = signal(SIGHUP, SIG_IGN);
    struct tg_launched launched = try("kill -HUP $PPID; sleep 0.3; echo 0 >$0", 60, 60, 60);
    assert_int_equal(launched.signal, 0);
    assert_int_equal(launched.mark, 0);
    signal(SIGHUP, SIG_DFL);
    launched = try("trap 'exit 3' HUP; kill -HUP $PPID; while :; do sleep 0.05; done", 60, 60, 60);
    assert_int_equal(launched.signal, SIGHUP);
    signal(SIGHUP, before);
}

/* SIGTERM is under way before the wait begins, so that nothing is raced. */
static void a_try_is_waited_with_and_a_signal_stops_the_wait(void **state)
{
    (void)state;
    const char *const argv[] = {"/bin/sh", "-c", "echo 0 >$0", mark, NULL};
    struct tg_launcher launch = {.argv = argv,
                                 .environment = environ,
                                 .mark = mark,
                                 .wait_s = 0.3,
                                 .begin_s = 60,
                                 .end_s = 60,
                                 .kill_s = 60};
    struct tg_launched launched;
    struct tg_error err;
    sigset_t own, before;
    double begun_s = tg_now();
    assert_int_equal(tg_launcher_try(&launch, &launched, &err), 0);
    assert_true(tg_now() - begun_s >= 0.3);
    assert_int_equal(launched.mark, 0);
    launch.wait_s = 3600;
    sigemptyset(&own);
    sigaddset(&own, SIGTERM);
    sigprocmask(SIG_BLOCK, &own, &before);
    kill(getpid(), SIGTERM);
    assert_int_equal(tg_launcher_try(&launch, &launched, &err), 0);
    sigprocmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(launched.signal, SIGTERM);
    assert_int_equal(launched.mark, TG_MARK_NONE);
}

static void a_launcher_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    const char *const argv[] = {"/nowhere/mpirun", NULL};
    const struct tg_launcher launch = {.argv = argv, .environment = environ, .mark = mark};
    struct tg_launched launched;
    struct tg_error err;
    assert_int_equal(tg_launcher_try(&launch, &launched, &err), -1);
    assert_string_equal(err.text, "cannot start '/nowhere/mpirun': No such file or directory");
}

static void open_mpi_is_told_what_it_needs(void **state)
{
    (void)state;
    bool has_binding = false;
    for (size_t i = 0; tg_launcher_settings[i]; i++) {
        assert_non_null(strchr(tg_launcher_settings[i], '='));
        if (strcmp(tg_launcher_settings[i], "OMPI_MCA_hwloc_base_binding_policy=none") == 0)
            has_binding = true;
    }
    assert_true(has_binding);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_mark_is_what_was_left_last),
        TEST(what_came_of_a_try_is_its_mark_whatever_the_launcher_says),
        TEST(what_an_earlier_try_left_is_forgotten),
        TEST(a_launcher_that_hangs_is_ended),
        TEST(nothing_of_a_try_is_left),
        TEST(signals_are_passed_on_and_its_end_is_waited_for),
        TEST(a_signal_that_is_ignored_stops_nothing),
        TEST(a_try_is_waited_with_and_a_signal_stops_the_wait),
        TEST(a_launcher_that_is_not_there_is_an_error),
        TEST(open_mpi_is_told_what_it_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
