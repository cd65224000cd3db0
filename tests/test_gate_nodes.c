/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/gate.h"
#include "tests/decided_run.h"

/*
 * Decisions over several tests, nodes, runs and classes of hardware: families, optional rules, a
 * sick node, unlike machines.
 */

#define MATRIX(models)                                                                             \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\"],"     \
    " \"model\": [" models "], \"layer\": [\"attn_q\", \"ffn_up\"], \"batch\": [1, 8]}}"
#define POLICY(limits, more)                                                                       \
    "{\"tritgate_policy\": 1, \"flow\": \"f\", \"limits\": {" limits "}, \"rules\": [{\"rule\":"   \
    " \"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\", \"of\": \"head\","          \
    " \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05" more "}]}"

static const char matrix[] = MATRIX("\"bitnet-2b\"");

/* A sealed run without rows of that many workers; worker i is node ni, of that hardware. */
static void begin(const char *policy, size_t workers, const char *const hardware[])
{
    struct tg_capability list[8];
    end(NULL);
    for (size_t i = 0; i < workers; i++) {
        char host[8];
        snprintf(host, sizeof host, "n%zu", i);
        list[i] = made_worker(host, MADE_BASE);
        if (hardware) snprintf(list[i].hardware, TG_TEXT_SIZE, "%s", hardware[i]);
    }
    made_plan(matrix, policy, list, workers, &made_asked, &plan);
    run.is_sealed = 1;
}

/* A round of a test, measured on a node. */
static void add_round(size_t test, int64_t round, double d, int node)
{
    made_round(&run, &plan, test, round, d);
    for (size_t i = run.count - 2; i < run.count; i++)
        snprintf(run.rows[i].facts.host, TG_TEXT_SIZE, "n%d", node);
}

