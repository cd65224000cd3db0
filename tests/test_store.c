/* SPDX-License-Identifier: Apache-2.0 */
#include "results/store.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/run_directory.h"

static struct tg_run read_run(void)
{
    struct tg_run run;
    struct tg_error err;
    if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
    return run;
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    run_fill("worker-0001.1.h5", 0, 7);
    struct tg_run run = read_run();
    assert_int_equal(run.count, 7);
    for (size_t i = 0; i < 7; i++) run_assert_row(&run, i, (int64_t)i);
    assert_string_equal(run.matrix, run_plan.matrix);
    assert_string_equal(run.policy, run_plan.policy);
    assert_string_equal(run.plan, run_plan.plan);
    assert_string_equal(run.dropped, "");
    assert_false(run.is_sealed);
    tg_store_release(&run);
    assert_null(run.rows);
    tg_store_release(&run);
}

static int synced;

/* In the place of libc's. */
int fsync(int descriptor)
{
    (void)descriptor;
    errno = EIO;
    return synced++ < 0 ? -1 : 0;
}

static void the_disk_has_a_file_that_was_closed_and_waits_for_no_row(void **state)
{
    (void)state;
    struct tg_store *store;
    struct tg_measurement m;
    struct tg_error err;
    run_measurement(1, &m);
    for (int is_broken = 0; is_broken < 2; is_broken++) {
        const char *path = run_path(is_broken ? "worker-0002.1.h5" : "worker-0001.1.h5");
        synced = 0;
        assert_int_equal(tg_store_create(path, &run_plan, &store, &err), 0);
        assert_int_equal(tg_store_append(store, &m, &err), 0);
        assert_int_equal(synced, 0);
        if (is_broken) synced = -1;
        assert_int_equal(tg_store_close(store, &err), is_broken ? -1 : 0);
        if (!is_broken) assert_int_equal(synced, 1);
    }
    assert_non_null(strstr(err.text, "worker-0002.1.h5': Input/output error"));
    tg_measurement_free(&m);
}

static void long_texts_and_many_samples_come_back(void **state)
{
    (void)state;
    struct tg_store *store;
    struct tg_measurement m;
    struct tg_error err;
    run_measurement(1, &m);
    memset(m.reason, 'r', sizeof m.reason - 1);
    memset(m.block, 'b', sizeof m.block - 1);
    m.reason[sizeof m.reason - 1] = m.block[sizeof m.block - 1] = 0;
    memset(m.facts.host, 'h', sizeof m.facts.host - 1);
    memset(m.cell.kernel, 'k', sizeof m.cell.kernel - 1);
    struct tg_series *s = tg_measurement_add(&m, "codec_exact", 5000);
    assert_non_null(s);
    for (size_t i = 0; i < s->count; i++) s->samples[i] = 1 / (double)(i + 1);
    assert_int_equal(tg_store_create(run_path("worker-0001.1.h5"), &run_plan, &store, &err), 0);
    for (int i = 0; i < 3; i++) assert_int_equal(tg_store_append(store, &m, &err), 0);
    assert_int_equal(tg_store_close(store, &err), 0);

    struct tg_run run = read_run();
    char *wanted = tg_measurement_to_json(&m);
    assert_int_equal(run.count, 3);
    for (size_t i = 0; i < 3; i++) {
        char *line = tg_measurement_to_json(&run.rows[i]);
        assert_string_equal(line, wanted);
        free(line);
    }
    free(wanted);
    tg_measurement_free(&m);
    tg_store_release(&run);
}

static void a_run_without_rows_is_a_run(void **state)
{
    (void)state;
    struct tg_run run = read_run();
    assert_int_equal(run.count, 0);
    tg_store_release(&run);
    run_fill("worker-0001.1.h5", 0, 0);
    run = read_run();
    assert_int_equal(run.count, 0);
    assert_string_equal(run.dropped, "");
    tg_store_release(&run);
}

static void files_are_read_in_the_order_of_their_names(void **state)
{
    (void)state;
    run_fill("worker-0002.1.h5", 30, 3);
    run_fill("worker-0001.2.h5", 20, 2);
    run_fill("worker-0001.1.h5", 10, 3);
    run_write("worker-0009.1.txt", "no shard", 8);
    run_write("notes.h5", "no shard", 8);
    struct tg_run run = read_run();
    static const int64_t rounds[] = {10, 11, 12, 20, 21, 30, 31, 32};
    assert_int_equal(run.count, 8);
    for (size_t i = 0; i < 8; i++) run_assert_row(&run, i, rounds[i]);
    tg_store_release(&run);
}

