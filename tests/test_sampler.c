/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/sampler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Limits and times are powers of two, so that every number is exact. */
#define UNIT 0x1p-20

static struct tg_limits limits(void)
{
    struct tg_limits l;
    tg_record_init(&tg_limits_type, &l);
    l.sample_s = 256 * UNIT;
    l.round_s = 0x1p18 * UNIT;
    l.quads_min = 5;
    l.quads_max = 100;
    return l;
}

static void calls_and_quads_follow_from_the_time_of_a_call(void **state)
{
    (void)state;
    static const struct {
        double call[2]; /* in units */
        int same_kernel;
        int64_t calls[2], quads;
    } rows[] = {
        /* A sample of 256 units is 4 calls of 64, each with an untimed one: 320 units, 4 a quad. */
        {{64, 64}, 1, {4, 4}, 100},
        {{64, 64}, 0, {4, 4}, 100},
        /* 262144 / (2 * 2 * 2048 + 2 * 2 * 2048) = 16 quads of one call each. */
        {{2048, 2048}, 1, {1, 1}, 16},
        {{2049, 2049}, 1, {1, 1}, 15},
        /* Few calls fit: never fewer than quads_min. */
        {{0x1p18, 0x1p18}, 1, {1, 1}, 5},
        /* 256 / 100 is rounded up. */
        {{100, 100}, 0, {3, 3}, 100},
        {{256, 256}, 0, {1, 1}, 100},
        {{255, 255}, 0, {2, 2}, 85},
        /* The same kernel: the faster side decides for both. Another: each for itself. */
        {{32, 128}, 1, {8, 8}, 91},
        {{128, 32}, 1, {8, 8}, 91},
        {{32, 128}, 0, {8, 2}, 100},
        {{0x1p-10, 0x1p18}, 0, {262144, 1}, 5},
        {{0x1p-20, 0x1p-20}, 1, {1000000, 1000000}, 100},
        /* One side: a quad is four samples of it; 262144 / (4 * 2 * 2048) = 16. */
        {{2048, 0}, 0, {1, 0}, 16},
        {{0x1p18, 0}, 0, {1, 0}, 5},
        {{0x1p19, 0}, 0, {1, 0}, 1}, /* alone, it is compared with nothing */
    };
    const struct tg_limits l = limits();
    const double none[] = {0, 0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const double call_s[] = {rows[i].call[0] * UNIT, rows[i].call[1] * UNIT};
        struct tg_sampling plan = tg_sampler_plan(&l, call_s, none, rows[i].same_kernel, 1);
        if (plan.calls[0] != rows[i].calls[0] || plan.calls[1] != rows[i].calls[1] ||
            plan.quads != rows[i].quads)
            fail_msg("row %zu: %lld and %lld calls, %lld quads", i, (long long)plan.calls[0],
                     (long long)plan.calls[1], (long long)plan.quads);
    }
}

/* A device is kept busy around each sample: a round of it has fewer quads, not more seconds. */
static void what_a_sample_takes_besides_its_calls_counts(void **state)
{
    (void)state;
    const struct tg_limits l = limits();
    const double call_s[] = {64 * UNIT, 64 * UNIT};
    /* 262144 / (2 * 320 + 2 * 320 + 2 * 15104) = 8, and with both sides so long less than 5. */
    const double one[] = {15104 * UNIT, 0}, both[] = {15104 * UNIT, 15104 * UNIT};
    assert_int_equal(tg_sampler_plan(&l, call_s, one, 1, 1).quads, 8);
    assert_int_equal(tg_sampler_plan(&l, call_s, one, 1, 1).calls[0], 4);
    assert_int_equal(tg_sampler_plan(&l, call_s, both, 1, 1).quads, 5);
}

/* A round is killed at its deadline: that of 1024 * 1024 units has half of them for its samples. */
static void what_takes_long_gets_as_many_quads_as_fit(void **state)
{
    (void)state;
    static const struct {
        double call[2]; /* in units */
        int64_t quads;
        int blame;
    } rows[] = {
        {{0x1p14, 0x1p14}, 4, -1}, /* 524288 / (8 * 16384) */
        {{0x1p14, 0}, 4, -1},      /* alone likewise */
        {{0x1p15, 0x1p15}, 2, -1}, {{0x1p16, 0x1p16}, 1, -1},
        {{0x1p17, 0x1p17}, 1, -1}, /* it fits at all */
        {{0x1p18, 0x1p18}, 1, -1}, /* none does, whoever is to blame */
        {{0x1p18, 0}, 1, -1},      {{0x1p18, 0x1p17}, 1, 0},
        {{0x1p10, 0x1p20}, 1, 1},
    };
    struct tg_limits l = limits();
    const double none[] = {0, 0};
    l.deadline_s = 0x1p20 * UNIT;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const double call_s[] = {rows[i].call[0] * UNIT, rows[i].call[1] * UNIT};
        struct tg_sampling plan = tg_sampler_plan(&l, call_s, none, 0, 1);
        bool fits = rows[i].call[0] + rows[i].call[1] <= 0x1p18 && rows[i].call[0] <= 0x1p17;
        if (plan.quads != rows[i].quads || (plan.quad_s <= l.deadline_s) != fits ||
            (!fits && tg_sampler_blame(&l, call_s, none, 0, 1) != rows[i].blame))
            fail_msg("row %zu: %lld quads of %g units", i, (long long)plan.quads,
                     plan.quad_s / UNIT);
    }
}

