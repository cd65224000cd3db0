/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/fill.h"

enum { COUNT = 255 * 4096 };

/* The numbers that the published algorithm gives from the seed 1234567. */
static void the_stream_is_splitmix64(void **state)
{
    static const uint64_t published[] = {6457827717110365317u, 3203168211198807973u,
                                         9817491932198370423u, 4593380528125082431u,
                                         16408922859458223821u};
    uint64_t seed = 1234567;

    (void)state;
    for (int i = 0; i < 5; i++) assert_true(tg_fill_next(&seed) == published[i]);
}

static void ternary_weights_are_a_third_each(void **state)
{
    static int8_t weights[COUNT];
    int counts[3] = {0};

    (void)state;
    tg_fill_ternary(5, weights, COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_in_range(weights[i] + 1, 0, 2);
        counts[weights[i] + 1]++;
    }
    for (int i = 0; i < 3; i++) assert_in_range(counts[i], COUNT / 3 - 3000, COUNT / 3 + 3000);
}

static void activations_are_minus_127_to_127(void **state)
{
    static int8_t activations[COUNT];
    int counts[256] = {0};

    (void)state;
    tg_fill_int8(6, activations, COUNT);
    for (int i = 0; i < COUNT; i++) counts[activations[i] + 128]++;
    assert_int_equal(counts[0], 0);
    for (int i = 1; i < 256; i++) assert_in_range(counts[i], 4096 - 400, 4096 + 400);
}

static void normal_values_have_mean_0_and_variance_1(void **state)
{
    static float values[COUNT];
    double sum = 0, squares = 0;

    (void)state;
    tg_fill_normal(7, values, COUNT);
    for (int i = 0; i < COUNT; i++) {
        sum += values[i];
        squares += (double)values[i] * values[i];
    }
    assert_true(-0.01 < sum / COUNT && sum / COUNT < 0.01);
    assert_true(0.99 < squares / COUNT && squares / COUNT < 1.01);
}

static void a_seed_gives_the_same_values_and_a_prefix_is_a_prefix(void **state)
{
    int8_t some[10], more[20], other[10];

    (void)state;
    tg_fill_int8(8, some, sizeof some);
    tg_fill_int8(8, more, sizeof more);
    tg_fill_int8(9, other, sizeof other);
    assert_memory_equal(some, more, sizeof some);
    assert_memory_not_equal(some, other, sizeof some);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stream_is_splitmix64),
        cmocka_unit_test(ternary_weights_are_a_third_each),
        cmocka_unit_test(activations_are_minus_127_to_127),
        cmocka_unit_test(normal_values_have_mean_0_and_variance_1),
        cmocka_unit_test(a_seed_gives_the_same_values_and_a_prefix_is_a_prefix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
