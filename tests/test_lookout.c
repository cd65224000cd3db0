/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/lookout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "results/digest.h"
#include "tests/made_run.h"

#define MATRIX                                                                                     \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\"],"     \
    " \"layer\": [\"640x2560\"]}}"
#define SLOWER                                                                                     \
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\", \"of\": "         \
    "\"head\", \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05}"
#define CEILING "{\"rule\": \"ceiling\", \"metric\": \"call_time\", \"limit\": 1}"
#define POLICY(rules)                                                                              \
    "{\"tritgate_policy\": 1, \"flow\": \"review\", \"limits\": {\"rounds_min\": 5, "              \
    "\"rounds_max\": 20}, \"rules\": [" rules "]}"
#define CELL "probe=kernel kernel=i2s_avx2 layer=640x2560"
#define COPY "probe=kernel kernel=i2s_avx2 build=copy layer=640x2560"
#define PAIR CELL " | " COPY

static struct tg_plan plan;
static struct tg_run run;
static struct tg_rows *rows;
static struct tg_baseline baseline;

static int end(void **state)
{
    (void)state;
    tg_rows_destroy(rows);
    rows = NULL;
    tg_store_release(&run);
    tg_plan_release(&plan);
    tg_baseline_release(&baseline);
    return 0;
}

/* A baseline of that policy, of a block, with sessions that took e^values of 100 us. */
static void store(const char *policy, const char *block, const double *values, size_t count)
{
    snprintf(baseline.key.hardware, sizeof baseline.key.hardware, "unknown");
    assert_int_equal(tg_digest_text(policy, baseline.key.policy, NULL), 0);
    assert_int_equal(tg_digest_text(MATRIX, baseline.key.matrix, NULL), 0);
    snprintf(baseline.library, sizeof baseline.library, MADE_BASE);
    struct tg_baseline_cell *cell = tg_baseline_add_cell(&baseline);
    assert_non_null(cell);
    snprintf(cell->cell, sizeof cell->cell, CELL);
    snprintf(cell->metric, sizeof cell->metric, "call_time");
    snprintf(cell->block, sizeof cell->block, "%s", block);
    snprintf(cell->canary, sizeof cell->canary, "none");
    cell->margin = log(1.05);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(tg_baseline_add_session(&baseline));
        struct tg_baseline_value *value = tg_baseline_add_value(cell);
        assert_non_null(value);
        *value = (struct tg_baseline_value){(int64_t)i, 5, log(1e-4) + values[i], NAN, NAN};
    }
}

static void plan_with(const char *policy, const char *base)
{
    struct tg_capability worker = made_worker("a", base);
    struct tg_asked asked = made_asked;
    asked.baselines = &baseline;
    asked.baseline_count = 1;
    made_plan(MATRIX, policy, &worker, 1, &asked, &plan);
}

static const double steady[] = {0.000, 0.001, -0.001, 0.002, -0.002};

/* A round of the block in which head is watched; head takes e^value * 100 us. */
static void put_head(int64_t round, double value)
{
    const size_t own = plan.spec.tests[0].block;
    const struct tg_cell to = plan.spec.tests[0].to;
    const struct tg_block *block = &plan.spec.blocks[plan.lookouts[0].block];
    plan.spec.tests[0].block = plan.lookouts[0].block; /* as if it were the test's own */
    plan.spec.tests[0].to = block->cells[1];
    if (block->cell_count == 2)
        made_round(&run, &plan, 0, round, value);
    else
        made_samples(made_row(&run, &plan, 0, 0, round, TG_MEASURED), "call_time", 0,
                     1e-4 * exp(value));
    plan.spec.tests[0].block = own;
    plan.spec.tests[0].to = to;
}

static struct tg_verdict judge(void)
{
    struct tg_verdict v;
    struct tg_error err;
    tg_rows_destroy(rows);
    assert_int_equal(tg_rows_create(&plan, &rows, NULL), 0);
    for (size_t i = 0; i < run.count; i++)
        assert_int_equal(tg_rows_add(rows, &run.rows[i], NULL), 0);
    assert_int_equal(tg_rows_strays(rows), 0);
    if (tg_judge_test(&plan, 0, rows, NULL, &v, &err) < 0) fail_msg("%s", err.text);
    return v;
}

