/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/queue.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define AMPLE 1e9 /* seconds left */

/* A queue whose workers can run every block, each in a domain of its own. */
static struct tg_queue *make(size_t blocks, size_t workers, int64_t rounds_min, uint64_t seed)
{
    struct tg_queue *q = tg_queue_create(blocks, workers, rounds_min, seed);
    assert_non_null(q);
    for (size_t w = 0; w < workers; w++) {
        tg_queue_place(q, w, (int)w);
        for (size_t b = 0; b < blocks; b++) tg_queue_allow(q, b, w);
    }
    return q;
}

/* The block that a worker is given, which must be one; it must be that round of it. */
static size_t given(struct tg_queue *q, size_t worker, int64_t round)
{
    size_t block = 99;
    int64_t number = -1;
    assert_true(tg_queue_next(q, worker, AMPLE, &block, &number));
    if (round >= 0) assert_int_equal(number, round);
    return block;
}

static void assert_idle(struct tg_queue *q, size_t worker)
{
    size_t block = 99;
    int64_t round = 99;
    assert_false(tg_queue_next(q, worker, AMPLE, &block, &round));
    assert_true(block == 99 && round == 99);
}

static void every_block_gets_its_least_rounds_first(void **state)
{
    (void)state;
    int rounds[7] = {0};
    struct tg_queue *q = make(7, 1, 3, 1);
    for (size_t b = 0; b < 7; b++) tg_queue_urge(q, b, (double)b);
    for (int i = 0; i < 21; i++) {
        size_t block = given(q, 0, i / 7);
        assert_int_equal(rounds[block]++, i / 7);
        tg_queue_urge(q, block, 1e6); /* urgency says nothing yet */
        tg_queue_done(q, block, 0, 1);
    }
    for (size_t b = 0; b < 7; b++) tg_queue_urge(q, b, (double)b);
    assert_int_equal(given(q, 0, 3), 6);
    tg_queue_destroy(q);
    tg_queue_destroy(NULL);
}

/* Writes the order in which two turns of 8 blocks are given. */
static void order_of(uint64_t seed, size_t order[16])
{
    struct tg_queue *q = make(8, 1, 2, seed);
    for (int i = 0; i < 16; i++) {
        order[i] = given(q, 0, i / 8);
        tg_queue_done(q, order[i], 0, 1);
    }
    tg_queue_destroy(q);
}

static void the_order_is_drawn_anew_each_turn_and_by_the_seed(void **state)
{
    (void)state;
    size_t one[16], again[16], other[16];
    order_of(5, one);
    order_of(5, again);
    order_of(6, other);
    assert_memory_equal(one, again, sizeof one);
    assert_memory_not_equal(one, other, sizeof one);
    assert_memory_not_equal(one, one + 8, sizeof one / 2);
}

static void then_the_most_urgent_is_next(void **state)
{
    (void)state;
    static const double urgencies[] = {0.5, 9, 0.1, 3};
    static const size_t order[] = {1, 3, 0, 2};
    struct tg_queue *q = make(4, 4, 0, 1);
    for (size_t b = 0; b < 4; b++) tg_queue_urge(q, b, urgencies[b]);
    for (size_t w = 0; w < 4; w++) assert_int_equal(given(q, w, 0), order[w]);
    tg_queue_destroy(q);
}

static void what_is_not_urgent_at_all_is_last(void **state)
{
    (void)state;
    struct tg_queue *q = make(3, 1, 5, 1);
    tg_queue_urge(q, 1, -1);
    for (int64_t i = 0; i < 20; i++) {
        size_t block = given(q, 0, -1);
        assert_int_not_equal(block, 1); /* even beyond the least rounds of the others */
        tg_queue_done(q, block, 0, 1);
    }
    tg_queue_close(q, 0);
    tg_queue_close(q, 2);
    assert_int_equal(given(q, 0, 0), 1);
    tg_queue_destroy(q);
}

