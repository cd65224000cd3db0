/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/model_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "tests/tiny_model.h"

static void open_with(struct tg_session *s, const char *kernel, int threads)
{
    const struct tg_session_options options = {
        .path = tiny_path, .kernel = kernel, .threads = threads, .context = 8, .batch = 8};
    struct tg_error err;
    if (tg_session_open(&options, s, &err) < 0) fail_msg("%s", err.text);
}

static void right_kernels_are_right_on_every_matrix(void **state)
{
    (void)state;
    static const char *const kernels[] = {NULL, "i2s_scalar", "tl2_scalar", "panel_scalar"};
    for (int i = 0; i < 4; i++) {
        struct tg_session s;
        struct tg_error err;
        struct tg_model_check check = {.blocks = 4, .seed = (uint64_t)i, .batches = {8, 3}};
        open_with(&s, kernels[i], 1 + i % 2);
        if (tg_model_check_products(&s, &check, &err) < 0) fail_msg("%s", err.text);
        assert_string_equal(check.reason, "");
        /* Rows of the seven matrices of a block, for two single tokens, 2, 8 and 3, four times. */
        assert_int_equal(check.checked, 4 * 15 * (256 + 128 + 128 + 256 + 512 + 512 + 256));
        tg_session_close(&s);
    }
}

/* One bit of one matrix that is not the file's, and only where that is looked at. */
static void a_matrix_that_was_packed_wrong_is_found_by_its_name(void **state)
{
    (void)state;
    struct tg_session s;
    struct tg_error err;
    open_with(&s, "panel_scalar", 2);
    const struct tg_matrix *m = &s.weights.matrices[2 * TG_LAYERS + TG_LAYER_ffn_down];
    uint8_t *packed = (uint8_t *)s.weights.region + (m->packed - (uint8_t *)s.weights.region);
    packed[m->packed_bytes / 2] ^= 1;
    struct tg_model_check check = {.blocks = 2, .seed = 1};
    if (tg_model_check_products(&s, &check, &err) < 0) fail_msg("%s", err.text);
    assert_string_equal(check.reason, "");
    check = (struct tg_model_check){.first_block = 2, .blocks = 1, .seed = 1};
    if (tg_model_check_products(&s, &check, &err) < 0) fail_msg("%s", err.text);
    if (!strstr(check.reason, " of ffn_down of block 2 by panel_scalar differs"))
        fail_msg("%s", check.reason);
    tg_session_close(&s);
}

static void what_lies_on_a_device_is_checked_there(void **state)
{
    (void)state;
    static const char *const manners[] = {"", "errs=9", "errs=1", "errs=8"};
    if (!tg_forward_device_find("fake")) skip();
    for (int i = 0; i < 4; i++) {
        const struct tg_session_options options = {
            .path = tiny_path, .threads = 2, .context = 8, .batch = 8, .device = "fake"};
        struct tg_model_check check = {.blocks = 4, .seed = 3, .batches = {8}};
        struct tg_session s;
        struct tg_error err;
        setenv("TRITGATE_FAKE_GPU", manners[i], 1);
        if (tg_session_open(&options, &s, &err) < 0 ||
            tg_model_check_products(&s, &check, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(strstr(check.reason, " by fake differs") != NULL, i > 1);
        assert_int_equal(check.checked, 4 * 12 * (256 + 128 + 128 + 256 + 512 + 512 + 256));
        tg_session_close(&s);
    }
    unsetenv("TRITGATE_FAKE_GPU");
}

/* Those of a product kernel that builds with stubs have: in batches only, ranges, or zeros, too. */
static void planted_errors_are_found(void **state)
{
    (void)state;
    static const char *const planted[] = {"stub_wrong", "stub_lanes", "stub_crowd", "stub_range",
                                          "stub_sparse"};
    int found = 0;
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) {
        const struct tg_kernel *kernel = tg_kernel_find(planted[i]);
        struct tg_session s;
        struct tg_error err;
        struct tg_model_check check = {.blocks = 4, .seed = 3, .batches = {8}};
        if (!kernel || !kernel->run || !kernel->here()) continue;
        open_with(&s, planted[i], 2);
        if (tg_model_check_products(&s, &check, &err) < 0) fail_msg("%s", err.text);
        if (!strstr(check.reason, planted[i])) fail_msg("%s passes", planted[i]);
        tg_session_close(&s);
        found++;
    }
    if (!found) skip(); /* this build has no stubs */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_kernels_are_right_on_every_matrix),
        cmocka_unit_test(a_matrix_that_was_packed_wrong_is_found_by_its_name),
        cmocka_unit_test(what_lies_on_a_device_is_checked_there),
        cmocka_unit_test(planted_errors_are_found),
    };
    return cmocka_run_group_tests(tests, tiny_make, tiny_drop);
}
