/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/tiles.h"

/* 640 x 128, tiles of 320 x 64, stripes of 32 rows, blocks of 8 columns: 8 in a stripe of a tile.
 */
static void blocks_follow_each_other_as_the_header_says(void **state)
{
    static const struct {
        int row, col, block;
    } known[] = {
        {0, 0, 0},     {31, 7, 0},      {0, 8, 1}, {0, 63, 7}, /* a stripe of a tile */
        {32, 0, 8},    {319, 63, 79},                          /* its other stripes */
        {0, 64, 80},   {33, 72, 89},                           /* the tile to the right */
        {320, 0, 160}, {639, 127, 319},                        /* those below */
    };
    const struct tg_tiles t = {320, 64, 32};

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_int_equal(tg_tiles_block(&t, 128, 8, known[i].row, known[i].col), known[i].block);
}

static void published_shapes_have_their_tiles_and_others_the_smallest(void **state)
{
    struct tg_tiles t = tg_tiles_of_tl1(3200, 8640);

    (void)state;
    assert_int_equal(t.rows, 160);
    assert_int_equal(t.cols, 64);
    assert_int_equal(t.stripe, 32);
    t = tg_tiles_of_tl1(3200, 3200);
    assert_int_equal(t.stripe, 64);
    t = tg_tiles_of_tl2(1536, 1536);
    assert_int_equal(t.rows, 128);
    assert_int_equal(t.cols, 192);
    t = tg_tiles_of_tl1(4096, 14336);
    assert_int_equal(t.rows, 128);
    assert_int_equal(t.cols, 64);
    assert_int_equal(t.stripe, 64);
    assert_true(tg_tiles_are_published(4096, 14336) && !tg_tiles_are_published(2560, 6912));
    t = tg_tiles_of_tl1(8640, 3208);
    assert_int_equal(t.rows, 32);
    assert_int_equal(t.cols, 8);
    t = tg_tiles_of_tl2(2560, 6912);
    assert_int_equal(t.rows, 32);
    assert_int_equal(t.cols, 96);
}

static void every_published_tile_divides_its_shape(void **state)
{
    static const int64_t shapes[][2] = {
        {1536, 4096}, {1536, 1536},  {4096, 1536},  {3200, 8640}, {3200, 3200},
        {8640, 3200}, {14336, 4096}, {4096, 14336}, {1024, 4096}, {4096, 4096},
    };

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct tg_tiles one = tg_tiles_of_tl1(shapes[i][0], shapes[i][1]);
        const struct tg_tiles two = tg_tiles_of_tl2(shapes[i][0], shapes[i][1]);
        assert_true(one.rows > 32 && two.rows > 32); /* they are in the table */
        assert_int_equal(shapes[i][0] % one.rows, 0);
        assert_int_equal(shapes[i][1] % one.cols, 0);
        assert_int_equal(one.rows % one.stripe, 0);
        assert_int_equal(shapes[i][0] % two.rows, 0);
        assert_int_equal(two.rows % two.stripe, 0);
        assert_int_equal(shapes[i][1] % two.cols % 32, 0);
    }
}

/* 2560 = 26 * 96 + 64: 2496 columns in threes and 64 in twos. */
static void the_columns_of_tl2_are_threes_and_a_tail_of_twos(void **state)
{
    struct tg_tiles_tl2 d = tg_tiles_divide_tl2(64, 2560);

    (void)state;
    assert_int_equal(d.three_cols, 2496);
    assert_int_equal(d.two_cols, 64);
    assert_int_equal(d.signs, 64 * 416);
    assert_int_equal(d.tail, 64 * (416 + 104));
    assert_int_equal(d.bytes, 64 * (416 + 104 + 16));
    d = tg_tiles_divide_tl2(33, 32); /* only twos, rows of two stripes */
    assert_int_equal(d.three_cols, 0);
    assert_int_equal(d.bytes, 64 * 8);
    d = tg_tiles_divide_tl2(32, 96); /* only threes */
    assert_int_equal(d.two_cols, 0);
    assert_int_equal(d.bytes, 32 * (16 + 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_follow_each_other_as_the_header_says),
        cmocka_unit_test(published_shapes_have_their_tiles_and_others_the_smallest),
        cmocka_unit_test(every_published_tile_divides_its_shape),
        cmocka_unit_test(the_columns_of_tl2_are_threes_and_a_tail_of_twos),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