static void head_where_it_was_passes_without_base(void **state)
{
    (void)state;
    store(POLICY(SLOWER), PAIR, steady, 5);
    plan_with(POLICY(SLOWER), MADE_BASE);
    assert_ptr_equal(plan.lookouts[0].cell, &plan.baselines[0].cells[0]);
    assert_int_not_equal(plan.lookouts[0].block, plan.spec.tests[0].block);
    assert_string_equal(plan.spec.blocks[plan.lookouts[0].block].text, PAIR);
    assert_int_equal(plan.required_count, 1);
    for (int64_t r = 0; r < 5; r++) {
        struct tg_verdict v = judge();
        assert_int_equal(v.answer, TG_INCONCLUSIVE);
        assert_true(v.wants_more && v.wants_head);
        put_head(r, 0.003);
    }
    struct tg_verdict v = judge();
    assert_int_equal(v.answer, TG_PASS);
    assert_string_equal(v.word, "unchanged (baseline)");
    assert_false(v.wants_more || v.wants_last);
    assert_int_equal(v.rounds, 5);
    assert_true(fabs(v.estimate - expm1(0.003)) < 1e-9);
    assert_true(v.interval.low < v.estimate && v.interval.high > v.estimate);
    assert_true(isnan(v.of_median) && isnan(v.to_median)); /* a history knows it by that */
}

static void an_alarm_leaves_it_to_the_duet(void **state)
{
    (void)state;
    store(POLICY(SLOWER), PAIR, steady, 5);
    plan_with(POLICY(SLOWER), MADE_BASE);
    for (int64_t r = 0; r < 5; r++) put_head(r, 0.08);
    struct tg_verdict v = judge();
    assert_int_equal(v.answer, TG_INCONCLUSIVE);
    assert_true(v.wants_more && !v.wants_head);
    assert_int_equal(v.rounds, 0);
    made_rounds(&run, &plan, 0, 0, 8, 0.001, 0.001); /* beside base it is not slower */
    v = judge();
    assert_int_equal(v.answer, TG_PASS);
    assert_string_not_equal(v.word, "unchanged (baseline)");
    made_rounds(&run, &plan, 0, 8, 9, 0.001, 0.001);
    tg_store_release(&run);
    for (int64_t r = 0; r < 5; r++) put_head(r, 0.08);
    made_rounds(&run, &plan, 0, 0, 20, 0.08, 0.001);
    assert_int_equal(judge().answer, TG_FAIL);
}

/* Another rule may have its builds measured side by side, or an earlier run that is judged along.
 */
static void what_the_duet_shows_to_fail_is_not_quiet(void **state)
{
    (void)state;
    store(POLICY(SLOWER), PAIR, steady, 5);
    plan_with(POLICY(SLOWER), MADE_BASE);
    for (int64_t r = 0; r < 5; r++) put_head(r, 0);
    assert_string_equal(judge().word, "unchanged (baseline)");
    made_rounds(&run, &plan, 0, 0, 3, 0.2, 0.001);
    assert_string_equal(judge().word, "unchanged (baseline)"); /* open */
    made_rounds(&run, &plan, 0, 3, 20, 0.2, 0.001);
    assert_int_equal(judge().answer, TG_FAIL);
    assert_memory_equal(judge().word, "slower", 6);
    plan.policy.limits.min_sessions = 2; /* nor what only one run saw */
    assert_string_equal(judge().word, "held");
}

/* Without base its own rounds are those of head and its copy, which say nothing of an older build.
 */
static void a_copy_is_no_duet(void **state)
{
    (void)state;
    store(POLICY(SLOWER), PAIR, steady, 5);
    plan_with(POLICY(SLOWER), NULL);
    assert_int_equal(plan.lookouts[0].block, plan.spec.tests[0].block);
    for (int64_t r = 0; r < 5; r++) put_head(r, 0);
    assert_string_equal(judge().word, "unchanged (baseline)");
    made_rounds(&run, &plan, 0, 5, 30, 0.2, 0.001);
    assert_string_equal(judge().word, "unchanged (baseline)");
}

static void sessions_that_scatter_leave_it_to_the_duet(void **state)
{
    (void)state;
    static const double wild[] = {0, 0.03, -0.03};
    store(POLICY(SLOWER), PAIR, wild, 3);
    plan_with(POLICY(SLOWER), MADE_BASE);
    for (int64_t r = 0; r < 5; r++) put_head(r, 0);
    assert_false(judge().wants_head);
}