/* As tools leave it that keep data elsewhere; what is no file has no rows, and a pipe no end. */
static void a_link_to_a_worker_file_is_that_file(void **state)
{
    (void)state;
    struct tg_error err;
    run_fill("worker-0001.1.h5", 0, 3);
    run_fill("worker-0002.1.h5", 3, 2);
    assert_int_equal(rename(run_path("worker-0001.1.h5"), run_path("kept.h5")), 0);
    assert_int_equal(symlink("kept.h5", run_path("worker-0001.1.h5")), 0);
    assert_int_equal(mkfifo(run_path("worker-0003.1.h5"), 0600), 0);
    assert_int_equal(symlink("worker-0003.1.h5", run_path("worker-0004.1.h5")), 0);
    alarm(60); /* it would be for ever */
    for (int sealed = 0; sealed < 2; sealed++) {
        if (sealed && tg_store_seal(run_directory, &err) < 0) fail_msg("%s", err.text);
        struct tg_run run = read_run();
        assert_int_equal(run.is_sealed, sealed);
        assert_int_equal(run.count, 5);
        for (size_t i = 0; i < 5; i++) run_assert_row(&run, i, (int64_t)i);
        assert_string_equal(run.dropped, "");
        tg_store_release(&run);
    }
    alarm(0);
    unlink(run_path("kept.h5"));
    run_assert_refused("worker-0001.1.h5': No such file or directory");
    unlink(run_path("digests.json"));
    run_assert_refused("worker-0001.1.h5': No such file or directory");
}

static void a_file_is_created_once(void **state)
{
    (void)state;
    struct tg_store *store;
    struct tg_error err;
    run_fill("worker-0001.1.h5", 0, 1);
    const char *path = run_path("worker-0001.1.h5");
    assert_int_equal(tg_store_create(path, &run_plan, &store, &err), -1);
    assert_non_null(strstr(err.text, "worker-0001.1.h5': File exists"));
    assert_int_equal(tg_store_create("/nowhere/a.h5", &run_plan, &store, &err), -1);
    assert_string_equal(err.text, "cannot create '/nowhere/a.h5': No such file or directory");
    assert_int_equal(tg_store_close(NULL, NULL), 0);

    struct tg_run run = read_run();
    run_assert_row(&run, 0, 0);
    tg_store_release(&run);
}

static void a_file_can_be_read_while_it_is_open(void **state)
{
    (void)state;
    struct tg_store *store;
    struct tg_error err;
    assert_int_equal(tg_store_create(run_path("worker-0001.1.h5"), &run_plan, &store, &err), 0);
    for (int64_t round = 0; round < 3; round++) {
        struct tg_measurement m;
        run_measurement(round, &m);
        assert_int_equal(tg_store_append(store, &m, &err), 0);
        tg_measurement_free(&m);
        size_t size;
        char *bytes = run_bytes("worker-0001.1.h5", &size);
        run_write("worker-0002.1.h5", bytes, size);
        free(bytes);
    }
    assert_int_equal(tg_store_close(store, &err), 0);
    struct tg_run run = read_run();
    assert_int_equal(run.count, 6);
    for (size_t i = 0; i < 6; i++) run_assert_row(&run, i, (int64_t)(i % 3));
    tg_store_release(&run);
}

