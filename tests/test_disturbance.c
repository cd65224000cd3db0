/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/disturbance.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/noise.h"
#include "coordinator/rule.h"

/* Which rounds are disturbed, of rounds that have nothing but facts. */

static struct tg_limits limits;
static struct tg_facts facts;

/* A round that was sampled for half a second, with no limit and nothing known of its noise. */
static int begin(void **state)
{
    (void)state;
    tg_record_init(&tg_limits_type, &limits);
    tg_record_init(&tg_facts_type, &facts);
    facts.sampled_s = 0.5;
    return 0;
}

static unsigned causes(void)
{
    const struct tg_disturbance_facts taken = tg_disturbance_facts(&facts);
    return tg_disturbance_causes(&taken, &limits);
}

static void set(const char *limit, const char *most, const char *fact, const char *value)
{
    assert_int_equal(tg_record_set(&tg_limits_type, &limits, limit, most, NULL), 0);
    assert_int_equal(tg_record_set(&tg_facts_type, &facts, fact, value, NULL), 0);
}

static void a_fact_over_its_limit_disturbs(void **state)
{
    static const struct {
        const char *limit, *most, *fact, *at, *over;
        unsigned cause;
    } rows[] = {
        {"steal_share", "0.1", "own_steal_s", "0.05", "0.0501", TG_DISTURBANCE_steal},
        {"throttles_most", "0", "core_throttles", "0", "1", TG_DISTURBANCE_throttling},
        {"cpu_wait_share", "0.5", "cpu_wait_s", "0.25", "0.26", TG_DISTURBANCE_cores},
        {"memory_wait_share", "0", "memory_wait_s", "0", "1e-6", TG_DISTURBANCE_memory},
        {"io_wait_share", "0.2", "io_wait_s", "0.1", "0.11", TG_DISTURBANCE_disks},
        {"load_most", "1.5", "load", "1.5", "1.51", TG_DISTURBANCE_load},
    };
    assert_int_equal(sizeof rows / sizeof *rows, TG_DISTURBANCE_COUNT);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin(state);
        assert_int_equal(causes(), 0);
        set(rows[i].limit, rows[i].most, "rank", "1");
        assert_int_equal(causes(), 0); /* what is not known disturbs nothing */
        set(rows[i].limit, rows[i].most, rows[i].fact, rows[i].at);
        assert_int_equal(causes(), 0);
        set(rows[i].limit, rows[i].most, rows[i].fact, rows[i].over);
        if (causes() != 1u << rows[i].cause) fail_msg("%s: %x", rows[i].limit, causes());
        set(rows[i].limit, "none", rows[i].fact, rows[i].over);
        assert_int_equal(causes(), 0);
    }
}

static void a_share_of_an_unknown_time_is_unknown(void **state)
{
    (void)state;
    set("steal_share", "0.1", "own_steal_s", "5");
    assert_int_equal(causes(), 1u << TG_DISTURBANCE_steal);
    facts.sampled_s = NAN;
    assert_int_equal(causes(), 0);
    facts.sampled_s = 0;
    assert_int_equal(causes(), 0);
}

/* Whatever else is known of a round, and above all how long a call took, changes nothing. */
static void no_other_fact_changes_the_answer(void **state)
{
    (void)state;
    static const char *const names[] = {"sampled_s",  "own_steal_s",   "core_throttles",
                                        "cpu_wait_s", "memory_wait_s", "io_wait_s",
                                        "load"};
    set("steal_share", "0.1", "own_steal_s", "0.2");
    set("load_most", "3", "load", "2");
    unsigned before = causes();
    assert_int_equal(before, 1u << TG_DISTURBANCE_steal);
    for (size_t i = 0; i < tg_facts_type.field_count; i++) {
        const struct tg_field *field = &tg_facts_type.fields[i];
        bool is_looked_at = false;
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            is_looked_at = is_looked_at || strcmp(names[k], field->name) == 0;
        if (is_looked_at) continue;
        for (int value = 1; value <= 1000; value *= 10) {
            char text[16];
            snprintf(text, sizeof text, "%d", value);
            assert_int_equal(tg_record_set(&tg_facts_type, &facts, field->name, text, NULL), 0);
            if (causes() != before) fail_msg("%s", field->name);
        }
    }
}