static void without_the_library_an_alarm_is_suspect(void **state)
{
    (void)state;
    store(POLICY(SLOWER), PAIR, steady, 5);
    plan_with(POLICY(SLOWER), NULL);
    assert_false(plan.spec.tests[0].is_shadow);
    assert_true(tg_gate_is_required(&plan, 0));
    for (int64_t r = 0; r < 5; r++) put_head(r, 0.08);
    struct tg_verdict v = judge();
    assert_int_equal(v.answer, TG_INCONCLUSIVE);
    assert_string_equal(v.word, "suspect");
    assert_false(v.wants_more);
    assert_non_null(strstr(v.reason, "suspect: 8.3 % slower than 5 stored sessions"));
    tg_store_release(&run);
    for (int64_t r = 0; r < 5; r++) put_head(r, 0.001);
    assert_int_equal(judge().answer, TG_PASS);
}

static void too_few_sessions_without_the_library_say_nothing(void **state)
{
    (void)state;
    static const double two[] = {0, 0.004};
    store(POLICY(SLOWER), PAIR, two, 2);
    plan_with(POLICY(SLOWER), NULL);
    for (int64_t r = 0; r < 5; r++) put_head(r, 0.0005);
    struct tg_verdict v = judge();
    assert_int_equal(v.answer, TG_INCONCLUSIVE);
    assert_string_equal(v.word, "inconclusive");
    assert_non_null(strstr(v.reason, "2 stored sessions show only that it is less than"));
}

static void head_alone_is_watched_where_the_plan_has_that_block(void **state)
{
    (void)state;
    store(POLICY(SLOWER ", " CEILING), CELL, steady, 5);
    plan_with(POLICY(SLOWER ", " CEILING), MADE_BASE);
    assert_int_equal(plan.spec.blocks[plan.lookouts[0].block].cell_count, 1);
    assert_int_equal(plan.spec.block_count, 2);
    for (int64_t r = 0; r < 5; r++) put_head(r, 0.001);
    assert_string_equal(judge().word, "unchanged (baseline)");
}

/* Another shape of block is another measurement. */
static void a_value_of_another_block_is_not_used(void **state)
{
    (void)state;
    store(POLICY(SLOWER), CELL, steady, 5);
    plan_with(POLICY(SLOWER), MADE_BASE);
    assert_null(plan.lookouts[0].cell);
}

static void nor_is_one_of_another_policy_machine_or_program(void **state)
{
    (void)state;
    store(POLICY(SLOWER), PAIR, steady, 5);
    plan_with(POLICY(SLOWER " "), MADE_BASE);
    assert_null(plan.lookouts[0].cell);
    tg_plan_release(&plan);
    snprintf(baseline.key.hardware, sizeof baseline.key.hardware, "another");
    plan_with(POLICY(SLOWER), NULL);
    assert_null(plan.lookouts[0].cell);
    assert_true(plan.spec.tests[0].is_shadow);
    tg_plan_release(&plan);
    snprintf(baseline.key.hardware, sizeof baseline.key.hardware, "unknown");
    snprintf(baseline.key.program, sizeof baseline.key.program, "another");
    plan_with(POLICY(SLOWER), NULL);
    assert_null(plan.lookouts[0].cell);
}

static void times_of_other_canaries_say_nothing(void **state)
{
    (void)state;
    store(POLICY(SLOWER), PAIR, steady, 5);
    snprintf(baseline.key.canary, sizeof baseline.key.canary, "0123456789abcdef");
    snprintf(baseline.cells[0].canary, sizeof baseline.cells[0].canary, "dot");
    for (size_t i = 0; i < 5; i++) baseline.cells[0].values[i].canary_dot = 0;
    plan_with(POLICY(SLOWER), NULL);
    for (int64_t r = 0; r < 5; r++) put_head(r, 0); /* no canary ran */
    struct tg_verdict v = judge();
    assert_int_equal(v.answer, TG_INCONCLUSIVE);
    assert_non_null(strstr(v.reason, "cannot be compared with"));
}

