/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/synthetic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results/digest.h"
#include "worker/model/network.h"

static char folder[] = "/tmp/tg_synthetic_XXXXXX";

static struct tg_synthetic tiny(const char *ternary, const char *head)
{
    return (struct tg_synthetic){tg_model_find("tiny"), ternary, head, 7};
}

/* The digest of what these threads write to `path`, which stays. */
static void make(const struct tg_synthetic *what, int threads, const char *path, char *digest)
{
    struct tg_pool *pool;
    struct tg_error err;
    struct stat status;
    int64_t bytes = -1;
    assert_int_equal(tg_pool_create(threads, NULL, &pool, &err), 0);
    if (tg_synthetic_write(what, pool, path, &err) < 0) fail_msg("%s", err.text);
    tg_pool_destroy(pool);
    assert_int_equal(tg_digest_file(path, digest, &err), 0);
    assert_int_equal(tg_synthetic_bytes(what, &bytes, &err), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, bytes);
}

static void the_same_seed_gives_the_same_bytes_for_any_threads(void **state)
{
    (void)state;
    char path[128], digests[4][TG_DIGEST_SIZE];
    struct tg_synthetic what = tiny("I2_S", "F16");
    snprintf(path, sizeof path, "%s/a", folder);
    make(&what, 1, path, digests[0]);
    make(&what, 3, path, digests[1]);
    what.seed = 8;
    make(&what, 1, path, digests[2]);
    assert_string_equal(digests[0], digests[1]);
    assert_string_not_equal(digests[0], digests[2]);
    assert_string_equal(digests[0],
                        "41e91fdaaf665319879deb3344c2ab300416af868d57a9d6466d4a293969e4f8");
}

static void every_type_is_a_model_that_would_be_run(void **state)
{
    (void)state;
    static const char *const types[][2] = {
        {"I2_S", "F16"}, {"TL1", "BF16"}, {"TL2", "F32"}, {"TQ1_0", "Q8_0"}, {"TQ2_0", "Q6_K"}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const struct tg_synthetic what = tiny(types[i][0], types[i][1]);
        struct tg_network n;
        struct tg_network_layout layout;
        struct tg_gguf *g;
        struct tg_error err;
        char path[128], digest[TG_DIGEST_SIZE];
        float scale, values[256];
        double squares = 0;
        snprintf(path, sizeof path, "%s/b", folder);
        make(&what, 2, path, digest);
        if (tg_gguf_open(path, &g, &err) < 0 || tg_network_read(g, &n, &err) < 0 ||
            tg_network_find_layout(&n, NULL, &layout, &err) < 0 ||
            tg_network_find_scale(&n, 3, TG_LAYER_ffn_down, &scale, &err) < 0)
            fail_msg("%s %s: %s", types[i][0], types[i][1], err.text);
        assert_string_equal(n.embedding->type->name, types[i][1]);
        assert_string_equal(n.blocks[0].layers[0]->type->name, types[i][0]);
        const struct tg_gguf_tensor *t = n.blocks[3].layers[TG_LAYER_ffn_down];
        int8_t *ternary = malloc(512 * 256);
        assert_int_equal(layout.format->unpack(t->data, 256, 512, ternary), -1);
        int64_t zeros = 0;
        for (int k = 0; k < 512 * 256; k++) zeros += ternary[k] == 0;
        assert_true(zeros > 42000 && zeros < 45400); /* a third of 131072, 10 deviations */
        free(ternary);
        assert_int_equal(tg_tensor_type_decode(n.embedding->type, n.embedding->data, 256, values),
                         0);
        for (int k = 0; k < 256; k++) squares += (double)values[k] * values[k];
        assert_true(fabs(sqrt(squares / 256) - 0.05) < 0.012); /* 5 deviations */
        assert_non_null(tg_gguf_find(g, "tritgate.synthetic"));
        tg_network_release(&n);
        tg_gguf_close(g);
    }
}

static void every_model_of_the_table_has_a_file(void **state)
{
    (void)state;
    for (size_t i = 0; i < tg_model_count(); i++) {
        const struct tg_model *m = tg_model_at(i);
        const struct tg_synthetic what = {m, tg_synthetic_ternary(m), "F16", 1};
        struct tg_error err;
        int64_t bytes = 0, weights;
        if (tg_synthetic_bytes(&what, &bytes, &err) < 0) fail_msg("%s", err.text);
        assert_int_equal(tg_model_weights(m->name, "", &weights, &err), 0);
        assert_true(bytes > weights / 5 && bytes > 2 * m->vocabulary * m->hidden);
    }
    assert_string_equal(tg_synthetic_ternary(tg_model_find("bitnet-2b")), "I2_S");
    assert_string_equal(tg_synthetic_ternary(tg_model_find("bitnet-3b")), "TL2");
}

