/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/crew.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "results/digest.h"
#include "tests/made_run.h"
#include "tests/worker_cell.h"

/* Crews of more than one rank are tested by whole runs: test_farm.sh. */

static const struct tg_identity identity = {"nodea", NULL};

static struct tg_wire *wire;
static struct tg_crew *crew;

static int begin(void **state)
{
    (void)state;
    return tg_wire_open(&wire, NULL) < 0 ? -1 : tg_crew_open(wire, &identity, &crew, NULL);
}

static int end(void **state)
{
    (void)state;
    tg_crew_close(crew);
    tg_wire_close(wire, 0);
    return 0;
}

static void one_rank_alone_is_its_own_worker(void **state)
{
    (void)state;
    size_t worker = 77;
    char *answer = NULL;
    struct tg_error err;
    assert_int_equal(tg_crew_count(crew), 1);
    assert_int_equal(tg_crew_hear(crew, 0, &worker, &answer, &err), 0); /* it was not asked */
    assert_true(worker == 77 && !answer);
    assert_int_equal(tg_crew_tell(crew, 0, "{\"do\":\"announce\"}", &err), 0);
    assert_int_equal(tg_crew_hear(crew, 0, &worker, &answer, &err), 1);
    assert_int_equal(worker, 0);
    assert_non_null(strstr(answer, "\"host\":\"nodea\""));
    free(answer);
    assert_int_equal(tg_crew_hear(crew, 0, &worker, &answer, &err), 0); /* it answered once */
}

static void all_are_told(void **state)
{
    (void)state;
    size_t worker;
    char *answer;
    struct tg_error err;
    assert_int_equal(tg_crew_tell_all(crew, "{\"do\":\"close\"}", &err), 0);
    assert_int_equal(tg_crew_hear(crew, 0, &worker, &answer, &err), 1);
    assert_string_equal(answer, "{\"bye\":\"\"}");
    free(answer);
}

static void an_answer_that_nobody_heard_is_freed(void **state)
{
    (void)state;
    struct tg_error err;
    for (int i = 0; i < 3; i++)
        assert_int_equal(tg_crew_tell(crew, 0, "{\"do\":\"announce\"}", &err), 0);
}

static void a_message_that_means_nothing_is_an_error(void **state)
{
    (void)state;
    size_t worker;
    char *answer;
    struct tg_error err;
    assert_int_equal(tg_crew_tell(crew, 0, "{\"do\":\"dance\"}", &err), -1);
    assert_string_equal(err.text, "a message that means nothing: 'dance'");
    assert_int_equal(tg_crew_tell_all(crew, "no json", &err), -1);
    assert_int_equal(tg_crew_hear(crew, 0, &worker, &answer, &err), 0);
}

static void what_workers_announce_takes_the_place_of_what_they_said(void **state)
{
    (void)state;
    struct tg_capability worker = {0};
    struct tg_error err;
    char program[TG_DIGEST_SIZE];
    assert_int_equal(tg_digest_file("/proc/self/exe", program, &err), 0);
    for (int i = 0; i < 2; i++) {
        const char *base = i ? kernel_library() : "";
        if (tg_crew_announce(crew, &(struct tg_summons){kernel_library(), base, "", "", "memory"},
                             &worker, &err) < 0)
            fail_msg("%s", err.text);
        assert_string_equal(worker.host, "nodea");
        assert_string_not_equal(worker.hardware, "unknown");
        assert_true(worker.head.count > 1);
        assert_int_equal(worker.has_base, i);
        assert_string_equal(worker.program, program);
    }
    assert_int_equal(tg_crew_announce(crew,
                                      &(struct tg_summons){"/nowhere.so", "", "", "", "memory"},
                                      &worker, &err),
                     -1);
    assert_string_equal(err.text, "cannot open library '/nowhere.so': No such file or directory");
    assert_null(worker.head.kernels);
    tg_plan_capability_release(&worker);
}

