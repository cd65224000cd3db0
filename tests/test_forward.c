/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/forward.h"

#include "tests/made_gguf.h"
#include "tests/reference_forward.h"

enum { TOKENS = 24 };

/* A model in memory, and what runs it. */
struct running {
    struct made_gguf made;
    struct tg_gguf *gguf;
    struct tg_network network;
    struct tg_network_layout layout;
    struct tg_weights weights;
    struct tg_pool *pool;
    struct tg_forward *forward;
};

struct way {
    int threads;
    int64_t batch;
    bool is_wide;
    const char *kernel;
    const struct tg_vector *vector;
    bool is_plain;
};

static void start(struct running *r, const struct way *way)
{
    const struct tg_forward_options options = {TOKENS, way->batch, way->is_wide, way->vector,
                                               way->is_plain};
    struct tg_error err;
    made_gguf(&r->made);
    if (tg_gguf_read(r->made.bytes, r->made.size, &r->gguf, &err) < 0 ||
        tg_network_read(r->gguf, &r->network, &err) < 0 ||
        tg_network_find_layout(&r->network, r->made.layout, &r->layout, &err) < 0 ||
        tg_pool_create(way->threads, NULL, &r->pool, &err) < 0 ||
        tg_weights_load(&r->network, &r->layout, tritgate_kernels_v1(), way->kernel, r->pool,
                        &r->weights, &err) < 0 ||
        tg_forward_open(&r->network, &r->weights, r->pool, &options, &r->forward, &err) < 0)
        fail_msg("%s", err.text);
}

static void stop(struct running *r)
{
    tg_forward_close(r->forward);
    tg_weights_release(&r->weights);
    tg_pool_destroy(r->pool);
    tg_network_release(&r->network);
    tg_gguf_close(r->gguf);
    free(r->made.bytes);
}

static void text(int32_t *tokens)
{
    uint64_t random = 77;
    for (int i = 0; i < TOKENS; i++) tokens[i] = (int32_t)(tg_fill_next(&random) % MADE_VOCABULARY);
}

static void run(struct running *r, const int32_t *tokens, int64_t count, float *logits)
{
    struct tg_error err;
    if (tg_forward_run(r->forward, tokens, count, logits, count, &err) < 0)
        fail_msg("%s", err.text);
}

static const struct made_gguf models[] = {
    {.architecture = "bitnet-b1.58"},
    {.architecture = "bitnet", .ternary = "TL2", .layout = "tl2", .head = "Q6_K"},
    {.architecture = "bitnet-25", .ternary = "TQ1_0", .layout = "tq1", .has_output = 1},
    {.architecture = "llama", .has_no_sub_norms = 1, .has_output = 1, .head = "Q8_0"},
    {.architecture = "llama", .ternary = "TL1", .layout = "tl1", .has_no_sub_norms = 1},
    {.architecture = "bitnet-b1.58", .ternary = "TQ2_0", .layout = "tq2", .head = "F32"},
    {.architecture = "bitnet-b1.58", .layout = "i2s64"},
    {.architecture = "bitnet",
     .ternary = "F16",
     .layout = "f16",
     .head = "Q4_K",
     .key = "hidden_activation",
     .text = "relu2"},
    {.architecture = "llama", .ternary = "TQ2_0", .layout = "tq2", .down = "F32", .ffn = 336},
    {.architecture = "bitnet", /* as 1bitLLM's of 1.3B: no format of blocks has its columns */
     .ternary = "TQ2_0",
     .layout = "tq2",
     .down = "F16",
     .head = "Q6_K",
     .ffn = 340},
};

enum { MODELS = sizeof models / sizeof *models };

/* Feeds each block with what the reference had, and compares. */
struct feed {
    const struct reference *reference;
    int64_t first, flips, values;
    double worst;
};

static void feed(void *context, int64_t block, enum tg_forward_point point, void *values,
                 float *scales, int64_t tokens, int64_t width)
{
    struct feed *f = context;
    const struct reference *r = f->reference;
    float *x = values;
    int8_t *q = values;
    for (int64_t t = 0; t < tokens; t++) {
        const int64_t token = f->first + t;
        double most = 0, off = 0;
        if (point == TG_POINT_INPUT)
            for (int64_t i = 0; i < width; i++) x[t * width + i] = (float)r->input[block][token][i];
        for (int64_t i = 0; point == TG_POINT_RESULT && i < width; i++) {
            most = fmax(most, fabs(r->result[block][token][i]));
            off = fmax(off, fabs(r->result[block][token][i] - (double)x[t * width + i]));
        }
        if (point == TG_POINT_RESULT) f->worst = fmax(f->worst, off / most);
        if (!scales) continue;
        const int64_t k = point - TG_POINT_ATTN_INPUT;
        assert_true(fabs((double)scales[t] / r->scales[block][k][token] - 1) < 1e-5);
        scales[t] = (float)r->scales[block][k][token];
        for (int64_t i = 0; i < width; i++) {
            const int wanted = (int)r->q[block][k][token][i];
            f->flips += q[t * width + i] != wanted;
            f->values++;
            assert_true(abs(q[t * width + i] - wanted) <= 1);
            q[t * width + i] = (int8_t)wanted;
        }
    }
}

