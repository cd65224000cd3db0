/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/file.h>

#include <cmocka.h>

#include "base/pulse.h"
#include "results/telegram.h"
#include "tests/run_directory.h"
#include "tests/served_worker.h"
#include "tests/worker_cell.h"
#include "worker/serve.h"

/* Rounds as they are ordered (serve.h), and given up when nobody waits for them any more. */

static struct tg_worker *worker;
static struct tg_order order;

static int begin(void **state)
{
    static const char cell[] = "probe=kernel kernel=i2s_scalar layer=16x128";
    char message[9000];
    if (run_make(state) < 0) return -1;
    worker = start_on(TG_TEST_DATA "/two_sockets.xml", NULL, 1);
    snprintf(message, sizeof message,
             "{\"do\":\"announce\",\"head\":\"%s\",\"base\":\"\",\"exclusive\":\"memory\"}",
             kernel_library());
    struct tg_json_file file = ask(worker, message);
    tg_json_release(&file);
    open_run(worker, run_directory);
    order = (struct tg_order){
        .round = 5, .seed = 123456789012345, .is_complete = true, .wait_s = 600};
    order.block.cell_count = 1;
    order.block.is_timed = true;
    snprintf(order.block.text, sizeof order.block.text, "%s", cell);
    return tg_cell_parse(cell, &order.block.cells[0], NULL);
}

static int end(void **state)
{
    struct tg_json_file file = ask(worker, "{\"do\":\"close\"}");
    tg_json_release(&file);
    tg_serve_close(worker);
    return run_remove(state) < 0 || has_children() ? -1 : 0;
}

/* Has the round conducted; the answer is to be freed. */
static char *conduct(void)
{
    struct tg_error err;
    char *answer, *message;
    message = tg_serve_order_text(&order.block, order.round, order.seed, order.is_complete,
                                  order.is_apart, order.wait_s);
    if (tg_serve_answer(worker, message, &answer, &err) < 0) fail_msg("%s", err.text);
    free(message);
    return answer;
}

static void an_order_is_understood_as_it_was_given(void **state)
{
    (void)state;
    char *answer = conduct();
    char *told = tg_telegrams_begin(answer);
    assert_non_null(told);
    struct tg_measurement *m = tg_telegrams_next(&told, NULL, NULL);
    assert_non_null(m);
    assert_string_equal(told, "");
    assert_int_equal(m->outcome, TG_MEASURED);
    assert_true(m->round == 5 && m->attempt == 2);
    assert_string_equal(m->facts.seed, "123456789012345");
    assert_string_equal(m->block, order.block.text);
    assert_non_null(tg_measurement_series(m, "call_time"));
    tg_measurement_free(m);
    free(m);
    free(answer);
}

static void an_order_is_one_line(void **state)
{
    (void)state;
    struct tg_block block = {.is_fixed = true, .text = "a=1 | a=2"};
    char *text = tg_serve_order_text(&block, 0, 0, false, false, -1);
    assert_string_equal(text, "round 0 0 0 -f-- a=1 | a=2");
    free(text);
    block.is_timed = true;
    text = tg_serve_order_text(&block, INT64_MAX, UINT64_MAX, true, true, 1.5);
    assert_string_equal(text, "round 9223372036854775807 18446744073709551615 1500 tfca a=1 | a=2");
    free(text);
}

static bool is_wanted(void *beats)
{
    return --*(int *)beats >= 0;
}

/* Its children were killed, which is no outcome of theirs. */
static void a_round_that_nobody_waits_for_is_given_up_and_not_stored(void **state)
{
    (void)state;
    struct tg_run run;
    struct tg_error err;
    for (int beats = 0; beats < 4; beats++) {
        int left = beats;
        tg_pulse_set(is_wanted, &left);
        char *answer = conduct();
        tg_pulse_set(NULL, NULL);
        assert_string_equal(answer, "{\"lost\":\"the coordinator is lost\"}");
        free(answer);
    }
    if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(run.count, 0);
    tg_store_release(&run);
}

static void another_run_is_waited_for_as_long_as_there_is_time(void **state)
{
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "/tmp/tritgate-%ld-node-a-numa1.lock", (long)getuid());
    int lock = open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    order.wait_s = 0.3;
    char *answer = conduct();
    assert_string_equal(answer, "{\"over\":\"its time was over while it waited for another run\"}");
    free(answer);
    close(lock);
    order.wait_s = 600;
    answer = conduct();
    assert_non_null(tg_telegrams_begin(answer));
    free(answer);
}

int main(int argc, char **argv)
{
    if (is_cell(argc, argv)) return play_cell(argv);
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(an_order_is_one_line),
        TEST(an_order_is_understood_as_it_was_given),
        TEST(another_run_is_waited_for_as_long_as_there_is_time),
        TEST(a_round_that_nobody_waits_for_is_given_up_and_not_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
