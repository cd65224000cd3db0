/* SPDX-License-Identifier: Apache-2.0 */
#include "results/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <hdf5.h>

#include "base/log.h"
#include "results/store_layout.h"
#include "tests/run_directory.h"

/* Files of versions that had fewer axes and facts. */

#define SHARD "worker-0001.1.h5"

enum { ROWS = 5 };

static void drop(struct tg_record_type *type, struct tg_field *fields, const char *name)
{
    size_t i = 0;
    while (i < type->field_count && strcmp(fields[i].name, name) != 0) i++;
    assert_true(i < type->field_count);
    memmove(&fields[i], &fields[i + 1], (--type->field_count - i) * sizeof *fields);
}

/*
 * Writes /runs anew as a version without these axes and facts would have, with digests of lines
 * that have `facts`.
 */
static void write_rows(const struct tg_store_columns *columns, const struct tg_record_type *facts)
{
    struct tg_run run;
    struct tg_error err;
    struct tg_store_row rows[ROWS];
    char digest[TG_DIGEST_SIZE];
    hsize_t count = ROWS;
    if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(run.count, ROWS);
    assert_int_equal(tg_store_layout_plan_digest(&run_plan, digest, NULL), 0);
    for (size_t i = 0; i < ROWS; i++) {
        assert_int_equal(tg_store_layout_row_digest(digest, &run.rows[i], facts, digest, NULL), 0);
        tg_store_layout_to_row(&run.rows[i], digest, &rows[i]);
    }
    hid_t file = H5Fopen(run_path(SHARD), H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t type = tg_store_layout_row_type(columns), memory = tg_store_layout_row_memory(columns);
    assert_true(H5Ldelete(file, "runs", H5P_DEFAULT) >= 0);
    hid_t space = H5Screate_simple(1, &count, NULL);
    hid_t set = H5Dcreate2(file, "runs", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0);
    H5Dclose(set);
    H5Sclose(space);
    H5Tclose(type);
    H5Tclose(memory);
    assert_true(H5Fclose(file) >= 0);
    tg_store_release(&run);
}

static void older_columns(struct tg_store_columns *columns)
{
    tg_store_layout_columns(-1, columns);
    drop(&columns->axes, columns->axis_fields, "threads");
    drop(&columns->facts, columns->fact_fields, "hardware");
    drop(&columns->facts, columns->fact_fields, "waited_s");
    drop(&columns->facts, columns->fact_fields, "draws");
}

static void what_an_older_file_does_not_have_stands_at_its_default(void **state)
{
    (void)state;
    struct tg_store_columns older;
    struct tg_run run;
    struct tg_error err;
    older_columns(&older);
    run_fill(SHARD, 0, ROWS);
    write_rows(&older, &older.facts);
    if (tg_store_seal(run_directory, &err) < 0) fail_msg("%s", err.text);
    if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(run.count, ROWS);
    assert_string_equal(run.dropped, "");
    assert_true(run.is_sealed);
    for (size_t i = 0; i < ROWS; i++) run_assert_row(&run, i, (int64_t)i);
    assert_int_equal(run.rows[0].cell.threads, 1);
    assert_string_equal(run.rows[0].facts.hardware, "unknown");
    tg_store_release(&run);
}

static void its_digests_are_checked_all_the_same(void **state)
{
    (void)state;
    size_t size, at = 0;
    struct tg_store_columns older;
    older_columns(&older);
    run_fill(SHARD, 0, ROWS);
    write_rows(&older, &older.facts);
    char *bytes = run_bytes(SHARD, &size);
    while (at + 7 <= size && memcmp(bytes + at, "node-1", 7) != 0) at++;
    assert_true(at + 7 <= size);
    bytes[at] = 'N';
    run_write(SHARD, bytes, size);
    free(bytes);
    run_assert_refused("row 1 (round 1 of cell");
}

static void a_column_cannot_be_taken_out_of_a_file(void **state)
{
    (void)state;
    struct tg_store_columns older;
    older_columns(&older);
    run_fill(SHARD, 0, ROWS);
    write_rows(&older, &tg_facts_type); /* the digests are still of all facts */
    run_assert_refused("row 0 (round 0 of cell");
}

static void a_column_that_this_version_does_not_know_is_refused(void **state)
{
    (void)state;
    struct tg_store_columns other;
    run_fill(SHARD, 0, ROWS);
    tg_store_layout_columns(-1, &other);
    other.fact_fields[other.facts.field_count - 1].name = "colour";
    write_rows(&other, &other.facts);
    run_assert_refused("has other columns than this version's");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, run_make, run_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_an_older_file_does_not_have_stands_at_its_default),
        TEST(its_digests_are_checked_all_the_same),
        TEST(a_column_cannot_be_taken_out_of_a_file),
        TEST(a_column_that_this_version_does_not_know_is_refused),
    };
    tg_log_open(-1, TG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
