/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/inherit.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "coordinator/run_directory.h"
#include "results/digest.h"
#include "tests/made_run.h"

#define KERNELS                                                                                    \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"],"                                 \
    "\"kernel\": [\"i2s_avx2\"], \"layer\": [\"640x2560\"]}}"
#define MODEL_OF_A_FILE                                                                            \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"model\"], \"kernel\": [\"i2s_avx2\"], "     \
    "\"model\": [\"gguf\"]}}"
#define POLICY(flow, gates)                                                                        \
    "{\"tritgate_policy\": 1, \"flow\": \"" flow "\", " gates ", \"rules\": ["                     \
    "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9}]}"
#define GENERATIVE POLICY("generative", "\"writes\": [\"benchmarks\"], \"inherits\": []")
#define REVIEW     POLICY("review", "\"writes\": [\"perf\"], \"inherits\": [\"benchmarks\"]")
#define INTEGRATIVE                                                                                \
    POLICY("integrative", "\"writes\": [\"benchmarks\"], \"inherits\": [\"benchmarks\", "          \
                          "\"perf\"]")

#define SLOWER                                                                                     \
    "{\"tritgate_policy\": 1, \"flow\": \"generative\", \"writes\": [\"benchmarks\"], "            \
    "\"inherits\": [], \"rules\": [{\"rule\": \"noninferior\", \"metric\": \"call_time\", "        \
    "\"axis\": \"build\", \"of\": \"head\", \"to\": \"base\", \"tolerance\": 0.02, "               \
    "\"margin\": 0.05}]}"

#define STEPS                                                                                      \
    POLICY("review", "\"writes\": [\"perf\"], \"inherits\": [\"benchmarks\"], \"steps\": ["        \
                     "{\"name\": \"detect\", \"writes\": false}, {\"name\": \"finalise\"}]")

static char directory[64];
static const char *step = "", *filter = ""; /* of the runs that are stored */
static const char *matrix = KERNELS;
static const char *base, *acceptance; /* ... NULL for none; with a base head is slower by 7 % */
static char model;                    /* what the digest of the file of --model is made of */
static struct tg_plan plan;
static struct tg_run run;

/* A plan of that policy that has inherited that. */
static void plan_of(const char *policy, const struct tg_inherit *inherit)
{
    struct tg_capability worker = made_worker("a", base);
    struct tg_asked asked = made_asked;
    if (inherit) asked.inherit = *inherit;
    if (model) memset(worker.head.model_digest, model, sizeof worker.head.model_digest - 1);
    tg_plan_release(&plan);
    made_plan(matrix, policy, &worker, 1, &asked, &plan);
}

