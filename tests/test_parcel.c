/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/parcel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "results/digest.h"
#include "tests/run_directory.h"

static void only_a_workers_file_has_such_a_name(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool is_one;
    } rows[] = {{"worker-0001.1.h5", true},   {"worker-12345.10.h5", true},
                {"worker-0001.1.h5.part", 0}, {"worker-0001.h5", false},
                {"../worker-0001.1.h5", 0},   {"worker-0001.1.h5/../../x", false},
                {"digests.json", false},      {"", false},
                {"worker-0001.1.h", false},   {"worker-.1.h5", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (tg_parcel_is_name(rows[i].name) != rows[i].is_one) fail_msg("'%s'", rows[i].name);
}

/* A list, as it comes over the wire; the caller releases. */
static struct tg_json_file listed(const char *only, const struct tg_json *had)
{
    struct tg_json_file file;
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_parcel_list(run_directory, only, had, tg_json_array(root, "files"));
    char *text = tg_json_print(root, false);
    assert_int_equal(tg_json_parse(text, &file, NULL), 0);
    free(text);
    tg_json_free(root);
    return file;
}

static size_t count_of(const struct tg_json_file *file)
{
    return tg_json_count(tg_json_get(file->root, "files"));
}

static void files_are_told_by_name_and_size_but_for_those_that_are_had(void **state)
{
    (void)state;
    run_write("worker-0001.1.h5", "abc", 3);
    run_write("worker-0002.1.h5", "abcde", 5);
    struct tg_json_file one = listed("worker-0002.1.h5", NULL), all = listed(NULL, NULL);
    const struct tg_json *file = tg_json_at(tg_json_get(one.root, "files"), 0);
    assert_string_equal(tg_json_text(tg_json_get(file, "name")), "worker-0002.1.h5");
    assert_true(tg_json_number(tg_json_get(file, "bytes")) == 5);
    assert_int_equal(count_of(&one), 1);
    assert_int_equal(count_of(&all), 2); /* not the texts of the run */
    struct tg_json_file rest = listed(NULL, tg_json_get(one.root, "files"));
    assert_int_equal(count_of(&rest), 1);
    run_write("worker-0002.1.h5", "abcdef", 6); /* another size: not had */
    struct tg_json_file changed = listed(NULL, tg_json_get(all.root, "files"));
    assert_int_equal(count_of(&changed), 1);
    struct tg_json_file none = listed("worker-0009.1.h5", NULL);
    assert_int_equal(count_of(&none), 0);
    tg_json_release(&one);
    tg_json_release(&all);
    tg_json_release(&rest);
    tg_json_release(&changed);
    tg_json_release(&none);
}

/* Reads a part, as it comes over the wire. Returns the bytes behind it; adds to `to`. */
static double take(double at, char *to, char digest[TG_DIGEST_SIZE])
{
    unsigned char *bytes;
    size_t size;
    struct tg_error err;
    struct tg_json_file file;
    struct tg_json *root = tg_json_object(NULL, NULL);
    if (tg_parcel_read(run_directory, "worker-0001.1.h5", (int64_t)at, root, &err) < 0)
        fail_msg("%s", err.text);
    char *text = tg_json_print(root, false);
    assert_int_equal(tg_json_parse(text, &file, NULL), 0);
    free(text);
    tg_json_free(root);
    assert_int_equal(
        tg_parcel_decode(tg_json_text(tg_json_get(file.root, "part")), &bytes, &size, &err), 0);
    assert_true(size <= TG_PARCEL_PART_BYTES);
    memcpy(to + (size_t)at, bytes, size);
    free(bytes);
    double left = tg_json_number(tg_json_get(file.root, "left"));
    snprintf(digest, TG_DIGEST_SIZE, "%s", tg_json_text(tg_json_get(file.root, "digest")));
    tg_json_release(&file);
    return left;
}

static void a_file_comes_in_parts_and_the_last_has_its_digest(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, TG_PARCEL_PART_BYTES, 2 * TG_PARCEL_PART_BYTES + 7};
    static char bytes[2 * TG_PARCEL_PART_BYTES + 7], taken[sizeof bytes];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 2654435761u >> 13);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char digest[TG_DIGEST_SIZE], whole[TG_DIGEST_SIZE];
        size_t parts = 1;
        run_write("worker-0001.1.h5", bytes, sizes[i]);
        memset(taken, 0, sizeof taken);
        for (double at = 0; take(at, taken, digest) > 0; at += TG_PARCEL_PART_BYTES) {
            assert_string_equal(digest, "");
            parts++;
        }
        assert_int_equal(parts, sizes[i] > TG_PARCEL_PART_BYTES ? 3 : 1);
        assert_memory_equal(taken, bytes, sizes[i]);
        assert_int_equal(tg_digest_file(run_path("worker-0001.1.h5"), whole, NULL), 0);
        assert_string_equal(digest, whole);
    }
}

static void nothing_but_a_workers_file_is_read(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_json *root = tg_json_object(NULL, NULL);
    assert_int_equal(tg_parcel_read(run_directory, "plan.json", 0, root, &err), -1);
    assert_string_equal(err.text, "no worker has a file 'plan.json'");
    assert_int_equal(tg_parcel_read(run_directory, "worker-0001.1.h5", 0, root, &err), -1);
    assert_non_null(strstr(err.text, "cannot read '"));
    assert_int_equal(tg_json_count(root), 0);
    tg_json_free(root);
}

static void what_is_no_part_is_refused(void **state)
{
    (void)state;
    unsigned char *bytes;
    size_t size;
    struct tg_error err;
    assert_int_equal(tg_parcel_decode("00ffa", &bytes, &size, &err), -1);
    assert_int_equal(tg_parcel_decode("00fg", &bytes, &size, &err), -1);
    assert_string_equal(err.text, "a part of a file that is none");
    assert_int_equal(tg_parcel_decode("00ff10", &bytes, &size, &err), 0);
    assert_int_equal(size, 3);
    assert_memory_equal(bytes, "\0\377\20", 3);
    free(bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, run_make, run_remove)
    const struct CMUnitTest tests[] = {
        TEST(only_a_workers_file_has_such_a_name),
        TEST(files_are_told_by_name_and_size_but_for_those_that_are_had),
        TEST(a_file_comes_in_parts_and_the_last_has_its_digest),
        TEST(nothing_but_a_workers_file_is_read),
        TEST(what_is_no_part_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
