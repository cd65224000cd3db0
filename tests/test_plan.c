/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/made_run.h"
#include "worker/model/forward_device.h"
#include "worker/probe/probe.h"

#define MATRIX(kernels)                                                                            \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [" kernels           \
    "], \"layer\": [\"640x2560\"]}}"
#define POLICY(rules) "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": [" rules "]}"
#define BUILDS                                                                                     \
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\", \"of\": "         \
    "\"head\", \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05}"
#define RATIO                                                                                      \
    "{\"rule\": \"ratio\", \"metric\": \"call_time\", \"axis\": \"kernel\", \"of\": \"i2s_avx*\"," \
    " \"to\": \"i2s_scalar\", \"limit\": 1.5, \"where\": \"op=product\"}"
#define FLOOR                                                                                      \
    "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9, \"where\": "           \
    "\"op=product\"}"

static const char products[] = MATRIX("\"i2s_scalar\", \"i2s_avx2\", \"i2s_avx512vnni\"");

static struct tg_plan plan;

static int end(void **state)
{
    (void)state;
    tg_plan_release(&plan);
    return 0;
}

static void make(const char *matrix, const char *policy, struct tg_capability worker)
{
    tg_plan_release(&plan);
    made_plan(matrix, policy, &worker, 1, &made_asked, &plan);
}

static void assert_fate(size_t rule, const char *kernel, int fate, const char *reason)
{
    const struct tg_prospect *p = &plan.prospects[made_test(&plan, rule, kernel, 1)];
    assert_int_equal(p->fate, fate);
    assert_string_equal(p->reason, reason);
}

static void only_sampled_tests_that_count_share_the_error_rate(void **state)
{
    (void)state;
    static const char policy[] = POLICY(BUILDS ", " RATIO ", " FLOOR);
    make(products, policy, made_worker("a", MADE_BASE));
    assert_int_equal(plan.spec.test_count, 8);
    assert_int_equal(plan.required_count, 3); /* two builds and a ratio: no avx512vnni here */
    make(products, policy, made_worker("a", NULL));
    assert_int_equal(plan.spec.test_count, 8);
    assert_int_equal(plan.required_count, 1); /* shadows do not count */
    assert_true(plan.spec.tests[0].is_shadow);
    make(products, POLICY(FLOOR), made_worker("a", MADE_BASE));
    assert_int_equal(plan.required_count, 0);
}

static void what_one_worker_can_run_is_measured(void **state)
{
    (void)state;
    struct tg_capability workers[2] = {made_worker("a", MADE_BASE), made_worker("b", MADE_BASE)};
    made_kernel(&workers[1].head, "i2s_avx512vnni")->here = true;
    made_kernel(&workers[1].base, "i2s_avx512vnni")->here = true;
    made_plan(products, POLICY(BUILDS), workers, 2, &made_asked, &plan);
    assert_fate(0, "i2s_avx512vnni", TG_TO_MEASURE, "");
    assert_int_equal(plan.required_count, 3);
    const struct tg_block *block = &plan.spec.blocks[plan.spec.tests[2].block];
    char reason[400];
    assert_false(tg_plan_can_run(&plan, &plan.workers[0], block, reason, sizeof reason));
    assert_string_equal(reason, "instruction set 'avx512vnni' is not on this machine");
    assert_true(tg_plan_can_run(&plan, &plan.workers[1], block, reason, sizeof reason));
}

/* A pair needs two processes; memory_share, 0.7, of what was announced is for them. */
static void a_block_goes_where_it_fits(void **state)
{
    (void)state;
    char reason[400], wanted[200];
    struct tg_capability workers[2] = {made_worker("a", MADE_BASE), made_worker("b", MADE_BASE)};
    workers[0].head.memory_bytes = 1000000;
    workers[1].head.memory_bytes = INT64_C(64) << 30;
    made_plan(products, POLICY(BUILDS), workers, 2, &made_asked, &plan);
    assert_fate(0, "i2s_avx2", TG_TO_MEASURE, "");
    const struct tg_block *block = &plan.spec.blocks[plan.spec.tests[0].block];
    int64_t need = 2 * tg_probe_bytes(&block->cells[0], "");
    assert_true(need > 700000);
    assert_false(tg_plan_can_run(&plan, &plan.workers[0], block, reason, sizeof reason));
    snprintf(wanted, sizeof wanted,
             "%lld bytes of memory are needed, 700000 are available to the block", (long long)need);
    assert_string_equal(reason, wanted);
    assert_true(tg_plan_can_run(&plan, &plan.workers[1], block, reason, sizeof reason));

    struct tg_capability small = made_worker("a", MADE_BASE);
    small.head.memory_bytes = 1000000;
    make(products, POLICY(BUILDS), small);
    assert_fate(0, "i2s_avx2", TG_TO_SKIP, wanted); /* and it is no kernel that head lost */
}

