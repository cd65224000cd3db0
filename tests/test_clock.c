/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void the_clock_does_not_go_back(void **state)
{
    (void)state;
    int64_t before = tg_now_ns();
    for (int i = 0; i < 1000; i++) {
        int64_t now = tg_now_ns();
        assert_true(now >= before);
        before = now;
    }
}

static void seconds_and_nanoseconds_are_of_one_clock(void **state)
{
    (void)state;
    double before = (double)tg_now_ns() * 1e-9;
    double seconds = tg_now();
    double after = (double)tg_now_ns() * 1e-9;
    assert_true(before <= seconds && seconds <= after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clock_does_not_go_back),
        cmocka_unit_test(seconds_and_nanoseconds_are_of_one_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
