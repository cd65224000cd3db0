/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/model_device.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void the_host_has_none_and_nothing_is_done(void **state)
{
    (void)state;
    struct tg_model_device device = {0};
    struct tg_measurement m;
    struct tg_error err;
    tg_measurement_init(&m);
    assert_int_equal(tg_model_device_open("cpu", &m.facts, &device, &err), 0);
    assert_null(device.device);
    assert_true(tg_model_device_clock(&device) == 0);
    tg_model_device_look(&device, &m.facts);
    tg_model_device_rates(&device, &m.facts);
    assert_true(m.facts.throttle == -1 && isnan(m.facts.read_rate));
    assert_string_equal(m.facts.gpu, "unknown");
    tg_model_device_close(&device);
    assert_int_equal(tg_model_device_open("abacus", &m.facts, &device, &err), -1);
    assert_string_equal(err.text, "this program has no device 'abacus'");
    tg_measurement_free(&m);
}

static void a_device_tells_its_clock_and_its_condition(void **state)
{
    (void)state;
    struct tg_model_device device = {0};
    struct tg_measurement m;
    struct tg_error err;
    if (!tg_device_find("fake")) skip();
    setenv("TRITGATE_FAKE_GPU", "clock_hz=1.5e9 low_hz=0 throttle=8", 1);
    tg_measurement_init(&m);
    if (tg_model_device_open("fake", &m.facts, &device, &err) < 0) fail_msg("%s", err.text);
    assert_string_equal(m.facts.gpu_uuid, "GPU-fake");
    assert_true(tg_model_device_clock(&device) == 1.5e9);
    assert_true(tg_model_device_clock(&device) == 0); /* that cannot be read */
    tg_model_device_look(&device, &m.facts);
    assert_true(m.facts.throttle == 8 && m.facts.gpu_power_w == 100);
    tg_model_device_rates(&device, &m.facts); /* the fake device has none */
    assert_true(isnan(m.facts.read_rate) && isnan(m.facts.limit_s));
    tg_model_device_close(&device);
    setenv("TRITGATE_FAKE_GPU", "absent=1", 1);
    assert_int_equal(tg_model_device_open("fake", &m.facts, &device, &err), -1);
    assert_string_equal(err.text, "there is no fake device");
    unsetenv("TRITGATE_FAKE_GPU");
    tg_measurement_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_host_has_none_and_nothing_is_done),
        cmocka_unit_test(a_device_tells_its_clock_and_its_condition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
