/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/rows.h"
#include "tests/made_run.h"

static const char matrix[] =
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\"],"
    " \"model\": [\"bitnet-2b\"], \"layer\": [\"attn_q\"], \"batch\": [1, 8]}}";
static const char policy[] =
    "{\"tritgate_policy\": 1, \"flow\": \"review\", \"rules\": [{\"rule\": \"noninferior\","
    " \"metric\": \"call_time\", \"axis\": \"build\", \"of\": \"head\", \"to\": \"base\","
    " \"tolerance\": 0.02, \"margin\": 0.05}]}";

/* Two workers on unlike hardware: each test is there twice. */
static void rows_are_sorted_to_cells_and_hardware(void **state)
{
    (void)state;
    struct tg_capability workers[] = {made_worker("a", MADE_BASE), made_worker("b", MADE_BASE)};
    struct tg_plan plan;
    struct tg_run run = {0};
    struct tg_rows *rows;
    struct tg_error err;
    size_t count;
    snprintf(workers[0].hardware, sizeof workers[0].hardware, "small");
    snprintf(workers[1].hardware, sizeof workers[1].hardware, "large");
    made_plan(matrix, policy, workers, 2, &made_asked, &plan);
    assert_int_equal(plan.class_count, 2);
    assert_int_equal(plan.spec.test_count, 4);
    assert_int_equal(plan.spec.block_count, 4);
    assert_int_equal(plan.required_count, 4);

    for (int64_t round = 0; round < 40; round++)
        for (size_t test = 0; test < 4; test++)
            if (round < 10 * (int64_t)(test + 1)) made_round(&run, &plan, test, round, 0);
    made_round(&run, &plan, 0, 99, 0);
    for (int i = 1; i <= 2; i++)
        snprintf(run.rows[run.count - (size_t)i].facts.hardware, TG_TEXT_SIZE, "another");

    assert_int_equal(tg_rows_create(&plan, &rows, &err), 0);
    for (size_t i = 0; i < run.count; i++)
        assert_int_equal(tg_rows_add(rows, &run.rows[i], &err), 0);
    assert_int_equal(tg_rows_strays(rows), 2);
    for (size_t test = 0; test < 4; test++) {
        size_t block = plan.spec.tests[test].block;
        const struct tg_measurement *const *own = tg_rows_of(rows, block, &count);
        assert_int_equal(count, 20 * (test + 1));
        for (size_t i = 0; i < count; i++)
            assert_true(tg_plan_is_of(&plan, &plan.spec.blocks[block], own[i]));
    }
    tg_rows_destroy(rows);
    tg_rows_destroy(NULL);
    tg_plan_release(&plan);
    tg_store_release(&run);
}

static void rows_that_are_kept_go_with_the_list(void **state)
{
    (void)state;
    struct tg_capability worker = made_worker("a", MADE_BASE);
    struct tg_plan plan;
    struct tg_run run = {0};
    struct tg_rows *rows;
    struct tg_error err;
    size_t count;
    made_plan(matrix, policy, &worker, 1, &made_asked, &plan);
    made_round(&run, &plan, 0, 0, 0);
    made_round(&run, &plan, 0, 1, 0);
    assert_int_equal(tg_rows_create(&plan, &rows, &err), 0);
    for (size_t i = 0; i < run.count; i++)
        assert_int_equal(tg_rows_keep(rows, tg_measurement_copy(&run.rows[i]), &err), 0);
    const struct tg_measurement *const *own = tg_rows_of(rows, plan.spec.tests[0].block, &count);
    assert_int_equal(count, 4);
    assert_int_equal(tg_rows_rounds(rows, plan.spec.tests[0].block), 2);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(own[i]->round, i / 2);
        assert_non_null(tg_measurement_series(own[i], "call_time"));
    }
    tg_rows_destroy(rows);
    tg_plan_release(&plan);
    tg_store_release(&run);
}

/* As where the file of the worker that measured them was deleted. */
static void rounds_that_were_given_out_and_are_not_here_are_counted(void **state)
{
    (void)state;
    struct tg_capability worker = made_worker("a", MADE_BASE);
    struct tg_plan plan;
    struct tg_run run = {0};
    struct tg_rows *rows;
    struct tg_error err;
    char note[200];
    made_plan(matrix, policy, &worker, 1, &made_asked, &plan);
    for (int64_t i = 0; i < 18; i++) made_round(&run, &plan, 0, i % 9, 0);
    for (size_t i = run.count / 2; i < run.count; i++) run.rows[i].session = 1;
    for (int is_imported = 0; is_imported < 2; is_imported++) {
        for (int64_t lost = 0; lost < 3; lost++) { /* the first of each session: 0, 1 or 2 */
            assert_int_equal(tg_rows_create(&plan, &rows, &err), 0);
            for (size_t i = 0; i < run.count; i++)
                if (run.rows[i].round >= lost)
                    assert_int_equal(tg_rows_add(rows, &run.rows[i], &err), 0);
            plan.asked.is_imported = is_imported;
            assert_true(tg_rows_may_pass(rows, note, sizeof note));
            tg_rows_destroy(rows);
            const char *wanted[] = {
                "",
                "2 rounds that were given out are not here: lost with a worker, or with its file",
                "4 rounds that were given out are not here: lost with a worker, or with its file"};
            assert_string_equal(note, is_imported ? "" : wanted[lost]);
        }
    }
    tg_plan_release(&plan);
    tg_store_release(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_sorted_to_cells_and_hardware),
        cmocka_unit_test(rows_that_are_kept_go_with_the_list),
        cmocka_unit_test(rounds_that_were_given_out_and_are_not_here_are_counted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