static void what_nobody_can_run_is_skipped_with_the_reason(void **state)
{
    (void)state;
    struct tg_capability worker = made_worker("a", MADE_BASE);
    made_lose(&worker.base, "i2s_avx2");
    make(products, POLICY(BUILDS ", " RATIO), worker);
    assert_fate(0, "i2s_scalar", TG_TO_MEASURE, "");
    assert_fate(0, "i2s_avx2", TG_TO_MEASURE, ""); /* beside its copy */
    assert_true(plan.spec.tests[made_test(&plan, 0, "i2s_avx2", 1)].is_shadow);
    assert_false(plan.spec.tests[made_test(&plan, 0, "i2s_scalar", 1)].is_shadow);
    assert_fate(1, "i2s_avx2", TG_TO_MEASURE, ""); /* head's two kernels are there */
    assert_fate(0, "i2s_avx512vnni", TG_TO_SKIP,
                "instruction set 'avx512vnni' is not on this machine");
    make(MATRIX("\"i2s_scalar\", \"neon_*\""), POLICY(BUILDS), made_worker("a", MADE_BASE));
    assert_fate(0, "neon_*", TG_TO_SKIP, "no kernel of this build matches 'neon_*'");
}

/* Whatever a rule compares it with: what base can do and head cannot is a regression. */
static void a_kernel_that_head_lost_fails(void **state)
{
    (void)state;
    static const char policy[] = POLICY(BUILDS ", " RATIO ", " FLOOR);
    static const char missing[] = "kernel 'i2s_avx2' is missing in head";
    for (int how = 0; how < 3; how++) {
        struct tg_capability worker = made_worker("a", MADE_BASE);
        if (how == 0) made_lose(&worker.head, "i2s_avx2");
        if (how == 1) made_kernel(&worker.head, "i2s_avx2")->built = false;
        if (how == 2) made_kernel(&worker.head, "i2s_avx2")->here = false;
        make(products, policy, worker);
        for (size_t rule = 0; rule < 3; rule++)
            assert_fate(rule, "i2s_avx2", TG_TO_FAIL,
                        how < 2 ? missing
                                : "base can run it here and head cannot: instruction set 'avx2' "
                                  "is not on this machine");
        assert_fate(0, "i2s_scalar", TG_TO_MEASURE, "");
    }
    struct tg_capability worker = made_worker("a", MADE_BASE);
    made_lose(&worker.head, "i2s_scalar");
    make(products, policy, worker);
    assert_fate(1, "i2s_avx2", TG_TO_FAIL, "kernel 'i2s_scalar' is missing in head");
    worker = made_worker("a", MADE_BASE);
    made_lose(&worker.head, "i2s_avx512vnni"); /* nor could base run it here */
    make(products, policy, worker);
    assert_fate(0, "i2s_avx512vnni", TG_TO_SKIP, "kernel 'i2s_avx512vnni' is not in head");
}

static void put_on_device(struct tg_survey *survey)
{
    struct tg_survey_kernel *k = made_kernel(survey, "i2s_avx2");
    snprintf(k->name, sizeof k->name, "fake_product");
    snprintf(k->isa, sizeof k->isa, "fake");
    snprintf(k->device, sizeof k->device, "fake");
}

/* Its cells of base are skipped by name, which says nothing of what head has lost. */
static void a_kernel_of_a_device_that_head_lost_fails_for_whole_models(void **state)
{
    (void)state;
    static const char model[] =
        "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"model\"], \"kernel\": "
        "[\"fake_product\"], \"model\": [\"bitnet-2b\"], \"profile\": "
        "[\"decode_32\"]}}";
    static const char policy[] = POLICY(
        "{\"rule\": \"floor\", \"metric\": \"decode_rate\", \"limit\": 1}");
    if (!tg_forward_device_find("fake")) skip();
    for (int how = 0; how < 4; how++) {
        struct tg_capability worker = made_worker("a", MADE_BASE);
        put_on_device(&worker.head);
        put_on_device(&worker.base);
        if (how == 1) made_lose(&worker.head, "fake_product");
        if (how == 2) made_kernel(&worker.head, "fake_product")->built = false;
        if (how == 3) made_lose(&worker.head, "fake_product");
        if (how == 3) made_kernel(&worker.base, "fake_product")->here = false;
        make(model, policy, worker);
        assert_fate(0, "fake_product",
                    how == 0  ? TG_TO_MEASURE
                    : how < 3 ? TG_TO_FAIL
                              : TG_TO_SKIP,
                    how == 0  ? ""
                    : how < 3 ? "kernel 'fake_product' is missing in head"
                              : "kernel 'fake_product' is not in head");
    }
}

