/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct animal {
    TG_MEMBER_TEXT(name)
    TG_MEMBER_COUNT(legs)
    TG_MEMBER_REAL(speed)
};

static const struct tg_field fields[] = {
    {"name", TG_TEXT, offsetof(struct animal, name), "", "", ""},
    {"legs", TG_COUNT, offsetof(struct animal, legs), "4", "", ""},
    {"speed", TG_REAL, offsetof(struct animal, speed), "none", "", ""},
};

static const struct tg_record_type type = {"trait", fields, 3, sizeof(struct animal)};

static char directory[4096];

static int make_directory(void **state)
{
    (void)state;
    const char *temporary = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/tritgate-json-XXXXXX",
             temporary ? temporary : "/tmp");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

static const char *in_directory(const char *name)
{
    static char path[4200];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void write_bytes(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* Reads text, an object of {"a": record, "b": record, "list": [...]}, as a careful reader does. */
static int read_animals(const char *text, struct tg_error *err)
{
    static const char *const keys[] = {"a", "b", "list", NULL};
    struct tg_json_file file;
    struct animal animal;
    if (tg_json_parse(text, &file, err) < 0) return -1;
    int rc = tg_json_only(&file, file.root, keys, err);
    const struct tg_json *list = tg_json_get(file.root, "list");
    tg_record_init(&type, &animal);
    if (rc == 0 && tg_json_get(file.root, "a"))
        rc = tg_json_read_record(&file, tg_json_get(file.root, "a"), &type, &animal, err);
    if (rc == 0 && tg_json_get(file.root, "b"))
        rc = tg_json_read_record(&file, tg_json_get(file.root, "b"), &type, &animal, err);
    for (size_t i = 0; rc == 0 && i < tg_json_count(list); i++)
        rc = tg_json_read_record(&file, tg_json_at(list, i), &type, &animal, err);
    tg_json_release(&file);
    return rc;
}

static void what_is_no_json_is_refused_with_its_line(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "line 1: not JSON"},
        {"\n\n  ", "line 3: not JSON"},
        {"{\"a\": 1", "line 1: not JSON"},
        {"{\n\"a\": [1, 2,\n3", "line 3: not JSON"},
        {"{\n\"a\": \"b\n", "line 2: not JSON"},
        {"{\n\n\"a\": nope}", "line 3: not JSON"},
        {"{\"a\": 1,}", "line 1: not JSON"},
        {"{\"a\": NaN}", "line 1: not JSON"},
        {"{\"a\": Infinity}", "line 1: not JSON"},
        {"{\"a\": +1}", "line 1: not JSON"},
        {"{\"a\": \"\\x\"}", "line 1: not JSON"},
        {"{\"a\": \"\\ud800\"}", "line 1: not JSON"},
        {"// note\n{}", "line 1: not JSON"},
        {"{'a': 1}", "line 1: not JSON"},
        {"{} {}", "line 1: text after the end"},
        {"{}\n\n]", "line 3: text after the end"},
        {"{\"a\": 1}\n}", "line 2: text after the end"},
        {"{} \\", "line 1: text after the end"},
        {"1 2", "line 1: text after the end"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_json_file file;
        struct tg_error err;
        if (tg_json_parse(rows[i][0], &file, &err) == 0) fail_msg("taken: %s", rows[i][0]);
        assert_string_equal(err.text, rows[i][1]);
        assert_int_equal(tg_json_parse(rows[i][0], &file, NULL), -1);
    }
}

static void a_value_out_of_place_is_refused_with_its_line_and_path(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"[1]", "line 1: an object is expected"},
        {"\n5", "line 2: an object is expected"},
        {"{\n\"c\": 1}", "line 2: c: unknown key 'c'"},
        {"{\"a\": {}, \"A\": 1}", "line 1: A: unknown key 'A'"},
        {"{\"a\":\n5}", "line 2: a: an object is expected"},
        {"{\"a\": {\n\"legs\":\n\"four\"}}", "line 3: a.legs: a whole number is expected"},
        {"{\"a\": {\"legs\": 4.5}}", "line 1: a.legs: a whole number is expected"},
        {"{\"a\": {\"legs\": 1e16}}", "line 1: a.legs: a whole number is expected"},
        {"{\"a\": {\"legs\": null}}", "line 1: a.legs: a whole number is expected"},
        {"{\"a\": {\"speed\": \"1\"}}", "line 1: a.speed: a number is expected"},
        {"{\"a\": {\"speed\": true}}", "line 1: a.speed: a number is expected"},
        {"{\"a\": {\"name\": 5}}", "line 1: a.name: a name is expected"},
        {"{\"a\": {\"name\": null}}", "line 1: a.name: a name is expected"},
        {"{\"a\": {\"name\": \"a b\"}}",
         "line 1: a.name: trait 'name': unusable value 'a b', a name has at most "
         "95 bytes and no blanks"},
        {"{\"a\": {\"wings\": 2}}", "line 1: a.wings: unknown trait 'wings'"},
        {"{\"list\": [{},\n {},\n {\"name\": 2}]}", "line 3: list[2].name: a name is expected"},
        {"{\"list\": [{}, []]}", "line 1: list[1]: an object is expected"},
        {"{\"a\": {\"speed\": 1e999}}", "line 1: a.speed: number out of range"},
        {"{\"x\": [[], [0, {\"y\":\n-1e999}]]}", "line 2: x[1][1].y: number out of range"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_error err;
        if (read_animals(rows[i][0], &err) == 0) fail_msg("taken: %s", rows[i][0]);
        assert_string_equal(err.text, rows[i][1]);
    }
}

