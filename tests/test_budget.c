/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/made_run.h"

#define MATRIX                                                                                     \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_novel\","     \
    " \"i2s_avx512vnni\"], \"layer\": [\"640x2560\"], \"batch\": [1, 2, 3, 4, 5, 6]}}"
#define POLICY(limits)                                                                             \
    "{\"tritgate_policy\": 1, \"flow\": \"review\", \"limits\": {" limits                          \
    "\"rounds_min\": 5, \"round_s\": 1, \"warmup_min_s\": 0.5}, \"rules\": ["                      \
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\","                  \
    " \"of\": \"head\", \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05}]}"

/* Six blocks of 10 s each on workers that cannot run the six others, on these parts of nodes. */
static void make(double budget_s, size_t shards, const char *limits, const char *const shares[],
                 size_t worker_count, bool on_device, struct tg_plan *plan)
{
    struct tg_asked asked = {.seed = "7", .budget_s = budget_s, .shard_count = shards};
    struct tg_capability workers[4] = {0};
    for (size_t w = 0; w < worker_count; w++) {
        workers[w] = made_worker("a", MADE_BASE);
        workers[w].shard = shards ? 1 : 0;
        snprintf(workers[w].share, sizeof workers[w].share, "%s", shares[w]);
        struct tg_survey *const surveys[] = {&workers[w].head, &workers[w].base};
        for (int i = 0; i < 2; i++) {
            struct tg_survey_kernel *k = made_kernel(surveys[i], "i2s_scalar");
            snprintf(k->name, sizeof k->name, "i2s_novel");
            if (on_device) snprintf(k->device, sizeof k->device, "cuda");
        }
        if (on_device) snprintf(workers[w].gpu, sizeof workers[w].gpu, "%s", shares[w]);
    }
    made_plan(MATRIX, limits, workers, worker_count, &asked, plan);
}

static const char *const apart[] = {"numa0", "numa1", "numa2", "numa0"};

static void what_can_be_run_takes_its_least_rounds(void **state)
{
    (void)state;
    static const struct {
        size_t workers;
        bool on_device;
        const char *policy;
        double seconds;
    } rows[] = {{1, false, POLICY(""), 60},
                {2, false, POLICY(""), 30},
                {3, false, POLICY(""), 20},
                {4, false, POLICY(""), 20}, /* the last shares a part of the node */
                {2, true, POLICY(""), 30},
                {2, true, POLICY("\"beside_gpu\": 1, "), 30}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_plan plan;
        make(100, 0, rows[i].policy, apart, rows[i].workers, rows[i].on_device, &plan);
        assert_true(fabs(tg_budget_least_s(&plan) - rows[i].seconds) < 1e-9);
        assert_true(fabs(tg_budget_block_s(&plan, &plan.spec.blocks[0]) - 10) < 1e-9);
        tg_plan_release(&plan);
    }
}

/* What runs on one GPU beside others waits for that GPU, however many parts the node has. */
static void what_is_apart_waits_for_its_gpu(void **state)
{
    (void)state;
    static const char *const one[] = {"GPU-a", "GPU-a"};
    struct tg_plan plan;
    make(100, 0, POLICY("\"beside_gpu\": 1, "), one, 2, true, &plan);
    assert_true(fabs(tg_budget_least_s(&plan) - 60) < 1e-9);
    tg_plan_release(&plan);
}

