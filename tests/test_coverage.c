/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/coverage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/made_run.h"

#define MATRIX                                                                                     \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_scalar\","    \
    " \"i2s_avx2\", \"i2s_avx512vnni\"], \"layer\": [\"640x2560\"], \"threads\": [1, 8]}}"
#define POLICY(rules) "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": [" rules "]}"
#define RATIO(more)                                                                                \
    "{\"rule\": \"ratio\", \"name\": \"fast\", \"metric\": \"call_time\", \"axis\": \"kernel\","   \
    " \"of\": \"i2s_scalar\", \"where\": \"threads=1\", \"limit\": 2" more "}"
#define RIVALS      ", \"against\": \"isa=avx* threads=*\""
#define REQUIRED    ", \"required\": true"
#define FLOOR(more) "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9" more "}"

static struct tg_plan plan;
static char text[400];

/* What is lacking on workers with so many cores (0: no such worker), the second of another class.
 */
static const char *lacks(const char *policy, int64_t cores, int64_t other_cores)
{
    struct tg_capability workers[2] = {made_worker("a", NULL), made_worker("b", NULL)};
    tg_plan_release(&plan);
    workers[0].head.cores = cores;
    workers[1].head.cores = other_cores;
    snprintf(workers[1].hardware, sizeof workers[1].hardware, "another");
    if (!other_cores) tg_plan_capability_release(&workers[1]);
    made_plan(MATRIX, policy, workers, other_cores ? 2 : 1, &made_asked, &plan);
    struct tg_verdict *verdicts = calloc(plan.spec.test_count, sizeof *verdicts);
    assert_non_null(verdicts);
    for (size_t i = 0; i < plan.spec.test_count; i++) {
        bool is_skipped = plan.prospects[i].fate == TG_TO_SKIP;
        tg_rule_say(&verdicts[i], is_skipped ? TG_SKIP : TG_INCONCLUSIVE, "", "%s",
                    plan.prospects[i].reason);
    }
    bool lacks_some = tg_coverage_lacks(&plan, verdicts, text, sizeof text);
    assert_int_equal(lacks_some, *text != 0);
    free(verdicts);
    return text;
}

static int end(void **state)
{
    (void)state;
    tg_plan_release(&plan);
    return 0;
}

static void what_nobody_requires_is_not_missed(void **state)
{
    (void)state;
    assert_string_equal(lacks(POLICY(RATIO(RIVALS)), 4, 0), "");
    assert_string_equal(lacks(POLICY(FLOOR("")), 4, 0), "");
}

/* A machine has no avx512vnni, and its best kernel is avx2's; but not with 8 threads. */
static void rivals_that_a_machine_has_not_are_none(void **state)
{
    (void)state;
    assert_string_equal(lacks(POLICY(RATIO(RIVALS REQUIRED)), 8, 0), "");
    assert_string_equal(
        lacks(POLICY(RATIO(RIVALS REQUIRED)), 4, 0),
        "fast (2 tests); the first: 8 threads need as many cores, a cell here has at most 4");
}

static void whom_a_rule_names_must_be_there(void **state)
{
    (void)state;
    static const char to[] = ", \"to\": \"i2s_avx512vnni\"";
    char policy[1000];
    snprintf(policy, sizeof policy, POLICY(RATIO("%s%s")), to, REQUIRED);
    assert_non_null(
        strstr(lacks(policy, 8, 0), "fast (1 test); the first: instruction set 'avx512vnni' "));
    assert_non_null(
        strstr(lacks(POLICY(FLOOR(REQUIRED)), 8, 0), "kernel_accuracy (2 tests); the first: "));
}

static void one_class_of_machines_is_enough(void **state)
{
    (void)state;
    assert_string_equal(lacks(POLICY(RATIO(RIVALS REQUIRED)), 4, 8), "");
    assert_string_equal(lacks(POLICY(RATIO(RIVALS REQUIRED)), 8, 4), "");
    assert_non_null(
        strstr(lacks(POLICY(RATIO(RIVALS REQUIRED)), 4, 2), "fast (4 tests); the first: "));
}

static void a_rule_that_selects_nothing_is_missing(void **state)
{
    (void)state;
    static const char nothing[] = ", \"where\": \"batch=77\"";
    char policy[1000];
    snprintf(policy, sizeof policy, POLICY(FLOOR("") ", " FLOOR("%s%s")), nothing, REQUIRED);
    assert_string_equal(lacks(policy, 8, 0), "kernel_accuracy (selects nothing)");
    snprintf(policy, sizeof policy, POLICY(FLOOR("%s%s") ", " RATIO(RIVALS REQUIRED)), nothing,
             REQUIRED);
    assert_non_null(strstr(lacks(policy, 4, 0),
                           "kernel_accuracy (selects nothing), fast (2 tests); the first: "));
}

