/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/probe.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/model_cell.h"
#include "worker/probe/device.h"

/* Whole models on a device, as cells: on the fake one, of these manners. */
static void begin_fake(const char *manners)
{
    if (!tg_device_find("fake")) skip();
    setenv("TRITGATE_FAKE_GPU", manners, 1);
}

static void on_a_device_a_model_has_the_stages_and_the_facts_of_that(void **state)
{
    (void)state;
    static const char *const profiles[] = {"decode_32", "prefill_128", "first_token", "slo_128"};
    static const struct {
        const char *metric, *profiles; /* that have it */
    } beside[] = {{"copy_in_time", "prefill_128 first_token slo_128"},
                  {"prompt_time", "prefill_128 first_token slo_128"},
                  {"step_time", "decode_32 slo_128"},
                  {"copy_out_time", "decode_32 first_token slo_128"},
                  {"gpu_memory", "decode_32 prefill_128 first_token slo_128"},
                  {"held_memory", "decode_32 prefill_128 first_token slo_128"},
                  {"call_cycles", "decode_32 prefill_128 first_token slo_128"},
                  {"product_time", ""},
                  {"head_time", ""},
                  {"choose_time", ""}};
    begin_fake("");
    for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++) {
        char axes[128];
        snprintf(axes, sizeof axes, "kernel=fake_product profile=%s", profiles[i]);
        const struct tg_setup setup = setup_of(axes);
        struct tg_measurement m = measure(&setup, 3);
        if (m.outcome != TG_MEASURED) fail_msg("%s: %s", profiles[i], m.reason);
        const char *metric = tg_probe_metric(&setup.cell);
        for (size_t k = 0; k < sizeof beside / sizeof *beside; k++) {
            const struct tg_series *other = tg_measurement_series(&m, beside[k].metric);
            if ((other && other->count == 3) != (strstr(beside[k].profiles, profiles[i]) != NULL))
                fail_msg("%s: %s", profiles[i], beside[k].metric);
        }
        const double call_s = tg_probe_call_s(&setup.cell, metric,
                                              tg_measurement_series(&m, metric)->samples[1]);
        const double cycles = tg_measurement_series(&m, "call_cycles")->samples[1];
        assert_true(fabs(cycles / (1.7e9 * call_s) - 1) < 1e-9);
        assert_string_equal(m.facts.gpu, "fake");
        assert_string_equal(m.facts.gpu_uuid, "GPU-fake");
        assert_true(m.facts.gpu_bytes > m.facts.packed_bytes && m.facts.packed_bytes > 0);
        assert_true(m.facts.sm_clock_hz == 1.7e9 && m.facts.throttle == 0);
        assert_true(m.facts.gpu_temperature_c == 40 && m.facts.gpu_power_w == 100);
        assert_true(m.facts.checked > 0 && strstr(m.facts.isa_executed, "fake"));
        tg_measurement_free(&m);
    }
}

static void on_a_device_tokens_and_logits_are_those_of_the_host(void **state)
{
    (void)state;
    static const char *const kernels[] = {"i2s_scalar", "fake_product"};
    double sums[2];
    begin_fake("");
    for (int i = 0; i < 2; i++) {
        char axes[128];
        snprintf(axes, sizeof axes, "kernel=%s profile=decode_32", kernels[i]);
        struct tg_setup setup = setup_of(axes);
        struct tg_measurement m = measure(&setup, 1);
        sums[i] = only_sample(&m, "output_checksum");
        tg_measurement_free(&m);
    }
    assert_true(sums[0] == sums[1]);
}

static void on_a_device_accuracy_is_measured_against_the_host(void **state)
{
    (void)state;
    begin_fake("");
    const struct tg_setup setup = setup_of("kernel=fake_product threads=2 profile=accuracy");
    struct tg_measurement m = measure(&setup, 5);
    assert_int_equal(m.outcome, TG_MEASURED);
    const double cosine = only_sample(&m, "logit_cosine");
    assert_true(cosine > 0.9 && cosine < 1);
    assert_null(tg_measurement_series(&m, "gpu_memory"));
    tg_measurement_free(&m);
}

