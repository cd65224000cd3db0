/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/standing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/fill.h"
#include "results/digest.h"
#include "tests/made_run.h"

/* Six pairs of builds, in a family of the device and in one of each model. */
static const char matrix[] =
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\"],"
    " \"model\": [\"bitnet-2b\", \"falcon3-1b\"], \"layer\": [\"attn_q\", \"ffn_up\", "
    "\"ffn_down\"], \"batch\": [1]}}";

#define POLICY(limits)                                                                             \
    "{\"tritgate_policy\": 1, \"flow\": \"review\", \"limits\": {\"rounds_min\": 5, "              \
    "\"rounds_max\": 20" limits "}, \"rules\": [{\"rule\": \"noninferior\", "                      \
    "\"metric\": \"call_time\", \"axis\": \"build\", \"of\": \"head\", \"to\": \"base\", "         \
    "\"tolerance\": 0.02, \"margin\": 0.05}]}"

static struct tg_plan plan;
static struct tg_standing *standing;
static struct tg_baseline baseline;
static uint64_t draws;

static void begin(const char *policy, const struct tg_asked *asked)
{
    struct tg_capability worker = made_worker("a", MADE_BASE);
    struct tg_error err;
    made_plan(matrix, policy, &worker, 1, asked, &plan);
    if (tg_standing_create(&plan, &standing, &err) < 0) fail_msg("%s", err.text);
    for (size_t b = 0; b < plan.spec.block_count; b++)
        assert_int_equal(tg_standing_judge(standing, b, NULL), 0);
    draws = 9;
}

static int end(void **state)
{
    (void)state;
    tg_standing_destroy(standing);
    standing = NULL;
    tg_plan_release(&plan);
    tg_baseline_release(&baseline);
    return 0;
}

/* Between -1 and 1. */
static double draw(void)
{
    return (double)(tg_fill_next(&draws) >> 11) * 0x1p-52 - 1;
}

/* The next round of a test's block is measured, and judged. */
static void measure(size_t test, double d)
{
    struct tg_run run = {0};
    size_t block = plan.spec.tests[test].block;
    made_round(&run, &plan, test, tg_standing_rounds(standing, block), d);
    for (size_t i = 0; i < run.count; i++)
        assert_int_equal(tg_standing_take(standing, tg_measurement_copy(&run.rows[i]), NULL), 0);
    tg_store_release(&run);
    assert_int_equal(tg_standing_judge(standing, block, NULL), 0);
}

static double urgency(size_t test, double cost_s)
{
    return tg_standing_wish(standing, plan.spec.tests[test].block, cost_s).urgency;
}

static void one_round_that_went_well_says_nothing(void **state)
{
    (void)state;
    begin(POLICY(""), &made_asked);
    size_t block = plan.spec.tests[0].block;
    measure(0, 0.001);
    assert_true(tg_standing_wish(standing, block, 1).urgency > 1);
    assert_true(tg_standing_wish(standing, block, 1).rounds == 0);
    assert_int_equal(tg_standing_tally(standing).done, 0);
    measure(0, -0.001);
    assert_true(tg_standing_wish(standing, block, 1).rounds > 0);
}

static void tests_are_open_until_they_are_decided(void **state)
{
    (void)state;
    begin(POLICY(""), &made_asked);
    struct tg_tally tally = tg_standing_tally(standing);
    assert_true(tally.required == 6 && tally.done == 0 && !tally.has_failed);
    assert_true(tg_standing_is_unchecked(standing, plan.spec.tests[2].block));
    for (int r = 0; r < 12; r++) measure(2, 1e-4 * draw());
    assert_false(tg_standing_is_unchecked(standing, plan.spec.tests[2].block));
    assert_true(tg_standing_is_unchecked(standing, plan.spec.tests[3].block));
    assert_int_equal(tg_standing_rounds(standing, plan.spec.tests[2].block), 12);
    tally = tg_standing_tally(standing);
    assert_true(tally.required == 6 && tally.done == 1 && !tally.has_failed);
    assert_true(urgency(2, 1) < 1 && urgency(3, 1) > 1);
}

