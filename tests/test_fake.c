/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

static struct tg_fake manners(const char *text, const char *library)
{
    struct tg_fake fake;
    struct tg_error err;
    setenv("TRITGATE_FAKE_GPU", text, 1);
    if (tg_fake_read(library, &fake, &err) < 0) fail_msg("%s", err.text);
    unsetenv("TRITGATE_FAKE_GPU");
    return fake;
}

static void what_is_not_asked_for_is_as_on_a_device_in_order(void **state)
{
    (void)state;
    struct tg_fake fake = manners("", "");
    assert_true(fake.clock_hz == 1.7e9 && fake.leak_bytes == 0 && fake.drift_after == 0);
    fake = manners("leak_bytes=512 blurs=1", "");
    assert_true(fake.clock_hz == 1.7e9 && fake.leak_bytes == 512 && fake.blurs == 1);
}

static void only_is_of_one_library(void **state)
{
    (void)state;
    assert_int_equal(manners("only=abc throttle=8", "abcdef").throttle, 8);
    assert_int_equal(manners("only=abc throttle=8", "fedcba").throttle, 0);
    assert_int_equal(manners("only=abc throttle=8", "").throttle, 0);
    assert_string_equal(manners("only=abc uuid=GPU-1", "fedcba").uuid, "GPU-1");
}

static void an_unknown_manner_is_an_error(void **state)
{
    (void)state;
    struct tg_fake fake;
    struct tg_error err;
    setenv("TRITGATE_FAKE_GPU", "speed=9", 1);
    assert_int_equal(tg_fake_read("", &fake, &err), -1);
    assert_memory_equal(err.text, "TRITGATE_FAKE_GPU: ", 19);
    unsetenv("TRITGATE_FAKE_GPU");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_asked_for_is_as_on_a_device_in_order),
        cmocka_unit_test(only_is_of_one_library),
        cmocka_unit_test(an_unknown_manner_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
