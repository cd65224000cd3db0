/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/forecast.h"
#include "coordinator/noise.h"
#include "coordinator/walk.h"

/*
 * Whether what is said of open tests comes true: tests whose truth and noise are drawn are followed
 * by the processes that decide, and at some rounds, where they are open, it is foretold how many
 * more they need.
 */

enum { MOST_ROUNDS = 2000, TESTS = 1000, LOOKS = 4 };

static const double FLOOR = 0.0198026272961797;  /* ln 1.02 */
static const double MARGIN = 0.0487901641694320; /* ln 1.05 */
static const size_t looks[LOOKS] = {3, 6, 12, 24};
static const int nobody[MOST_ROUNDS]; /* the one node, the one run */

struct tally {
    size_t said, early, late; /* sooner than the range begins, later than it ends */
    double log_width;
};

/* A test, of which most are clean, some slower, and some in between. */
struct drawn {
    struct tg_noise noise;
    double theta, size; /* of the noise */
};

static struct drawn draw(const struct tg_noise_law *law, const struct tg_noise_record *record,
                         uint64_t seed)
{
    static const double effects[] = {0, 0, 0, 0, 0, 0, .02, .035, .05, .10};
    uint64_t state = tg_noise_seed(seed, (uint64_t)strlen(law->name));
    double theta = log1p(effects[(size_t)(10 * tg_noise_uniform(&state))]);
    double sd = 0.004 * pow(15, tg_noise_uniform(&state));
    struct drawn test = {.theta = theta, .size = record ? sd : 1};
    tg_noise_begin(&test.noise, law, record, sd, false, state);
    return test;
}

/* Follows one test to its end, and counts what was said on the way. */
static void follow(struct drawn *test, struct tally tallies[LOOKS])
{
    static double values[MOST_ROUNDS]; /* each is drawn when its round comes */
    const struct tg_walk_path path = {.values = values,
                                      .nodes = nobody,
                                      .sessions = nobody,
                                      .count = MOST_ROUNDS,
                                      .sign = 1,
                                      .floor = FLOOR};
    struct tg_outlook o = {0, FLOOR, MARGIN, log(1200), log(100), 5};
    struct tg_interval said[LOOKS];
    struct tg_walk *walk = tg_walk_begin(&path);
    size_t round = 0, look = 0;
    assert_non_null(walk);
    while (round < MOST_ROUNDS) {
        values[round++] = test->theta + test->size * tg_noise_next(&test->noise);
        tg_walk_step(walk);
        const struct tg_student *units = tg_walk_student(walk);
        double log_fail = tg_walk_log_fail(walk);
        double log_clean = units->mean < MARGIN ? tg_walk_log_student(walk, MARGIN) : 0;
        if (tg_stats_is_over(log_fail, o.log_fail_line)) break;
        if (units->rounds >= 5 && tg_stats_is_over(log_clean, o.log_clean_line)) break;
        if (look == LOOKS || round != looks[look]) continue;
        o.sd = fmax(tg_forecast_sd(values, round, 0.01), tg_forecast_sd(values, round, 0));
        said[look] = tg_forecast_rest(&o, units, log_fail);
        said[look].low = ceil(said[look].low * (double)round / (double)units->rounds);
        said[look].high = ceil(said[look].high * (double)round / (double)units->rounds);
        look++;
    }
    for (size_t i = 0; i < look; i++) {
        double took = (double)(round - looks[i]);
        assert_true(said[i].low >= 1 && said[i].low <= said[i].high);
        tallies[i].said++;
        tallies[i].early += took < said[i].low;
        tallies[i].late += took > said[i].high;
        tallies[i].log_width += log(said[i].high / said[i].low);
    }
    tg_walk_end(walk);
}

static void assert_right(const char *law, size_t rounds, const struct tally *t, double most_early)
{
    double said = (double)t->said, early = (double)t->early, late = (double)t->late;
    double width = exp(t->log_width / said);
    printf("%-9s after %2zu rounds: %4zu open, %.2f in the range, %.2f sooner, %.2f later, "
           "%.1f times wide\n",
           law, rounds, t->said, 1 - (early + late) / said, early / said, late / said, width);
    if (early > most_early * said || late > 0.1 * said || width > 12)
        fail_msg("%s, %zu rounds", law, rounds);
}