static const char optional[] =
    "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": ["
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\", \"of\": "
    "\"head\","
    " \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05, \"where\": \"layer=attn_q\"},"
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\", \"of\": "
    "\"head\","
    " \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05, \"where\": \"layer=ffn_up\","
    " \"optional\": true}]}";

static void an_optional_rule_fails_nothing_and_is_named(void **state)
{
    (void)state;
    begin(optional, 1, NULL);
    assert_int_equal(plan.required_count, 2);
    for (size_t t = 0; t < 2; t++) made_rounds(&run, &plan, t, 0, 6, 0, 0.001);
    made_rounds(&run, &plan, 2, 0, 30, 0.2, 0.001);
    assert_int_equal(decide_run(), TG_INCONCLUSIVE); /* half of the optional ones are open */
    assert_int_equal(decision.optional, 2);
    assert_int_equal(decision.optional_open, 1);
    made_rounds(&run, &plan, 3, 0, 6, 0, 0.001);
    assert_int_equal(decide_run(), TG_PASS);
    assert_int_equal(decision.required, 2);
    assert_int_equal(decision.attention, 0);
    assert_int_equal(decision.optional_attention, 1);
    assert_string_equal(decision.verdicts[2].word, "attention");
    assert_non_null(strstr(decision.verdicts[2].reason, "; its rule is optional"));
    assert_false(tg_gate_is_required(&plan, 2));
}

/* As it fails nothing, it needs nobody else who saw it. */
static void what_an_optional_rule_finds_is_held_for_no_other_run(void **state)
{
    (void)state;
    begin(optional, 1, NULL);
    plan.policy.limits.min_sessions = 2;
    for (size_t t = 0; t < 4; t++) made_rounds(&run, &plan, t, 0, 30, t == 2 ? 0.2 : 0, 0.001);
    assert_int_equal(decide_run(), TG_PASS);
    assert_int_equal(decision.optional_attention, 1);
    assert_non_null(strstr(decision.verdicts[2].reason, "; its rule is optional"));
}

static void what_is_wrong_fails_under_an_optional_rule_too(void **state)
{
    (void)state;
    begin(optional, 1, NULL);
    for (size_t t = 0; t < 4; t++) made_rounds(&run, &plan, t, 0, 6, 0, 0.001);
    made_broken(&run, &plan, 2, 6, TG_WRONG, TG_MEASURED, "3 is not 4");
    assert_int_equal(decide_run(), TG_FAIL);
    assert_string_equal(decision.verdicts[2].word, "wrong");
    assert_int_equal(decision.failed, 1);
    assert_int_equal(decision.optional, 1);
    assert_true(tg_gate_counts(&plan, 2, &decision.verdicts[2]));
}

/* One percent in every test, clean in each. */
static void make_broad_loss(const char *policy)
{
    begin(policy, 1, NULL);
    for (size_t t = 0; t < 4; t++) made_rounds(&run, &plan, t, 0, 14, log(1.01), 0.001);
}

static void a_family_over_its_line_is_named_or_fails(void **state)
{
    (void)state;
    make_broad_loss(POLICY("\"family_watch\": true", ""));
    assert_int_equal(decide_run(), TG_PASS);
    assert_int_equal(decision.family_count,
                     1); /* of the device; the one model has the same tests */
    assert_int_equal(decision.families_over, 1);
    assert_string_equal(decision.notes[0],
                        "attention: family cpu: 4 tests together are slower by 1 %");
    make_broad_loss(POLICY("\"family_watch\": true, \"family_fail\": true", ""));
    assert_int_equal(decide_run(), TG_FAIL);
    assert_int_equal(decision.failed, 0);
    assert_string_equal(decision.notes[0], "fails: family cpu: 4 tests together are slower by 1 %");
    make_broad_loss(POLICY("", ""));
    assert_int_equal(decide_run(), TG_PASS);
    assert_int_equal(decision.family_count, 0);
}

/* One run fails nothing, whether its tests would fail or their family; two that saw it do. */
static void a_family_may_have_to_be_seen_twice(void **state)
{
    (void)state;
    static const char watched[] = POLICY("\"min_sessions\": 2, \"family_watch\": true", "");
    static const char fails[] = POLICY(
        "\"min_sessions\": 2, \"family_watch\": true, \"family_fail\": true", "");
    static const struct {
        double later;
        enum tg_answer answer;
        const char *note;
    } seconds[] = {{0.01, TG_FAIL, "fails: family cpu: 4 tests together are slower by 1 %"},
                   {0.002, TG_INCONCLUSIVE, NULL}};
    make_broad_loss(watched);
    assert_int_equal(decide_run(), TG_PASS);
    for (size_t i = 0; i < 2; i++) {
        make_broad_loss(fails);
        assert_int_equal(decide_run(), TG_INCONCLUSIVE);
        assert_int_equal(decision.passed, 4);
        assert_int_equal(decision.families_over, 0);
        assert_string_equal(decision.notes[0],
                            "cannot pass: held: family cpu: 4 tests together are slower by 1 %: it "
                            "would fail, but fewer than 2 runs or nodes saw it");
        size_t first = run.count;
        for (size_t t = 0; t < 4; t++)
            made_rounds(&run, &plan, t, 0, 14, log1p(seconds[i].later), 0.001);
        for (size_t k = first; k < run.count; k++) run.rows[k].session = 1;
        assert_int_equal(decide_run(), seconds[i].answer);
        if (seconds[i].note) assert_string_equal(decision.notes[0], seconds[i].note);
    }
    begin(fails, 1, NULL);
    for (size_t t = 0; t < 4; t++) made_rounds(&run, &plan, t, 0, 30, log(1.1), 0.001);
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_int_equal(decision.inconclusive, 4);
}

/* The first run has the loss, and of the later ones those with a 1, of five rounds each. */
static void a_held_family_is_cleared_by_runs_that_are_not_slower(void **state)
{
    (void)state;
    static const struct {
        const char *later;
        enum tg_answer answer;
    } cases[] = {{"0", TG_INCONCLUSIVE},
                 {"00000", TG_PASS}, /* while it is over the line, or not */
                 {"10000", TG_FAIL},
                 {"00001", TG_PASS}}; /* what has failed has, else none */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_broad_loss(
            POLICY("\"min_sessions\": 2, \"family_watch\": true, \"family_fail\": true", ""));
        for (size_t s = 0; s < strlen(cases[i].later); s++) {
            size_t first = run.count;
            double d = cases[i].later[s] == '1' ? log(1.01) : 0;
            for (size_t t = 0; t < 4; t++) made_rounds(&run, &plan, t, 0, 5, d, 0.001);
            for (size_t k = first; k < run.count; k++) run.rows[k].session = (int)s + 1;
        }
        assert_int_equal(decide_run(), cases[i].answer);
        assert_int_equal(decision.families_over, cases[i].answer == TG_FAIL);
        assert_int_equal(decision.families[0].is_over, cases[i].answer != TG_PASS);
    }
}

