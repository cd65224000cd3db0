/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/family.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/fill.h"
#include "tests/made_run.h"

enum { TESTS = 60, ROUNDS = 20 };

static double storage[TESTS][ROUNDS];
static const double *values[TESTS];
static size_t counts[TESTS];
static bool chosen[TESTS];
static struct tg_limits limits;

/* Normal noise with that spread, about `d`. */
static void fill(uint64_t *draws, double d, double spread)
{
    for (int i = 0; i < TESTS; i++) {
        for (int r = 0; r < ROUNDS; r++) {
            double sum = -6;
            for (int k = 0; k < 12; k++) sum += (double)(tg_fill_next(draws) >> 11) * 0x1p-53;
            storage[i][r] = d + spread * sum;
        }
        values[i] = storage[i];
        counts[i] = ROUNDS;
    }
}

static int begin(void **state)
{
    (void)state;
    tg_record_init(&tg_limits_type, &limits);
    return 0;
}

static struct tg_family_verdict judge(size_t tests)
{
    struct tg_family_verdict v = {.name = "cpu"};
    tg_family_judge(&limits, 1, values, counts, tests, chosen, NULL, &v);
    assert_string_equal(v.name, "cpu");
    return v;
}

/* One percent in each of 60 tests, each of them as noisy as that. */
static void a_broad_loss_of_one_percent_is_found(void **state)
{
    (void)state;
    uint64_t draws = 1;
    for (int k = 0; k < 50; k++) {
        fill(&draws, 0.01, 0.01);
        for (int i = 0; i < TESTS; i++) counts[i] = (size_t)limits.family_rounds;
        struct tg_family_verdict v = judge(TESTS);
        assert_true(v.is_over && !v.wants_more);
        assert_int_equal(v.rounds, 14);
        assert_int_equal(v.tests, TESTS);
        assert_true(fabs(v.estimate - 0.01) < 0.003);
        assert_true(v.interval.low < v.estimate && v.estimate < v.interval.high);
    }
}

static void half_a_percent_or_nothing_is_none(void **state)
{
    (void)state;
    uint64_t draws = 2;
    for (int k = 0; k < 400; k++) {
        fill(&draws, k % 2 ? 0.0049 : 0, 0.01);
        assert_false(judge(TESTS).is_over);
    }
}

static void the_quietest_tests_are_looked_at(void **state)
{
    (void)state;
    uint64_t draws = 3;
    fill(&draws, 0, 0.001);
    limits.family_tests = 40;
    for (int i = 0; i < TESTS; i += 3)
        for (int r = 0; r < ROUNDS; r++) storage[i][r] *= 1000;
    assert_int_equal(judge(TESTS).tests, 40);
    for (int i = 0; i < TESTS; i++) assert_int_equal(chosen[i], i % 3 != 0);
}

static void too_few_tests_or_rounds_are_no_family(void **state)
{
    (void)state;
    uint64_t draws = 4;
    fill(&draws, 0.1, 0.001);
    assert_int_equal(judge(2).rounds, 0);
    assert_false(judge(2).is_over);
    assert_int_equal(judge(3).rounds, ROUNDS);
    for (int i = 0; i < TESTS; i++) counts[i] = 4;
    struct tg_family_verdict v = judge(TESTS);
    assert_int_equal(v.tests, 0);
    assert_false(v.wants_more || chosen[0] || isfinite(v.estimate));
}

/* A round that fewer than half of the tests have ends it; one that most have does not. */
static void rounds_count_that_half_of_the_tests_have(void **state)
{
    (void)state;
    uint64_t draws = 5;
    fill(&draws, 0, 0.001);
    for (int i = 0; i < TESTS; i++) counts[i] = i < 31 ? 9 : 6;
    struct tg_family_verdict v = judge(TESTS);
    assert_int_equal(v.rounds, 9);
    assert_true(v.wants_more);
    counts[0] = counts[1] = 6;
    assert_int_equal(judge(TESTS).rounds, 6);
    for (int i = 0; i < TESTS; i++) counts[i] = 3; /* too few to be read */
    limits.rounds_min = 3;
    v = judge(TESTS);
    assert_true(isfinite(v.estimate) && isinf(v.interval.low) && isinf(v.interval.high));
}

