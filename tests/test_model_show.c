/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/model_show.h"

#include <math.h>
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
    struct made_gguf m = {.key = "hidden_activation", .text = "silu"};
    struct tg_json_file file = shown(&m);
    const struct tg_json *o = file.root;
    const struct tg_json *n = tg_json_get(o, "network"), *layout = tg_json_get(o, "layout");
    assert_string_equal(tg_json_text(tg_json_get(n, "architecture")), "bitnet-b1.58");
    assert_string_equal(tg_json_text(tg_json_get(n, "gate")), "SiLU");
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

/* What tg_model_show_print writes. */
static void print(const struct tg_json_file *file, char *out, size_t size)
{
    FILE *to = tmpfile();
    assert_non_null(to);
    fflush(stdout);
    const int before = dup(STDOUT_FILENO);
    dup2(fileno(to), STDOUT_FILENO);
    tg_model_show_print(file->root, false);
    fflush(stdout);
    dup2(before, STDOUT_FILENO);
    close(before);
    rewind(to);
    out[fread(out, 1, size - 1, to)] = 0;
    fclose(to);
}

static void what_an_assumed_layout_cannot_be_told_from_is_shown(void **state)
{
    (void)state;
    static const struct {
        const char *ternary, *layout, *wanted;
    } rows[] = {
        {"I2_S", "i2s",
         "I2_S as i2s, assumed: nothing tells it from i2s64 i2sx4, nor from four columns in "
         "a byte, which are not read here\n"},
        {"TL1", "tl1", "TL1 as tl1, assumed: no file says its tiles\n"},
        {"TQ2_0", "tq2", "TQ2_0 as tq2\n"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made_gguf m = {.ternary = rows[i].ternary, .layout = rows[i].layout};
        struct tg_json_file file = shown(&m);
        char out[4096], line[256];
        print(&file, out, sizeof out);
        snprintf(line, sizeof line, "\nlayout        %s", rows[i].wanted);
        if (!strstr(out, line)) fail_msg("no '%s' in:\n%s", line, out);
        tg_json_release(&file);
    }
}

static void numbers_are_shown_as_they_are(void **state)
{
    (void)state;
    static const struct {
        enum tg_gguf_kind kind;
        uint64_t count;
        double real;
        const char *wanted;
    } rows[] = {{TG_GGUF_UINT64, 8030261248, 0, "8030261248"},
                {TG_GGUF_UINT32, 4294967295, 0, "4294967295"},
                {TG_GGUF_INT64, (uint64_t)-8030261249, 0, "-8030261249"},
                {TG_GGUF_UINT64, (UINT64_C(1) << 53) + 1, 0, "9007199254740993"},
                {TG_GGUF_INT64, UINT64_C(1) << 63, 0, "-9223372036854775808"},
                {TG_GGUF_UINT64, (UINT64_C(1) << 63) + 5, 0, "9223372036854775813"},
                {TG_GGUF_BOOL, 1, 0, "1"},
                {TG_GGUF_FLOAT32, 0, 0.1, "0.100000001"},
                {TG_GGUF_FLOAT32, 0, NAN, "nan"},
                {TG_GGUF_FLOAT32, 0, -INFINITY, "-inf"}};
    struct tg_error err;
    struct made_gguf m = {0};
    struct tg_gguf_writer *w = tg_gguf_writer_create(32, &err);
    const uint8_t *bytes;
    char key[32], line[96], out[4096];
    assert_non_null(w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(key, sizeof key, "key.%zu", i);
        if (rows[i].kind == TG_GGUF_FLOAT32)
            tg_gguf_writer_real(w, key, (float)rows[i].real);
        else
            tg_gguf_writer_count(w, key, rows[i].kind, rows[i].count);
    }
    assert_int_equal(tg_gguf_writer_finish(w, &bytes, &m.size, &err), 0);
    m.bytes = malloc(m.size);
    assert_non_null(m.bytes);
    memcpy(m.bytes, bytes, m.size);
    tg_gguf_writer_destroy(w);
    struct tg_json_file file = shown_as(&m);
    print(&file, out, sizeof out);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(line, sizeof line, "value         key.%zu = %s\n", i, rows[i].wanted);
        if (!strstr(out, line)) fail_msg("no '%s' in:\n%s", line, out);
    }
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
        cmocka_unit_test(what_would_not_be_run_for_its_weights_or_text_is_told),
        cmocka_unit_test(what_an_assumed_layout_cannot_be_told_from_is_shown),
        cmocka_unit_test(numbers_are_shown_as_they_are),
        cmocka_unit_test(what_is_no_model_is_refused),
    };
    close(mkstemp(path));
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