/* A run that ended after a round of one test saw nothing of what the tests share. */
static void a_run_of_one_round_saw_no_family(void **state)
{
    (void)state;
    make_broad_loss(
        POLICY("\"min_sessions\": 2, \"family_watch\": true, \"family_fail\": true", ""));
    made_rounds(&run, &plan, 0, 0, 1, log(1.01), 0.001);
    for (size_t i = run.count - 2; i < run.count; i++) run.rows[i].session = 1;
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_int_equal(decision.families_over, 0);
}

/* Half of the tests in either shard: nobody else saw what both of them have. */
static void shards_of_one_run_are_one_that_saw_a_family(void **state)
{
    (void)state;
    static const char two[] = MATRIX("\"bitnet-2b\", \"falcon3-1b\"");
    begin_run(two,
              POLICY("\"min_sessions\": 2, \"family_watch\": true, \"family_fail\": true", ""));
    for (size_t t = 0; t < 8; t++) {
        size_t first = run.count;
        made_rounds(&run, &plan, t, 0, 14, log(1.01), 0.001);
        for (size_t i = first; i < run.count; i++) run.rows[i].session = (int)t % 2;
    }
    plan.asked.shard_count = 2;
    decide_run();
    assert_true(decision.families[0].is_over && decision.families[0].is_held);
    assert_int_equal(decision.families_over, 0);
}

/* It fails no test, so it must not fail them together. */
static void an_accepted_loss_is_none_of_its_family(void **state)
{
    (void)state;
    struct tg_error err;
    begin(POLICY("\"family_watch\": true, \"family_fail\": true", ""), 1, NULL);
    for (size_t t = 0; t < 4; t++) made_rounds(&run, &plan, t, 0, 14, log(1.08), 0.001);
    assert_int_equal(decide_run(), TG_FAIL);
    assert_int_equal(tg_plan_accept(&plan,
                                    "{\"tritgate_acceptance\": 1, \"accepted\": [{\"cells\": "
                                    "\"probe=*\", \"metric\": \"call_time\", \"loss\": 0.1, "
                                    "\"reason\": \"r\", \"expires\": \"2999-12-31\", "
                                    "\"owner\": \"ann\"}]}",
                                    &err),
                     0);
    assert_int_equal(decide_run(), TG_PASS);
    assert_int_equal(decision.attention, 4);
    assert_int_equal(decision.families_over, 0);
}

/* What decides nothing by itself, as on a machine that was disturbed, does not so together. */
static void tests_that_decide_nothing_are_none_of_their_family(void **state)
{
    (void)state;
    make_broad_loss(POLICY("\"family_watch\": true, \"family_fail\": true, \"load_most\": 1", ""));
    for (size_t t = 0; t < 4; t++) made_rounds(&run, &plan, t, 14, 30, log(1.01), 0.001);
    for (size_t i = 0; i < run.count; i++)
        run.rows[i].facts.load = run.rows[i].round < 14 ? 0.1 : 9;
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_string_equal(decision.verdicts[0].word, "disturbed");
    assert_int_equal(decision.families_over, 0);
    for (size_t i = 0; i < run.count; i++) run.rows[i].facts.load = 0.1;
    assert_int_equal(decide_run(), TG_FAIL);
    assert_int_equal(decision.families_over, 1);
}

/* Only what would pass is inconclusive so: without these, slower ones would be all that is left. */
static void tests_that_lack_values_of_most_rounds_stay_in_their_family(void **state)
{
    (void)state;
    make_broad_loss(POLICY("\"family_watch\": true, \"family_fail\": true", ""));
    for (size_t t = 0; t < 4; t++) made_rounds(&run, &plan, t, 14, 30, log(1.01), 0.001);
    for (size_t i = 0; i < run.count; i++) run.rows[i].unpaired = run.rows[i].round >= 14;
    assert_int_equal(decide_run(), TG_FAIL);
    assert_string_equal(decision.verdicts[0].word, "missing");
    assert_int_equal(decision.families_over, 1);
}

