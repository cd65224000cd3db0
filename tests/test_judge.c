/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/decided_run.h"

/* What is looked at beside the rule: limits of the machine, canaries, samples without a value. */

#define MATRIX                                                                                     \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\"],"     \
    " \"layer\": [\"640x2560\"]}}"
#define CELLS(batches)                                                                             \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\"],"     \
    " \"layer\": [\"640x2560\"], \"batch\": [" batches "]}}"
#define TWO_CELLS    CELLS("1, 2")
#define THREE_CELLS  CELLS("1, 2, 3")
#define POLICY(rule) "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": [" rule "]}"
#define BUILDS                                                                                     \
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\", \"of\": "         \
    "\"head\", \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05}"
#define CEILING "{\"rule\": \"ceiling\", \"metric\": \"call_time\", \"limit\": 0.01}"

/* All rows of a build (NULL: of both) get that limit. */
static void limit(const char *build, double limit_s)
{
    for (size_t i = 0; i < run.count; i++) {
        struct tg_facts *facts = &run.rows[i].facts;
        if (build && strcmp(run.rows[i].cell.build, build) != 0) continue;
        facts->limit_s = limit_s;
        snprintf(facts->limited_by, sizeof facts->limited_by, "read");
    }
}

/* Head and base take 100 us. */
static void a_time_below_the_limit_decides_nothing(void **state)
{
    (void)state;
    static const char *const builds[] = {"head", "base"};
    for (int i = 0; i < 2; i++) {
        begin_run(MATRIX, POLICY(BUILDS));
        made_rounds(&run, &plan, 0, 0, 6, 0, 0.001);
        assert_int_equal(decide_run(), TG_PASS);
        assert_true(isnan(decision.verdicts[0].of_share));
        limit(builds[i], 0.5e-3);
        assert_int_equal(decide_run(), TG_INCONCLUSIVE);
        assert_string_equal(decision.verdicts[0].word, "impossible");
        assert_non_null(strstr(decision.verdicts[0].reason, builds[i]));
        assert_non_null(strstr(decision.verdicts[0].reason, "0.0005 s"));
    }
}

/* Who remembers results that are right is found out when one is not. */
static void what_is_wrong_fails_whatever_it_takes(void **state)
{
    (void)state;
    begin_run(MATRIX, POLICY(BUILDS));
    made_rounds(&run, &plan, 0, 0, 6, 0, 0.001);
    made_broken(&run, &plan, 0, 6, TG_WRONG, TG_MEASURED, "3 is not 4");
    limit(NULL, 1);
    assert_int_equal(decide_run(), TG_FAIL);
    assert_string_equal(decision.verdicts[0].word, "wrong");
}

static void an_honest_time_has_a_share(void **state)
{
    (void)state;
    begin_run(MATRIX, POLICY(BUILDS));
    made_rounds(&run, &plan, 0, 0, 6, 0, 0.001);
    limit(NULL, 40e-6);
    assert_int_equal(decide_run(), TG_PASS);
    assert_true(fabs(decision.verdicts[0].of_share - 0.4) < 0.001);
    limit(NULL, 105e-6); /* within the error of measuring a limit */
    assert_int_equal(decide_run(), TG_PASS);
}

/* A slow-down that is proved with impossible times is not proved. */
static void an_impossible_base_makes_no_failure(void **state)
{
    (void)state;
    begin_run(MATRIX, POLICY(BUILDS));
    made_rounds(&run, &plan, 0, 0, 30, 0.2, 0.001);
    assert_int_equal(decide_run(), TG_FAIL);
    limit("base", 0.5e-3);
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
}

static void one_cell_by_itself_is_held_against_its_limit_too(void **state)
{
    (void)state;
    begin_run(MATRIX, POLICY(CEILING));
    for (int64_t r = 0; r < 6; r++)
        made_samples(made_row(&run, &plan, 0, 0, r, TG_MEASURED), "call_time", 0,
                     1e-4 * (1 + 0.001 * (double)r));
    assert_int_equal(decide_run(), TG_PASS);
    limit(NULL, 0.5e-3);
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
}

/* Node b is off by 20 %; so are its canaries, or they are not. */
static void the_canaries_of_an_odd_node_are_told(void **state)
{
    (void)state;
    begin_run(MATRIX, POLICY(BUILDS));
    for (int64_t r = 0; r < 40; r++) {
        made_round(&run, &plan, 0, r, (r % 4 == 3 ? 0.2 : 0) + (r / 4 % 2 ? 0.002 : -0.002));
        for (size_t i = run.count - 2; i < run.count; i++) {
            struct tg_facts *facts = &run.rows[i].facts;
            snprintf(facts->host, sizeof facts->host, "%s", r % 4 == 3 ? "b" : "a");
            facts->canary_dot_s = r % 4 == 3 ? 150e-6 : 100e-6;
            facts->canary_read_s = 300e-6;
        }
    }
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_string_equal(decision.verdicts[0].reason,
                        "node 'b' gives +22.14 %, the others +0.00 %; its canaries take 1.5 "
                        "(arithmetic) and 1 (memory) times the others'");
}