/* Stores a run of the policy in directory/NAME: two rounds of that accuracy. */
static const char *store(const char *name, const char *policy, const struct tg_inherit *inherit,
                         double accuracy, bool is_sealed)
{
    static char path[200];
    char made[4096], file[4200];
    struct tg_error err = {""};
    struct tg_capability worker = made_worker("a", base);
    struct tg_asked asked = made_asked;
    if (inherit) asked.inherit = *inherit;
    if (model) memset(worker.head.model_digest, model, sizeof worker.head.model_digest - 1);
    snprintf(asked.step, sizeof asked.step, "%s", step);
    snprintf(asked.filter, sizeof asked.filter, "%s", filter);
    if (acceptance) assert_int_equal(tg_digest_text(acceptance, asked.acceptance, NULL), 0);
    struct tg_run texts = {.matrix = (char *)(uintptr_t)matrix,
                           .policy = (char *)(uintptr_t)policy,
                           .acceptance = (char *)(uintptr_t)acceptance,
                           .plan = tg_plan_text(&asked, &worker, 1)};
    const struct tg_store_plan asks = {texts.matrix, texts.policy, texts.plan};
    struct tg_store *out;
    plan_of(policy, inherit);
    tg_store_release(&run);
    for (int64_t round = 0; round < 2 && !base; round++)
        made_fixed(&run, &plan, 0, round, accuracy);
    if (base) made_rounds(&run, &plan, 0, 0, 14, log(1.07), 0.0001);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (tg_run_directory_make(path, &texts, made, sizeof made, &err) < 0) fail_msg("%s", err.text);
    snprintf(file, sizeof file, "%s/worker-0000.1.h5", made);
    assert_int_equal(tg_store_create(file, &asks, &out, &err), 0);
    for (size_t i = 0; i < run.count; i++)
        if (tg_store_append(out, &run.rows[i], &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(tg_store_close(out, &err), 0);
    if (is_sealed) assert_int_equal(tg_store_seal(made, &err), 0);
    free(texts.plan);
    tg_plan_capability_release(&worker);
    return path;
}

static int begin(void **state)
{
    (void)state;
    matrix = KERNELS;
    model = 0;
    snprintf(directory, sizeof directory, "/tmp/tritgate-inherit-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static void remove_all(const char *path)
{
    DIR *d = opendir(path);
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        char inside[600];
        snprintf(inside, sizeof inside, "%s/%s", path, e->d_name);
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (unlink(inside) < 0) remove_all(inside);
    }
    if (d) closedir(d);
    rmdir(path);
}

static int end(void **state)
{
    (void)state;
    tg_plan_release(&plan);
    tg_store_release(&run);
    remove_all(directory);
    return 0;
}

/* Takes from the run at `path` for a policy. */
static void take(const char *path, const char *policy, struct tg_inherit *inherit)
{
    struct tg_error err;
    plan_of(policy, NULL);
    if (tg_inherit_take(path, &plan.policy, inherit, &err) < 0) fail_msg("%s", err.text);
}

static void assert_refused(const char *path, const char *policy, struct tg_inherit *inherit,
                           const char *part)
{
    struct tg_error err;
    const struct tg_inherit before = *inherit;
    plan_of(policy, NULL);
    assert_int_equal(tg_inherit_take(path, &plan.policy, inherit, &err), -1);
    if (!strstr(err.text, part)) fail_msg("%s", err.text);
    assert_memory_equal(inherit, &before, sizeof before);
}

/* What is said of gate i when that was inherited, and whether it may pass. */
static bool say(const char *policy, const struct tg_inherit *inherit, size_t i, char *text,
                size_t size)
{
    bool may_pass = true;
    plan_of(policy, inherit); /* through plan.json */
    assert_true(tg_inherit_say(&plan, i, text, size, &may_pass));
    return may_pass;
}

static void what_an_earlier_flow_decided_is_taken_with_its_digest(void **state)
{
    (void)state;
    struct tg_inherit inherit = {0};
    struct tg_run stored;
    char text[300], wanted[300];
    const char *path = store("a", GENERATIVE, NULL, 0.95, true);
    take(path, REVIEW, &inherit);
    assert_int_equal(inherit.count, 1);
    const struct tg_inherited *found = tg_inherit_find(&inherit, "benchmarks");
    assert_non_null(found);
    assert_string_equal(found->flow, "generative");
    assert_string_equal(found->answer, "pass");
    assert_string_equal(found->head, MADE_HEAD);
    assert_int_equal(tg_store_read(path, &stored, NULL), 0);
    assert_string_equal(found->evidence, stored.evidence);
    tg_store_release(&stored);
    assert_null(tg_inherit_find(&inherit, "perf"));
    assert_true(say(REVIEW, &inherit, 0, text, sizeof text));
    snprintf(wanted, sizeof wanted,
             "inherits generative:gate:benchmarks = pass, of 2026-01-02T03:04:01Z, evidence %.16s",
             found->evidence);
    assert_string_equal(text, wanted);
    bool may_pass = true;
    assert_false(tg_inherit_say(&plan, 1, text, sizeof text, &may_pass));
    assert_true(may_pass);
}

static void a_gate_on_a_part_is_said_to_be_one(void **state)
{
    (void)state;
    struct tg_inherit first = {0}, second = {0};
    char text[400];
    filter = "kernel=i2s_* batch=1";
    const char *path = store("a", GENERATIVE, NULL, 0.95, true);
    filter = "";
    take(path, REVIEW, &first);
    assert_string_equal(first.gates[0].answer, "pass");
    assert_true(say(REVIEW, &first, 0, text, sizeof text));
    assert_non_null(strstr(text, "= pass (only cells that match 'kernel=i2s_* batch=1'), of "));
    take(store("b", REVIEW, &first, 0.95, true), INTEGRATIVE, &second); /* handed on */
    assert_string_equal(tg_inherit_find(&second, "benchmarks")->part, first.gates[0].part);
    assert_string_equal(tg_inherit_find(&second, "perf")->part, "");
}

static void accepted_losses_are_told(void **state)
{
    (void)state;
    struct tg_inherit inherit = {0};
    base = MADE_BASE;
    acceptance = "{\"tritgate_acceptance\": 1, \"accepted\": [{\"cells\": \"kernel=*\", "
                 "\"metric\": \"call_time\", \"loss\": 0.08, \"reason\": \"r\", "
                 "\"expires\": \"2026-01-02\", \"owner\": \"ann\"}]}";
    const char *path = store("a", SLOWER, NULL, 0, true);
    base = acceptance = NULL;
    take(path, REVIEW, &inherit);
    assert_string_equal(inherit.gates[0].answer, "pass");
    assert_string_equal(inherit.gates[0].part, "1 accepted loss");
}

static void a_flow_that_inherits_and_finds_none_cannot_pass(void **state)
{
    (void)state;
    struct tg_decision decision;
    struct tg_error err;
    char text[300];
    assert_false(say(REVIEW, NULL, 0, text, sizeof text));
    assert_string_equal(text, "cannot pass: flow 'review' inherits 'benchmarks', and none was "
                              "given");
    run.is_sealed = 1;
    for (int64_t round = 0; round < 2; round++) made_fixed(&run, &plan, 0, round, 0.95);
    if (tg_gate_decide(&plan, &run, &decision, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(decision.answer, TG_INCONCLUSIVE);
    tg_gate_release(&decision);
    struct tg_inherit inherit = {
        .count = 1, .gates = {{.flow = "generative", .gate = "benchmarks", .answer = "pass"}}};
    plan_of(REVIEW, &inherit);
    if (tg_gate_decide(&plan, &run, &decision, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(decision.answer, TG_PASS);
    tg_gate_release(&decision);
}

static void what_failed_or_was_open_is_taken_and_cannot_pass(void **state)
{
    (void)state;
    struct tg_inherit failed = {0}, open = {0};
    char text[300];
    take(store("a", GENERATIVE, NULL, 0.5, true), REVIEW, &failed);
    assert_false(say(REVIEW, &failed, 0, text, sizeof text));
    assert_non_null(strstr(text, "cannot pass: it inherits generative:gate:benchmarks = fail, of"));
    const char *path = store("b", REVIEW, NULL, 0.95, true); /* which has not inherited itself */
    take(path, INTEGRATIVE, &open);
    assert_false(say(INTEGRATIVE, &open, 1, text, sizeof text));
    assert_non_null(strstr(text, "it inherits review:gate:perf = inconclusive"));
    assert_false(say(INTEGRATIVE, &open, 0, text, sizeof text));
    assert_non_null(strstr(text, "inherits 'benchmarks', and none was given"));
}

static void what_was_inherited_is_handed_on(void **state)
{
    (void)state;
    struct tg_inherit first = {0}, second = {0};
    take(store("a", GENERATIVE, NULL, 0.95, true), REVIEW, &first);
    take(store("b", REVIEW, &first, 0.95, true), INTEGRATIVE, &second);
    assert_int_equal(second.count, 2);
    assert_string_equal(tg_inherit_find(&second, "benchmarks")->flow, "generative");
    assert_string_equal(tg_inherit_find(&second, "benchmarks")->evidence, first.gates[0].evidence);
    assert_string_equal(tg_inherit_find(&second, "perf")->answer, "pass");
}

static void another_build_is_named(void **state)
{
    (void)state;
    struct tg_inherit inherit = {0};
    char text[300];
    take(store("a", GENERATIVE, NULL, 0.95, true), REVIEW, &inherit);
    snprintf(inherit.gates[0].head, sizeof inherit.gates[0].head, "%s", MADE_BASE);
    assert_true(say(REVIEW, &inherit, 0, text, sizeof text));
    assert_non_null(strstr(text, "= pass for another build than head, of"));
}

/* What was decided for something else is not silently taken for this. */
static void another_matrix_is_named_and_so_is_another_model_file(void **state)
{
    (void)state;
    struct tg_inherit inherit = {0}, of_file = {0};
    char text[300];
    take(store("a", GENERATIVE, NULL, 0.95, true), REVIEW, &inherit);
    assert_string_equal(inherit.gates[0].model, ""); /* no cell of it is of one */
    matrix = MODEL_OF_A_FILE;
    model = 'a';
    assert_true(say(REVIEW, &inherit, 0, text, sizeof text));
    assert_non_null(strstr(text, "= pass for another matrix, of 20"));
    take(store("b", GENERATIVE, NULL, 0.95, true), REVIEW, &of_file);
    say(REVIEW, &of_file, 0, text, sizeof text);
    assert_null(strstr(text, " for another"));
    model = 'b';
    say(REVIEW, &of_file, 0, text, sizeof text);
    assert_non_null(strstr(text, " for another model file, of "));
    snprintf(of_file.gates[0].head, sizeof of_file.gates[0].head, "%s", MADE_BASE);
    matrix = KERNELS;
    say(REVIEW, &of_file, 0, text, sizeof text);
    assert_non_null(strstr(text, " for another build than head, another matrix, of "));
    inherit.gates[0].matrix[0] = 0; /* as an older version left it */
    assert_true(say(REVIEW, &inherit, 0, text, sizeof text));
    assert_null(strstr(text, " for another"));
}

/* Detecting passed: that is not the decision that the gate is written with. */
static void a_step_that_does_not_write_its_gate_gives_none(void **state)
{
    (void)state;
    struct tg_inherit first = {0}, second = {0}, third = {0}, none = {0};
    char text[300];
    take(store("a", GENERATIVE, NULL, 0.95, true), REVIEW, &first);
    step = "detect";
    take(store("b", STEPS, &first, 0.95, true), INTEGRATIVE, &second);
    const char *path = store("c", STEPS, NULL, 0.95, true);
    step = "";
    assert_int_equal(second.count, 1);
    assert_string_equal(second.gates[0].flow, "generative");
    assert_false(say(INTEGRATIVE, &second, 1, text, sizeof text));
    assert_string_equal(text,
                        "cannot pass: flow 'integrative' inherits 'perf', and none was given");
    assert_refused(path, INTEGRATIVE, &none,
                   "step 'detect' of flow 'review' does not write its gate");
    take(store("d", STEPS, &first, 0.95, true), INTEGRATIVE, &third);
    assert_string_equal(tg_inherit_find(&third, "perf")->answer, "pass");
}

static void a_run_that_cannot_be_trusted_is_refused(void **state)
{
    (void)state;
    struct tg_inherit inherit = {0};
    char path[300], file[400];
    assert_refused("/nowhere", REVIEW, &inherit, "inherit: ");
    snprintf(path, sizeof path, "%s", store("a", GENERATIVE, NULL, 0.95, false));
    assert_refused(path, REVIEW, &inherit, "it was not ended in order; run --resume ends it");
    snprintf(path, sizeof path, "%s", store("b", GENERATIVE, NULL, 0.95, true));
    assert_refused(path, GENERATIVE, &inherit, "it is of flow 'generative' itself");
    assert_refused(path, POLICY("later", "\"writes\": [\"perf\"], \"inherits\": [\"docs\"]"),
                   &inherit, "flow 'generative' has no gate that flow 'later' inherits");
    take(path, REVIEW, &inherit);
    assert_refused(path, REVIEW, &inherit, "gate 'benchmarks' is inherited twice");
    struct tg_inherit none = {0};
    snprintf(file, sizeof file, "%s/policy.json", path);
    FILE *f = fopen(file, "a");
    assert_non_null(f);
    fputc('\n', f);
    fclose(f);
    assert_refused(path, REVIEW, &none, "'policy.json' was changed after the run");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(what_an_earlier_flow_decided_is_taken_with_its_digest),
        TEST(a_gate_on_a_part_is_said_to_be_one),
        TEST(accepted_losses_are_told),
        TEST(a_flow_that_inherits_and_finds_none_cannot_pass),
        TEST(what_failed_or_was_open_is_taken_and_cannot_pass),
        TEST(what_was_inherited_is_handed_on),
        TEST(another_build_is_named),
        TEST(another_matrix_is_named_and_so_is_another_model_file),
        TEST(a_step_that_does_not_write_its_gate_gives_none),
        TEST(a_run_that_cannot_be_trusted_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
