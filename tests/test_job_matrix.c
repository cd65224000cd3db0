/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/job_matrix.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/made_run.h"

#define MATRIX                                                                                     \
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_novel\","     \
    " \"i2s_avx2\"], \"layer\": [\"640x2560\"], \"batch\": [1, 2, 3, 4, 5, 6]}}"
#define POLICY(budget)                                                                             \
    "{\"tritgate_policy\": 1, \"flow\": \"review\", \"limits\": {\"budget_s\": " budget            \
    ", \"rounds_min\": 5, \"round_s\": 1, \"warmup_min_s\": 0.5}, \"rules\": ["                    \
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"axis\": \"build\","                  \
    " \"of\": \"head\", \"to\": \"base\", \"tolerance\": 0.02, \"margin\": 0.05}]}"

/* A plan of 12 blocks, each 10 s at least, half of them on a device if it is so. */
static void make(size_t shards, bool on_device, const char *policy, struct tg_plan *plan)
{
    struct tg_asked asked = {.seed = "7"};
    struct tg_capability worker = made_worker("a", MADE_BASE);
    struct tg_survey *const surveys[] = {&worker.head, &worker.base};
    for (int i = 0; i < 2; i++) {
        struct tg_survey_kernel *k = made_kernel(surveys[i], "i2s_scalar");
        snprintf(k->name, sizeof k->name, "i2s_novel");
        if (on_device) snprintf(k->device, sizeof k->device, "cuda");
    }
    asked.shard_count = shards;
    worker.shard = shards ? 1 : 0;
    made_plan(MATRIX, policy, &worker, 1, &asked, plan);
}

static void there_are_as_many_shards_as_the_budget_asks_for(void **state)
{
    (void)state;
    static const struct {
        const char *policy;
        bool on_device;
        size_t shards;
    } rows[] = {{POLICY("1000"), false, 1}, {POLICY("120"), false, 1}, {POLICY("119"), false, 2},
                {POLICY("60"), false, 2},   {POLICY("25"), false, 5},  {POLICY("1"), false, 12},
                {POLICY("1000"), true, 2},  {POLICY("25"), true, 5}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_plan plan;
        make(0, rows[i].on_device, rows[i].policy, &plan);
        assert_int_equal(tg_job_matrix_shards(&plan), rows[i].shards);
        tg_plan_release(&plan);
    }
}

static void each_shard_is_a_job_of_its_pool(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0, blocks = 0;
    struct tg_plan plan;
    struct tg_json_file file;
    make(5, true, POLICY("60"), &plan);
    FILE *out = open_memstream(&text, &size);
    tg_job_matrix_write(out, &plan, "x86_64");
    fclose(out);
    assert_ptr_equal(strchr(text, '\n'), text + size - 1); /* one line, as GITHUB_OUTPUT takes it */
    assert_int_equal(tg_json_parse(text, &file, NULL), 0);
    const struct tg_json *list = tg_json_get(file.root, "include");
    assert_int_equal(tg_json_count(list), 5);
    for (size_t i = 0; i < 5; i++) {
        static const char *const shards[] = {"1/5", "2/5", "3/5", "4/5", "5/5"};
        const struct tg_json *job = tg_json_at(list, i), *labels = tg_json_get(job, "labels");
        bool is_gpu = i >= 2; /* half of the blocks, and half of five is rounded up */
        assert_string_equal(tg_json_text(tg_json_get(job, "shard")), shards[i]);
        assert_string_equal(tg_json_text(tg_json_get(job, "pool")), is_gpu ? "gpu" : "cpu");
        assert_int_equal(tg_json_count(labels), 4);
        assert_string_equal(tg_json_text(tg_json_at(labels, 0)), "self-hosted");
        assert_string_equal(tg_json_text(tg_json_at(labels, 2)), "x64");
        assert_string_equal(tg_json_text(tg_json_at(labels, 3)),
                            is_gpu ? "tritgate-gpu" : "tritgate-cpu");
        size_t own = (size_t)tg_json_number(tg_json_get(job, "blocks"));
        assert_int_equal(tg_json_number(tg_json_get(job, "least_s")), 10 * own);
        blocks += own;
    }
    assert_string_equal(tg_json_text(tg_json_get(tg_json_at(list, 3), "name")), "gpu-4");
    assert_int_equal(blocks, 12);
    tg_json_release(&file);
    tg_plan_release(&plan);
    free(text);
}

static void shards_without_a_block_are_no_jobs(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    struct tg_plan plan;
    struct tg_json_file file;
    make(TG_JOB_MATRIX_MOST, false, POLICY("60"), &plan);
    FILE *out = open_memstream(&text, &size);
    tg_job_matrix_write(out, &plan, "aarch64");
    fclose(out);
    assert_int_equal(tg_json_parse(text, &file, NULL), 0);
    const struct tg_json *list = tg_json_get(file.root, "include");
    assert_int_equal(tg_json_count(list), 12);
    assert_string_equal(tg_json_text(tg_json_at(tg_json_get(tg_json_at(list, 0), "labels"), 2)),
                        "arm64");
    tg_json_release(&file);
    tg_plan_release(&plan);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_are_as_many_shards_as_the_budget_asks_for),
        cmocka_unit_test(each_shard_is_a_job_of_its_pool),
        cmocka_unit_test(shards_without_a_block_are_no_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