static void look_at_law(const struct tg_noise_law *law, const struct tg_noise_record *record,
                        double most_early)
{
    struct tally tallies[LOOKS] = {{0}};
    for (uint64_t i = 0; i < TESTS; i++) {
        struct drawn test = draw(law, record, i);
        follow(&test, tallies);
    }
    for (size_t i = 0; i < LOOKS; i++) assert_right(law->name, looks[i], &tallies[i], most_early);
}

static void what_is_said_comes_true_in_most_cases(void **state)
{
    (void)state;
    static const char *const names[] = {"normal", "skewed", "t3", "ar1", "drift"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        look_at_law(tg_noise_find(names[i]), NULL, 0.2);
}

/* The median of a line of loaded_noise.txt: round, side, and turn:time of each sample. */
static double read_side(char *line)
{
    double times[64];
    size_t count = 0;
    for (char *at = strchr(line, ':'); at && count < 64; at = strchr(at + 1, ':'))
        times[count++] = strtod(at + 1, NULL);
    assert_true(count > 0);
    return tg_stats_median(times, count);
}

/* D of each round that was recorded beside two busy processes, in terms of their spread. */
static void read_loaded(struct tg_noise_record *record)
{
    double values[64], square = 0;
    size_t count = 0;
    char line[1024];
    FILE *file = fopen(TG_TEST_DATA "/loaded_noise.txt", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        if (*line == '#') continue;
        double head = read_side(line);
        assert_true(count < 64 && fgets(line, sizeof line, file));
        values[count++] = log(head / read_side(line));
    }
    fclose(file);
    assert_int_equal(count, 40);
    assert_int_equal(tg_noise_record_add(record, values, count, NULL), 0);
    for (size_t i = 0; i < count; i++) square += record->values[i] * record->values[i];
    for (size_t i = 0; i < count; i++) record->values[i] /= sqrt(square / (double)count);
}

/* A few wild rounds among many quiet ones make it sooner than was said, seldom later. */
static void what_is_said_on_a_busy_machine_comes_true(void **state)
{
    (void)state;
    struct tg_noise_record record = {0};
    read_loaded(&record);
    look_at_law(tg_noise_find("recorded"), &record, 0.5);
    tg_noise_record_release(&record);
}

/* Fewer rounds than the policy's least, and than E+ can double in, decide nothing. */
static void of_the_first_rounds_the_least_is_said(void **state)
{
    (void)state;
    const struct tg_outlook o = {.01, FLOOR, MARGIN, log(1200), log(100), 5};
    const struct tg_outlook late = {.01, FLOOR, MARGIN, log(1200), log(100), 50};
    struct tg_student seen = {0};
    assert_true(tg_forecast_rest(&o, &seen, 0).low == 5);
    assert_true(tg_forecast_rest(&late, &seen, 0).low == 11);
    tg_sequential_student_add(&seen, 0);
    assert_true(tg_forecast_rest(&o, &seen, 0).low == 4);
    assert_true(tg_forecast_rest(&o, &seen, 0).high == INFINITY);
    tg_sequential_student_add(&seen, 0.001);
    assert_true(isfinite(tg_forecast_rest(&o, &seen, 0).high));
}

/* On the line of a rule that has no room between its lines nothing need ever be decided. */
static void what_lies_on_the_line_may_never_be_decided(void **state)
{
    (void)state;
    const struct tg_outlook o = {.01, 0, 0, log(1200), log(100), 5};
    struct tg_student seen = {0};
    for (int i = 0; i < 20; i++) tg_sequential_student_add(&seen, i % 2 ? 0.01 : -0.01);
    const struct tg_interval rest = tg_forecast_rest(&o, &seen, 0);
    assert_true(rest.low > 10 && rest.high > 1e6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_said_comes_true_in_most_cases),
        cmocka_unit_test(what_is_said_on_a_busy_machine_comes_true),
        cmocka_unit_test(of_the_first_rounds_the_least_is_said),
        cmocka_unit_test(what_lies_on_the_line_may_never_be_decided),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