static void nobody_gets_a_block_that_it_cannot_run(void **state)
{
    (void)state;
    struct tg_queue *q = tg_queue_create(3, 2, 2, 1);
    tg_queue_place(q, 0, 0);
    tg_queue_place(q, 1, 1);
    tg_queue_allow(q, 0, 0);
    tg_queue_allow(q, 2, 1);
    for (int64_t round = 0; round < 5; round++) {
        assert_int_equal(given(q, 0, round), 0);
        assert_int_equal(given(q, 1, round), 2);
        tg_queue_done(q, 0, 0, 1);
        tg_queue_done(q, 2, 1, 1);
    }
    tg_queue_close(q, 0);
    assert_idle(q, 0); /* block 1 is for nobody */
    tg_queue_destroy(q);
}

static void a_block_is_out_once_at_a_time(void **state)
{
    (void)state;
    struct tg_queue *q = make(1, 2, 5, 1);
    assert_false(tg_queue_is_out(q));
    assert_int_equal(given(q, 0, 0), 0);
    assert_true(tg_queue_is_out(q));
    assert_idle(q, 1);
    tg_queue_done(q, 0, 0, 1);
    assert_false(tg_queue_is_out(q));
    assert_int_equal(given(q, 1, 1), 0);
    tg_queue_destroy(q);
}

static void two_workers_of_one_domain_are_never_both_busy(void **state)
{
    (void)state;
    struct tg_queue *q = make(4, 3, 5, 1);
    for (size_t w = 0; w < 3; w++) tg_queue_place(q, w, w == 2 ? 7 : 4);
    size_t block = given(q, 0, 0);
    assert_idle(q, 1);
    assert_idle(q, 0);
    given(q, 2, 0);
    tg_queue_done(q, block, 0, 1);
    given(q, 1, 0);
    assert_idle(q, 0);
    tg_queue_destroy(q);
}

static void what_is_apart_waits_for_its_gpu_alone(void **state)
{
    (void)state;
    /* Workers 0, 1, 2 have GPUs 0, 0, 1 and worker 3 has none, all in one domain; block 0 is apart.
     */
    struct tg_queue *q = make(3, 4, 5, 1);
    for (size_t w = 0; w < 4; w++) tg_queue_place(q, w, 4);
    for (size_t w = 0; w < 3; w++) tg_queue_place_gpu(q, w, (int)w / 2);
    tg_queue_set_apart(q, 0);
    for (size_t b = 1; b < 3; b++) tg_queue_close(q, b);
    assert_int_equal(given(q, 0, 0), 0);
    for (size_t b = 1; b < 3; b++) tg_queue_urge(q, b, 0);
    assert_idle(q, 1);             /* its GPU is taken */
    size_t block = given(q, 3, 0); /* beside it, in the domain */
    assert_int_not_equal(block, 0);
    assert_idle(q, 2); /* which is taken, now, and the apart one is out */
    tg_queue_done(q, 0, 0, 1);
    assert_int_equal(given(q, 2, 1), 0); /* beside that */
    assert_idle(q, 0);
    tg_queue_done(q, block, 3, 1);
    assert_int_equal(given(q, 0, 0), 3 - block);
    assert_idle(q, 3);
    tg_queue_destroy(q);
}

static void no_round_is_given_whose_end_is_past_the_budget(void **state)
{
    (void)state;
    size_t block;
    int64_t round;
    struct tg_queue *q = make(2, 1, 5, 1);
    assert_false(tg_queue_next(q, 0, 0, &block, &round));
    assert_false(tg_queue_next(q, 0, -1, &block, &round));
    assert_true(tg_queue_next(q, 0, 0.5, &block, &round)); /* its cost is not known yet */
    tg_queue_done(q, block, 0, 4);
    size_t dear = block;
    assert_true(tg_queue_next(q, 0, 3.9, &block, &round));
    assert_int_not_equal(block, dear);
    tg_queue_done(q, block, 0, 2);
    tg_queue_close(q, block);
    assert_false(tg_queue_next(q, 0, 3.9, &block, &round));
    assert_true(tg_queue_next(q, 0, 4, &block, &round));
    assert_int_equal(block, dear);
    tg_queue_destroy(q);
}

