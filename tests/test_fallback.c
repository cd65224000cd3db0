/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/fallback.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/report.h"
#include "tests/decided_run.h"

/* A machine without AVX-512: what stands in for its kernel, batch by batch. */

#define MATRIX                                                                                     \
    "{\"tritgate_matrix\": 1, \"axes\": [{\"probe\": [\"kernel\"], \"kernel\": "                   \
    "[\"i2s_avx512vnni\"], \"layer\": [\"640x2560\"], \"batch\": [1, 8]}, {\"probe\": "            \
    "[\"kernel\"], \"kernel\": [\"i2s_avx2\"], \"layer\": [\"640x2560\"], \"batch\": [8]},"        \
    " {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_scalar\"], \"layer\": [\"64x256\"]}]}"
#define CHAIN                                                                                      \
    "\"fallbacks\": [{\"name\": \"wide\", \"each\": true, \"levels\": ["                           \
    "{\"level\": \"primary\", \"does\": \"wide\", \"cells\": \"isa=avx512vnni\"},"                 \
    "{\"level\": \"alt1\", \"does\": \"narrow\", \"cells\": \"isa=avx2\", \"same\": "              \
    "\"op layer batch\"},"                                                                         \
    "{\"level\": \"alt2\", \"does\": \"plain\", \"cells\": \"isa=scalar\"},"                       \
    "{\"level\": \"skip\", \"does\": \"nothing\", \"method\": \"not-there\"}]}]"