/* Both sides in the same turns: nothing says that they were sampled in turn. */
static void samples_without_a_value_are_named(void **state)
{
    (void)state;
    begin_run(MATRIX, POLICY(BUILDS));
    made_rounds(&run, &plan, 0, 0, 6, 0, 0.001);
    for (size_t i = 0; i < run.count; i++)
        for (size_t k = 0; k < run.rows[i].series[0].count; k++)
            run.rows[i].series[0].turns[k] = (int64_t)k;
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_non_null(
        strstr(decision.verdicts[0].reason,
               "not decided after 0 rounds; rounds without a value, whose samples are too "
               "few, or not two of each side in every four turns, counted from 0: 6"));
}

static void error_rates_above_the_usual_ones_are_said(void **state)
{
    (void)state;
    begin_run(MATRIX,
              "{\"tritgate_policy\": 1, \"flow\": \"f\", \"limits\": {\"alpha_fail\": 0.005, "
              "\"alpha_miss\": 0.99, \"alpha_family\": 0.01}, \"rules\": [" BUILDS "]}");
    made_rounds(&run, &plan, 0, 0, 6, 0, 0.001);
    assert_int_equal(decide_run(), TG_PASS);
    assert_int_equal(decision.note_count, 1);
    assert_string_equal(decision.notes[0], "error rates above the usual ones: alpha_miss 0.99 "
                                           "(0.01), alpha_family 0.01 (0.0025)");
    begin_run(MATRIX, POLICY(BUILDS));
    decide_run();
    assert_int_equal(decision.note_count, 0);
}

/* Rounds without a value are no evidence, but nobody may leave out what does not suit him. */
static void rounds_that_are_left_out_are_counted(void **state)
{
    (void)state;
    begin_run(MATRIX, POLICY(BUILDS));
    made_rounds(&run, &plan, 0, 0, 10, 0, 0.001);
    run.rows[6].facts.quads = 99;
    run.rows[9].unpaired = 1;
    assert_int_equal(decide_run(), TG_PASS);
    assert_int_equal(decision.verdicts[0].rounds, 8);
    assert_int_equal(decision.verdicts[0].left_out, 2);
    assert_string_equal(decision.notes[0],
                        "left out: 2 rounds of tests that lack their metric, or samples of it");
}

static void few_rounds_with_a_value_do_not_pass(void **state)
{
    (void)state;
    begin_run(MATRIX, POLICY(BUILDS));
    made_rounds(&run, &plan, 0, 0, 12, 0, 0.001);
    for (size_t i = 0; i < 12; i += 2) run.rows[i].facts.quads = 99;
    assert_int_equal(decide_run(), TG_PASS); /* as many as without */
    run.rows[12].unpaired = 1;
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_string_equal(decision.verdicts[0].reason, "7 of 12 rounds give no value");
}

/* As under another policy: the rows are there, and have another metric. */
static void a_metric_that_was_not_measured_is_named(void **state)
{
    (void)state;
    begin_run(MATRIX, POLICY(BUILDS));
    for (int64_t r = 0; r < 6; r++)
        for (int side = 0; side < 2; side++)
            made_samples(made_row(&run, &plan, 0, side, r, TG_MEASURED), "kernel_accuracy", 0, 1);
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_non_null(strstr(decision.verdicts[0].reason, "; rounds without this metric: 6"));
}

/* Without a word of how long its rounds took, it is what the policy plans at least. */
static void what_is_left_is_told_in_seconds_as_rounds_took_them(void **state)
{
    (void)state;
    begin_run(MATRIX, POLICY(BUILDS));
    made_rounds(&run, &plan, 0, 0, 4, 0, 0.01);
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    double rounds = decision.verdicts[0].rounds_needed;
    assert_true(rounds >= 1);
    assert_true(fabs(decision.verdicts[0].seconds_needed - rounds * 0.35) < 1e-9);
    for (size_t i = 0; i < run.count; i++)
        run.rows[i].facts.took_s = run.rows[i].round == 0 ? 5 : run.rows[i].round == 1 ? NAN : 2;
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_true(decision.verdicts[0].rounds_needed == rounds);
    assert_true(fabs(decision.verdicts[0].seconds_needed - rounds * 3) < 1e-9);
    for (size_t i = 0; i < run.count; i++) run.rows[i].facts.took_s = NAN;
    plan.asked.is_imported = true; /* by whom the policy plans nothing */
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_true(decision.verdicts[0].rounds_needed == rounds);
    assert_true(isnan(decision.verdicts[0].seconds_needed));
}

