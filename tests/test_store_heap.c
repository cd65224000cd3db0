/* SPDX-License-Identifier: Apache-2.0 */
#include "results/store_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "tests/run_directory.h"

/* Files whose texts a machine that went down left torn: HDF5 by itself loops in them, or crashes.
 */

#define SHARD "worker-0001.1.h5"
#define ROWS  80 /* their texts need more than one heap */

static char *bytes;
static size_t size;

static int begin(void **state)
{
    if (run_make(state) < 0) return -1;
    run_fill(SHARD, 0, ROWS);
    bytes = run_bytes(SHARD, &size);
    alarm(30); /* what reads for ever is to fail */
    return 0;
}

static int end(void **state)
{
    alarm(0);
    free(bytes);
    return run_remove(state);
}

static size_t number_at(size_t place)
{
    uint64_t number;
    memcpy(&number, bytes + place, sizeof number);
    return (size_t)number;
}

/* Where these 8 bytes are behind a place; 0 if nowhere. */
static size_t find(const void *wanted, size_t from)
{
    for (size_t i = from; i + 8 <= size; i++)
        if (memcmp(bytes + i, wanted, 8) == 0) return i;
    return 0;
}

/* The first heap has the texts of the plan, the last one is of rows. */
static size_t first_heap(void)
{
    size_t heap = find("GCOL\1\0\0", 0);
    assert_int_not_equal(heap, 0);
    return heap;
}

static size_t last_heap(void)
{
    size_t heap = first_heap();
    for (size_t next; (next = find("GCOL\1\0\0", heap + 1)) != 0;) heap = next;
    assert_true(heap > first_heap());
    return heap;
}

/* Reads the run with the bytes as they are now. Returns how many rows it has. */
static size_t read_again(char dropped[1024])
{
    struct tg_run run;
    struct tg_error err;
    run_write(SHARD, bytes, size);
    if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
    size_t count = run.count;
    memcpy(dropped, run.dropped, sizeof run.dropped);
    tg_store_release(&run);
    return count;
}

/* Asserts that of the bytes, as they are now, these rows are read and no others, and that is said.
 */
static void assert_leaves(size_t rows)
{
    char dropped[1024];
    assert_int_equal(read_again(dropped), rows);
    assert_string_equal(dropped, "'" SHARD "': its last rows did not all reach the disk");
}

/* The same with this number in them; puts back what was. */
static void assert_damages(size_t place, uint64_t number, size_t length, size_t rows)
{
    char before[8];
    memcpy(before, bytes + place, sizeof before);
    memcpy(bytes + place, &number, length);
    assert_leaves(rows);
    memcpy(bytes + place, before, sizeof before);
}

/* How many rows have no text in the last heap. */
static size_t rows_before(void)
{
    struct tg_run run;
    const size_t heap = last_heap();
    const char first = bytes[heap];
    bytes[heap] = 0;
    run_write(SHARD, bytes, size);
    bytes[heap] = first;
    assert_int_equal(tg_store_read(run_directory, &run, NULL), 0);
    const size_t count = run.count;
    tg_store_release(&run);
    assert_in_range(count, 1, ROWS - 2);
    return count;
}

static void a_sound_file_is_read(void **state)
{
    (void)state;
    char dropped[1024];
    assert_int_equal(read_again(dropped), ROWS);
    assert_string_equal(dropped, "");
}

static void a_page_of_texts_that_never_reached_the_disk_takes_its_rows_with_it(void **state)
{
    (void)state;
    const size_t heap = last_heap(), rows = rows_before();
    memset(bytes + heap + 64, 0, number_at(heap + 8) - 64);
    assert_leaves(rows);
    assert_int_equal(tg_store_check_plan(run_path(SHARD), &run_plan, NULL), 0);
    assert_int_equal(tg_store_seal(run_directory, NULL), 0); /* as by the run that goes on */
    assert_leaves(rows);
}

