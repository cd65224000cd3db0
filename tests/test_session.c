/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/made_gguf.h"
#include "tests/tiny_model.h"

static char path[] = "/tmp/tg_session_XXXXXX";

static void make(void)
{
    const struct tg_synthetic what = {tg_model_find("tiny"), "I2_S", "F16", 5};
    struct tg_pool *pool;
    struct tg_error err;
    assert_int_equal(tg_pool_create(1, NULL, &pool, &err), 0);
    if (tg_synthetic_write(&what, pool, path, &err) < 0) fail_msg("%s", err.text);
    tg_pool_destroy(pool);
}

static void open_with(struct tg_session *s, int threads, const char *kernel)
{
    const struct tg_session_options options = {
        .path = path, .kernel = kernel, .threads = threads, .context = 100, .batch = 8};
    struct tg_error err;
    if (tg_session_open(&options, s, &err) < 0) fail_msg("%s", err.text);
}

static struct tg_generation generate(struct tg_session *s, double temperature)
{
    const struct tg_choice choice = {temperature, 40, 0.95, 42};
    struct tg_generation g = {0};
    struct tg_error err;
    if (tg_session_generate(s, "ternary weights", 24, &choice, true, &g, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(g.tokens.count, 24);
    return g;
}

static void the_same_seed_gives_the_same_tokens_each_time_and_for_any_threads(void **state)
{
    (void)state;
    static const char *const kernels[] = {NULL, "i2s_scalar", "panel_scalar"};
    make();
    for (int temperature = 0; temperature < 2; temperature++) {
        struct tg_generation first = {0};
        for (int i = 0; i < 6; i++) {
            struct tg_session s;
            open_with(&s, 1 + i % 3, kernels[i / 2]);
            for (int again = 0; again < 2; again++) {
                struct tg_generation g = generate(&s, temperature);
                if (!first.tokens.ids) first = generate(&s, temperature);
                assert_memory_equal(g.tokens.ids, first.tokens.ids, 24 * sizeof(int32_t));
                tg_generation_release(&g);
            }
            tg_session_close(&s);
        }
        tg_generation_release(&first);
    }
}

static void times_add_up(void **state)
{
    (void)state;
    struct tg_session s;
    make();
    open_with(&s, 2, NULL);
    struct tg_generation g = generate(&s, 0);
    double sum = 0;
    for (int i = 0; i < 23; i++) sum += g.token_s[i];
    assert_true(sum > 0 && sum <= g.decode_s * 1.000001 && sum >= g.decode_s * 0.999999);
    assert_true(g.first_token_s >= g.tokenize_s + g.prefill_s);
    assert_true(tg_session_token_s(&g, 0.5) <= tg_session_token_s(&g, 0.95));
    const struct tg_forward_times *t = &g.stages;
    const double stages = t->prepare + t->products + t->attention + t->head;
    assert_true(stages > 0 && stages <= g.prefill_s + g.decode_s);
    assert_true(s.load_s > 0 && s.quantise_s > 0);
    assert_true(tg_session_read_rate(&s) > 0);
    tg_generation_release(&g);
    tg_session_close(&s);
}

static void patch(long at, const void *bytes, size_t count)
{
    FILE *file = fopen(path, "r+b");
    assert_true(file && fseek(file, at, SEEK_SET) == 0);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

/* The session's file again, with another token that ends a text. */
static void end_with(struct tg_session *s, int32_t token)
{
    const char key[] = "tokenizer.ggml.eos_token_id";
    const uint8_t *found = memmem(s->gguf->bytes, s->gguf->size, key, strlen(key));
    const long at = (long)(found - s->gguf->bytes) + (long)strlen(key) + 4;
    tg_session_close(s);
    patch(at, &token, sizeof token);
    open_with(s, 1, NULL);
}

static void what_ends_a_text_ends_it(void **state)
{
    (void)state;
    struct tg_session s;
    struct tg_error err;
    const struct tg_choice best = {0};
    make();
    open_with(&s, 1, NULL);
    struct tg_generation g = generate(&s, 0);
    /* The first token, and the next one that is new where it comes. */
    size_t places[2] = {0, 1};
    while (places[1] < 23 && g.tokens.ids[places[1]] == g.tokens.ids[0]) places[1]++;
    assert_int_not_equal(g.tokens.ids[places[1]], g.tokens.ids[0]);
    for (size_t p = 0; p < 2; p++) {
        struct tg_generation ended = {0};
        end_with(&s, g.tokens.ids[places[p]]);
        if (tg_session_generate(&s, "ternary weights", 24, &best, false, &ended, &err) < 0)
            fail_msg("%s", err.text);
        assert_true(ended.has_ended);
        assert_int_equal(ended.tokens.count, places[p]);
        for (size_t i = 0; i < places[p]; i++)
            assert_int_equal(ended.tokens.ids[i], g.tokens.ids[0]);
        const struct tg_forward_times *t = &ended.stages;
        const double stages = t->prepare + t->products + t->attention + t->head;
        assert_true(ended.prefill_s > 0);
        assert_true(ended.first_token_s >= ended.tokenize_s + ended.prefill_s);
        assert_true(p == 0 ? ended.end_s == 0 && ended.decode_s == 0 : ended.end_s > 0);
        assert_true(ended.tokenize_s + stages + ended.choose_s <=
                    ended.first_token_s + ended.decode_s + ended.end_s);
        tg_generation_release(&ended);
    }
    tg_generation_release(&g);
    tg_session_close(&s);
}

static void a_device_generates_and_its_copies_are_told(void **state)
{
    const struct tg_session_options options = {
        .path = path, .threads = 1, .context = 100, .batch = 8, .device = *state};
    struct tg_session s;
    struct tg_error err;
    make();
    if (tg_session_open(&options, &s, &err) < 0) {
        print_message("%s\n", err.text);
        skip();
    }
    for (int temperature = 0; temperature < 2; temperature++) {
        struct tg_generation one = generate(&s, temperature), other = generate(&s, temperature);
        assert_memory_equal(one.tokens.ids, other.tokens.ids, 24 * sizeof(int32_t));
        const struct tg_forward_device_times t = one.device;
        assert_true(t.load > 0 && t.copy_in > 0 && t.prompt > 0 && t.step > 0 && t.copy_out > 0);
        assert_true(t.copy_in + t.prompt + t.step + t.copy_out <= one.first_token_s + one.decode_s);
        tg_generation_release(&one);
        tg_generation_release(&other);
    }
    assert_true(tg_session_token_bytes(&s, 9) > s.weights.bytes);
    tg_session_close(&s);
}

/* Token by token, in any order of places, with the logits of each. */
static void pieces_are_those_of_a_generation(void **state)
{
    enum { NEW = 10 };
    static const int order[] = {4, 0, 9, 3};
    const struct tg_session_options options = {
        .path = path, .threads = 1, .context = 100, .batch = 8, .device = *state};
    struct tg_session s;
    struct tg_error err;
    int32_t walk[NEW + 1], next;
    make();
    if (tg_session_open(&options, &s, &err) < 0) {
        print_message("%s\n", err.text);
        skip();
    }
    const size_t bytes = (size_t)s.network.vocabulary * sizeof(float);
    float *kept = malloc(NEW * bytes), *all = malloc(24 * bytes);
    struct tg_generation g = generate(&s, 0);
    tg_session_rewind(&s, 0);
    assert_int_equal(tg_session_run(&s, g.prompt.ids, (int64_t)g.prompt.count, &err), 0);
    assert_int_equal(tg_session_choose(&s, &walk[0], &err), 0);
    for (int i = 0; i < NEW; i++) {
        assert_int_equal(walk[i], g.tokens.ids[i]);
        assert_int_equal(tg_session_step(&s, walk[i], &err), 0);
        memcpy(kept + i * s.network.vocabulary, tg_session_logits(&s), bytes);
        assert_int_equal(tg_session_choose(&s, &walk[i + 1], &err), 0);
    }
    for (int i = 0; i < 4; i++) {
        tg_session_revisit(&s, (int64_t)g.prompt.count + order[i]);
        assert_int_equal(tg_session_step(&s, walk[order[i]], &err), 0);
        assert_int_equal(tg_session_choose(&s, &next, &err), 0);
        assert_int_equal(next, walk[order[i] + 1]);
        assert_memory_equal(kept + order[i] * s.network.vocabulary, tg_session_logits(&s), bytes);
    }
    tg_session_rewind(&s, 0);
    assert_int_equal(tg_session_run_all(&s, g.prompt.ids, (int64_t)g.prompt.count, all, &err), 0);
    assert_memory_equal(all + ((int64_t)g.prompt.count - 1) * s.network.vocabulary,
                        tg_session_logits(&s), bytes);
    tg_generation_release(&g);
    tg_session_close(&s);
    free(kept);
    free(all);
}

static void logits_that_are_no_numbers_are_refused(void **state)
{
    static const char *const devices[] = {NULL, "fake"};
    static const char *const norms[] = {"output_norm.weight", "blk.0.attn_norm.weight",
                                        "blk.0.attn_sub_norm.weight", "blk.1.ffn_norm.weight",
                                        "blk.1.ffn_sub_norm.weight"};
    enum { NORMS = sizeof norms / sizeof *norms };
    (void)state;
    for (int i = 0; i < 4 * NORMS; i++) {
        const struct tg_session_options options = {
            .path = path, .threads = 1, .context = 100, .batch = 8, .device = devices[i / 2 % 2]};
        const struct tg_choice choice = {i % 2, 40, 0.95, 42};
        struct tg_generation g = {0};
        struct tg_session s;
        struct tg_error err;
        if (options.device && !tg_forward_device_find(options.device)) continue;
        make();
        assert_int_equal(tiny_spoil(path, norms[i / 4]), 0);
        assert_int_equal(tg_session_open(&options, &s, &err), 0);
        assert_int_equal(tg_session_generate(&s, "abc", 8, &choice, true, &g, &err), -1);
        assert_string_equal(err.text, "a logit is not finite");
        assert_null(g.tokens.ids);
        tg_session_close(&s);
    }
}

/* The embedding of the token that is chosen first has such a number: a device goes on by itself. */
static void also_those_of_a_later_token(void **state)
{
    const struct tg_session_options options = {.path = path,
                                               .threads = 1,
                                               .context = 32,
                                               .batch = 8,
                                               .has_no_text = true,
                                               .device = *state};
    struct made_gguf made = {.architecture = "llama", .has_no_sub_norms = 1, .has_output = 1};
    const struct tg_choice best = {0};
    const uint16_t none = 0x7e00;
    made_gguf(&made);
    assert_int_equal(truncate(path, 0), 0);
    patch(0, made.bytes, made.size);
    free(made.bytes);
    for (int i = 0; i < 2; i++) {
        struct tg_generation g = {.prompt = {calloc(3, sizeof(int32_t)), 3, 3}};
        struct tg_session s;
        struct tg_error err;
        if (tg_session_open(&options, &s, &err) < 0) {
            print_message("%s\n", err.text);
            free(g.prompt.ids);
            skip();
        }
        const int rc = tg_session_generate(&s, NULL, 8, &best, true, &g, &err);
        const struct tg_gguf_tensor *embedding = s.network.embedding;
        const int64_t row = embedding->bytes / s.network.vocabulary;
        const long at = (long)(embedding->data - s.gguf->bytes);
        tg_session_close(&s);
        assert_int_equal(rc, -i);
        if (i == 1) assert_string_equal(err.text, "a logit is not finite");
        if (i == 0) patch(at + (long)row * g.tokens.ids[0], &none, sizeof none);
        if (i == 0) assert_int_not_equal(g.tokens.ids[0], 0);
        tg_generation_release(&g);
    }
}

static void what_cannot_be_opened_leaves_nothing_open(void **state)
{
    (void)state;
    const struct tg_session_options nowhere = {
        .path = "/nowhere", .threads = 1, .context = 8, .batch = 8};
    const struct tg_session_options kernel = {
        .path = path, .kernel = "x", .threads = 1, .context = 8, .batch = 8};
    const struct tg_session_options device = {
        .path = path, .threads = 1, .context = 8, .batch = 8, .device = "abacus"};
    const struct tg_choice best = {0};
    struct tg_generation g = {0};
    struct tg_session s;
    struct tg_error err;
    make();
    assert_int_equal(tg_session_open(&device, &s, &err), -1);
    assert_non_null(strstr(err.text, "this program runs no models on 'abacus'"));
    if (tg_forward_device_find("fake")) {
        struct tg_session_options there = device;
        there.device = "fake";
        there.kernel = "i2s_scalar";
        assert_int_equal(tg_session_open(&there, &s, &err), -1);
        assert_string_equal(err.text, "a kernel is named for the host only, not for a device");
        there.library = tritgate_kernels_v1();
        assert_int_equal(tg_session_open(&there, &s, &err), -1);
        assert_string_equal(err.text,
                            "kernel 'i2s_scalar' computes no ternary product of i2s on 'fake'");
    }
    assert_int_equal(tg_session_open(&nowhere, &s, &err), -1);
    assert_null(s.gguf);
    assert_int_equal(tg_session_open(&kernel, &s, &err), -1);
    assert_non_null(strstr(err.text, "no kernel 'x'"));
    open_with(&s, 1, NULL);
    assert_int_equal(tg_session_generate(&s, "abcabcabc", 100, &best, true, &g, &err), -1);
    assert_non_null(strstr(err.text, "do not fit in a context of 100"));
    assert_null(g.tokens.ids);
    tg_session_close(&s);
}

#define ON(device, test)                                                                           \
    {                                                                                              \
#test " on " #device, test, NULL, NULL, (void *)device                                     \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_tokens_each_time_and_for_any_threads),
        cmocka_unit_test(times_add_up),
        cmocka_unit_test(what_ends_a_text_ends_it),
        ON("cuda", a_device_generates_and_its_copies_are_told),
        ON("fake", a_device_generates_and_its_copies_are_told),
        ON(NULL, pieces_are_those_of_a_generation),
        ON("cuda", pieces_are_those_of_a_generation),
        ON("fake", pieces_are_those_of_a_generation),
        cmocka_unit_test(logits_that_are_no_numbers_are_refused),
        ON(NULL, also_those_of_a_later_token),
        ON("cuda", also_those_of_a_later_token),
        ON("fake", also_those_of_a_later_token),
        cmocka_unit_test(what_cannot_be_opened_leaves_nothing_open),
    };
    close(mkstemp(path));
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
