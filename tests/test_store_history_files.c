/* SPDX-License-Identifier: Apache-2.0 */
#include "results/store_history.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <hdf5.h>

#include "tests/added_runs.h"

/* Histories that are older, foreign or damaged, and runs that would make them so. */

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
    int schema = 5;
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
    assert_refused("has schema 5, this version reads up to 4");
}

/* Makes the history one of an earlier schema: as it is, but for the last columns of its runs. */
static void make_older(int schema)
{
    char rows[16 * sizeof(struct tg_history_run)];
    hid_t file = H5Fopen(run_path("class-a.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t attribute = H5Aopen(file, "tritgate_history", H5P_DEFAULT);
    hid_t set = H5Dopen2(file, "runs", H5P_DEFAULT);
    hid_t type = H5Dget_type(set), had = H5Dget_space(set);
    hsize_t count = (hsize_t)H5Sget_simple_extent_npoints(had);
    hid_t space = H5Screate_simple(1, &count, NULL);
    unsigned kept = (unsigned)(H5Tget_nmembers(type) - (TG_STORE_HISTORY_SCHEMA - schema));
    hid_t older = H5Tcreate(H5T_COMPOUND, H5Tget_member_offset(type, kept));
    for (unsigned i = 0; i < kept; i++) {
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
    make_older(1);
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

static void a_history_of_the_second_schema_is_gone_on_with(void **state)
{
    (void)state;
    struct tg_history h;
    for (int i = 0; i < 3; i++) add_state(i, "one");
    make_older(2);
    read_history(&h);
    assert_int_equal(h.run_count, 1);
    assert_string_equal(h.runs[0].origin, "one");
    assert_string_equal(h.runs[0].model, "");
    tg_store_history_release(&h);
    assert_int_equal(add_state(6, "one"), 1);
    read_history(&h);
    assert_int_equal(h.run_count, 1);
    assert_int_equal(strlen(h.runs[0].model), 64);
    tg_store_history_release(&h);
}

static void a_history_of_the_third_schema_is_gone_on_with(void **state)
{
    (void)state;
    struct tg_history h;
    add(1);
    make_older(3);
    read_history(&h);
    assert_int_equal(h.run_count, 1);
    assert_int_equal(strlen(h.runs[0].model), 64);
    assert_string_equal(h.runs[0].family, "");
    tg_store_history_release(&h);
    assert_int_equal(add(6), 1);
    read_history(&h);
    assert_int_equal(h.run_count, 2);
    assert_string_equal(h.runs[0].family, "");
    assert_string_equal(h.runs[1].family, "pass");
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
        TEST(a_history_of_the_first_schema_is_gone_on_with),
        TEST(a_history_of_the_second_schema_is_gone_on_with),
        TEST(a_history_of_the_third_schema_is_gone_on_with),
        TEST(foreign_files_are_refused),
        TEST(what_cannot_be_is_refused),
        TEST(a_quantity_may_be_0_or_less),
        TEST(what_would_be_refused_is_not_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
