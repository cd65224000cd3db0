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

/*
 * Of zeros, n = 81 + 27 + 9 + 3 + 1 = 121 and the byte is 30976 / 243 = 127.4..., 128; in the last
 * four bytes, which have no fifth digit, n = 120 and 30720 / 243 = 126.4..., 127.
 */
static void tq1_packs_to_the_bytes_of_its_drawing(void **state)
{
    const struct tg_format *tq1 = tg_format_find("tq1");
    int8_t ternary[512] = {0};
    uint8_t packed[108], golden[108];

    (void)state;
    ternary[0] = 1;                /* byte  0: n = 121 + 81 = 202, 51712 / 243 = 212.8... */
    ternary[33] = -1;              /* byte  1: n = 121 - 27 = 94, 24064 / 243 = 99.02... */
    ternary[159] = 1;              /* byte 31: n = 122, 31232 / 243 = 128.5... */
    ternary[160] = -1;             /* byte 32: n = 121 - 81 = 40, 10240 / 243 = 42.1... */
    ternary[239] = -1;             /* byte 47: n = 120, 126.4... */
    ternary[240] = 1;              /* byte 48: n = 120 + 81 = 201, 51456 / 243 = 211.7... */
    ternary[255] = 1;              /* byte 51: n = 120 + 3 = 123, 31488 / 243 = 129.5... */
    memset(ternary + 256, 1, 256); /* n = 242, 61952 / 243 = 254.9...; last four 240, 252.8... */

    memset(golden, 128, 48);
    memset(golden + 48, 127, 4);
    golden[0] = 213;
    golden[1] = 100;
    golden[31] = 129;
    golden[32] = 43;
    golden[47] = 127;
    golden[48] = 212;
    golden[51] = 130;
    memset(golden + 54, 255, 48);
    memset(golden + 54 + 48, 253, 4);
    golden[52] = golden[106] = 0x00;
    golden[53] = golden[107] = 0x3c;

    assert_int_equal(tq1->packed_bytes(2, 256), 108);
    tq1->pack(ternary, 2, 256, packed);
    assert_memory_equal(packed, golden, sizeof golden);
    tq1->pack(ternary, 1, 512, packed);
    assert_memory_equal(packed, golden, sizeof golden);
}

/* 256 n / 243 rounded up misses 13 bytes; one is 20, between 18.96... of 18 and 20.02... of 19. */
static void bytes_of_tq1_that_no_weights_give_are_refused(void **state)
{
    const struct tg_format *tq1 = tg_format_find("tq1");
    int8_t ternary[512];
    uint8_t packed[108] = {0};
    int valid[2] = {0};

    (void)state;
    assert_int_equal(tq1->unpack(packed, 2, 256, ternary), -1);
    packed[54 + 32] = 20;
    assert_int_equal(tq1->unpack(packed, 2, 256, ternary), 256 + 160);
    assert_int_equal(ternary[256 + 160], 0);
    assert_int_equal(ternary[256 + 160 + 64], 0);
    packed[1] = 20;
    packed[48] = 2; /* n = 1: there is no fifth digit */
    assert_int_equal(tq1->unpack(packed, 2, 256, ternary), 1);
    packed[1] = 0;
    assert_int_equal(tq1->unpack(packed, 2, 256, ternary), 240);

    memset(packed, 0, sizeof packed);
    for (int byte = 0; byte < 256; byte++) {
        packed[7] = (uint8_t)byte;
        valid[0] += tq1->unpack(packed, 1, 256, ternary) == -1;
        packed[7] = 0;
        packed[50] = (uint8_t)byte;
        valid[1] += tq1->unpack(packed, 1, 256, ternary) == -1;
        packed[50] = 0;
    }
    assert_int_equal(valid[0], 243);
    assert_int_equal(valid[1], 81);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tq2_packs_to_the_bytes_of_its_drawing),
        cmocka_unit_test(code_3_of_tq2_is_refused_with_its_position_and_scales_are_not_looked_at),
        cmocka_unit_test(tq1_packs_to_the_bytes_of_its_drawing),
        cmocka_unit_test(bytes_of_tq1_that_no_weights_give_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