/* Whole models, and shards, are measured by one build; kernels by any of the same version. */
static void a_worker_of_another_build_measures_kernels_alone(void **state)
{
    (void)state;
    static const struct {
        const char *axes;
        size_t shard_count;
        int rc;
    } rows[] = {
        {"\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\"], \"layer\": [\"640x2560\"]", 0, 0},
        {"\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\"], \"layer\": [\"640x2560\"]", 2, -1},
        {"\"probe\": [\"model\"], \"kernel\": [\"i2s_avx2\"], \"model\": [\"tiny\"], \"profile\": "
         "[\"decode_32\"]",
         0, -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char matrix[300];
        struct tg_error err;
        struct tg_plan plan;
        struct tg_asked asked = made_asked;
        struct tg_capability workers[] = {made_worker("a", NULL), made_worker("b", NULL)};
        struct tg_capability now[] = {{.host = "a", .program = MADE_HEAD},
                                      {.host = "b", .program = MADE_HEAD}};
        asked.shard_count = rows[i].shard_count;
        for (size_t k = 0; k < 2; k++) workers[k].shard = rows[i].shard_count;
        snprintf(asked.program, sizeof asked.program, "%s", MADE_HEAD);
        snprintf(matrix, sizeof matrix, "{\"tritgate_matrix\": 1, \"axes\": {%s}}", rows[i].axes);
        made_plan(matrix,
                  "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": [{\"rule\": "
                  "\"determinism\", \"metric\": \"output_checksum\"}]}",
                  workers, 2, &asked, &plan);
        assert_int_equal(tg_crew_check_builds(now, 2, &plan, &err), 0);
        snprintf(now[1].program, sizeof now[1].program, "%s", MADE_BASE);
        assert_int_equal(tg_crew_check_builds(now, 2, &plan, &err), rows[i].rc);
        if (rows[i].rc < 0)
            assert_string_equal(err.text,
                                "worker 2 on 'b' runs another build of tritgate than the "
                                "coordinator: whole models, and shards, are of one build on all "
                                "hosts");
        tg_plan_release(&plan);
    }
}

/* Ranks of one host that may use other cores each know of their own part alone. */
static void the_memory_of_a_host_is_divided_among_all_its_parts(void **state)
{
    (void)state;
    struct tg_capability workers[] = {
        {.host = "a", .share = "cores0"}, {.host = "b", .share = "cores0"},
        {.host = "a", .share = "cores1"}, {.host = "a", .share = "cores0"},
        {.host = "c", .share = "node"},
    };
    static const int parts[] = {2, 1, 2, 2, 1};
    for (size_t i = 0; i < 5; i++) workers[i].head.memory_bytes = 1000;
    workers[1].base.memory_bytes = workers[2].base.memory_bytes = 600;
    tg_crew_divide(workers, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(workers[i].parts, parts[i]);
        assert_int_equal(workers[i].head.memory_bytes, 1000 / parts[i]);
    }
    assert_int_equal(workers[1].base.memory_bytes, 600);
    assert_int_equal(workers[2].base.memory_bytes, 300);
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_crew_add_parts(workers, 5, root);
    char *message = tg_json_print(root, false);
    assert_string_equal(message, "{\"parts\":{\"a\":2,\"b\":1,\"c\":1}}");
    free(message);
    tg_json_free(root);
}

static void a_worker_in_this_process_is_never_lost_and_leaves(void **state)
{
    (void)state;
    char why[100];
    tg_crew_set_patience(crew, 0);
    assert_false(tg_crew_is_lost(crew, 0));
    assert_false(tg_crew_is_dead(crew, 0));
    double before = tg_crew_now(crew);
    assert_true(tg_crew_now(crew) >= before);
    tg_crew_set_patience(crew, 1800);
    tg_crew_loss(crew, 0, why, sizeof why);
    assert_string_equal(why, "has said nothing for 1800 s");
    assert_true(tg_crew_dismiss(crew));
}

static void one_is_asked_and_its_answer_or_error_is_given(void **state)
{
    (void)state;
    struct tg_json_file answer;
    struct tg_error err;
    const char *files = "{\"do\":\"files\",\"directory\":\"/nowhere\"}";
    assert_int_equal(tg_crew_ask(crew, 0, files, "files", &answer, &err), 0);
    assert_int_equal(tg_json_count(tg_json_get(answer.root, "files")), 0);
    tg_json_release(&answer);
    const char *read = "{\"do\":\"read\",\"directory\":\"/\",\"file\":\"etc\",\"at\":0}";
    assert_int_equal(tg_crew_ask(crew, 0, read, "part", &answer, &err), -1);
    assert_string_equal(err.text, "no worker has a file 'etc'");
    assert_int_equal(tg_crew_ask(crew, 0, files, "part", &answer, &err), -1); /* another answer */
    assert_string_equal(err.text, "worker 1 does not answer");
}

int main(int argc, char **argv)
{
    if (is_cell(argc, argv)) return play_cell(argv);
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(one_rank_alone_is_its_own_worker),
        TEST(all_are_told),
        TEST(one_is_asked_and_its_answer_or_error_is_given),
        TEST(an_answer_that_nobody_heard_is_freed),
        TEST(a_message_that_means_nothing_is_an_error),
        TEST(a_worker_of_another_build_measures_kernels_alone),
        TEST(the_memory_of_a_host_is_divided_among_all_its_parts),
        TEST(a_worker_in_this_process_is_never_lost_and_leaves),
        TEST(what_workers_announce_takes_the_place_of_what_they_said),
    };
    tg_crew_close(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
