/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/library.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "results/digest.h"
#include "tests/worker_cell.h"

static void the_library_of_this_build_is_opened(void **state)
{
    (void)state;
    const struct tg_library *library = NULL;
    struct tg_error err;
    if (tg_library_open(kernel_library(), &library, &err) < 0) fail_msg("%s", err.text);
    const struct tg_library *own = tritgate_kernels_v1();
    assert_ptr_not_equal(library, own);
    assert_int_equal(library->kernel_count, own->kernel_count);
    assert_string_equal(library->build, own->build);
    for (uint64_t i = 0; i < own->kernel_count; i++) {
        const struct tg_kernel *k = tg_library_find(library, own->kernels[i].name);
        assert_ptr_equal(k, &library->kernels[i]);
        assert_string_equal(k->op, own->kernels[i].op);
    }
    assert_null(tg_library_find(library, "i2s_scala"));
    assert_null(tg_library_find(library, ""));
}

static void assert_refused(const char *path, const char *part)
{
    const struct tg_library *library = NULL;
    struct tg_error err;
    assert_int_equal(tg_library_open(path, &library, &err), -1);
    assert_null(library);
    assert_non_null(strstr(err.text, path));
    if (!strstr(err.text, part)) fail_msg("'%s' is not in: %s", part, err.text);
}

static void what_is_no_kernel_library_is_refused(void **state)
{
    (void)state;
    assert_refused("/nowhere.so", "No such file");
    assert_refused(TG_TEST_DATA "/gate.json", "is not a kernel library: ");
    assert_refused("/bin/true", "is not a kernel library: ");
    assert_refused("libm.so.6", "'libm.so.6' is not a kernel library: it has no table");
}

static void a_table_of_another_version_is_refused(void **state)
{
    (void)state;
    assert_refused(foreign_library("newer"),
                   "has kernel table version 3, this program reads versions 1 to 2");
    assert_refused(foreign_library("larger"),
                   "has a kernel table of other sizes than this program: build it anew, "
                   "with the program's kernels/kernel.h");
    assert_refused(foreign_library("empty"), "has no kernel table");

    const struct tg_library *library;
    assert_int_equal(tg_library_open(foreign_library("older"), &library, NULL), 0);
    assert_int_equal(library->abi, 1);
    assert_int_equal(tg_library_open(foreign_library(""), &library, NULL), 0);
    assert_null(tg_library_find(library, "i2s_scalar"));
}

static void a_pipe_that_nobody_writes_is_not_waited_for(void **state)
{
    (void)state;
    char folder[] = "/tmp/tg_library_XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/pipe", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(20); /* it would be for ever */
    assert_refused(path, "is not a kernel library: it is no file");
    alarm(0);
    unlink(path);
    rmdir(folder);
}

static void the_own_library_lies_beside_the_program(void **state)
{
    (void)state;
    char path[4096], small[64], own[4096];
    struct tg_error err;
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    assert_true(length > 0);
    own[length] = 0;
    snprintf(strrchr(own, '/') + 1, 32, "libtritgate-kernels.so");
    assert_int_equal(tg_library_own_path(path, sizeof path, &err), 0);
    assert_string_equal(path, own);
    assert_int_equal(tg_library_own_path(small, 20, &err), -1);
    assert_string_equal(err.text, "cannot find this program's folder");
}

static void a_file_that_was_changed_is_told_by_its_digest(void **state)
{
    (void)state;
    char path[] = "/tmp/tritgate-library-XXXXXX", digest[TG_DIGEST_SIZE];
    const int file = mkstemp(path);
    assert_true(file >= 0 && write(file, "a", 1) == 1);
    assert_int_equal(tg_digest_file(path, digest, NULL), 0);
    assert_false(tg_library_was_changed(path, digest));
    assert_int_equal(write(file, "b", 1), 1);
    assert_true(tg_library_was_changed(path, digest));
    close(file);
    unlink(path);
    assert_true(tg_library_was_changed(path, digest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_library_of_this_build_is_opened),
        cmocka_unit_test(what_is_no_kernel_library_is_refused),
        cmocka_unit_test(a_table_of_another_version_is_refused),
        cmocka_unit_test(a_pipe_that_nobody_writes_is_not_waited_for),
        cmocka_unit_test(the_own_library_lies_beside_the_program),
        cmocka_unit_test(a_file_that_was_changed_is_told_by_its_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
