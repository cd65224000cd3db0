/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "kernels/op.h"

/* 3 rows of 4 weights, 2 columns of activations. */
static const int8_t weights[3 * 4] = {1, -1, 0, 1, 0, 0, 0, 0, -1, -1, -1, -1};
static const int8_t activations[2 * 4] = {10, 20, 30, 40, 127, -127, 5, 0};

static struct tg_problem small_problem(void *results)
{
    const struct tg_problem p = {.activations = activations,
                                 .results = results,
                                 .rows = 3,
                                 .cols = 4,
                                 .batch = 2,
                                 .row_begin = 0,
                                 .row_end = 3};
    return p;
}

static void rows_are_found_by_their_names_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < tg_op_count(); i++) {
        assert_ptr_equal(tg_op_find(tg_op_at(i)->name), tg_op_at(i));
    }
    assert_null(tg_op_find("products"));
    assert_null(tg_op_find(""));
}

static void the_reference_of_product_is_what_a_hand_computes(void **state)
{
    static const int32_t by_hand[2 * 3] = {10 - 20 + 40, 0, -100, 127 + 127, 0, -5};
    const struct tg_op *product = tg_op_find("product");
    int32_t results[2 * 3];
    const struct tg_problem p = small_problem(results);

    (void)state;
    assert_int_equal(product->result_bytes(&p), sizeof results);
    assert_int_equal(product->columns(&p), 2);
    for (int64_t b = 0; b < 2; b++) product->reference(weights, &p, b);
    assert_memory_equal(results, by_hand, sizeof by_hand);
}

static void the_reference_writes_its_column_and_rows_only(void **state)
{
    const struct tg_op *product = tg_op_find("product");
    int32_t results[2 * 3] = {7, 7, 7, 7, 7, 7};
    struct tg_problem p = small_problem(results);

    (void)state;
    p.row_begin = 2;
    product->reference(weights, &p, 1);
    assert_int_equal(results[5], -5);
    for (int i = 0; i < 5; i++) assert_int_equal(results[i], 7);
}

static void differs_says_the_first_row_of_the_column(void **state)
{
    const struct tg_op *product = tg_op_find("product");
    int32_t results[2 * 3], wanted[2 * 3];
    struct tg_problem p = small_problem(results);

    (void)state;
    for (int i = 0; i < 6; i++) results[i] = wanted[i] = i;
    results[3 + 1]++;
    results[3 + 2]++;
    assert_int_equal(product->differs(&p, wanted, 0), -1);
    assert_int_equal(product->differs(&p, wanted, 1), 1);
    p.row_begin = 2;
    assert_int_equal(product->differs(&p, wanted, 1), 2);
    p.row_begin = 0;
    p.row_end = 1;
    assert_int_equal(product->differs(&p, wanted, 1), -1);
}

static void unpack_gives_the_weights_of_its_rows(void **state)
{
    const struct tg_op *unpack = tg_op_find("unpack");
    int8_t results[3 * 4] = {9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9};
    struct tg_problem p = small_problem(results);

    (void)state;
    assert_int_equal(unpack->result_bytes(&p), sizeof results);
    assert_int_equal(unpack->columns(&p), 1);
    p.row_begin = 1;
    unpack->reference(weights, &p, 0);
    assert_memory_equal(results + 4, weights + 4, 8);
    assert_int_equal(results[3], 9);
    assert_int_equal(unpack->differs(&p, weights, 0), -1);
    results[11]++;
    assert_int_equal(unpack->differs(&p, weights, 0), 2);
    p.row_begin = 0;
    assert_int_equal(unpack->differs(&p, weights, 0), 0);
}

static void unpack_to_floats_gives_their_bits(void **state)
{
    static const uint32_t f32[4] = {0x3f800000, 0xbf800000, 0, 0x3f800000};
    static const uint16_t f16[4] = {0x3c00, 0xbc00, 0, 0x3c00};
    static const struct {
        const char *name;
        const void *first_row;
        size_t bytes; /* of one */
    } ops[] = {{"unpack_f32", f32, 4}, {"unpack_f16", f16, 2}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const struct tg_op *op = tg_op_find(ops[i].name);
        uint32_t results[3 * 4], wanted[3 * 4];
        struct tg_problem p = small_problem(results);
        memset(results, 0x5a, sizeof results);
        memset(wanted, 0x5a, sizeof wanted);
        assert_int_equal(op->result_bytes(&p), 12 * ops[i].bytes);
        assert_int_equal(op->columns(&p), 1);
        assert_int_equal(tg_op_activation_bytes(op, &p), 0);
        p.row_end = 2;
        op->reference(weights, &p, 0);
        assert_memory_equal(results, ops[i].first_row, 4 * ops[i].bytes);
        assert_int_equal(((uint8_t *)results)[8 * ops[i].bytes], 0x5a);
        memcpy(wanted, results, sizeof wanted);
        assert_int_equal(op->differs(&p, wanted, 0), -1);
        ((uint8_t *)results)[6 * ops[i].bytes - 1] ^= 0x80; /* the sign of a zero */
        assert_int_equal(op->differs(&p, wanted, 0), 1);
        assert_true(op->weight_bytes(&p, 3) == 2.0 && op->operations(&p) == 8);
    }
}

