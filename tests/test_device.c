/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/fill.h"

enum { ROWS = 5, COLS = 256, BATCH = 2 };

static int8_t ternary[ROWS * COLS];
static _Alignas(64) int8_t activations[BATCH * COLS];
static _Alignas(64) uint8_t packed[ROWS * COLS];

static const struct tg_device *fake(void)
{
    const struct tg_device *device = tg_device_find("fake");
    if (!device) skip();
    unsetenv("TRITGATE_FAKE_GPU");
    return device;
}

static int fill(void **state)
{
    (void)state;
    tg_fill_ternary(1, ternary, sizeof ternary);
    tg_fill_int8(2, activations, sizeof activations);
    return 0;
}

static void a_device_is_found_by_its_name_and_the_host_has_none(void **state)
{
    (void)state;
    static const char *const names[] = {"cuda", "fake"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct tg_device *device = tg_device_find(names[i]); /* if it was built */
        if (device) assert_string_equal(device->name, names[i]);
    }
    assert_null(tg_device_find("cpu"));
    assert_null(tg_device_find(""));
}

static void a_call_gives_the_same_on_a_device_as_on_the_host(void **state)
{
    static const char *const names[] = {"i2s_scalar", "fake_product"};
    int32_t results[2][BATCH * ROWS];
    (void)state;
    fake();
    for (int i = 0; i < 2; i++) {
        const struct tg_kernel *kernel = tg_kernel_find(names[i]);
        struct tg_problem p = {.weights = packed,
                               .activations = activations,
                               .results = results[i],
                               .rows = ROWS,
                               .cols = COLS,
                               .batch = BATCH,
                               .row_begin = 1,
                               .row_end = ROWS};
        kernel->pack(ternary, ROWS, COLS, packed);
        memset(results[i], 0x5a, sizeof results[i]);
        assert_int_equal(tg_device_call(kernel, tg_op_find("product"), &p, NULL), 0);
    }
    assert_memory_equal(results[0], results[1], sizeof results[0]);
    assert_int_equal(results[1][0], 0x5a5a5a5a); /* row 0 was not asked for */
    assert_int_not_equal(results[1][1], 0x5a5a5a5a);
}

static void a_device_that_the_program_does_not_have_is_refused(void **state)
{
    struct tg_kernel kernel = *tg_kernel_find("i2s_scalar");
    struct tg_problem p = {0};
    struct tg_error err;
    (void)state;
    kernel.device = "abacus";
    assert_int_equal(tg_device_call(&kernel, tg_op_find("product"), &p, &err), -1);
    assert_string_equal(err.text, "this program has no device 'abacus'");
}

static void a_device_that_is_absent_or_full_says_so(void **state)
{
    const struct tg_device *device = fake();
    struct tg_facts facts = {0};
    struct tg_error err;
    void *opened, *memory;
    (void)state;
    setenv("TRITGATE_FAKE_GPU", "absent=1", 1);
    assert_int_equal(device->open(&facts, &opened, &err), -1);
    assert_string_equal(err.text, "there is no fake device");
    setenv("TRITGATE_FAKE_GPU", "memory_bytes=1000", 1);
    assert_int_equal(device->open(&facts, &opened, &err), 0);
    assert_int_equal(device->allocate(opened, 1000, &memory, &err), 0);
    assert_int_equal(device->allocate(opened, 1, &memory, &err), -1);
    assert_string_equal(err.text, "the fake device has no 1 bytes left");
    device->close(opened);
}

static void count_call(void *state, int64_t first, int64_t calls)
{
    int64_t *seen = state;
    seen[0] += calls;
    seen[1] = first + calls;
}

static void a_sample_is_an_untimed_call_and_the_timed_ones(void **state)
{
    const struct tg_device *device = fake();
    struct tg_facts facts = {0};
    int64_t seen[2] = {0, 0};
    const struct tg_device_work work = {count_call, seen};
    void *opened;
    (void)state;
    setenv("TRITGATE_FAKE_GPU", "clock_hz=1.5e9", 1);
    assert_int_equal(device->open(&facts, &opened, NULL), 0);
    struct tg_turn turn = device->time(opened, &work, 7, 10);
    assert_int_equal(seen[0], 11);
    assert_int_equal(seen[1], 18);
    assert_true(turn.seconds > 0 && turn.clock_hz == 1.5e9);
    device->close(opened);
}

/* A lower clock is one library's if its digest is named. */
static void manners_can_be_those_of_one_library_only(void **state)
{
    const struct tg_device *device = fake();
    struct tg_facts facts = {.library = "abcdef"};
    int64_t seen[2] = {0, 0};
    const struct tg_device_work work = {count_call, seen};
    void *opened;
    (void)state;
    setenv("TRITGATE_FAKE_GPU", "only=abc clock_hz=1.5e9", 1);
    assert_int_equal(device->open(&facts, &opened, NULL), 0);
    assert_true(device->time(opened, &work, 0, 1).clock_hz == 1.5e9);
    device->close(opened);
    setenv("TRITGATE_FAKE_GPU", "only=abd clock_hz=1.5e9", 1);
    assert_int_equal(device->open(&facts, &opened, NULL), 0);
    assert_true(device->time(opened, &work, 0, 1).clock_hz == 1.7e9);
    device->close(opened);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_is_found_by_its_name_and_the_host_has_none),
        cmocka_unit_test(a_call_gives_the_same_on_a_device_as_on_the_host),
        cmocka_unit_test(a_device_that_the_program_does_not_have_is_refused),
        cmocka_unit_test(a_device_that_is_absent_or_full_says_so),
        cmocka_unit_test(a_sample_is_an_untimed_call_and_the_timed_ones),
        cmocka_unit_test(manners_can_be_those_of_one_library_only),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
