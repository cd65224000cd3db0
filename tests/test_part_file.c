/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/part_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[64], part_path[72], other[64];
static struct tg_error err;

static struct tg_part_file begin(void)
{
    struct tg_part_file part;
    if (tg_part_file_open(path, &part, &err) < 0) fail_msg("%s", err.text);
    assert_string_equal(part.path, part_path);
    return part;
}

static void say(const char *where, const char *text)
{
    FILE *file = fopen(where, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void assert_says(const char *where, const char *text)
{
    char got[64] = "";
    FILE *file = fopen(where, "r");
    assert_non_null(file);
    got[fread(got, 1, sizeof got - 1, file)] = 0;
    fclose(file);
    assert_string_equal(got, text);
}

static void a_file_is_there_when_it_is_whole(void **state)
{
    (void)state;
    struct stat status;
    struct tg_part_file part = begin();
    assert_int_equal(write(part.descriptor, "whole", 5), 5);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(tg_part_file_end(&part, true, &err), 0);
    assert_says(path, "whole");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0644);
    assert_int_equal(access(part_path, F_OK), -1);
}

static void one_that_is_not_is_removed_and_changes_nothing(void **state)
{
    (void)state;
    say(path, "before");
    struct tg_part_file part = begin();
    assert_int_equal(write(part.descriptor, "half", 4), 4);
    assert_int_equal(tg_part_file_end(&part, false, &err), 0);
    assert_says(path, "before");
    assert_int_equal(access(part_path, F_OK), -1);
}

static void what_was_left_by_one_that_was_killed_is_begun_anew(void **state)
{
    (void)state;
    int status;
    pid_t killed = fork();
    if (killed == 0) {
        struct tg_part_file part = begin();
        if (write(part.descriptor, "much of a killed one", 20) == 20) raise(SIGKILL);
        _exit(1);
    }
    assert_int_equal(waitpid(killed, &status, 0), killed);
    assert_true(WIFSIGNALED(status));
    assert_says(part_path, "much of a killed one");
    struct tg_part_file part = begin();
    assert_int_equal(write(part.descriptor, "whole", 5), 5);
    assert_int_equal(tg_part_file_end(&part, true, &err), 0);
    assert_says(path, "whole");
}

/* Each writes its letter bit by bit, so that two in one file would be seen. */
static void of_makers_at_once_each_makes_it_alone(void **state)
{
    (void)state;
    enum { MAKERS = 4, LETTERS = 50 };
    pid_t makers[MAKERS];
    char got[LETTERS + 2] = "";
    for (int i = 0; i < MAKERS; i++) {
        makers[i] = fork();
        assert_true(makers[i] >= 0);
        if (makers[i] > 0) continue;
        const char letter = (char)('a' + i);
        struct tg_part_file part = begin();
        for (int k = 0; k < LETTERS; k++) {
            usleep(200);
            if (write(part.descriptor, &letter, 1) != 1) _exit(1);
        }
        _exit(tg_part_file_end(&part, i > 0, &err) < 0); /* the first one fails */
    }
    for (int i = 0; i < MAKERS; i++) {
        int status;
        assert_int_equal(waitpid(makers[i], &status, 0), makers[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(got, 1, sizeof got, file), LETTERS);
    fclose(file);
    assert_true(got[0] > 'a');
    assert_int_equal(strspn(got, (char[]){got[0], 0}), LETTERS);
    assert_int_equal(access(part_path, F_OK), -1);
}

/* What another user may have put into a folder of all. */
static void what_is_somebody_elses_is_not_written_to(void **state)
{
    (void)state;
    struct tg_part_file part;
    char wanted[160];
    say(other, "kept");
    assert_int_equal(symlink(other, part_path), 0);
    assert_int_equal(tg_part_file_open(path, &part, &err), -1);
    snprintf(wanted, sizeof wanted, "cannot make '%s': Too many levels of symbolic links",
             part_path);
    assert_string_equal(err.text, wanted);
    assert_int_equal(unlink(part_path), 0);

    snprintf(wanted, sizeof wanted, "'%s' is there already, and is no file of this user alone",
             part_path);
    assert_int_equal(link(other, part_path), 0);
    assert_int_equal(tg_part_file_open(path, &part, &err), -1);
    assert_string_equal(err.text, wanted);
    assert_int_equal(unlink(part_path), 0);
    assert_says(other, "kept");

    assert_int_equal(mkfifo(part_path, 0666), 0); /* nobody reads it */
    assert_int_equal(tg_part_file_open(path, &part, &err), -1);
    assert_int_equal(unlink(part_path), 0);
    assert_int_equal(access(path, F_OK), -1);
}

static void what_cannot_be_made_is_told(void **state)
{
    (void)state;
    struct tg_part_file part;
    char much[5000];
    memset(much, 'a', sizeof much - 1);
    much[sizeof much - 1] = 0;
    assert_int_equal(tg_part_file_open("/nowhere/x", &part, &err), -1);
    assert_string_equal(err.text, "cannot make '/nowhere/x.part': No such file or directory");
    assert_int_equal(tg_part_file_open(much, &part, &err), -1);
    assert_non_null(strstr(err.text, "is too long"));
    assert_int_equal(mkdir(path, 0700), 0);
    part = begin();
    assert_int_equal(tg_part_file_end(&part, true, &err), -1);
    assert_string_equal(err.text, "cannot rename: Is a directory");
    assert_int_equal(access(part_path, F_OK), -1);
    assert_int_equal(rmdir(path), 0);
}

static int nothing_is_left(void **state)
{
    (void)state;
    unlink(path);
    unlink(other);
    return access(part_path, F_OK) == 0 ? -1 : 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, nothing_is_left)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_is_there_when_it_is_whole),
        TEST(one_that_is_not_is_removed_and_changes_nothing),
        TEST(what_was_left_by_one_that_was_killed_is_begun_anew),
        TEST(of_makers_at_once_each_makes_it_alone),
        TEST(what_is_somebody_elses_is_not_written_to),
        TEST(what_cannot_be_made_is_told),
    };
    char folder[] = "/tmp/tg_part_XXXXXX";
    if (!mkdtemp(folder)) return 1;
    snprintf(path, sizeof path, "%s/made", folder);
    snprintf(part_path, sizeof part_path, "%s.part", path);
    snprintf(other, sizeof other, "%s/other", folder);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return rmdir(folder) == 0 ? failed : 1;
}
