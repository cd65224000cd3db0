/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/lease.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define WORKERS 3
#define BLOCKS  4

static struct tg_leases *leases;
static size_t block;
static double took_s;
static int times;

static int begin(void **state)
{
    (void)state;
    leases = tg_lease_create(WORKERS, BLOCKS);
    return leases ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    tg_lease_destroy(leases);
    tg_lease_destroy(NULL);
    return 0;
}

static void a_lease_is_as_long_as_all_deadlines_of_a_round(void **state)
{
    (void)state;
    struct tg_limits limits = {.deadline_s = 60, .make_s = 600, .silence_s = 20};
    assert_true(tg_lease_length(&limits, 1) == 800);
    assert_true(tg_lease_length(&limits, 2) == 1520);
}

static void a_round_that_comes_back_frees_its_worker(void **state)
{
    (void)state;
    assert_true(tg_lease_is_idle(leases, 1));
    tg_lease_give(leases, 1, 3, 100, 10);
    assert_false(tg_lease_is_idle(leases, 1));
    assert_true(tg_lease_is_idle(leases, 0));
    assert_true(tg_lease_return(leases, 1, 104, &block, &took_s));
    assert_int_equal(block, 3);
    assert_true(took_s == 4);
    assert_true(tg_lease_is_idle(leases, 1));
    assert_false(tg_lease_return(leases, 1, 105, &block, &took_s));
}

static void a_lease_ends(void **state)
{
    (void)state;
    assert_false(tg_lease_is_over(leases, 0, 1e9));
    tg_lease_give(leases, 0, 0, 100, 10);
    assert_false(tg_lease_is_over(leases, 0, 110));
    assert_true(tg_lease_is_over(leases, 0, 110.1));
    tg_lease_return(leases, 0, 111, &block, &took_s);
    assert_false(tg_lease_is_over(leases, 0, 112));
}

static void waiting_for_another_run_takes_nothing_of_a_lease(void **state)
{
    (void)state;
    tg_lease_give(leases, 0, 0, 100, 10);
    tg_lease_hold(leases, 0);
    assert_false(tg_lease_is_over(leases, 0, 5000));
    tg_lease_begin(leases, 0, 5000);
    assert_false(tg_lease_is_over(leases, 0, 5010));
    assert_true(tg_lease_is_over(leases, 0, 5011));
    assert_true(tg_lease_return(leases, 0, 5002, &block, &took_s));
    assert_true(took_s == 2);
}

static void a_lost_worker_is_lost_once_and_gets_nothing_more(void **state)
{
    (void)state;
    tg_lease_give(leases, 2, 1, 100, 10);
    assert_int_equal(tg_lease_lost_count(leases), 0);
    assert_true(tg_lease_lose(leases, 2, &block, &times));
    assert_int_equal(block, 1);
    assert_int_equal(times, 1);
    assert_false(tg_lease_lose(leases, 2, &block, &times));
    assert_int_equal(tg_lease_lost_count(leases), 1);
    /* What it says late is taken, and it stays lost. */
    assert_true(tg_lease_return(leases, 2, 200, &block, &took_s));
    assert_false(tg_lease_is_idle(leases, 2));
}

static void one_that_had_nothing_loses_no_block(void **state)
{
    (void)state;
    assert_true(tg_lease_lose(leases, 0, &block, &times));
    assert_int_equal(block, BLOCKS);
    assert_int_equal(times, 0);
}

static void a_block_knows_how_often_it_was_lost(void **state)
{
    (void)state;
    for (size_t w = 0; w < WORKERS; w++) {
        tg_lease_give(leases, w, 2, 100, 10);
        assert_true(tg_lease_lose(leases, w, &block, &times));
        assert_int_equal(times, w + 1);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_lease_is_as_long_as_all_deadlines_of_a_round),
        TEST(a_round_that_comes_back_frees_its_worker),
        TEST(a_lease_ends),
        TEST(waiting_for_another_run_takes_nothing_of_a_lease),
        TEST(a_lost_worker_is_lost_once_and_gets_nothing_more),
        TEST(one_that_had_nothing_loses_no_block),
        TEST(a_block_knows_how_often_it_was_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
