/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "kernels/format.h"

/* The two formats of BitNet-rs, which keep weights in their order, the first in the low bits. */

static void qk256_packs_to_the_bytes_of_its_drawing(void **state)
{
    const struct tg_format *qk256 = tg_format_find("qk256");
    int8_t ternary[512] = {0};
    uint8_t packed[128], golden[128];

    (void)state;
    ternary[0] = 1;    /* byte  0, bits 1-0: .... ..10 */
    ternary[5] = -1;   /* byte  1, bits 3-2: .... 00.. */
    ternary[126] = 1;  /* byte 31, bits 5-4: ..10 .... */
    ternary[255] = -1; /* byte 63, bits 7-6: 00.. .... */
    memset(ternary + 256, 1, 128);
    memset(ternary + 384, -1, 128);

    memset(golden, 0x55, 64);
    golden[0] = 0x56;
    golden[1] = 0x51;
    golden[31] = 0x65;
    golden[63] = 0x15;
    memset(golden + 64, 0xaa, 32);
    memset(golden + 96, 0x00, 32);

    assert_int_equal(qk256->packed_bytes(2, 256), 128);
    qk256->pack(ternary, 2, 256, packed);
    assert_memory_equal(packed, golden, sizeof golden);
    qk256->pack(ternary, 1, 512, packed);
    assert_memory_equal(packed, golden, sizeof golden);
}

/* Codes are 1, 2 and 3; zeros are 0xaa. The scale is 1, as float16 0x3c00, low byte first. */
static void bitnet32f16_packs_to_the_bytes_of_its_drawing(void **state)
{
    static const uint8_t golden[20] = {
        0xab, 0xa6, 0xaa, 0xba, 0xaa, 0xaa, 0xaa, 0x6a, 0x00, 0x3c, /* 10101011, 10100110, ... */
        0xff, 0xff, 0xff, 0xff, 0x55, 0x55, 0x55, 0x55, 0x00, 0x3c,
    };
    const struct tg_format *bitnet32f16 = tg_format_find("bitnet32f16");
    int8_t ternary[64] = {0};
    uint8_t packed[20];

    (void)state;
    ternary[0] = 1;   /* byte 0, bits 1-0: .... ..11 */
    ternary[5] = -1;  /* byte 1, bits 3-2: .... 01.. */
    ternary[14] = 1;  /* byte 3, bits 5-4: ..11 .... */
    ternary[31] = -1; /* byte 7, bits 7-6: 01.. .... */
    memset(ternary + 32, 1, 16);
    memset(ternary + 48, -1, 16);

    assert_int_equal(bitnet32f16->packed_bytes(1, 64), 20);
    bitnet32f16->pack(ternary, 1, 64, packed);
    assert_memory_equal(packed, golden, sizeof golden);
    bitnet32f16->pack(ternary, 2, 32, packed);
    assert_memory_equal(packed, golden, sizeof golden);
}

static void code_3_of_qk256_is_refused_with_its_position(void **state)
{
    const struct tg_format *qk256 = tg_format_find("qk256");
    int8_t ternary[512];
    uint8_t packed[128] = {0};

    (void)state;
    packed[127] = 0xc0;
    assert_int_equal(qk256->unpack(packed, 2, 256, ternary), 511);
    packed[64] = 0x30;
    assert_int_equal(qk256->unpack(packed, 2, 256, ternary), 258);
    assert_int_equal(ternary[258], 0);
}

static void code_0_of_bitnet32f16_is_refused_and_scales_are_not_looked_at(void **state)
{
    const struct tg_format *bitnet32f16 = tg_format_find("bitnet32f16");
    int8_t ternary[64];
    uint8_t packed[20];

    (void)state;
    memset(packed, 0xaa, sizeof packed);
    memset(packed + 8, 0x00, 2);
    assert_int_equal(bitnet32f16->unpack(packed, 2, 32, ternary), -1);
    packed[17] = 0x2a; /* the last of all */
    assert_int_equal(bitnet32f16->unpack(packed, 2, 32, ternary), 63);
    packed[1] = 0xa2;
    assert_int_equal(bitnet32f16->unpack(packed, 2, 32, ternary), 5);
    assert_int_equal(ternary[5], 0);
    assert_int_equal(ternary[63], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qk256_packs_to_the_bytes_of_its_drawing),
        cmocka_unit_test(bitnet32f16_packs_to_the_bytes_of_its_drawing),
        cmocka_unit_test(code_3_of_qk256_is_refused_with_its_position),
        cmocka_unit_test(code_0_of_bitnet32f16_is_refused_and_scales_are_not_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
