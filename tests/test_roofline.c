/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/roofline.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "kernels/kernel.h"
#include "results/stats.h"
#include "tests/worker_cell.h"

static struct tg_measurement limited(double limit_s, const char *by)
{
    struct tg_measurement m;
    tg_measurement_init(&m);
    m.facts.limit_s = limit_s;
    snprintf(m.facts.limited_by, sizeof m.facts.limited_by, "%s", by);
    return m;
}

static void the_share_is_the_limit_over_the_time(void **state)
{
    (void)state;
    struct tg_measurement m = limited(1e-6, "read");
    assert_true(tg_roofline_share(&m, 2e-6) == 0.5);
    assert_true(tg_roofline_share(&m, 1e-6) == 1);
    assert_true(isnan(tg_roofline_share(&m, NAN)));
    assert_true(isnan(tg_roofline_share(&m, 0)));
    m = limited(NAN, "unknown");
    assert_true(isnan(tg_roofline_share(&m, 1e-6)));
}

static void more_than_the_slack_over_the_limit_is_impossible(void **state)
{
    (void)state;
    static const struct {
        double limit_s, call_s;
        const char *by;
        bool is_impossible;
    } rows[] = {
        {1e-6, 1e-6, "read", false},       {1e-6, 1e-6 / 1.09, "read", false},
        {1e-6, 1e-6 / 1.1, "read", false}, /* a tie */
        {1e-6, 1e-6 / 1.11, "read", true}, {1e-6, 1e-6 / 1.11, "write", true},
        {1e-6, 1e-6 / 1.11, "dot", false}, {1e-6, 1e-6 / 2.2, "dot", false},
        {1e-6, 1e-6 / 2.21, "dot", true},  {NAN, 1e-12, "unknown", false},
        {1e-6, NAN, "read", false},        {1e-6, 0, "read", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_measurement m = limited(rows[i].limit_s, rows[i].by);
        struct tg_measurement slower = limited(2 * rows[i].limit_s, "read");
        const struct tg_measurement *both[] = {&slower, &m};
        if (tg_roofline_is_impossible(both, 2, rows[i].call_s) != rows[i].is_impossible)
            fail_msg("row %zu", i);
    }
}

/* A process that was disturbed has a limit that is too high. */
static void one_row_alone_is_not_judged(void **state)
{
    (void)state;
    struct tg_measurement rows[] = {limited(1e-6, "read"), limited(1e-6, "read"),
                                    limited(NAN, "unknown")};
    const struct tg_measurement *list[] = {&rows[0], &rows[1], &rows[2]};
    assert_true(tg_roofline_is_impossible(list, 2, 1e-8));
    assert_false(tg_roofline_is_impossible(list, 1, 1e-8));
    assert_false(tg_roofline_is_impossible(list, 0, 1e-8));
    assert_false(tg_roofline_is_impossible(list + 1, 2, 1e-8));
    rows[1].outcome = TG_CRASHED;
    assert_false(tg_roofline_is_impossible(list, 3, 1e-8));
}

static void the_lowest_limit_is_of_a_row_that_was_measured(void **state)
{
    (void)state;
    struct tg_measurement rows[] = {limited(NAN, "unknown"), limited(3e-6, "read"),
                                    limited(2e-6, "read"), limited(1e-6, "read"),
                                    limited(2e-6, "dot")};
    const struct tg_measurement *list[] = {&rows[0], &rows[1], &rows[2], &rows[3], &rows[4]};
    rows[3].outcome = TG_WRONG;
    assert_ptr_equal(tg_roofline_lowest(list, 5), &rows[2]);
    assert_ptr_equal(tg_roofline_lowest(list, 2), &rows[1]);
    assert_null(tg_roofline_lowest(list, 1));
    assert_null(tg_roofline_lowest(list, 0));
}

enum { ROUNDS = 3 };

/* Measures a kernel in some rounds and says whether the median of its times is impossible. */
static bool is_impossible(const char *kernel, int batch)
{
    struct tg_measurement m[ROUNDS];
    const struct tg_measurement *rows[ROUNDS];
    double medians[ROUNDS];
    char text[TG_CELL_TEXT_SIZE];
    struct tg_error err;
    struct tg_setup setup;
    tg_probe_setup_init(&setup);
    snprintf(text, sizeof text, "probe=kernel kernel=%s layer=128x2560 batch=%d", kernel, batch);
    assert_int_equal(tg_cell_parse(text, &setup.cell, &err), 0);
    snprintf(setup.library, sizeof setup.library, "%s", kernel_library());
    setup.is_complete = setup.is_fixed = false;
    setup.warmup_min_s = 0.001;
    setup.warmup_max_s = 0.01;
    setup.sample_s = 1e-5;
    for (int i = 0; i < ROUNDS; i++) {
        if (tg_probe_run_alone(&setup, 9, &m[i], &err) < 0) fail_msg("%s", err.text);
        assert_int_equal(m[i].outcome, TG_MEASURED);
        assert_true(m[i].facts.limit_s > 0);
        medians[i] = tg_stats_median(tg_measurement_series(&m[i], "call_time")->samples, 9);
        rows[i] = &m[i];
    }
    bool is = tg_roofline_is_impossible(rows, ROUNDS, tg_stats_median(medians, ROUNDS));
    for (int i = 0; i < ROUNDS; i++) tg_measurement_free(&m[i]);
    return is;
}

/* It is right, before and after: only the time gives it away. */
static void a_kernel_that_remembers_its_results_is_impossible(void **state)
{
    (void)state;
    const struct tg_kernel *stub = tg_kernel_find("stub_recalls");
    if (!stub || !stub->run) skip();
    assert_true(is_impossible("stub_recalls", 1));
    assert_true(is_impossible("stub_recalls", 8));
}

static void kernels_that_do_their_work_are_not(void **state)
{
    (void)state;
    static const char *const kernels[] = {"i2s_scalar", "i2s_avx2", "i2s_avx512vnni",
                                          "i2s_scalar_unpack", "i2s_avx2_unpack"};
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        const struct tg_kernel *kernel = tg_kernel_find(kernels[i]);
        assert_non_null(kernel);
        if (kernel->run && kernel->here()) assert_false(is_impossible(kernels[i], 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_share_is_the_limit_over_the_time),
        cmocka_unit_test(more_than_the_slack_over_the_limit_is_impossible),
        cmocka_unit_test(one_row_alone_is_not_judged),
        cmocka_unit_test(the_lowest_limit_is_of_a_row_that_was_measured),
        cmocka_unit_test(a_kernel_that_remembers_its_results_is_impossible),
        cmocka_unit_test(kernels_that_do_their_work_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