static void a_family_of_too_few_tests_is_named(void **state)
{
    (void)state;
    begin(POLICY("\"family_watch\": true, \"family_fail\": true", ", \"where\": \"layer=attn_q\""),
          1, NULL);
    for (size_t t = 0; t < 2; t++) made_rounds(&run, &plan, t, 0, 14, log(1.01), 0.001);
    assert_int_equal(decide_run(), TG_PASS);
    assert_string_equal(decision.notes[0],
                        "no family was looked at: each has 3 tests at least that compare builds");
}

static void a_sick_node_makes_its_test_inconclusive(void **state)
{
    (void)state;
    begin(POLICY("", ""), 8, NULL);
    for (size_t t = 0; t < 4; t++)
        for (int r = 0; r < 48; r++)
            add_round(t, r, (r % 8 == 5 ? log(1.1) : 0) + (r / 8 % 2 ? 0.004 : -0.004), r % 8);
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_int_equal(decision.inconclusive, 4);
    assert_string_equal(decision.verdicts[0].word, "heterogeneous");
    assert_non_null(strstr(decision.verdicts[0].reason, "node 'n5' gives +10.00 %"));
}

/* Two classes: the slow one fails, and the other is not averaged with it. */
static void unlike_machines_are_judged_apart(void **state)
{
    (void)state;
    static const char *const hardware[] = {"old", "new"};
    begin(POLICY("", ""), 2, hardware);
    assert_int_equal(plan.spec.test_count, 8);
    assert_int_equal(plan.required_count, 8);
    for (size_t t = 0; t < 8; t++)
        for (int r = 0; r < 30; r++)
            add_round(t, r, plan.spec.tests[t].hardware ? 0.001 * (r % 2) : 0.1,
                      (int)plan.spec.tests[t].hardware);
    assert_int_equal(decide_run(), TG_FAIL);
    assert_int_equal(decision.failed, 4);
    assert_int_equal(decision.passed, 4);
}

static void rows_of_unknown_hardware_are_left_out_and_named(void **state)
{
    (void)state;
    begin(POLICY("", ""), 1, NULL);
    for (size_t t = 0; t < 4; t++) made_rounds(&run, &plan, t, 0, 6, 0, 0.001);
    assert_int_equal(decide_run(), TG_PASS);
    for (size_t i = 0; i < 12; i++) snprintf(run.rows[i].facts.hardware, TG_TEXT_SIZE, "another");
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_int_equal(decision.inconclusive, 1);
    assert_string_equal(
        decision.notes[0],
        "left out: 12 rows that no test asks for, or of hardware that the plan does not "
        "know");
}

/* What one node gave for head and another for base compares nothing. */
static void sides_of_two_nodes_are_no_round(void **state)
{
    (void)state;
    begin(POLICY("", ""), 2, NULL);
    for (size_t t = 0; t < 4; t++) made_rounds(&run, &plan, t, 0, 30, 0.1, 0.001);
    assert_int_equal(decide_run(), TG_FAIL);
    for (size_t i = 0; i < run.count; i += 2)
        snprintf(run.rows[i].facts.host, TG_TEXT_SIZE, "elsewhere");
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_string_equal(
        decision.verdicts[0].reason,
        "not decided after 0 rounds; rounds with sides of two nodes, devices or model "
        "files: 30");
}

/* A device beside another one in the same node is another machine, and so is one beside none. */
static void sides_of_two_devices_are_no_round(void **state)
{
    (void)state;
    begin(POLICY("", ""), 1, NULL);
    for (size_t t = 0; t < 4; t++) made_rounds(&run, &plan, t, 0, 30, 0.1, 0.001);
    for (size_t i = 0; i < run.count; i += 2)
        snprintf(run.rows[i].facts.gpu_uuid, TG_TEXT_SIZE, "GPU-1");
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    for (size_t i = 1; i < run.count; i += 2)
        snprintf(run.rows[i].facts.gpu_uuid, TG_TEXT_SIZE, "GPU-1");
    assert_int_equal(decide_run(), TG_FAIL);
    for (size_t i = 1; i < run.count; i += 2)
        snprintf(run.rows[i].facts.gpu_uuid, TG_TEXT_SIZE, "GPU-2");
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_int_equal(decision.verdicts[0].rounds, 0);
}