static void what_seems_to_fail_is_the_most_urgent_and_cheap_rounds_before_dear_ones(void **state)
{
    (void)state;
    begin(POLICY(""), &made_asked);
    for (int r = 0; r < 8; r++) measure(0, 0.3 + 0.01 * draw());
    for (int r = 0; r < 8; r++) measure(1, 0.1 * draw());
    assert_true(urgency(0, 1) > urgency(1, 1));
    assert_true(urgency(1, 0.1) > urgency(1, 10));
    assert_true(tg_standing_wish(standing, plan.spec.tests[1].block, 1).rounds >= 1);
    assert_true(tg_standing_wish(standing, plan.spec.tests[1].block, 1).rounds <= 12);
}

static void a_failure_ends_the_run_only_where_the_policy_says_so(void **state)
{
    static const char *const policies[] = {POLICY(""), POLICY(", \"fail_fast\": true")};
    for (int i = 0; i < 2; i++) {
        begin(policies[i], &made_asked);
        for (int r = 0; r < 18; r++) measure(4, 0.3 + 0.01 * draw());
        assert_int_equal(tg_standing_tally(standing).has_failed, i);
        assert_int_equal(tg_standing_tally(standing).done, 1);
        end(state);
    }
}

/* Rounds of any block in any order, of which dispatch is told only those that may have changed. */
static void follow_the_others(double d, double spread)
{
    double told[16];
    for (size_t b = 0; b < plan.spec.block_count; b++)
        told[b] = tg_standing_wish(standing, b, 1).urgency;
    for (int r = 0; r < 100; r++) {
        size_t count, test = tg_fill_next(&draws) % plan.spec.test_count;
        size_t block = plan.spec.tests[test].block;
        measure(test, d + spread * draw());
        const size_t *others = tg_standing_others(standing, &count);
        told[block] = tg_standing_wish(standing, block, 1).urgency;
        for (size_t i = 0; i < count; i++)
            told[others[i]] = tg_standing_wish(standing, others[i], 1).urgency;
        for (size_t b = 0; b < plan.spec.block_count; b++)
            if (told[b] != tg_standing_wish(standing, b, 1).urgency)
                fail_msg("round %d: block %zu is wished otherwise, and nobody said so", r, b);
    }
}

static void a_block_of_which_a_family_wants_more_is_named(void **state)
{
    (void)state;
    static const double losses[] = {0, 0.004, 0.01}, spreads[] = {1e-4, 0.003, 0.02};
    for (size_t i = 0; i < 9; i++) {
        begin(POLICY(", \"family_watch\": true, \"family_rounds\": 14"), &made_asked);
        draws += i;
        follow_the_others(losses[i / 3], spreads[i % 3]);
        end(state);
    }
}

/* Judged last with its own cost, a block is next to be told as all others are. */
static void with_families_the_block_before_is_named(void **state)
{
    (void)state;
    size_t count;
    begin(POLICY(", \"family_watch\": true"), &made_asked);
    measure(0, 0.001);
    measure(5, 0.001);
    const size_t *others = tg_standing_others(standing, &count);
    bool is_named = false;
    for (size_t i = 0; i < count; i++) is_named = is_named || others[i] == plan.spec.tests[0].block;
    assert_true(is_named);
}

#define WATCHED "probe=kernel kernel=i2s_avx2%s model=falcon3-1b layer=ffn_up"

/* A baseline of one cell, which took 100 us beside its copy, in five sessions. */
static void store(const char *policy)
{
    char copy[200];
    snprintf(baseline.key.hardware, sizeof baseline.key.hardware, "unknown");
    assert_int_equal(tg_digest_text(policy, baseline.key.policy, NULL), 0);
    assert_int_equal(tg_digest_text(matrix, baseline.key.matrix, NULL), 0);
    snprintf(baseline.library, sizeof baseline.library, MADE_BASE);
    struct tg_baseline_cell *cell = tg_baseline_add_cell(&baseline);
    assert_non_null(cell);
    snprintf(cell->cell, sizeof cell->cell, WATCHED, "");
    snprintf(copy, sizeof copy, WATCHED, " build=copy");
    snprintf(cell->metric, sizeof cell->metric, "call_time");
    snprintf(cell->block, sizeof cell->block, "%s | %s", cell->cell, copy);
    snprintf(cell->canary, sizeof cell->canary, "none");
    cell->margin = log(1.05);
    for (int64_t i = 0; i < 5; i++) {
        assert_non_null(tg_baseline_add_session(&baseline));
        struct tg_baseline_value *value = tg_baseline_add_value(cell);
        assert_non_null(value);
        *value = (struct tg_baseline_value){i, 5, log(1e-4) + 1e-3 * draw(), NAN, NAN};
    }
}