static void rounds_are_counted_with_their_causes(void **state)
{
    (void)state;
    char text[300];
    struct tg_disturbed d = {0}, sum = {0};
    for (int i = 0; i < 30; i++) tg_disturbance_count(&d, 0);
    assert_string_equal(tg_disturbance_text(&d, text, sizeof text),
                        "0 of 30 rounds were disturbed and left out");
    for (int i = 0; i < 5; i++) tg_disturbance_count(&d, 1u << TG_DISTURBANCE_steal);
    tg_disturbance_count(&d, 1u << TG_DISTURBANCE_load | 1u << TG_DISTURBANCE_steal);
    assert_string_equal(tg_disturbance_text(&d, text, sizeof text),
                        "6 of 36 rounds were disturbed and left out: steal in 6, load in 1");
    tg_disturbance_add(&sum, &d);
    tg_disturbance_add(&sum, &d);
    assert_true(sum.seen == 72 && sum.rounds == 12);
    assert_int_equal(sum.causes[TG_DISTURBANCE_steal], 12);
    assert_int_equal(strlen(tg_disturbance_text(&d, text, 20)), 19);
}

static void repeats_and_their_share_are_bounded(void **state)
{
    (void)state;
    struct tg_disturbed d = {.seen = 10};
    limits.rounds_max = 64;
    limits.repeats_max = 4;
    static const struct {
        size_t disturbed;
        int64_t most;
        bool is_over;
    } rows[] = {{0, 64, false}, {3, 67, false}, {5, 68, false}, {6, 68, true}, {10, 68, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        d.rounds = rows[i].disturbed;
        assert_int_equal(tg_disturbance_rounds_max(&d, &limits), rows[i].most);
        assert_int_equal(tg_disturbance_is_over(&d, &limits), rows[i].is_over);
    }
    d = (struct tg_disturbed){0};
    assert_false(tg_disturbance_is_over(&d, &limits));
}

/* Steal that comes in bursts, and noise that grows with it; returns the value of a round. */
static double draw_round(uint64_t *random, double *burst)
{
    *burst = 0.8 * *burst + 0.06 * tg_noise_uniform(random);
    facts.own_steal_s = *burst * tg_noise_uniform(random);
    double size = 0.003 + facts.own_steal_s * tg_noise_uniform(random);
    return log1p(0.02) + (tg_noise_uniform(random) < 0.5 ? -size : size);
}

/*
 * Looked at after each round, as a run does: the evidence against a build at the tolerance goes
 * over its line in at most alpha_fail of the series, with the disturbed rounds left out.
 */
static void leaving_them_out_leaves_the_error_rate_as_it_was(void **state)
{
    (void)state;
    enum { SERIES = 2000, ROUNDS = 40 };
    uint64_t random = 5;
    int over = 0, disturbed = 0;
    limits.steal_share = 0.15;
    for (int s = 0; s < SERIES; s++) {
        double kept[ROUNDS], burst = 0;
        bool is_over = false;
        struct tg_evidence evidence = {
            .limits = &limits, .required_count = 1, .values = kept, .is_brief = true};
        for (int r = 0; r < ROUNDS && !is_over; r++) {
            struct tg_verdict v = tg_rule_no_verdict();
            double value = draw_round(&random, &burst);
            disturbed += causes() != 0;
            if (causes()) continue;
            kept[evidence.count++] = value;
            is_over = tg_rule_follow(&evidence, 1, 0, log1p(0.02), log1p(0.05), &v).is_over;
        }
        over += is_over;
    }
    print_message("over: %d of %d, %.1f rounds disturbed of %d\n", over, SERIES,
                  (double)disturbed / SERIES, ROUNDS);
    assert_true(disturbed > 5 * SERIES);
    assert_true(over <= 0.01 * SERIES);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        TEST(a_fact_over_its_limit_disturbs),
        TEST(a_share_of_an_unknown_time_is_unknown),
        TEST(no_other_fact_changes_the_answer),
        TEST(rounds_are_counted_with_their_causes),
        TEST(repeats_and_their_share_are_bounded),
        TEST(leaving_them_out_leaves_the_error_rate_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