static void the_activations_of_a_problem_are_counted(void **state)
{
    const struct tg_op *product = tg_op_find("product"), *unpack = tg_op_find("unpack");
    const struct tg_problem p = small_problem(NULL);

    (void)state;
    assert_ptr_equal(product->activations, &tg_number_int8);
    assert_true(product->has_weights);
    assert_int_equal(tg_op_activation_count(product, &p), 8);
    assert_int_equal(tg_op_activation_bytes(product, &p), 8);
    assert_int_equal(tg_op_activation_bytes(unpack, &p), 0);
    assert_int_equal(tg_op_activation_count(tg_op_find("quantise"), &p), 12);
    assert_int_equal(tg_op_activation_bytes(tg_op_find("quantise"), &p), 48);
}

/* Sums of 16 bits, their upper bytes first, then the lower ones. */
static void assert_table(const uint8_t *table, const int *sums, int count)
{
    for (int i = 0; i < 16; i++) {
        const int sum = i < count ? sums[i] : 0;
        assert_int_equal((int8_t)table[i] * 256 + table[16 + i], sum);
    }
}

static void tables_have_the_sums_that_a_hand_computes(void **state)
{
    static const int small[] = {2, -3, -8, 5, 0, -5, 8, 3, -2};
    static const int large[] = {-254, -127, 0, -127, 0, 127, 0, 127, 254};
    static const int threes[] = {0, 2, 1, 3, 5, -4, -2, 0, -1, 1, 3, 2, 4, 6};
    const struct tg_op *twos = tg_op_find("tables_tl1"), *both = tg_op_find("tables_tl2");
    int8_t tokens[2 * 128] = {0};
    uint8_t results[2 * 64 * 32], wanted[sizeof results];
    struct tg_problem p = {
        .activations = tokens, .results = results, .rows = 2, .cols = 8, .batch = 1};

    (void)state;
    assert_false(twos->has_weights || both->has_weights);
    tokens[8] = 3, tokens[9] = -5, tokens[14] = tokens[15] = 127;
    memset(results, 0x5a, sizeof results);
    assert_int_equal(twos->result_bytes(&p), 2 * 4 * 32);
    p.row_begin = 1, p.row_end = 2;
    twos->reference(NULL, &p, 0);
    assert_int_equal(results[4 * 32 - 1], 0x5a);
    assert_table(results + 4 * 32, small, 9);
    assert_table(results + 7 * 32, large, 9);
    assert_int_equal(results[8 * 32], 0x5a);
    assert_true(twos->operations(&p) == 9 * 4 && twos->weight_bytes(&p, 9) == 0);
    memcpy(wanted, results, sizeof wanted);
    assert_int_equal(twos->differs(&p, wanted, 0), -1);
    results[8 * 32 - 1] ^= 1;
    assert_int_equal(twos->differs(&p, wanted, 0), 1);

    p.cols = 128; /* 96 in threes, the rest in twos */
    tokens[128] = 1, tokens[129] = 3, tokens[130] = 2;
    tokens[128 + 96] = 3, tokens[128 + 97] = -5;
    assert_int_equal(both->result_bytes(&p), 2 * (32 + 16) * 32);
    both->reference(NULL, &p, 0);
    assert_table(results + 48 * 32, threes, 14);
    assert_table(results + (48 + 32) * 32, small, 9);
    assert_true(both->operations(&p) == 28 * 32 + 9 * 16);
}

static void a_call_moves_what_its_rows_need(void **state)
{
    const struct tg_op *product = tg_op_find("product"), *unpack = tg_op_find("unpack");
    struct tg_problem p = small_problem(NULL);

    (void)state;
    p.row_begin = 1;
    assert_true(product->weight_bytes(&p, 3) == 2.0);
    assert_true(product->operations(&p) == 2.0 * 2 * 4 * 2);
    assert_true(unpack->weight_bytes(&p, 3) == 2.0);
    assert_true(unpack->operations(&p) == 2.0 * 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_found_by_their_names_only),
        cmocka_unit_test(the_reference_of_product_is_what_a_hand_computes),
        cmocka_unit_test(the_reference_writes_its_column_and_rows_only),
        cmocka_unit_test(differs_says_the_first_row_of_the_column),
        cmocka_unit_test(unpack_gives_the_weights_of_its_rows),
        cmocka_unit_test(unpack_to_floats_gives_their_bits),
        cmocka_unit_test(the_activations_of_a_problem_are_counted),
        cmocka_unit_test(tables_have_the_sums_that_a_hand_computes),
        cmocka_unit_test(a_call_moves_what_its_rows_need),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
