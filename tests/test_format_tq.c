/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "kernels/format.h"

/* The blocks of 256 of ggml. Scales are 1, as float16 0x3c00, low byte first. */

/* Two rows of one block: all 0 but for one weight in each field and half; then all -1 and +1. */
static void tq2_packs_to_the_bytes_of_its_drawing(void **state)
{
    const struct tg_format *tq2 = tg_format_find("tq2");
    int8_t ternary[512] = {0};
    uint8_t packed[132], golden[132];

    (void)state;
    ternary[0] = 1;    /* byte  0, bits 1-0: .... ..10 */
    ternary[33] = -1;  /* byte  1, bits 3-2: .... 00.. */
    ternary[95] = 1;   /* byte 31, bits 5-4: ..10 .... */
    ternary[128] = -1; /* byte 32, bits 1-0: .... ..00 */
    ternary[255] = -1; /* byte 63, bits 7-6: 00.. .... */
    memset(ternary + 256, -1, 128);
    memset(ternary + 384, 1, 128);

    memset(golden, 0x55, 64);
    golden[0] = 0x56;
    golden[1] = 0x51;
    golden[31] = 0x65;
    golden[32] = 0x54;
    golden[63] = 0x15;
    memset(golden + 66, 0x00, 32);
    memset(golden + 98, 0xaa, 32);
    golden[64] = golden[130] = 0x00;
    golden[65] = golden[131] = 0x3c;

    assert_int_equal(tq2->packed_bytes(2, 256), 132);
    tq2->pack(ternary, 2, 256, packed);
    assert_memory_equal(packed, golden, sizeof golden);
    tq2->pack(ternary, 1, 512, packed);
    assert_memory_equal(packed, golden, sizeof golden);
}

static void code_3_of_tq2_is_refused_with_its_position_and_scales_are_not_looked_at(void **state)
{
    const struct tg_format *tq2 = tg_format_find("tq2");
    int8_t ternary[512];
    uint8_t packed[132] = {0};

    (void)state;
    packed[64] = packed[65] = packed[131] = 0xff;
    assert_int_equal(tq2->unpack(packed, 2, 256, ternary), -1);
    packed[66 + 32] = 0x0c; /* the second half of the second row, field 1 */
    assert_int_equal(tq2->unpack(packed, 2, 256, ternary), 256 + 160);
    assert_int_equal(ternary[256 + 160], 0);
    packed[31] = 0xc0;
    assert_int_equal(tq2->unpack(packed, 2, 256, ternary), 127);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tq2_packs_to_the_bytes_of_its_drawing),
        cmocka_unit_test(code_3_of_tq2_is_refused_with_its_position_and_scales_are_not_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
