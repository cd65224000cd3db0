/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Blocks that the GPU of a worker could not measure. */

#define AMPLE 1e9 /* seconds left */

static struct tg_queue *queue;

/* Workers that can run every block, each in a domain and on a GPU of its own. */
static void make(size_t blocks, size_t workers)
{
    queue = tg_queue_create(blocks, workers, 100, 1);
    assert_non_null(queue);
    for (size_t w = 0; w < workers; w++) {
        tg_queue_place(queue, w, (int)w);
        for (size_t b = 0; b < blocks; b++) tg_queue_allow(queue, b, w);
    }
}

static int end(void **state)
{
    (void)state;
    tg_queue_destroy(queue);
    queue = NULL;
    return 0;
}

/* A round of a worker: its block, or -1 if there is none for it. */
static int round_of(size_t worker)
{
    size_t block;
    int64_t round;
    if (!tg_queue_next(queue, worker, AMPLE, &block, &round)) return -1;
    tg_queue_done(queue, block, worker, 1);
    return (int)block;
}

static void a_block_goes_to_another_gpu(void **state)
{
    (void)state;
    make(1, 2);
    assert_int_equal(round_of(0), 0);
    tg_queue_avoid(queue, 0, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(round_of(0), -1);
        assert_int_equal(round_of(1), 0);
    }
}

static void other_blocks_stay(void **state)
{
    (void)state;
    bool seen = false;
    make(3, 2);
    tg_queue_avoid(queue, 1, 0);
    for (int i = 0; i < 9; i++) assert_int_not_equal(round_of(0), 1);
    for (int i = 0; i < 9; i++) seen = round_of(1) == 1 || seen;
    assert_true(seen);
}

static void it_comes_back_where_no_other_is_left(void **state)
{
    (void)state;
    make(1, 3);
    tg_queue_avoid(queue, 0, 0);
    tg_queue_lost(queue, 1, false);
    assert_int_equal(round_of(0), -1);
    tg_queue_avoid(queue, 0, 2); /* nobody could: anybody may */
    assert_int_equal(round_of(0), 0);
    assert_int_equal(round_of(2), 0);
    end(state);
    make(1, 2);
    tg_queue_avoid(queue, 0, 0);
    tg_queue_lost(queue, 1, false);
    assert_int_equal(round_of(0), 0);
}

static void parts_of_one_gpu_are_one(void **state)
{
    (void)state;
    make(1, 3);
    tg_queue_place_gpu(queue, 0, 7);
    tg_queue_place_gpu(queue, 1, 7);
    tg_queue_avoid(queue, 0, 0);
    assert_int_equal(round_of(1), -1);
    assert_int_equal(round_of(2), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        TEST(a_block_goes_to_another_gpu),
        TEST(other_blocks_stay),
        TEST(it_comes_back_where_no_other_is_left),
        TEST(parts_of_one_gpu_are_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
