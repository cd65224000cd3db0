/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "kernels/format.h"

/* TL1 and TL2, which have indices into tables in place of weights. */

struct weight {
    int row, col, value;
};

struct byte {
    int at, value;
};

enum { MOST = 1024 * 4096 };

static int8_t ternary[MOST];
static uint8_t packed[MOST], golden[MOST];

static void set(const struct weight *weights, size_t count, int64_t rows, int64_t cols)
{
    memset(ternary, 0, (size_t)(rows * cols));
    for (size_t i = 0; i < count; i++)
        ternary[weights[i].row * cols + weights[i].col] = (int8_t)weights[i].value;
}

static void assert_packs(const char *name, int64_t rows, int64_t cols, const struct byte *bytes,
                         size_t count, int64_t size)
{
    const struct tg_format *format = tg_format_find(name);

    for (size_t i = 0; i < count; i++) golden[bytes[i].at] = (uint8_t)bytes[i].value;
    assert_int_equal(format->packed_bytes(rows, cols), size);
    format->pack(ternary, rows, cols, packed);
    assert_memory_equal(packed, golden, (size_t)size);
}

/* 33 x 16: two stripes of two blocks of 64 bytes; zeros are the index 4, 0x44. */
static void tl1_packs_to_the_bytes_of_its_drawing(void **state)
{
    static const struct weight weights[] = {{0, 0, 1},   {1, 2, -1},  {1, 3, 1},
                                            {15, 7, -1}, {16, 4, 1},  {16, 5, 1},
                                            {31, 8, -1}, {31, 9, -1}, {32, 15, 1}};
    static const struct byte bytes[] = {
        {0, 0x74},            /* 3 + 0 + 4 = 7, high */
        {1, 0x42},            /* -3 + 1 + 4 = 2, low */
        {16 + 15, 0x43},      /* columns 4 to 7 of the first 16 rows: -1 + 4 = 3, low */
        {32 + 16, 0x84},      /* columns 4 to 7 of the other 16 rows: 3 + 1 + 4 = 8, high */
        {64 + 32 + 15, 0x04}, /* the second block: -3 - 1 + 4 = 0, high */
        {192 + 16, 0x45},     /* the second stripe's second block: 1 + 4 = 5, low */
    };

    (void)state;
    set(weights, sizeof weights / sizeof *weights, 33, 16);
    memset(golden, 0x44, 256);
    assert_packs("tl1", 33, 16, bytes, sizeof bytes / sizeof *bytes, 256);
}

/*
 * 1024 x 4096 is published, in tiles of 256 x 128 and stripes of 32 rows: a block has 8 columns, a
 * stripe of a tile 16 blocks, a tile eight stripes, and 32 tiles lie side by side.
 */
static void a_published_shape_of_tl1_has_the_tiles_of_its_files(void **state)
{
    static const struct weight weights[] = {{70, 66, 1}, {200, 5, 1}, {1023, 4095, -1}};
    static const struct byte bytes[] = {
        {(2 * 16 + 8) * 64 + 6, 0x47},      /* stripe 2, block 8, row 70 - 64 */
        {(6 * 16 + 0) * 64 + 16 + 8, 0x54}, /* stripe 6, columns 4 to 7, row 200 - 192 */
        {1024 * 1024 - 1, 0x43},
    };

    (void)state;
    set(weights, sizeof weights / sizeof *weights, 1024, 4096);
    memset(golden, 0x44, 1024 * 1024);
    assert_packs("tl1", 1024, 4096, bytes, sizeof bytes / sizeof *bytes, 1024 * 1024);
}

static void indices_of_tl1_above_8_are_refused_with_their_position(void **state)
{
    const struct tg_format *tl1 = tg_format_find("tl1");

    (void)state;
    for (int index = 9; index < 16; index++) {
        memset(packed, 0x80, 256);
        packed[64 + 32 + 15] = (uint8_t)(index << 4); /* row 31, columns 8 and 9 */
        memset(ternary, 0x5a, 33 * 16);
        assert_int_equal(tl1->unpack(packed, 33, 16, ternary), 31 * 16 + 8);
        assert_int_equal(ternary[31 * 16 + 8], 0);
        assert_int_equal(ternary[31 * 16 + 9], 0);
        packed[16 + 15] = (uint8_t)index; /* row 15, columns 6 and 7 */
        assert_int_equal(tl1->unpack(packed, 33, 16, ternary), 15 * 16 + 6);
    }
    memset(packed, 0x80, 256);
    packed[128 + 1] = 0xff; /* row 33 is not there */
    assert_int_equal(tl1->unpack(packed, 33, 16, ternary), -1);
}

/*
 * 33 x 128: 96 columns in threes and 32 in twos, two stripes. Indices have 1024 bytes, signs 256,
 * twos 512, whose zeros are 0x44. In a block, rows 8 to 15 are bytes 16 to 23, and 16 to 23 are 8
 * to 15.
 */
