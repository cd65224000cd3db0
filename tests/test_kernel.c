/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "kernels/format.h"
#include "kernels/isa.h"
#include "kernels/kernel.h"

static void the_library_says_what_it_is(void **state)
{
    const struct tg_library *library = tritgate_kernels_v1();

    (void)state;
    assert_int_equal(library->abi, TG_LIBRARY_ABI);
    assert_int_equal(library->problem_bytes, sizeof(struct tg_problem));
    assert_int_equal(library->kernel_bytes, sizeof(struct tg_kernel));
    assert_true(library->is_debug == 0 || library->is_debug == 1);
    assert_true(strlen(library->build) > 0);
    assert_true(library->kernel_count >= 2);
}

static void every_row_takes_from_the_other_tables(void **state)
{
    const struct tg_library *library = tritgate_kernels_v1();

    (void)state;
    for (uint64_t i = 0; i < library->kernel_count; i++) {
        const struct tg_kernel *kernel = &library->kernels[i];
        const struct tg_format *format = tg_format_find(kernel->format);
        const struct tg_isa *isa = tg_isa_find(kernel->isa);
        assert_non_null(tg_op_find(kernel->op));
        assert_non_null(format);
        assert_non_null(isa);
        assert_ptr_equal(kernel->pack, format->pack);
        assert_ptr_equal(kernel->packed_bytes, format->packed_bytes);
        assert_int_equal(kernel->column_multiple, format->column_multiple);
        assert_ptr_equal(kernel->here, isa->here);
        assert_string_equal(kernel->device, isa->device);
        assert_int_equal(kernel->run != NULL, isa->is_built);
        assert_true(strlen(kernel->source) > 0);
    }
}

static void kernels_are_found_by_their_names_only(void **state)
{
    const struct tg_library *library = tritgate_kernels_v1();

    (void)state;
    for (uint64_t i = 0; i < library->kernel_count; i++) {
        assert_ptr_equal(tg_kernel_find(library->kernels[i].name), &library->kernels[i]);
    }
    assert_non_null(tg_kernel_find("i2s_scalar"));
    assert_null(tg_kernel_find("i2s"));
    assert_null(tg_kernel_find(""));
}

static void stubs_are_all_there_or_none_is(void **state)
{
    static const char *const stubs[] = {
        "stub_twice", "stub_wrong",   "stub_crash", "stub_hang",     "stub_eats",   "stub_tires",
        "stub_stays", "stub_recalls", "stub_lanes", "stub_overflow", "stub_column", "stub_rows",
        "stub_tail",  "stub_layout",  "stub_away",  "stub_falls",    "stub_reads",  "stub_crowd",
        "stub_batch", "stub_tiles",   "stub_range"};

    (void)state;
    for (size_t i = 0; i < sizeof stubs / sizeof *stubs; i++) {
        assert_int_equal(tg_kernel_find(stubs[i]) != NULL, tg_isa_find("stub") != NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_library_says_what_it_is),
        cmocka_unit_test(every_row_takes_from_the_other_tables),
        cmocka_unit_test(kernels_are_found_by_their_names_only),
        cmocka_unit_test(stubs_are_all_there_or_none_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
