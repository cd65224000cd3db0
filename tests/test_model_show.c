/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/model_show.h"

#include <unistd.h>

#include "tests/made_gguf.h"

static char path[] = "/tmp/tg_show_XXXXXX";

static struct tg_json_file shown_as(struct made_gguf *m)
{
    struct tg_json_file object;
    struct tg_error err;
    made_write(m, path);
    free(m->bytes);
    if (tg_model_show_read(path, &object, &err) < 0) fail_msg("%s", err.text);
    return object;
}

static struct tg_json_file shown(struct made_gguf *m)
{
    made_gguf(m);
    return shown_as(m);
}

/* A number of attn_k of the first block, which is F16, becomes another than its scale. */
static void spoil_attn_k(struct made_gguf *m)
{
    struct tg_gguf *gguf;
    struct tg_error err;
    if (tg_gguf_read(m->bytes, m->size, &gguf, &err) < 0) fail_msg("%s", err.text);
    memcpy(m->bytes + tg_gguf_tensor(gguf, "blk.0.attn_k.weight")->offset + 10, "\0\x3c", 2);
    tg_gguf_close(gguf);
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

/* What a session refuses only when it is opened: weights, and the vocabulary. */
static void what_would_not_be_run_for_its_weights_or_text_is_told(void **state)
{
    (void)state;
    static const struct {
        struct made_gguf made;
        const char *weights, *text; /* of the reason; "" for none */
    } rows[] = {
        {{.vocabulary = 300, .tokens = 300}, "", ""},
        {{.vocabulary = 300, .tokens = 301}, "", "301 tokens are more than the 300 of the head"},
        {{.ternary = "F16", .vocabulary = 300, .tokens = 300}, "is F16 and not ternary", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made_gguf m = rows[i].made;
        made_gguf(&m);
        if (*rows[i].weights) spoil_attn_k(&m);
        struct tg_json_file file = shown_as(&m);
        const struct tg_json *weights = tg_json_get(tg_json_get(file.root, "layout"), "not_run");
        const struct tg_json *text = tg_json_get(tg_json_get(file.root, "text"), "not_run");
        assert_true(!weights == !*rows[i].weights && !text == !*rows[i].text);
        if (weights) assert_non_null(strstr(tg_json_text(weights), rows[i].weights));
        if (text) assert_non_null(strstr(tg_json_text(text), rows[i].text));
        tg_json_release(&file);
    }
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
        cmocka_unit_test(what_would_not_be_run_for_its_weights_or_text_is_told),
        cmocka_unit_test(what_is_no_model_is_refused),
    };
    close(mkstemp(path));
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