static void a_closed_block_is_never_given_again(void **state)
{
    (void)state;
    struct tg_queue *q = make(2, 1, 5, 1);
    size_t block = given(q, 0, 0);
    tg_queue_close(q, block);
    tg_queue_done(q, block, 0, 1);
    for (int64_t i = 0; i < 8; i++) {
        assert_int_not_equal(given(q, 0, i), block);
        tg_queue_done(q, 1 - block, 0, 1);
    }
    tg_queue_close(q, 1 - block);
    assert_idle(q, 0);
    assert_true(tg_queue_expected_s(q) == 0);
    tg_queue_urge(q, block, 1); /* unless more of it is wanted after all */
    assert_int_equal(given(q, 0, 1), block);
    tg_queue_destroy(q);
}

/* Two blocks and two workers: each has either block in turn. */
static void the_rounds_of_a_block_come_from_all_workers(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct tg_queue *q = make(2, 2, 8, seed);
        size_t had[2][2] = {{0}};
        for (int turn = 0; turn < 8; turn++) {
            int64_t round;
            size_t block[2];
            for (size_t w = 0; w < 2; w++) {
                assert_true(tg_queue_next(q, w, 1e9, &block[w], &round));
                had[w][block[w]]++;
            }
            for (size_t w = 0; w < 2; w++) tg_queue_done(q, block[w], w, 1);
        }
        for (size_t w = 0; w < 2; w++) assert_true(had[w][0] == 4 && had[w][1] == 4);
        tg_queue_destroy(q);
    }
}

/* Workers 0 and 1 are of node 5, worker 2 of node 6. */
static void the_last_of_the_least_rounds_is_kept_for_another_node(void **state)
{
    (void)state;
    for (int lost = 0; lost < 2; lost++) {
        struct tg_queue *q = make(1, 3, 3, 1);
        for (size_t w = 0; w < 3; w++) tg_queue_place_node(q, w, w == 2 ? 6 : 5);
        for (int64_t round = 0; round < 2; round++) {
            assert_int_equal(given(q, (size_t)round, round), 0);
            tg_queue_done(q, 0, (size_t)round, 1);
        }
        assert_idle(q, 0);
        assert_idle(q, 1);
        if (lost) tg_queue_lost(q, 2, false); /* unless it is gone */
        given(q, lost ? 1 : 2, 2);
        tg_queue_done(q, 0, lost ? 1 : 2, 1);
        given(q, 0, 3);
        tg_queue_destroy(q);
    }
    /* Nothing is kept for a node that cannot run it, nor of what an earlier attempt began. */
    struct tg_queue *q = tg_queue_create(2, 2, 2, 1);
    tg_queue_allow(q, 0, 0);
    tg_queue_resume(q, 1, 1);
    for (size_t w = 0; w < 2; w++) tg_queue_allow(q, 1, w);
    for (int64_t i = 0; i < 3; i++) tg_queue_done(q, given(q, 0, -1), 0, 1);
    tg_queue_destroy(q);
}

/* One block takes four times as long as each of the others; two domains. */
static void what_takes_longest_is_begun_first_where_several_measure(void **state)
{
    (void)state;
    for (size_t workers = 1; workers <= 2; workers++) {
        struct tg_queue *q = make(4, workers, 3, 7);
        for (int i = 0; i < 4; i++) {
            size_t block = given(q, 0, 0); /* what is not known yet is looked at first */
            tg_queue_done(q, block, 0, block == 2 ? 4 : 1);
        }
        if (workers == 2) {
            assert_int_equal(given(q, 1, 1), 2);
            assert_int_not_equal(given(q, 0, 1), 2);
            tg_queue_done(q, 2, 1, 4);
            assert_int_equal(given(q, 1, 2), 2); /* before the second rounds of the others */
        } else {
            size_t seen = 0; /* one domain cannot be quicker: all in turn */
            for (int i = 0; i < 4; i++) {
                size_t block = given(q, 0, 1);
                seen |= (size_t)1 << block;
                tg_queue_done(q, block, 0, block == 2 ? 4 : 1);
            }
            assert_int_equal(seen, 15);
        }
        tg_queue_destroy(q);
    }
}

