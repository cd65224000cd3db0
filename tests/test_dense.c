/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/dense.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernel.h"
#include "kernels/op.h"
#include "worker/probe/device.h"

#define U 0x1p-24

static void the_bound_is_that_of_higham(void **state)
{
    const double n = 1000, g = (n + 1) * U / (1 - (n + 1) * U);

    (void)state;
    assert_true(fabs(tg_dense_bound(&tg_number_f32, 1000, 5, 0) / (5 * g) - 1) < 1e-12);
    assert_true(tg_dense_bound(&tg_number_f16, 1000, 5, 0) > 2.9 * 5 * g);
    assert_true(tg_dense_bound(&tg_number_bf16, 1000, 5, 0) < 3.1 * 5 * g);
    assert_true(tg_dense_bound(&tg_number_f32, 1000, 0, 0) > 0);
    assert_true(tg_dense_bound(&tg_number_f32, 1000, 0, 0) < 1e-30);
}

static void a_sum_of_few_multiples_must_be_exact(void **state)
{
    (void)state;
    assert_true(tg_dense_bound(&tg_number_f32, 9, 0x1p24 - 1, 1) == 0);
    assert_true(tg_dense_bound(&tg_number_f32, 9, 0x1p24, 1) > 0);
    assert_true(tg_dense_bound(&tg_number_f16, 9, 0x1p22, 0.5) == 0);
    assert_true(tg_dense_bound(&tg_number_f16, 9, 0x1p22, 0.125) > 0);
    assert_true(tg_dense_bound(&tg_number_bf16, 9, 0, INFINITY) == 0);
    assert_true(tg_dense_bound(&tg_number_bf16, 9, 1e-43, 0x1p-149) > 0); /* denormal */
}

static void the_unit_of_a_number_is_its_lowest_bit(void **state)
{
    static const struct {
        float value;
        double unit;
    } known[] = {{1, 1},
                 {-3, 1},
                 {0.5f, 0.5},
                 {96, 32},
                 {1.5f, 0.5},
                 {0, INFINITY},
                 {NAN, INFINITY},
                 {0x1.000002p0f, 0x1p-23},
                 {1e-45f, 0x1p-149}};

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_true(tg_dense_unit(known[i].value) == known[i].unit);
}

/* 2 rows of 3 weights, 2 columns of activations. */
static const int8_t ternary[6] = {1, -1, 0, 0, 1, 1};

static void the_reference_is_what_a_hand_computes(void **state)
{
    static const float x[6] = {1.5f, 2, 100, -1, 0.25f, 4},
                       by_hand[4] = {-0.5f, 102, -1.25f, 4.25f};
    const struct tg_op *op = tg_op_find("dense_f32");
    float results[4];
    const struct tg_problem p = {
        .activations_f32 = x, .results = results, .rows = 2, .cols = 3, .batch = 2, .row_end = 2};

    (void)state;
    assert_int_equal(op->result_bytes(&p), sizeof results);
    assert_int_equal(op->columns(&p), 2);
    assert_int_equal(tg_op_activation_bytes(op, &p), sizeof x);
    assert_int_equal(tg_op_activation_bytes(tg_op_find("dense_bf16"), &p), sizeof x / 2);
    for (int64_t b = 0; b < 2; b++) op->reference(ternary, &p, b);
    assert_memory_equal(results, by_hand, sizeof by_hand);
    assert_true(op->operations(&p) == 24 && op->weight_bytes(&p, 24) == 24);
}