/* A loss in a third of the tests, seen by whoever has a mean above the tolerance. */
static void a_loss_is_seen_by_the_nodes_or_runs_that_have_it(void **state)
{
    (void)state;
    static const struct {
        int nodes, runs;
        double others; /* of all but the first node or run */
        size_t span;
    } cases[] = {{1, 1, 0, 1},    {2, 1, 0.03, 2}, {1, 2, 0.03, 2},
                 {2, 3, 0.03, 3}, {3, 1, 0, 1},    {1, 3, 0.003, 1}};
    limits.rounds_min = 2;
    struct tg_family_sight sights[TESTS * 6];
    double scratch[TESTS * 6];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int k = 0; k < TESTS * 6; k++) {
            static const char *const names[] = {"a", "b", "c"};
            int test = k / 6, node = k % cases[i].nodes, session = k % 6 * cases[i].runs / 6;
            bool is_first = node == 0 && session == 0;
            sights[k] = (struct tg_family_sight){
                .test = (size_t)test, .node = names[node], .session = session};
            if (test % 3 == 0) sights[k].d = is_first ? 0.03 : cases[i].others;
        }
        assert_int_equal(tg_family_span(&limits, sights, TESTS * 6, TESTS, scratch), cases[i].span);
    }
}

/* What the second of two runs, or one of some nodes, has of a family whose first saw a loss. */
static void who_has_little_of_a_family_did_not_see_it(void **state)
{
    (void)state;
    static const struct {
        size_t nodes, runs, tests, rounds; /* of each but the first, which has 14 rounds of all */
        size_t span;
    } cases[] = {{1, 2, 1, 1, 1},  {1, 2, 8, 4, 1},  {1, 2, 8, 5, 2}, {1, 2, 3, 14, 1},
                 {1, 2, 4, 5, 2},  {2, 1, 1, 14, 1}, {2, 1, 8, 1, 1}, {2, 1, 8, 5, 2},
                 {2, 1, 3, 14, 2}, {2, 1, 2, 14, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tg_family_sight sights[8 * 14 * 2];
        double scratch[8 * 14 * 2];
        size_t count = 0;
        for (size_t place = 0; place < cases[i].nodes * cases[i].runs; place++)
            for (size_t k = 0; k < 8 * (size_t)14; k++)
                if (place == 0 || (k / 14 < cases[i].tests && k % 14 < cases[i].rounds))
                    sights[count++] = (struct tg_family_sight){
                        .d = 0.006,
                        .test = k / 14,
                        .node = place && cases[i].nodes > 1 ? "b" : "a",
                        .session = place && cases[i].runs > 1};
        assert_int_equal(tg_family_span(&limits, sights, count, 8, scratch), cases[i].span);
    }
    /* Of 16 nodes none has rounds_min rounds of a test, or a round of each. */
    struct tg_family_sight sights[8 * 14];
    double scratch[8 * 14];
    char names[16][4];
    for (size_t k = 0; k < sizeof sights / sizeof *sights; k++) {
        snprintf(names[k % 16], sizeof names[0], "%zu", k % 16);
        sights[k] = (struct tg_family_sight){.d = 0.006, .test = k / 14, .node = names[k % 16]};
    }
    assert_int_equal(tg_family_span(&limits, sights, 8 * 14, 8, scratch), 16);
}

static const char matrix[] =
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\"],"
    " \"model\": [\"bitnet-2b\", \"falcon3-1b\"], \"layer\": [\"attn_q\", \"ffn_up\", "
    "\"ffn_down\"],"
    " \"batch\": [1]}}";
static const char policy[] = "{\"tritgate_policy\": 1, \"flow\": \"review\", \"limits\": "
                             "{\"family_watch\": true}, \"rules\":"
                             " [{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\": "
                             "\"build\", \"of\": \"head\","
                             " \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05}]}";

/* Of the device and of each model; they want rounds of their tests until they have enough. */
static void a_plan_has_families_of_devices_and_models(void **state)
{
    (void)state;
    struct tg_capability worker = made_worker("a", MADE_BASE);
    struct tg_plan plan;
    struct tg_families *families;
    struct tg_family_verdict v;
    struct tg_error err;
    uint64_t draws = 6;
    static const char *const names[] = {"cpu", "bitnet-2b", "falcon3-1b"};
    made_plan(matrix, policy, &worker, 1, &made_asked, &plan);
    assert_int_equal(plan.spec.test_count, 6);
    assert_int_equal(tg_family_create(&plan, &families, &err), 0);
    assert_int_equal(tg_family_count(families), 3);
    fill(&draws, 0.03, 0.001);
    for (size_t i = 0; i < 6; i++) {
        assert_false(tg_family_wants(families, i));
        assert_int_equal(tg_family_take(families, i, values[i], 5, &err), 0);
    }
    for (size_t i = 0; i < 3; i++) {
        tg_family_look(families, i, NULL, NULL, &v);
        assert_string_equal(v.name, names[i]);
        assert_int_equal(v.tests, i ? 3 : 6);
        assert_int_equal(v.rounds, 5);
        assert_true(v.wants_more && fabs(v.log_line - log(3 / 0.0025)) < 1e-12);
    }
    assert_true(tg_family_wants(families, 0) && tg_family_wants(families, 5));
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(tg_family_take(families, i, values[i], 14, &err), 0);
    assert_false(tg_family_wants(families, 0));
    tg_family_look(families, 0, NULL, NULL, &v);
    assert_true(v.is_over);
    tg_family_destroy(families);
    tg_family_destroy(NULL);

    plan.policy.limits.family_watch = 0;
    assert_int_equal(tg_family_create(&plan, &families, &err), 0);
    assert_int_equal(tg_family_count(families), 0);
    assert_false(tg_family_wants(families, 0));
    tg_family_destroy(families);

    /* What is optional fails nothing, together neither. */
    plan.policy.limits.family_watch = 1;
    plan.policy.rules[0].optional = 1;
    assert_int_equal(tg_family_create(&plan, &families, &err), 0);
    assert_int_equal(tg_family_count(families), 0);
    tg_family_destroy(families);
    tg_plan_release(&plan);
}

/* What families that were told all at once want of the tests of a plan. */
static void ask_anew(const struct tg_plan *plan, bool *wanted)
{
    struct tg_families *families;
    assert_int_equal(tg_family_create(plan, &families, NULL), 0);
    for (size_t i = 0; i < plan->spec.test_count; i++)
        assert_int_equal(tg_family_take(families, i, storage[i], counts[i], NULL), 0);
    for (size_t i = 0; i < plan->spec.test_count; i++) wanted[i] = tg_family_wants(families, i);
    tg_family_destroy(families);
}

/* One test more has a round more, or others than before; who asks only of those that turned knows
 * all. Returns how often a wish turned. */
static size_t follow_turns(struct tg_plan *plan, uint64_t *draws)
{
    struct tg_families *families;
    bool known[TESTS] = {false}, wanted[TESTS];
    size_t turns = 0, tests = plan->spec.test_count;
    assert_int_equal(tg_family_create(plan, &families, NULL), 0);
    memset(counts, 0, sizeof counts);
    for (int step = 0; step < 150; step++) {
        const size_t *turned;
        size_t i = tg_fill_next(draws) % tests, kind = tg_fill_next(draws) % 20;
        if (kind == 0 && counts[i] > 0)
            counts[i]--; /* its last round was disturbed after all */
        else if (kind == 1 && counts[i] > 0)
            storage[i][tg_fill_next(draws) % counts[i]] *= 1.5;
        else if (counts[i] < ROUNDS)
            counts[i]++;
        assert_int_equal(tg_family_take(families, i, storage[i], counts[i], NULL), 0);
        size_t turned_count = tg_family_turned(families, &turned);
        for (size_t k = 0; k < turned_count; k++)
            known[turned[k]] = tg_family_wants(families, turned[k]);
        known[i] = tg_family_wants(families, i);
        ask_anew(plan, wanted);
        for (size_t k = 0; k < tests; k++) assert_int_equal(known[k], wanted[k]);
        turns += turned_count;
    }
    tg_family_destroy(families);
    return turns;
}

static void what_turned_is_all_that_is_wanted_otherwise(void **state)
{
    (void)state;
    struct tg_capability worker = made_worker("a", MADE_BASE);
    struct tg_plan plan;
    uint64_t draws = 7;
    size_t turns = 0;
    made_plan(matrix, policy, &worker, 1, &made_asked, &plan);
    for (int k = 0; k < 40; k++) {
        static const double spreads[] = {0.001, 0.01, 0.04};
        plan.policy.limits.family_tests = k % 4 == 0 ? 60 : 2 + k % 4;
        plan.policy.limits.alpha_family = 0.3;
        fill(&draws, k % 2 ? 0.012 : 0.004, spreads[k % 3]);
        turns += follow_turns(&plan, &draws);
    }
    assert_true(turns > 100);
    tg_plan_release(&plan);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        TEST(a_broad_loss_of_one_percent_is_found),
        TEST(half_a_percent_or_nothing_is_none),
        TEST(the_quietest_tests_are_looked_at),
        TEST(too_few_tests_or_rounds_are_no_family),
        TEST(rounds_count_that_half_of_the_tests_have),
        TEST(a_loss_is_seen_by_the_nodes_or_runs_that_have_it),
        TEST(who_has_little_of_a_family_did_not_see_it),
        TEST(a_plan_has_families_of_devices_and_models),
        TEST(what_turned_is_all_that_is_wanted_otherwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