#define BUILDS(where)                                                                              \
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\", \"of\": "         \
    "\"head\", \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05" where "}"

/* Whether a base of all of head's kernels, or of all but avx2's, is compared with nothing. */
static bool is_idle(const char *matrix, const char *policy, const char *base, bool has_avx2,
                    size_t changed)
{
    struct tg_capability worker = made_worker("a", base);
    struct tg_asked asked = made_asked;
    asked.changed.path_count = asked.changed.cell_count = changed;
    snprintf(asked.changed.cells[0], sizeof *asked.changed.cells, "kernel=*");
    if (!has_avx2) made_lose(&worker.base, "i2s_avx2");
    tg_plan_release(&plan);
    made_plan(matrix, policy, &worker, 1, &asked, &plan);
    return tg_coverage_has_idle_base(&plan, &(struct tg_run){0});
}

static void a_base_is_there_to_be_compared(void **state)
{
    (void)state;
    static const char all[] = POLICY(BUILDS("") ", " FLOOR("")), floors[] = POLICY(FLOOR(""));
    static const char avx2[] = POLICY(BUILDS(", \"where\": \"kernel=i2s_avx2\"") ", " FLOOR(""));
    static const char typo[] = POLICY(BUILDS(", \"where\": \"kernel=avx_*\"") ", " FLOOR(""));
    assert_false(is_idle(MATRIX, all, MADE_BASE, true, 0));
    assert_false(is_idle(MATRIX, all, MADE_BASE, false, 0)); /* the others are compared */
    assert_false(is_idle(MATRIX, avx2, MADE_BASE, true, 0));
    assert_true(is_idle(MATRIX, avx2, MADE_BASE, false, 0));
    assert_false(is_idle(MATRIX, avx2, MADE_BASE, false, 1)); /* a change that adds it */
    assert_true(is_idle(MATRIX, typo, MADE_BASE, true, 0));
    assert_false(is_idle(MATRIX, typo, NULL, true, 0));
    assert_false(is_idle(MATRIX, floors, MADE_BASE, true, 0));
    static const char copy[] = POLICY(
        BUILDS(", \"where\": \"kernel=avx_*\"") ", "
                                                "{\"rule\": \"noninferior\", \"metric\": "
                                                "\"call_time\", \"axis\": \"build\", \"of\": "
                                                "\"head\", \"to\": \"copy\", \"tolerance\": 0.02, "
                                                "\"margin\": 0.05}");
    static const char optional[] = POLICY(
        BUILDS(", \"where\": \"kernel=avx_*\", \"optional\": true") ", " FLOOR(""));
    assert_true(is_idle(MATRIX, copy, MADE_BASE, true, 0));
    assert_false(is_idle(MATRIX, optional, MADE_BASE, true, 0));
}

/* Of lines from elsewhere only those that are there compare. */
static void an_imported_base_is_compared_where_it_has_rows(void **state)
{
    (void)state;
    static const char all[] = POLICY(BUILDS("") ", " FLOOR("")), floors[] = POLICY(FLOOR(""));
    static const char typo[] = POLICY(BUILDS(", \"where\": \"kernel=avx_*\"") ", " FLOOR(""));
    static struct tg_measurement row;
    const struct tg_run none = {0}, one = {.rows = &row, .count = 1};
    assert_false(is_idle(MATRIX, all, MADE_BASE, true, 0));
    plan.asked.is_imported = true;
    assert_true(tg_coverage_has_idle_base(&plan, &none));
    snprintf(row.block, sizeof row.block, "%s", plan.spec.blocks[plan.spec.tests[0].block].text);
    assert_false(tg_coverage_has_idle_base(&plan, &one));
    plan.has_base = false;
    assert_false(tg_coverage_has_idle_base(&plan, &none));
    is_idle(MATRIX, typo, MADE_BASE, true, 0);
    plan.asked.is_imported = true;
    assert_true(tg_coverage_has_idle_base(&plan, &one));
    is_idle(MATRIX, floors, MADE_BASE, true, 0);
    plan.asked.is_imported = true;
    assert_false(tg_coverage_has_idle_base(&plan, &one));
}

