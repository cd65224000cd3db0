/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/candidate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/made_run.h"

#define MATRIX                                                                                     \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\"],"     \
    " \"model\": [\"bitnet-2b\", \"bitnet-3b\"], \"layer\": [\"attn_q\"]}}"
#define SLOWER(margin, more)                                                                       \
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\", \"of\": "         \
    "\"head\", \"to\": \"base\", \"tolerance\": 0.02, \"margin\": " margin more "}"
#define CEILING "{\"rule\": \"ceiling\", \"metric\": \"call_time\", \"limit\": 1}"
#define POLICY(rules)                                                                              \
    "{\"tritgate_policy\": 1, \"flow\": \"review\", \"limits\": {\"rounds_min\": 5}, "             \
    "\"rules\": [" rules "]}"

static struct tg_plan plan;
static struct tg_run run;
static struct tg_rows *rows;

static int end(void **state)
{
    (void)state;
    tg_rows_destroy(rows);
    rows = NULL;
    tg_store_release(&run);
    tg_plan_release(&plan);
    return 0;
}

static void plan_for(const char *policy, const char *base)
{
    struct tg_capability worker = made_worker("a", base);
    snprintf(worker.hardware, sizeof worker.hardware, "0123456789abcdef");
    snprintf(worker.machine, sizeof worker.machine, "cores=2");
    made_plan(MATRIX, policy, &worker, 1, &made_asked, &plan);
}

static void sort_rows(void)
{
    assert_int_equal(tg_rows_create(&plan, &rows, NULL), 0);
    for (size_t i = 0; i < run.count; i++)
        assert_int_equal(tg_rows_add(rows, &run.rows[i], NULL), 0);
}

/* Rounds of a pair in which head takes e^values[i] * 100 us, given in another order. */
static void put_rounds(size_t test, const double *values, int64_t count)
{
    for (int64_t r = count; r-- > 0;) made_round(&run, &plan, test, r, values[r]);
}

static struct tg_candidate take(size_t test, int64_t rounds)
{
    struct tg_candidate taken;
    struct tg_error err;
    size_t count;
    const struct tg_test *t = &plan.spec.tests[test];
    const struct tg_measurement *const *own = tg_rows_of(rows, t->block, &count);
    struct tg_limits limits = plan.policy.limits;
    limits.rounds_min = rounds;
    if (tg_candidate_take(own, count, &t->of, "call_time", &limits, &taken, &err) < 0)
        fail_msg("%s", err.text);
    return taken;
}

/* Whatever came later, and in whichever order rows are stored. */
static void a_candidate_is_of_its_first_rounds(void **state)
{
    (void)state;
    static const double values[] = {0.3, 0.1, 0.2, 5, 5};
    plan_for(POLICY(SLOWER("0.05", "")), NULL);
    put_rounds(0, values, 5);
    sort_rows();
    struct tg_candidate taken = take(0, 3);
    assert_int_equal(taken.rounds, 3);
    assert_true(fabs(taken.value - (log(1e-4) + 0.2)) < 1e-12);
    assert_string_equal(taken.limited_by, "none");
    assert_true(isnan(taken.canary_dot));
    assert_int_equal(take(0, 5).rounds, 5);
    assert_int_equal(take(0, 6).rounds, 0);
    assert_true(isnan(take(0, 6).value));
}

static void a_round_that_broke_is_none(void **state)
{
    (void)state;
    static const double values[] = {0.1, 0.1};
    plan_for(POLICY(SLOWER("0.05", "")), NULL);
    put_rounds(0, values, 2);
    made_broken(&run, &plan, 0, 2, TG_MEASURED, TG_CRASHED, "signal 11");
    made_broken(&run, &plan, 0, 3, TG_LATE, TG_MEASURED, "killed");
    sort_rows();
    assert_int_equal(take(0, 2).rounds, 2);
    assert_int_equal(take(0, 3).rounds, 0);
}

/* As the gate leaves them out: a round that one side's clock discards, and one that was disturbed.
 */