static void a_key_given_twice_is_an_error_with_its_line(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"a\": 1,\n\"a\": 1}", "line 2: a: key 'a' is given twice"},
        {"{\"x\": [{\"y\": {\n\"k\": [],\n\"m\": 1,\n\"k\":\n2}}]}",
         "line 5: x[0].y.k: key 'k' is given twice"},
        {"{\"a\": {\"b\": {\"c\": {\"d\": {\"e\": 1,\n \"\\u0065\": 2}}}}}",
         "line 2: a.b.c.d.e: key 'e' is given twice"},
        {"[{}, {\"\": 1, \"\": 2}]", "line 1: [1].: key '' is given twice"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_json_file file;
        struct tg_error err;
        if (tg_json_parse(rows[i][0], &file, &err) == 0) fail_msg("taken: %s", rows[i][0]);
        assert_string_equal(err.text, rows[i][1]);
    }
}

static void marks_inside_texts_do_not_confuse_the_line(void **state)
{
    (void)state;
    static const char *const before[] = {
        "\"}{][,:\"",     "\"\\\"\"",
        "\"\\\\\"",       "\"\\\\\\\"}\"",
        "\"a\\nb\\n\"",   "\"\\\\n\"",
        "[\"{\", \"[\"]", "{\"{\": \"}\", \"\\\":\": 1}",
        "-1.5e-3",        "[true, false, null]",
        "[[], {}, [[]]]", "\"1 2 true\"",
        "{\"a\"\v: 1}",   "{\"a\" \t: [1\v, 2]}",
        "\"\xc3\xa9:\"",
    };
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        struct tg_error err;
        struct tg_json_file file;
        char text[200], wanted[100];
        snprintf(text, sizeof text, "{\"list\":\n[%s,\n{\"legs\"\n:\n\"x\"\n}]}\n", before[i]);
        snprintf(wanted, sizeof wanted, "line 5: list[1].legs: here");
        if (tg_json_parse(text, &file, &err) < 0) fail_msg("%s: %s", text, err.text);
        const struct tg_json *item = tg_json_at(tg_json_get(file.root, "list"), 1);
        assert_int_equal(tg_json_fail(&file, tg_json_get(item, "legs"), &err, "here"), -1);
        assert_string_equal(err.text, wanted);
        tg_json_release(&file);
    }
}

