/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/dispatch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/file.h>

#include <cmocka.h>

#include "coordinator/queue.h"
#include "tests/made_run.h"
#include "tests/run_directory.h"
#include "tests/worker_cell.h"
#include "worker/host.h"

/* Real rounds of one small cell, by a worker in this process. */

static char matrix[] = "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"],"
                       "\"kernel\": [\"i2s_scalar\"], \"layer\": [\"8x128\"]}}";
static char policy[] =
    "{\"tritgate_policy\": 1, \"flow\": \"f\", \"limits\": {\"warmup_min_s\": 0.001,"
    " \"warmup_max_s\": 0.002, \"round_s\": 0.001, \"sample_s\": 0.00001}, \"rules\": ["
    "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.5}]}";

static struct tg_wire *wire;
static struct tg_crew *crew;
static struct tg_capability worker;
static struct tg_run run;
static struct tg_plan plan;

/*
 * Or, to who asks, by two workers that share their memory domain: each lives, or is silent, or
 * dies, with the first round that it is given. What one that lives does is the real worker's.
 */
enum manner { LIVES, IS_SILENT, DIES };

static struct {
    size_t count;
    enum manner manners[2];
    bool is_lost[2];
    double waits_s; /* for another run, before it begins its next round */
} farm;

size_t __real_tg_crew_count(const struct tg_crew *asked);
size_t __wrap_tg_crew_count(const struct tg_crew *asked);
size_t __wrap_tg_crew_count(const struct tg_crew *asked)
{
    return farm.count ? farm.count : __real_tg_crew_count(asked);
}

bool __wrap_tg_crew_is_lost(const struct tg_crew *asked, size_t which);
bool __wrap_tg_crew_is_lost(const struct tg_crew *asked, size_t which)
{
    assert_ptr_equal(asked, crew);
    return farm.is_lost[which];
}

bool __wrap_tg_crew_is_dead(const struct tg_crew *asked, size_t which);
bool __wrap_tg_crew_is_dead(const struct tg_crew *asked, size_t which)
{
    return __wrap_tg_crew_is_lost(asked, which) && farm.manners[which] == DIES;
}

void __wrap_tg_crew_loss(const struct tg_crew *asked, size_t which, char *text, size_t size);
void __wrap_tg_crew_loss(const struct tg_crew *asked, size_t which, char *text, size_t size)
{
    snprintf(text, size, "%s", __wrap_tg_crew_is_dead(asked, which) ? "is dead" : "is silent");
}

static size_t told_last; /* of those that live */

int __real_tg_crew_tell(struct tg_crew *told, size_t which, const char *message,
                        struct tg_error *err);
int __wrap_tg_crew_tell(struct tg_crew *told, size_t which, const char *message,
                        struct tg_error *err);
int __wrap_tg_crew_tell(struct tg_crew *told, size_t which, const char *message,
                        struct tg_error *err)
{
    assert_false(farm.is_lost[which]);
    if (farm.manners[which] != LIVES) {
        farm.is_lost[which] = true;
        return 0;
    }
    told_last = which;
    if (tg_serve_is_order(message)) {
        usleep((useconds_t)(1e6 * farm.waits_s));
        farm.waits_s = 0;
    }
    return __real_tg_crew_tell(told, 0, message, err);
}

int __real_tg_crew_hear(struct tg_crew *asked, double deadline_s, size_t *which, char **answer,
                        struct tg_error *err);
int __wrap_tg_crew_hear(struct tg_crew *asked, double deadline_s, size_t *which, char **answer,
                        struct tg_error *err);
int __wrap_tg_crew_hear(struct tg_crew *asked, double deadline_s, size_t *which, char **answer,
                        struct tg_error *err)
{
    int rc = __real_tg_crew_hear(asked, deadline_s, which, answer, err);
    *which = told_last;
    return rc;
}

static bool is_avoided[2]; /* blocks, by some worker */

void __real_tg_queue_avoid(struct tg_queue *queue, size_t block, size_t which);
void __wrap_tg_queue_avoid(struct tg_queue *queue, size_t block, size_t which);
void __wrap_tg_queue_avoid(struct tg_queue *queue, size_t block, size_t which)
{
    is_avoided[block] = true;
    __real_tg_queue_avoid(queue, block, which);
}