static void without_a_base_a_kernel_that_is_not_there_is_skipped(void **state)
{
    (void)state;
    struct tg_capability worker = made_worker("a", NULL);
    made_lose(&worker.head, "i2s_avx2");
    make(products, POLICY(BUILDS ", " FLOOR), worker);
    assert_fate(0, "i2s_avx2", TG_TO_SKIP, "kernel 'i2s_avx2' is not in head");
    assert_fate(1, "i2s_avx2", TG_TO_SKIP, "kernel 'i2s_avx2' is not in head");
}

static void a_kernel_of_a_survey_may_be_named(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_capability worker = made_worker("a", MADE_BASE);
    snprintf(worker.head.kernels[1].name, TG_TEXT_SIZE, "i2s_novel");
    make(MATRIX("\"i2s_n*\""), POLICY(BUILDS), worker);
    assert_fate(0, "i2s_novel", TG_TO_MEASURE, "");
    assert_true(plan.spec.tests[made_test(&plan, 0, "i2s_novel", 1)].is_shadow);
    worker = made_worker("a", MADE_BASE);
    tg_plan_release(&plan);
    assert_int_equal(
        made_try(MATRIX("\"i2s_novel\""), POLICY(BUILDS), &worker, 1, &made_asked, &plan, &err),
        -1);
    assert_non_null(strstr(err.text, "matrix 'a.json': line 1: "));
    assert_non_null(strstr(err.text, "no such kernel 'i2s_novel'"));
}

/* Asserts that workers (which are released) are refused with that sentence. */
static void assert_refused(struct tg_capability *workers, size_t count,
                           const struct tg_asked *asked, const char *sentence)
{
    struct tg_error err = {""};
    struct tg_plan untouched = {.worker_count = 77};
    assert_int_equal(made_try(products, POLICY(BUILDS), workers, count, asked, &untouched, &err),
                     -1);
    assert_string_equal(err.text, sentence);
    assert_int_equal(untouched.worker_count, 77);
}

static void the_same_file_is_compared_with_itself_only_on_demand(void **state)
{
    (void)state;
    struct tg_asked asked = made_asked;
    struct tg_capability worker = made_worker("a", MADE_HEAD);
    assert_refused(&worker, 1, &asked,
                   "base and head are the same file; --same compares it with itself");
    asked.is_same = true;
    worker = made_worker("a", MADE_HEAD);
    made_plan(products, POLICY(BUILDS), &worker, 1, &asked, &plan);
    assert_true(plan.has_base && plan.asked.is_same);
    assert_false(plan.spec.tests[0].is_shadow);
}

static void workers_must_have_the_same_libraries(void **state)
{
    (void)state;
    struct tg_capability workers[2] = {made_worker("a", MADE_BASE), made_worker("b", MADE_BASE)};
    workers[1].head.digest[5] = 'f';
    assert_refused(workers, 2, &made_asked, "head on node 'b' is not the file it is on node 'a'");
    workers[0] = made_worker("a", MADE_BASE);
    workers[1] = made_worker("b", MADE_BASE);
    workers[1].base.digest[5] = 'f';
    assert_refused(workers, 2, &made_asked, "base on node 'b' is not the file it is on node 'a'");
    workers[0] = made_worker("a", NULL);
    workers[1] = made_worker("b", MADE_BASE);
    assert_refused(workers, 2, &made_asked, "base on node 'b' is not the file it is on node 'a'");
}

static void a_model_file_that_no_cell_is_of_may_be_another_on_each_node(void **state)
{
    (void)state;
    struct tg_capability workers[2] = {made_worker("a", MADE_BASE), made_worker("b", MADE_BASE)};
    workers[1].head.model_digest[0] = 'f';
    made_plan(products, POLICY(BUILDS), workers, 2, &made_asked, &plan);
}

