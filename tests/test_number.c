/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/number.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

static const struct tg_number *const numbers[] = {&tg_number_int8, &tg_number_f32, &tg_number_f16,
                                                  &tg_number_bf16};

static void known_halves_are_as_the_standard_says(void **state)
{
    static const struct {
        float value;
        uint16_t f16, bf16;
    } known[] = {
        {0.0f, 0x0000, 0x0000},           {-0.0f, 0x8000, 0x8000},
        {1.0f, 0x3c00, 0x3f80},           {-1.0f, 0xbc00, 0xbf80},
        {127.0f, 0x57f0, 0x42fe},         {0.1f, 0x2e66, 0x3dcd},
        {65504.0f, 0x7bff, 0x4780},       {65519.996f, 0x7bff, 0x4780},
        {65520.0f, 0x7c00, 0x4780},       {-1e30f, 0xfc00, 0xf14a},
        {INFINITY, 0x7c00, 0x7f80},       {0x1p-14f, 0x0400, 0x3880},
        {0x1p-24f, 0x0001, 0x3380},       {0x1p-25f, 0x0000, 0x3300},
        {0x1.8p-24f, 0x0002, 0x33c0},     {0x1.ffep-15f, 0x0400, 0x3880},
        {1.00048828125f, 0x3c00, 0x3f80}, {1.00146484375f, 0x3c02, 0x3f80},
        {1.00390625f, 0x3c04, 0x3f80},    {1.01171875f, 0x3c0c, 0x3f82},
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_int_equal(tg_number_to_f16(known[i].value), known[i].f16);
        assert_int_equal(tg_number_to_bf16(known[i].value), known[i].bf16);
    }
    assert_int_equal(tg_number_to_f16(NAN) & 0x7e00, 0x7e00);
    assert_int_equal(tg_number_to_bf16(NAN) & 0x7fc0, 0x7fc0);
    assert_true(isnan(tg_number_of_f16(0x7c01)) && isinf(tg_number_of_f16(0xfc00)));
}

static void every_half_comes_back_from_a_float(void **state)
{
    (void)state;
    for (uint32_t half = 0; half <= 0xffff; half++) {
        const float f16 = tg_number_of_f16((uint16_t)half),
                    bf16 = tg_number_of_bf16((uint16_t)half);
        if (!isnan(f16)) assert_int_equal(tg_number_to_f16(f16), half);
        if (!isnan(bf16)) assert_int_equal(tg_number_to_bf16(bf16), half);
    }
}

/* Between two neighbours the nearer one, and in the middle the even one. */
static void floats_are_rounded_to_the_nearest_half(void **state)
{
    (void)state;
    for (uint16_t half = 0; half < 0x7bff; half++) {
        const float low = tg_number_of_f16(half), high = tg_number_of_f16(half + 1);
        const float middle = low + (high - low) / 2;
        assert_int_equal(tg_number_to_f16(middle), half + (half & 1));
        assert_int_equal(tg_number_to_f16(nextafterf(middle, 0)), half);
        assert_int_equal(tg_number_to_f16(-nextafterf(middle, high)), 0x8000 | (half + 1));
    }
}

static void what_is_put_is_got(void **state)
{
    static const float values[] = {0, 1, -1, 2, -127, 127};
    float held[6];

    (void)state;
    for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++) {
        for (size_t i = 0; i < 6; i++) numbers[n]->put(held, i, values[i]);
        for (size_t i = 0; i < 6; i++) assert_true(numbers[n]->get(held, i) == values[i]);
    }
    assert_true(tg_number_f32.get(values, 3) == 2 && tg_number_int8.bytes == 1);
    assert_true(tg_number_none.bytes == 0 && !tg_number_none.is_float);
    tg_number_none.fill(1, NULL, 100);
}

/* The same seed gives the same numbers; mean and variance are those of a standard normal. */
static void fills_are_random_and_the_same_again(void **state)
{
    enum { COUNT = 4097 };
    static float held[COUNT + 1], again[COUNT + 1];

    (void)state;
    for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++) {
        const size_t bytes = COUNT * (size_t)numbers[n]->bytes;
        double sum = 0, squares = 0;
        memset(held, 0x5a, sizeof held);
        memset(again, 0x5a, sizeof again);
        numbers[n]->fill(7, held, COUNT);
        numbers[n]->fill(7, again, COUNT);
        assert_memory_equal(held, again, sizeof held);
        assert_int_equal(((uint8_t *)held)[bytes], 0x5a);
        numbers[n]->fill(8, again, COUNT);
        assert_memory_not_equal(held, again, bytes);
        for (size_t i = 0; i < COUNT; i++) {
            sum += numbers[n]->get(held, i);
            squares += numbers[n]->get(held, i) * numbers[n]->get(held, i);
        }
        if (!numbers[n]->is_float) continue;
        assert_true(fabs(sum / COUNT) < 0.1 && fabs(squares / COUNT - 1) < 0.1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_halves_are_as_the_standard_says),
        cmocka_unit_test(every_half_comes_back_from_a_float),
        cmocka_unit_test(floats_are_rounded_to_the_nearest_half),
        cmocka_unit_test(what_is_put_is_got),
        cmocka_unit_test(fills_are_random_and_the_same_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
