/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/evidence.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/made_run.h"

static const char matrix[] = "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"],"
                             "\"kernel\": [\"i2s_avx2\", \"i2s_scalar\"],"
                             "\"layer\": [\"640x2560\"]}}";
static const char policy[] =
    "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": ["
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\", \"of\": \"head\","
    " \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05},"
    "{\"rule\": \"ratio\", \"metric\": \"call_time\", \"axis\": \"kernel\", \"of\": \"i2s_avx2\","
    " \"to\": \"i2s_scalar\", \"limit\": 1.5},"
    "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9},"
    "{\"rule\": \"ceiling\", \"metric\": \"call_time\", \"limit\": 1}]}";

static struct tg_plan plan;
static struct tg_run run;
static size_t pair, kernels, floor_test, ceiling;
static struct tg_rounds rounds;
static char reason[TG_EVIDENCE_REASON_SIZE]; /* of what was gathered */

static int begin(void **state)
{
    (void)state;
    struct tg_capability worker = made_worker("node-1", MADE_BASE);
    made_plan(matrix, policy, &worker, 1, &made_asked, &plan);
    pair = made_test(&plan, 0, "i2s_avx2", 1);
    kernels = made_test(&plan, 1, "i2s_avx2", 1);
    floor_test = made_test(&plan, 2, "i2s_avx2", 1);
    ceiling = made_test(&plan, 3, "i2s_avx2", 1);
    return 0;
}

static int end(void **state)
{
    (void)state;
    tg_evidence_release(&rounds);
    tg_plan_release(&plan);
    tg_store_release(&run);
    return 0;
}

/* Gathers anew, the rows in their order or in the opposite one. */
static void gather(size_t test, bool backwards)
{
    const struct tg_measurement *rows[200];
    const struct tg_test *t = &plan.spec.tests[test];
    struct tg_error err;
    size_t count = 0;
    assert_true(run.count <= 200);
    for (size_t i = 0; i < run.count; i++) {
        const struct tg_measurement *row = &run.rows[backwards ? run.count - 1 - i : i];
        if (tg_plan_is_of(&plan, &plan.spec.blocks[t->block], row)) rows[count++] = row;
    }
    tg_evidence_release(&rounds);
    assert_int_equal(tg_evidence_gather(rows, count, t, &plan.policy.rules[t->rule],
                                        &plan.policy.limits, NULL, &rounds, &err),
                     0);
}

static void assert_values(const double *values, size_t count)
{
    assert_int_equal(rounds.count, count);
    for (size_t i = 0; i < count; i++) assert_true(fabs(rounds.values[i] - values[i]) < 1e-12);
}

static void rounds_come_in_the_order_of_their_numbers(void **state)
{
    (void)state;
    static const double values[] = {0.1, 0.2, 0.3, 0.4};
    made_round(&run, &plan, pair, 30, 0.4);
    made_round(&run, &plan, pair, 2, 0.2); /* gaps are nothing */
    made_round(&run, &plan, pair, 0, 0.1);
    made_round(&run, &plan, pair, 7, 0.3);
    for (int backwards = 0; backwards < 2; backwards++) {
        gather(pair, backwards);
        assert_values(values, 4);
        assert_int_equal(rounds.last, 30);
        assert_int_equal(rounds.since_broken, 4);
        assert_int_equal(rounds.of_bytes, 1638400);
        assert_true(fabs(rounds.of_medians[3] - 1e-4 * exp(0.4)) < 1e-15);
        assert_true(rounds.to_medians[3] == 1e-4);
        assert_string_equal(tg_evidence_reason(&rounds, reason), "");
    }
}

static void rows_of_other_blocks_are_not_looked_at(void **state)
{
    (void)state;
    made_round(&run, &plan, kernels, 0, 0.5);
    made_fixed(&run, &plan, floor_test, 0, 0.99);
    gather(pair, false);
    assert_int_equal(rounds.count, 0);
    assert_int_equal(rounds.last, -1);
    assert_int_equal(rounds.of_bytes, -1);
    gather(kernels, false);
    assert_int_equal(rounds.count, 1);
}

static void one_cell_gives_its_fixed_value_or_the_log_of_its_median(void **state)
{
    (void)state;
    static const double accuracy = 0.9987;
    const double median = log(2e-4);
    made_fixed(&run, &plan, floor_test, 0, accuracy);
    gather(floor_test, false);
    assert_values(&accuracy, 1);
    made_samples(made_row(&run, &plan, ceiling, 0, 1, TG_MEASURED), "call_time", 0, 2e-4);
    gather(ceiling, false); /* its block is the floor's, too: a round of it need not be timed */
    assert_values(&median, 1);
    made_fixed(&run, &plan, floor_test, 2, NAN);
    gather(floor_test, false);
    assert_int_equal(rounds.count, 1);
}

static void an_unfinished_round_gives_no_value(void **state)
{
    (void)state;
    made_round(&run, &plan, pair, 0, 0.1);
    made_samples(made_row(&run, &plan, pair, 0, 1, TG_MEASURED), "call_time", 0, 1e-4);
    gather(pair, false);
    assert_int_equal(rounds.count, 1);
    assert_int_equal(rounds.hollow, 1);
    assert_int_equal(rounds.since_broken, 1);
    made_row(&run, &plan, pair, 0, 2, TG_CRASHED); /* base may have, too */
    made_row(&run, &plan, pair, 1, 3, TG_WRONG);   /* base's */
    gather(pair, false);
    assert_int_equal(rounds.count, 1);
    assert_int_equal(rounds.hollow, 1);
    assert_int_equal(rounds.since_broken, 0);
    assert_int_equal(rounds.of_broken + rounds.wrong, 0);
    assert_true(rounds.else_broken == 2 && rounds.else_heads == 1);
    assert_int_equal(rounds.last, 3);
}

static void a_wrong_head_is_not_forgotten_with_its_round(void **state)
{
    (void)state;
    made_row(&run, &plan, pair, 0, 1, TG_WRONG);
    gather(pair, false);
    assert_int_equal(rounds.wrong, 1);
    assert_non_null(strstr(tg_evidence_reason(&rounds, reason), "is wrong"));
}

static void an_attempt_does_not_complete_the_round_of_another(void **state)
{
    (void)state;
    made_samples(made_row(&run, &plan, pair, 0, 0, TG_MEASURED), "call_time", 0, 1e-4);
    struct tg_measurement *m = made_row(&run, &plan, pair, 1, 0, TG_MEASURED);
    made_samples(m, "call_time", 1, 1e-4);
    m->attempt = 2;
    gather(pair, false);
    assert_int_equal(rounds.count, 0);
    assert_int_equal(rounds.hollow, 2);
}

static void how_a_round_broke_is_counted(void **state)
{
    (void)state;
    static const struct {
        enum tg_outcome of, to;
        size_t wrong, of_broken, else_broken, skipped;
        const char *reason;
    } rows[] = {
        {TG_WRONG, TG_MEASURED, 1, 0, 0, 0, "is wrong: why"},
        {TG_WRONG, TG_WRONG, 1, 0, 0, 0, "is wrong: why"},
        {TG_WRONG, TG_CRASHED, 1, 0, 0, 0, "is wrong: why"},
        {TG_MEASURED, TG_WRONG, 0, 0, 1, 0, "i2s_avx2 of base is wrong: why"},
        {TG_CRASHED, TG_MEASURED, 0, 1, 0, 0, "crashed: why"},
        {TG_LATE, TG_MEASURED, 0, 1, 0, 0, "was late: why"},
        {TG_MEASURED, TG_CRASHED, 0, 0, 1, 0, "i2s_avx2 of base crashed: why"},
        {TG_MEASURED, TG_LATE, 0, 0, 1, 0, "i2s_avx2 of base was late: why"},
        {TG_CRASHED, TG_CRASHED, 0, 0, 1, 0, "crashed: why"},
        {TG_SKIPPED, TG_SKIPPED, 0, 0, 0, 1, "was skipped: why"},
        {TG_MEASURED, TG_SKIPPED, 0, 0, 0, 1, "was skipped: why"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        made_broken(&run, &plan, pair, 0, rows[i].of, rows[i].to, "why");
        gather(pair, false);
        assert_int_equal(rounds.wrong, rows[i].wrong);
        assert_int_equal(rounds.of_broken, rows[i].of_broken);
        assert_int_equal(rounds.else_broken, rows[i].else_broken);
        assert_int_equal(rounds.else_heads, 0);
        assert_int_equal(rounds.skipped, rows[i].skipped);
        assert_int_equal(rounds.count + rounds.since_broken, 0); /* never a value */
        if (!strstr(tg_evidence_reason(&rounds, reason), rows[i].reason)) fail_msg("%s", reason);
        tg_store_release(&run);
    }
    made_broken(&run, &plan, pair, 0, TG_MEASURED, TG_CRASHED, "");
    gather(pair, false);
    assert_string_equal(tg_evidence_reason(&rounds, reason), "i2s_avx2 of base crashed");
    tg_store_release(&run);
}

static void what_was_skipped_is_open_again_once_another_attempt_tried_it(void **state)
{
    (void)state;
    for (int session = 0; session < 2; session++) {
        made_broken(&run, &plan, pair, 0, TG_CRASHED, TG_MEASURED, "why");
        made_broken(&run, &plan, pair, 1, TG_SKIPPED, TG_SKIPPED, "why");
        size_t before = run.count;
        made_round(&run, &plan, pair, 2, 0.01);
        for (size_t i = before; i < run.count; i++) {
            run.rows[i].attempt = 2;
            run.rows[i].session = session; /* another run says nothing of this one's skips */
        }
        gather(pair, false);
        assert_int_equal(rounds.skipped, session);
        assert_int_equal(rounds.of_broken, 1); /* what crashed did */
        assert_int_equal(rounds.count, 1);
        tg_store_release(&run);
    }
}

static void a_kernel_of_head_is_wrong_on_either_side(void **state)
{
    (void)state;
    made_broken(&run, &plan, kernels, 0, TG_MEASURED, TG_WRONG, "row 3");
    gather(kernels, false);
    assert_int_equal(rounds.wrong, 1);
    assert_non_null(
        strstr(tg_evidence_reason(&rounds, reason), "i2s_scalar of head is wrong: row 3"));
    made_broken(&run, &plan, kernels, 1, TG_MEASURED, TG_LATE, ""); /* and breaks there */
    gather(kernels, false);
    assert_true(rounds.else_broken == 1 && rounds.else_heads == 1);
}

static void a_kill_from_outside_is_told_from_a_crash(void **state)
{
    (void)state;
    static const int signals[] = {SIGKILL, SIGSEGV, 0, SIGTERM, SIGINT, SIGHUP};
    for (int i = 0; i < 6; i++) {
        made_broken(&run, &plan, pair, i, TG_CRASHED, TG_MEASURED, "");
        run.rows[run.count - 2].facts.end_signal = signals[i];
    }
    made_broken(&run, &plan, pair, 6, TG_LATE, TG_MEASURED, ""); /* that kill was ours */
    run.rows[run.count - 2].facts.end_signal = SIGKILL;
    gather(pair, false);
    assert_int_equal(rounds.of_broken, 7);
    assert_int_equal(rounds.of_killed, 4);
}

static void whole_rounds_after_a_break_are_counted(void **state)
{
    (void)state;
    made_round(&run, &plan, pair, 0, 0);
    made_broken(&run, &plan, pair, 1, TG_CRASHED, TG_MEASURED, "");
    gather(pair, false);
    assert_int_equal(rounds.since_broken, 0);
    made_rounds(&run, &plan, pair, 2, 5, 0, 0);
    gather(pair, false);
    assert_int_equal(rounds.since_broken, 3);
    made_row(&run, &plan, pair, 0, 5, TG_MEASURED); /* measured, it says, but nothing was */
    made_row(&run, &plan, pair, 1, 5, TG_MEASURED);
    gather(pair, false);
    assert_int_equal(rounds.since_broken, 3);
    assert_int_equal(rounds.count, 4);
}

static void a_round_that_does_not_say_its_quads_is_whole_if_its_sides_are_alike(void **state)
{
    (void)state;
    made_rounds(&run, &plan, pair, 0, 3, 0.1, 0);
    for (size_t i = 0; i < run.count; i++) run.rows[i].facts.quads = 0;
    run.rows[3].series[0].count -= 2; /* of round 1 */
    run.rows[4].series[0].count -= 1; /* of round 2 */
    run.rows[5].series[0].count -= 1;
    gather(pair, false);
    assert_int_equal(rounds.count, 1);
    run.rows[0].facts.quads = MADE_QUADS + 1; /* what is said must be so */
    gather(pair, false);
    assert_int_equal(rounds.count, 0);
}

/* The value of a round of `quads` quads, after the samples were changed. */
static int value_with(size_t of_count, size_t to_count, int64_t turn, double sample, double *value)
{
    double samples[2][4] = {{2, 2, 2, 2}, {1, 1, 1, 1}};
    int64_t turns[2][4] = {{0, 3, 5, 6}, {1, 2, 4, 7}};
    if (turn >= 0) turns[0][2] = turn;
    samples[0][1] = sample;
    const struct tg_series of = {.samples = samples[0], .turns = turns[0], .count = of_count};
    const struct tg_series to = {.samples = samples[1], .turns = turns[1], .count = to_count};
    return tg_evidence_value(&of, &to, value);
}

static void a_quad_that_is_not_whole_gives_no_value(void **state)
{
    (void)state;
    double value = 7;
    assert_int_equal(value_with(0, 0, -1, 2, &value), -1);
    assert_int_equal(value_with(1, 1, -1, 2, &value), -1);
    assert_int_equal(value_with(4, 1, -1, 2, &value), -1);
    assert_int_equal(value_with(4, 4, 9, 2, &value), -1); /* one sample of the second is missing */
    assert_int_equal(value_with(4, 4, -1, 0, &value), -1);
    assert_int_equal(value_with(4, 4, -1, -2, &value), -1);
    assert_true(value == 7);
    assert_int_equal(value_with(4, 4, -1, 2, &value), 0);
    assert_true(fabs(value - log(2)) < 1e-15);
    assert_int_equal(value_with(4, 4, -1, 8, &value), 0); /* quads of ln 4 and ln 2 */
    assert_true(fabs(value - 1.5 * log(2)) < 1e-15);
}

/* A side that comes first in every quad has what the clock, or the machine, drifts. */
static void a_quad_in_another_order_gives_no_value(void **state)
{
    (void)state;
    static const int64_t orders[][4] = {
        {0, 1, 2, 3}, {0, 2, 1, 3}, {0, 3, 0, 3}, {0, 0, 1, 2}, {-1, -2, 1, 2}};
    double value = 7, samples[2] = {1, 1};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        int64_t turns[4];
        memcpy(turns, orders[i], sizeof turns);
        const struct tg_series of = {.samples = samples, .turns = turns, .count = 2};
        const struct tg_series to = {.samples = samples, .turns = turns + 2, .count = 2};
        assert_int_equal(tg_evidence_value(&of, &to, &value), -1);
        assert_int_equal(tg_evidence_value(&to, &of, &value), -1);
    }
    assert_true(value == 7);
}

static void what_was_unpaired_gives_no_value(void **state)
{
    (void)state;
    made_rounds(&run, &plan, pair, 0, 4, 0.1, 0);
    run.rows[2].unpaired = run.rows[5].unpaired = 1; /* of rounds 1 and 2 */
    gather(pair, false);
    assert_int_equal(rounds.count, 2);
    assert_int_equal(rounds.hollow, 2);
    assert_int_equal(rounds.since_broken, 2);
}

/* A reason comes from a child or from elsewhere, and reports print it. */
static void sides_of_two_devices_or_of_one_and_none_are_not_compared(void **state)
{
    (void)state;
    static const char *const uuids[][2] = {
        {"GPU-1", "GPU-1"}, {"GPU-1", "GPU-2"}, {"GPU-1", "unknown"}, {"unknown", "GPU-1"}};
    static const size_t apart[] = {0, 1, 1, 1}, of_kernels[] = {0, 1, 0, 0};
    for (size_t i = 0; i < sizeof uuids / sizeof *uuids; i++) {
        for (int is_kernels = 0; is_kernels <= 1; is_kernels++) {
            size_t test = is_kernels ? kernels : pair;
            tg_store_release(&run);
            made_round(&run, &plan, test, 0, 0);
            for (size_t side = 0; side < 2; side++)
                snprintf(run.rows[side].facts.gpu_uuid, TG_TEXT_SIZE, "%s", uuids[i][side]);
            gather(test, false);
            assert_int_equal(rounds.apart, is_kernels ? of_kernels[i] : apart[i]);
            assert_int_equal(rounds.count, 1 - rounds.apart);
        }
    }
}

/* One letter a round: how it ended on that device (a digit) of node a; `a`: one side crashed. */
static void play(const char *rounds_of)
{
    tg_store_release(&run);
    for (int64_t r = 0; rounds_of[2 * r]; r++) {
        const char how = rounds_of[2 * r];
        bool is_alone = how == 'a' || how == 'w';
        enum tg_outcome of = how == 'c'   ? TG_CRASHED
                             : how == 'a' ? TG_CRASHED
                             : how == 'k' ? TG_CRASHED
                             : how == 'l' ? TG_LATE
                             : how == 's' ? TG_SKIPPED
                             : how == 'w' ? TG_WRONG
                                          : TG_MEASURED;
        if (of == TG_MEASURED)
            made_round(&run, &plan, pair, r, how == 'm' ? 0 : 0.5);
        else
            made_broken(&run, &plan, pair, r, of, is_alone ? TG_MEASURED : of, "why");
        for (size_t i = run.count - 2; i < run.count; i++)
            snprintf(run.rows[i].facts.gpu_uuid, TG_TEXT_SIZE, "GPU-%c", rounds_of[2 * r + 1]);
        for (size_t i = run.count - 2; how == 'k' && i < run.count; i++)
            run.rows[i].facts.end_signal = SIGKILL;
    }
    gather(pair, false);
}

static void what_one_device_alone_cannot_measure_is_not_the_kernel_s(void **state)
{
    (void)state;
    static const struct {
        const char *rounds;
        size_t spared, broken;
    } rows[] = {
        {"c1", 0, 1},       {"c1c1", 0, 2}, /* nobody else has tried it */
        {"c1m2", 1, 0},     {"c1c1m2", 2, 0},   {"m2c1c1", 2, 0},
        {"l1c1m2m2", 2, 0}, {"m1m1c1m2", 1, 0}, /* lost in the middle */
        {"c1m1m2", 0, 1},   {"c1m2m1c1", 0, 2}, /* it can, now and then */
        {"c1m2c2", 0, 2},   {"c1c2m3", 0, 2},   /* two cannot */
        {"c1k2m2", 1, 1},   {"k1k1m2", 0, 2},   /* killed from outside */
        {"c1x2x2", 1, 0},                       /* how fast it was is not looked at */
        {"a1m2m2", 0, 1},   {"a1m2a1m2", 0, 2}, /* it measured the other side */
        {"a1c1m2m2", 2, 0}, {"c1a1a1m2", 0, 3}, /* once, and none from then on */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        play(rows[i].rounds);
        size_t broken = rounds.of_broken + rounds.else_broken;
        if (rounds.spared != rows[i].spared || broken != rows[i].broken)
            fail_msg("%s: %zu spared, %zu broken", rows[i].rounds, rounds.spared, broken);
        char device[TG_DEVICE_NAME_SIZE] = "";
        if (rounds.odd) tg_faults_device(rounds.odd, device);
        assert_string_equal(device, rows[i].spared ? "GPU-1 of a" : "");
    }
    play("s1m2m2");
    assert_int_equal(rounds.skipped, 0);
    assert_int_equal(rounds.spared, 1);
    play("s1");
    assert_true(rounds.skipped == 1 && rounds.unfit == 1);
    play("c1m2c1m2"); /* steered nowhere: instances of one GPU share what is wrong with it */
    assert_int_equal(rounds.spared, 2);
    for (size_t i = 0; i < run.count; i++) memcpy(run.rows[i].facts.gpu_uuid, "MIG", 3);
    gather(pair, false);
    assert_true(rounds.spared == 0 && rounds.of_broken + rounds.else_broken == 2);
    play("w1m2m2"); /* what is wrong is wrong */
    assert_true(rounds.wrong == 1 && rounds.spared == 0);
    play("m2c1");
    assert_int_equal(rounds.since_broken, 0);
}

/* The name of the device of a round. */
static void name_device(int64_t round, const char *name)
{
    for (size_t i = 0; i < run.count; i++)
        if (run.rows[i].round == round)
            snprintf(run.rows[i].facts.gpu_uuid, TG_TEXT_SIZE, "%s", name);
}

static void a_device_without_a_name_stands_in_for_none(void **state)
{
    (void)state;
    struct tg_test *test = &plan.spec.tests[pair];
    struct tg_block *block = &plan.spec.blocks[test->block];
    struct tg_cell *cells[] = {&test->of, &test->to, &block->cells[0], &block->cells[1]};
    for (int i = 0; i < 4; i++) snprintf(cells[i]->kernel, TG_TEXT_SIZE, "i2s_cuda");
    for (int which = -1; which < 3; which++) { /* the round without a name */
        play("m2c1m2");
        for (size_t i = 0; i < run.count; i++) run.rows[i].facts.rank = run.rows[i].round == 1;
        if (which >= 0) name_device(which, "unknown");
        gather(pair, false);
        assert_int_equal(rounds.spared, which == -1 || which == 0);
    }
    play("m2c1"); /* two ranks may have had the one device */
    for (size_t i = 0; i < run.count; i++) run.rows[i].facts.rank = run.rows[i].round == 1;
    name_device(0, "unknown");
    gather(pair, false);
    assert_int_equal(rounds.spared, 0);
    for (size_t i = 0; i < 2; i++) snprintf(run.rows[i].facts.host, TG_TEXT_SIZE, "b");
    gather(pair, false);
    assert_int_equal(rounds.spared, 1); /* not on two nodes */
}

static void a_reason_is_one_line(void **state)
{
    (void)state;
    made_broken(&run, &plan, pair, 0, TG_WRONG, TG_MEASURED, "3\nPASS\r\x1b[2K\x7f µs");
    gather(pair, false);
    assert_string_equal(tg_evidence_reason(&rounds, reason),
                        "i2s_avx2 of head is wrong: 3 PASS  [2K  µs");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(rounds_come_in_the_order_of_their_numbers),
        TEST(rows_of_other_blocks_are_not_looked_at),
        TEST(one_cell_gives_its_fixed_value_or_the_log_of_its_median),
        TEST(an_unfinished_round_gives_no_value),
        TEST(a_wrong_head_is_not_forgotten_with_its_round),
        TEST(what_was_skipped_is_open_again_once_another_attempt_tried_it),
        TEST(an_attempt_does_not_complete_the_round_of_another),
        TEST(how_a_round_broke_is_counted),
        TEST(a_kernel_of_head_is_wrong_on_either_side),
        TEST(a_kill_from_outside_is_told_from_a_crash),
        TEST(whole_rounds_after_a_break_are_counted),
        TEST(a_round_that_does_not_say_its_quads_is_whole_if_its_sides_are_alike),
        cmocka_unit_test(a_quad_that_is_not_whole_gives_no_value),
        cmocka_unit_test(a_quad_in_another_order_gives_no_value),
        TEST(what_was_unpaired_gives_no_value),
        TEST(sides_of_two_devices_or_of_one_and_none_are_not_compared),
        TEST(what_one_device_alone_cannot_measure_is_not_the_kernel_s),
        TEST(a_device_without_a_name_stands_in_for_none),
        TEST(a_reason_is_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
