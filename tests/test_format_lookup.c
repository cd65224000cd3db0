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
 * 1024 x 4096 is published, in tiles of 128 x 64 and stripes of 64 rows: a block has 4 columns, a
 * stripe of a tile 16 blocks, a tile two stripes, and 64 tiles lie side by side.
 */
static void a_published_shape_of_tl1_has_the_tiles_of_its_files(void **state)
{
    static const struct weight weights[] = {{70, 66, 1}, {200, 5, 1}, {1023, 4095, -1}};
    static const struct byte bytes[] = {
        {((1 * 2 + 1) * 16 + 0) * 64 + 6, 0x47},  /* tile 1, its stripe 1, row 70 - 64 */
        {((64 * 2 + 1) * 16 + 1) * 64 + 8, 0x54}, /* tile 64, stripe 1, row 200 - 128 - 64 */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tl1_packs_to_the_bytes_of_its_drawing),
        cmocka_unit_test(a_published_shape_of_tl1_has_the_tiles_of_its_files),
        cmocka_unit_test(indices_of_tl1_above_8_are_refused_with_their_position),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