static void a_zero_byte_has_no_way_in(void **state)
{
    (void)state;
    struct tg_json_file file;
    struct tg_error err;
    const char *path = in_directory("zero.json");
    char wanted[5000];

    assert_int_equal(tg_json_parse("{\n\"build\\u0000x\": 1}", &file, &err), -1);
    assert_string_equal(err.text, "line 2: '\\u0000' in a text");
    assert_int_equal(tg_json_parse("{\"a\": \"\\\\\\u0000\"}", &file, &err), -1);
    assert_int_equal(tg_json_parse("{\"a\": \"\\\\u0000\"}", &file, &err), 0);
    assert_string_equal(tg_json_text(tg_json_get(file.root, "a")), "\\u0000");
    tg_json_release(&file);

    write_bytes(path, "{}\0{}", 5);
    assert_int_equal(tg_json_read(path, &file, &err), -1);
    snprintf(wanted, sizeof wanted, "'%s': not a text file", path);
    assert_string_equal(err.text, wanted);
    unlink(path);
}

/* A list in a list in a list ... */
static char *nested(size_t depth)
{
    char *text = malloc(2 * depth + 1);
    assert_non_null(text);
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    text[2 * depth] = 0;
    return text;
}

static void deep_nesting_is_refused_and_does_no_harm(void **state)
{
    (void)state;
    struct tg_json_file file;
    struct tg_error err;
    char *text = nested(500);
    assert_int_equal(tg_json_parse(text, &file, &err), 0);
    const struct tg_json *value = file.root;
    while (tg_json_count(value)) value = tg_json_at(value, 0);
    assert_int_equal(tg_json_fail(&file, value, &err, "here"), -1);
    assert_true(strlen(err.text) < sizeof err.text);
    assert_memory_equal(err.text, "line 1: [0][0]", 14);
    tg_json_release(&file);
    free(text);

    text = nested(1000000);
    assert_int_equal(tg_json_parse(text, &file, &err), -1);
    assert_string_equal(err.text, "line 1: not JSON");
    free(text);
}

static void values_are_read_as_what_they_are(void **state)
{
    (void)state;
    struct tg_json_file file;
    struct tg_error err;
    assert_int_equal(
        tg_json_parse("{\"t\": \"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\","
                      "\"n\": -0.5, \"b\": true, \"z\": null, \"l\": [1, 2], \"o\": {}}",
                      &file, &err),
        0);
    static const enum tg_json_kind kinds[] = {TG_JSON_TEXT, TG_JSON_NUMBER, TG_JSON_BOOLEAN,
                                              TG_JSON_NULL, TG_JSON_ARRAY,  TG_JSON_OBJECT};
    const struct tg_json *value = tg_json_at(file.root, 0);
    for (size_t i = 0; i < 6; i++, value = tg_json_next(value))
        assert_int_equal(tg_json_kind(value), kinds[i]);
    assert_null(value);
    assert_int_equal(tg_json_kind(file.root), TG_JSON_OBJECT);
    assert_int_equal(tg_json_count(file.root), 6);
    assert_string_equal(tg_json_text(tg_json_get(file.root, "t")),
                        "a\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80");
    assert_true(tg_json_number(tg_json_get(file.root, "n")) == -0.5);
    assert_true(tg_json_number(tg_json_get(file.root, "b")) == 1);
    assert_true(tg_json_number(tg_json_get(file.root, "t")) == 0);
    assert_string_equal(tg_json_text(tg_json_get(file.root, "n")), "");
    assert_string_equal(tg_json_key(tg_json_at(file.root, 4)), "l");
    assert_null(tg_json_key(tg_json_at(tg_json_get(file.root, "l"), 0)));
    assert_null(tg_json_get(file.root, "T"));
    assert_null(tg_json_get(NULL, "t"));
    assert_null(tg_json_get(tg_json_get(file.root, "l"), "t"));
    assert_null(tg_json_at(file.root, 6));
    assert_null(tg_json_at(NULL, 0));
    assert_int_equal(tg_json_count(NULL), 0);
    tg_json_release(&file);
}