static void devices_are_named_with_the_most_that_was_seen_of_them(void **state)
{
    (void)state;
    begin(POLICY("", ""), 1, NULL);
    for (size_t t = 0; t < 4; t++) made_rounds(&run, &plan, t, 0, 6, 0, 0.001);
    decide_run();
    assert_string_equal(decision.devices, "");
    for (size_t i = 0; i < run.count; i++) {
        struct tg_facts *facts = &run.rows[i].facts;
        snprintf(facts->gpu, sizeof facts->gpu, i % 2 ? "A100" : "H100");
        if (i == 4) facts->gpu_bytes = INT64_C(512) << 20;
        if (i == 5) facts->gpu_temperature_c = 71;
        if (i == 6) facts->gpu_power_w = 693.5;
        if (i > 6) facts->throttle = i % 2 ? 4 : 64;
    }
    decide_run();
    assert_string_equal(decision.devices,
                        "H100, A100; at most 512 MiB held by a process; at most 71 C; at most "
                        "693.5 W; clock held down by power_cap,hardware_heat");
}

static void a_name_that_is_the_beginning_of_another_is_named(void **state)
{
    (void)state;
    static const char *const gpus[] = {"NVIDIA_A100-SXM4-40GB", "NVIDIA_A10", "NVIDIA_A100", "A10"};
    static const char *const cpus[] = {"Intel_Xeon_Gold_6338N", "Intel_Xeon_Gold_6338"};
    begin(POLICY("", ""), 1, NULL);
    for (size_t t = 0; t < 4; t++) made_rounds(&run, &plan, t, 0, 6, 0, 0.001);
    for (size_t i = 0; i < run.count; i++) {
        struct tg_facts *facts = &run.rows[i].facts;
        snprintf(facts->gpu, sizeof facts->gpu, "%s", gpus[i % 4]);
        snprintf(facts->cpu, sizeof facts->cpu, "%s", cpus[i % 2]);
    }
    decide_run();
    assert_string_equal(decision.devices, "NVIDIA_A100-SXM4-40GB, NVIDIA_A10, NVIDIA_A100, A10");
    assert_string_equal(decision.machines, "Intel_Xeon_Gold_6338N, Intel_Xeon_Gold_6338");
}

/* The rounds of a second run follow those of the first, whatever their numbers. */
static void runs_follow_each_other(void **state)
{
    (void)state;
    begin(POLICY("\"min_sessions\": 2", ""), 1, NULL);
    for (size_t t = 0; t < 4; t++) made_rounds(&run, &plan, t, 0, 12, t ? 0 : 0.1, 0.001);
    assert_int_equal(decide_run(), TG_INCONCLUSIVE);
    assert_string_equal(decision.verdicts[0].word, "held");
    size_t first = run.count;
    for (size_t t = 0; t < 4; t++) made_rounds(&run, &plan, t, 0, 12, t ? 0 : 0.1, 0.001);
    for (size_t i = first; i < run.count; i++) run.rows[i].session = 1;
    assert_int_equal(decide_run(), TG_FAIL);
    assert_int_equal(decision.verdicts[0].rounds, 24);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        TEST(an_optional_rule_fails_nothing_and_is_named),
        TEST(what_an_optional_rule_finds_is_held_for_no_other_run),
        TEST(what_is_wrong_fails_under_an_optional_rule_too),
        TEST(a_family_over_its_line_is_named_or_fails),
        TEST(a_family_may_have_to_be_seen_twice),
        TEST(a_held_family_is_cleared_by_runs_that_are_not_slower),
        TEST(a_run_of_one_round_saw_no_family),
        TEST(shards_of_one_run_are_one_that_saw_a_family),
        TEST(an_accepted_loss_is_none_of_its_family),
        TEST(tests_that_decide_nothing_are_none_of_their_family),
        TEST(tests_that_lack_values_of_most_rounds_stay_in_their_family),
        TEST(a_family_of_too_few_tests_is_named),
        TEST(a_sick_node_makes_its_test_inconclusive),
        TEST(unlike_machines_are_judged_apart),
        TEST(rows_of_unknown_hardware_are_left_out_and_named),
        TEST(sides_of_two_nodes_are_no_round),
        TEST(sides_of_two_devices_are_no_round),
        TEST(devices_are_named_with_the_most_that_was_seen_of_them),
        TEST(a_name_that_is_the_beginning_of_another_is_named),
        TEST(runs_follow_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
