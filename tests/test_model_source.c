/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/model_source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/made_gguf.h"
#include "tests/tiny_model.h"

static struct tg_model_source source;
static char path[4096];
static bool is_there;
static struct tg_error err;

static int find(const char *model)
{
    return tg_model_source_find(&source, model, path, sizeof path, &is_there, &err);
}

static void what_is_asked_for_comes_before_the_environment(void **state)
{
    (void)state;
    setenv("TRITGATE_MODEL_CACHE", "/of/environment", 1);
    setenv("BITNET_GGUF", "/theirs.gguf", 1);
    tg_model_source_init(&source, "", "");
    assert_string_equal(source.cache, "/of/environment");
    assert_string_equal(source.file, "/theirs.gguf");
    tg_model_source_init(&source, "/asked", "/own.gguf");
    assert_string_equal(source.cache, "/asked");
    assert_string_equal(source.file, "/own.gguf");
    setenv("BITNET_GGUF", "/proc/self/../self/cwd", 1);
    tg_model_source_init(&source, "", "");
    assert_string_equal(source.file, getcwd(path, sizeof path));
    unsetenv("TRITGATE_MODEL_CACHE");
    unsetenv("BITNET_GGUF");
    tg_model_source_init(&source, "", "");
    assert_memory_equal(source.cache, "/var/tmp/tritgate-", 18);
    assert_string_equal(source.file, "");
}

/* A shape that a real model has is that of a synthetic one; the real one has a name of its own. */
static void a_row_of_models_is_never_the_file_of_the_run(void **state)
{
    (void)state;
    tg_model_source_init(&source, "/nowhere", "/proc/self/exe");
    assert_int_equal(find("bitnet-2b"), 0);
    assert_memory_equal(path, "/nowhere/bitnet-2b-I2_S-F16-1.", 30);
    assert_false(is_there);
    assert_int_equal(find("bitnet-3b"), 0);
    assert_memory_equal(path, "/nowhere/bitnet-3b-TL2-F16-1.", 29);
    assert_int_equal(find("gguf"), 0);
    assert_string_equal(path, "/proc/self/exe");
    assert_true(is_there);
}

static void what_no_file_can_have_is_refused(void **state)
{
    (void)state;
    tg_model_source_init(&source, "/nowhere", "");
    assert_int_equal(find("gguf"), -1);
    assert_string_equal(err.text,
                        "there is no model file: neither BITNET_GGUF nor --model of run names one");
    assert_int_equal(find("bitnet-9b"), -1);
    assert_string_equal(err.text, "no such model 'bitnet-9b'");
    tg_model_source_init(&source, "/nowhere", "/not/there.gguf");
    assert_int_equal(find("gguf"), 0);
    assert_false(is_there);
}

/* Puts bytes into the matrix attn_k of the first block. */
static void spoil(struct made_gguf *made, int64_t at, const char *bytes, size_t size)
{
    struct tg_gguf *gguf;
    struct tg_network network;
    if (tg_gguf_read(made->bytes, made->size, &gguf, &err) < 0 ||
        tg_network_read(gguf, &network, &err) < 0)
        fail_msg("%s", err.text);
    memcpy(made->bytes + network.blocks[0].layers[TG_LAYER_attn_k]->offset + at, bytes, size);
    tg_network_release(&network);
    tg_gguf_close(gguf);
}

/* What others wrote, this way or another; what was made here; and what is no model. */
static void a_file_that_nobody_could_run_is_told(void **state)
{
    (void)state;
    static const struct {
        struct made_gguf made;
        int at, size; /* of a matrix, where these bytes are put */
        const char *bytes, *wanted;
    } rows[] = {
        {{0}, 0, 0, "", ""},
        {{.extra = "blk.0.attn_q.bias"}, 0, 0, "", "blk.0.attn_q.bias"},
        {{.architecture = "mamba"}, 0, 0, "", "mamba"},
        {{.ternary = "F16"}, 0, 0, "", ""},
        {{.ternary = "F16"},
         10,
         2,
         "\0\x3c",
         "not ternary: row 0 column 5 is 1, and others are 0.03"},
        {{.ternary = "BF16"}, 0, 2, "\xc0\x7f", "'blk.0.attn_k.weight' has the scale nan"},
        {{.ternary = "TQ2_0", .layout = "tq2"}, 64, 2, "\0\x40", "blocks of different scales"},
        {{0}, 128 * 256 / 4, 4, "\0\0\0", "'blk.0.attn_k.weight' has the scale 0"},
        {{.ternary = "TL1", .layout = "tl1"},
         0,
         0,
         "",
         "lie is not known: no file says the tiles of tl1"},
        {{.ternary = "TL2", .layout = "tl2"},
         0,
         0,
         "",
         "lie is not known: no file says the tiles of tl2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made_gguf made = rows[i].made;
        char file[] = "/tmp/tg_source_XXXXXX";
        const int descriptor = mkstemp(file);
        assert_true(descriptor >= 0 && close(descriptor) == 0);
        made_gguf(&made);
        if (rows[i].size > 0) spoil(&made, rows[i].at, rows[i].bytes, (size_t)rows[i].size);
        made_write(&made, file);
        free(made.bytes);
        const int rc = tg_model_source_check(file, false, &err);
        unlink(file);
        assert_int_equal(rc, *rows[i].wanted ? -1 : 0);
        if (rc < 0 && !(strstr(err.text, file) && strstr(err.text, rows[i].wanted)))
            fail_msg("%s", err.text);
    }
    assert_int_equal(tg_model_source_check(tiny_path, false, &err), -1);
    assert_non_null(strstr(err.text, "is a synthetic model, and no real one"));
    assert_int_equal(tg_model_source_check("/proc/self/exe", false, &err), -1);
    assert_string_equal(err.text, "'/proc/self/exe': is not a GGUF file");
}

/* A cell that reads no text needs no vocabulary; one whose head is too small has none. */
static void a_vocabulary_is_asked_for_where_a_text_is_read(void **state)
{
    (void)state;
    static const struct {
        int tokens;
        const char *wanted;
    } rows[] = {{0, "tokenizer.ggml.model"}, {300, ""}, {301, "301 tokens are more than the 300"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct made_gguf made = {.vocabulary = 300, .tokens = rows[i].tokens};
        char file[] = "/tmp/tg_source_XXXXXX";
        const int descriptor = mkstemp(file);
        assert_true(descriptor >= 0 && close(descriptor) == 0);
        made_gguf(&made);
        made_write(&made, file);
        free(made.bytes);
        const int without = tg_model_source_check(file, false, &err);
        const int with = tg_model_source_check(file, true, &err);
        unlink(file);
        assert_int_equal(without, 0);
        assert_int_equal(with, *rows[i].wanted ? -1 : 0);
        if (with < 0 && !(strstr(err.text, file) && strstr(err.text, rows[i].wanted)))
            fail_msg("%s", err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked_for_comes_before_the_environment),
        cmocka_unit_test(a_row_of_models_is_never_the_file_of_the_run),
        cmocka_unit_test(what_no_file_can_have_is_refused),
        cmocka_unit_test(a_file_that_nobody_could_run_is_told),
        cmocka_unit_test(a_vocabulary_is_asked_for_where_a_text_is_read),
    };
    return cmocka_run_group_tests(tests, tiny_make, tiny_drop);
}
