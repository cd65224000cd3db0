/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/gather.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "results/telegram.h"
#include "tests/run_directory.h"
#include "tests/worker_cell.h"

/* Files that come from elsewhere need a host that shares nothing: test_hosts.sh. */

#define CELL "probe=kernel kernel=i2s_scalar layer=16x128"

static const struct tg_identity identity = {"nodea", TG_TEST_DATA "/two_sockets.xml", NULL};

static struct tg_wire *wire;
static struct tg_crew *crew;
static bool is_lost, is_dead; /* the worker, to who asks */

bool __wrap_tg_crew_is_lost(const struct tg_crew *asked, size_t worker);
bool __wrap_tg_crew_is_lost(const struct tg_crew *asked, size_t worker)
{
    assert_true(asked == crew && worker == 0);
    return is_lost;
}

bool __wrap_tg_crew_is_dead(const struct tg_crew *asked, size_t worker);
bool __wrap_tg_crew_is_dead(const struct tg_crew *asked, size_t worker)
{
    assert_true(asked == crew && worker == 0);
    return is_dead;
}

static int begin(void **state)
{
    is_lost = is_dead = false;
    if (run_make(state) < 0 || tg_wire_open(&wire, NULL) < 0) return -1;
    return tg_crew_open(wire, &identity, &crew, NULL);
}

static int end(void **state)
{
    tg_crew_close(crew);
    tg_wire_close(wire, 0);
    return run_remove(state);
}

static void what_is_there_is_not_brought(void **state)
{
    (void)state;
    size_t count = 7;
    struct tg_error err;
    assert_int_equal(tg_gather(crew, run_directory, &run_plan, &count, &err), 0);
    assert_int_equal(count, 0);
    run_write("worker-0001.1.h5", "none of HDF5", 12);
    if (tg_gather(crew, run_directory, &run_plan, &count, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(count, 0);
}

static void a_worker_that_has_no_such_directory_has_nothing(void **state)
{
    (void)state;
    size_t count = 7;
    struct tg_error err;
    assert_int_equal(tg_gather(crew, "/nowhere", &run_plan, &count, &err), 0);
    assert_int_equal(count, 0);
}

static void a_worker_that_is_lost_may_have_something_elsewhere(void **state)
{
    (void)state;
    size_t count = 7;
    struct tg_error err;
    is_lost = true;
    assert_int_equal(tg_gather(crew, run_directory, &run_plan, &count, &err), -1);
    assert_string_equal(err.text, "the file of worker 1, which is lost, may be elsewhere");
    assert_int_equal(count, 0);
}

static void tell(const char *message)
{
    struct tg_error err;
    if (tg_crew_tell(crew, 0, message, &err) < 0) fail_msg("%s", err.text);
}

static void a_dead_worker_is_not_asked(void **state)
{
    (void)state;
    size_t count = 7;
    is_lost = is_dead = true;
    assert_int_equal(tg_gather(crew, run_directory, &run_plan, &count, NULL), 0);
    assert_int_equal(count, 0);
}

/* Begins a run in a directory and has one round measured, which is stored there. */
static void measure(const char *directory)
{
    char message[5000];
    struct tg_error err;
    struct tg_capability worker = {0};
    const struct tg_summons summons = {kernel_library(), "", "", "", "memory"};
    if (tg_crew_announce(crew, &summons, &worker, &err) < 0) fail_msg("%s", err.text);
    tg_plan_capability_release(&worker);
    snprintf(message, sizeof message,
             "{\"do\":\"open\",\"directory\":\"%s\",\"attempt\":2,"
             "\"matrix\":\"{\\\"matrix\\\": 1}\\n\",\"policy\":\"{\\\"policy\\\": 1}\\n\","
             "\"plan\":\"{\\\"plan\\\": 1}\\n\",\"limits\":{\"round_s\":0.01,\"sample_s\":1e-5,"
             "\"quads_max\":6,\"warmup_min_s\":0.001,\"warmup_max_s\":0.01}}",
             directory);
    tell(message);
    size_t from;
    char *answer;
    tell("round 0 77 600000 tfc- " CELL);
    if (tg_crew_hear(crew, tg_now() + 60, &from, &answer, &err) != 1) fail_msg("no answer");
    assert_non_null(tg_telegrams_begin(answer));
    free(answer);
}

/* The one file that the worker tells of. */
static void assert_told(const char *name)
{
    char message[5000];
    struct tg_error err;
    struct tg_json_file answer;
    snprintf(message, sizeof message,
             "{\"do\":\"files\",\"directory\":\"%s\",\"have\":["
             "{\"name\":\"worker-0001.1.h5\",\"bytes\":3}]}",
             run_directory);
    if (tg_crew_ask(crew, 0, message, "files", &answer, &err) < 0) fail_msg("%s", err.text);
    const struct tg_json *files = tg_json_get(answer.root, "files");
    assert_int_equal(tg_json_count(files), 1);
    assert_string_equal(tg_json_text(tg_json_get(tg_json_at(files, 0), "name")), name);
    tg_json_release(&answer);
}

static void a_worker_tells_of_what_is_not_had_and_in_a_run_of_its_own_file(void **state)
{
    (void)state;
    run_write("worker-0001.1.h5", "abc", 3);
    run_write("worker-0002.1.h5", "abc", 3);
    assert_told("worker-0002.1.h5");
    measure(run_directory);
    assert_told("worker-0000.2.h5");
    assert_int_equal(tg_store_check_plan(run_path("worker-0000.2.h5"), &run_plan, NULL), 0);
}

static void a_worker_makes_the_directories_that_its_own_is_in(void **state)
{
    (void)state;
    char deep[3100];
    snprintf(deep, sizeof deep, "%s/a/b", run_directory);
    measure(deep);
    tell("{\"do\":\"close\"}");
    assert_int_equal(remove(run_path("a/b/worker-0000.2.h5")), 0);
    assert_int_equal(remove(run_path("a/b")) | remove(run_path("a")), 0);
}

int main(int argc, char **argv)
{
    if (is_cell(argc, argv)) return play_cell(argv);
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(what_is_there_is_not_brought),
        TEST(a_worker_that_has_no_such_directory_has_nothing),
        TEST(a_worker_that_is_lost_may_have_something_elsewhere),
        TEST(a_dead_worker_is_not_asked),
        TEST(a_worker_tells_of_what_is_not_had_and_in_a_run_of_its_own_file),
        TEST(a_worker_makes_the_directories_that_its_own_is_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