static void a_device_that_errs_has_no_speed(void **state)
{
    (void)state;
    static const struct {
        const char *manners, *reason;
        bool is_complete;
    } rows[] = {{"errs=1", "by fake differs from the reference", false},
                {"errs=1", "by fake differs from the reference", true},
                {"errs=16", "by fake differs from the reference", false},
                {"blurs=0.1", "not those of the host: block 0 by itself, a cosine of 0.99", true},
                {"misses=1", "chooses is not that of its largest logit", true},
                {"misses=1", "chooses is not that of its largest logit", false},
                {"blurs=0.1", "by itself, a cosine of 0.99", false},
                {"far=47", "by itself, on a text that goes on, a cosine of ", true},
                {"drift_after=60", "than the checked one", true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin_fake(rows[i].manners);
        struct tg_setup setup = setup_of("kernel=fake_product profile=decode_32");
        setup.is_complete = rows[i].is_complete;
        struct tg_measurement m = measure(&setup, 50);
        assert_int_equal(m.outcome, TG_WRONG);
        if (!strstr(m.reason, rows[i].reason)) fail_msg("%s: %s", rows[i].manners, m.reason);
        assert_null(tg_measurement_series(&m, "decode_rate"));
        assert_null(tg_measurement_series(&m, "step_time"));
        tg_measurement_free(&m);
    }
    unsetenv("TRITGATE_FAKE_GPU");
}

/* 1000 bytes a token: a sample is of several. */
static void what_a_model_leaves_taken_of_a_device_is_seen_after_each_sample(void **state)
{
    (void)state;
    for (int leak = 0; leak <= 1000; leak += 1000) {
        begin_fake(leak ? "leak_bytes=1000" : "");
        const struct tg_setup setup = setup_of("kernel=fake_product profile=decode_32");
        struct tg_measurement m = measure(&setup, 4);
        const double *bytes = tg_measurement_series(&m, "gpu_memory")->samples;
        for (int i = 1; i < 4; i++)
            assert_true(bytes[i] - bytes[i - 1] == (double)(leak * m.facts.calls));
        tg_measurement_free(&m);
    }
    unsetenv("TRITGATE_FAKE_GPU");
}

static void a_device_runs_one_build_and_what_it_can(void **state)
{
    (void)state;
    static const struct {
        const char *manners, *axes, *reason;
    } rows[] = {
        {"", "kernel=fake_product build=base profile=decode_32",
         "build 'base' is of kernels: whole models on a device are this program's own"},
        {"absent=1", "kernel=fake_product profile=decode_32", "there is no fake device"},
        {"memory_bytes=1000", "kernel=fake_product profile=decode_32", "the fake device has no "}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_measurement m;
        struct tg_error err;
        begin_fake(rows[i].manners);
        const struct tg_setup setup = setup_of(rows[i].axes);
        assert_int_equal(tg_probe_run_alone(&setup, 1, &m, &err), -1);
        if (!strstr(err.text, rows[i].reason)) fail_msg("%s: %s", rows[i].axes, err.text);
    }
    unsetenv("TRITGATE_FAKE_GPU");
}

int main(int argc, char **argv)
{
    if (is_cell(argc, argv)) return play_cell(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_a_device_a_model_has_the_stages_and_the_facts_of_that),
        cmocka_unit_test(on_a_device_tokens_and_logits_are_those_of_the_host),
        cmocka_unit_test(on_a_device_accuracy_is_measured_against_the_host),
        cmocka_unit_test(a_device_that_errs_has_no_speed),
        cmocka_unit_test(what_a_model_leaves_taken_of_a_device_is_seen_after_each_sample),
        cmocka_unit_test(a_device_runs_one_build_and_what_it_can),
    };
    return cmocka_run_group_tests(tests, tiny_make, tiny_drop);
}
