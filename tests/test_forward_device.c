/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/forward_device.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/op.h"
#include "tests/made_gguf.h"

/*
 * Each on the CUDA device and on the fake one, which computes as the host does. Where the program
 * has no such device, or the machine, what needs it is skipped.
 */

enum { TOKENS = 24 };

static const struct made_gguf models[] = {
    {.architecture = "bitnet-b1.58"},
    {.architecture = "bitnet", .ternary = "TL1", .layout = "tl1", .has_output = 1},
    {.architecture = "llama", .has_no_sub_norms = 1, .has_output = 1},
    {.architecture = "llama", .ternary = "TQ2_0", .layout = "tq2", .has_no_sub_norms = 1},
};

enum { MODELS = sizeof models / sizeof *models };

/* A model in memory, packed as the device wants it, and run by the host and by the device. */
struct both {
    struct made_gguf made;
    struct tg_gguf *gguf;
    struct tg_network network;
    struct tg_network_layout layout;
    struct tg_weights weights;
    struct tg_pool *pool;
    struct tg_forward *host;
    const struct tg_forward_device *device;
    void *state;
    bool is_spoilt; /* a number of its last norm is none, and so no logit is one */
    float keys;     /* unless 0, the keys of its first block are so many times as large */
};

static void load(struct both *b, void **state, const char *kernel)
{
    struct tg_error err;
    made_gguf(&b->made);
    if (tg_gguf_read(b->made.bytes, b->made.size, &b->gguf, &err) < 0 ||
        tg_network_read(b->gguf, &b->network, &err) < 0 ||
        tg_network_find_layout(&b->network, b->made.layout, &b->layout, &err) < 0 ||
        tg_pool_create(1, NULL, &b->pool, &err) < 0 ||
        tg_weights_load(&b->network, &b->layout, tritgate_kernels_v1(), kernel, b->pool,
                        &b->weights, &err) < 0)
        fail_msg("%s", err.text);
    b->device = tg_forward_device_find(*state);
}

static void stop(struct both *b)
{
    if (b->device) b->device->close(b->state);
    tg_forward_close(b->host);
    tg_weights_release(&b->weights);
    tg_pool_destroy(b->pool);
    tg_network_release(&b->network);
    tg_gguf_close(b->gguf);
    free(b->made.bytes);
}

static void spoil(struct both *b)
{
    const float none = NAN;
    memcpy(b->made.bytes + (b->network.output_norm->data - b->made.bytes), &none, sizeof none);
}

/* Skips the test where there is no device. */
static void start(struct both *b, void **state, int64_t batch)
{
    const struct tg_forward_options options = {.context = TOKENS, .batch = batch};
    struct tg_error err = {"the program has no device"};
    load(b, state, "i2s_scalar");
    if (b->is_spoilt) spoil(b);
    if (b->keys > 0) b->weights.matrices[TG_LAYER_attn_k].scale *= b->keys;
    if (tg_forward_open(&b->network, &b->weights, b->pool, &options, &b->host, &err) < 0)
        fail_msg("%s", err.text);
    if (b->device && b->device->open(&b->network, &b->weights, &options, &b->state, &err) == 0)
        return;
    print_message("%s\n", err.text);
    stop(b);
    skip();
}

static void text(int32_t *tokens)
{
    uint64_t random = 77;
    for (int i = 0; i < TOKENS; i++) tokens[i] = (int32_t)(tg_fill_next(&random) % MADE_VOCABULARY);
}

static void run(struct both *b, const int32_t *tokens, int64_t count, float *logits)
{
    struct tg_error err;
    if (b->device->run(b->state, tokens, count, logits, count, &err) < 0) fail_msg("%s", err.text);
}