static int begin(void **state)
{
    static const struct tg_identity identity = {"nodea", NULL};
    char message[5000], *answer;
    size_t from;
    struct tg_json_file file;
    told_last = 0;
    if (run_make(state) < 0 || tg_wire_open(&wire, NULL) < 0 ||
        tg_crew_open(wire, &identity, &crew, NULL) < 0)
        return -1;
    snprintf(message, sizeof message, "{\"do\":\"announce\",\"head\":\"%s\",\"base\":\"\"}",
             kernel_library());
    if (tg_crew_tell(crew, 0, message, NULL) < 0 ||
        tg_crew_hear(crew, 0, &from, &answer, NULL) != 1)
        return -1;
    if (tg_json_parse(answer, &file, NULL) < 0 ||
        tg_plan_capability(&file, file.root, &worker, NULL) < 0)
        return -1;
    tg_json_release(&file);
    free(answer);
    return 0;
}

static int end(void **state)
{
    size_t from;
    char *answer = NULL;
    memset(&farm, 0, sizeof farm);
    if (crew && tg_crew_tell(crew, 0, "{\"do\":\"close\"}", NULL) == 0 &&
        tg_crew_hear(crew, 0, &from, &answer, NULL) == 1)
        free(answer);
    tg_crew_close(crew);
    tg_wire_close(wire, 0);
    tg_plan_release(&plan);
    tg_plan_capability_release(&worker);
    tg_store_release(&run);
    return run_remove(state);
}

/* Plans a matrix under a policy, within that many seconds. */
static void ask_for(const char *asked_matrix, const char *its_policy, double budget_s)
{
    struct tg_error err;
    struct tg_asked asked = made_asked;
    asked.budget_s = budget_s;
    run = (struct tg_run){.matrix = strdup(asked_matrix), .policy = strdup(its_policy)};
    run.plan = tg_plan_text(&asked, &worker, 1);
    if (tg_plan_make(asked_matrix, "a.json", its_policy, run.plan, &plan, &err) < 0)
        fail_msg("%s", err.text);
    run_write("matrix.json", asked_matrix, strlen(asked_matrix));
    run_write("policy.json", its_policy, strlen(its_policy));
    run_write("plan.json", run.plan, strlen(run.plan));
}

static void ask(double budget_s)
{
    ask_for(matrix, policy, budget_s);
}

static size_t rows_told[2]; /* by each worker */