static void a_pattern_that_nothing_matches_is_named(void **state)
{
    (void)state;
    static const char matrix[] = "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], "
                                 "\"kernel\": [\"i2s_scalar\", \"typo*\"], \"layer\": "
                                 "[\"640x2560\"], \"threads\": [1, 8]}}";
    is_idle(matrix, POLICY(FLOOR("")), MADE_BASE, true, 0);
    assert_true(tg_coverage_has_idle_patterns(&plan, text, sizeof text));
    assert_string_equal(text, "kernel 'typo*'");
    is_idle(MATRIX, POLICY(FLOOR("")), MADE_BASE, true, 0);
    assert_false(tg_coverage_has_idle_patterns(&plan, text, sizeof text));
}

/* What stood in for base is not what was asked for. */
static void builds_that_must_be_compared_need_a_base(void **state)
{
    (void)state;
    static const char all[] = POLICY(BUILDS(REQUIRED) ", " FLOOR(""));
    static const char copy[] = POLICY(
        "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\", \"of\": "
        "\"head\", \"to\": \"copy\", \"tolerance\": 0.02, \"margin\": 0.05" REQUIRED
        "}, " FLOOR(""));
    assert_string_equal(lacks(all, 8, 0),
                        "call_time (6 tests); the first: there is no base to compare with");
    assert_string_equal(lacks(POLICY(BUILDS("") ", " FLOOR("")), 8, 0), "");
    assert_non_null(strstr(lacks(copy, 8, 0), "call_time (2 tests); the first: instruction set"));
    struct tg_capability worker = made_worker("a", MADE_BASE);
    tg_plan_release(&plan);
    made_kernel(&worker.head, "i2s_avx512vnni")->here = true;
    worker.head.cores = 8;
    made_plan(MATRIX, all, &worker, 1, &made_asked, &plan);
    struct tg_verdict *verdicts = calloc(plan.spec.test_count, sizeof *verdicts);
    assert_non_null(verdicts);
    for (size_t i = 0; i < plan.spec.test_count; i++)
        tg_rule_say(&verdicts[i], TG_PASS, "unchanged", "%s", "");
    assert_false(tg_coverage_lacks(&plan, verdicts, text, sizeof text));
    free(verdicts);
}

static void cells_that_no_rule_asks_for_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *policy;
        size_t count, first; /* of six: of scalar, avx2 and avx512vnni, which cannot be run */
    } rows[] = {
        {POLICY(FLOOR("")), 0, 0},
        {POLICY(FLOOR(", \"where\": \"threads=1\"")), 2, 1},
        {POLICY(FLOOR(", \"where\": \"kernel=i2s_avx2\"")), 2, 0},
        {POLICY(RATIO(", \"to\": \"i2s_avx2\"")), 2, 1}, /* whom it is compared with is asked for */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t places[6], count = 9;
        struct tg_capability worker = made_worker("a", NULL);
        tg_plan_release(&plan);
        made_plan(MATRIX, rows[i].policy, &worker, 1, &made_asked, &plan);
        assert_int_equal(tg_coverage_find_unasked(&plan, places, &count, NULL), 0);
        assert_int_equal(count, rows[i].count);
        if (count) assert_int_equal(places[0], rows[i].first);
    }
}

/* Those that nobody can run here are not measured either. */
static void kernels_that_base_has_not_are_counted(void **state)
{
    (void)state;
    static const char policy[] = POLICY(
        "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\", \"of\": "
        "\"head\", \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05}");
    for (int lost = 0; lost < 3; lost++) {
        struct tg_capability worker = made_worker("a", MADE_BASE);
        tg_plan_release(&plan);
        if (lost > 0) made_lose(&worker.base, "i2s_avx512vnni");
        if (lost > 1) made_lose(&worker.base, "i2s_avx2");
        made_plan(MATRIX, policy, &worker, 1, &made_asked, &plan);
        assert_int_equal(tg_coverage_count_new(&plan), lost > 1 ? 2 : 0); /* with 1 thread and 8 */
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        TEST(what_nobody_requires_is_not_missed),
        TEST(rivals_that_a_machine_has_not_are_none),
        TEST(whom_a_rule_names_must_be_there),
        TEST(one_class_of_machines_is_enough),
        TEST(a_rule_that_selects_nothing_is_missing),
        TEST(a_base_is_there_to_be_compared),
        TEST(an_imported_base_is_compared_where_it_has_rows),
        TEST(a_pattern_that_nothing_matches_is_named),
        TEST(builds_that_must_be_compared_need_a_base),
        TEST(cells_that_no_rule_asks_for_are_found),
        TEST(kernels_that_base_has_not_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