#define POLICY(chain)                                                                              \
    "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": [{\"rule\": \"floor\", \"metric\": "     \
    "\"kernel_accuracy\", \"limit\": 0.9}]" chain "}"

static size_t test_of(const char *kernel, int64_t batch)
{
    return made_test(&plan, 0, kernel, batch);
}

/* Two rounds, as many as a fixed metric needs. */
static void measure(const char *kernel, int64_t batch, double value)
{
    made_fixed(&run, &plan, test_of(kernel, batch), 0, value);
    made_fixed(&run, &plan, test_of(kernel, batch), 1, value);
}

static const struct tg_fallback *fallback(size_t i, const char *level)
{
    assert_true(i < decision.fallback_count);
    assert_string_equal(decision.fallbacks[i].level->level, level);
    return &decision.fallbacks[i];
}

static void each_cell_falls_to_the_first_level_that_was_reached(void **state)
{
    (void)state;
    begin_run(MATRIX, POLICY(", " CHAIN));
    measure("i2s_avx2", 8, 0.99);
    measure("i2s_scalar", 1, 0.99);
    decide_run();
    assert_int_equal(decision.fallback_count, 2);
    const struct tg_fallback *f = fallback(0, "alt2"); /* nothing narrow has a batch of 1 */
    assert_int_equal(f->cell->batch, 1);
    assert_string_equal(f->instead->kernel, "i2s_scalar");
    assert_int_equal(f->tries, 0);
    assert_string_equal(f->reason, "instruction set 'avx512vnni' is not on this machine");
    f = fallback(1, "alt1");
    assert_string_equal(f->instead->kernel, "i2s_avx2");
    assert_int_equal(f->answer, TG_PASS);
    assert_string_equal(decision.notes[decision.note_count - 1],
                        "wide: 2 cells were not measured; instead: 1 narrow, 1 plain");
    assert_int_equal(decision.answer, TG_PASS); /* of the two that were asked of this machine */
}

static void what_nothing_stands_in_for_is_skipped(void **state)
{
    (void)state;
    begin_run(MATRIX, POLICY(", " CHAIN));
    decide_run();
    for (size_t i = 0; i < 2; i++) {
        assert_null(fallback(i, "skip")->instead);
        assert_string_equal(decision.fallbacks[i].level->method, "not-there");
    }
}

static void a_cell_that_failed_stands_in_only_where_none_passed(void **state)
{
    (void)state;
    begin_run(MATRIX, POLICY(", " CHAIN));
    measure("i2s_avx2", 8, 0.5);
    measure("i2s_scalar", 1, 0.99);
    decide_run();
    assert_int_equal(fallback(1, "alt1")->answer, TG_FAIL);
    assert_int_equal(decision.answer, TG_FAIL);
}

/* The first of the policy's two rules passes, the second does not. */
static void a_cell_that_passed_one_test_and_failed_another_has_failed(void **state)
{
    (void)state;
    begin_run(MATRIX,
              "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": ["
              "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.4}, "
              "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9}, "
              "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.3}], " CHAIN
              "}");
    measure("i2s_avx2", 8, 0.5);
    decide_run();
    assert_int_equal(fallback(1, "alt1")->answer, TG_FAIL);
}

/* It was there, and broke: both tries are told, and its test fails all the same. */
static void tries_are_counted_and_excuse_nothing(void **state)
{
    (void)state;
    begin_run(MATRIX, "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": [{\"rule\": \"floor\","
                      " \"metric\": \"kernel_accuracy\", \"limit\": 0.9}], \"fallbacks\": [{"
                      "\"name\": \"narrow\", \"each\": true, \"levels\": [{\"level\": \"primary\","
                      " \"does\": \"narrow\", \"cells\": \"isa=avx2\"}, {\"level\": \"alt1\","
                      " \"does\": \"plain\", \"cells\": \"isa=scalar\"}]}]}");
    for (int64_t r = 0; r < 2; r++)
        snprintf(made_row(&run, &plan, test_of("i2s_avx2", 8), 0, r, TG_CRASHED)->reason, 40,
                 "signal 11");
    measure("i2s_scalar", 1, 0.99);
    assert_int_equal(decide_run(), TG_FAIL);
    const struct tg_fallback *f = fallback(0, "alt1");
    assert_int_equal(f->tries, 2);
    assert_string_equal(f->reason, "crashed: signal 11");
}

static void what_was_measured_needs_no_other(void **state)
{
    (void)state;
    begin_run(MATRIX, POLICY(""));
    decide_run();
    assert_int_equal(decision.fallback_count, 0);
    assert_int_equal(decision.note_count, 0);
}

static void reports_have_method_result_and_reason(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    begin_run(MATRIX, POLICY(", " CHAIN));
    measure("i2s_avx2", 8, 0.99);
    decide_run();
    FILE *out = open_memstream(&text, &size);
    tg_report_find("markdown")->write(out, &plan, &decision);
    tg_report_find("receipt")->write(out, &plan, &decision);
    fclose(out);
    assert_non_null(strstr(text, "| i2s_avx512vnni, 640x2560, batch=8 | 0 | instruction set"));
    assert_non_null(strstr(text, " | narrow | pass | i2s_avx2, 640x2560, batch=8 |\n"));
    assert_non_null(strstr(text, " | not-there | skipped |  |\n"));
    assert_non_null(strstr(text, "\"method\": \"narrow\""));
    free(text);
}

/* A matrix of a processor's kernels, a GPU's, and a reference engine, on a machine with the first.
 */
#define WIDE                                                                                       \
    "{\"tritgate_matrix\": 1, \"axes\": [{\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\","     \
    " \"i2s_cuda*\"], \"model\": [\"bitnet-2b\"], \"layer\": [\"attn_q\"]},"                       \
    " {\"probe\": [\"engine*\"], \"model\": [\"bitnet-2b\"]}]}"

static void the_policies_tell_every_gpu_and_engine_cell_that_is_left_out(void **state)
{
    (void)state;
    static const char *const flows[] = {"generative", "review", "integrative"};
    for (size_t i = 0; i < 3; i++) {
        char path[4096];
        struct tg_json_file file;
        struct tg_error err;
        size_t gpus = 0, engines = 0;
        snprintf(path, sizeof path, TG_TEST_DATA "/../../matrix/policy/%s.json", flows[i]);
        if (tg_json_read(path, &file, &err) < 0) fail_msg("%s", err.text);
        begin_run(WIDE, file.text);
        decide_run();
        for (size_t k = 0; k < decision.fallback_count; k++) {
            gpus += strcmp(decision.fallbacks[k].chain->name, "gpu") == 0;
            engines += strcmp(decision.fallbacks[k].chain->name, "crossval") == 0;
            assert_true(*decision.fallbacks[k].reason);
        }
        assert_true(gpus > 0);
        assert_int_equal(engines, 1);
        end(NULL);
        tg_json_release(&file);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        TEST(each_cell_falls_to_the_first_level_that_was_reached),
        TEST(what_nothing_stands_in_for_is_skipped),
        TEST(a_cell_that_failed_stands_in_only_where_none_passed),
        TEST(a_cell_that_passed_one_test_and_failed_another_has_failed),
        TEST(tries_are_counted_and_excuse_nothing),
        TEST(what_was_measured_needs_no_other),
        TEST(reports_have_method_result_and_reason),
        TEST(the_policies_tell_every_gpu_and_engine_cell_that_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