static void a_record_keeps_what_an_object_does_not_name(void **state)
{
    (void)state;
    struct tg_json_file file;
    struct tg_error err;
    struct animal a;
    tg_record_init(&type, &a);
    a.legs = 6;
    assert_int_equal(tg_json_parse("{\"name\": \"ant\", \"speed\": null}", &file, &err), 0);
    a.speed = 3;
    assert_int_equal(tg_json_read_record(&file, file.root, &type, &a, &err), 0);
    assert_string_equal(a.name, "ant");
    assert_int_equal(a.legs, 6);
    assert_true(isnan(a.speed));
    tg_json_release(&file);

    assert_int_equal(tg_json_parse("{\"legs\": true, \"speed\": 1e-310}", &file, &err), 0);
    assert_int_equal(tg_json_read_record(&file, file.root, &type, &a, &err), 0);
    assert_int_equal(a.legs, 1);
    assert_true(a.speed == 1e-310);
    tg_json_release(&file);
}

/* {"a": "x\ty", "list": [1, {"b": true}], "none": {}, "rows": []} */
static struct tg_json *example(void)
{
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_text(root, "a:\t", "x\ty:\n\"{");
    struct tg_json *list = tg_json_array(root, "list");
    tg_json_add_number(list, NULL, 1);
    tg_json_add_boolean(tg_json_object(list, NULL), "b", true);
    tg_json_object(root, "none");
    tg_json_array(root, "rows");
    tg_json_add_number(root, "nan", NAN);
    tg_json_add_number(root, "inf", INFINITY);
    return root;
}

static void what_is_written_is_plain(void **state)
{
    (void)state;
    struct tg_json *root = example();
    char *line = tg_json_print(root, false), *page = tg_json_print(root, true);
    assert_string_equal(line, "{\"a:\\t\":\"x\\ty:\\n\\\"{\",\"list\":[1,{\"b\":true}],\"none\":{},"
                              "\"rows\":[],\"nan\":null,\"inf\":null}");
    assert_string_equal(page, "{\n"
                              "  \"a:\\t\": \"x\\ty:\\n\\\"{\",\n"
                              "  \"list\": [1, {\n"
                              "      \"b\": true\n"
                              "    }],\n"
                              "  \"none\": {\n"
                              "  },\n"
                              "  \"rows\": [],\n"
                              "  \"nan\": null,\n"
                              "  \"inf\": null\n"
                              "}");
    free(line);
    free(page);
    tg_json_free(root);
}

static void every_number_comes_back_to_the_last_bit(void **state)
{
    (void)state;
    double numbers[1000] = {0,
                            -0.0,
                            0.1,
                            0.1 + 0.2,
                            1e-300,
                            DBL_MIN,
                            DBL_TRUE_MIN,
                            DBL_MAX,
                            -DBL_MAX,
                            9007199254740992.0,
                            9007199254740991.0,
                            1e22,
                            1.0 / 3,
                            DBL_EPSILON,
                            1 + DBL_EPSILON,
                            1e15,
                            123456789012345678.0,
                            2147483648.0};
    uint64_t seed = 1;
    for (size_t i = 20; i < 1000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        memcpy(&numbers[i], &seed, sizeof seed);
        if (!isfinite(numbers[i])) numbers[i] = 1.0 / (double)i;
    }
    struct tg_json *list = tg_json_array(NULL, NULL);
    for (size_t i = 0; i < 1000; i++) tg_json_add_number(list, NULL, numbers[i]);
    char *line = tg_json_print(list, false);
    tg_json_free(list);

    struct tg_json_file file;
    struct tg_error err;
    assert_int_equal(tg_json_parse(line, &file, &err), 0);
    const struct tg_json *value = tg_json_at(file.root, 0);
    for (size_t i = 0; i < 1000; i++, value = tg_json_next(value)) {
        double number = tg_json_number(value);
        if (memcmp(&number, &numbers[i], sizeof number) != 0) fail_msg("%a", numbers[i]);
    }
    tg_json_release(&file);
    free(line);
}

static void a_record_written_is_the_record_read(void **state)
{
    (void)state;
    struct animal a, b;
    struct tg_error err;
    struct tg_json_file file;
    tg_record_init(&type, &a);
    assert_int_equal(tg_record_parse(&type, &a, "name=a\"b\\c speed=0.30000000000000004", &err), 0);
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_record(root, "a", &type, &a);
    char *line = tg_json_print(root, false);
    assert_string_equal(
        line, "{\"a\":{\"name\":\"a\\\"b\\\\c\",\"legs\":4,\"speed\":0.30000000000000004}}");
    assert_int_equal(tg_json_parse(line, &file, &err), 0);
    tg_record_init(&type, &b);
    assert_int_equal(tg_json_read_record(&file, tg_json_get(file.root, "a"), &type, &b, &err), 0);
    assert_memory_equal(&a, &b, sizeof a);
    tg_json_release(&file);
    free(line);
    tg_json_free(root);
}

