/* SPDX-License-Identifier: Apache-2.0 */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_decides_nothing_gets_one_round_before_what_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