static void what_cannot_be_is_refused_and_leaves_nothing(void **state)
{
    (void)state;
    const struct tg_synthetic shape = {tg_model_find("bitnet-3b"), "I2_S", "F16", 1};
    const struct tg_synthetic type = {tg_model_find("tiny"), "F16", "F16", 1};
    const struct tg_synthetic head = {tg_model_find("tiny"), "I2_S", "Q4_0", 1};
    struct tg_synthetic what = tiny("I2_S", "F16");
    struct tg_error err;
    struct tg_pool *pool;
    int64_t bytes;
    assert_int_equal(tg_synthetic_bytes(&shape, &bytes, &err), -1);
    assert_string_equal(err.text, "bitnet-3b has a matrix of 8640 columns, which I2_S cannot hold");
    assert_int_equal(tg_synthetic_bytes(&type, &bytes, &err), -1);
    assert_string_equal(err.text, "'F16' is no type of ternary matrices");
    assert_int_equal(tg_synthetic_bytes(&head, &bytes, &err), -1);
    assert_string_equal(err.text, "'Q4_0' is no type of heads");
    assert_int_equal(tg_pool_create(1, NULL, &pool, &err), 0);
    assert_int_equal(tg_synthetic_write(&what, pool, "/nowhere/x.gguf", &err), -1);
    assert_string_equal(err.text, "cannot make '/nowhere/x.gguf.part': No such file or directory");
    tg_pool_destroy(pool);
}

static void tokens_are_bytes_and_what_merges_make(void **state)
{
    (void)state;
    static const char *const wanted[] = {"!",
                                         "\xc4\xa0",
                                         "\xc4\xa0"
                                         "a",
                                         "aa",
                                         "zz",
                                         "\xc4\xa0"
                                         "aa",
                                         "aaa"};
    static const int places[] = {
        33, 32, 256, 256 + 26, 256 + 26 + 675, 256 + 26 + 676, 256 + 26 + 676 + 676};
    struct tg_error err;
    struct tg_gguf *g;
    const uint8_t *bytes;
    size_t size;
    struct tg_gguf_writer *w = tg_gguf_writer_create(32, &err);
    tg_synthetic_tokenizer(w, 3000);
    assert_int_equal(tg_gguf_writer_finish(w, &bytes, &size, &err), 0);
    if (tg_gguf_read(bytes, size, &g, &err) < 0) fail_msg("%s", err.text);
    const struct tg_gguf_value *tokens = tg_gguf_find(g, "tokenizer.ggml.tokens");
    const uint8_t *at = tokens->bytes;
    assert_int_equal(tokens->count, 3000);
    for (int i = 0; i < 3000; i++) {
        const struct tg_gguf_text text = tg_gguf_next_text(tokens, &at);
        for (size_t k = 0; k < sizeof places / sizeof *places; k++)
            if (places[k] == i) assert_true(tg_gguf_is(text, wanted[k]));
        if (i == 2998) assert_true(tg_gguf_is(text, "<|begin_of_text|>"));
    }
    const struct tg_gguf_value *merges = tg_gguf_find(g, "tokenizer.ggml.merges");
    at = merges->bytes;
    assert_int_equal(merges->count, 3000 - 2 - 256);
    assert_true(tg_gguf_is(tg_gguf_next_text(merges, &at), "\xc4\xa0 a"));
    tg_gguf_close(g);
    tg_gguf_writer_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_bytes_for_any_threads),
        cmocka_unit_test(every_type_is_a_model_that_would_be_run),
        cmocka_unit_test(every_model_of_the_table_has_a_file),
        cmocka_unit_test(what_cannot_be_is_refused_and_leaves_nothing),
        cmocka_unit_test(tokens_are_bytes_and_what_merges_make),
    };
    char path[128];
    if (!mkdtemp(folder)) return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(path, sizeof path, "%s/a", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/b", folder);
    unlink(path);
    return rmdir(folder) == 0 ? failed : 1; /* nothing else may be left in it */
}
