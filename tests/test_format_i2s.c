/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "kernels/fill.h"
#include "kernels/format.h"

/* The other two layouts of GGUF tensor type 36; that in groups of 128 is in test_format.c. */

/* Two groups: all 0 but for one weight in each field; then one field after the other. */
static void i2s64_packs_to_the_bytes_of_its_drawing(void **state)
{
    const struct tg_format *i2s64 = tg_format_find("i2s64");
    int8_t ternary[128] = {0};
    uint8_t packed[32], golden[32];

    (void)state;
    ternary[0] = 1;   /* byte  0, bits 7-6: 10.. .... */
    ternary[17] = -1; /* byte  1, bits 5-4: ..00 .... */
    ternary[34] = 1;  /* byte  2, bits 3-2: .... 10.. */
    ternary[63] = -1; /* byte 15, bits 1-0: .... ..00 */
    memset(ternary + 64, -1, 16);
    memset(ternary + 64 + 32, 1, 16);
    memset(ternary + 64 + 48, -1, 16);

    memset(golden, 0x55, 16);
    golden[0] = 0x95;
    golden[1] = 0x45;
    golden[2] = 0x59;
    golden[15] = 0x54;
    memset(golden + 16, 0x18, 16); /* 00 01 10 00 */

    assert_int_equal(i2s64->packed_bytes(1, 128), 32);
    i2s64->pack(ternary, 1, 128, packed);
    assert_memory_equal(packed, golden, sizeof golden);
    i2s64->pack(ternary, 2, 64, packed); /* rows follow each other without padding */
    assert_memory_equal(packed, golden, sizeof golden);
}

/* Rows of three columns: four in the first three bytes, two in the others. */
static void i2sx4_packs_to_the_bytes_of_its_drawing(void **state)
{
    static const int8_t ternary[6][3] = {
        {1, 0, -1}, {-1, 0, 1}, {0, 0, 1}, {1, 1, -1}, {-1, 1, 0}, {1, 0, -1},
    };
    static const uint8_t golden[6] = {
        0x86, /* 10 00 01 10 */
        0x56, /* 01 01 01 10 */
        0x28, /* 00 10 10 00 */
        0x25, /* 00 10, and two rows that are not there: 01 01 */
        0x95, /* 10 01 01 01 */
        0x45, /* 01 00 01 01 */
    };
    const struct tg_format *i2sx4 = tg_format_find("i2sx4");
    uint8_t packed[6];
    int8_t again[6][3];

    (void)state;
    assert_int_equal(i2sx4->packed_bytes(6, 3), 6);
    assert_int_equal(i2sx4->packed_bytes(4, 3), 3);
    i2sx4->pack(ternary[0], 6, 3, packed);
    assert_memory_equal(packed, golden, sizeof golden);

    packed[3] = 0x2f; /* the rows that are not there are not looked at */
    assert_int_equal(i2sx4->unpack(packed, 6, 3, again[0]), -1);
    assert_memory_equal(again, ternary, sizeof ternary);
}

static void code_3_is_refused_with_its_position(void **state)
{
    static const struct {
        const char *format;
        int byte;
        uint8_t bits;
        int position; /* of 8 rows of 64 columns */
    } invalid[] = {
        {"i2s64", 0, 0xc0, 0},    {"i2s64", 1, 0x30, 17},      {"i2s64", 17, 0x0c, 64 + 33},
        {"i2s64", 31, 0x03, 127}, {"i2sx4", 0, 0xc0, 0},       {"i2sx4", 1, 0x30, 64 + 1},
        {"i2sx4", 2, 0x0c, 130},  {"i2sx4", 64, 0x03, 7 * 64},
    };
    int8_t ternary[512];
    uint8_t packed[128];

    (void)state;
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
        const struct tg_format *format = tg_format_find(invalid[i].format);
        memset(packed, 0, sizeof packed);
        packed[invalid[i].byte] = invalid[i].bits;
        assert_int_equal(format->unpack(packed, 8, 64, ternary), invalid[i].position);
        assert_int_equal(ternary[invalid[i].position], 0);
    }
}

/* They have the same codes, so that nothing but the weights says which one was meant. */
static void each_layout_of_type_36_reads_other_weights_from_the_same_bytes(void **state)
{
    static const char *const names[] = {"i2s", "i2s64", "i2sx4"};
    static int8_t ternary[4 * 256], read[3][4 * 256];
    uint8_t packed[256];

    (void)state;
    tg_fill_ternary(36, ternary, sizeof ternary);
    tg_format_find("i2s")->pack(ternary, 4, 256, packed);
    for (int i = 0; i < 3; i++)
        assert_int_equal(tg_format_find(names[i])->unpack(packed, 4, 256, read[i]), -1);
    assert_memory_equal(read[0], ternary, sizeof ternary);
    assert_memory_not_equal(read[1], ternary, sizeof ternary);
    assert_memory_not_equal(read[2], ternary, sizeof ternary);
    assert_memory_not_equal(read[1], read[2], sizeof ternary);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(i2s64_packs_to_the_bytes_of_its_drawing),
        cmocka_unit_test(i2sx4_packs_to_the_bytes_of_its_drawing),
        cmocka_unit_test(code_3_is_refused_with_its_position),
        cmocka_unit_test(each_layout_of_type_36_reads_other_weights_from_the_same_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