static void a_filter_leaves_the_cells_that_match(void **state)
{
    (void)state;
    struct tg_asked asked = made_asked;
    snprintf(asked.filter, sizeof asked.filter, "isa=avx2");
    struct tg_capability worker = made_worker("a", MADE_BASE);
    made_plan(products, POLICY(BUILDS), &worker, 1, &asked, &plan);
    assert_int_equal(plan.spec.test_count, 1);
    assert_string_equal(plan.spec.tests[0].of.kernel, "i2s_avx2");
    snprintf(asked.filter, sizeof asked.filter, "batch=8");
    worker = made_worker("a", MADE_BASE);
    assert_refused(&worker, 1, &asked, "no cell of the matrix matches 'batch=8'");
    snprintf(asked.filter, sizeof asked.filter, "size=8");
    worker = made_worker("a", MADE_BASE);
    assert_refused(&worker, 1, &asked, "unknown axis 'size' in 'size=8'");
}

static void the_text_of_a_plan_makes_the_same_text(void **state)
{
    (void)state;
    struct tg_asked asked = {.seed = "123456789012345",
                             .filter = "isa=avx2",
                             .budget_s = 0.1 + 0.2,
                             .is_same = true,
                             .program = "0123"};
    struct tg_capability workers[2] = {made_worker("a", MADE_BASE), made_worker("b", MADE_BASE)};
    workers[1].head.injected_percent = 5;
    workers[1].base.is_debug = true;
    snprintf(workers[1].hardware, sizeof workers[1].hardware, "0123456789abcdef");
    snprintf(workers[1].machine, sizeof workers[1].machine, "cores=2 kernel=6.8");
    char *before = tg_plan_text(&asked, workers, 2);
    made_plan(products, POLICY(BUILDS), workers, 2, &asked, &plan);
    char *after = tg_plan_text(&plan.asked, plan.workers, plan.worker_count);
    assert_string_equal(after, before);
    assert_true(plan.asked.budget_s == asked.budget_s);
    assert_string_equal(plan.workers[1].host, "b");
    assert_string_equal(plan.workers[1].hardware, "0123456789abcdef");
    assert_string_equal(plan.workers[1].machine, "cores=2 kernel=6.8");
    assert_true(plan.workers[1].base.is_debug && plan.workers[1].head.injected_percent == 5);
    assert_false(plan.asked.is_imported);
    free(before);
    free(after);
}

static void a_plan_says_that_it_was_imported(void **state)
{
    (void)state;
    struct tg_asked asked = {.seed = "unknown", .is_imported = true, .is_matrix_seen = true};
    struct tg_capability worker = made_worker("a", MADE_BASE);
    made_kernel(&worker.head, "i2s_avx2")->built = false; /* it was run, wherever that was */
    char *before = tg_plan_text(&asked, &worker, 1);
    made_plan(products, POLICY(BUILDS), &worker, 1, &asked, &plan);
    char *after = tg_plan_text(&plan.asked, plan.workers, plan.worker_count);
    assert_string_equal(after, before);
    assert_true(plan.asked.is_imported && plan.asked.is_matrix_seen);
    for (size_t i = 0; i < plan.spec.test_count; i++) {
        bool is_here = strcmp(plan.spec.tests[i].of.kernel, "i2s_avx512vnni") != 0;
        assert_int_equal(plan.prospects[i].fate, is_here ? TG_TO_MEASURE : TG_TO_SKIP);
        assert_true(is_here || strstr(plan.prospects[i].reason, "has no line from this hardware"));
    }
    free(before);
    free(after);
}

