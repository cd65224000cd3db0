/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "kernels/canary.h"
#include "kernels/kernel.h"

static uint64_t chain(uint64_t x, int64_t steps)
{
    while (steps-- > 0) x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return x;
}

static void the_arithmetic_is_four_chains(void **state)
{
    static const int64_t steps[] = {0, 1, 2, 1000};
    static const uint64_t seeds[] = {0, 1, 42, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        for (size_t k = 0; k < sizeof seeds / sizeof *seeds; k++) {
            const uint64_t s = seeds[k];
            assert_true(tg_canary_dot(s, steps[i]) ==
                        (chain(s, steps[i]) ^ chain(s + 1, steps[i]) ^ chain(s + 2, steps[i]) ^
                         chain(s + 3, steps[i])));
        }
    }
}

static void the_reading_sums_the_first_word_of_each_line(void **state)
{
    enum { LINES = 33 };
    uint64_t *words = test_malloc(LINES * 64), sum = 0;

    (void)state;
    for (uint64_t i = 0; i < LINES * 8; i++) words[i] = (i + 1) << (i % 57);
    for (int64_t lines = 0; lines <= LINES; lines++) {
        assert_true(tg_canary_read(words, lines) == sum);
        if (lines < LINES) sum += words[8 * lines];
    }
    test_free(words);
}

static int is_in_the_code(uintptr_t function)
{
    size_t bytes;
    const unsigned char *code = tg_canary_code(&bytes);
    return function >= (uintptr_t)code && function < (uintptr_t)code + bytes;
}

/* Little code, no padding of a whole page, and no function but the two. */
static void both_canaries_and_nothing_else_lie_in_the_section(void **state)
{
    size_t bytes, again;

    (void)state;
    assert_non_null(tg_canary_code(&bytes));
    assert_true(bytes > 32 && bytes < 512);
    assert_true(is_in_the_code((uintptr_t)tg_canary_dot));
    assert_true(is_in_the_code((uintptr_t)tg_canary_read));
    assert_false(is_in_the_code((uintptr_t)tg_canary_code));
    assert_false(is_in_the_code((uintptr_t)tritgate_kernels_v1));
    assert_ptr_equal(tg_canary_code(&again), tg_canary_code(&bytes));
    assert_int_equal(again, bytes);
}

/* Code that the loader had to patch would differ from run to run. */
static void the_code_is_as_the_file_has_it(void **state)
{
    size_t bytes, size = 0, found = 0;
    const unsigned char *code = tg_canary_code(&bytes);
    FILE *file = fopen("/proc/self/exe", "rb");

    (void)state;
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size = (size_t)ftell(file);
    rewind(file);
    unsigned char *all = test_malloc(size);
    assert_int_equal(fread(all, 1, size, file), size);
    fclose(file);
    for (size_t at = 0; at + bytes <= size; at++) found += memcmp(all + at, code, bytes) == 0;
    assert_true(found >= 1);
    test_free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_arithmetic_is_four_chains),
        cmocka_unit_test(the_reading_sums_the_first_word_of_each_line),
        cmocka_unit_test(both_canaries_and_nothing_else_lie_in_the_section),
        cmocka_unit_test(the_code_is_as_the_file_has_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