/* Be it all of them, or a hole in one. */
static void so_is_one_of_what_was_asked(void **state)
{
    (void)state;
    char dropped[1024];
    const size_t heap = first_heap();
    const char was = bytes[heap + 33];
    bytes[heap + 33] = 0;
    assert_int_equal(read_again(dropped), 0);
    assert_string_equal(dropped, "'" SHARD "': it is damaged");
    assert_int_equal(tg_store_check_plan(run_path(SHARD), &run_plan, NULL), 1);
    bytes[heap + 33] = was;
    memset(bytes + heap + 64, 0, number_at(heap + 8) - 64);
    assert_int_equal(read_again(dropped), 0);
    assert_string_equal(dropped, "'" SHARD "': it is damaged");
    assert_int_equal(tg_store_check_plan(run_path(SHARD), &run_plan, NULL), 1);
}

static void sizes_that_lead_out_of_a_heap_are_damage(void **state)
{
    (void)state;
    static const uint64_t of_heap[] = {0, 16, 4095, UINT64_C(1) << 40, UINT64_MAX},
                          of_object[] = {5000, UINT64_C(1) << 40, UINT64_MAX - 7, UINT64_MAX};
    const size_t heap = last_heap(), rows = rows_before();
    for (size_t i = 0; i < sizeof of_heap / sizeof *of_heap; i++)
        assert_damages(heap + 8, of_heap[i], 8, rows);
    for (size_t i = 0; i < sizeof of_object / sizeof *of_object; i++)
        assert_damages(heap + 24, of_object[i], 8, rows);
    assert_damages(heap + 4, 2, 1, rows);
}

static void references_to_what_is_not_there_are_damage(void **state)
{
    (void)state;
    const uint64_t heap = last_heap();
    const size_t reference = find(&heap, 0), rows = rows_before();
    assert_int_not_equal(reference, 0);
    assert_damages(reference, heap + 8, 8, rows);
    assert_damages(reference, size - 8, 8, rows);
    assert_damages(reference, UINT64_MAX, 8, rows);
    assert_damages(reference + 8, 0, 4, rows);
    assert_damages(reference + 8, 60000, 4, rows);
    assert_damages(reference - 4, 1, 4, rows); /* shorter than what is there */
    assert_damages(reference - 4, INT32_MAX, 4, rows);
}

/* A kill between two writes of one flush: the row is there, and its text is not yet. */
static void a_row_whose_text_was_not_written_takes_no_other_with_it(void **state)
{
    (void)state;
    const uint64_t heap = last_heap();
    size_t reference = find(&heap, 0);
    for (size_t next; (next = find(&heap, reference + 1)) != 0;) reference = next;
    assert_damages(reference + 8, 60000, 4, ROWS - 1);
}

/* What a process says, and what was measured, may have any bytes. */
static void what_looks_like_a_heap_and_is_none_does_no_harm(void **state)
{
    (void)state;
    struct tg_store *store;
    struct tg_measurement m;
    char dropped[1024];
    assert_int_equal(unlink(run_path(SHARD)), 0);
    assert_int_equal(tg_store_create(run_path(SHARD), &run_plan, &store, NULL), 0);
    for (int64_t round = 0; round < 40; round++) {
        run_measurement(round, &m);
        snprintf(m.facts.host, sizeof m.facts.host, "%.*sGCOL\1", (int)(round % 8), "-------");
        snprintf(m.reason, sizeof m.reason, "GCOL\1 GCOL\1%.*sGCOL\1", (int)(round % 8), "-------");
        for (size_t i = 0; m.series_count && i < m.series[0].count; i++) {
            memcpy(&m.series[0].begun[i], "GCOL\1\0\0", 8);
            memcpy(&m.series[0].samples[i], "GCOL\1\0\0", 8);
        }
        assert_int_equal(tg_store_append(store, &m, NULL), 0);
        tg_measurement_free(&m);
    }
    assert_int_equal(tg_store_close(store, NULL), 0);
    free(bytes);
    bytes = run_bytes(SHARD, &size);
    assert_int_equal(read_again(dropped), 40);
    assert_string_equal(dropped, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_sound_file_is_read),
        TEST(a_page_of_texts_that_never_reached_the_disk_takes_its_rows_with_it),
        TEST(so_is_one_of_what_was_asked),
        TEST(sizes_that_lead_out_of_a_heap_are_damage),
        TEST(references_to_what_is_not_there_are_damage),
        TEST(a_row_whose_text_was_not_written_takes_no_other_with_it),
        TEST(what_looks_like_a_heap_and_is_none_does_no_harm),
    };
    tg_log_open(-1, TG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