static void a_file_that_is_locked_is_left_out_only_before_the_seal(void **state)
{
    (void)state;
    struct tg_error err;
    run_fill("worker-0001.1.h5", 0, 3);
    int lock = open(run_path("worker-0001.1.h5"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    struct tg_run run = read_run();
    assert_int_equal(run.count, 0);
    assert_string_equal(run.dropped, "'worker-0001.1.h5': not a whole HDF5 file");
    tg_store_release(&run);
    if (tg_store_seal(run_directory, &err) < 0) fail_msg("%s", err.text);
    run = read_run();
    assert_int_equal(run.count, 3);
    assert_string_equal(run.dropped, "");
    tg_store_release(&run);
    close(lock);
}

static void a_directory_that_is_no_run_is_refused(void **state)
{
    (void)state;
    struct tg_run run;
    struct tg_error err;
    assert_int_equal(tg_store_read("/nowhere", &run, &err), -1);
    assert_string_equal(err.text, "cannot read run '/nowhere': No such file or directory");
    assert_int_equal(tg_store_seal("/nowhere", &err), -1);
    unlink(run_path("policy.json"));
    run_assert_refused("policy.json': cannot open: No such file or directory");
    assert_int_equal(tg_store_seal(run_directory, &err), -1);
    assert_int_not_equal(access(run_path("digests.json"), F_OK), 0);
}

/* A child that appends rounds 0, 1, ... and writes a byte to `out` for each that is in. */
static void append_for_ever(int out)
{
    struct tg_store *store;
    if (tg_store_create(run_path("worker-0001.1.h5"), &run_plan, &store, NULL) < 0) _exit(1);
    for (int64_t round = 0;; round++) {
        struct tg_measurement m;
        run_measurement(round, &m);
        if (tg_store_append(store, &m, NULL) < 0 || write(out, "x", 1) != 1) _exit(1);
        tg_measurement_free(&m);
    }
}

static void assert_rows_survive(int64_t least)
{
    struct tg_run run = read_run();
    if ((int64_t)run.count < least)
        fail_msg("%zu rows of %lld: %s", run.count, (long long)least, run.dropped);
    for (size_t i = 0; i < run.count; i++) {
        assert_int_equal(run.rows[i].round, i);
        if (i % 10 == 0 || i + 3 > run.count) run_assert_row(&run, i, (int64_t)i);
    }
    tg_store_release(&run);
}

static void a_killed_process_leaves_every_row_that_it_appended(void **state)
{
    (void)state;
    for (int turn = 0; turn < 20; turn++) {
        int ends[2], status;
        int64_t appended = 0;
        char byte;
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            close(ends[0]);
            append_for_ever(ends[1]);
        }
        close(ends[1]);
        for (; appended < 1 + 2 * turn && read(ends[0], &byte, 1) == 1; appended++) continue;
        usleep((useconds_t)(37 * turn));
        kill(child, SIGKILL);
        while (read(ends[0], &byte, 1) == 1) appended++;
        close(ends[0]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_true(appended >= 1 + 2 * turn);
        assert_rows_survive(appended);
        unlink(run_path("worker-0001.1.h5"));
    }
}

/*
 * A child that appends until it cannot, and ends as a program does. Its status is the number of
 * rows, or 255 if a failure was not told as it should be.
 */
static void append_until_it_fails(const char *path, const char *reason)
{
    struct tg_store *store;
    struct tg_error err = {""};
    int rows = 0;
    if (tg_store_create(path, &run_plan, &store, &err) < 0) exit(254);
    for (;; rows++) {
        struct tg_measurement m;
        run_measurement(rows, &m);
        int rc = tg_store_append(store, &m, &err);
        tg_measurement_free(&m);
        if (rc < 0 || rows == 250) break;
    }
    if (!strstr(err.text, reason)) exit(255);
    struct tg_measurement m;
    run_measurement(rows, &m);
    if (tg_store_append(store, &m, &err) == 0 || !strstr(err.text, "not written after a failure"))
        exit(255);
    tg_measurement_free(&m);
    exit(tg_store_close(store, &err) == 0 ? 255 : rows);
}

static int rows_until_it_fails(const char *path, const char *reason, rlim_t most)
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        static const int signals[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
        for (size_t i = 0; i < 5; i++) signal(signals[i], SIG_DFL);
        signal(SIGXFSZ, SIG_IGN);
        if (most && setrlimit(RLIMIT_FSIZE, &(struct rlimit){most, most}) < 0) exit(255);
        append_until_it_fails(path, reason);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_write_that_fails_leaves_the_rows_before_it(void **state)
{
    (void)state;
    int whole = 0, most = 0;
    for (rlim_t size = 1250000; size < 1800000; size += 180000) {
        int rows = rows_until_it_fails(run_path("worker-0001.1.h5"), ": File too large", size);
        assert_int_not_equal(rows, 255);
        if (rows < 254) {
            assert_rows_survive(rows);
            whole++;
        }
        if (rows > most && rows < 254) most = rows;
        unlink(run_path("worker-0001.1.h5"));
    }
    assert_true(whole > 1 && most > 64);
}

static void a_full_disk_is_told_and_leaves_the_rows_before_it(void **state)
{
    (void)state;
    const char *disk = run_path("disk"), *path = run_path("disk/worker-0001.1.h5");
    assert_int_equal(mkdir(disk, 0700), 0);
    if (mount("tmpfs", disk, "tmpfs", 0, "size=1700k") < 0) {
        rmdir(disk);
        skip();
    }
    int rows = rows_until_it_fails(path, ": No space left on device", 0);
    size_t size;
    char *bytes = run_bytes("disk/worker-0001.1.h5", &size);
    run_write("worker-0001.1.h5", bytes, size);
    free(bytes);
    assert_int_equal(umount(disk), 0);
    rmdir(disk);
    assert_in_range(rows, 1, 249);
    assert_rows_survive(rows);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, run_make, run_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read_back),
        TEST(the_disk_has_a_file_that_was_closed_and_waits_for_no_row),
        TEST(long_texts_and_many_samples_come_back),
        TEST(a_run_without_rows_is_a_run),
        TEST(files_are_read_in_the_order_of_their_names),
        TEST(a_link_to_a_worker_file_is_that_file),
        TEST(a_file_is_created_once),
        TEST(a_file_can_be_read_while_it_is_open),
        TEST(a_file_that_is_locked_is_left_out_only_before_the_seal),
        TEST(a_directory_that_is_no_run_is_refused),
        TEST(a_killed_process_leaves_every_row_that_it_appended),
        TEST(a_write_that_fails_leaves_the_rows_before_it),
        TEST(a_full_disk_is_told_and_leaves_the_rows_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