static void a_budget_that_cannot_cover_it_is_told(void **state)
{
    (void)state;
    static const struct {
        double budget_s;
        const char *text;
    } rows[] = {
        {60, ""},
        {1000, ""},
        {25,
         "the budget of 25 s cannot cover the least number of rounds, which takes 60 s: give `run` "
         "--budget 120 or more, fewer cells (--filter), or 3 parts (--shard 1/3 to 3/3)"},
        {9,
         "the budget of 9 s cannot cover the least number of rounds, which takes 60 s: give `run` "
         "--budget 120 or more, or fewer cells (--filter)"},
        {59.625,
         "the budget of 59.625 s cannot cover the least number of rounds, which takes 60 s: give "
         "`run` --budget 120 or more, fewer cells (--filter), or 2 parts (--shard 1/2 to 2/2)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_plan plan;
        char text[400];
        make(rows[i].budget_s, 0, POLICY(""), apart, 1, false, &plan);
        assert_string_equal(tg_budget_say(&plan, text, sizeof text), rows[i].text);
        tg_plan_release(&plan);
    }
}

/* However little room there is for the sentence, nothing is written behind it. */
static void a_sentence_ends_in_its_room(void **state)
{
    (void)state;
    struct tg_plan plan;
    char text[250];
    make(9, 0, POLICY(""), apart, 1, false, &plan);
    for (size_t size = 1; size <= 200; size++) {
        memset(text, '#', sizeof text);
        tg_budget_say(&plan, text, size);
        assert_true(strlen(text) < size);
        for (size_t i = size; i < sizeof text; i++) assert_int_equal(text[i], '#');
    }
    tg_plan_release(&plan);
}

static void a_part_is_split_further(void **state)
{
    (void)state;
    struct tg_plan plan;
    char text[400];
    make(60, 2, POLICY(""), apart, 1, false, &plan);
    double own_s = tg_budget_least_s(&plan);
    assert_true(own_s >= 20 && own_s <= 50); /* of the six blocks that can be run, some */
    plan.asked.budget_s = own_s - 1;
    assert_non_null(
        strstr(tg_budget_say(&plan, text, sizeof text), "4 parts (--shard 1/4 to 4/4)"));
    tg_plan_release(&plan);
}

#define MODELS                                                                                     \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"model\"], \"kernel\": [\"i2s_avx2\"],"      \
    " \"model\": [\"bitnet-2b\", \"falcon3-7b\"], \"threads\": [1, 2],"                            \
    " \"profile\": [\"decode_128\", \"prefill_128\", \"prefill_512\", \"accuracy\"]}}"

/* Seconds that are told for the block of such a cell. */
static double told_s(const struct tg_plan *plan, const char *where)
{
    for (size_t b = 0; b < plan->spec.block_count; b++)
        if (tg_cell_matches(&plan->spec.blocks[b].cells[0], where, &plan->words))
            return tg_budget_block_s(plan, &plan->spec.blocks[b]);
    fail_msg("no block of %s", where);
    return 0;
}

static void a_whole_model_takes_what_its_size_makes_it_take(void **state)
{
    (void)state;
    static const char *const longer[][2] = {{"profile=decode_128 model=bitnet-2b threads=1",
                                             "profile=decode_128 model=falcon3-7b threads=1"},
                                            {"profile=decode_128 model=bitnet-2b threads=1",
                                             "profile=prefill_128 model=bitnet-2b threads=1"},
                                            {"profile=prefill_128 model=bitnet-2b threads=2",
                                             "profile=prefill_128 model=bitnet-2b threads=1"},
                                            {"profile=prefill_128 model=bitnet-2b threads=2",
                                             "profile=prefill_512 model=bitnet-2b threads=2"},
                                            {"profile=accuracy model=bitnet-2b threads=2",
                                             "profile=accuracy model=falcon3-7b threads=2"}};
    struct tg_capability worker = made_worker("a", MADE_BASE);
    struct tg_plan plan;
    made_plan(MODELS,
              "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": ["
              "{\"rule\": \"ceiling\", \"metric\": \"decode_rate\", \"limit\": 1e9, \"where\": "
              "\"profile=decode_128\"},"
              "{\"rule\": \"ceiling\", \"metric\": \"prefill_rate\", \"limit\": 1e9, \"where\": "
              "\"profile=prefill*\"},"
              "{\"rule\": \"floor\", \"metric\": \"logit_cosine\", \"limit\": 0.9, \"where\": "
              "\"profile=accuracy\"}]}",
              &worker, 1, &made_asked, &plan);
    for (size_t i = 0; i < sizeof longer / sizeof *longer; i++)
        assert_true(told_s(&plan, longer[i][0]) < told_s(&plan, longer[i][1]));
    assert_true(told_s(&plan, "profile=accuracy model=bitnet-2b") > 1);
    tg_plan_release(&plan);
}

/* Of each of two builds, where these rounds are the least; only calls that are timed are tested. */
static double model_s(int64_t rounds, bool has_base, const char *where)
{
    struct tg_capability worker = made_worker("a", has_base ? MADE_BASE : NULL);
    struct tg_plan plan;
    char policy[400];
    snprintf(policy, sizeof policy,
             "{\"tritgate_policy\": 1, \"flow\": \"f\", \"limits\": {\"rounds_min\": %d, "
             "\"round_s\": 2}, \"rules\": [{\"rule\": \"%s, \"metric\": \"prefill_rate\", "
             "\"where\": \"profile=prefill_128\"}]}",
             (int)rounds,
             has_base ? "noninferior\", \"axis\": \"build\", \"of\": \"head\", \"to\": \"base\", "
                        "\"tolerance\": 0.02, \"margin\": 0.05"
                      : "ceiling\", \"limit\": 1e9");
    made_plan(MODELS, policy, &worker, 1, &made_asked, &plan);
    const double seconds = told_s(&plan, where);
    tg_plan_release(&plan);
    return seconds;
}

/* What the first round takes more than the others. */
static double first_s(bool has_base, const char *where)
{
    return 2 * model_s(5, has_base, where) - model_s(10, has_base, where);
}

/*
 * bitnet-2b has 2.08e9 ternary weights, of which two threads check 1.5e9 in a second, and multiply
 * 2e11 by a token each: those of its prompt.
 */
static void a_first_round_compares_every_matrix_of_each_side(void **state)
{
    (void)state;
    static const char two[] = "profile=prefill_128 model=bitnet-2b threads=2";
    static const char one[] = "profile=prefill_128 model=bitnet-2b threads=1";
    const double alone_s = first_s(false, two);
    assert_true(alone_s > 2.5 && alone_s < 2.8);
    assert_true(fabs(first_s(true, two) - 2 * alone_s) < 1e-9);
    assert_true(fabs(first_s(false, one) - 2 * alone_s) < 1e-9);
}

/*
 * With two threads a token of bitnet-2b is 1.18 GB read at 24 GB/s, and a prompt is 2.08e9 weights
 * for each of its tokens at 2e11 in a second; 2.1 s go to loading, and two of 30 blocks are
 * compared.
 */
static void each_process_finds_out_what_its_calls_choose(void **state)
{
    (void)state;
    static const struct {
        const char *where;
        double seconds; /* of a round that is not the first */
    } rows[] = {
        /* 128 tokens, two to warm up, and ten quads of four */
        {"profile=decode_128 model=bitnet-2b threads=2", 2.1 + 0.1 + 0.17 + (128 + 2 + 40) * 0.049},
        /* a prompt, one to warm up, and one quad of four: it is slow, and alone */
        {"profile=prefill_512 model=bitnet-2b threads=2", 2.1 + 0.1 + 6 * 5.33},
        {"profile=prefill_128 model=bitnet-2b threads=2", 2.1 + 0.1 + 2 * 1.33 + 20 * 1.33},
        /* with rounded activations twice, and once with others */
        {"profile=accuracy model=bitnet-2b threads=2", 2.1 + 0.1 + 2 * 0.67 + 16.7},
    };
    struct tg_capability worker = made_worker("a", NULL);
    struct tg_plan plan;
    made_plan(MODELS,
              "{\"tritgate_policy\": 1, \"flow\": \"f\", \"limits\": {\"rounds_min\": 5, "
              "\"round_s\": 2, \"deadline_s\": 600}, \"rules\": ["
              "{\"rule\": \"ceiling\", \"metric\": \"decode_rate\", \"limit\": 1e9, \"where\": "
              "\"profile=decode_128\"},"
              "{\"rule\": \"ceiling\", \"metric\": \"prefill_rate\", \"limit\": 1e9, \"where\": "
              "\"profile=prefill*\"},"
              "{\"rule\": \"floor\", \"metric\": \"logit_cosine\", \"limit\": 0.9, \"where\": "
              "\"profile=accuracy\"}]}",
              &worker, 1, &made_asked, &plan);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const double rounds = strstr(rows[i].where, "accuracy") ? 2 : 5;
        const double told = (told_s(&plan, rows[i].where) - 1.34) / rounds;
        if (fabs(told / rows[i].seconds - 1) > 0.03)
            fail_msg("%s: %g s told for a round of %g s", rows[i].where, told, rows[i].seconds);
    }
    tg_plan_release(&plan);
}

static void what_decides_nothing_has_one_round(void **state)
{
    (void)state;
    struct tg_capability worker = made_worker("a", NULL);
    const struct tg_asked asked = {.seed = "7", .budget_s = 60, .is_same = true};
    struct tg_plan plan;
    made_plan(
        "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\"],"
        "\"layer\": [\"640x2560\"]}}",
        POLICY(""), &worker, 1, &asked, &plan);
    assert_true(plan.spec.test_count == 1 && plan.spec.tests[0].is_shadow);
    assert_true(fabs(tg_budget_least_s(&plan) - 2) < 1e-9);
    tg_plan_release(&plan);
}

/* What a policy with a short round asks of one machine, rounded up so that it can be typed. */
static void the_budget_that_is_named_has_two_digits(void **state)
{
    (void)state;
    struct tg_plan plan;
    char text[400];
    make(20, 0, POLICY("\"warmup_max_s\": 1, "), apart, 1, false, &plan);
    plan.policy.limits.round_s = 1.3210; /* 69.63 s */
    assert_non_null(strstr(tg_budget_say(&plan, text, sizeof text), "takes 70 s: give `run` "
                                                                    "--budget 140 or more,"));
    tg_plan_release(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_can_be_run_takes_its_least_rounds),
        cmocka_unit_test(what_is_apart_waits_for_its_gpu),
        cmocka_unit_test(a_budget_that_cannot_cover_it_is_told),
        cmocka_unit_test(a_sentence_ends_in_its_room),
        cmocka_unit_test(a_part_is_split_further),
        cmocka_unit_test(a_whole_model_takes_what_its_size_makes_it_take),
        cmocka_unit_test(a_first_round_compares_every_matrix_of_each_side),
        cmocka_unit_test(each_process_finds_out_what_its_calls_choose),
        cmocka_unit_test(what_decides_nothing_has_one_round),
        cmocka_unit_test(the_budget_that_is_named_has_two_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