static void each_block_fed_as_the_reference_is_within_1e_5_of_it(void **state)
{
    (void)state;
    static double logits[MADE_VOCABULARY];
    static float own[TOKENS * MADE_VOCABULARY];
    int32_t tokens[TOKENS];
    text(tokens);
    for (int i = 0; i < MODELS; i++) {
        struct running r = {.made = models[i]};
        start(&r, &(struct way){.threads = 2, .batch = 10, .is_wide = true});
        struct reference *reference = reference_open(&r.network, r.layout.format);
        struct feed f = {.reference = reference};
        for (int t = 0; t < TOKENS; t++) reference_run(reference, t, tokens[t], logits);
        tg_forward_set_watch(r.forward, feed, &f);
        for (; f.first < TOKENS; f.first += 8) run(&r, tokens + f.first, 8, own);
        print_message("%s %s: %.2g, %lld of %lld int8 values flipped\n", r.made.architecture,
                      r.made.ternary, f.worst, (long long)f.flips, (long long)f.values);
        assert_true(f.worst <= 1e-5);
        assert_true(f.flips * 10000 <= f.values);
        reference_close(reference);
        stop(&r);
    }
}

/* Where the reference's best token is ahead by more than 1 % of the range, it is the best. */
static void compare_logits(const double *wanted, const float *own, int model, int64_t token)
{
    double product = 0, squares[2] = {0, 0}, best = -INFINITY, second = -INFINITY, least = INFINITY;
    int64_t at = 0, own_at = 0;
    for (int64_t i = 0; i < MADE_VOCABULARY; i++) {
        product += wanted[i] * (double)own[i];
        squares[0] += wanted[i] * wanted[i];
        squares[1] += (double)own[i] * (double)own[i];
        if (own[i] > own[own_at]) own_at = i;
        least = fmin(least, wanted[i]);
        if (wanted[i] > best) {
            second = best;
            best = wanted[i];
            at = i;
        } else if (wanted[i] > second) {
            second = wanted[i];
        }
    }
    const double cosine = product / sqrt(squares[0] * squares[1]);
    if (cosine < 0.9999)
        fail_msg("model %d token %lld: cosine %.7f", model, (long long)token, cosine);
    if (best - second > 0.01 * (best - least)) assert_int_equal(at, own_at);
}

static void whole_models_agree_with_the_reference(void **state)
{
    (void)state;
    static double logits[MADE_VOCABULARY];
    static float own[TOKENS * MADE_VOCABULARY];
    int32_t tokens[TOKENS];
    text(tokens);
    for (int i = 0; i < MODELS; i++) {
        for (int is_wide = 0; is_wide < 2; is_wide++) {
            struct running r = {.made = models[i]};
            start(&r, &(struct way){.threads = 1, .batch = TOKENS, .is_wide = is_wide});
            struct reference *reference = reference_open(&r.network, r.layout.format);
            reference->has_halves = !is_wide;
            run(&r, tokens, TOKENS, own);
            for (int t = 0; t < TOKENS; t++) {
                reference_run(reference, t, tokens[t], logits);
                compare_logits(logits, own + t * MADE_VOCABULARY, i, t);
            }
            reference_close(reference);
            stop(&r);
        }
    }
}

/* Without rounding there are no ties that could fall to either side. */
static void without_rounding_it_is_within_1e_4_of_the_reference(void **state)
{
    (void)state;
    static double logits[MADE_VOCABULARY];
    static float own[TOKENS * MADE_VOCABULARY];
    int32_t tokens[TOKENS];
    text(tokens);
    for (int i = 0; i < MODELS; i++) {
        struct running r = {.made = models[i]};
        start(&r, &(struct way){.threads = 2, .batch = 10, .is_wide = true, .is_plain = true});
        struct reference *reference = reference_open(&r.network, r.layout.format);
        reference->is_plain = true;
        run(&r, tokens, TOKENS, own);
        for (int t = 0; t < TOKENS; t++) {
            double most = 0, off = 0;
            reference_run(reference, t, tokens[t], logits);
            for (int k = 0; k < MADE_VOCABULARY; k++) {
                most = fmax(most, fabs(logits[k]));
                off = fmax(off, fabs(logits[k] - (double)own[t * MADE_VOCABULARY + k]));
            }
            if (off > 1e-4 * most) fail_msg("model %d token %d: off by %.2g", i, t, off / most);
        }
        reference_close(reference);
        stop(&r);
    }
}