/* A GPU that others stand in for is named, and what it could do. */
static void a_broken_device_is_named(void **state)
{
    (void)state;
    for (int did = 0; did < 2; did++) {
        begin_run(MATRIX, POLICY(BUILDS));
        if (did) made_round(&run, &plan, 0, 0, 0);
        made_broken(&run, &plan, 0, did, TG_CRASHED, TG_CRASHED, "why");
        size_t on_first = run.count;
        made_rounds(&run, &plan, 0, did + 1, 9, 0, 0.001);
        for (size_t i = 0; i < run.count; i++)
            snprintf(run.rows[i].facts.gpu_uuid, TG_TEXT_SIZE, i < on_first ? "GPU-1" : "GPU-2");
        assert_int_equal(decide_run(), TG_PASS);
        assert_int_equal(decision.note_count, 1 + did);
        assert_string_equal(decision.notes[0],
                            "broken device: GPU-1 of a, alone; rounds of 1 test broke there, and "
                            "count for nothing: another device measured the same");
        if (did)
            assert_string_equal(
                decision.notes[1],
                "GPU-1 of a measured 2 cells in order: it may be the kernels' fault, too");
    }
}

/* A round of a test on a device: head crashed, alone or with base, or both were measured. */
static void put(size_t test, int64_t round, const char *device, enum tg_outcome of,
                enum tg_outcome to)
{
    if (of == TG_MEASURED)
        made_round(&run, &plan, test, round, round % 2 ? 0.001 : -0.001);
    else
        made_broken(&run, &plan, test, round, of, to, "why");
    for (size_t i = run.count - 2; i < run.count; i++) {
        snprintf(run.rows[i].facts.gpu_uuid, TG_TEXT_SIZE, "%s", device);
        run.rows[i].facts.rank = 1;
        run.rows[i].facts.checked = 640;
    }
}

/* Two cells of a kernel lose a round each, and are measured in order by the other device. */
static void what_breaks_on_two_devices_is_the_kernel_s(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second;
        enum tg_outcome of, to;
        enum tg_answer answer;
        const char *word;
    } rows[] = {
        {"GPU-1", "GPU-1", TG_CRASHED, TG_CRASHED, TG_PASS, "unchanged"}, /* one broken device */
        {"GPU-1", "GPU-2", TG_CRASHED, TG_CRASHED, TG_INCONCLUSIVE, "partner broke"},
        {"GPU-1", "GPU-2", TG_CRASHED, TG_MEASURED, TG_FAIL, "crashed or late"},
        {"GPU-1", "GPU-1", TG_LATE, TG_MEASURED, TG_FAIL, "crashed or late"}, /* it measures base */
        {"GPU-1", "GPU-2", TG_SKIPPED, TG_SKIPPED, TG_PASS, "unchanged"},     /* neither ran */
        {"unknown", "unknown", TG_CRASHED, TG_MEASURED, TG_FAIL, "crashed or late"}, /* a host's */
        {"unknown", "unknown", TG_CRASHED, TG_CRASHED, TG_PASS, "unchanged"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin_run(TWO_CELLS, POLICY(BUILDS));
        for (int64_t r = 0; r < 9; r++) {
            bool breaks = r == 1;
            const char *other = strcmp(rows[i].first, "unknown") == 0 ? "unknown" : "GPU-3";
            put(0, r, breaks ? rows[i].first : other, breaks ? rows[i].of : TG_MEASURED,
                rows[i].to);
            put(1, r, breaks ? rows[i].second : other, breaks ? rows[i].of : TG_MEASURED,
                rows[i].to);
        }
        if (decide_run() != rows[i].answer) fail_msg("row %zu: %s", i, decision.verdicts[0].reason);
        for (int t = 0; t < 2; t++) {
            assert_int_equal(decision.verdicts[t].answer, rows[i].answer);
            assert_memory_equal(decision.verdicts[t].word, rows[i].word, strlen(rows[i].word));
        }
    }
}

