/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

/* The operation quantise, on tokens whose results are known. */

enum { ROWS_MOST = 4, COLS_MOST = 80 };

static union {
    float aligned;
    uint8_t bytes[ROWS_MOST * COLS_MOST + 64 + 8 * ROWS_MOST];
} results, wanted;

static struct tg_problem problem_of(const float *x, int64_t rows, int64_t cols)
{
    const struct tg_problem p = {.activations_f32 = x,
                                 .results = results.bytes,
                                 .rows = rows,
                                 .cols = cols,
                                 .batch = 1,
                                 .row_end = rows};
    memset(results.bytes, 0x5a, sizeof results.bytes);
    return p;
}

static void quantise(const struct tg_problem *p)
{
    tg_op_find("quantise")->reference(NULL, p, 0);
}

static void results_follow_each_other_at_64_bytes(void **state)
{
    const struct tg_op *op = tg_op_find("quantise");
    struct tg_problem p = {.results = results.bytes, .rows = 3, .cols = 25, .batch = 1};

    (void)state;
    assert_int_equal(tg_tokens_scales_at(&p), 128);
    assert_ptr_equal(tg_tokens_scales(&p), results.bytes + 128);
    assert_ptr_equal(tg_tokens_sums(&p), results.bytes + 128 + 3 * 4);
    assert_int_equal(op->result_bytes(&p), 128 + 3 * 8);
    assert_int_equal(op->columns(&p), 1);
    assert_true(op->weight_bytes(&p, 1000) == 0);
    assert_false(op->has_weights);
    assert_int_equal(tg_op_activation_bytes(op, &p), 3 * 25 * 4);
}

static void halves_go_to_the_even_integer(void **state)
{
    static const float x[] = {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -126.5f, 0.49999997f, 3.4f};
    static const int8_t q[] = {127, 0, 2, 2, 0, -2, -126, 0, 3};
    const struct tg_problem p = problem_of(x, 1, 9);

    (void)state;
    quantise(&p);
    assert_memory_equal(results.bytes, q, sizeof q);
    assert_true(tg_tokens_scales(&p)[0] == 1);
    assert_int_equal(tg_tokens_sums(&p)[0], 127 + 2 + 2 - 2 - 126 + 3);
    assert_int_equal(results.bytes[9], 0x5a);
}

/* The largest magnitude, of either sign, becomes 127, however large or small it is. */
static void the_largest_magnitude_becomes_127(void **state)
{
    static const float largest[] = {-3, 1e-4f, -3.4028235e38f, 0x1.8p-3f, -1e30f, 1.00001e-5f};

    (void)state;
    for (size_t i = 0; i < sizeof largest / sizeof *largest; i++) {
        const float x[3] = {0, largest[i], -largest[i] / 127};
        const struct tg_problem p = problem_of(x, 1, 3);
        const int sign = largest[i] < 0 ? -1 : 1;
        quantise(&p);
        assert_int_equal((int8_t)results.bytes[1], 127 * sign);
        assert_int_equal((int8_t)results.bytes[2], -sign);
        assert_int_equal(tg_tokens_sums(&p)[0], 126 * sign);
        assert_true(tg_tokens_scales(&p)[0] == 127.0f / fabsf(largest[i]));
    }
}

static void tokens_below_a_hundred_thousandth_have_the_largest_scale(void **state)
{
    static const float largest[] = {0, -0.0f, 1e-45f, -1.1e-38f, 1e-6f, 1e-5f};

    (void)state;
    for (size_t i = 0; i < sizeof largest / sizeof *largest; i++) {
        const float x[2] = {0, largest[i]};
        const struct tg_problem p = problem_of(x, 1, 2);
        quantise(&p);
        assert_true(tg_tokens_scales(&p)[0] == TG_TOKENS_LARGEST_SCALE);
        assert_int_equal((int8_t)results.bytes[1], lround(largest[i] * 12.7e6));
        assert_int_equal(tg_tokens_sums(&p)[0], (int8_t)results.bytes[1]);
    }
}

static void a_token_that_is_not_finite_has_no_scale_and_the_others_have(void **state)
{
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    static const uint32_t no_scale = 0x7fc00000;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const float x[4] = {5, bad[i], 1, -2};
        const struct tg_problem p = problem_of(x, 2, 2);
        quantise(&p);
        assert_memory_equal(tg_tokens_scales(&p), &no_scale, 4);
        assert_int_equal(tg_tokens_sums(&p)[0], 0);
        assert_true(results.bytes[0] == 0 && results.bytes[1] == 0);
        assert_int_equal((int8_t)results.bytes[2], 64); /* 63.5 */
        assert_int_equal((int8_t)results.bytes[3], -127);
        assert_int_equal(tg_tokens_sums(&p)[1], -63);
    }
}

static void a_difference_of_any_part_is_found_in_its_row(void **state)
{
    static const float x[] = {1, 2, 3, 4, 5, 6};
    const struct tg_op *op = tg_op_find("quantise");
    struct tg_problem p = problem_of(x, 3, 2);
    const size_t places[] = {2, 64 + 4, 64 + 3 * 4 + 4}; /* q, scale and sum of row 1 */

    (void)state;
    quantise(&p);
    memcpy(&wanted, &results, sizeof wanted);
    assert_int_equal(op->differs(&p, &wanted, 0), -1);
    for (size_t i = 0; i < 3; i++) {
        results.bytes[places[i]] ^= 1;
        assert_int_equal(op->differs(&p, &wanted, 0), 1);
        p.row_end = 1;
        assert_int_equal(op->differs(&p, &wanted, 0), -1);
        p.row_end = 3;
        results.bytes[places[i]] ^= 1;
    }
    results.bytes[6] ^= 1; /* what is between the parts is nobody's */
    assert_int_equal(op->differs(&p, &wanted, 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_follow_each_other_at_64_bytes),
        cmocka_unit_test(halves_go_to_the_even_integer),
        cmocka_unit_test(the_largest_magnitude_becomes_127),
        cmocka_unit_test(tokens_below_a_hundred_thousandth_have_the_largest_scale),
        cmocka_unit_test(a_token_that_is_not_finite_has_no_scale_and_the_others_have),
        cmocka_unit_test(a_difference_of_any_part_is_found_in_its_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