static int32_t best_of(const float *logits)
{
    int32_t best = 0;
    for (int32_t i = 1; i < MADE_VOCABULARY; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

/* Where the host's best token is ahead by more than 1 % of the range, it is the best. */
static void compare(const float *wanted, const float *got, int model, int64_t token)
{
    double product = 0, squares[2] = {0, 0}, least = INFINITY, second = -INFINITY;
    const int32_t best = best_of(wanted);
    for (int32_t i = 0; i < MADE_VOCABULARY; i++) {
        const double w = (double)wanted[i], g = (double)got[i];
        product += w * g;
        squares[0] += w * w;
        squares[1] += g * g;
        least = fmin(least, w);
        if (i != best) second = fmax(second, w);
    }
    const double cosine = product / sqrt(squares[0] * squares[1]);
    const double most = (double)wanted[best];
    if (!(cosine >= 0.999))
        fail_msg("model %d token %lld: cosine %.7f", model, (long long)token, cosine);
    if (most - second > 0.01 * (most - least)) assert_int_equal(best_of(got), best);
}

static void the_host_has_no_row(void **state)
{
    (void)state;
    assert_null(tg_forward_device_find("cpu"));
    assert_null(tg_forward_device_find(""));
}

static void logits_are_those_of_the_host(void **state)
{
    static float wanted[TOKENS * MADE_VOCABULARY], got[TOKENS * MADE_VOCABULARY];
    static const int64_t batches[] = {TOKENS, 7, 1};
    int32_t tokens[TOKENS];
    struct tg_error err;
    text(tokens);
    for (int i = 0; i < MODELS * 3; i++) {
        struct both b = {.made = models[i % MODELS]};
        start(&b, state, batches[i / MODELS]);
        memset(got, 0xff, sizeof got); /* not numbers */
        assert_int_equal(tg_forward_run(b.host, tokens, TOKENS, wanted, TOKENS, &err), 0);
        run(&b, tokens, 5, got);
        run(&b, tokens + 5, TOKENS - 5, got + 5 * MADE_VOCABULARY);
        assert_int_equal(b.device->position(b.state), TOKENS);
        if (strcmp(b.device->name, "fake") == 0) assert_memory_equal(wanted, got, sizeof got);
        for (int t = 0; t < TOKENS; t++)
            compare(wanted + t * MADE_VOCABULARY, got + t * MADE_VOCABULARY, i % MODELS, t);
        stop(&b);
    }
}

static void the_same_tokens_give_the_same_bits(void **state)
{
    static float wanted[TOKENS * MADE_VOCABULARY], got[TOKENS * MADE_VOCABULARY];
    int32_t tokens[TOKENS];
    struct both b = {.made = models[0]};
    text(tokens);
    start(&b, state, 8);
    run(&b, tokens, TOKENS, wanted);
    b.device->rewind(b.state, 0);
    run(&b, tokens, TOKENS, got);
    assert_memory_equal(wanted, got, sizeof wanted);
    stop(&b);
}

static void what_is_generated_is_the_best_token_each_time(void **state)
{
    enum { PROMPT = 5, NEW = 12 };
    static float logits[MADE_VOCABULARY];
    int32_t tokens[TOKENS], generated[NEW];
    struct tg_error err;
    struct both b = {.made = models[2]};
    text(tokens);
    start(&b, state, 8);
    assert_int_equal(b.device->generate(b.state, 1, generated, &err), -1);
    assert_string_equal(err.text, "nothing has been run that a token could follow");
    assert_int_equal(b.device->run(b.state, tokens, PROMPT, NULL, 0, &err), 0);
    assert_int_equal(b.device->generate(b.state, 4, generated, &err), 0);
    assert_int_equal(b.device->generate(b.state, NEW - 4, generated + 4, &err), 0);
    assert_int_equal(b.device->position(b.state), PROMPT + NEW);
    b.device->rewind(b.state, 0);
    assert_int_equal(b.device->run(b.state, tokens, PROMPT, logits, 1, &err), 0);
    for (int i = 0; i < NEW; i++) {
        const int32_t last = i > 0 ? generated[i - 1] : best_of(logits);
        run(&b, &last, 1, logits);
        assert_int_equal(generated[i], best_of(logits));
    }
    assert_int_equal(b.device->generate(b.state, TOKENS, generated, &err), -1);
    stop(&b);
}

/* And none beyond the vocabulary, whose embedding the next step would read. */
static void where_no_logit_is_a_number_the_first_token_is_chosen(void **state)
{
    enum { PROMPT = 5, NEW = 4 };
    static float logits[MADE_VOCABULARY];
    int32_t tokens[TOKENS], generated[NEW];
    struct tg_error err;
    struct both b = {.made = models[0], .is_spoilt = true};
    text(tokens);
    start(&b, state, 8);
    assert_int_equal(b.device->run(b.state, tokens, PROMPT, NULL, 0, &err), 0);
    assert_int_equal(b.device->choice(b.state, generated, &err), 0);
    assert_int_equal(generated[0], 0);
    assert_int_equal(b.device->generate(b.state, NEW, generated, &err), 0);
    for (int i = 0; i < NEW; i++) assert_int_equal(generated[i], 0);
    b.device->logits(b.state, logits);
    for (int i = 0; i < MADE_VOCABULARY; i++) assert_true(isnan(logits[i]));
    stop(&b);
}

/* Keys beyond float16, whose scores are no numbers: not as if nobody had looked at them. */
static void a_score_that_is_no_number_is_not_left_out(void **state)
{
    static float wanted[TOKENS * MADE_VOCABULARY], got[TOKENS * MADE_VOCABULARY];
    int32_t tokens[TOKENS];
    int mixed = 0;
    text(tokens);
    for (float keys = 23283.064f; keys < 6e4f; keys *= 1.25f) {
        struct both b = {.made = models[0], .keys = keys};
        struct tg_error err;
        int none = 0;
        start(&b, state, TOKENS);
        assert_int_equal(tg_forward_run(b.host, tokens, TOKENS, wanted, TOKENS, &err), 0);
        run(&b, tokens, 5, got);
        for (int t = 5; t < TOKENS; t++) run(&b, tokens + t, 1, got + t * MADE_VOCABULARY);
        for (int t = 0; t < TOKENS; t++) {
            none += isnan(wanted[t * MADE_VOCABULARY]);
            if (!isnan(wanted[t * MADE_VOCABULARY]) != !isnan(got[t * MADE_VOCABULARY]))
                fail_msg("keys %g token %d", (double)keys, t);
        }
        mixed += none > 0 && none < TOKENS;
        stop(&b);
    }
    assert_true(mixed > 0);
}

static void a_place_that_was_visited_is_found_as_it_was(void **state)
{
    enum { PROMPT = 4, NEW = 8 };
    static const int order[] = {3, 0, 7, 5, 1};
    static float wanted[NEW * MADE_VOCABULARY], got[MADE_VOCABULARY];
    int32_t tokens[TOKENS], walk[NEW + 1], next;
    struct tg_error err;
    struct both b = {.made = models[0]};
    text(tokens);
    start(&b, state, 8);
    assert_int_equal(b.device->choice(b.state, walk, &err), -1);
    assert_string_equal(err.text, "nothing has been run that a token could follow");
    assert_int_equal(b.device->run(b.state, tokens, PROMPT, NULL, 0, &err), 0);
    assert_int_equal(b.device->choice(b.state, walk, &err), 0);
    for (int i = 0; i < NEW; i++) {
        run(&b, &walk[i], 1, wanted + i * MADE_VOCABULARY);
        assert_int_equal(b.device->choice(b.state, &walk[i + 1], &err), 0);
        assert_int_equal(walk[i + 1], best_of(wanted + i * MADE_VOCABULARY));
    }
    for (int i = 0; i < 5; i++) {
        b.device->revisit(b.state, PROMPT + order[i]);
        assert_int_equal(b.device->position(b.state), PROMPT + order[i]);
        if (i % 2 == 0)
            assert_int_equal(b.device->generate(b.state, 1, &next, &err), 0);
        else if (b.device->run(b.state, &walk[order[i]], 1, NULL, 0, &err) < 0 ||
                 b.device->choice(b.state, &next, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(next, walk[order[i] + 1]);
        memset(got, 0xff, sizeof got);
        b.device->logits(b.state, got);
        assert_memory_equal(got, wanted + order[i] * MADE_VOCABULARY, sizeof got);
    }
    stop(&b);
}

static void each_matrix_lies_on_the_device_as_it_was_packed(void **state)
{
    enum { MOST = 2 * MADE_FFN };
    static _Alignas(64) int8_t activations[MOST], ternary[MADE_FFN * MADE_FFN];
    static int32_t wanted[MOST], got[MOST];
    struct both b = {.made = models[1]};
    start(&b, state, 4);
    tg_fill_int8(5, activations, MOST);
    for (int64_t i = 0; i < b.weights.count; i++) {
        const struct tg_matrix *m = &b.weights.matrices[i];
        struct tg_problem p = {.activations = activations,
                               .results = wanted,
                               .rows = m->rows,
                               .cols = m->cols,
                               .batch = 2,
                               .row_end = m->rows};
        tg_format_find("i2s")->unpack(m->packed, m->rows, m->cols, ternary);
        memset(got, 0x5a, sizeof got);
        b.device->multiply(b.state, i, activations, 2, got);
        for (int64_t t = 0; t < 2; t++) tg_op_product_reference(ternary, &p, t);
        assert_memory_equal(got, wanted, (size_t)(2 * m->rows) * sizeof *got);
    }
    stop(&b);
}

/* Those of the host's own device, by which its tests see that a model is watched. */
static void what_is_asked_of_the_fake_device_it_does(void **state)
{
    static float wanted[TOKENS * MADE_VOCABULARY], got[TOKENS * MADE_VOCABULARY];
    int32_t tokens[TOKENS];
    text(tokens);
    struct both b = {.made = models[0]};
    setenv("TRITGATE_FAKE_GPU", "drift_after=2 leak_bytes=100", 1);
    start(&b, state, TOKENS);
    unsetenv("TRITGATE_FAKE_GPU");
    const int64_t taken = b.device->taken_bytes(b.state);
    run(&b, tokens, TOKENS, wanted);
    for (int i = 0; i < 2; i++) {
        b.device->rewind(b.state, 0);
        run(&b, tokens, TOKENS, got);
        assert_int_equal(memcmp(wanted, got, sizeof got) != 0, i == 1);
    }
    assert_int_equal(b.device->taken_bytes(b.state), taken + 300);
    stop(&b);
    struct both absent = {.made = models[0]};
    const struct tg_forward_options options = {.context = TOKENS, .batch = 4};
    struct tg_error err;
    load(&absent, state, "i2s_scalar");
    setenv("TRITGATE_FAKE_GPU", "absent=1", 1);
    assert_int_equal(
        absent.device->open(&absent.network, &absent.weights, &options, &absent.state, &err), -1);
    assert_string_equal(err.text, "there is no fake device");
    setenv("TRITGATE_FAKE_GPU", "memory_bytes=1000", 1);
    assert_int_equal(
        absent.device->open(&absent.network, &absent.weights, &options, &absent.state, &err), -1);
    assert_non_null(strstr(err.text, "the fake device has no "));
    unsetenv("TRITGATE_FAKE_GPU");
    stop(&absent);
}

static void what_a_device_cannot_run_is_refused(void **state)
{
    static const struct {
        struct made_gguf made;
        const char *kernel;
        bool is_wide;
        const char *wanted;
    } bad[] = {{{.head = "Q6_K"}, "i2s_scalar", false, "embedding and head are F16, not Q6_K"},
               {{.head = "F16"}, "tq2_scalar", false, "matrices are packed as i2s, not tq2"},
               {{.head = "F16"}, "i2s_scalar", true, "keys and values are float16"}};
    if (!tg_forward_device_find(*state)) skip();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct tg_forward_options options = {TOKENS, 4, bad[i].is_wide, NULL, false};
        struct tg_error err;
        struct both b = {.made = bad[i].made};
        load(&b, state, bad[i].kernel);
        assert_int_equal(b.device->open(&b.network, &b.weights, &options, &b.state, &err), -1);
        assert_non_null(strstr(err.text, bad[i].wanted));
        stop(&b);
    }
}

static void tokens_that_cannot_be_run_are_refused(void **state)
{
    static float logits[MADE_VOCABULARY];
    const int32_t bad[] = {MADE_VOCABULARY}, many[TOKENS + 1] = {0};
    struct tg_error err;
    struct both b = {.made = models[0]};
    start(&b, state, 4);
    assert_int_equal(b.device->run(b.state, bad, 1, logits, 1, &err), -1);
    assert_string_equal(err.text, "token 96 is not in a vocabulary of 96");
    assert_int_equal(b.device->run(b.state, many, TOKENS + 1, logits, 1, &err), -1);
    assert_string_equal(err.text, "25 tokens do not fit in a context of 24");
    assert_int_equal(b.device->position(b.state), 0);
    stop(&b);
}

static void time_and_bytes_are_told(void **state)
{
    static float logits[MADE_VOCABULARY];
    int32_t tokens[TOKENS];
    struct tg_error err;
    struct both b = {.made = models[0]};
    text(tokens);
    start(&b, state, 4);
    assert_int_equal(b.device->run(b.state, tokens, 5, logits, 1, &err), 0);
    const struct tg_forward_device_times t = b.device->times(b.state);
    assert_true(t.load > 0 && t.copy_in > 0 && t.prompt > 0 && t.step > 0 && t.copy_out > 0);
    assert_int_equal(b.device->token_bytes(b.state, 9), tg_forward_token_bytes(b.host, 9));
    assert_true(b.device->bytes(b.state) > b.weights.bytes);
    assert_true(b.device->taken_bytes(b.state) >= b.device->bytes(b.state));
    stop(&b);
}

#define ON(name, test)                                                                             \
    {                                                                                              \
#test " on " name, test, NULL, NULL, (void *)name                                          \
    }
#define ON_EACH(test) ON("cuda", test), ON("fake", test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_host_has_no_row),
        ON_EACH(logits_are_those_of_the_host),
        ON_EACH(the_same_tokens_give_the_same_bits),
        ON_EACH(what_is_generated_is_the_best_token_each_time),
        ON_EACH(where_no_logit_is_a_number_the_first_token_is_chosen),
        ON_EACH(a_score_that_is_no_number_is_not_left_out),
        ON_EACH(a_place_that_was_visited_is_found_as_it_was),
        ON_EACH(each_matrix_lies_on_the_device_as_it_was_packed),
        ON_EACH(what_a_device_cannot_run_is_refused),
        ON_EACH(tokens_that_cannot_be_run_are_refused),
        ON_EACH(time_and_bytes_are_told),
        ON("fake", what_is_asked_of_the_fake_device_it_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