/* A farm that is played: blocks of unlike length, workers that answer when their time is over. */
struct play {
    struct tg_queue *q;
    double cost_s[40], due_s[8], now_s;
    int64_t rounds[40];
    size_t block[8], blocks, workers;
    bool busy[8];
};

static void start_all(struct play *p)
{
    int64_t round;
    for (size_t w = 0; w < p->workers; w++) {
        if (p->busy[w] || !tg_queue_next(p->q, w, AMPLE, &p->block[w], &round)) continue;
        p->busy[w] = true;
        p->due_s[w] = p->now_s + p->cost_s[p->block[w]];
    }
}

/* Goes on to the next answer; false when there is none. Blocks are closed after 6 rounds. */
static bool step(struct play *p)
{
    size_t first = p->workers;
    start_all(p);
    for (size_t w = 0; w < p->workers; w++)
        if (p->busy[w] && (first == p->workers || p->due_s[w] < p->due_s[first])) first = w;
    if (first == p->workers) return false;
    p->now_s = p->due_s[first];
    p->busy[first] = false;
    tg_queue_done(p->q, p->block[first], first, p->cost_s[p->block[first]]);
    if (++p->rounds[p->block[first]] == 6) tg_queue_close(p->q, p->block[first]);
    return true;
}

/* When it ends, told after each answer, and how it ended; costs differ up to 30 times. */
static void play(size_t blocks, size_t workers, uint64_t seed, double *told, size_t *steps,
                 double *ended_s)
{
    struct play p = {.blocks = blocks, .workers = workers};
    p.q = make(blocks, workers, 6, seed);
    for (size_t b = 0; b < blocks; b++) p.cost_s[b] = 1 + (double)(b * 7919 % 30);
    *steps = 0;
    while (step(&p)) told[(*steps)++] = p.now_s + tg_queue_expected_s(p.q);
    *ended_s = p.now_s;
    tg_queue_destroy(p.q);
}

static void the_time_left_is_told_right_once_all_were_seen(void **state)
{
    (void)state;
    double told[300], ended_s;
    size_t steps;
    for (size_t blocks = 1; blocks <= 40; blocks += 13) {
        for (size_t workers = 1; workers <= 8; workers *= 2) {
            play(blocks, workers, 3, told, &steps, &ended_s);
            assert_int_equal(steps, 6 * blocks);
            for (size_t i = blocks; i < steps; i++)
                if (fabs(told[i] - ended_s) > 0.15 * ended_s)
                    fail_msg("%zu blocks, %zu workers: %g told after %zu rounds, %g it was", blocks,
                             workers, told[i], i, ended_s);
        }
    }
}

/* No order can end before its longest block, or before all work is shared evenly. */
static void little_time_is_lost_in_the_end(void **state)
{
    (void)state;
    double told[300], ended_s;
    size_t steps;
    for (uint64_t seed = 1; seed < 20; seed++) {
        double all = 0, longest = 0;
        for (size_t b = 0; b < 40; b++) {
            all += 6 * (1 + (double)(b * 7919 % 30));
            longest = fmax(longest, 6 * (1 + (double)(b * 7919 % 30)));
        }
        play(40, 8, seed, told, &steps, &ended_s);
        assert_true(ended_s <= 1.1 * fmax(all / 8, longest));
    }
}

static void a_lost_worker_gets_nothing_and_its_block_is_given_again(void **state)
{
    (void)state;
    struct tg_queue *q = make(1, 2, 5, 1);
    tg_queue_place(q, 1, 1);
    assert_int_equal(given(q, 0, 0), 0);
    assert_idle(q, 1);
    tg_queue_lost(q, 0, false);
    assert_false(tg_queue_is_out(q));
    assert_idle(q, 0);
    assert_int_equal(given(q, 1, 1), 0); /* another round: the number of the lost one is gone */
    tg_queue_done(q, 0, 0, 1);           /* a word from the dead changes nothing */
    assert_true(tg_queue_is_out(q));
    tg_queue_done(q, 0, 1, 1);
    assert_int_equal(given(q, 1, 2), 0);
    tg_queue_destroy(q);
}

