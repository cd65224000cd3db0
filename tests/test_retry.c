/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/made_run.h"

#define MATRIX                                                                                     \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\","      \
    " \"i2s_novel\"], \"layer\": [\"640x2560\"]}}"
#define POLICY(steps)                                                                              \
    "{\"tritgate_policy\": 1, \"flow\": \"review\", " steps "\"rules\": ["                         \
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\","                  \
    " \"of\": \"head\", \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05}]}"
#define STEP                                                                                       \
    "\"steps\": [{\"name\": \"detect\", \"writes\": true, \"retry\": {\"tooling\": 0, \"gpu\": 2," \
    " \"statistical\": 1}}], "

static struct tg_plan plan;
static struct tg_run run;
static struct tg_decision decision;

/* Two kernels, of which i2s_novel runs on a device; nothing was measured yet. */
static void begin(const char *policy)
{
    struct tg_capability worker = made_worker("a", MADE_BASE);
    struct tg_survey *const surveys[] = {&worker.head, &worker.base};
    for (int i = 0; i < 2; i++) {
        struct tg_survey_kernel *k = made_kernel(surveys[i], "i2s_scalar");
        snprintf(k->name, sizeof k->name, "i2s_novel");
        snprintf(k->device, sizeof k->device, "cuda");
    }
    made_plan(MATRIX, policy, &worker, 1, &made_asked, &plan);
    run = (struct tg_run){.is_sealed = 1};
}

/* Whole rounds of a kernel: enough of them to decide, or a few. */
static void measure(const char *kernel, int64_t count)
{
    made_rounds(&run, &plan, made_test(&plan, 0, kernel, 1), 0, count, 0, 0.003);
}

static void crash(const char *kernel, enum tg_outcome outcome)
{
    for (int64_t round = 50; round < 52; round++)
        made_broken(&run, &plan, made_test(&plan, 0, kernel, 1), round, outcome, TG_MEASURED,
                    "signal 11");
}

/* Decides, with these tries made before, and asks for one more. */
static int ask(const char *tries, struct tg_retry *retry, struct tg_error *err)
{
    run.tries = tries ? strdup(tries) : NULL;
    if (tg_gate_decide(&plan, &run, &decision, err) < 0) fail_msg("%s", err->text);
    return tg_retry_ask(&plan, &decision, retry, err);
}

static void end(void)
{
    tg_gate_release(&decision);
    tg_store_release(&run);
    tg_plan_release(&plan);
}