static void a_round_that_does_not_count_is_none(void **state)
{
    (void)state;
    static const double values[] = {-5, 0.1, 0.2, -5, 0.3, 0.2, 0.2, 0.2, 0.2, 0.2};
    static const char policy[] =
        "{\"tritgate_policy\": 1, \"flow\": \"review\", \"limits\": {\"steal_share\": 0.01, "
        "\"throttled_share\": 0.2, \"disturbed_share\": 0.2}, \"rules\": [" SLOWER("0.05", "") "]}";
    plan_for(policy, NULL);
    put_rounds(0, values, 10);
    for (size_t i = 0; i < run.count; i++) {
        struct tg_facts *facts = &run.rows[i].facts;
        bool is_copy = strcmp(run.rows[i].cell.build, "copy") == 0;
        facts->sampled_s = 1;
        facts->own_steal_s = run.rows[i].round == 0 && is_copy ? 0.02 : 0;
        facts->sm_clock_hz = run.rows[i].round == 3 && is_copy ? 1e9 : 2e9;
    }
    sort_rows();
    struct tg_candidate taken = take(0, 3);
    assert_int_equal(taken.rounds, 3);
    assert_true(fabs(taken.value - (log(1e-4) + 0.2)) < 1e-12);
    assert_int_equal(take(0, 8).rounds, 8);
    assert_int_equal(take(0, 9).rounds, 0);

    for (size_t i = 0; i < run.count; i++) /* too many of ten */
        run.rows[i].facts.own_steal_s = run.rows[i].round < 3 ? 0.02 : 0;
    assert_int_equal(take(0, 3).rounds, 0);
    for (size_t i = 0; i < run.count; i++) {
        run.rows[i].facts.own_steal_s = 0;
        run.rows[i].facts.sm_clock_hz = run.rows[i].round < 3 ? 1e9 : 2e9;
    }
    assert_int_equal(take(0, 7).rounds, 0);
}

/* What limits most of its rounds chooses the canary; one round with other canaries spoils it. */
static void canaries_are_taken_along(void **state)
{
    (void)state;
    static const double values[] = {0, 0, 0};
    static const char *const limits[] = {"dot", "write", "read"};
    plan_for(POLICY(SLOWER("0.05", "")), NULL);
    put_rounds(0, values, 3);
    for (size_t i = 0; i < run.count; i++) {
        struct tg_facts *facts = &run.rows[i].facts;
        snprintf(facts->canary, sizeof facts->canary, "e82cde6f11124361");
        snprintf(facts->limited_by, sizeof facts->limited_by, "%s", limits[run.rows[i].round]);
        facts->canary_dot_s = 1e-4 * (double)(run.rows[i].round + 1);
        facts->canary_read_s = 3e-4;
    }
    sort_rows();
    struct tg_candidate taken = take(0, 3);
    assert_string_equal(taken.canary, "e82cde6f11124361");
    assert_string_equal(taken.limited_by, "read");
    assert_true(fabs(taken.canary_dot - log(2e-4)) < 1e-12);
    assert_true(fabs(taken.canary_read - log(3e-4)) < 1e-12);
    assert_string_equal(take(0, 1).limited_by, "dot");

    /* A device's limit is none of the host's, whose canaries would excuse it. */
    for (size_t i = 0; i < run.count; i++) snprintf(run.rows[i].facts.gpu, TG_TEXT_SIZE, "H100");
    assert_string_equal(take(0, 3).limited_by, "none");
    for (size_t i = 0; i < run.count; i++) snprintf(run.rows[i].facts.gpu, TG_TEXT_SIZE, "unknown");
    snprintf(run.rows[0].facts.canary, sizeof run.rows[0].facts.canary, "0000000000000000");
    taken = take(0, 3);
    assert_string_equal(taken.canary, "unknown");
    assert_string_equal(taken.limited_by, "none");
}

static void head_alone_is_preferred_to_head_with_its_copy(void **state)
{
    (void)state;
    plan_for(POLICY(SLOWER("0.05", "")), NULL);
    size_t block = tg_candidate_block(&plan, 0);
    assert_true(tg_candidate_is_of(&plan, 0));
    assert_int_equal(block, plan.spec.tests[0].block);
    assert_string_equal(plan.spec.blocks[block].cells[1].build, "copy");
    tg_plan_release(&plan);

    plan_for(POLICY(SLOWER("0.05", "") ", " CEILING), NULL);
    block = tg_candidate_block(&plan, 0);
    assert_int_equal(plan.spec.blocks[block].cell_count, 1);
    assert_memory_equal(&plan.spec.blocks[block].cells[0], &plan.spec.tests[0].of,
                        sizeof(struct tg_cell));
    assert_false(tg_candidate_is_of(&plan, 2));
    tg_plan_release(&plan);

    /* With a base beside it head's time is not its own. */
    plan_for(POLICY(SLOWER("0.05", "")), MADE_BASE);
    assert_int_equal(tg_candidate_block(&plan, 0), plan.spec.block_count);
}