/* Kernels that hold the shapes of the made model, and every vector row of this machine. */
static void the_same_tokens_give_the_same_bits(void **state)
{
    (void)state;
    static float wanted[TOKENS * MADE_VOCABULARY], got[TOKENS * MADE_VOCABULARY];
    static const char *const kernels[] = {"i2s_scalar", "i2s_avx2",   "i2s_avx512vnni",
                                          "tq2_scalar", "panel_avx2", "tl1_scalar",
                                          "tl2_scalar", NULL};
    static const int64_t batches[] = {1, 3, 7, TOKENS};
    int32_t tokens[TOKENS];
    struct running r = {.made = {0}};
    text(tokens);
    start(&r, &(struct way){.threads = 1, .batch = TOKENS, .vector = tg_vector_at(0)});
    run(&r, tokens, TOKENS, wanted);
    stop(&r);
    for (int i = 0; i < 16; i++) {
        const char *kernel = kernels[i % 8];
        const struct tg_vector *vector = tg_vector_at((size_t)i % tg_vector_count());
        if (kernel && !tg_kernel_find(kernel)->here()) continue;
        if (!vector->here()) continue;
        r = (struct running){.made = {0}};
        start(&r, &(struct way){1 + i % 3, batches[i % 4], false, kernel, vector, false});
        run(&r, tokens, 5, got); /* a prompt, then the rest, then again from the third on */
        run(&r, tokens + 5, TOKENS - 5, got + 5 * MADE_VOCABULARY);
        assert_memory_equal(wanted, got, sizeof wanted);
        tg_forward_rewind(r.forward, 3);
        run(&r, tokens + 3, TOKENS - 3, got + 3 * MADE_VOCABULARY);
        assert_memory_equal(wanted, got, sizeof wanted);
        assert_int_equal(tg_forward_position(r.forward), TOKENS);
        tg_forward_rewind(r.forward, 2);
        tg_forward_revisit(r.forward, TOKENS - 1); /* what was computed before is still there */
        run(&r, tokens + TOKENS - 1, 1, got);
        assert_memory_equal(wanted + (TOKENS - 1) * MADE_VOCABULARY, got,
                            MADE_VOCABULARY * sizeof *got);
        stop(&r);
    }
}

static void what_cannot_be_run_is_refused(void **state)
{
    (void)state;
    float logits[MADE_VOCABULARY];
    struct tg_error err;
    struct running r = {.made = {0}};
    start(&r, &(struct way){.threads = 1, .batch = 4});
    const int32_t bad[] = {MADE_VOCABULARY}, negative[] = {-1}, many[TOKENS + 1] = {0};
    assert_int_equal(tg_forward_run(r.forward, bad, 1, logits, 1, &err), -1);
    assert_string_equal(err.text, "token 96 is not in a vocabulary of 96");
    assert_int_equal(tg_forward_run(r.forward, negative, 1, logits, 1, &err), -1);
    assert_int_equal(tg_forward_run(r.forward, many, TOKENS + 1, logits, 1, &err), -1);
    assert_string_equal(err.text, "25 tokens do not fit in a context of 24");
    assert_int_equal(tg_forward_position(r.forward), 0);
    stop(&r);
}

static void time_and_bytes_are_told(void **state)
{
    (void)state;
    float logits[MADE_VOCABULARY];
    int32_t tokens[TOKENS];
    struct running r = {.made = {0}};
    text(tokens);
    start(&r, &(struct way){.threads = 2, .batch = 4});
    run(&r, tokens, 1, logits);
    const struct tg_forward_times times = tg_forward_times(r.forward);
    assert_true(times.prepare > 0 && times.products > 0 && times.attention > 0 && times.head > 0);
    const int64_t matrices = MADE_BLOCKS * (3 * 256 * 512 + 2 * 256 * 256 + 2 * 128 * 256) / 4;
    const int64_t head = 2 * MADE_VOCABULARY * MADE_HIDDEN;
    assert_int_equal(tg_forward_token_bytes(r.forward, 9),
                     matrices + head + 2 * MADE_BLOCKS * 128 * 2 * 10);
    assert_true(tg_forward_bytes(r.forward) > 0);
    stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_block_fed_as_the_reference_is_within_1e_5_of_it),
        cmocka_unit_test(whole_models_agree_with_the_reference),
        cmocka_unit_test(without_rounding_it_is_within_1e_4_of_the_reference),
        cmocka_unit_test(the_same_tokens_give_the_same_bits),
        cmocka_unit_test(what_cannot_be_run_is_refused),
        cmocka_unit_test(time_and_bytes_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
