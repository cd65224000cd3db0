/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/numbering.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void equal_numbers_have_one_place_and_places_have_no_gaps(void **state)
{
    (void)state;
    static const int numbers[] = {7, -3, 7, 2000000000, -3, -2000000000, 7};
    static const uint32_t wanted[] = {2, 1, 2, 3, 1, 0, 2};
    enum { WORKERS = sizeof numbers / sizeof *numbers };
    struct tg_numbering numbering;
    assert_true(tg_numbering_open(&numbering, WORKERS));
    for (size_t w = 0; w < WORKERS; w++) numbering.numbers[w] = numbers[w];
    for (int again = 0; again < 2; again++) {
        assert_true(tg_numbering_count(&numbering, WORKERS));
        assert_int_equal(numbering.count, 4);
        for (size_t w = 0; w < WORKERS; w++) assert_int_equal(numbering.at[w], wanted[w]);
        for (size_t p = 0; p < numbering.count; p++) assert_int_equal(numbering.counts[p], 0);
        numbering.counts[2] = 5; /* forgotten when they are counted anew */
    }
    tg_numbering_close(&numbering);
    tg_numbering_close(&numbering);
}

static void workers_of_whom_nothing_is_told_share_a_place(void **state)
{
    (void)state;
    struct tg_numbering numbering;
    assert_true(tg_numbering_open(&numbering, 3));
    assert_true(tg_numbering_count(&numbering, 3));
    assert_int_equal(numbering.count, 1);
    tg_numbering_close(&numbering);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_numbers_have_one_place_and_places_have_no_gaps),
        cmocka_unit_test(workers_of_whom_nothing_is_told_share_a_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