/* Another kernel of head, which a test compares with, or base. */
static void a_rival_of_head_that_broke_once_is_told(void **state)
{
    (void)state;
    static const char *const rules[] = {
        POLICY("{\"rule\": \"ratio\", \"metric\": \"call_time\", \"axis\": \"kernel\", \"of\": "
               "\"i2s_avx2\", \"to\": \"i2s_scalar\", \"limit\": 0.5}"),
        POLICY(BUILDS)};
    for (int i = 0; i < 2; i++) {
        begin_run(MATRIX, rules[i]);
        made_broken(&run, &plan, 0, 0, TG_MEASURED, TG_CRASHED, "why");
        made_rounds(&run, &plan, 0, 1, 9, 0, 0.001);
        assert_int_equal(decide_run(), TG_PASS);
        assert_int_equal(decision.attention, i == 0);
        assert_string_equal(decision.verdicts[0].reason,
                            i == 0 ? "broken once, and repeated: i2s_scalar of head crashed: why"
                                   : "broken once, and repeated: i2s_avx2 of base crashed: why");
    }
}

/* One of two cells: the one that did not break is in order. */
static void only_cells_that_broke_fail(void **state)
{
    (void)state;
    begin_run(THREE_CELLS, POLICY(BUILDS));
    for (size_t t = 0; t < 3; t++)
        for (int64_t r = 0; r < 9; r++)
            put(t, r, t ? "GPU-1" : "GPU-2", r == 1 && t < 2 ? TG_CRASHED : TG_MEASURED,
                TG_MEASURED);
    assert_int_equal(decide_run(), TG_FAIL);
    for (size_t t = 0; t < 3; t++)
        assert_int_equal(decision.verdicts[t].answer, t < 2 ? TG_FAIL : TG_PASS);
}

/* As under a policy that gives cells less memory than the run's own did. */
static void what_was_measured_is_not_skipped(void **state)
{
    (void)state;
    for (int breaks = 0; breaks < 2; breaks++) {
        struct tg_capability worker = made_worker("a", MADE_BASE);
        worker.head.memory_bytes = 1000000;
        end(NULL);
        made_plan(MATRIX, POLICY(BUILDS), &worker, 1, &made_asked, &plan);
        run.is_sealed = 1;
        assert_int_equal(plan.prospects[0].fate, TG_TO_SKIP);
        decide_run();
        assert_int_equal(decision.verdicts[0].answer, TG_SKIP);
        made_row(&run, &plan, 0, 0, 0, TG_SKIPPED);
        made_row(&run, &plan, 0, 1, 0, TG_SKIPPED);
        decide_run();
        assert_int_equal(decision.verdicts[0].answer, TG_SKIP);
        made_rounds(&run, &plan, 0, 1, 9, 0.3, 0.001);
        if (breaks) made_broken(&run, &plan, 0, 9, TG_WRONG, TG_MEASURED, "why");
        assert_int_equal(decide_run(), breaks ? TG_FAIL : TG_INCONCLUSIVE);
        assert_string_equal(decision.verdicts[0].word, breaks ? "wrong" : "unplanned");
        assert_false(decision.verdicts[0].wants_more);
        assert_int_equal(decision.required, 1);
    }
}

/* Lines of two builds of a whole model on a device, which are this program's own, are no test. */
static void imported_lines_of_what_is_no_test_are_skipped(void **state)
{
    (void)state;
    struct tg_capability worker = made_worker("a", MADE_BASE);
    struct tg_asked asked = made_asked;
    asked.is_imported = true;
    made_kernel(&worker.head, "i2s_avx2")->here = false;
    end(NULL);
    made_plan(MATRIX, POLICY(BUILDS), &worker, 1, &asked, &plan);
    made_rounds(&run, &plan, 0, 0, 9, 0.3, 0.001);
    decide_run();
    assert_int_equal(decision.verdicts[0].answer, TG_SKIP);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        TEST(a_time_below_the_limit_decides_nothing),
        TEST(what_is_wrong_fails_whatever_it_takes),
        TEST(an_honest_time_has_a_share),
        TEST(an_impossible_base_makes_no_failure),
        TEST(one_cell_by_itself_is_held_against_its_limit_too),
        TEST(the_canaries_of_an_odd_node_are_told),
        TEST(samples_without_a_value_are_named),
        TEST(error_rates_above_the_usual_ones_are_said),
        TEST(rounds_that_are_left_out_are_counted),
        TEST(few_rounds_with_a_value_do_not_pass),
        TEST(what_is_left_is_told_in_seconds_as_rounds_took_them),
        TEST(a_metric_that_was_not_measured_is_named),
        TEST(a_broken_device_is_named),
        TEST(what_breaks_on_two_devices_is_the_kernel_s),
        TEST(a_rival_of_head_that_broke_once_is_told),
        TEST(only_cells_that_broke_fail),
        TEST(what_was_measured_is_not_skipped),
        TEST(imported_lines_of_what_is_no_test_are_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