/* A whole model has none: its quads take half as long where a sample is one call. */
static void only_calls_that_are_made_count(void **state)
{
    (void)state;
    struct tg_limits l = limits();
    const double none[] = {0, 0}, both[] = {2048 * UNIT, 2048 * UNIT};
    const double uneven[] = {0x1p20 * UNIT, 0x1p17 * UNIT};
    assert_int_equal(tg_sampler_plan(&l, both, none, 1, 1).quads, 16);
    assert_int_equal(tg_sampler_plan(&l, both, none, 1, 0).quads, 32);
    l.deadline_s = 0x1.8p19 * UNIT; /* between four calls of the faster side and eight */
    assert_int_equal(tg_sampler_blame(&l, uneven, none, 0, 1), -1);
    assert_int_equal(tg_sampler_blame(&l, uneven, none, 0, 0), 0);
}

static void a_call_that_takes_no_time_is_repeated_often(void **state)
{
    (void)state;
    const struct tg_limits l = limits();
    const double call_s[] = {0, 0};
    struct tg_sampling plan = tg_sampler_plan(&l, call_s, call_s, 0, 1);
    assert_int_equal(plan.calls[0], 1000000);
    assert_int_equal(plan.quads, 5);
}

static void every_quad_is_abba_or_baab_by_a_fair_coin(void **state)
{
    (void)state;
    enum { QUADS = 10000 };
    static uint8_t order[4 * QUADS];
    uint64_t seed = 3;
    int baab = 0, changes = 0;
    tg_sampler_draw(&seed, QUADS, 2, order);
    for (int q = 0; q < QUADS; q++) {
        const uint8_t *quad = order + 4 * q;
        assert_true(quad[0] <= 1 && quad[3] == quad[0]);
        assert_true(quad[1] == 1 - quad[0] && quad[2] == quad[1]);
        baab += quad[0];
        if (q > 0) changes += quad[0] != quad[-4];
    }
    /* 5000, less or more than four standard deviations of 50. */
    assert_in_range(baab, 4800, 5200);
    assert_in_range(changes, 4800, 5200);
}

static void a_draw_is_repeated_by_its_seed_and_moves_it_on(void **state)
{
    (void)state;
    uint8_t first[400], again[400], next[400];
    uint64_t seed = 12, same = 12;
    tg_sampler_draw(&seed, 100, 2, first);
    tg_sampler_draw(&same, 100, 2, again);
    assert_memory_equal(first, again, sizeof first);
    assert_true(seed == same && seed != 12);
    tg_sampler_draw(&seed, 100, 2, next);
    assert_memory_not_equal(first, next, sizeof first);
}

static void one_side_alone_is_drawn_without_a_coin(void **state)
{
    (void)state;
    uint8_t order[40], zeros[40] = {0};
    uint64_t seed = 12;
    memset(order, 9, sizeof order);
    tg_sampler_draw(&seed, 10, 1, order);
    assert_memory_equal(order, zeros, sizeof order);
    memset(order, 9, sizeof order);
    tg_sampler_draw(&seed, 0, 2, order);
    assert_int_equal(order[0], 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_and_quads_follow_from_the_time_of_a_call),
        cmocka_unit_test(what_a_sample_takes_besides_its_calls_counts),
        cmocka_unit_test(what_takes_long_gets_as_many_quads_as_fit),
        cmocka_unit_test(only_calls_that_are_made_count),
        cmocka_unit_test(a_call_that_takes_no_time_is_repeated_often),
        cmocka_unit_test(every_quad_is_abba_or_baab_by_a_fair_coin),
        cmocka_unit_test(a_draw_is_repeated_by_its_seed_and_moves_it_on),
        cmocka_unit_test(one_side_alone_is_drawn_without_a_coin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
