/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/head.h"

#include "tests/made_gguf.h"

/* The head of a made model by as many threads; logits has MADE_VOCABULARY numbers. */
static void run(const struct made_gguf *like, int threads, const float *x, float *logits)
{
    struct made_gguf made = *like;
    struct tg_gguf *gguf;
    struct tg_network network;
    struct tg_pool *pool;
    struct tg_head head;
    struct tg_error err;
    made_gguf(&made);
    if (tg_gguf_read(made.bytes, made.size, &gguf, &err) < 0 ||
        tg_network_read(gguf, &network, &err) < 0 ||
        tg_pool_create(threads, NULL, &pool, &err) < 0 ||
        tg_head_open(&network, tg_vector_widest(), pool, &head, &err) < 0)
        fail_msg("%s", err.text);
    assert_ptr_equal(head.tensor, made.has_output ? network.output : network.embedding);
    if (head.row_bytes * MADE_VOCABULARY == head.tensor->bytes)
        assert_memory_equal(head.copy, head.tensor->data, (size_t)head.tensor->bytes);
    tg_head_run(&head, pool, x, logits);
    tg_head_close(&head);
    assert_null(head.copy);
    tg_pool_destroy(pool);
    tg_network_release(&network);
    tg_gguf_close(gguf);
    free(made.bytes);
}

static void logits_are_the_rows_of_its_tensor_times_x(void **state)
{
    (void)state;
    static const char *const types[] = {"F32", "F16", "Q8_0", "Q6_K"};
    float x[MADE_HIDDEN], one[MADE_VOCABULARY], other[MADE_VOCABULARY];
    for (int i = 0; i < MADE_HIDDEN; i++) x[i] = (float)(i % 7 - 3) / 8;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const struct made_gguf like = {.head = types[i], .has_output = i % 2 == 0};
        run(&like, 1, x, one);
        run(&like, 3, x, other);
        assert_memory_equal(one, other, sizeof one);
        double squares = 0;
        for (int k = 0; k < MADE_VOCABULARY; k++) squares += (double)one[k] * (double)one[k];
        assert_true(squares > 0);
    }
}

static void each_logit_is_that_of_its_own_row_in(const char *type)
{
    float x[MADE_HIDDEN] = {0}, logits[MADE_VOCABULARY], row[MADE_HIDDEN];
    struct made_gguf made = {.head = type};
    struct tg_gguf *gguf;
    struct tg_network network;
    struct tg_error err;
    x[5] = 1;
    run(&made, 2, x, logits);
    made_gguf(&made);
    if (tg_gguf_read(made.bytes, made.size, &gguf, &err) < 0 ||
        tg_network_read(gguf, &network, &err) < 0)
        fail_msg("%s", err.text);
    for (int k = 0; k < MADE_VOCABULARY; k++) {
        const int64_t row_bytes = network.embedding->bytes / MADE_VOCABULARY;
        tg_tensor_type_decode(network.embedding->type, network.embedding->data + k * row_bytes,
                              MADE_HIDDEN, row);
        assert_true(logits[k] == row[5]);
    }
    tg_network_release(&network);
    tg_gguf_close(gguf);
    free(made.bytes);
}

/* Those after the first have no dot product of their own. */
static void each_logit_is_that_of_its_own_row(void **state)
{
    (void)state;
    static const char *const types[] = {"F32", "Q4_0", "Q5_0", "Q3_K", "Q4_K", "TQ2_0"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        each_logit_is_that_of_its_own_row_in(types[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_the_rows_of_its_tensor_times_x),
        cmocka_unit_test(each_logit_is_that_of_its_own_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