static struct tg_dispatched dispatch(const char *directory, int64_t attempt)
{
    struct tg_error err;
    struct tg_dispatched dispatched;
    struct tg_capability workers[] = {worker, worker};
    for (int i = 0; i < 2; i++) snprintf(workers[i].gpu, TG_TEXT_SIZE, "GPU-%d", i);
    if (tg_dispatch(crew, workers, &plan, &run, directory, attempt, &dispatched, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < 2; i++) rows_told[i] = i < tg_crew_count(crew) ? dispatched.rows[i] : 0;
    free(dispatched.rows);
    return dispatched;
}

/* What was stored, once the worker has closed it. */
static void read_back(struct tg_run *stored)
{
    size_t from;
    char *answer;
    struct tg_error err;
    assert_int_equal(tg_crew_tell(crew, 0, "{\"do\":\"close\"}", &err), 0);
    assert_int_equal(tg_crew_hear(crew, 0, &from, &answer, &err), 1);
    assert_string_equal(answer, "{\"bye\":\"\"}");
    free(answer);
    if (tg_store_read(run_directory, stored, &err) < 0) fail_msg("%s", err.text);
}

static void rounds_are_given_out_until_all_is_decided(void **state)
{
    (void)state;
    struct tg_run stored;
    ask(60);
    struct tg_dispatched dispatched = dispatch(run_directory, 1);
    assert_int_equal(dispatched.rounds, 2); /* as many as a fixed value needs */
    assert_int_equal(rows_told[0], 2);
    assert_false(dispatched.is_lost);
    read_back(&stored);
    assert_int_equal(stored.count, 2);
    for (size_t i = 0; i < stored.count; i++) {
        assert_int_equal(stored.rows[i].round, i);
        assert_int_equal(stored.rows[i].outcome, TG_MEASURED);
        assert_string_equal(stored.rows[i].facts.host, "nodea");
        assert_string_equal(stored.rows[i].facts.library, worker.head.digest);
    }
    assert_string_not_equal(stored.rows[0].facts.seed, stored.rows[1].facts.seed);
    tg_store_release(&stored);
}

/* A round of an earlier attempt, of the library that is measured. */
static void put_earlier(int64_t round)
{
    made_fixed(&run, &plan, 0, round, 0.9);
    memcpy(run.rows[run.count - 1].facts.library, worker.head.digest,
           sizeof run.rows->facts.library);
}

static void an_earlier_attempt_is_gone_on_with(void **state)
{
    (void)state;
    struct tg_run stored;
    ask(60);
    put_earlier(0);
    struct tg_dispatched dispatched = dispatch(run_directory, 2);
    assert_int_equal(dispatched.rounds, 1);
    read_back(&stored);
    assert_int_equal(stored.count, 1);
    assert_int_equal(stored.rows[0].round, 1);
    assert_int_equal(stored.rows[0].attempt, 2);
    assert_int_equal(access(run_path("worker-0000.2.h5"), F_OK), 0);
    tg_store_release(&stored);
}

static void what_is_decided_already_is_not_measured(void **state)
{
    (void)state;
    ask(60);
    put_earlier(0);
    put_earlier(1);
    assert_int_equal(dispatch(run_directory, 2).rounds, 0);
    assert_int_equal(access(run_path("worker-0000.2.h5"), F_OK), -1);
}

static void nothing_is_given_out_beyond_the_budget(void **state)
{
    (void)state;
    ask(1e-9);
    struct tg_dispatched dispatched = dispatch(run_directory, 1);
    assert_int_equal(dispatched.rounds, 0);
    assert_false(dispatched.is_lost);
}

/* The budget has no room for another such wait, but for a round. */
static void what_a_round_waited_is_not_what_the_next_one_takes(void **state)
{
    (void)state;
    ask(10);
    farm.waits_s = 5.1;
    assert_int_equal(dispatch(run_directory, 1).rounds, 2);
}

/* What another run is timed on meanwhile; -1 if it cannot be had. */
static int hold_memory(void)
{
    char name[4096];
    snprintf(name, sizeof name, "/tmp/tritgate-%ld-nodea-%s.lock", (long)getuid(), worker.share);
    int lock = open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    return flock(lock, LOCK_EX) == 0 ? lock : -1;
}

/* What is not begun is no round, and no loss. */
static void a_run_that_waits_for_another_one_ends_with_its_budget(void **state)
{
    (void)state;
    struct tg_run stored;
    ask(0.5);
    int lock = hold_memory();
    struct tg_dispatched dispatched = dispatch(run_directory, 1);
    assert_int_equal(dispatched.rounds, 0);
    assert_false(dispatched.is_lost);
    close(lock);
    read_back(&stored);
    assert_int_equal(stored.count, 0);
    tg_store_release(&stored);
}

static void a_round_that_cannot_be_stored_ends_it(void **state)
{
    (void)state;
    ask(60);
    struct tg_dispatched dispatched = dispatch(run_path("matrix.json"), 1); /* no directory */
    assert_int_equal(dispatched.rounds, 0);                                 /* nor is it one */
    assert_true(dispatched.is_lost);
    assert_non_null(strstr(dispatched.reason, "matrix.json"));
}

/* It was tried there, and goes to another one first; but not what may be possible by now. */
static void what_broke_on_a_gpu_is_another_s_after_a_resume(void **state)
{
    static const enum tg_outcome outcomes[] = {TG_CRASHED, TG_LATE, TG_SKIPPED, TG_MEASURED};
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++) {
        if (i > 0) assert_int_equal(end(state) + begin(state), 0);
        ask(60);
        farm.count = 2;
        struct tg_measurement *m = made_row(&run, &plan, 0, 0, 0, outcomes[i]);
        memcpy(m->facts.library, worker.head.digest, sizeof m->facts.library);
        snprintf(m->facts.host, TG_TEXT_SIZE, "nodea");
        snprintf(m->facts.gpu_uuid, TG_TEXT_SIZE, "GPU-0");
        dispatch(run_directory, 2);
        assert_int_equal(rows_told[0] == 0, i < 2);
        assert_int_equal(rows_told[0] + rows_told[1], 2);
    }
}

