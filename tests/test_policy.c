/* SPDX-License-Identifier: Apache-2.0 */
#include "matrix/policy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/known_words.h"

static int parse(const char *text, struct tg_policy *policy, struct tg_error *err)
{
    struct tg_json_file file;
    if (tg_json_parse(text, &file, err) < 0) return -1;
    int rc = tg_policy_parse(&file, &known, policy, err);
    tg_json_release(&file);
    return rc;
}

static void assert_refused(const char *text, const char *sentence)
{
    struct tg_policy policy = {.rule_count = 77};
    struct tg_error err;
    if (parse(text, &policy, &err) == 0) fail_msg("taken: %s", text);
    assert_string_equal(err.text, sentence);
    assert_int_equal(policy.rule_count, 77);
}

static void a_policy_is_its_limits_and_rules(void **state)
{
    (void)state;
    struct tg_policy p;
    struct tg_error err;
    const char *text =
        "{\"tritgate_policy\": 1, \"flow\": \"review\",\n"
        " \"limits\": {\"alpha_fail\": 0.02, \"budget_s\": 6.5, \"require_release\": true},\n"
        " \"rules\": [\n"
        "  {\"rule\": \"noninferior\", \"metric\": \"call_time\", \"where\": \"op=product\",\n"
        "   \"axis\": \"build\", \"of\": \"head\", \"to\": \"base\", \"tolerance\": 0.02,\n"
        "   \"margin\": 0.05, \"major\": 0.1, \"critical\": 0.15, \"fail_from\": \"major\"},\n"
        "  {\"rule\": \"ratio\", \"metric\": \"call_time\", \"axis\": \"kernel\",\n"
        "   \"of\": \"i2s_*\", \"to\": \"i2s_scalar\", \"limit\": 1.5, \"required\": true},\n"
        "  {\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": -0.5}]}";
    if (parse(text, &p, &err) < 0) fail_msg("%s", err.text);
    assert_string_equal(p.flow, "review");
    assert_true(p.limits.alpha_fail == 0.02 && p.limits.alpha_miss == 0.01);
    assert_true(p.limits.budget_s == 6.5 && p.limits.deadline_s == 60);
    assert_int_equal(p.limits.require_release, 1);
    assert_int_equal(p.limits.rounds_min, 5);
    assert_int_equal(p.rule_count, 3);
    assert_string_equal(p.rules[0].where, "op=product");
    assert_string_equal(p.rules[0].effect, "time");
    assert_true(p.rules[0].tolerance == 0.02 && p.rules[0].critical == 0.15);
    assert_int_equal(p.rules[0].required, 0);
    assert_int_equal(p.rules[1].required, 1);
    assert_string_equal(p.rules[1].where, "");
    assert_true(p.rules[2].limit == -0.5);
    tg_policy_release(&p);
    assert_null(p.rules);
    tg_policy_release(&p);
}