static void what_is_open_says_what_one_attempt_more_is_for(void **state)
{
    (void)state;
    static const struct {
        int64_t cpu_rounds, gpu_rounds;
        const char *crashed;
        enum tg_outcome outcome;
        enum tg_try kind;
        const char *reason;
    } rows[] = {
        {3, 40, "", TG_MEASURED, TG_TRY_STATISTICAL, "1 of 2 required tests were open"},
        {40, 40, "", TG_MEASURED, TG_TRY_STATISTICAL, "0 of 2 required tests were open"},
        {0, 0, "", TG_MEASURED, TG_TRY_TOOLING, "nothing that counts was measured"},
        {40, 40, "i2s_avx2", TG_CRASHED, TG_TRY_TOOLING, "2 times; last: i2s_avx2 of head crashed"},
        {40, 40, "i2s_avx2", TG_SKIPPED, TG_TRY_TOOLING, "i2s_avx2 of head was skipped"},
        {40, 40, "i2s_novel", TG_LATE, TG_TRY_GPU, "2 times; last: i2s_novel of head was late"},
        {3, 40, "i2s_novel", TG_CRASHED, TG_TRY_GPU, "2 times; last: i2s_novel of head crashed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_error err;
        struct tg_retry retry;
        begin(POLICY(""));
        if (rows[i].cpu_rounds) measure("i2s_avx2", rows[i].cpu_rounds);
        if (rows[i].gpu_rounds) measure("i2s_novel", rows[i].gpu_rounds);
        if (*rows[i].crashed) crash(rows[i].crashed, rows[i].outcome);
        assert_int_equal(ask(NULL, &retry, &err), 0);
        assert_int_equal(retry.kind, rows[i].kind);
        if (!strstr(retry.reason, rows[i].reason)) fail_msg("%s", retry.reason);
        end();
    }
}

/* Without a base nothing of it counts, but that it breaks. */
static void what_breaks_beside_its_copy_is_tooling_s(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_retry retry;
    struct tg_capability worker = made_worker("a", NULL);
    struct tg_survey_kernel *k = made_kernel(&worker.head, "i2s_scalar");
    snprintf(k->name, sizeof k->name, "i2s_novel");
    made_plan(MATRIX, POLICY(""), &worker, 1, &made_asked, &plan);
    run = (struct tg_run){.is_sealed = 1};
    crash("i2s_avx2", TG_CRASHED);
    assert_int_equal(ask(NULL, &retry, &err), 0);
    assert_int_equal(retry.kind, TG_TRY_TOOLING);
    assert_non_null(strstr(retry.reason, "i2s_avx2 of head crashed"));
    end();
}

#define TRY(kind)   "{\"attempt\": 2, \"kind\": \"" kind "\", \"reason\": \"so\"}"
#define TRIES(list) "{\"tritgate_tries\": 1, \"tries\": [" list "]}"

static void no_kind_is_tried_more_often_than_the_step_allows(void **state)
{
    (void)state;
    static const struct {
        const char *tries, *crashed;
        const char *refused; /* NULL if it is allowed */
    } rows[] = {
        {NULL, "", NULL},
        {TRIES(TRY("ended") ", " TRY("ended") ", " TRY("ended")), "", NULL},
        {TRIES(TRY("gpu") ", " TRY("gpu")), "", NULL},
        {TRIES(TRY("statistical")), "",
         "step 'detect' of flow 'review' allows 1 further attempt of kind statistical, and 1 was"},
        {NULL, "i2s_avx2", "allows 0 further attempts of kind tooling, and 0 were made"},
        {TRIES(TRY("gpu")), "i2s_novel", NULL},
        {TRIES(TRY("gpu") ", " TRY("statistical") ", " TRY("gpu")), "i2s_novel",
         "allows 2 further attempts of kind gpu, and 2 were made"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_error err = {""};
        struct tg_retry retry;
        begin(POLICY(STEP));
        measure("i2s_avx2", 3);
        measure("i2s_novel", 3);
        if (*rows[i].crashed) crash(rows[i].crashed, TG_CRASHED);
        assert_int_equal(ask(rows[i].tries, &retry, &err), rows[i].refused ? -1 : 0);
        if (rows[i].refused && !strstr(err.text, rows[i].refused)) fail_msg("%s", err.text);
        end();
    }
}

static void a_list_is_read_as_it_was_written(void **state)
{
    (void)state;
    static const struct tg_retry made[] = {
        {.attempt = 2, .kind = TG_TRY_ENDED, .reason = "so"},
        {.attempt = 3, .kind = TG_TRY_GPU, .reason = "a \"reason\""}};
    struct tg_error err;
    struct tg_retry *list;
    size_t count;
    char *text = tg_retry_text(made, 2);
    assert_int_equal(tg_retry_read(text, &list, &count, &err), 0);
    assert_int_equal(count, 2);
    assert_memory_equal(list, made, sizeof made);
    free(list);
    free(text);
    assert_int_equal(tg_retry_read(NULL, &list, &count, &err), 0);
    assert_int_equal(count, 0);
    free(list);
    static const char *const bad[] = {"", "[]", TRIES(TRY("whim")), TRIES("{\"what\": 1}"),
                                      "{\"tritgate_tries\": 1, \"tries\": [], \"more\": 1}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(tg_retry_read(bad[i], &list, &count, &err), -1);
        assert_non_null(strstr(err.text, "tries.json: "));
    }
}

static void of_several_runs_that_which_was_tried_most_counts(void **state)
{
    (void)state;
    const char *texts[] = {TRIES(TRY("gpu") ", " TRY("statistical")), NULL,
                           TRIES(TRY("gpu") ", " TRY("gpu"))};
    struct tg_error err;
    struct tg_retry *list;
    size_t count, made[TG_TRY_KINDS];
    char *joined;
    assert_int_equal(tg_retry_join(texts, 3, &joined, &err), 0);
    assert_int_equal(tg_retry_read(joined, &list, &count, &err), 0);
    assert_int_equal(count, 4);
    tg_retry_count(list, count, made);
    assert_int_equal(made[TG_TRY_GPU], 2);
    assert_int_equal(made[TG_TRY_STATISTICAL], 1);
    assert_int_equal(made[TG_TRY_TOOLING] + made[TG_TRY_ENDED], 0);
    free(list);
    free(joined);
    assert_int_equal(tg_retry_join(texts + 1, 1, &joined, &err), 0);
    assert_null(joined);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_open_says_what_one_attempt_more_is_for),
        cmocka_unit_test(what_breaks_beside_its_copy_is_tooling_s),
        cmocka_unit_test(no_kind_is_tried_more_often_than_the_step_allows),
        cmocka_unit_test(a_list_is_read_as_it_was_written),
        cmocka_unit_test(of_several_runs_that_which_was_tried_most_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
