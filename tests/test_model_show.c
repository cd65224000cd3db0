/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/model_show.h"

#include <unistd.h>

#include "tests/made_gguf.h"

static char path[] = "/tmp/tg_show_XXXXXX";

static struct tg_json_file shown(struct made_gguf *m)
{
    struct tg_json_file object;
    struct tg_error err;
    made_gguf(m);
    made_write(m, path);
    free(m->bytes);
    if (tg_model_show_read(path, &object, &err) < 0) fail_msg("%s", err.text);
    return object;
}

static void a_model_is_shown_with_its_layout_and_tensors(void **state)
{
    (void)state;
    struct made_gguf m = {0};
    struct tg_json_file file = shown(&m);
    const struct tg_json *o = file.root;
    const struct tg_json *n = tg_json_get(o, "network"), *layout = tg_json_get(o, "layout");
    assert_string_equal(tg_json_text(tg_json_get(n, "architecture")), "bitnet-b1.58");
    assert_int_equal(tg_json_number(tg_json_get(n, "ffn")), MADE_FFN);
    assert_string_equal(tg_json_text(tg_json_get(layout, "format")), "i2s");
    assert_int_equal(tg_json_number(tg_json_get(layout, "is_assumed")), 1);
    assert_int_equal(tg_json_count(tg_json_get(layout, "possible")), 3);
    assert_int_equal(tg_json_count(tg_json_get(o, "tensors")), 24);
    assert_int_equal(tg_json_count(tg_json_get(o, "types")), 3);
    assert_int_equal(strlen(tg_json_text(tg_json_get(o, "sha256"))), 64);
    tg_json_release(&file);
}

static void a_file_that_would_not_be_run_is_shown_with_the_reason(void **state)
{
    (void)state;
    struct made_gguf m = {.architecture = "rwkv"};
    struct tg_json_file file = shown(&m);
    const struct tg_json *o = file.root;
    assert_string_equal(tg_json_text(tg_json_get(tg_json_get(o, "network"), "not_run")),
                        "architecture 'rwkv' is not one of those that are computed here");
    assert_null(tg_json_get(o, "layout"));
    assert_int_equal(tg_json_count(tg_json_get(o, "tensors")), 24);
    tg_json_release(&file);
}

static void what_is_no_model_is_refused(void **state)
{
    (void)state;
    struct tg_json_file o;
    struct tg_error err;
    FILE *file = fopen(path, "w");
    fputs("GGUFF", file);
    fclose(file);
    assert_int_equal(tg_model_show_read(path, &o, &err), -1);
    assert_non_null(strstr(err.text, "the file ends at byte 4, within a number"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_is_shown_with_its_layout_and_tensors),
        cmocka_unit_test(a_file_that_would_not_be_run_is_shown_with_the_reason),
        cmocka_unit_test(what_is_no_model_is_refused),
    };
    close(mkstemp(path));
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
