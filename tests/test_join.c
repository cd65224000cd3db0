/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/join.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "coordinator/report.h"
#include "results/digest.h"
#include "tests/made_run.h"
#include "tests/run_directory.h"

#define MATRIX(kernel)                                                                             \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"" kernel          \
    "\"], \"layer\": [\"640x2560\"]}}"
#define TWO_LAYERS                                                                                 \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\"],"     \
    " \"layer\": [\"640x2560\", \"64000x2560\"]}}"
#define POLICY(margin)                                                                             \
    "{\"tritgate_policy\": 1, \"flow\": \"review\", \"rules\": [{\"rule\": \"noninferior\","       \
    " \"metric\": \"call_time\", \"axis\": \"build\", \"of\": \"head\", \"to\": \"base\","         \
    " \"tolerance\": 0.02, \"margin\": " margin "}]}"

#define MODEL_MATRIX                                                                               \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"model\"], \"kernel\": [\"i2s_avx2\"], "     \
    "\"model\": "                                                                                  \
    "[\"bitnet-2b\"]}}"
#define MODEL_POLICY                                                                               \
    "{\"tritgate_policy\": 1, \"flow\": \"review\", \"rules\": [{\"rule\": \"noninferior\","       \
    " \"metric\": \"decode_rate\", \"axis\": \"build\", \"of\": \"head\", \"to\": \"base\","       \
    " \"tolerance\": 0.02, \"margin\": 0.05}]}"

#define FLOOR                                                                                      \
    "{\"tritgate_policy\": 1, \"flow\": \"review\", \"rules\": [{\"rule\": \"floor\","             \
    " \"metric\": \"kernel_accuracy\", \"limit\": 0.9}]}"

#define ACCEPTANCE                                                                                 \
    "{\"tritgate_acceptance\": 1, \"accepted\": [{\"cells\": \"kernel=*\", \"metric\": "           \
    "\"call_time\","                                                                               \
    " \"loss\": 0.3, \"reason\": \"it is worth it\", \"expires\": \"2027-01-01\", \"owner\": "     \
    "\"ann\"}]}"

/* How a run is to be; what is not said has the values of run_like. */
struct like {
    const char *matrix, *policy, *filter, *head, *host, *hardware, *acceptance, *inherited;
    const char *baseline_note, *changed, *program, *model;
    double effect, second_effect; /* of the first test, and of others that fit */
    int64_t hour, rounds;
    int64_t memory_bytes, gpu_bytes; /* that its worker announces */
    bool is_unsealed, is_imported, is_fixed;
};

static char parent[3000], paths[3][3100];

static int begin(void **state)
{
    (void)state;
    const char *temporary = getenv("TMPDIR");
    snprintf(parent, sizeof parent, "%s/tritgate-join-XXXXXX", temporary ? temporary : "/tmp");
    if (!mkdtemp(parent)) return -1;
    for (int i = 0; i < 3; i++) snprintf(paths[i], sizeof paths[i], "%s/%c", parent, "abc"[i]);
    return 0;
}

static int end(void **state)
{
    for (int i = 0; i < 3; i++) {
        snprintf(run_directory, sizeof run_directory, "%.2990s", paths[i]);
        if (access(run_directory, F_OK) == 0) run_remove(state);
    }
    return rmdir(parent);
}

static void write_text(const char *name, const char *text)
{
    run_write(name, text, strlen(text));
}

/* What its plan says of a store of baselines and of a change. */
static void say_more(const struct like *like, struct tg_asked *asked)
{
    if (like->baseline_note)
        snprintf(asked->baseline_note, sizeof asked->baseline_note, "%s", like->baseline_note);
    if (like->changed) {
        asked->changed.path_count = 1;
        for (size_t i = 0; i < 32; i++) /* more than a note of them holds */
            snprintf(asked->changed.cells[i], sizeof *asked->changed.cells, "kernel=%s",
                     i < 31 ? "i2s_avx2" : like->changed);
        asked->changed.cell_count = 32;
    }
}