static void an_alarm_names_the_block_of_the_pair(void **state)
{
    (void)state;
    static const char policy[] = POLICY("");
    struct tg_asked asked = made_asked;
    size_t count = 0;
    store(policy);
    asked.baselines = &baseline;
    asked.baseline_count = 1;
    begin(policy, &asked);
    assert_int_equal(plan.spec.block_count, 7);
    size_t test = 0;
    while (!plan.lookouts[test].cell) assert_true(++test < plan.spec.test_count);
    size_t own = plan.spec.tests[test].block, watched = plan.lookouts[test].block;
    assert_true(tg_standing_wish(standing, own, 1).urgency < 0);
    assert_true(tg_standing_wish(standing, watched, 1).urgency > 1);
    for (int64_t r = 0; r < 5; r++) {
        struct tg_run run = {0};
        const struct tg_cell to = plan.spec.tests[test].to;
        plan.spec.tests[test].block = watched; /* as if it were the test's own */
        plan.spec.tests[test].to = plan.spec.blocks[watched].cells[1];
        made_round(&run, &plan, test, r, log(2));
        plan.spec.tests[test].block = own;
        plan.spec.tests[test].to = to;
        for (size_t i = 0; i < run.count; i++)
            assert_int_equal(tg_standing_take(standing, tg_measurement_copy(&run.rows[i]), NULL),
                             0);
        tg_store_release(&run);
        assert_int_equal(tg_standing_judge(standing, watched, NULL), 0);
    }
    const size_t *others = tg_standing_others(standing, &count);
    assert_int_equal(count, 1);
    assert_int_equal(others[0], own);
    assert_true(tg_standing_wish(standing, own, 1).urgency > 1);
    assert_true(tg_standing_wish(standing, watched, 1).urgency < 0);
}

static void nothing_is_destroyed_too(void **state)
{
    (void)state;
    tg_standing_destroy(NULL);
}

/* Beside its copy: whether it is right, and does not break, which takes a round, or a second. */
static void a_kernel_that_base_has_not_is_measured_once(void **state)
{
    (void)state;
    for (int breaks = 0; breaks < 2; breaks++) {
        struct tg_capability worker = made_worker("a", MADE_BASE);
        struct tg_run run = {0};
        end(NULL);
        made_lose(&worker.base, "i2s_avx2");
        made_plan(matrix, POLICY(""), &worker, 1, &made_asked, &plan);
        assert_int_equal(tg_standing_create(&plan, &standing, NULL), 0);
        const size_t block = plan.spec.tests[0].block;
        assert_int_equal(tg_standing_judge(standing, block, NULL), 0);
        assert_true(urgency(0, 1) > 1);
        if (!breaks) {
            measure(0, 0);
            assert_true(urgency(0, 1) < 0);
            continue;
        }
        made_broken(&run, &plan, 0, 0, TG_CRASHED, TG_CRASHED, "");
        for (size_t k = 0; k < 2; k++)
            assert_int_equal(tg_standing_take(standing, tg_measurement_copy(&run.rows[k]), NULL),
                             0);
        tg_store_release(&run);
        assert_int_equal(tg_standing_judge(standing, block, NULL), 0);
        assert_true(urgency(0, 1) > 1);
        measure(0, 0);
        assert_true(urgency(0, 1) < 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        TEST(one_round_that_went_well_says_nothing),
        TEST(tests_are_open_until_they_are_decided),
        TEST(what_seems_to_fail_is_the_most_urgent_and_cheap_rounds_before_dear_ones),
        TEST(a_failure_ends_the_run_only_where_the_policy_says_so),
        TEST(a_block_of_which_a_family_wants_more_is_named),
        TEST(with_families_the_block_before_is_named),
        TEST(an_alarm_names_the_block_of_the_pair),
        TEST(nothing_is_destroyed_too),
        TEST(a_kernel_that_base_has_not_is_measured_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
