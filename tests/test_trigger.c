/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/trigger.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/fill.h"
#include "results/baseline.h"

#define MARGIN log(1.05)

static const double quiet[] = {-9.000, -9.002, -8.999, -9.001, -8.998};

static struct tg_trigger ask(const double *baseline, size_t count, double head)
{
    return tg_trigger_ask(baseline, count, &head, 1, MARGIN, 0.01);
}

static void the_statistic_is_that_of_the_formula(void **state)
{
    (void)state;
    struct tg_trigger asked = ask(quiet, 5, -8.995);
    /* The mean is -9, the sum of squares 1e-5, s = sqrt(2.5e-6); t(0.99, 4) of the tables. */
    assert_true(fabs(asked.difference - 0.005) < 1e-12);
    assert_true(fabs(asked.t - 0.005 / sqrt(2.5e-6 * 1.2)) < 1e-9);
    assert_true(fabs(asked.line - 3.746947) < 1e-6);
    assert_true(fabs(asked.bound - (0.005 + 3.746947 * sqrt(2.5e-6 * 1.2))) < 1e-8);
    const double heads[] = {-8.994, -8.996};
    struct tg_trigger two = tg_trigger_ask(quiet, 5, heads, 2, MARGIN, 0.01);
    assert_true(fabs(two.difference - 0.005) < 1e-12);
    assert_true(fabs(two.t - 0.005 / sqrt(2.5e-6 * 0.7)) < 1e-9);
}

static void head_where_the_baseline_was_is_quiet_and_slower_is_an_alarm(void **state)
{
    (void)state;
    static const double loud[] = {-9.00, -9.05, -8.95, -9.03, -8.97};
    static const double still[] = {-9, -9, -9};
    static const struct {
        const double *baseline;
        size_t count;
        double head;
        enum tg_trigger_answer answer;
    } rows[] = {{quiet, 5, -9.000, TG_TRIGGER_QUIET}, {quiet, 5, -9.200, TG_TRIGGER_QUIET},
                {quiet, 5, -8.995, TG_TRIGGER_QUIET}, {quiet, 5, -8.99, TG_TRIGGER_ALARM},
                {quiet, 5, -8.90, TG_TRIGGER_ALARM},  {loud, 5, -9.00, TG_TRIGGER_OPEN},
                {loud, 5, -8.90, TG_TRIGGER_OPEN},    {loud, 5, -8.50, TG_TRIGGER_ALARM},
                {loud, 5, -9.20, TG_TRIGGER_QUIET},   {quiet, 2, -9.001, TG_TRIGGER_OPEN},
                {quiet, 1, -9.000, TG_TRIGGER_OPEN},  {quiet, 0, -9.000, TG_TRIGGER_OPEN},
                {still, 3, -9, TG_TRIGGER_OPEN},      {still, 3, -8.99, TG_TRIGGER_ALARM},
                {still, 3, -9.01, TG_TRIGGER_QUIET},  {quiet, 5, NAN, TG_TRIGGER_OPEN}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum tg_trigger_answer answer = ask(rows[i].baseline, rows[i].count, rows[i].head).answer;
        if (answer != rows[i].answer) fail_msg("row %zu: %d", i, (int)answer);
    }
}

/* Twelve uniform numbers less their mean: near enough to normal for a chance of 1 %. */
static double normal(uint64_t *seed)
{
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += (double)(tg_fill_next(seed) >> 11) * 0x1p-53;
    return sum;
}

/*
 * With nothing changed an alarm comes as often as it may, and a slow-down of the margin is called
 * unchanged no oftener than that; where sessions differ by little, nearly all that is unchanged is
 * found so, and at the margin nearly all raises the alarm.
 */
static void its_two_errors_are_as_rare_as_promised(void **state)
{
    (void)state;
    enum { TRIES = 20000, SESSIONS = 10 };
    uint64_t seed = 5;
    int alarms = 0, quiets = 0, missed = 0, found = 0;
    for (int i = 0; i < TRIES; i++) {
        double sessions[SESSIONS];
        for (int s = 0; s < SESSIONS; s++) sessions[s] = 0.005 * normal(&seed);
        double head = 0.005 * normal(&seed);
        struct tg_trigger same = ask(sessions, SESSIONS, head);
        struct tg_trigger slower = ask(sessions, SESSIONS, head + MARGIN);
        alarms += same.answer == TG_TRIGGER_ALARM;
        quiets += same.answer == TG_TRIGGER_QUIET;
        missed += slower.answer == TG_TRIGGER_QUIET;
        found += slower.answer == TG_TRIGGER_ALARM;
    }
    assert_in_range(alarms, TRIES / 125, TRIES / 80);
    assert_true(missed <= TRIES / 80);
    assert_true(quiets > TRIES * 97 / 100);
    assert_true(found > TRIES * 99 / 100);
}

/*
 * Who does not agree with the runs before is not promoted, and another run is made: what is left
 * must scatter as head does. The law allows 1 %.
 */
static void promoting_what_agrees_hides_no_slow_down_of_the_margin(void **state)
{
    (void)state;
    enum { TRIES = 3000, MOST = 10 };
    static const struct {
        size_t sessions;
        double sd; /* between sessions, in margins */
    } rows[] = {{5, 0.5}, {5, 0.73}, {10, 0.5}, {10, 0.73}};
    uint64_t seed = 5;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int missed = 0;
        for (int try = 0; try < TRIES; try++) {
            struct tg_baseline_value values[MOST];
            struct tg_baseline_cell cell = {.canary = "none", .margin = MARGIN, .values = values};
            struct tg_baseline b = {.cells = &cell, .cell_count = 1};
            double taken[MOST];
            while (b.session_count < rows[i].sessions) {
                size_t n = b.session_count++;
                taken[n] = rows[i].sd * MARGIN * normal(&seed);
                values[n] = (struct tg_baseline_value){.value = taken[n]};
                cell.count = b.session_count;
                if (n > 0 && tg_baseline_agree(&b, NULL) < 0) cell.count = b.session_count = n;
            }
            double head = MARGIN + rows[i].sd * MARGIN * normal(&seed);
            missed += ask(taken, b.session_count, head).answer == TG_TRIGGER_QUIET;
        }
        if (missed > TRIES / 60) fail_msg("row %zu: %d of %d", i, missed, TRIES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_statistic_is_that_of_the_formula),
        cmocka_unit_test(head_where_the_baseline_was_is_quiet_and_slower_is_an_alarm),
        cmocka_unit_test(its_two_errors_are_as_rare_as_promised),
        cmocka_unit_test(promoting_what_agrees_hides_no_slow_down_of_the_margin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