/* Writes a run of one worker at paths[at]. */
static void make(int at, struct like like)
{
    struct tg_error err;
    struct tg_store *store;
    struct tg_plan plan;
    struct tg_run rows = {0};
    struct tg_asked asked = made_asked;
    const char *matrix = like.matrix ? like.matrix : MATRIX("i2s_avx2");
    const char *policy = like.policy ? like.policy : POLICY("0.05");
    struct tg_capability worker = made_worker(like.host ? like.host : "a", MADE_BASE);
    if (like.head) snprintf(worker.head.digest, sizeof worker.head.digest, "%s", like.head);
    if (like.hardware) snprintf(worker.hardware, sizeof worker.hardware, "%s", like.hardware);
    if (like.model)
        snprintf(worker.head.model_digest, sizeof worker.head.model_digest, "%s", like.model);
    worker.head.memory_bytes = like.memory_bytes;
    worker.head.gpu_bytes = like.gpu_bytes;
    snprintf(asked.filter, sizeof asked.filter, "%s", like.filter ? like.filter : "");
    snprintf(asked.seed, sizeof asked.seed, "%d", like.is_fixed ? 70 : 70 + at);
    snprintf(asked.program, sizeof asked.program, "%s", like.program ? like.program : "");
    asked.is_imported = like.is_imported;
    if (like.acceptance)
        assert_int_equal(tg_digest_text(like.acceptance, asked.acceptance, &err), 0);
    if (like.inherited) {
        asked.inherit.count = 1;
        snprintf(asked.inherit.gates[0].answer, TG_TEXT_SIZE, "%s", like.inherited);
    }
    say_more(&like, &asked);
    char *text = tg_plan_text(&asked, &worker, 1);
    if (tg_plan_make(matrix, "a.json", policy, text, &plan, &err) < 0) fail_msg("%s", err.text);
    for (int64_t r = 0; like.is_fixed && r < like.rounds; r++) made_fixed(&rows, &plan, 0, r, 0.95);
    if (!like.is_fixed)
        made_rounds(&rows, &plan, 0, 0, like.rounds ? like.rounds : 4, like.effect, 0.003);
    for (size_t i = 1; !like.is_fixed && i < plan.spec.test_count; i++)
        if (plan.prospects[i].fate == TG_TO_MEASURE)
            made_rounds(&rows, &plan, i, 0, like.rounds, like.second_effect, 0.003);
    snprintf(run_directory, sizeof run_directory, "%.2990s", paths[at]);
    assert_int_equal(mkdir(run_directory, 0777), 0);
    write_text("matrix.json", matrix);
    write_text("policy.json", policy);
    write_text("plan.json", text);
    if (like.acceptance) write_text("acceptance.json", like.acceptance);
    const struct tg_store_plan texts = {matrix, policy, text};
    if (tg_store_create(run_path("worker-0000.1.h5"), &texts, &store, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < rows.count; i++) {
        struct tg_facts *facts = &rows.rows[i].facts;
        snprintf(facts->date, sizeof facts->date, "2026-01-02T%02d:00:%02dZ", (int)like.hour,
                 (int)rows.rows[i].round);
        snprintf(facts->host, sizeof facts->host, "%s", worker.host);
        facts->pid = like.hour ? like.hour : -1;
        assert_int_equal(tg_store_append(store, &rows.rows[i], &err), 0);
    }
    assert_int_equal(tg_store_close(store, &err), 0);
    if (!like.is_unsealed) assert_int_equal(tg_store_seal(run_directory, &err), 0);
    tg_plan_capability_release(&worker);
    tg_store_release(&rows);
    tg_plan_release(&plan);
    free(text);
}

static struct tg_run run;
static struct tg_plan plan;
static struct tg_decision decision;

/* Joins the first `count` of these, and decides. */
static void judge(const char *const directories[], size_t count, const char *policy)
{
    struct tg_error err;
    if (tg_join_open(directories, count, policy, &run, &plan, &err) < 0) fail_msg("%s", err.text);
    if (tg_gate_decide(&plan, &run, &decision, &err) < 0) fail_msg("%s", err.text);
}

static void release(void)
{
    tg_gate_release(&decision);
    tg_plan_release(&plan);
    tg_store_release(&run);
}

static char *receipt(void)
{
    char *text;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    tg_report_find("receipt")->write(f, &plan, &decision);
    fclose(f);
    return text;
}

static void runs_that_are_too_short_decide_together(void **state)
{
    (void)state;
    const char *const both[] = {paths[0], paths[1]};
    make(0, (struct like){.hour = 1, .effect = 0.1});
    make(1, (struct like){.hour = 2, .effect = 0.1, .rounds = 9});
    judge(both, 1, NULL);
    assert_int_equal(decision.answer, TG_INCONCLUSIVE);
    assert_int_equal(plan.session_count, 0);
    release();
    judge(both, 2, NULL);
    assert_int_equal(decision.answer, TG_FAIL);
    assert_int_equal(decision.verdicts[0].rounds, 13);
    assert_int_equal(plan.required_count, 1); /* the same test, not two */
    assert_int_equal(plan.worker_count, 1);
    assert_int_equal(run.count, 26);
    assert_int_equal(run.rows[0].session, 0);
    assert_int_equal(run.rows[25].session, 1);
    assert_true(run.is_sealed);
    assert_string_equal(decision.notes[0], "2 runs are judged together");
    release();
}

static void the_order_of_the_paths_changes_no_byte(void **state)
{
    (void)state;
    const char *const one[] = {paths[0], paths[1], paths[2]}, *const other[] = {paths[1], paths[2],
                                                                                paths[0]};
    make(0, (struct like){.hour = 3, .effect = 0.04});
    make(1, (struct like){.hour = 1, .effect = 0.00});
    make(2, (struct like){.hour = 2, .effect = 0.02});
    judge(one, 3, NULL);
    char *before = receipt();
    assert_string_equal(plan.sessions[0].seed, "71"); /* the earliest */
    release();
    judge(other, 3, NULL);
    char *after = receipt();
    assert_string_equal(after, before);
    for (size_t s = 0; s < 3; s++) assert_non_null(strstr(after, plan.sessions[s].evidence));
    assert_non_null(strstr(after, "\"seed\": \"several\""));
    release();
    free(before);
    free(after);
}

static void workers_and_their_classes_are_joined(void **state)
{
    (void)state;
    const char *const both[] = {paths[0], paths[1]};
    make(0, (struct like){.hour = 1, .rounds = 9});
    make(1, (struct like){.hour = 2, .rounds = 9, .host = "b", .hardware = "other"});
    judge(both, 2, NULL);
    assert_int_equal(plan.worker_count, 2);
    assert_int_equal(plan.class_count, 2);
    assert_int_equal(plan.required_count, 2);
    assert_int_equal(plan.spec.test_count, 2);
    release();
}

/* What the first run had no memory for, the second measured. */
static void a_failure_of_a_run_with_more_memory_counts(void **state)
{
    (void)state;
    const char *const both[] = {paths[0], paths[1]};
    for (int order = 0; order < 2; order++) {
        struct like small = {.matrix = TWO_LAYERS, .rounds = 14, .memory_bytes = 100000000};
        struct like large = {.matrix = TWO_LAYERS, .rounds = 14, .second_effect = 0.1};
        large.memory_bytes = INT64_C(64) << 30;
        small.hour = 1 + order;
        large.hour = 2 - order;
        make(0, small);
        make(1, large);
        judge(both, 1, NULL);
        assert_int_equal(decision.verdicts[1].answer, TG_SKIP);
        release();
        judge(both, 2, NULL);
        assert_int_equal(decision.answer, TG_FAIL);
        assert_int_equal(decision.verdicts[1].rounds, 14);
        assert_int_equal(plan.required_count, 2);
        assert_int_equal(plan.worker_count, 1);
        release();
        assert_int_equal(end(state) + begin(state), 0);
    }
}

/* The first has more memory, the second more of its GPU: neither can stand for the other. */
static void a_worker_that_was_twice_is_there_as_often_as_it_differs(void **state)
{
    (void)state;
    const char *const all[] = {paths[0], paths[1], paths[2]};
    make(0, (struct like){.hour = 1, .memory_bytes = 2000000000, .gpu_bytes = 1000000000});
    make(1, (struct like){.hour = 2, .memory_bytes = 1000000000, .gpu_bytes = 2000000000});
    make(2, (struct like){.hour = 3, .memory_bytes = 2000000000});
    judge(all, 2, NULL);
    assert_int_equal(plan.worker_count, 2);
    release();
    judge(all, 3, NULL); /* of the third, it is not known that there is too little of anything */
    assert_int_equal(plan.worker_count, 1);
    assert_int_equal(plan.workers[0].head.gpu_bytes, 0);
    assert_int_equal(plan.workers[0].head.memory_bytes, 2000000000);
    release();
}

static void one_that_is_not_sealed_or_was_imported_is_enough(void **state)
{
    (void)state;
    const char *const both[] = {paths[0], paths[1]}, *const others[] = {paths[0], paths[2]};
    make(0, (struct like){.hour = 1, .rounds = 9});
    make(1, (struct like){.hour = 2, .rounds = 9, .is_unsealed = true});
    make(2, (struct like){.hour = 3, .rounds = 9, .is_imported = true});
    judge(both, 1, NULL);
    assert_int_equal(decision.answer, TG_PASS);
    release();
    judge(both, 2, NULL);
    assert_int_equal(decision.answer, TG_INCONCLUSIVE);
    release();
    judge(others, 2, NULL);
    assert_int_equal(decision.answer, TG_INCONCLUSIVE);
    assert_true(plan.asked.is_imported);
    release();
}

/* What forbids a pass in one run does so in all of them together, whichever is the first. */
static void an_unusable_store_of_one_run_is_told(void **state)
{
    (void)state;
    const char *const both[] = {paths[0], paths[1]};
    for (int order = 0; order < 2; order++) {
        make(order, (struct like){.hour = 1, .rounds = 9});
        make(1 - order, (struct like){.hour = 2, .rounds = 9, .baseline_note = "it has expired"});
        judge(both, 2, NULL);
        assert_int_equal(decision.answer, TG_INCONCLUSIVE);
        assert_string_equal(decision.notes[1],
                            "cannot pass: no stored baseline is used: it has expired");
        release();
        assert_int_equal(end(state) + begin(state), 0);
    }
}

static void another_policy_is_for_all_of_them(void **state)
{
    (void)state;
    const char *const both[] = {paths[0], paths[1]};
    make(0, (struct like){.hour = 1, .effect = 0.1, .rounds = 9});
    make(1, (struct like){.hour = 2, .effect = 0.1, .rounds = 9});
    write_text("other", POLICY("0.3"));
    judge(both, 2, run_path("other"));
    assert_int_equal(decision.answer, TG_PASS);
    assert_false(plan.is_own_policy);
    release();
    write_text("other", POLICY("0.05"));
    judge(both, 2, run_path("other"));
    assert_true(plan.is_own_policy);
    release();
}

static void what_was_accepted_is_so_for_all_of_them(void **state)
{
    (void)state;
    const char *const both[] = {paths[0], paths[1]};
    make(0, (struct like){.hour = 1, .effect = 0.1, .rounds = 9, .acceptance = ACCEPTANCE});
    make(1, (struct like){.hour = 2, .effect = 0.1, .rounds = 9, .acceptance = ACCEPTANCE});
    judge(both, 2, NULL);
    assert_int_equal(decision.answer, TG_PASS);
    assert_string_equal(decision.verdicts[0].word, "attention");
    release();
}

/* Asserts that the first two runs are not joined, with this in the sentence. */
static void assert_refused(const char *part)
{
    const char *const both[] = {paths[0], paths[1]};
    struct tg_run kept = {.count = 77};
    struct tg_plan untouched = {.worker_count = 77};
    struct tg_error err;
    if (tg_join_open(both, 2, NULL, &kept, &untouched, &err) == 0)
        fail_msg("taken, without: %s", part);
    if (!strstr(err.text, part)) fail_msg("'%s' is not in: %s", part, err.text);
    assert_int_equal(kept.count, 77);
    for (int i = 1; i >= 0; i--) {
        snprintf(run_directory, sizeof run_directory, "%.2990s", paths[i]);
        if (i) assert_int_equal(run_remove(NULL), 0);
    }
}

static void runs_of_unlike_questions_are_not_joined(void **state)
{
    (void)state;
    make(0, (struct like){.hour = 1});
    make(1, (struct like){.hour = 2, .matrix = MATRIX("i2s_scalar")});
    assert_refused("cannot be judged together: another matrix");
    make(1, (struct like){.hour = 2, .policy = POLICY("0.06")});
    assert_refused("cannot be judged together: another policy");
    make(1, (struct like){.hour = 2, .filter = "kernel=i2s_*"});
    assert_refused("cannot be judged together: another filter");
    make(1, (struct like){.hour = 2, .acceptance = ACCEPTANCE});
    assert_refused("cannot be judged together: another acceptance");
    make(1, (struct like){.hour = 2, .head = "3333"});
    assert_refused("cannot be judged together: another head");
    make(1, (struct like){.hour = 2, .inherited = "fail"});
    assert_refused("cannot be judged together: they inherit otherwise");
    make(1, (struct like){.hour = 2, .changed = "i2s_*"});
    assert_refused("cannot be judged together: another change");
    snprintf(run_directory, sizeof run_directory, "%.2990s", paths[0]);
    assert_int_equal(run_remove(NULL), 0);
    make(0, (struct like){.hour = 1, .changed = "i2s_*"});
    make(1, (struct like){.hour = 2, .changed = "*"});
    assert_refused("cannot be judged together: another change");
}

/* Whole models are of the program, kernels are of the library that it opens. */
static void whole_models_are_of_one_build_of_the_program(void **state)
{
    (void)state;
    const char *const both[] = {paths[0], paths[1]};
    make(0, (struct like){.hour = 1, .program = "44"});
    make(1, (struct like){.hour = 2, .program = "55"});
    judge(both, 2, NULL);
    release();
    end(NULL);
    begin(NULL);
    make(0,
         (struct like){.hour = 1, .program = "44", .matrix = MODEL_MATRIX, .policy = MODEL_POLICY});
    make(1,
         (struct like){.hour = 2, .program = "55", .matrix = MODEL_MATRIX, .policy = MODEL_POLICY});
    assert_refused("cannot be judged together: another build of the program");
    make(1,
         (struct like){.hour = 2, .program = "44", .matrix = MODEL_MATRIX, .policy = MODEL_POLICY});
    judge(both, 2, NULL);
    release();
}

/* What --model names; where nothing of it is measured, it may be any. */
static void a_model_of_a_file_is_one_file(void **state)
{
    (void)state;
    static const char of_file[] =
        "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"model\"], \"kernel\": [\"i2s_avx2\"], "
        "\"model\": [\"gguf\"]}}";
    const char *const both[] = {paths[0], paths[1]};
    make(0, (struct like){.hour = 1, .model = "66"});
    make(1, (struct like){.hour = 2, .model = "77"});
    judge(both, 2, NULL);
    release();
    end(NULL);
    begin(NULL);
    make(0, (struct like){.hour = 1, .model = "66", .matrix = of_file, .policy = MODEL_POLICY});
    make(1, (struct like){.hour = 2, .model = "77", .matrix = of_file, .policy = MODEL_POLICY});
    assert_refused("cannot be judged together: another model");
    make(1, (struct like){.hour = 2, .model = "66", .matrix = of_file, .policy = MODEL_POLICY});
    judge(both, 2, NULL);
    release();
}

static void nothing_counts_twice(void **state)
{
    (void)state;
    make(0, (struct like){.hour = 1, .rounds = 5});
    make(1, (struct like){.hour = 1, .rounds = 9}); /* goes on with the same rows */
    assert_refused("have a measurement in common");
}

/* One value of a metric that is the same every time decides nothing, however often it is read. */
static void a_run_is_not_joined_with_its_copy(void **state)
{
    (void)state;
    make(0, (struct like){.policy = FLOOR, .is_fixed = true, .rounds = 1});
    make(1, (struct like){.policy = FLOOR, .is_fixed = true, .rounds = 1});
    assert_refused("are the same run");
    make(1, (struct like){.policy = FLOOR, .is_fixed = true, .rounds = 2}); /* nobody knows */
    const char *const both[] = {paths[0], paths[1]};
    judge(both, 2, NULL);
    assert_int_equal(decision.answer, TG_PASS);
    release();
}

static void what_a_process_saw_once_counts_once(void **state)
{
    (void)state;
    make(0, (struct like){.policy = FLOOR, .is_fixed = true, .rounds = 1, .hour = 1});
    make(1, (struct like){.policy = FLOOR, .is_fixed = true, .rounds = 2, .hour = 1});
    assert_refused("have a measurement in common");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(runs_that_are_too_short_decide_together),
        TEST(the_order_of_the_paths_changes_no_byte),
        TEST(workers_and_their_classes_are_joined),
        TEST(a_failure_of_a_run_with_more_memory_counts),
        TEST(a_worker_that_was_twice_is_there_as_often_as_it_differs),
        TEST(one_that_is_not_sealed_or_was_imported_is_enough),
        TEST(an_unusable_store_of_one_run_is_told),
        TEST(another_policy_is_for_all_of_them),
        TEST(what_was_accepted_is_so_for_all_of_them),
        TEST(runs_of_unlike_questions_are_not_joined),
        TEST(whole_models_are_of_one_build_of_the_program),
        TEST(a_model_of_a_file_is_one_file),
        TEST(nothing_counts_twice),
        TEST(a_run_is_not_joined_with_its_copy),
        TEST(what_a_process_saw_once_counts_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