static void a_run_becomes_a_baseline_of_one_session(void **state)
{
    (void)state;
    static const double values[] = {0.1, 0.1, 0.1, 0.1, 0.1};
    struct tg_baseline b;
    struct tg_error err;
    plan_for(POLICY(SLOWER("0.10", "") ", " SLOWER("0.05", ", \"where\": \"model=bitnet-2b\"")),
             NULL);
    put_rounds(0, values, 5);
    put_rounds(1, values, 4); /* one too few */
    sort_rows();
    char digest[65];
    memset(digest, 'e', 64);
    digest[64] = 0;
    if (tg_candidate_baseline(&plan, rows, 0, digest, "2026-03-04T00:00:00Z", &b, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(b.key.hardware, "0123456789abcdef");
    assert_string_equal(b.key.machine, "cores=2");
    assert_string_equal(b.key.version, TRITGATE_VERSION);
    assert_string_equal(b.key.build, "GNU 13.2.0 x86_64 Release -O3");
    assert_string_equal(b.key.models, "bitnet-2b,bitnet-3b");
    assert_string_equal(b.key.canary, "unknown");
    assert_string_equal(b.key.policy, plan.policy_digest);
    assert_string_equal(b.key.matrix, plan.matrix_digest);
    assert_string_equal(b.library, MADE_HEAD);
    assert_int_equal(b.session_count, 1);
    assert_string_equal(b.sessions[0].run, digest);
    assert_int_equal(b.cell_count, 1);
    assert_non_null(strstr(b.cells[0].cell, "bitnet-2b"));
    assert_true(fabs(b.cells[0].margin - log(1.05)) < 1e-12); /* the narrower of two rules */
    assert_int_equal(b.cells[0].values[0].rounds, 5);
    assert_true(fabs(b.cells[0].values[0].value - (log(1e-4) + 0.1)) < 1e-12);
    tg_baseline_release(&b);
}

/* Five rounds are asked for; of those that are disturbed none counts. */
static void a_run_without_a_value_says_what_it_lacks(void **state)
{
    (void)state;
    static const double values[5] = {0};
    static const struct {
        const char *policy, *base, *filter;
        int64_t rounds;
        bool is_disturbed, is_parted;
        const char *sentence;
    } cases[] = {
        {CEILING, NULL, "", 0, false, false,
         "no test of its matrix and policy compares head with an earlier build"},
        {CEILING, NULL, "batch=1", 0, false, false,
         "no test that its filter leaves compares head with an earlier build"},
        {SLOWER("0.05", ""), NULL, "", 0, false, true,
         "it is a shard in which no test compares head with an earlier build"},
        {SLOWER("0.05", ""), MADE_BASE, "", 5, false, false,
         "it measured head beside another build, not alone or beside its copy: run it without "
         "--base"},
        {SLOWER("0.05", ""), NULL, "", 4, false, false,
         "no cell has 5 whole rounds of head alone or beside its copy, 4 at most"},
        {SLOWER("0.05", ""), NULL, "", 5, true, false,
         "too many rounds of each cell were disturbed or discarded to leave 5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char policy[1000];
        struct tg_error err;
        struct tg_baseline b;
        snprintf(policy, sizeof policy, POLICY("%s"), cases[i].policy);
        plan_for(policy, cases[i].base);
        snprintf(plan.asked.filter, sizeof plan.asked.filter, "%s", cases[i].filter);
        put_rounds(0, values, cases[i].rounds);
        plan.policy.limits.steal_share = 0.01;
        for (size_t r = 0; r < run.count; r++) {
            run.rows[r].facts.sampled_s = 1;
            run.rows[r].facts.own_steal_s = cases[i].is_disturbed ? 0.02 : 0;
        }
        for (size_t t = 0; cases[i].is_parted && t < plan.spec.test_count; t++)
            plan.prospects[t].fate = TG_TO_MISS;
        sort_rows();
        assert_int_equal(tg_candidate_baseline(&plan, rows, 0, MADE_HEAD, "unknown", &b, NULL), 0);
        assert_int_equal(b.cell_count, 0);
        tg_baseline_release(&b);
        assert_int_equal(tg_candidate_why_none(&plan, rows, 0, &err), -1);
        assert_string_equal(err.text, cases[i].sentence);
        end(state);
    }
}

/* A plan of whole models, one of them the file of that digest, by the program of that digest. */
static void plan_models(const char *file, const char *program)
{
    static const char matrix[] =
        "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"model\"], \"kernel\": "
        "[\"i2s_avx2\"], \"model\": [\"bitnet-2b\", \"gguf\"], \"profile\": [\"decode_128\"]}}";
    struct tg_capability worker = made_worker("a", NULL);
    struct tg_asked asked = made_asked;
    memset(worker.head.model_digest, *file, sizeof worker.head.model_digest - 1);
    memset(asked.program, *program, sizeof asked.program - 1);
    tg_plan_release(&plan);
    made_plan(matrix, POLICY(SLOWER("0.05", "")), &worker, 1, &asked, &plan);
}

static void whole_models_are_of_one_file_and_one_build_of_the_program(void **state)
{
    (void)state;
    static const struct {
        const char *file, *program, *words;
    } others[] = {{"a", "c", ""},
                  {"b", "c", "model bbbbbbbbbbbbbbbb here, aaaaaaaaaaaaaaaa there"},
                  {"a", "d", "program dddddddddddddddd here, cccccccccccccccc there"}};
    struct tg_baseline_key first, other;
    char difference[400];
    plan_models("a", "c");
    assert_int_equal(tg_candidate_key(&plan, 0, &first, NULL), 0);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        plan_models(others[i].file, others[i].program);
        assert_int_equal(tg_candidate_key(&plan, 0, &other, NULL), 0);
        tg_baseline_difference(&other, &first, difference, sizeof difference);
        assert_string_equal(difference, others[i].words);
    }
}

/* Which the library measures, and a model whose weights are of a seed. */
static void kernels_are_of_any_file_and_program(void **state)
{
    (void)state;
    struct tg_baseline_key key;
    plan_for(POLICY(SLOWER("0.05", "")), NULL);
    memset(plan.asked.program, 'c', sizeof plan.asked.program - 1);
    memset(plan.workers[0].head.model_digest, 'a', sizeof plan.workers[0].head.model_digest - 1);
    assert_int_equal(tg_candidate_key(&plan, 0, &key, NULL), 0);
    assert_string_equal(key.program, "");
    assert_string_equal(key.model, "");
}

static void refused_as(const struct tg_decision *decision, const char *words)
{
    struct tg_error err;
    assert_int_equal(tg_candidate_accept(&plan, &run, decision, &err), -1);
    assert_non_null(strstr(err.text, words));
}

/* A sealed run of head and base that decided nothing; then one thing in it is otherwise. */
static void only_what_may_stand_for_its_build_is_accepted(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_verdict verdicts[] = {{.word = "same"}, {.word = "held"}};
    struct tg_family_verdict family = {.is_over = true};
    struct tg_decision d = {.answer = TG_INCONCLUSIVE, .verdicts = verdicts, .verdict_count = 1};
    plan_for(POLICY(SLOWER("0.05", "")), MADE_BASE);
    made_round(&run, &plan, 0, 0, 0.1);
    run.is_sealed = true;
    if (tg_candidate_accept(&plan, &run, &d, &err) < 0) fail_msg("%s", err.text);
    d.answer = TG_FAIL;
    refused_as(&d, "it failed");
    d.answer = TG_INCONCLUSIVE;
    d.families = &family;
    d.family_count = 1;
    if (tg_candidate_accept(&plan, &run, &d, &err) < 0) fail_msg("%s", err.text);
    family.is_held = true;
    refused_as(&d, "a family of it would fail, if another run saw what it did");
    d.family_count = 0;
    d.verdicts = &verdicts[1];
    refused_as(&d, "it would fail, if another run saw what it did");
    d.verdicts = verdicts;
    snprintf(run.dropped, sizeof run.dropped, "worker-0001.h5: torn");
    refused_as(&d, "rows of it were damaged, or still being written: worker-0001.h5: torn");
    *run.dropped = '\0';
    run.is_sealed = false;
    refused_as(&d, "it was not ended in order");
    run.is_sealed = true;
    plan.asked.is_imported = true;
    refused_as(&d, "its evidence was imported");
    plan.asked.is_imported = false;
    plan.workers[0].head.injected_percent = 7;
    refused_as(&d, "its kernels are slowed by 7 % on purpose");
    plan.workers[0].head.injected_percent = 0;
    plan.workers[0].head.is_debug = true;
    refused_as(&d, "its kernels have assertions in them");
    plan.workers[0].head.is_debug = false;
    snprintf(run.rows[0].facts.library, sizeof run.rows[0].facts.library, "another");
    refused_as(&d, "its library was changed while it was measured");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        TEST(a_candidate_is_of_its_first_rounds),
        TEST(a_round_that_broke_is_none),
        TEST(a_round_that_does_not_count_is_none),
        TEST(canaries_are_taken_along),
        TEST(head_alone_is_preferred_to_head_with_its_copy),
        TEST(a_run_becomes_a_baseline_of_one_session),
        TEST(a_run_without_a_value_says_what_it_lacks),
        TEST(whole_models_are_of_one_file_and_one_build_of_the_program),
        TEST(kernels_are_of_any_file_and_program),
        TEST(only_what_may_stand_for_its_build_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
