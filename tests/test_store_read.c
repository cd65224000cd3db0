/* SPDX-License-Identifier: Apache-2.0 */
#include "results/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <hdf5.h>

#include "base/log.h"
#include "tests/run_directory.h"

/* What the store refuses, and what it leaves out and names. */

#define SHARD "worker-0001.1.h5"

/* Where these bytes are in others, for the n-th time. */
static size_t place_of(const char *bytes, size_t size, const void *wanted, size_t length, int n)
{
    for (size_t i = 0; i + length <= size; i++)
        if (memcmp(bytes + i, wanted, length) == 0 && n-- == 0) return i;
    fail_msg("these %zu bytes are not in the file", length);
    return 0;
}

/* Puts `bytes` where the file has `wanted`. */
static void alter(const void *wanted, const void *bytes, size_t length)
{
    size_t size;
    char *file = run_bytes(SHARD, &size);
    memcpy(file + place_of(file, size, wanted, length, 0), bytes, length);
    run_write(SHARD, file, size);
    free(file);
}

static void seal(void)
{
    struct tg_error err;
    if (tg_store_seal(run_directory, &err) < 0) fail_msg("%s", err.text);
}

/* Reads a run that is not refused. Returns how many rows it has, all sound and in order. */
static size_t rows_left(char *dropped)
{
    struct tg_run run;
    struct tg_error err;
    if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
    for (size_t i = 0; i < run.count; i++) run_assert_row(&run, i, (int64_t)i);
    size_t count = run.count;
    memcpy(dropped, run.dropped, sizeof run.dropped);
    tg_store_release(&run);
    return count;
}

static void a_sealed_run_says_so(void **state)
{
    (void)state;
    struct tg_run run;
    struct tg_error err;
    run_fill(SHARD, 0, 3);
    run_fill("worker-0002.1.h5", 3, 2);
    seal();
    if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
    assert_true(run.is_sealed);
    assert_int_equal(run.count, 5);
    tg_store_release(&run);
}

