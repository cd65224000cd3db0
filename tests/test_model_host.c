/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/model_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/tiny_model.h"

static const int32_t tokens[] = {5, 300, 7, 42, 9, 11, 2, 8, 77, 6};

enum { TOKENS = sizeof tokens / sizeof *tokens };

/* The tiny model on a device of these manners, which runs all tokens, `times` times, before it is
 * held against the host. */
static struct tg_model_host compared_so(const char *device, const char *manners, int times,
                                        bool is_complete)
{
    const struct tg_session_options options = {
        .path = tiny_path, .threads = 2, .context = 16, .batch = 4, .device = device};
    struct tg_model_host host = {.is_complete = is_complete, .draw = 7, .together = 4};
    struct tg_session s;
    struct tg_error err;
    if (!tg_forward_device_find(device)) skip();
    setenv("TRITGATE_FAKE_GPU", manners, 1);
    if (tg_session_open(&options, &s, &err) < 0) {
        print_message("%s\n", err.text);
        skip();
    }
    for (int i = 0; i < times; i++) {
        tg_session_rewind(&s, 0);
        if (tg_session_run(&s, tokens, TOKENS, &err) < 0) fail_msg("%s", err.text);
    }
    if (tg_model_host_compare(&s, tokens, TOKENS, &host, &err) < 0) fail_msg("%s", err.text);
    const int64_t positions = is_complete ? (s.network.layers + 1) * TG_MODEL_HOST_TOKENS + TOKENS
                                          : 2 * TG_MODEL_HOST_TOKENS;
    if (!*host.reason) assert_int_equal(host.checked, positions * s.network.vocabulary);
    if (tg_session_run(&s, tokens, TOKENS, &err) < 0) fail_msg("%s", err.text);
    tg_session_close(&s);
    unsetenv("TRITGATE_FAKE_GPU");
    return host;
}

static struct tg_model_host compared(const char *device, const char *manners, int times)
{
    return compared_so(device, manners, times, true);
}

static void every_block_and_all_of_them_are_compared(void **state)
{
    const struct tg_model_host host = compared(*state, "", 1);
    assert_string_equal(host.reason, "");
}

static void what_rounding_does_to_a_block_is_let_pass(void **state)
{
    (void)state;
    const struct tg_model_host host = compared("fake", "blurs=0.01", 0);
    assert_string_equal(host.reason, "");
}

static void a_block_that_is_off_is_named(void **state)
{
    (void)state;
    const struct tg_model_host host = compared("fake", "blurs=0.06", 0);
    if (!strstr(host.reason, "block 0 by itself, a cosine of 0.998")) fail_msg("'%s'", host.reason);
}

/* As where attention over more tokens than the first few is another one. */
static void a_text_that_goes_on_is_compared_to_its_end(void **state)
{
    (void)state;
    const struct tg_model_host host = compared("fake", "far=9", 0);
    if (!strstr(host.reason, "by itself, on a text that goes on, a cosine of "))
        fail_msg("'%s'", host.reason);
    assert_string_equal(compared("fake", "far=10", 0).reason, "");
}

static void else_one_block_and_all_of_them_are_compared(void **state)
{
    (void)state;
    assert_string_equal(compared_so("fake", "", 0, false).reason, "");
    const struct tg_model_host host = compared_so("fake", "scales=1.2", 0, false);
    if (!strstr(host.reason, "block 3 by itself, a cosine of ")) fail_msg("'%s'", host.reason);
}

static void logits_of_another_size_are_others(void **state)
{
    (void)state;
    static const char *const manners[] = {"scales=1000", "scales=1.2", "scales=0.8"};
    static const char *const sizes[] = {"and 1000 times", "and 1.2 times", "and 0.8 times"};
    for (int i = 0; i < 3; i++) {
        const struct tg_model_host host = compared("fake", manners[i], 0);
        if (!strstr(host.reason, "block 0 by itself, a cosine of 1.0") ||
            !strstr(host.reason, sizes[i]))
            fail_msg("%s: '%s'", manners[i], host.reason);
    }
    assert_string_equal(compared("fake", "scales=1.01", 0).reason, "");
}

/* The device gives other logits only behind so many calls, which a block by itself does not see. */
static void blocks_that_are_right_must_follow_each_other(void **state)
{
    (void)state;
    const struct tg_model_host host = compared("fake", "drift_after=8", 3);
    if (!strstr(host.reason, "all blocks, a cosine of ")) fail_msg("'%s'", host.reason);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"every_block_and_all_of_them_are_compared on fake",
         every_block_and_all_of_them_are_compared, NULL, NULL, (void *)"fake"},
        {"every_block_and_all_of_them_are_compared on cuda",
         every_block_and_all_of_them_are_compared, NULL, NULL, (void *)"cuda"},
        cmocka_unit_test(what_rounding_does_to_a_block_is_let_pass),
        cmocka_unit_test(a_block_that_is_off_is_named),
        cmocka_unit_test(a_text_that_goes_on_is_compared_to_its_end),
        cmocka_unit_test(else_one_block_and_all_of_them_are_compared),
        cmocka_unit_test(logits_of_another_size_are_others),
        cmocka_unit_test(blocks_that_are_right_must_follow_each_other),
    };
    return cmocka_run_group_tests(tests, tiny_make, tiny_drop);
}