static void a_plan_is_of_a_step_of_its_flow(void **state)
{
    (void)state;
    static const char policy[] =
        "{\"tritgate_policy\": 1, \"flow\": \"review\", \"steps\": [{\"name\": \"one\", \"limits\":"
        " {\"rounds_min\": 9}}, {\"name\": \"two\"}], \"rules\": [{\"rule\": \"floor\", \"metric\":"
        " \"kernel_accuracy\", \"limit\": 0.9}, {\"rule\": \"floor\", \"metric\": \"codec_exact\","
        " \"limit\": 1, \"step\": \"one\"}]}";
    static const struct {
        const char *flow, *step;
        int64_t rounds_min;
        size_t rules;
    } rows[] = {{"", "one", 9, 2},       {"review", "one", 9, 2}, {"", "", 5, 1},
                {"review", "two", 5, 1}, {"other", "one", 5, 1},  {"other", "three", 5, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_asked asked = made_asked;
        struct tg_capability worker = made_worker("a", NULL);
        snprintf(asked.flow, sizeof asked.flow, "%s", rows[i].flow);
        snprintf(asked.step, sizeof asked.step, "%s", rows[i].step);
        made_plan(products, policy, &worker, 1, &asked, &plan);
        assert_int_equal(plan.policy.limits.rounds_min, rows[i].rounds_min);
        assert_int_equal(plan.policy.rule_count, rows[i].rules);
        assert_string_equal(plan.asked.step, rows[i].step);
        tg_plan_release(&plan);
    }
    struct tg_asked asked = made_asked;
    struct tg_capability worker = made_worker("a", NULL);
    struct tg_error err;
    snprintf(asked.step, sizeof asked.step, "three");
    assert_int_equal(made_try(products, policy, &worker, 1, &asked, &plan, &err), -1);
    assert_string_equal(err.text, "policy: the policy has no step 'three', it has one, two");
}

static void texts_that_are_no_plan_are_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "plan.json: "},
        {"[]", "an object is expected"},
        {"{}", "not a plan of this version"},
        {"{\"tritgate_plan\": 2, \"workers\": [{}]}", "not a plan of this version"},
        {"{\"tritgate_plan\": 1, \"workers\": []}", "not a plan of this version"},
        {"{\"tritgate_plan\": 1, \"workers\": [{}]}", "not a survey"},
        {"{\"tritgate_plan\": 1, \"workers\": [{\"error\": \"no library\"}]}", "no library"},
        {"{\"tritgate_plan\": 1, \"workers\": [], \"x\": 1}", "unknown key 'x'"},
    };
    struct tg_error err;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(tg_plan_make(products, "a.json", POLICY(BUILDS), rows[i][0], &plan, &err),
                         -1);
        if (!strstr(err.text, rows[i][1])) fail_msg("%s", err.text);
        assert_null(plan.workers);
    }
}

static void what_is_wrong_is_said_with_the_file_it_is_in(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_capability worker = made_worker("a", MADE_BASE);
    assert_int_equal(made_try("{", POLICY(BUILDS), &worker, 1, &made_asked, &plan, &err), -1);
    assert_true(strncmp(err.text, "matrix: line 1", 14) == 0);
    worker = made_worker("a", MADE_BASE);
    assert_int_equal(made_try(products, POLICY(), &worker, 1, &made_asked, &plan, &err), -1);
    assert_true(strncmp(err.text, "policy: line 1", 14) == 0);
    worker = made_worker("a", MADE_BASE);
    assert_int_equal(
        made_try(MATRIX("\"i2s_avx2\", 7"), POLICY(BUILDS), &worker, 1, &made_asked, &plan, &err),
        -1);
    assert_true(strncmp(err.text, "matrix 'a.json': line 1: ", 25) == 0);
}

static void workers_that_can_run_the_same_are_alike_wherever_they_are(void **state)
{
    (void)state;
    struct tg_error err;
    size_t first[5];
    struct tg_capability workers[] = {made_worker("a", MADE_BASE), made_worker("b", MADE_BASE),
                                      made_worker("c", MADE_BASE), made_worker("d", MADE_BASE),
                                      made_worker("e", MADE_BASE)};
    snprintf(workers[1].domain, sizeof workers[1].domain, "1");
    made_kernel(&workers[2].head, "i2s_avx512vnni")->here = true;
    made_kernel(&workers[4].head, "i2s_avx512vnni")->here = true;
    snprintf(workers[3].hardware, sizeof workers[3].hardware, "another");
    assert_int_equal(tg_plan_liken(workers, 5, first, &err), 0);
    static const size_t wanted[] = {0, 0, 2, 3, 2};
    assert_memory_equal(first, wanted, sizeof wanted);
    for (size_t w = 0; w < 5; w++) tg_plan_capability_release(&workers[w]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        TEST(only_sampled_tests_that_count_share_the_error_rate),
        TEST(what_one_worker_can_run_is_measured),
        TEST(a_block_goes_where_it_fits),
        TEST(what_nobody_can_run_is_skipped_with_the_reason),
        TEST(a_kernel_that_head_lost_fails),
        TEST(a_kernel_of_a_device_that_head_lost_fails_for_whole_models),
        TEST(without_a_base_a_kernel_that_is_not_there_is_skipped),
        TEST(a_kernel_of_a_survey_may_be_named),
        TEST(the_same_file_is_compared_with_itself_only_on_demand),
        TEST(workers_must_have_the_same_libraries),
        TEST(a_model_file_that_no_cell_is_of_may_be_another_on_each_node),
        TEST(a_filter_leaves_the_cells_that_match),
        TEST(the_text_of_a_plan_makes_the_same_text),
        TEST(a_plan_is_of_a_step_of_its_flow),
        TEST(a_plan_says_that_it_was_imported),
        TEST(texts_that_are_no_plan_are_refused),
        TEST(what_is_wrong_is_said_with_the_file_it_is_in),
        TEST(workers_that_can_run_the_same_are_alike_wherever_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
