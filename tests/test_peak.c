/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fill.h"
#include "kernels/isa.h"
#include "kernels/kernel.h"
#include "kernels/peak.h"

enum { WORDS = 1031, COLUMNS = 16 * TG_PEAK_COLUMNS };

static void *lines(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(memory);
    return memory;
}

/* But those of devices, which measure their limits themselves. */
static void every_instruction_set_of_a_kernel_of_the_host_has_a_row(void **state)
{
    const struct tg_library *library = tritgate_kernels_v1();

    (void)state;
    for (uint64_t i = 0; i < library->kernel_count; i++) {
        const struct tg_kernel *kernel = &library->kernels[i];
        if (kernel->run && strcmp(kernel->device, "cpu") == 0)
            assert_non_null(tg_peak_find(kernel->isa));
    }
    for (size_t i = 0; i < tg_peak_count(); i++) {
        const struct tg_peak *peak = tg_peak_at(i);
        assert_ptr_equal(tg_peak_find(peak->isa), peak);
        assert_int_equal(peak->here(), tg_isa_find(peak->isa)->here());
        assert_true(*peak->how && peak->read && peak->write);
    }
    assert_null(tg_peak_find("avx"));
}

static void the_widest_is_the_last_that_is_here(void **state)
{
    const struct tg_peak *widest = tg_peak_widest();

    (void)state;
    assert_non_null(widest);
    assert_true(widest->here());
    if (tg_isa_find("avx2")->here()) {
        assert_non_null(widest->dot);
        assert_string_not_equal(widest->isa, "scalar");
    }
    if (tg_isa_find("avx512vnni")->here()) assert_memory_equal(widest->isa, "avx512", 6);
    assert_string_not_equal(widest->isa, "stub");
}

/* A word that is left out, or taken twice, changes the XOR. */
static void every_word_is_read_once(void **state)
{
    uint64_t *words = lines(WORDS * sizeof *words), seed = 7;

    (void)state;
    for (int i = 0; i < WORDS; i++) words[i] = tg_fill_next(&seed);
    for (size_t p = 0; p < tg_peak_count(); p++) {
        uint64_t wanted = 0;
        if (!tg_peak_at(p)->here()) continue;
        for (int64_t count = 0; count <= WORDS; count++) {
            if (tg_peak_at(p)->read(words, count) != wanted) {
                fail_msg("%s, %ld words", tg_peak_at(p)->isa, (long)count);
            }
            if (count < WORDS) wanted ^= words[count];
        }
    }
    free(words);
}

static void every_word_is_written_and_no_other(void **state)
{
    static const int64_t counts[] = {0, 1, 3, 4, 7, 8, 9, 31, 64, 65, WORDS - 1};
    uint64_t *words = lines(WORDS * sizeof *words);

    (void)state;
    for (size_t p = 0; p < tg_peak_count(); p++) {
        if (!tg_peak_at(p)->here()) continue;
        for (size_t k = 0; k < 2 * sizeof counts / sizeof *counts; k++) {
            const int64_t count = counts[k / 2];
            memset(words, 0, WORDS * sizeof *words);
            tg_peak_at(p)->write(words, count, UINT64_C(0x123456789abcdef1), k % 2);
            for (int64_t i = 0; i < WORDS; i++) {
                assert_true(words[i] == (i < count ? UINT64_C(0x123456789abcdef1) : 0));
            }
        }
    }
    free(words);
}

static int64_t plain_dot(const uint8_t codes[2][32], const int8_t *activations, int64_t columns,
                         int64_t passes)
{
    int64_t sum = 0;

    for (int64_t c = 0; c < columns; c++) {
        sum += (codes[0][c % 32] + codes[1][c % 32]) * activations[c];
    }
    return sum * passes;
}

/* Random values, and the largest sums of either sign. */
static void every_multiply_add_is_done_and_exact(void **state)
{
    static const int64_t columns[] = {TG_PEAK_COLUMNS, 4 * TG_PEAK_COLUMNS, COLUMNS};
    static const int64_t passes[] = {0, 1, 2, 5, 6, 21, 22, 333, 1000};
    int8_t *activations = lines(COLUMNS), ternary[2][32];
    uint8_t codes[2][32];

    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        tg_fill_ternary(1, ternary[0], sizeof ternary);
        tg_fill_int8(2, activations, COLUMNS);
        for (int i = 0; i < 64; i++) codes[i / 32][i % 32] = (uint8_t)(ternary[i / 32][i % 32] + 1);
        if (kind > 0) memset(codes, 2, sizeof codes);
        if (kind > 0) memset(activations, kind == 1 ? 127 : -127, COLUMNS);
        for (size_t p = 0; p < tg_peak_count(); p++) {
            const struct tg_peak *peak = tg_peak_at(p);
            if (!peak->here() || !peak->dot) continue;
            for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
                for (size_t k = 0; k < sizeof passes / sizeof *passes; k++) {
                    const int64_t wanted = plain_dot((const uint8_t(*)[32])codes, activations,
                                                     columns[c], passes[k]);
                    assert_true(peak->dot((const uint8_t(*)[32])codes, activations, columns[c],
                                          passes[k]) == wanted);
                }
            }
        }
    }
    free(activations);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_instruction_set_of_a_kernel_of_the_host_has_a_row),
        cmocka_unit_test(the_widest_is_the_last_that_is_here),
        cmocka_unit_test(every_word_is_read_once),
        cmocka_unit_test(every_word_is_written_and_no_other),
        cmocka_unit_test(every_multiply_add_is_done_and_exact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