static void a_wrong_head_fails_while_it_is_watched(void **state)
{
    (void)state;
    store(POLICY(SLOWER), PAIR, steady, 5);
    plan_with(POLICY(SLOWER), MADE_BASE);
    put_head(0, 0);
    run.rows[0].outcome = TG_WRONG;
    snprintf(run.rows[0].reason, sizeof run.rows[0].reason, "row 3 differs");
    struct tg_verdict v = judge();
    assert_int_equal(v.answer, TG_FAIL);
    assert_string_equal(v.word, "wrong");
    assert_true(v.is_broken);
}

static void a_head_that_crashes_while_it_is_watched_is_told(void **state)
{
    (void)state;
    store(POLICY(SLOWER), PAIR, steady, 5);
    plan_with(POLICY(SLOWER), MADE_BASE);
    for (int64_t r = 0; r < 6; r++) put_head(r, 0.003);
    struct tg_measurement *crashed = &run.rows[run.count - 2], *other = &run.rows[run.count - 1];
    tg_measurement_free(crashed);
    crashed->outcome = TG_CRASHED;
    other->unpaired = 1;
    struct tg_verdict v = judge();
    assert_int_equal(v.answer, TG_INCONCLUSIVE);
    assert_memory_equal(v.reason, "broken once and not yet repeated: ", 34);
    assert_true(v.wants_more && v.wants_head);
    put_head(6, 0.003);
    v = judge();
    assert_int_equal(v.answer, TG_PASS);
    assert_string_equal(v.word, "attention");
    assert_memory_equal(v.reason, "broken once, and repeated: ", 27);
}

