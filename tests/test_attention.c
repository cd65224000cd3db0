/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/attention.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "kernels/fill.h"

static const struct tg_architecture halves = {.name = "h", .pairing = TG_PAIRING_HALVES};
static const struct tg_architecture neighbours = {.name = "n", .pairing = TG_PAIRING_NEIGHBOURS};

static struct tg_network network(const struct tg_architecture *architecture)
{
    return (struct tg_network){.architecture = architecture,
                               .layers = 2,
                               .heads = 4,
                               .key_value_heads = 2,
                               .head_dimension = 4,
                               .rope_dimensions = 4,
                               .rope_base = 100};
}

static void open_wide(const struct tg_network *n, struct tg_attention *a)
{
    struct tg_error err;
    if (tg_attention_open(n, 8, true, tg_vector_widest(), a, &err) < 0) fail_msg("%s", err.text);
}

static bool is_close(float one, double other)
{
    return fabs((double)one - other) < 1e-6;
}

/* At position 3 the first pair is turned by 3, the second by 3 / 10. */
static void pairs_are_turned_as_the_architecture_says(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const struct tg_network n = network(i ? &neighbours : &halves);
        const int partner = i ? 1 : 2, second = i ? 2 : 1;
        float queries[16] = {0}, keys[8] = {0}, values[8] = {0};
        struct tg_attention a;
        open_wide(&n, &a);
        queries[0] = 2;       /* first of the first pair of head 0, halved by the scale */
        keys[4 + second] = 1; /* first of the second pair of head 1 */
        tg_attention_keep(&a, 1, 3, queries, keys, values);
        assert_true(is_close(queries[0], cos(3)) && is_close(queries[partner], sin(3)));
        assert_true(is_close(keys[4 + second], cos(0.3)));
        assert_true(is_close(keys[4 + second + partner], sin(0.3)));
        assert_true(queries[second] == 0 && keys[0] == 0);
        tg_attention_close(&a);
    }
}

static void numbers_beyond_those_that_are_turned_stay(void **state)
{
    (void)state;
    struct tg_network n = network(&halves);
    float queries[16], keys[8], values[8] = {0};
    struct tg_attention a;
    n.rope_dimensions = 2;
    open_wide(&n, &a);
    for (int i = 0; i < 16; i++) queries[i] = 2;
    for (int i = 0; i < 8; i++) keys[i] = 1;
    tg_attention_keep(&a, 0, 1, queries, keys, values);
    assert_true(queries[2] == 1 && queries[3] == 1 && keys[6] == 1);
    assert_true(is_close(keys[4], cos(1) - sin(1)) && is_close(keys[5], cos(1) + sin(1)));
    tg_attention_close(&a);
}

/* Two heads share keys; each sees its own block and no position behind its own. */
static void a_head_mixes_the_values_that_its_scores_say(void **state)
{
    (void)state;
    const struct tg_network n = network(&halves);
    float query[4] = {logf(3), 0, 0, 0}, scores[8], out[4];
    struct tg_attention a;
    open_wide(&n, &a);
    for (int p = 0; p < 3; p++) {
        float queries[16] = {0}, keys[8] = {0}, values[8] = {0};
        tg_attention_keep(&a, 0, p, queries, keys, values);
        values[0] = (float)(p + 1);
        values[4] = (float)(10 * (p + 1));
        tg_attention_keep(&a, 1, p, queries, keys, values);
    }
    tg_attention_mix(&a, 1, 1, 0, 1, query, scores, out); /* all keys are 0: the mean */
    assert_true(is_close(out[0], 1.5) && out[1] == 0);
    tg_attention_mix(&a, 1, 2, 3, 1, query, scores, out);
    assert_true(is_close(out[0], 20));
    ((float *)(void *)a.keys)[a.block_bytes / 4 + 4] = 1; /* position 1 of head 0: three to one */
    tg_attention_mix(&a, 1, 1, 1, 1, query, scores, out);
    assert_true(is_close(out[0], 1.75) && is_close(scores[1], 0.75));
    assert_int_equal(tg_attention_bytes(&a, 2), 2 * 2 * 2 * 8 * 4 * 4);
    tg_attention_close(&a);
}

static void halves_are_kept_where_asked(void **state)
{
    (void)state;
    const struct tg_network n = network(&halves);
    float queries[16] = {0}, keys[8] = {0}, values[8] = {1 + 0x1p-13f, 2}, scores[8], out[4];
    struct tg_attention a;
    struct tg_error err;
    assert_int_equal(tg_attention_open(&n, 8, false, tg_vector_widest(), &a, &err), 0);
    tg_attention_keep(&a, 0, 0, queries, keys, values);
    tg_attention_mix(&a, 0, 0, 0, 1, queries, scores, out);
    assert_true(out[0] == 1 && out[1] == 2);
    tg_attention_close(&a);
}

/* Of both widths of numbers, with heads of a length that no register divides. */
static void heads_that_share_keys_see_the_same_together_and_alone(void **state)
{
    (void)state;
    enum { HEADS = 6, DIMENSION = 68, POSITIONS = 37, NUMBERS = HEADS * DIMENSION };
    static float queries[NUMBERS], numbers[2][NUMBERS], scores[3 * POSITIONS];
    static float alone[NUMBERS], together[NUMBERS];
    struct tg_network n = network(&halves);
    n.heads = HEADS;
    n.head_dimension = n.rope_dimensions = DIMENSION;
    for (int is_wide = 0; is_wide < 2; is_wide++) {
        struct tg_attention a;
        struct tg_error err;
        if (tg_attention_open(&n, POSITIONS, is_wide, tg_vector_widest(), &a, &err) < 0)
            fail_msg("%s", err.text);
        for (int p = 0; p < POSITIONS; p++) {
            tg_fill_normal((uint64_t)p, queries, NUMBERS);
            for (int i = 0; i < 2; i++)
                tg_fill_normal((uint64_t)(100 + 2 * p + i), numbers[i], NUMBERS);
            tg_attention_keep(&a, 1, p, queries, numbers[0], numbers[1]);
            for (int h = 0; h < HEADS; h++)
                tg_attention_mix(&a, 1, p, h, 1, queries + h * DIMENSION, scores,
                                 alone + h * DIMENSION);
            for (int h = 0; h < HEADS; h += 3)
                tg_attention_mix(&a, 1, p, h, 3, queries + h * DIMENSION, scores,
                                 together + h * DIMENSION);
            assert_memory_equal(alone, together, sizeof alone);
        }
        tg_attention_close(&a);
    }
}

static void what_is_too_large_is_refused(void **state)
{
    (void)state;
    const struct tg_network n = network(&halves);
    struct tg_attention a;
    struct tg_error err;
#ifndef TG_SANITIZED /* whose allocator ends the process */
    assert_int_equal(tg_attention_open(&n, INT64_C(1) << 44, false, tg_vector_widest(), &a, &err),
                     -1);
    assert_non_null(strstr(err.text, "are not to be had"));
#else
    (void)n;
    (void)err;
#endif
    a = (struct tg_attention){0};
    tg_attention_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_turned_as_the_architecture_says),
        cmocka_unit_test(numbers_beyond_those_that_are_turned_stay),
        cmocka_unit_test(a_head_mixes_the_values_that_its_scores_say),
        cmocka_unit_test(halves_are_kept_where_asked),
        cmocka_unit_test(heads_that_share_keys_see_the_same_together_and_alone),
        cmocka_unit_test(what_is_too_large_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
