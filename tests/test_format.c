/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "kernels/fill.h"
#include "kernels/format.h"

static void rows_are_found_by_their_names_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < tg_format_count(); i++) {
        assert_ptr_equal(tg_format_find(tg_format_at(i)->name), tg_format_at(i));
    }
    assert_null(tg_format_find("i2"));
    assert_null(tg_format_find(""));
}

/*
 * Two groups of 128 weights. The first is all 0 (code 1 in each field: 01010101 = 0x55) but for one
 * weight in each field; the second is one field after the other: -1, 0, +1, -1.
 */
static void i2s_packs_to_the_bytes_of_its_drawing(void **state)
{
    const struct tg_format *i2s = tg_format_find("i2s");
    int8_t ternary[256] = {0};
    uint8_t packed[64], golden[64];

    (void)state;
    ternary[0] = 1;    /* byte  0, bits 7-6: 10.. .... */
    ternary[33] = -1;  /* byte  1, bits 5-4: ..00 .... */
    ternary[66] = 1;   /* byte  2, bits 3-2: .... 10.. */
    ternary[127] = -1; /* byte 31, bits 1-0: .... ..00 */
    memset(ternary + 128, -1, 32);
    memset(ternary + 128 + 64, 1, 32);
    memset(ternary + 128 + 96, -1, 32);

    memset(golden, 0x55, 32);
    golden[0] = 0x95;
    golden[1] = 0x45;
    golden[2] = 0x59;
    golden[31] = 0x54;
    memset(golden + 32, 0x18, 32); /* 00 01 10 00 */

    assert_int_equal(i2s->packed_bytes(1, 256), 64);
    i2s->pack(ternary, 1, 256, packed);
    assert_memory_equal(packed, golden, sizeof golden);
    i2s->pack(ternary, 2, 128, packed); /* rows follow each other without padding */
    assert_memory_equal(packed, golden, sizeof golden);
}

static void a_float_a_weight_is_as_the_standard_says(void **state)
{
    static const int8_t ternary[3] = {-1, 0, 1};
    static const uint32_t f32[3] = {0xbf800000, 0, 0x3f800000};
    static const uint16_t f16[3] = {0xbc00, 0, 0x3c00}, bf16[3] = {0xbf80, 0, 0x3f80};
    static const struct {
        const char *name;
        const void *golden;
        size_t bytes;
    } formats[] = {{"f32", f32, sizeof f32}, {"f16", f16, sizeof f16}, {"bf16", bf16, sizeof bf16}};

    (void)state;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const struct tg_format *format = tg_format_find(formats[i].name);
        uint8_t packed[12];
        int8_t again[3];
        assert_int_equal(format->packed_bytes(1, 3), formats[i].bytes);
        format->pack(ternary, 1, 3, packed);
        assert_memory_equal(packed, formats[i].golden, formats[i].bytes);
        packed[formats[i].bytes / 3 * 2 - 1] ^= 0x80; /* a zero with a sign is none of them */
        assert_int_equal(format->unpack(packed, 1, 3, again), 1);
        packed[0] = 1;
        assert_int_equal(format->unpack(packed, 3, 1, again), 0);
    }
}

/* Packs and unpacks rows x cols, which leaves what follows the bytes and the weights as it was. */
static void assert_returns(const struct tg_format *format, int64_t rows, int64_t cols)
{
    enum { MOST = 70 * 2400, POISON = 0x5a };
    static int8_t ternary[MOST], again[MOST];
    static uint8_t packed[MOST];
    const int64_t bytes = format->packed_bytes(rows, cols);

    assert_in_range(rows * cols, 1, MOST - 1);
    assert_in_range(bytes, 1, MOST - 1);
    tg_fill_ternary((uint64_t)(rows + cols), ternary, (size_t)(rows * cols));
    memset(packed, POISON, sizeof packed);
    format->pack(ternary, rows, cols, packed);
    assert_int_equal(packed[bytes], POISON);
    memset(again, POISON, sizeof again);
    assert_int_equal(format->unpack(packed, rows, cols, again), -1);
    assert_memory_equal(again, ternary, (size_t)(rows * cols));
    assert_int_equal(again[rows * cols], POISON);
}

static void every_format_returns_what_it_packed(void **state)
{
    static const int64_t rows[] = {1, 2, 3, 5, 16, 31, 32, 33, 69};

    (void)state;
    for (size_t i = 0; i < tg_format_count(); i++) {
        const struct tg_format *format = tg_format_at(i);
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            for (int64_t n = 1; n <= 9; n++)
                assert_returns(format, rows[r], n * format->column_multiple);
        }
    }
}

static void code_3_of_i2s_is_refused_with_its_position(void **state)
{
    static const struct {
        int byte;
        uint8_t bits;
        int position;
    } invalid[] = {{0, 0xc0, 0}, {1, 0x30, 33}, {2, 0x0c, 66}, {31, 0x03, 127}, {33, 0xc0, 129}};
    const struct tg_format *i2s = tg_format_find("i2s");
    int8_t ternary[256];
    uint8_t packed[64];

    (void)state;
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
        memset(packed, 0, sizeof packed);
        packed[invalid[i].byte] = invalid[i].bits;
        assert_int_equal(i2s->unpack(packed, 2, 128, ternary), invalid[i].position);
        assert_int_equal(ternary[invalid[i].position], 0);
    }
}

static void the_first_invalid_code_is_first_by_weight_and_not_by_byte(void **state)
{
    int8_t ternary[128];
    uint8_t packed[32] = {0};

    (void)state;
    packed[0] = 0x03; /* weight 96 */
    packed[5] = 0x30; /* weight 37 */
    assert_int_equal(tg_format_find("i2s")->unpack(packed, 1, 128, ternary), 37);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_float_a_weight_is_as_the_standard_says),
        cmocka_unit_test(rows_are_found_by_their_names_only),
        cmocka_unit_test(i2s_packs_to_the_bytes_of_its_drawing),
        cmocka_unit_test(every_format_returns_what_it_packed),
        cmocka_unit_test(code_3_of_i2s_is_refused_with_its_position),
        cmocka_unit_test(the_first_invalid_code_is_first_by_weight_and_not_by_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