/* A head that remembers its results was promoted so, and is where it was. */
static void an_impossible_head_is_not_unchanged(void **state)
{
    (void)state;
    static const struct {
        const char *policy, *block, *base;
    } cases[] = {{POLICY(SLOWER), PAIR, MADE_BASE},
                 {POLICY(SLOWER), PAIR, NULL},
                 {POLICY(SLOWER ", " CEILING), CELL, MADE_BASE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        end(NULL);
        store(cases[i].policy, cases[i].block, steady, 5);
        plan_with(cases[i].policy, cases[i].base);
        for (int64_t r = 0; r < 5; r++) put_head(r, 0.003);
        for (size_t k = 0; k < run.count; k++) run.rows[k].facts.limit_s = 40e-6;
        struct tg_verdict v = judge();
        assert_string_equal(v.word, "unchanged (baseline)");
        assert_true(fabs(v.of_share - 0.4) < 0.01);
        for (size_t k = 0; k < run.count; k++) run.rows[k].facts.limit_s = 0.5e-3;
        v = judge();
        assert_int_equal(v.answer, TG_INCONCLUSIVE);
        assert_string_equal(v.word, "impossible");
        assert_false(v.wants_more || v.wants_head || v.wants_last);
    }
}

static void the_text_of_a_plan_keeps_its_baselines(void **state)
{
    (void)state;
    store(POLICY(SLOWER), PAIR, steady, 5);
    plan_with(POLICY(SLOWER), MADE_BASE);
    char *before = tg_plan_text(&plan.asked, plan.workers, plan.worker_count);
    struct tg_plan again;
    struct tg_error err;
    if (tg_plan_make(MATRIX, "a.json", POLICY(SLOWER), before, &again, &err) < 0)
        fail_msg("%s", err.text);
    char *after = tg_plan_text(&again.asked, again.workers, again.worker_count);
    assert_string_equal(after, before);
    assert_string_equal(again.baseline_digest, plan.baseline_digest);
    char *rounds = strstr(before, "\"rounds\": 5");
    assert_non_null(rounds);
    rounds[10] = '6';
    tg_plan_release(&again);
    assert_int_equal(tg_plan_make(MATRIX, "a.json", POLICY(SLOWER), before, &again, &err), -1);
    assert_non_null(strstr(err.text, "baseline: it was edited"));
    free(before);
    free(after);
}

/* Numbers whose library is lost still say that there was such a kernel. */
static void a_kernel_that_head_lost_fails_without_the_library(void **state)
{
    (void)state;
    struct tg_asked asked = made_asked;
    store(POLICY(SLOWER), PAIR, steady, 5);
    asked.baselines = &baseline;
    asked.baseline_count = 1;
    for (int how = 0; how < 4; how++) {
        struct tg_capability worker = made_worker("a", how == 3 ? MADE_BASE : NULL);
        if (how != 1) made_lose(&worker.head, "i2s_avx2");
        if (how == 1) made_kernel(&worker.head, "i2s_avx2")->built = false;
        if (how == 2)
            snprintf(baseline.cells[0].metric, sizeof baseline.cells[0].metric, "load_time");
        made_plan(MATRIX, POLICY(SLOWER), &worker, 1, &asked, &plan);
        assert_int_equal(plan.prospects[0].fate, how == 2 ? TG_TO_SKIP : TG_TO_FAIL);
        assert_string_equal(plan.prospects[0].reason,
                            how == 2   ? "kernel 'i2s_avx2' is not in head"
                            : how == 3 ? "kernel 'i2s_avx2' is missing in head"
                                       : "kernel 'i2s_avx2' is missing in head; the stored "
                                         "baseline has it");
        tg_plan_release(&plan);
    }
}

/* Numbers whose library is lost: what they say nothing of was to be compared, and is not. */
static void tests_without_numbers_or_library_let_nothing_pass(void **state)
{
    (void)state;
    static const char two[] = POLICY(SLOWER ", " CEILING),
                      other[] = POLICY(SLOWER ", " CEILING " "); /* of the same rules */
    char text[400];
    store(two, CELL, steady, 5);
    plan_with(two, MADE_BASE);
    assert_true(tg_lookout_note(&plan, text, sizeof text));
    assert_memory_equal(text, "base is the library of a stored baseline, ", 42);
    tg_plan_release(&plan);
    plan_with(two, NULL);
    assert_false(plan.spec.tests[0].is_shadow);
    assert_true(tg_lookout_note(&plan, text, sizeof text));
    assert_memory_equal(text, "compared with the numbers of a stored baseline only", 51);
    tg_plan_release(&plan);
    struct tg_baseline_cell *gone = tg_baseline_add_cell(&baseline); /* of a row that was deleted */
    assert_non_null(gone);
    snprintf(gone->cell, sizeof gone->cell, "probe=kernel kernel=i2s_gone layer=640x2560");
    plan_with(two, NULL);
    assert_false(tg_lookout_note(&plan, text, sizeof text));
    assert_memory_equal(text, "cannot pass: the stored baseline has a cell that the matrix has",
                        63);
    assert_non_null(strstr(text, "i2s_gone"));
    tg_plan_release(&plan);
    plan_with(two, MADE_BASE); /* which says it of the kernel itself */
    assert_true(tg_lookout_note(&plan, text, sizeof text));
    tg_plan_release(&plan);
    baseline.cell_count--;
    plan_with(other, NULL);
    assert_true(plan.spec.tests[0].is_shadow);
    assert_false(tg_lookout_note(&plan, text, sizeof text));
    assert_memory_equal(text, "cannot pass: the stored baseline has no numbers for 1 test of", 61);
    tg_plan_release(&plan);
    snprintf(baseline.cells[0].metric, sizeof baseline.cells[0].metric, "load_time");
    plan_with(two, NULL);
    assert_false(tg_lookout_note(&plan, text, sizeof text));
    const size_t count = plan.asked.baseline_count;
    plan.asked.baseline_count = 0;
    assert_true(tg_lookout_note(&plan, text, sizeof text) && !*text);
    plan.asked.baseline_count = count;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        TEST(head_where_it_was_passes_without_base),
        TEST(an_alarm_leaves_it_to_the_duet),
        TEST(what_the_duet_shows_to_fail_is_not_quiet),
        TEST(a_copy_is_no_duet),
        TEST(sessions_that_scatter_leave_it_to_the_duet),
        TEST(without_the_library_an_alarm_is_suspect),
        TEST(too_few_sessions_without_the_library_say_nothing),
        TEST(head_alone_is_watched_where_the_plan_has_that_block),
        TEST(a_value_of_another_block_is_not_used),
        TEST(nor_is_one_of_another_policy_machine_or_program),
        TEST(times_of_other_canaries_say_nothing),
        TEST(a_wrong_head_fails_while_it_is_watched),
        TEST(a_head_that_crashes_while_it_is_watched_is_told),
        TEST(an_impossible_head_is_not_unchanged),
        TEST(the_text_of_a_plan_keeps_its_baselines),
        TEST(a_kernel_that_head_lost_fails_without_the_library),
        TEST(tests_without_numbers_or_library_let_nothing_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