static void what_a_lost_worker_had_may_still_run_in_its_domain_unless_it_is_dead(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        bool had_one = i & 1, is_dead = i & 2;
        struct tg_queue *q = make(2, 3, 5, 1);
        tg_queue_place(q, 1, 0);
        tg_queue_place(q, 2, 1);
        size_t block = given(q, 0, 0);
        assert_idle(q, 1);
        if (!had_one) tg_queue_done(q, block, 0, 1);
        tg_queue_lost(q, 0, is_dead);
        if (had_one && !is_dead)
            assert_idle(q, 1);
        else
            given(q, 1, -1);
        given(q, 2, -1);
        tg_queue_destroy(q);
    }
}

static void numbers_go_on_where_an_earlier_attempt_ended(void **state)
{
    (void)state;
    struct tg_queue *q = make(2, 1, 3, 1);
    tg_queue_resume(q, 0, 3);
    tg_queue_resume(q, 1, 1);
    for (int64_t round = 1; round < 3; round++) {
        assert_int_equal(given(q, 0, round), 1);
        tg_queue_done(q, 1, 0, 1);
    }
    tg_queue_urge(q, 0, 2);
    assert_int_equal(given(q, 0, 3), 0);
    tg_queue_destroy(q);
}

static void what_is_expected_is_the_least_that_is_missing(void **state)
{
    (void)state;
    struct tg_queue *q = make(2, 1, 3, 1);
    assert_true(tg_queue_expected_s(q) == 0); /* nothing is known yet */
    size_t block = given(q, 0, 0);
    tg_queue_done(q, block, 0, 2);
    assert_true(tg_queue_expected_s(q) == 2 * 2 + 3 * 2);
    size_t other = given(q, 0, 0);
    tg_queue_done(q, other, 0, 0.5);
    assert_true(tg_queue_expected_s(q) == 2 * 2 + 2 * 0.5);
    tg_queue_close(q, block);
    for (int64_t i = 1; i < 9; i++) {
        given(q, 0, i);
        tg_queue_done(q, other, 0, 0.5);
    }
    assert_true(tg_queue_expected_s(q) == 0.5); /* an open block wants one more at least */
    tg_queue_destroy(q);
}

static void a_number_that_nobody_measures_is_given_to_no_round(void **state)
{
    (void)state;
    struct tg_queue *q = make(1, 1, 3, 1);
    assert_int_equal(given(q, 0, 0), 0);
    assert_int_equal(tg_queue_take_number(q, 0), 1);
    tg_queue_done(q, 0, 0, 1);
    assert_int_equal(given(q, 0, 2), 0);
    tg_queue_destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_block_gets_its_least_rounds_first),
        cmocka_unit_test(the_order_is_drawn_anew_each_turn_and_by_the_seed),
        cmocka_unit_test(then_the_most_urgent_is_next),
        cmocka_unit_test(what_is_not_urgent_at_all_is_last),
        cmocka_unit_test(nobody_gets_a_block_that_it_cannot_run),
        cmocka_unit_test(a_block_is_out_once_at_a_time),
        cmocka_unit_test(two_workers_of_one_domain_are_never_both_busy),
        cmocka_unit_test(what_is_apart_waits_for_its_gpu_alone),
        cmocka_unit_test(no_round_is_given_whose_end_is_past_the_budget),
        cmocka_unit_test(a_closed_block_is_never_given_again),
        cmocka_unit_test(the_rounds_of_a_block_come_from_all_workers),
        cmocka_unit_test(the_last_of_the_least_rounds_is_kept_for_another_node),
        cmocka_unit_test(what_takes_longest_is_begun_first_where_several_measure),
        cmocka_unit_test(the_time_left_is_told_right_once_all_were_seen),
        cmocka_unit_test(little_time_is_lost_in_the_end),
        cmocka_unit_test(a_lost_worker_gets_nothing_and_its_block_is_given_again),
        cmocka_unit_test(what_a_lost_worker_had_may_still_run_in_its_domain_unless_it_is_dead),
        cmocka_unit_test(numbers_go_on_where_an_earlier_attempt_ended),
        cmocka_unit_test(a_number_that_nobody_measures_is_given_to_no_round),
        cmocka_unit_test(what_is_expected_is_the_least_that_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