static void tl2_packs_to_the_bytes_of_its_drawing(void **state)
{
    static const struct weight weights[] = {
        {0, 0, 1},    {8, 4, -1},   {8, 5, 1},  {16, 6, -1},   {16, 7, -1},  {16, 8, -1},
        {31, 95, -1}, {32, 24, -1}, {0, 96, 1}, {17, 127, -1}, {32, 100, 1}, {32, 101, -1},
    };
    static const struct byte bytes[] = {
        {0, 0x90},             /* v = 9, high */
        {16, 0x02},            /* row 8: v = -3 + 1 = -2, low */
        {1024 + 16 + 1, 0x20}, /* its sign: three 1, bit 15 - 2 = 13 of the word of row 8 */
        {32 + 8, 0xd0},        /* row 16, the second block: v = -13, high */
        {1024 + 1, 0x04},      /* its sign: three 2, the other 16 rows, bit 15 - 5 = 10 of word 0 */
        {15 * 32 + 31, 0x01},  /* row 31, the last block: v = -1, low */
        {1024 + 3 * 32 + 30, 0x01}, /* its sign: three 7, the other 16 rows, bit 0 of word 15 */
        {(16 + 4) * 32, 0x90},      /* the second stripe, block 4: v = -9, high */
        {1024 + (4 + 1) * 32 + 1, 0x80}, /* its sign: three 0 of block 1, bit 15 of word 0 */
        {1280, 0x74},                    /* 3 + 0 + 4 = 7, high */
        {1280 + 7 * 32 + 9, 0x43},       /* row 17, the last block: -1 + 4 = 3, low */
        {1280 + (8 + 1) * 32, 0x64},     /* the second stripe, block 1: 3 - 1 + 4 = 6, high */
    };

    (void)state;
    set(weights, sizeof weights / sizeof *weights, 33, 128);
    memset(golden, 0x00, 1280);
    memset(golden + 1280, 0x44, 512);
    assert_packs("tl2", 33, 128, bytes, sizeof bytes / sizeof *bytes, 1792);
}

/*
 * 1536 x 1536 is published, in tiles of 128 x 192: a stripe of a tile has 32 blocks of indices and
 * 8 of signs, a tile four stripes, and 8 tiles lie side by side. Signs begin at 1536 * 1536 / 6.
 */
static void a_published_shape_of_tl2_has_the_tiles_of_its_files(void **state)
{
    static const struct weight weights[] = {{33, 200, 1}, {33, 201, -1}, {1535, 1535, 1}};
    static const struct byte bytes[] = {
        {((1 * 4 + 1) * 32 + 1) * 32 + 1, 0x19},         /* tile 1, stripe 1, block 1: 1, and -9 */
        {393216 + ((1 * 4 + 1) * 8 + 0) * 32 + 3, 0x02}, /* three 3: bit 15 - 6 = 9 of word 1 */
        {393215, 0x01},
    };

    (void)state;
    set(weights, sizeof weights / sizeof *weights, 1536, 1536);
    memset(golden, 0x00, 1536 * 1536 * 5 / 24);
    assert_packs("tl2", 1536, 1536, bytes, sizeof bytes / sizeof *bytes, 1536 * 1536 * 5 / 24);
}

static void codes_of_tl2_that_no_weights_give_are_refused_with_their_position(void **state)
{
    static const struct {
        struct byte byte;
        int position;
    } invalid[] = {
        {{0, 0xe0}, 0},            /* 14 */
        {{16, 0x0f}, 8 * 128 + 3}, /* 15, row 8 */
        {{1024 + 1, 0x80}, 0},     /* -0 */
        {{1024 + 3 * 32 + 30, 0x01}, 31 * 128 + 93},
        {{1280, 0x94}, 96}, /* 9 in twos */
        {{1280 + 7 * 32 + 9, 0x4f}, 17 * 128 + 126},
    };
    const struct tg_format *tl2 = tg_format_find("tl2");

    (void)state;
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
        memset(packed, 0x00, 1280);
        memset(packed + 1280, 0x44, 512);
        packed[invalid[i].byte.at] = (uint8_t)invalid[i].byte.value;
        assert_int_equal(tl2->unpack(packed, 33, 128, ternary), invalid[i].position);
        assert_int_equal(ternary[invalid[i].position], 0);
    }
    memset(packed + 1280, 0x44, 512);
    packed[512 + 1] = packed[1280 + 256 + 1] = 0xff; /* row 33 is not there */
    assert_int_equal(tl2->unpack(packed, 33, 128, ternary), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tl1_packs_to_the_bytes_of_its_drawing),
        cmocka_unit_test(a_published_shape_of_tl1_has_the_tiles_of_its_files),
        cmocka_unit_test(indices_of_tl1_above_8_are_refused_with_their_position),
        cmocka_unit_test(tl2_packs_to_the_bytes_of_its_drawing),
        cmocka_unit_test(a_published_shape_of_tl2_has_the_tiles_of_its_files),
        cmocka_unit_test(codes_of_tl2_that_no_weights_give_are_refused_with_their_position),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