/* Multiples of 1/4 must be exact; thirds may be off by what sums of three can be. */
static void differs_knows_what_must_be_exact(void **state)
{
    float x[3] = {1.5f, 2, 100}, results[2], wanted[2];
    const struct tg_op *op = tg_op_find("dense_f32");
    struct tg_problem p = {
        .activations_f32 = x, .results = wanted, .rows = 2, .cols = 3, .batch = 1, .row_end = 2};

    (void)state;
    op->reference(ternary, &p, 0);
    memcpy(results, wanted, sizeof results);
    p.results = results;
    assert_int_equal(op->differs(&p, wanted, 0), -1);
    results[1] = nextafterf(results[1], 0);
    assert_int_equal(op->differs(&p, wanted, 0), 1);
    x[0] = 1.0f / 3;
    assert_int_equal(op->differs(&p, wanted, 0), -1);
    results[1] = wanted[1] * (1 + 10 * (float)U);
    assert_int_equal(op->differs(&p, wanted, 0), 1);
    results[1] = NAN;
    assert_int_equal(op->differs(&p, wanted, 0), 1);
    wanted[1] = NAN;
    assert_int_equal(op->differs(&p, wanted, 0), -1);
    results[1] = wanted[0] = INFINITY;
    assert_int_equal(op->differs(&p, wanted, 0), 0);
    results[0] = INFINITY;
    assert_int_equal(op->differs(&p, wanted, 0), 1);
}

/* Any weights, not only ternary ones: within the bound of their own magnitudes. */
static void try_general(const struct tg_kernel *kernel, int64_t rows, int64_t cols, int64_t batch)
{
    const struct tg_op *op = tg_op_find(kernel->op);
    const struct tg_number *number = op->activations;
    const size_t weights = (size_t)(rows * cols), inputs = (size_t)(batch * cols);
    const size_t padded = (weights * 4 + 63) / 64 * 64;
    uint8_t *w = aligned_alloc(64, padded), *x = aligned_alloc(64, (inputs * 4 + 63) / 64 * 64);
    float *results = aligned_alloc(64, ((size_t)(rows * batch) * 4 + 63) / 64 * 64);
    struct tg_problem p = {
        .results = results, .rows = rows, .cols = cols, .batch = batch, .row_end = rows};
    assert_true(w && x && results);
    number->fill(1, w, weights);
    number->fill(2, x, inputs);
    p.weights = w;
    p.activations = (const int8_t *)x;
    assert_int_equal(tg_device_call(kernel, op, &p, NULL), 0);
    for (int64_t i = 0; i < rows * batch; i++) {
        double sum = 0, magnitudes = 0;
        for (int64_t c = 0; c < cols; c++) {
            const double term = (double)number->get(w, (size_t)(i % rows * cols + c)) *
                                (double)number->get(x, (size_t)(i / rows * cols + c));
            sum += term;
            magnitudes += fabs(term);
        }
        if (fabs(results[i] - sum) <= tg_dense_bound(number, cols, magnitudes, 0)) continue;
        fail_msg("%s, %ld x %ld, batch %ld: %g for %g", kernel->name, (long)rows, (long)cols,
                 (long)batch, (double)results[i], sum);
    }
    free(w);
    free(x);
    free(results);
}

static void every_dense_kernel_is_within_the_bound_on_any_weights(void **state)
{
    const struct tg_library *library = tritgate_kernels_v1();
    int tried = 0;

    (void)state;
    for (uint64_t i = 0; i < library->kernel_count; i++) {
        const struct tg_kernel *kernel = &library->kernels[i];
        if (strncmp(kernel->op, "dense_", 6) != 0 || !kernel->run || !kernel->here()) continue;
        try_general(kernel, 5, 2560, 1);
        try_general(kernel, 9, 1037, 3);
        try_general(kernel, 67, 264, 33);
        try_general(kernel, 1, 1, 1);
        tried++;
    }
    assert_true(tried >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bound_is_that_of_higham),
        cmocka_unit_test(a_sum_of_few_multiples_must_be_exact),
        cmocka_unit_test(the_unit_of_a_number_is_its_lowest_bit),
        cmocka_unit_test(the_reference_is_what_a_hand_computes),
        cmocka_unit_test(differs_knows_what_must_be_exact),
        cmocka_unit_test(every_dense_kernel_is_within_the_bound_on_any_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