/* There is no memory for one block, of which no process is begun; the device measures the other. */
static void a_device_is_left_only_for_what_was_begun_on_it(void **state)
{
    (void)state;
    char limited[1000];
    struct tg_run stored;
    const double share = (1 << 24) / (double)tg_host_memory("");
    snprintf(limited, sizeof limited,
             "{\"tritgate_policy\": 1, \"flow\": \"f\", \"limits\": {\"broken_most\": 1,"
             " \"memory_share\": %.9g}, \"rules\": [{\"rule\": \"floor\","
             " \"metric\": \"kernel_accuracy\", \"limit\": 0.5}]}",
             share);
    worker.head.memory_bytes = 0; /* not known */
    ask_for("{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"],"
            "\"kernel\": [\"fake_product\"], \"layer\": [\"32768x32768\", \"8x128\"]}}",
            limited, 60);
    farm.count = 2;
    memset(is_avoided, 0, sizeof is_avoided);
    dispatch(run_directory, 1);
    assert_true(is_avoided[0] && !is_avoided[1]);
    memset(&farm, 0, sizeof farm);
    read_back(&stored);
    for (size_t i = 0; i < stored.count; i++)
        assert_int_equal(stored.rows[i].outcome,
                         strstr(stored.rows[i].block, "8x128") ? TG_MEASURED : TG_SKIPPED);
    tg_store_release(&stored);
}

/* A run of two workers, of which the first, and perhaps both, go with their first round. */
static struct tg_dispatched lose(enum manner first, enum manner second)
{
    ask(60);
    farm.count = 2;
    farm.manners[0] = first;
    farm.manners[1] = second;
    struct tg_dispatched dispatched = dispatch(run_directory, 1);
    return dispatched;
}

static void what_a_dead_worker_had_is_measured_by_others(void **state)
{
    (void)state;
    struct tg_run stored;
    struct tg_dispatched dispatched = lose(DIES, LIVES);
    assert_int_equal(dispatched.rounds, 2);
    assert_false(dispatched.is_lost);
    assert_string_equal(dispatched.reason, "worker 1 on nodea is dead");
    assert_int_equal(rows_told[0], 0);
    assert_int_equal(rows_told[1], 2);
    memset(&farm, 0, sizeof farm); /* the real one closes what it stored */
    read_back(&stored);
    assert_int_equal(stored.count, 2);
    assert_int_equal(stored.rows[0].round, 1); /* the number of the lost one is gone */
    assert_int_equal(stored.rows[1].round, 2);
    tg_store_release(&stored);
}

static void beside_a_silent_one_nothing_is_timed_in_its_domain(void **state)
{
    (void)state;
    struct tg_dispatched dispatched = lose(IS_SILENT, LIVES);
    assert_int_equal(dispatched.rounds, 0);
    assert_true(dispatched.is_lost);
    assert_string_equal(dispatched.reason, "worker 1 on nodea is silent");
}

static void a_block_that_two_died_with_is_skipped(void **state)
{
    (void)state;
    struct tg_run stored;
    struct tg_error err;
    assert_int_equal(lose(DIES, DIES).rounds, 0);
    if (tg_store_read(run_directory, &stored, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(stored.count, 1);
    assert_int_equal(stored.rows[0].outcome, TG_SKIPPED);
    assert_string_equal(stored.rows[0].reason,
                        "two workers were lost with it; the last: worker 2 on nodea is dead");
    tg_store_release(&stored);
}

int main(int argc, char **argv)
{
    if (is_cell(argc, argv)) return play_cell(argv);
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(rounds_are_given_out_until_all_is_decided),
        TEST(an_earlier_attempt_is_gone_on_with),
        TEST(what_is_decided_already_is_not_measured),
        TEST(nothing_is_given_out_beyond_the_budget),
        TEST(what_a_round_waited_is_not_what_the_next_one_takes),
        TEST(a_run_that_waits_for_another_one_ends_with_its_budget),
        TEST(a_round_that_cannot_be_stored_ends_it),
        TEST(what_broke_on_a_gpu_is_another_s_after_a_resume),
        TEST(a_device_is_left_only_for_what_was_begun_on_it),
        TEST(what_a_dead_worker_had_is_measured_by_others),
        TEST(beside_a_silent_one_nothing_is_timed_in_its_domain),
        TEST(a_block_that_two_died_with_is_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
