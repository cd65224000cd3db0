/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/model_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/tg_cache_XXXXXX";

enum { MAKERS = 4 };

/* 0 if this call made the model, 1 if it found it, 2 if it failed. */
static int get(uint64_t seed, char *path, size_t size)
{
    const struct tg_synthetic what = {tg_model_find("tiny"), "TQ2_0", "Q8_0", seed};
    struct tg_pool *pool;
    struct tg_error err;
    bool was_made = false;
    if (tg_pool_create(1, NULL, &pool, &err) < 0) return 2;
    const int rc = tg_model_cache_get(folder, &what, pool, path, size, &was_made, &err);
    tg_pool_destroy(pool);
    if (rc < 0) fprintf(stderr, "%s\n", err.text);
    return rc < 0 ? 2 : !was_made;
}

static void a_model_is_made_once_and_then_found(void **state)
{
    (void)state;
    char path[256], again[256];
    struct stat before, after;
    assert_int_equal(get(1, path, sizeof path), 0);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(get(1, again, sizeof again), 1);
    assert_string_equal(path, again);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(get(2, again, sizeof again), 0);
    assert_string_not_equal(path, again);
}

static void a_file_that_is_not_whole_is_made_again(void **state)
{
    (void)state;
    char path[256];
    struct stat status;
    assert_true(get(1, path, sizeof path) < 2);
    assert_int_equal(truncate(path, 1000), 0);
    assert_int_equal(get(1, path, sizeof path), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_true(status.st_size > 100000);
}

/* Of the right size, and no GGUF file; or one without the key of synthetic models. */
static void a_file_that_is_damaged_is_made_again(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        char path[256], head[4096], key[] = "tritgate.synthetic";
        struct stat before, after;
        assert_true(get(1, path, sizeof path) < 2);
        FILE *file = fopen(path, "r+b");
        assert_non_null(file);
        assert_int_equal(fread(head, 1, sizeof head, file), sizeof head);
        char *at = memmem(head, sizeof head, key, sizeof key - 1);
        assert_non_null(at);
        if (i == 0)
            memset(head, 0, 64);
        else
            *at = 'T';
        rewind(file);
        assert_int_equal(fwrite(head, 1, sizeof head, file), sizeof head);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(stat(path, &before), 0);
        assert_int_equal(get(1, path, sizeof path), 0);
        assert_int_equal(stat(path, &after), 0);
        assert_int_equal(before.st_size, after.st_size);
        assert_int_equal(get(1, path, sizeof path), 1);
    }
}

static void of_makers_at_once_one_makes_it(void **state)
{
    (void)state;
    int made = 0;
    pid_t makers[MAKERS];
    for (int i = 0; i < MAKERS; i++) {
        char path[256];
        makers[i] = fork();
        assert_true(makers[i] >= 0);
        if (makers[i] == 0) _exit(get(3, path, sizeof path));
    }
    for (int i = 0; i < MAKERS; i++) {
        int status;
        assert_int_equal(waitpid(makers[i], &status, 0), makers[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        made += WEXITSTATUS(status) == 0;
    }
    assert_int_equal(made, 1);
}

static void a_folder_that_cannot_be_is_named(void **state)
{
    (void)state;
    const struct tg_synthetic what = {tg_model_find("tiny"), "I2_S", "F16", 1};
    struct tg_error err;
    char path[256];
    bool was_made;
    assert_int_equal(
        tg_model_cache_get("/proc/nowhere", &what, NULL, path, sizeof path, &was_made, &err), -1);
    assert_non_null(strstr(err.text, "cannot make folder '/proc/nowhere'"));
}

static void remove_folder(void)
{
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) unlinkat(dirfd(dir), e->d_name, 0);
    if (dir) closedir(dir);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_is_made_once_and_then_found),
        cmocka_unit_test(a_file_that_is_not_whole_is_made_again),
        cmocka_unit_test(a_file_that_is_damaged_is_made_again),
        cmocka_unit_test(of_makers_at_once_one_makes_it),
        cmocka_unit_test(a_folder_that_cannot_be_is_named),
    };
    if (!mkdtemp(folder)) return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_folder();
    return failed;
}