static bool is_disk_broken;

int fsync(int descriptor) /* in the place of libc's */
{
    (void)descriptor;
    errno = EIO;
    return is_disk_broken ? -1 : 0;
}

static void a_file_is_written_whole_or_not_at_all(void **state)
{
    (void)state;
    struct tg_json *root = example();
    struct tg_json_file file;
    struct tg_error err;
    char path[4200], wanted[4300];
    snprintf(path, sizeof path, "%s", in_directory("a.json"));

    write_bytes(path, "old", 3);
    assert_int_equal(tg_json_write(root, path, &err), 0);
    assert_int_equal(tg_json_read(path, &file, &err), 0);
    assert_int_equal(tg_json_count(file.root), 6);
    assert_int_equal(file.text[strlen(file.text) - 1], '\n');
    tg_json_release(&file);
    assert_int_not_equal(access(in_directory("a.json.new"), F_OK), 0);

    /* The place beside it is taken by a directory: the file that is there stays as it is. */
    write_bytes(path, "old", 3);
    assert_int_equal(mkdir(in_directory("a.json.new"), 0700), 0);
    assert_int_equal(tg_json_write(root, path, &err), -1);
    snprintf(wanted, sizeof wanted, "cannot write '%s': Is a directory", path);
    assert_string_equal(err.text, wanted);
    assert_int_equal(tg_json_read(path, &file, &err), -1);
    rmdir(in_directory("a.json.new"));

    /* So does it where the disk does not take the new one. */
    is_disk_broken = true;
    assert_true(tg_json_write(root, path, &err) < 0 && strstr(err.text, "Input/output error"));
    is_disk_broken = false;
    assert_int_equal(tg_json_read(path, &file, &err), -1);

    assert_int_equal(tg_json_write(root, in_directory("none/a.json"), &err), -1);
    assert_non_null(strstr(err.text, "No such file or directory"));

    /* A link stays one, and what it points to is written. */
    char link[4200];
    snprintf(link, sizeof link, "%s", in_directory("link.json"));
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(tg_json_write(root, link, &err), 0);
    assert_true(readlink(link, wanted, sizeof wanted) > 0);
    assert_int_equal(tg_json_read(path, &file, &err), 0);
    tg_json_release(&file);
    unlink(link);
    unlink(path);
    tg_json_free(root);
}

static void a_missing_file_is_one_sentence(void **state)
{
    (void)state;
    struct tg_json_file file;
    struct tg_error err;
    assert_int_equal(tg_json_read("/nowhere/a.json", &file, &err), -1);
    assert_string_equal(err.text, "'/nowhere/a.json': cannot open: No such file or directory");
    assert_int_equal(tg_json_read("/nowhere/a.json", &file, NULL), -1);
    assert_int_equal(tg_json_read(directory, &file, &err), -1);
    assert_non_null(strstr(err.text, "cannot read: Is a directory"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_json_is_refused_with_its_line),
        cmocka_unit_test(a_value_out_of_place_is_refused_with_its_line_and_path),
        cmocka_unit_test(a_key_given_twice_is_an_error_with_its_line),
        cmocka_unit_test(marks_inside_texts_do_not_confuse_the_line),
        cmocka_unit_test(a_zero_byte_has_no_way_in),
        cmocka_unit_test(deep_nesting_is_refused_and_does_no_harm),
        cmocka_unit_test(values_are_read_as_what_they_are),
        cmocka_unit_test(a_record_keeps_what_an_object_does_not_name),
        cmocka_unit_test(what_is_written_is_plain),
        cmocka_unit_test(every_number_comes_back_to_the_last_bit),
        cmocka_unit_test(a_record_written_is_the_record_read),
        cmocka_unit_test(a_file_is_written_whole_or_not_at_all),
        cmocka_unit_test(a_missing_file_is_one_sentence),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
