/* SPDX-License-Identifier: Apache-2.0 */
#include "results/store_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <hdf5.h>

static char path[4096];
static hid_t file;

/* A new file, open for writing. */
static int begin(void **state)
{
    (void)state;
    const char *temporary = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/tritgate-file-XXXXXX", temporary ? temporary : "/tmp");
    int descriptor = mkstemp(path);
    if (descriptor < 0) return -1;
    close(descriptor);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    return file < 0 ? -1 : 0;
}

static int end(void **state)
{
    (void)state;
    H5Fclose(file);
    return unlink(path);
}

static void reopen(void)
{
    assert_true(H5Fclose(file) >= 0);
    file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
}

static void what_was_written_is_read_again(void **state)
{
    (void)state;
    int64_t values[1000];
    size_t count = 0;
    for (int i = 0; i < 1000; i++) values[i] = (int64_t)i * i - 7;
    assert_int_equal(tg_store_file_write_number(file, "schema", 12), 0);
    assert_int_equal(tg_store_file_write_text(file, "text", "a \xc3\xa9 text"), 0);
    assert_int_equal(
        tg_store_file_write_list(file, "list", H5T_STD_I64LE, H5T_NATIVE_INT64, values, 1000), 0);
    assert_int_equal(
        tg_store_file_write_list(file, "none", H5T_STD_I64LE, H5T_NATIVE_INT64, NULL, 0), 0);
    reopen();
    assert_int_equal(tg_store_file_read_number(file, "schema"), 12);
    char *text = tg_store_file_read_text(file, "text");
    assert_string_equal(text, "a \xc3\xa9 text");
    free(text);
    int64_t *read = tg_store_file_read_list(file, "list", H5T_STD_I64LE, H5T_NATIVE_INT64,
                                            sizeof *read, &count);
    assert_non_null(read);
    assert_int_equal(count, 1000);
    assert_memory_equal(read, values, sizeof values);
    free(read);
    read = tg_store_file_read_list(file, "none", H5T_STD_I64LE, H5T_NATIVE_INT64, sizeof *read,
                                   &count);
    assert_non_null(read);
    assert_int_equal(count, 0);
    free(read);
}

static void what_is_not_there_or_of_another_kind_is_not_read(void **state)
{
    (void)state;
    const double values[] = {1, 2, 3};
    size_t count = 77;
    assert_int_equal(
        tg_store_file_write_list(file, "list", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, values, 3), 0);
    reopen();
    assert_int_equal(tg_store_file_read_number(file, "schema"), -1);
    assert_null(tg_store_file_read_text(file, "text"));
    assert_null(tg_store_file_read_text(file, "list"));
    assert_null(tg_store_file_read_list(file, "none", H5T_STD_I64LE, H5T_NATIVE_INT64, 8, &count));
    assert_null(tg_store_file_read_list(file, "list", H5T_STD_I64LE, H5T_NATIVE_INT64, 8, &count));
    assert_int_equal(count, 77);
    assert_true(tg_store_file_has_other_type(file, "list", H5T_STD_I64LE));
    assert_false(tg_store_file_has_other_type(file, "list", H5T_IEEE_F64LE));
    assert_false(tg_store_file_has_other_type(file, "none", H5T_STD_I64LE));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(what_was_written_is_read_again),
        TEST(what_is_not_there_or_of_another_kind_is_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