static void a_number_that_is_absent_is_none_and_never_0(void **state)
{
    (void)state;
    struct tg_policy p;
    struct tg_error err;
    const char *text = "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": ["
                       "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0,"
                       " \"margin\": null}]}";
    if (parse(text, &p, &err) < 0) fail_msg("%s", err.text);
    assert_true(p.rules[0].limit == 0);
    assert_true(isnan(p.rules[0].tolerance) && isnan(p.rules[0].margin));
    assert_true(isnan(p.rules[0].major) && isnan(p.rules[0].critical));
    tg_policy_release(&p);
}

static void a_file_that_is_no_policy_is_refused(void **state)
{
    (void)state;
#define RULES "\"rules\": [{\"rule\": \"floor\", \"metric\": \"call_time\", \"limit\": 1}]"
#define BEGIN "{\"tritgate_policy\": 1, \"flow\": \"f\", "
    static const char *const rows[][2] = {
        {"[]", "line 1: not a policy: \"tritgate_policy\": 1 is missing"},
        {"\n7", "line 2: not a policy: \"tritgate_policy\": 1 is missing"},
        {"{}", "line 1: not a policy: \"tritgate_policy\": 1 is missing"},
        {"{\"tritgate_policy\": 2, \"flow\": \"f\", " RULES "}",
         "line 1: not a policy: \"tritgate_policy\": 1 is missing"},
        {"{\"tritgate_policy\": \"1\", \"flow\": \"f\", " RULES "}",
         "line 1: not a policy: \"tritgate_policy\": 1 is missing"},
        {BEGIN "\n\"rule\": [], " RULES "}", "line 2: rule: unknown key 'rule'"},
        {BEGIN "\n\"flow\": \"g\", " RULES "}", "line 2: flow: key 'flow' is given twice"},
        {"{\"tritgate_policy\": 1, " RULES "}",
         "line 1: 'flow' must be a name of lower case letters, digits, '-' and '_'"},
        {"{\"tritgate_policy\": 1,\n\"flow\": 5, " RULES "}",
         "line 2: flow: 'flow' must be a name of lower case letters, digits, '-' and '_'"},
        {"{\"tritgate_policy\": 1,\n\"flow\": \"\", " RULES "}",
         "line 2: flow: 'flow' must be a name of lower case letters, digits, '-' and '_'"},
        {BEGIN "\"limits\": {}}", "line 1: 'rules' must be a list of at least one rule"},
        {BEGIN "\n\"rules\": []}", "line 2: rules: 'rules' must be a list of at least one rule"},
        {BEGIN "\n\"rules\": {}}", "line 2: rules: 'rules' must be a list of at least one rule"},
        {BEGIN "\n\"rules\":\n[5]}", "line 3: rules[0]: a rule must be an object"},
        {BEGIN "\n\"limits\": [], " RULES "}", "line 2: limits: an object is expected"},
        {BEGIN RULES "} x", "line 1: text after the end"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_refused(rows[i][0], rows[i][1]);
}

#define CLOCKS                                                                                     \
    "'clock_share' and 'throttled_share' must be from 0 to below 1, and 'throttle_reasons' must "  \
    "not be negative"

static void assert_limit(const char *limit, const char *why)
{
    char text[400], sentence[200];
    snprintf(text, sizeof text, BEGIN "\n\"limits\": {%s}, " RULES "}", limit);
    snprintf(sentence, sizeof sentence, "line 2: limits: %s", why);
    assert_refused(text, sentence);
}

static void a_limit_out_of_its_range_is_refused(void **state)
{
    (void)state;
    static const char rates[] =
        "error rates, confidence, power and expected noise must lie between 0 and 1";
    static const char *const rows[][2] = {
        {"\"alpha_fail\": 0", rates},
        {"\"alpha_fail\": 1", rates},
        {"\"alpha_fail\": null", rates},
        {"\"alpha_miss\": 0", rates},
        {"\"alpha_miss\": 1.5", rates},
        {"\"alpha_miss\": -0.1", rates},
        {"\"confidence\": 1", rates},
        {"\"memory_share\": 0", "'memory_share' must be above 0 and at most 1"},
        {"\"memory_share\": 1.1", "'memory_share' must be above 0 and at most 1"},
        {"\"silence_s\": 2.9", "'silence_s' must be at least 3: signs of life come once a second"},
        {"\"clock_share\": 1", CLOCKS},
        {"\"clock_share\": -0.1", CLOCKS},
        {"\"throttled_share\": 1", CLOCKS},
        {"\"throttle_reasons\": -1", CLOCKS},
        {"\"rounds_min\": 0",
         "'rounds_min' must be at least 1, and 'rounds_max' from that to 100000"},
        {"\"rounds_min\": 65",
         "'rounds_min' must be at least 1, and 'rounds_max' from that to 100000"},
        {"\"rounds_max\": 100001",
         "'rounds_min' must be at least 1, and 'rounds_max' from that to 100000"},
        {"\"quads_min\": 0", "'quads_min' must be at least 1, and 'quads_max' from that to 100000"},
        {"\"quads_max\": 4", "'quads_min' must be at least 1, and 'quads_max' from that to 100000"},
        {"\"round_s\": 0", "'round_s' must be above 0, and 'sample_s' from 0.00001 to below 10"},
        {"\"round_s\": null", "'round_s' must be above 0, and 'sample_s' from 0.00001 to below 10"},
        {"\"sample_s\": 0.000001",
         "'round_s' must be above 0, and 'sample_s' from 0.00001 to below 10"},
        {"\"warmup_min_s\": -1",
         "'warmup_min_s' must not be negative, and 'warmup_max_s' at least that"},
        {"\"warmup_max_s\": 0.01",
         "'warmup_min_s' must not be negative, and 'warmup_max_s' at least that"},
        {"\"deadline_s\": 0", "'deadline_s', 'make_s' and 'budget_s' must be above 0"},
        {"\"make_s\": null", "'deadline_s', 'make_s' and 'budget_s' must be above 0"},
        {"\"budget_s\": -1", "'deadline_s', 'make_s' and 'budget_s' must be above 0"},
        {"\"round_s\": 60", "'deadline_s' must be longer than 'warmup_max_s' and 'round_s'"},
        {"\"deadline_s\": 1", "'deadline_s' must be longer than 'warmup_max_s' and 'round_s'"},
        {"\"deadline_s\": 1.1e15", "no limit in seconds may be over 1e15"},
        {"\"warmup_max_s\": 1e300, \"deadline_s\": 1e301", "no limit in seconds may be over 1e15"},
        {"\"broken_most\": -5", "'broken_most' must not be negative"},
        {"\"beside_gpu\": 7", "'require_release', 'require_base', 'family_watch', 'family_fail', "
                              "'fail_fast' and 'beside_gpu' must be true or false"},
        {"\"stream_bytes\": 0", "'stream_bytes' must be at least 1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_limit(rows[i][0], rows[i][1]);
    assert_refused(BEGIN "\"limits\": {\n\"alpha\": 0.1}, " RULES "}",
                   "line 2: limits.alpha: unknown limit 'alpha'");
    assert_refused(BEGIN "\"limits\": {\"rounds_min\": 5.5}, " RULES "}",
                   "line 1: limits.rounds_min: a whole number is expected");
    assert_refused(BEGIN "\"limits\": {\"budget_s\": 1e999}, " RULES "}",
                   "line 1: limits.budget_s: number out of range");
}

static void what_blocks_may_not_share_is_a_word(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"\"exclusive\": \"socket\"", "'exclusive' must be node, memory, cache or core"},
        {"\"exclusive\": \"\"", "'exclusive' must be node, memory, cache or core"},
        {"\"exclusive\": \"node\", \"beside_gpu\": true",
         "'beside_gpu' lets blocks share a node, 'exclusive' does not"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_limit(rows[i][0], rows[i][1]);
}

/* Workers are placed by it, before anything else of the policy is known. */
static void what_blocks_may_not_share_is_read_by_itself(void **state)
{
    (void)state;
    static const struct {
        const char *limits, *word;
        enum tg_exclusive exclusive;
    } rows[] = {
        {"\"budget_s\": 3", "memory", TG_EXCLUSIVE_MEMORY},
        {"\"exclusive\": \"node\"", "node", TG_EXCLUSIVE_NODE},
        {"\"exclusive\": \"cache\"", "cache", TG_EXCLUSIVE_CACHE},
        {"\"exclusive\": \"core\", \"beside_gpu\": true", "core", TG_EXCLUSIVE_CORE},
    };
    struct tg_json_file file;
    struct tg_error err;
    char text[400], word[TG_TEXT_SIZE];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(text, sizeof text, BEGIN "\"limits\": {%s}, \"rules\": 7}", rows[i].limits);
        assert_int_equal(tg_json_parse(text, &file, NULL), 0);
        if (tg_policy_read_exclusive(&file, word, &err) < 0) fail_msg("%s", err.text);
        assert_string_equal(word, rows[i].word);
        assert_int_equal(tg_policy_exclusive(word), rows[i].exclusive);
        tg_json_release(&file);
    }
    assert_int_equal(tg_json_parse("{\"limits\": {\"exclusive\": 3}}", &file, NULL), 0);
    assert_int_equal(tg_policy_read_exclusive(&file, word, &err), -1);
    assert_memory_equal(err.text, "policy: line 1: limits.exclusive", 32);
    tg_json_release(&file);
}

static void assert_rule_refused(const char *rule, const char *sentence)
{
    char text[1200], whole[600];
    snprintf(text, sizeof text, BEGIN "\"rules\": [\n{\"rule\": %s}]}", rule);
    snprintf(whole, sizeof whole, "line 2: rules[0]%s%s", *sentence == '.' ? "" : ": ", sentence);
    assert_refused(text, whole);
}

static void a_rule_names_only_what_there_is(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"\"faster\", \"metric\": \"call_time\"", "no such rule 'faster'"},
        {"\"floor\"", "no such metric ''"},
        {"\"floor\", \"metric\": \"speed\", \"limit\": 1", "no such metric 'speed'"},
        {"\"floor\", \"metric\": \"call_time\", \"limits\": 1", ".limits: unknown key 'limits'"},
        {"\"floor\", \"metric\": \"call_time\", \"limit\": \"1\"", ".limit: a number is expected"},
        {"\"floor\", \"metric\": \"call_time\", \"where\": 5",
         ".where: a pattern of cells is expected"},
        {"\"floor\", \"metric\": \"call_time\", \"where\": \"kernel=tl9\", \"limit\": 1",
         "'kernel=tl9': no such kernel 'tl9'"},
        {"\"floor\", \"metric\": \"call_time\", \"where\": \"colour=red\", \"limit\": 1",
         "unknown axis 'colour' in 'colour=red'"},
        {"\"floor\", \"metric\": \"call_time\", \"limit\": 1, \"axis\": \"build\"",
         "rule 'floor' looks at one cell, 'axis', 'of' and 'to' mean nothing"},
        {"\"floor\", \"metric\": \"call_time\", \"limit\": 1, \"hardware\": \"cpu\"",
         "'cpu' is not of the form field=pattern"},
        {"\"floor\", \"metric\": \"call_time\", \"limit\": 1, \"hardware\": \"speed=9\"",
         "unknown field 'speed' of hardware in 'speed=9'"},
        {"\"floor\", \"metric\": \"call_time\", \"limit\": 1, \"hardware\": \"cpu=*\", "
         "\"optional\": true",
         "a rule with 'hardware' is required there, and optional elsewhere"},
        {"\"floor\", \"metric\": \"call_time\"", "rule 'floor' needs a 'limit'"},
        {"\"ceiling\", \"metric\": \"call_time\", \"limit\": null",
         "rule 'ceiling' needs a 'limit'"},
        {"\"ceiling\", \"metric\": \"call_time\", \"limit\": 0",
         "the limit of 'call_time' must be above 0"},
        {"\"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 99.8",
         "the limit of 'kernel_accuracy' is at most 1: 0.99 stands for 99 %"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_rule_refused(rows[i][0], rows[i][1]);
}

static void a_pair_has_two_different_sides_that_exist(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"\"of\": \"head\", \"to\": \"base\"", "unknown axis ''"},
        {"\"axis\": \"op\", \"of\": \"product\", \"to\": \"unpack\"", "unknown axis 'op'"},
        {"\"axis\": \"build\", \"of\": \"head\"", "'of' and 'to' are needed along an axis"},
        {"\"axis\": \"build\", \"to\": \"base\"", "'of' and 'to' are needed along an axis"},
        {"\"axis\": \"build\", \"of\": \"head\", \"to\": \"b*\"",
         "'to' must be one value, not a pattern"},
        {"\"axis\": \"build\", \"of\": \"head\", \"to\": \"trunk\"", "no such build 'trunk'"},
        {"\"axis\": \"build\", \"of\": \"trunk\", \"to\": \"base\"", "no such build 'trunk'"},
        {"\"axis\": \"build\", \"of\": \"head\", \"to\": \"head\"", "'of' and 'to' are the same"},
        {"\"axis\": \"build\", \"of\": \"head\", \"against\": \"build=b*\"",
         "builds are compared by 'to', not by 'against'"},
        {"\"axis\": \"kernel\", \"of\": \"i2s_avx2\", \"to\": \"i2s_scalar\", \"against\": "
         "\"batch=8\"",
         "'against' stands in the place of 'to': give one of them"},
        {"\"axis\": \"kernel\", \"of\": \"i2s_avx2\", \"against\": \"colour=red\"",
         "unknown axis 'colour' in 'colour=red'"},
        {"\"axis\": \"batch\", \"of\": \"8\", \"to\": \"one\"",
         "axis 'batch': unusable value 'one'"},
        {"\"axis\": \"batch\", \"of\": \"8\", \"to\": \"08\"", "axis 'batch': '08' is written '8'"},
        {"\"axis\": \"batch\", \"of\": \"0\", \"to\": \"1\"",
         "axis 'batch': unusable value '0', it is less than 1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char rule[400];
        snprintf(rule, sizeof rule, "\"ratio\", \"metric\": \"call_time\", \"limit\": 1.5, %s",
                 rows[i][0]);
        assert_rule_refused(rule, rows[i][1]);
    }
    assert_rule_refused("\"ratio\", \"metric\": \"call_time\", \"axis\": \"build\","
                        "\"of\": \"head\", \"to\": \"base\"",
                        "rule 'ratio' needs a 'limit'");
    assert_rule_refused("\"ratio\", \"metric\": \"kernel_accuracy\", \"axis\": \"build\","
                        "\"of\": \"head\", \"to\": \"base\", \"limit\": 1",
                        "metric 'kernel_accuracy' can be zero or negative, so it has no ratio");
}

static void the_lines_of_a_noninferior_rule_are_in_order(void **state)
{
    (void)state;
    static const char margins[] = "rule 'noninferior' needs 0 < tolerance < margin < 1";
    static const char cuts[] = "rule 'noninferior' needs margin < major < critical < 1";
    static const char *const rows[][2] = {
        {"\"margin\": 0.05", margins},
        {"\"tolerance\": 0.02", margins},
        {"\"tolerance\": 0, \"margin\": 0.05", margins},
        {"\"tolerance\": -0.1, \"margin\": 0.05", margins},
        {"\"tolerance\": 0.05, \"margin\": 0.05", margins},
        {"\"tolerance\": 0.06, \"margin\": 0.05", margins},
        {"\"tolerance\": 0.02, \"margin\": 1", margins},
        {"\"tolerance\": null, \"margin\": 0.05", margins},
        {"\"tolerance\": 0.02, \"margin\": 0.05, \"major\": 0.05", cuts},
        {"\"tolerance\": 0.02, \"margin\": 0.05, \"major\": 1", cuts},
        {"\"tolerance\": 0.02, \"margin\": 0.05, \"critical\": 0.04", cuts},
        {"\"tolerance\": 0.02, \"margin\": 0.05, \"major\": 0.2, \"critical\": 0.15", cuts},
        {"\"tolerance\": 0.02, \"margin\": 0.05, \"fail_from\": \"worst\"",
         "'fail_from' must be minor, major or critical"},
        {"\"tolerance\": 0.02, \"margin\": 0.05, \"fail_from\": \"major\"",
         "'fail_from' names 'major', which the rule does not set"},
        {"\"tolerance\": 0.02, \"margin\": 0.05, \"major\": 0.1, \"fail_from\": \"critical\"",
         "'fail_from' names 'critical', which the rule does not set"},
        {"\"tolerance\": 0.02, \"margin\": 0.05, \"effect\": \"speed\"",
         "'effect' must be time or throughput"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char rule[400];
        snprintf(rule, sizeof rule,
                 "\"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\","
                 "\"of\": \"head\", \"to\": \"base\", %s",
                 rows[i][0]);
        assert_rule_refused(rule, rows[i][1]);
    }
    assert_rule_refused("\"noninferior\", \"metric\": \"kernel_accuracy\", \"axis\": \"build\","
                        "\"of\": \"head\", \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05",
                        "metric 'kernel_accuracy' can be zero or negative, so it has no ratio");
}

#define SIDES   "\"axis\": \"build\", \"of\": \"head\", \"to\": \"base\", "
#define MODELS  "\"axis\": \"model\", \"of\": \"large\", \"to\": \"small\", "
#define MARGINS "\"tolerance\": 0.02, \"margin\": 0.05"
static const char *const refused_kinds[][2] = {
    {"\"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9, \"fail_limit\": 0.9",
     "'fail_limit' must be worse than 'limit'"},
    {"\"ceiling\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9, \"fail_limit\": 0.8",
     "'fail_limit' must be worse than 'limit'"},
    {"\"parity\", " SIDES "\"metric\": \"kernel_accuracy\", \"limit\": 0, \"fail_limit\": 1",
     "rule 'parity' takes no 'fail_limit'"},
    {"\"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9, \"name\": \"I2S\"",
     "'name' must be of lower case letters, digits and '_'"},
    {"\"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9, \"step\": \"detect\"",
     "the policy has no step 'detect', it has none"},
    {"\"noninferior\", " SIDES "\"metric\": \"call_time\", \"also\": \"cycles\", " MARGINS,
     "no such metric 'cycles'"},
    {"\"noninferior\", " SIDES "\"metric\": \"call_time\", \"also\": \"call_time\", " MARGINS,
     "'also' must be another sampled metric, which is never zero or negative"},
    {"\"noninferior\", " SIDES "\"metric\": \"call_time\", \"also\": \"layer_memory\", " MARGINS,
     "'also' must be another sampled metric, which is never zero or negative"},
    {"\"ratio\", " SIDES "\"metric\": \"call_time\", \"also\": \"held_memory\", \"limit\": 2",
     "rule 'ratio' looks at one metric, 'also' means nothing"},
    {"\"parity\", " SIDES "\"metric\": \"call_time\", \"limit\": 1",
     "rule 'parity' needs a fixed metric, 'call_time' is sampled"},
    {"\"parity\", " SIDES "\"metric\": \"kernel_accuracy\"", "rule 'parity' needs a 'limit'"},
    {"\"parity\", " SIDES "\"metric\": \"kernel_accuracy\", \"limit\": -1e-5",
     "the limit of 'parity' must not be negative"},
    {"\"parity\", \"metric\": \"kernel_accuracy\", \"limit\": 1e-5", "unknown axis ''"},
    {"\"parity\", " SIDES "\"metric\": \"kernel_accuracy\", " MARGINS,
     "rule 'parity' takes a limit, no tolerance or margin"},
    {"\"parity\", " SIDES "\"metric\": \"kernel_accuracy\", \"limit\": 0, \"discard\": 0",
     "rule 'parity' discards nothing: every sample counts"},
    {"\"determinism\", \"metric\": \"call_time\"",
     "rule 'determinism' needs a fixed metric, 'call_time' is sampled"},
    {"\"determinism\", \"metric\": \"kernel_accuracy\", \"limit\": 1",
     "rule 'determinism' takes no limit"},
    {"\"determinism\", " SIDES "\"metric\": \"kernel_accuracy\"",
     "rule 'determinism' looks at one cell, 'axis', 'of' and 'to' mean nothing"},
    {"\"slope\", \"metric\": \"layer_memory\", \"limit\": 1, \"discard\": 0.2",
     "rule 'slope' needs a sampled metric, 'layer_memory' is fixed"},
    {"\"slope\", \"metric\": \"held_memory\", \"discard\": 0.2", "rule 'slope' needs a 'limit'"},
    {"\"slope\", \"metric\": \"held_memory\", \"limit\": 0, \"discard\": 0.2",
     "the limit of 'slope' must be above 0"},
    {"\"slope\", \"metric\": \"held_memory\", \"limit\": 1",
     "rule 'slope' needs a 'discard' from 0 to below 1"},
    {"\"slope\", \"metric\": \"held_memory\", \"limit\": 1, \"discard\": 1",
     "rule 'slope' needs a 'discard' from 0 to below 1"},
    {"\"slope\", \"metric\": \"held_memory\", \"limit\": 1, \"discard\": -0.1",
     "rule 'slope' needs a 'discard' from 0 to below 1"},
    {"\"scaling\", " SIDES "\"metric\": \"held_memory\", " MARGINS,
     "rule 'scaling' compares models: its axis must be 'model'"},
    {"\"scaling\", " MODELS "\"metric\": \"call_time\", " MARGINS,
     "rule 'scaling' needs a metric in bytes, 'call_time' is in 's'"},
    {"\"scaling\", " MODELS "\"metric\": \"layer_memory\", " MARGINS,
     "rule 'scaling' needs a sampled metric, 'layer_memory' is fixed"},
    {"\"scaling\", " MODELS "\"metric\": \"held_memory\", \"limit\": 2, " MARGINS,
     "rule 'scaling' takes a margin, no limit"},
    {"\"scaling\", " MODELS "\"metric\": \"held_memory\", \"margin\": 0.05",
     "rule 'scaling' needs 0 < tolerance < margin < 1"},
    {"\"scaling\", " MODELS "\"metric\": \"held_memory\", \"major\": 0.1, " MARGINS,
     "rule 'scaling' takes a tolerance and a margin, no severities"},
    {"\"scaling\", " MODELS "\"metric\": \"held_memory\", \"effect\": \"throughput\", " MARGINS,
     "rule 'scaling' looks for no slow-down, 'effect' means nothing"},
    {"\"scaling\", " MODELS "\"metric\": \"held_memory\", \"fail_from\": \"major\", " MARGINS,
     "rule 'scaling' has no severities, 'fail_from' means nothing"},
    {"\"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9, \"effect\": \"thoughput\"",
     "rule 'floor' looks for no slow-down, 'effect' means nothing"},
    {"\"ratio\", " SIDES "\"metric\": \"call_time\", \"limit\": 2, \"fail_from\": \"bogus\"",
     "rule 'ratio' has no severities, 'fail_from' means nothing"},
    {"\"ratio\", " SIDES "\"metric\": \"layer_memory\", \"limit\": 2",
     "rule 'ratio' needs a sampled metric, 'layer_memory' is fixed"},
    {"\"noninferior\", " SIDES "\"metric\": \"layer_memory\", " MARGINS,
     "rule 'noninferior' needs a sampled metric, 'layer_memory' is fixed"},
};

static void exact_rules_need_exact_metrics_and_leaks_need_many_samples(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused_kinds / sizeof *refused_kinds; i++)
        assert_rule_refused(refused_kinds[i][0], refused_kinds[i][1]);
    struct tg_policy p;
    struct tg_error err;
    const char *text = BEGIN
        "\"rules\": ["
        "{\"rule\": \"parity\", " SIDES "\"metric\": \"kernel_accuracy\", \"limit\": 0},"
        "{\"rule\": \"determinism\", \"metric\": \"kernel_accuracy\"},"
        "{\"rule\": \"slope\", \"metric\": \"held_memory\", \"limit\": 4096, \"discard\": 0},"
        "{\"rule\": \"scaling\", " MODELS "\"metric\": \"held_memory\", " MARGINS "}]}";
    if (parse(text, &p, &err) < 0) fail_msg("%s", err.text);
    assert_true(p.rules[2].discard == 0 && isnan(p.rules[0].discard));
    tg_policy_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_is_its_limits_and_rules),
        cmocka_unit_test(a_number_that_is_absent_is_none_and_never_0),
        cmocka_unit_test(a_file_that_is_no_policy_is_refused),
        cmocka_unit_test(a_limit_out_of_its_range_is_refused),
        cmocka_unit_test(what_blocks_may_not_share_is_a_word),
        cmocka_unit_test(what_blocks_may_not_share_is_read_by_itself),
        cmocka_unit_test(a_rule_names_only_what_there_is),
        cmocka_unit_test(a_pair_has_two_different_sides_that_exist),
        cmocka_unit_test(the_lines_of_a_noninferior_rule_are_in_order),
        cmocka_unit_test(exact_rules_need_exact_metrics_and_leaks_need_many_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