/* A file of a later attempt, by a rank whose files come first: those of rank 0 do. */
static void what_a_run_began_with_no_resume_changes(void **state)
{
    (void)state;
    struct tg_run run, again;
    struct tg_error err;
    struct tg_store *store;
    struct tg_measurement m;
    run_fill(SHARD, 0, 3);
    run_fill("worker-0002.1.h5", 3, 2);
    if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(strlen(run.beginning), 64);
    assert_int_equal(run.first_attempt, 1);
    assert_int_equal(tg_store_create(run_path("worker-0000.2.h5"), &run_plan, &store, &err), 0);
    run_measurement(7, &m);
    m.attempt = 2;
    assert_int_equal(tg_store_append(store, &m, &err), 0);
    assert_int_equal(tg_store_close(store, &err), 0);
    tg_measurement_free(&m);
    if (tg_store_read(run_directory, &again, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(again.rows[0].attempt, 2);
    assert_string_not_equal(again.evidence, run.evidence);
    assert_string_equal(again.beginning, run.beginning);
    char beginning[65];
    memcpy(beginning, run.beginning, sizeof beginning);
    tg_store_release(&run);
    tg_store_release(&again);
    unlink(run_path(SHARD)); /* what began with another row is another run */
    if (tg_store_read(run_directory, &again, &err) < 0) fail_msg("%s", err.text);
    assert_string_not_equal(again.beginning, beginning);
    tg_store_release(&again);
    unlink(run_path("worker-0000.2.h5"));
    unlink(run_path("worker-0002.1.h5"));
    if (tg_store_read(run_directory, &again, &err) < 0) fail_msg("%s", err.text);
    assert_string_equal(again.beginning, "");
    tg_store_release(&again);
}

static void a_byte_changed_after_the_seal_is_noticed_wherever_it_is(void **state)
{
    (void)state;
    size_t size;
    run_fill(SHARD, 0, 2);
    seal();
    char *bytes = run_bytes(SHARD, &size);
    FILE *f = fopen(run_path(SHARD), "r+b");
    assert_non_null(f);
    setbuf(f, NULL);
    for (size_t i = 0; i < size; i += i < 3000 ? 13 : 101) {
        struct tg_run run;
        struct tg_error err;
        fseek(f, (long)i, SEEK_SET);
        fputc(bytes[i] ^ (1 << i % 8), f);
        if (tg_store_read(run_directory, &run, &err) == 0) fail_msg("byte %zu", i);
        if (!strstr(err.text, "its digest differs")) fail_msg("%s", err.text);
        fseek(f, (long)i, SEEK_SET);
        fputc(bytes[i], f);
    }
    fclose(f);
    free(bytes);
    char dropped[1024];
    assert_int_equal(rows_left(dropped), 2);
}

static void a_byte_of_the_seal_itself_cannot_be_changed(void **state)
{
    (void)state;
    size_t size;
    run_fill(SHARD, 0, 2);
    seal();
    char *bytes = run_bytes("digests.json", &size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 1;
        run_write("digests.json", bytes, size);
        run_assert_refused("");
        bytes[i] ^= 1;
    }
    bytes[size] = '\n';
    run_write("digests.json", bytes, size + 1);
    run_assert_refused("'digests.json' was changed after the run");
    free(bytes);
}

static void a_file_cut_after_the_seal_is_refused(void **state)
{
    (void)state;
    size_t size;
    run_fill(SHARD, 0, 2);
    seal();
    char *bytes = run_bytes(SHARD, &size);
    for (size_t length = 0; length < size; length += 997) {
        run_write(SHARD, bytes, length);
        run_assert_refused("its digest differs");
    }
    run_write(SHARD, bytes, size - 1);
    run_assert_refused("its digest differs");
    free(bytes);
}

static void files_come_and_go_only_before_the_seal(void **state)
{
    (void)state;
    size_t size;
    run_fill(SHARD, 0, 2);
    run_fill("worker-0002.1.h5", 2, 1);
    seal();
    run_fill("worker-0003.1.h5", 3, 1);
    run_assert_refused("'worker-0003.1.h5' was added after the run");
    unlink(run_path("worker-0003.1.h5"));

    char *bytes = run_bytes("worker-0002.1.h5", &size);
    unlink(run_path("worker-0002.1.h5"));
    run_assert_refused("'worker-0002.1.h5' was removed after the run");
    run_write("worker-0002.1.h5", bytes, size);
    free(bytes);

    char dropped[1024];
    assert_int_equal(rows_left(dropped), 3);
    unlink(run_path("digests.json"));
    run_write("digests.json", "{\"tritgate_digests\": 1, \"files\": {}}", 36);
    run_assert_refused("was added after the run");
}

static void what_was_asked_cannot_be_changed(void **state)
{
    (void)state;
    static const char *const parts[] = {"matrix.json", "policy.json", "plan.json"};
    for (int sealed = 0; sealed < 2; sealed++) {
        run_fill(SHARD, 0, 2);
        if (sealed) seal();
        for (size_t i = 0; i < 3; i++) {
            size_t size;
            char *bytes = run_bytes(parts[i], &size);
            run_write(parts[i], "{\"other\": 1}\n", 13);
            run_assert_refused(sealed ? "was changed after the run" : "belongs to another run");
            run_write(parts[i], "not JSON", 8);
            run_assert_refused(sealed ? "was changed after the run" : "not JSON");
            run_write(parts[i], bytes, size);
            free(bytes);
        }
        char dropped[1024];
        assert_int_equal(rows_left(dropped), 2);
        unlink(run_path(SHARD));
    }
}

static void accepted_losses_and_tries_are_read_and_sealed(void **state)
{
    (void)state;
    struct tg_run run;
    struct tg_error err;
    char sentence[100];
    char **const texts[] = {&run.acceptance, &run.tries};
    static const char *const names[] = {"acceptance.json", "tries.json"};
    run_fill(SHARD, 0, 2);
    for (int i = 0; i < 2; i++) {
        run_write(names[i], "{\"a\": 1}\n", 9);
        seal();
        if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
        assert_string_equal(*texts[i], "{\"a\": 1}\n");
        assert_true(run.is_sealed);
        tg_store_release(&run);
        run_write(names[i], "{\"a\": 2}\n", 9);
        snprintf(sentence, sizeof sentence, "'%s' was changed after the run", names[i]);
        run_assert_refused(sentence);
        unlink(run_path(names[i]));
        snprintf(sentence, sizeof sentence, "'%s' was removed after the run", names[i]);
        run_assert_refused(sentence);
        seal();
        if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
        assert_null(*texts[i]);
        tg_store_release(&run);
        run_write(names[i], "{\"a\": 1}\n", 9);
        snprintf(sentence, sizeof sentence, "'%s' was added after the run", names[i]);
        run_assert_refused(sentence);
        unlink(run_path(names[i]));
    }
}

static void a_file_cut_before_the_seal_is_named_and_does_no_harm(void **state)
{
    (void)state;
    size_t size;
    char dropped[1024];
    run_fill(SHARD, 0, 4);
    char *bytes = run_bytes(SHARD, &size);
    for (size_t length = 0; length < size; length += length < 8192 ? 101 : 1999) {
        run_write(SHARD, bytes, length);
        size_t rows = rows_left(dropped);
        if (rows == 4 || !strstr(dropped, SHARD)) fail_msg("%zu: %zu, %s", length, rows, dropped);
    }
    free(bytes);
    run_write(SHARD, "", 0);
    run_fill("worker-0002.1.h5", 0, 2);
    assert_int_equal(rows_left(dropped), 2);
    assert_string_equal(dropped, "'" SHARD "': not a whole HDF5 file"); /* wherever the run is */
}

/* The least change that a double can have. */
static void a_sample_changed_by_its_last_bit_is_noticed(void **state)
{
    (void)state;
    struct tg_measurement m;
    run_fill(SHARD, 0, 5);
    run_measurement(1, &m);
    double before = m.series[0].samples[4], after;
    uint64_t bits;
    memcpy(&bits, &before, sizeof bits);
    bits ^= 1;
    memcpy(&after, &bits, sizeof after);
    alter(&before, &after, sizeof before);
    run_assert_refused("row 1 (round 1 of cell 'probe=kernel kernel=i2s_avx2 batch=8') was damaged "
                       "or changed");
    seal();
    run_assert_refused("row 1 (round 1 of cell");
    tg_measurement_free(&m);
}

static void a_fact_changed_in_the_middle_is_noticed(void **state)
{
    (void)state;
    run_fill(SHARD, 0, 5);
    alter("node-3", "node-4", 6);
    run_assert_refused("row 3 (round 3 of cell");
}

static void a_text_changed_in_the_middle_is_noticed(void **state)
{
    (void)state;
    run_fill(SHARD, 0, 5);
    alter("row 2: \"differs\"", "row 2: \"matches\"", 16);
    run_assert_refused("row 2 (round 2 of cell");
}

static void bytes_hidden_behind_a_text_are_not_read(void **state)
{
    (void)state;
    char dropped[1024];
    run_fill(SHARD, 0, 5);
    alter("node-3\0\0\0", "node-3\0xy", 9);
    assert_int_equal(rows_left(dropped), 5);
    alter("node-3\0xy", "node-3 xy", 9);
    run_assert_refused("row 3 (round 3 of cell");
}

static void the_last_row_of_a_killed_worker_may_be_damaged_and_is_named(void **state)
{
    (void)state;
    char dropped[1024];
    run_fill(SHARD, 0, 5);
    alter("node-4", "node-5", 6);
    assert_int_equal(rows_left(dropped), 4);
    assert_non_null(strstr(dropped, "'" SHARD "': row 4 (round 4 of cell"));
}

/* Makes the rows from one on blank, up to another one. */
static void blank(int from, int to)
{
    size_t size;
    char *bytes = run_bytes(SHARD, &size);
    size_t first = place_of(bytes, size, "i2s_avx2", 9, 0) - 96;
    size_t length = place_of(bytes, size, "i2s_avx2", 9, 1) - 96 - first;
    memset(bytes + first + (size_t)from * length, 0, (size_t)(to - from) * length);
    run_write(SHARD, bytes, size);
    free(bytes);
}

static void rows_that_never_reached_the_disk_are_left_out_at_the_end_alone(void **state)
{
    (void)state;
    char dropped[1024];
    run_fill(SHARD, 0, 5);
    blank(3, 5);
    assert_int_equal(rows_left(dropped), 3);
    assert_string_equal(dropped, "'" SHARD "': its last rows did not all reach the disk");
    alter("node-2", "node-5", 6); /* as where the disk had a part of the row before */
    assert_int_equal(rows_left(dropped), 2);
    assert_non_null(strstr(dropped, "'" SHARD "': row 2 (round 2 of cell"));
    blank(0, 1);
    run_assert_refused("no such outcome ''");
}

static void rows_cannot_be_exchanged(void **state)
{
    (void)state;
    size_t size;
    run_fill(SHARD, 0, 5);
    char *bytes = run_bytes(SHARD, &size);
    size_t first = place_of(bytes, size, "i2s_avx2", 9, 0) - 96;
    size_t second = place_of(bytes, size, "i2s_avx2", 9, 1) - 96, length = second - first;
    assert_string_equal(bytes + first, "kernel");
    for (size_t i = 0; i < length; i++) {
        size_t a = first + i, b = second + i;
        char kept = bytes[a];
        bytes[a] = bytes[b];
        bytes[b] = kept;
    }
    run_write(SHARD, bytes, size);
    free(bytes);
    run_assert_refused("row 0 (round 1 of cell");
}

/* A file that another program, or another version, could have written in place of a worker's. */
struct foreign {
    int schema;
    hsize_t schema_count; /* 0: one value, not a list */
    hsize_t text_count;   /* 0: one value; of matrix, policy and plan */
    bool has_texts, has_lists;
};

static hid_t values(hsize_t count)
{
    return count ? H5Screate_simple(1, &count, NULL) : H5Screate(H5S_SCALAR);
}

static void put_list(hid_t file, const char *name, hid_t type, hsize_t count)
{
    hid_t space = values(count);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(set >= 0);
    H5Dclose(set);
    H5Sclose(space);
}

static void make_foreign(const struct foreign *foreign)
{
    static const char *const texts[] = {"matrix", "policy", "plan"};
    static const char *const lists[] = {"runs", "series", "samples", "turn", "begun"};
    int schemas[64];
    const char *written[64];
    for (int i = 0; i < 64; i++) schemas[i] = foreign->schema, written[i] = "{}";
    unlink(run_path(SHARD));
    hid_t file = H5Fcreate(run_path(SHARD), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = values(foreign->schema_count), text = H5Tcopy(H5T_C_S1);
    hid_t attribute = H5Acreate2(file, "tritgate_schema", H5T_STD_I32LE, space, H5P_DEFAULT,
                                 H5P_DEFAULT);
    assert_true(H5Awrite(attribute, H5T_NATIVE_INT, schemas) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tset_size(text, H5T_VARIABLE);
    for (size_t i = 0; i < 3 && foreign->has_texts; i++) {
        space = values(foreign->text_count);
        hid_t set = H5Dcreate2(file, texts[i], text, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        assert_true(H5Dwrite(set, text, H5S_ALL, H5S_ALL, H5P_DEFAULT, written) >= 0);
        H5Dclose(set);
        H5Sclose(space);
    }
    for (size_t i = 0; i < 5 && foreign->has_lists; i++)
        put_list(file, lists[i], i == 2 ? H5T_IEEE_F64LE : H5T_STD_I64LE, 3);
    H5Tclose(text);
    assert_true(H5Fclose(file) >= 0);
}

static void a_file_of_another_version_is_refused(void **state)
{
    (void)state;
    make_foreign(&(struct foreign){.schema = 2});
    run_assert_refused("has schema 2, this version reads schema 1");
    make_foreign(&(struct foreign){.schema = 1, .has_texts = true, .has_lists = true});
    run_assert_refused("has other columns than this version's");
}

static void lists_where_one_value_should_be_do_no_harm(void **state)
{
    (void)state;
    char dropped[1024];
    make_foreign(&(struct foreign){.schema = 1, .has_texts = true, .text_count = 64});
    assert_int_equal(rows_left(dropped), 0);
    assert_non_null(strstr(dropped, "is damaged"));
    make_foreign(&(struct foreign){.schema = 1, .schema_count = 64});
    assert_int_equal(rows_left(dropped), 0);
    assert_non_null(strstr(dropped, SHARD));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, run_make, run_remove)

static void a_file_is_of_the_run_that_asked_it(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_store *store;
    const struct tg_store_plan other = {run_plan.matrix, run_plan.policy, "{}"};
    assert_int_equal(tg_store_create(run_path("worker-0001.1.h5"), &run_plan, &store, &err), 0);
    assert_int_equal(tg_store_close(store, &err), 0);
    assert_int_equal(tg_store_check_plan(run_path("worker-0001.1.h5"), &run_plan, &err), 0);
    assert_int_equal(tg_store_check_plan(run_path("worker-0001.1.h5"), &other, &err), -1);
    assert_string_equal(err.text, "it belongs to another run");
    assert_int_equal(tg_store_check_plan(run_path("plan.json"), &run_plan, &err), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sealed_run_says_so),
        TEST(what_a_run_began_with_no_resume_changes),
        TEST(a_byte_changed_after_the_seal_is_noticed_wherever_it_is),
        TEST(a_byte_of_the_seal_itself_cannot_be_changed),
        TEST(a_file_cut_after_the_seal_is_refused),
        TEST(files_come_and_go_only_before_the_seal),
        TEST(what_was_asked_cannot_be_changed),
        TEST(a_file_is_of_the_run_that_asked_it),
        TEST(accepted_losses_and_tries_are_read_and_sealed),
        TEST(a_file_cut_before_the_seal_is_named_and_does_no_harm),
        TEST(a_sample_changed_by_its_last_bit_is_noticed),
        TEST(a_fact_changed_in_the_middle_is_noticed),
        TEST(a_text_changed_in_the_middle_is_noticed),
        TEST(bytes_hidden_behind_a_text_are_not_read),
        TEST(the_last_row_of_a_killed_worker_may_be_damaged_and_is_named),
        TEST(rows_that_never_reached_the_disk_are_left_out_at_the_end_alone),
        TEST(rows_cannot_be_exchanged),
        TEST(a_file_of_another_version_is_refused),
        TEST(lists_where_one_value_should_be_do_no_harm),
    };
    tg_log_open(-1, TG_ERROR); /* what is left out would be told thousands of times */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
