/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/upload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/fill.h"

enum { ROWS = 4, COLS = 128, PACKED = ROWS * COLS / 4 };

static int8_t ternary[ROWS * COLS];
static _Alignas(64) int8_t activations[COLS];
static _Alignas(64) uint8_t packed[PACKED];
static _Alignas(64) int32_t results[ROWS];

static struct tg_upload_from from(struct tg_problem *p, int64_t over_bytes)
{
    *p = (struct tg_problem){.weights = packed,
                             .activations = activations,
                             .results = results,
                             .rows = ROWS,
                             .cols = COLS,
                             .batch = 1,
                             .row_end = ROWS};
    tg_fill_ternary(1, ternary, sizeof ternary);
    tg_fill_int8(2, activations, sizeof activations);
    tg_kernel_find("fake_product")->pack(ternary, ROWS, COLS, packed);
    return (struct tg_upload_from){.problem = p,
                                   .packed_bytes = PACKED,
                                   .activation_bytes = COLS,
                                   .result_bytes = sizeof results,
                                   .over_bytes = over_bytes};
}

static struct tg_upload made(const char *manners, int64_t over_bytes)
{
    struct tg_upload upload;
    struct tg_facts facts = {0};
    struct tg_problem p;
    struct tg_error err = {""};
    if (!tg_device_find("fake")) skip();
    setenv("TRITGATE_FAKE_GPU", manners, 1);
    const struct tg_upload_from what = from(&p, over_bytes);
    if (tg_upload_open(tg_kernel_find("fake_product"), &facts, &upload, &err) < 0 ||
        tg_upload_copy(&upload, &what, &facts, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(facts.gpu, "fake");
    assert_int_equal(facts.gpu_bytes, 256 * upload.count + 2 * COLS + (int64_t)sizeof results);
    return upload;
}

static void a_kernel_of_the_host_uploads_nothing(void **state)
{
    struct tg_upload upload;
    struct tg_facts facts = {0};
    (void)state;
    assert_int_equal(tg_upload_open(tg_kernel_find("i2s_scalar"), &facts, &upload, NULL), 0);
    assert_null(upload.device);
    tg_upload_close(&upload);
}

static void one_matrix_or_a_set_larger_than_asked_is_walked_in_turn(void **state)
{
    (void)state;
    struct tg_upload hot = made("", 0), stream = made("", 1000), two = made("", 1);
    assert_int_equal(hot.count, 1);
    assert_int_equal(stream.count, 1000 / PACKED + 1);
    assert_int_equal(two.count, 2);
    for (int64_t i = 1; i < stream.count; i++) {
        assert_int_equal((stream.walk[i] - stream.walk[i - 1]) % 256, 0);
        assert_memory_equal(stream.walk[i], packed, PACKED);
    }
    tg_upload_run(&stream, 3, 1);
    assert_ptr_equal(stream.problem.weights, stream.walk[3]);
    tg_upload_run(&stream, stream.count - 1, 2);
    assert_ptr_equal(stream.problem.weights, stream.walk[0]);
    tg_upload_close(&hot);
    tg_upload_close(&stream);
    tg_upload_close(&two);
}

static void small_matrices_take_a_cache_line_each(void **state)
{
    (void)state;
    struct tg_problem p;
    struct tg_facts facts = {0};
    struct tg_upload upload;
    struct tg_error err = {""};
    if (!tg_device_find("fake")) skip();
    struct tg_upload_from what = from(&p, 1000 * 128);
    what.packed_bytes = 1;
    if (tg_upload_open(tg_kernel_find("fake_product"), &facts, &upload, &err) < 0 ||
        tg_upload_copy(&upload, &what, &facts, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(upload.count, 1001);
    tg_upload_close(&upload);
}

static void results_are_those_of_the_last_call(void **state)
{
    int32_t wanted[ROWS];
    struct tg_problem reference;
    (void)state;
    struct tg_upload upload = made("", 0);
    from(&reference, 0);
    reference.results = wanted;
    tg_op_find("product")->reference(ternary, &reference, 0);
    assert_int_equal(tg_upload_poison(&upload, 0x5a, NULL), 0);
    assert_int_equal(tg_upload_fetch(&upload, results, NULL), 0);
    assert_int_equal(results[ROWS - 1], 0x5a5a5a5a);
    tg_upload_run(&upload, 0, 1);
    assert_int_equal(tg_upload_fetch(&upload, results, NULL), 0);
    assert_memory_equal(results, wanted, sizeof wanted);
    tg_upload_close(&upload);
}

static void a_call_reads_what_is_written_ahead_of_it_if_it_waits(void **state)
{
    static const char *const manners[] = {"", "hasty=1"};
    int32_t wanted[ROWS];
    struct tg_problem reference;
    (void)state;
    from(&reference, 0);
    reference.results = wanted;
    tg_op_find("product")->reference(ternary, &reference, 0);
    for (int i = 0; i < 2; i++) {
        struct tg_upload upload = made(manners[i], 0);
        assert_int_equal(tg_upload_relay(&upload, 0, 0x5a, NULL), 0);
        assert_int_equal(tg_upload_fetch(&upload, results, NULL), 0);
        assert_int_equal(memcmp(results, wanted, sizeof wanted) == 0, i == 0);
        tg_upload_run(&upload, 0, 1); /* they are as they were */
        assert_int_equal(tg_upload_fetch(&upload, results, NULL), 0);
        assert_memory_equal(results, wanted, sizeof wanted);
        tg_upload_close(&upload);
    }
}

static bool touches_results_when_put(const char *manners)
{
    bool touched = false;
    struct tg_upload upload = made(manners, 0);
    assert_int_equal(tg_upload_poison(&upload, 0x5a, NULL), 0);
    tg_upload_rehearse(&upload);
    assert_int_equal(tg_upload_fetch(&upload, results, NULL), 0);
    for (int i = 0; i < ROWS; i++) touched = touched || results[i] != 0x5a5a5a5a;
    tg_upload_close(&upload);
    return touched;
}

static void a_call_that_is_only_put_touches_nothing_in_its_stream(void **state)
{
    (void)state;
    assert_false(touches_results_when_put(""));
    assert_true(touches_results_when_put("strays=1"));
}

static void a_leak_is_found_to_the_byte_and_none_is_invented(void **state)
{
    (void)state;
    struct tg_upload tight = made("", 0), leaks = made("leak_bytes=65536", 0);
    assert_true(tg_upload_leak(&tight) == 0);
    assert_true(tg_upload_leak(&leaks) == 65536);
    tg_upload_close(&tight);
    tg_upload_close(&leaks);
}

/* A call takes the least there is, and a device shows the pieces only. */
static void a_small_leak_is_found_though_memory_is_given_out_in_pieces(void **state)
{
    (void)state;
    struct tg_upload leaks = made("leak_bytes=512 piece_bytes=2097152", 0);
    struct tg_upload tight = made("piece_bytes=2097152", 0);
    assert_true(tg_upload_leak(&leaks) > 0);
    assert_true(tg_upload_leak(&tight) == 0);
    tg_upload_close(&leaks);
    tg_upload_close(&tight);
}

static void a_set_that_does_not_fit_is_refused(void **state)
{
    struct tg_upload upload;
    struct tg_facts facts = {0};
    struct tg_problem p;
    struct tg_error err;
    (void)state;
    if (!tg_device_find("fake")) skip();
    setenv("TRITGATE_FAKE_GPU", "memory_bytes=1000", 1);
    const struct tg_upload_from what = from(&p, 5000);
    assert_int_equal(tg_upload_open(tg_kernel_find("fake_product"), &facts, &upload, &err), 0);
    assert_int_equal(tg_upload_copy(&upload, &what, &facts, &err), -1);
    assert_non_null(strstr(err.text, "bytes left"));
    tg_upload_close(&upload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kernel_of_the_host_uploads_nothing),
        cmocka_unit_test(one_matrix_or_a_set_larger_than_asked_is_walked_in_turn),
        cmocka_unit_test(small_matrices_take_a_cache_line_each),
        cmocka_unit_test(results_are_those_of_the_last_call),
        cmocka_unit_test(a_call_reads_what_is_written_ahead_of_it_if_it_waits),
        cmocka_unit_test(a_call_that_is_only_put_touches_nothing_in_its_stream),
        cmocka_unit_test(a_leak_is_found_to_the_byte_and_none_is_invented),
        cmocka_unit_test(a_small_leak_is_found_though_memory_is_given_out_in_pieces),
        cmocka_unit_test(a_set_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
