/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "kernels/format.h"

/*
 * One row less than two panels, two steps of columns: 256 bytes, each 0x55 (four zeros) but for
 * those of a few weights.
 */
static void a_panel_packs_to_the_bytes_of_its_drawing(void **state)
{
    const struct tg_format *panel = tg_format_find("panel");
    static int8_t ternary[31 * 32], again[31 * 32];
    static const struct {
        int row, col, weight, byte;
        uint8_t bits;
    } golden[] = {
        {0, 0, 1, 0, 0x56},          /* .... ..10 */
        {0, 6, -1, 2, 0x51},         /* .... 00.. */
        {1, 9, 1, 5, 0x65},          /* ..10 .... */
        {15, 15, -1, 63, 0x15},      /* 00.. .... */
        {0, 16, -1, 64, 0x54},       /* the second step */
        {16, 0, 1, 128, 0x56},       /* the second panel */
        {30, 31, 1, 192 + 59, 0x95}, /* its last row, 14, in its second step */
    };
    uint8_t packed[256], wanted[256];

    (void)state;
    memset(wanted, 0x55, sizeof wanted);
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        ternary[golden[i].row * 32 + golden[i].col] = (int8_t)golden[i].weight;
        wanted[golden[i].byte] = golden[i].bits;
    }
    assert_int_equal(panel->packed_bytes(31, 32), sizeof packed);
    panel->pack(ternary, 31, 32, packed);
    assert_memory_equal(packed, wanted, sizeof packed);

    memset(packed + 192 + 60, 0xff, 4); /* row 31 is not there */
    assert_int_equal(panel->unpack(packed, 31, 32, again), -1);
    assert_memory_equal(again, ternary, sizeof ternary);
}

static void code_3_of_a_panel_is_refused_with_its_position(void **state)
{
    const struct tg_format *panel = tg_format_find("panel");
    int8_t ternary[17 * 16];
    uint8_t packed[128] = {0};

    (void)state;
    packed[64 + 1] = 0x0c; /* row 16, column 5 */
    assert_int_equal(panel->unpack(packed, 17, 16, ternary), 16 * 16 + 5);
    packed[4 * 3 + 2] = 0xc0; /* row 3, column 14 */
    assert_int_equal(panel->unpack(packed, 17, 16, ternary), 3 * 16 + 14);
    assert_int_equal(ternary[3 * 16 + 14], 0);
    assert_int_equal(ternary[16 * 16 + 5], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_panel_packs_to_the_bytes_of_its_drawing),
        cmocka_unit_test(code_3_of_a_panel_is_refused_with_its_position),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
