/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/queue.h"

/* Urgency 0 is of what decides nothing. */
static void what_decides_nothing_gets_one_round_before_what_does(void **state)
{
    (void)state;
    size_t block;
    int64_t round, rounds[4] = {0};
    struct tg_queue *q = tg_queue_create(4, 1, 3, 1);
    assert_non_null(q);
    for (size_t b = 0; b < 4; b++) {
        tg_queue_allow(q, b, 0);
        tg_queue_urge(q, b, b < 2 ? 0 : 2);
    }
    for (int i = 0; i < 8; i++) {
        assert_true(tg_queue_next(q, 0, 1e9, &block, &round));
        assert_int_equal(round, rounds[block]++);
        tg_queue_done(q, block, 0, 1);
    }
    for (size_t b = 0; b < 4; b++) assert_int_equal(rounds[b], b < 2 ? 1 : 3);
    assert_true(tg_queue_expected_s(q) == 4); /* one more of each */
    for (size_t b = 2; b < 4; b++) tg_queue_close(q, b);
    assert_true(tg_queue_next(q, 0, 1e9, &block, &round));
    assert_true(block < 2 && round == 1);
    tg_queue_destroy(q);
}

/* It has its number again, unless another worker has the block by now. */
static void a_round_that_was_not_begun_is_none(void **state)
{
    (void)state;
    size_t block;
    int64_t round;
    struct tg_queue *q = tg_queue_create(1, 2, 3, 1);
    assert_non_null(q);
    for (size_t w = 0; w < 2; w++) {
        tg_queue_place(q, w, (int)w);
        tg_queue_allow(q, 0, w);
    }
    assert_true(tg_queue_next(q, 0, 9, &block, &round));
    tg_queue_done(q, 0, 0, 2);
    for (int i = 0; i < 2; i++) {
        assert_true(tg_queue_next(q, 0, 9, &block, &round));
        assert_int_equal(round, 1);
        tg_queue_done(q, 0, 0, NAN);
        assert_false(tg_queue_is_out(q));
        assert_true(tg_queue_cost_s(q, 0) == 2);
    }
    assert_true(tg_queue_next(q, 0, 9, &block, &round));
    tg_queue_lost(q, 0, true);
    assert_true(tg_queue_next(q, 1, 9, &block, &round));
    assert_int_equal(round, 2);
    tg_queue_done(q, 0, 0, NAN);
    assert_true(tg_queue_is_out(q));
    tg_queue_done(q, 0, 1, 4);
    assert_true(tg_queue_next(q, 1, 9, &block, &round));
    assert_int_equal(round, 3);
    tg_queue_destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_decides_nothing_gets_one_round_before_what_does),
        cmocka_unit_test(a_round_that_was_not_begun_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
