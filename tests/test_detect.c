/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "kernels/detect.h"
#include "kernels/fill.h"

enum { ROWS = 256, COLS = 512, SIZE = ROWS * COLS };

static int8_t ternary[SIZE], scratch[SIZE];
static uint8_t packed[sizeof(float) * SIZE];

static uint64_t bit(const char *name)
{
    for (size_t i = 0; i < tg_format_count(); i++) {
        if (strcmp(tg_format_at(i)->name, name) == 0) return UINT64_C(1) << i;
    }
    fail_msg("no format '%s'", name);
    return 0;
}

enum unlike { UNLIKE_COLUMNS, UNLIKE_ROWS };

/* Columns, or rows, with a zero in every second to every ninth weight, in no order. */
static void fill_unlike(enum unlike which)
{
    uint64_t state = 11;
    unsigned shares[COLS];

    for (int i = 0; i < COLS; i++) shares[i] = 2 + (unsigned)(tg_fill_next(&state) % 8);
    for (int i = 0; i < SIZE; i++) {
        const uint64_t drawn = tg_fill_next(&state) >> 8;
        const unsigned share = shares[which == UNLIKE_ROWS ? i / COLS : i % COLS];
        const int8_t sign = drawn >> 40 & 1 ? 1 : -1;
        ternary[i] = (int8_t)(drawn % share == 0 ? 0 : sign);
    }
}

static int64_t pack_as(const char *name)
{
    const struct tg_format *format = tg_format_find(name);

    format->pack(ternary, ROWS, COLS, packed);
    return format->packed_bytes(ROWS, COLS);
}

static uint64_t possible_as(const char *name)
{
    return tg_detect_possible(packed, pack_as(name), ROWS, COLS, scratch);
}

static void what_was_packed_is_always_possible(void **state)
{
    (void)state;
    tg_fill_ternary(1, ternary, SIZE);
    for (size_t i = 0; i < tg_format_count(); i++)
        assert_true(possible_as(tg_format_at(i)->name) >> i & 1);
}

/* Bytes of one are bytes of all of them: that is what makes files of type 36 dangerous. */
static void layouts_with_the_same_size_and_codes_are_all_possible(void **state)
{
    const uint64_t alike = bit("i2s") | bit("i2s64") | bit("i2sx4") | bit("qk256") | bit("panel");

    (void)state;
    tg_fill_ternary(2, ternary, SIZE);
    assert_int_equal(possible_as("i2s"), alike);
    assert_int_equal(possible_as("i2s64"), alike);
    assert_int_equal(possible_as("i2sx4"), alike);
    assert_null(tg_detect_only(alike));
    assert_null(tg_detect_only(0));
}

static void formats_that_have_a_size_or_codes_of_their_own_are_known_by_them(void **state)
{
    static const char *const own[] = {"tl1", "tl2", "tq1", "tq2", "bitnet32f16"};

    (void)state;
    tg_fill_ternary(3, ternary, SIZE);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        assert_ptr_equal(tg_detect_only(possible_as(own[i])), tg_format_find(own[i]));
}

static void one_code_3_rules_out_every_layout_of_type_36(void **state)
{
    (void)state;
    tg_fill_ternary(4, ternary, SIZE);
    const int64_t bytes = pack_as("i2s");
    packed[777] |= 0x30;
    assert_int_equal(tg_detect_possible(packed, bytes, ROWS, COLS, scratch), 0);
}

static void another_number_of_bytes_or_columns_rules_a_format_out(void **state)
{
    (void)state;
    tg_fill_ternary(5, ternary, SIZE);
    const int64_t bytes = pack_as("i2s");
    assert_int_equal(tg_detect_possible(packed, bytes - 1, ROWS, COLS, scratch), 0);

    tg_format_find("i2s64")->pack(ternary, 2, 64, packed); /* no group of 128, no four rows */
    assert_ptr_equal(tg_detect_only(tg_detect_possible(packed, 32, 2, 64, scratch)),
                     tg_format_find("i2s64"));
}

static void unlike_rows_or_columns_tell_four_rows_in_a_byte_from_groups(void **state)
{
    const uint64_t groups = bit("i2s") | bit("i2s64") | bit("qk256");
    const struct {
        const char *packed_as;
        uint64_t left;
    } known[] = {
        {"i2sx4", bit("i2sx4")}, {"panel", bit("panel")},
        {"i2s", groups},         {"i2s64", groups}, /* the order of columns is all that differs */
        {"qk256", groups},
    };

    (void)state;
    for (int which = UNLIKE_COLUMNS; which <= UNLIKE_ROWS; which++) {
        fill_unlike((enum unlike)which);
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            const uint64_t set = possible_as(known[i].packed_as);
            assert_int_equal(tg_detect_by_margins(set, packed, ROWS, COLS, 10, scratch),
                             known[i].left);
        }
    }
    assert_null(tg_detect_only(groups));
}

static void margins_that_are_alike_rule_nothing_out(void **state)
{
    uint64_t set;

    (void)state;
    tg_fill_ternary(6, ternary, SIZE);
    set = possible_as("i2sx4");
    assert_int_equal(tg_detect_by_margins(set, packed, ROWS, COLS, 10, scratch), set);
    memset(ternary, 0, SIZE);
    set = possible_as("i2sx4"); /* 0x55, in TL1 a row of 0, +1, 0, +1: no permutation of zeros */
    assert_true(set & bit("tl1"));
    assert_int_equal(tg_detect_by_margins(set, packed, ROWS, COLS, 10, scratch), set);
    memset(ternary, 1, SIZE);
    set = possible_as("i2s");
    assert_int_equal(tg_detect_by_margins(set, packed, ROWS, COLS, 0, scratch), set);
}

static void a_known_answer_tells_every_layout_apart(void **state)
{
    static const char *const alike[] = {"i2s", "i2s64", "i2sx4", "qk256", "panel"};
    int8_t activations[COLS];
    int32_t results[ROWS];

    (void)state;
    tg_fill_ternary(7, ternary, SIZE);
    tg_fill_int8(8, activations, COLS);
    for (int r = 0; r < ROWS; r++) {
        results[r] = 0;
        for (int c = 0; c < COLS; c++) results[r] += ternary[r * COLS + c] * activations[c];
    }
    for (size_t i = 0; i < sizeof alike / sizeof *alike; i++) {
        const uint64_t set = possible_as(alike[i]);
        assert_ptr_equal(tg_detect_only(tg_detect_by_answer(set, packed, ROWS, COLS, activations,
                                                            results, scratch)),
                         tg_format_find(alike[i]));
    }
    results[ROWS - 1]++;
    assert_int_equal(
        tg_detect_by_answer(bit("panel"), packed, ROWS, COLS, activations, results, scratch), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_packed_is_always_possible),
        cmocka_unit_test(layouts_with_the_same_size_and_codes_are_all_possible),
        cmocka_unit_test(formats_that_have_a_size_or_codes_of_their_own_are_known_by_them),
        cmocka_unit_test(one_code_3_rules_out_every_layout_of_type_36),
        cmocka_unit_test(another_number_of_bytes_or_columns_rules_a_format_out),
        cmocka_unit_test(unlike_rows_or_columns_tell_four_rows_in_a_byte_from_groups),
        cmocka_unit_test(margins_that_are_alike_rule_nothing_out),
        cmocka_unit_test(a_known_answer_tells_every_layout_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
