/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/accuracy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static double accuracy_of(const struct tg_kernel *kernel, int64_t rows, int64_t cols, int64_t batch)
{
    const struct tg_problem like = {.rows = rows, .cols = cols, .batch = batch};
    double accuracy = -1;
    struct tg_error err;
    if (tg_accuracy_product(kernel, &like, &accuracy, &err) < 0) fail_msg("%s", err.text);
    return accuracy;
}

static void rounding_the_activations_costs_less_than_a_thousandth(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {{640, 2560, 1}, {128, 128, 1}, {3, 256, 4}, {1, 4096, 2}};
    const struct tg_kernel *k = tg_kernel_find("i2s_scalar");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        double accuracy = accuracy_of(k, shapes[i][0], shapes[i][1], shapes[i][2]);
        assert_true(accuracy > 0.999 && accuracy < 1);
    }
}

static void every_kernel_that_is_right_has_the_same_accuracy(void **state)
{
    (void)state;
    const struct tg_library *library = tritgate_kernels_v1();
    double wanted = accuracy_of(tg_kernel_find("i2s_scalar"), 640, 2560, 3);
    int compared = 0;
    for (uint64_t i = 0; i < library->kernel_count; i++) {
        const struct tg_kernel *k = &library->kernels[i];
        if (!k->run || !k->here() || strcmp(k->op, "product") != 0) continue;
        if (strcmp(k->isa, "stub") == 0 && strcmp(k->name, "stub_twice") != 0) continue;
        double accuracy = accuracy_of(k, 640, 2560, 3);
        if (accuracy != wanted) fail_msg("%s: %.17g, not %.17g", k->name, accuracy, wanted);
        compared++;
    }
    assert_true(compared >= 1);
}

static void it_is_the_same_each_time_and_of_at_most_128_rows(void **state)
{
    (void)state;
    const struct tg_kernel *k = tg_kernel_find("i2s_scalar");
    double accuracy = accuracy_of(k, 128, 256, 2);
    assert_true(accuracy_of(k, 128, 256, 2) == accuracy);
    assert_true(accuracy_of(k, 6912, 256, 2) == accuracy);
    assert_true(accuracy_of(k, 127, 256, 2) != accuracy);
}

static void upside_down(const struct tg_problem *p)
{
    int32_t *results = p->results;
    tg_kernel_i2s_scalar(p);
    for (int64_t i = 0; i < p->batch * p->rows; i++) results[i] = -results[i];
}

static void nothing(const struct tg_problem *p)
{
    (void)p;
}

static void a_kernel_that_is_wrong_is_not_accurate(void **state)
{
    (void)state;
    struct tg_kernel k = *tg_kernel_find("i2s_scalar");
    double right = accuracy_of(&k, 64, 256, 1);
    k.run = upside_down;
    assert_true(accuracy_of(&k, 64, 256, 1) == -right);
    k.run = nothing;
    assert_true(accuracy_of(&k, 64, 256, 1) == 0);
}

static void a_codec_is_as_exact_as_its_weights_are_equal(void **state)
{
    (void)state;
    static const int8_t packed[] = {-1, 0, 1, 1}, unpacked[] = {-1, 0, 1, 0};
    assert_true(tg_accuracy_codec(packed, packed, 4) == 1);
    assert_true(tg_accuracy_codec(packed, unpacked, 4) == 0.75);
    assert_true(tg_accuracy_codec(packed + 3, unpacked + 3, 1) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_the_activations_costs_less_than_a_thousandth),
        cmocka_unit_test(every_kernel_that_is_right_has_the_same_accuracy),
        cmocka_unit_test(it_is_the_same_each_time_and_of_at_most_128_rows),
        cmocka_unit_test(a_kernel_that_is_wrong_is_not_accurate),
        cmocka_unit_test(a_codec_is_as_exact_as_its_weights_are_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
