/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/isa.h"

static void rows_are_found_by_their_names_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < tg_isa_count(); i++) {
        assert_ptr_equal(tg_isa_find(tg_isa_at(i)->name), tg_isa_at(i));
    }
    assert_null(tg_isa_find("avx"));
    assert_null(tg_isa_find(""));
}

static void every_machine_has_scalar(void **state)
{
    const struct tg_isa *scalar = tg_isa_find("scalar");

    (void)state;
    assert_non_null(scalar);
    assert_true(scalar->is_built);
    assert_true(scalar->here());
    assert_string_equal(scalar->device, "cpu");
    assert_string_equal(scalar->processor, "any");
}

static void what_is_not_built_is_not_here(void **state)
{
    (void)state;
    for (size_t i = 0; i < tg_isa_count(); i++) {
        const struct tg_isa *isa = tg_isa_at(i);
        if (!isa->is_built) assert_false(isa->here());
    }
}

static void wider_sets_are_never_here_without_narrower(void **state)
{
    (void)state;
    if (tg_isa_find("avx512vnni")->here()) assert_true(tg_isa_find("avx2")->here());
    if (tg_isa_find("avx512vbmi")->here()) assert_true(tg_isa_find("avx512vnni")->here());
    if (tg_isa_find("avxvnni")->here()) assert_true(tg_isa_find("avx2")->here());
    if (tg_isa_find("cuda_sm90a")->here()) assert_true(tg_isa_find("cuda")->here());
    if (tg_isa_find("cublaslt")->here()) assert_true(tg_isa_find("cuda")->here());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_found_by_their_names_only),
        cmocka_unit_test(every_machine_has_scalar),
        cmocka_unit_test(what_is_not_built_is_not_here),
        cmocka_unit_test(wider_sets_are_never_here_without_narrower),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
