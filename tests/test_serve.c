/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/serve.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmocka.h>

#include "results/hardware.h"
#include "results/telegram.h"
#include "tests/run_directory.h"
#include "tests/served_worker.h"
#include "tests/worker_cell.h"

#define CELL "probe=kernel kernel=i2s_scalar layer=16x128"
#define COPY "probe=kernel kernel=i2s_scalar build=copy layer=16x128"

static struct tg_worker *start_with(const char *gpus)
{
    return start_on(TG_TEST_DATA "/two_sockets.xml", gpus, 1);
}

static struct tg_worker *start(void)
{
    return start_with(NULL);
}

static void announce_for(struct tg_worker *worker, const char *exclusive)
{
    char message[5000];
    snprintf(message, sizeof message,
             "{\"do\":\"announce\",\"head\":\"%s\",\"base\":\"\",\"exclusive\":\"%s\"}",
             kernel_library(), exclusive);
    struct tg_json_file file = ask(worker, message);
    assert_string_equal(text_of(&file, "error"), "");
    tg_json_release(&file);
}

static void announce(struct tg_worker *worker)
{
    announce_for(worker, "memory");
}

/* A round that is lost, for a reason that begins so and has those words. */
static void assert_lost(struct tg_worker *worker, const char *block, const char *why,
                        const char *words)
{
    struct tg_error err;
    struct tg_json_file file;
    char *answer = ask_round(worker, 0, block);
    if (tg_json_parse(answer, &file, &err) < 0) fail_msg("%s: %s", err.text, answer);
    const char *lost = text_of(&file, "lost");
    if (strncmp(lost, why, strlen(why)) != 0 || !strstr(lost, words)) fail_msg("%s", lost);
    tg_json_release(&file);
    free(answer);
}

static void assert_bye(struct tg_worker *worker)
{
    struct tg_json_file file = ask(worker, "{\"do\":\"close\"}");
    assert_non_null(tg_json_get(file.root, "bye"));
    assert_string_equal(text_of(&file, "bye"), "");
    tg_json_release(&file);
}

/* Which GPU a worker has is in what it says of its libraries and of its machine. */
static void a_worker_announces_its_gpu(void **state)
{
    (void)state;
    static const struct {
        const char *gpus, *domain, *no_gpu, *machine;
    } rows[] = {
        {TG_TEST_DATA "/gpus_4.txt", "numa0", "", "gpu=NVIDIA_H100_80GB_HBM3 "},
        {TG_TEST_DATA "/gpus_none.txt", "numa1", "the NVIDIA driver is not loaded", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char message[5000];
        struct tg_worker *worker = start_with(rows[i].gpus);
        snprintf(message, sizeof message, "{\"do\":\"announce\",\"head\":\"%s\",\"base\":\"\"}",
                 kernel_library());
        struct tg_json_file file = ask(worker, message);
        const struct tg_json *head = tg_json_get(file.root, "head");
        assert_string_equal(text_of(&file, "domain"), rows[i].domain);
        assert_string_equal(tg_json_text(tg_json_get(head, "no_gpu")), rows[i].no_gpu);
        assert_true(tg_json_number(tg_json_get(head, "gpu_bytes")) == (i ? 0 : 84983939072));
        const char *gpu = strstr(text_of(&file, "machine"), "gpu=");
        assert_true((gpu == NULL) == (rows[i].machine == NULL));
        if (gpu) assert_memory_equal(gpu, rows[i].machine, strlen(rows[i].machine));
        tg_json_release(&file);
        tg_serve_close(worker);
    }
}

static void a_worker_announces_its_node_and_its_libraries(void **state)
{
    (void)state;
    char message[9000];
    struct tg_worker *worker = start();
    snprintf(message, sizeof message, "{\"do\":\"announce\",\"head\":\"%s\",\"base\":\"%s\"}",
             kernel_library(), foreign_library(""));
    struct tg_json_file file = ask(worker, message);
    assert_string_equal(text_of(&file, "host"), "node-a");
    assert_string_equal(text_of(&file, "domain"), "numa1");
    assert_string_equal(text_of(&file, "share"), "numa1");
    struct tg_hardware machine;
    char name[TG_TEXT_SIZE];
    tg_record_init(&tg_hardware_type, &machine);
    assert_int_equal(tg_record_parse(&tg_hardware_type, &machine, text_of(&file, "machine"), NULL),
                     0);
    assert_int_equal(tg_hardware_class(&machine, name, NULL), 0);
    assert_string_equal(text_of(&file, "hardware"), name);
    assert_string_not_equal(name, "unknown");
    assert_int_equal((int)tg_json_number(tg_json_get(file.root, "core")), -1);
    assert_null(tg_json_get(file.root, "error"));
    const struct tg_json *head = tg_json_get(file.root, "head");
    assert_string_equal(tg_json_text(tg_json_get(head, "path")), kernel_library());
    assert_true(tg_json_count(tg_json_get(head, "kernels")) > 1);
    assert_int_equal(tg_json_count(tg_json_get(tg_json_get(file.root, "base"), "kernels")), 0);
    tg_json_release(&file);

    file = ask(worker, "{\"do\":\"announce\",\"head\":\"/nowhere.so\",\"base\":\"\"}");
    assert_string_equal(text_of(&file, "error"),
                        "cannot open library '/nowhere.so': No such file or directory");
    assert_null(tg_json_get(file.root, "base"));
    tg_json_release(&file);
    tg_serve_close(worker);
}

static void rounds_are_stored_and_told_with_the_same_rows(void **state)
{
    (void)state;
    struct tg_measurement *told[4];
    struct tg_worker *worker = start();
    announce(worker);
    open_run(worker, run_directory);
    for (int round = 0; round < 2; round++) {
        char *answer = ask_round(worker, round, CELL " | " COPY);
        char *at = tg_telegrams_begin(answer);
        assert_non_null(at);
        for (int i = 0; i < 2; i++)
            assert_non_null(
                told[2 * round + i] = tg_telegrams_next(&at, i ? told[2 * round] : NULL, NULL));
        assert_string_equal(at, "");
        free(answer);
    }
    assert_bye(worker);
    tg_serve_close(worker);

    struct tg_run run;
    struct tg_error err;
    assert_int_equal(access(run_path("worker-0003.2.h5"), R_OK), 0);
    if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
    assert_string_equal(run.dropped, "");
    assert_int_equal(run.count, 4);
    for (size_t i = 0; i < 4; i++) {
        const struct tg_measurement *m = &run.rows[i];
        char *stored = tg_telegram_text(m, NULL), *heard = tg_telegram_text(told[i], NULL);
        assert_string_equal(stored, heard);
        free(stored);
        free(heard);
        tg_measurement_free(told[i]);
        free(told[i]);
        if (m->outcome != TG_MEASURED) fail_msg("%s", m->reason);
        assert_int_equal(m->round, i / 2);
        assert_int_equal(m->attempt, 2);
        assert_int_equal(m->facts.rank, 3);
        assert_string_equal(m->facts.seed, "77");
        assert_string_equal(m->facts.domain, "numa1");
        assert_string_equal(m->facts.share, "numa1");
        assert_true(m->facts.took_s >= m->facts.sampled_s + m->facts.warmup_s);
        assert_string_equal(m->block, CELL " | " COPY);
        assert_in_range(tg_measurement_series(m, "call_time")->count, 10, 12);
    }
    tg_store_release(&run);
}

static void a_worker_without_rounds_leaves_no_file(void **state)
{
    (void)state;
    struct tg_worker *worker = start();
    announce(worker);
    open_run(worker, run_directory);
    assert_bye(worker);
    tg_serve_close(worker);
    assert_int_not_equal(access(run_path("worker-0003.2.h5"), F_OK), 0);
    tg_serve_close(NULL);
}

static void a_round_that_cannot_be_stored_is_lost(void **state)
{
    (void)state;
    static const char *const directories[] = {"/proc/nowhere", "/proc/nowhere/run", ""};
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
        struct tg_worker *worker = start();
        announce(worker);
        open_run(worker, directories[i]);
        assert_lost(worker, CELL, "cannot ", directories[i]);
        tg_serve_close(worker);
    }
    /* The file is there already: another worker's. */
    run_write("worker-0003.2.h5", "", 0);
    struct tg_worker *worker = start();
    announce(worker);
    open_run(worker, run_directory);
    assert_lost(worker, CELL, "", "File exists");
    tg_serve_close(worker);
}

static void a_round_that_is_no_block_is_lost(void **state)
{
    (void)state;
    static const char *const blocks[][2] = {
        {"", "a block with a cell missing"},
        {CELL " | ", "a block with a cell missing"},
        {CELL " | " CELL " | " CELL, "cell '" CELL " | " CELL "'"},
        {"speed=9", "cell 'speed=9'"},
    };
    struct tg_worker *worker = start();
    announce(worker);
    open_run(worker, run_directory);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        assert_lost(worker, blocks[i][0], blocks[i][1], "");
    assert_bye(worker);
    tg_serve_close(worker);
}

static void an_order_that_means_nothing_is_lost(void **state)
{
    (void)state;
    static const char *const orders[] = {
        "round ",     "round x 77 9 tfc- " CELL, "round 0",           "round 0 77 tfc- " CELL,
        "round 0 77", "round 0 77 9 xyz- " CELL, "round 0 77 9 tfc-", "round 0 77 9 tfc- "};
    struct tg_worker *worker = start();
    announce(worker);
    open_run(worker, run_directory);
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        struct tg_json_file file = ask(worker, orders[i]);
        const char *lost = text_of(&file, "lost");
        bool is_said = strstr(lost, "an order that means nothing") || strstr(lost, "cell missing");
        if (!is_said) fail_msg("%s: %s", orders[i], lost);
        tg_json_release(&file);
    }
    assert_bye(worker);
    tg_serve_close(worker);
}

static void a_message_that_means_nothing_is_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"do\":\"dance\"}", "a message that means nothing: 'dance'"},
        {"{}", "a message that means nothing: ''"},
        {"[\"round\"]", "a message that means nothing: ''"},
        {"dance", "line 1: "},
        {"", "line 1: "},
        {"{\"do\":\"open\",\"limits\":{\"speed\":9}}", "line 1: limits.speed: "},
    };
    struct tg_worker *worker = start();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_error err;
        char *answer = NULL;
        assert_int_equal(tg_serve_answer(worker, rows[i][0], &answer, &err), -1);
        if (strncmp(err.text, rows[i][1], strlen(rows[i][1])) != 0) fail_msg("%s", err.text);
        assert_null(answer);
    }
    tg_serve_close(worker);
}

static void a_worker_without_a_place_is_none(void **state)
{
    (void)state;
    const struct tg_identity identity = {"node-a", "/nowhere.xml"};
    struct tg_worker *worker = NULL;
    assert_int_equal(tg_serve_open(1, 0, 1, &identity, &worker, NULL), 0);
    struct tg_json_file file = ask(worker, "{\"do\":\"announce\"}");
    assert_memory_equal(text_of(&file, "error"), "cannot read topology '/nowhere.xml'", 35);
    tg_json_release(&file);
    tg_serve_close(worker);
}

/* Another run on the same memory domain, and whether it has gone on. */
struct other_run {
    int lock;
    atomic_bool is_over;
};

static void *end_other_run(void *opaque)
{
    struct other_run *other = opaque;
    usleep(200000);
    atomic_store(&other->is_over, true);
    close(other->lock);
    return NULL;
}

static void two_runs_on_one_memory_domain_wait_for_each_other(void **state)
{
    (void)state;
    char name[64];
    pthread_t thread;
    struct other_run other;
    struct tg_worker *worker = start();
    announce(worker);
    open_run(worker, run_directory);
    snprintf(name, sizeof name, "/tmp/tritgate-%ld-node-a-numa1.lock", (long)getuid());
    other.lock = open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    atomic_init(&other.is_over, false);
    assert_int_equal(flock(other.lock, LOCK_EX), 0);
    assert_int_equal(pthread_create(&thread, NULL, end_other_run, &other), 0);
    char *answer = ask_round(worker, 0, CELL);
    assert_true(atomic_load(&other.is_over));
    assert_non_null(tg_telegrams_begin(answer));
    pthread_join(thread, NULL);
    free(answer);

    int lock = open(name, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
    close(lock);
    assert_bye(worker);
    tg_serve_close(worker);
}

/* Whether another run may hold a lock, as a round finds it: tried by a run that does not wait. */
static bool is_free(const char *name, int how)
{
    char path[128];
    snprintf(path, sizeof path, "/tmp/tritgate-%ld-node-a-%s.lock", (long)getuid(), name);
    int lock = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    bool is_free = flock(lock, how | LOCK_NB) == 0;
    close(lock);
    return is_free;
}

/* What is held while a round is out. */
struct look {
    struct tg_worker *worker;
    atomic_bool is_done;
};

static void *run_round(void *opaque)
{
    struct look *look = opaque;
    free(ask_round(look->worker, 0, CELL));
    atomic_store(&look->is_done, true);
    return NULL;
}

/* Worker 1 of 2: domain 1, whose cores are 4 and 6; or cores 2 and 3, of two caches. */
static void a_round_holds_its_part_and_shares_what_is_around_it(void **state)
{
    (void)state;
    static const char sockets[] = TG_TEST_DATA "/two_sockets.xml",
                      caches[] = "synthetic:l3:2 core:3 pu:1";
    static const struct {
        const char *topology, *exclusive, *held, *shared, *not_held;
    } rows[] = {
        {sockets, "node", "node", NULL, "numa1"},
        {sockets, "memory", "numa1", "node", "core6"},
        /* Its caches are not known: then a domain is as a cache. */
        {sockets, "cache", "numa1", "node", "core6"},
        {sockets, "core", "core6", "numa1", "core4"},
        {caches, "core", "core2", "cache0", "core4"},
        {caches, "core", "core3", "cache3", "core4"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pthread_t thread;
        struct look look = {.worker = start_on(rows[i].topology, NULL, 1)};
        announce_for(look.worker, rows[i].exclusive);
        open_run(look.worker, run_directory);
        atomic_init(&look.is_done, false);
        assert_int_equal(pthread_create(&thread, NULL, run_round, &look), 0);
        bool was_held = false;
        while (!was_held && !atomic_load(&look.is_done)) {
            was_held = !is_free(rows[i].held, LOCK_SH);
            usleep(500);
        }
        assert_true(was_held);
        if (rows[i].shared) {
            assert_true(is_free(rows[i].shared, LOCK_SH));
            assert_true(!is_free(rows[i].shared, LOCK_EX) || atomic_load(&look.is_done));
        }
        assert_true(is_free(rows[i].not_held, LOCK_EX));
        pthread_join(thread, NULL);
        assert_true(is_free(rows[i].held, LOCK_EX));
        assert_bye(look.worker);
        tg_serve_close(look.worker);
        run_remove(state);
        run_make(state);
    }
}

/* Where blocks are timed at once in three parts, each has a third of what the node had then. */
static void a_block_has_its_part_of_the_memory(void **state)
{
    (void)state;
    char message[5000];
    double available = 0;
    struct tg_worker *worker = start();
    snprintf(message, sizeof message, "{\"do\":\"announce\",\"head\":\"%s\",\"base\":\"\"}",
             kernel_library());
    struct tg_json_file file = ask(worker, message);
    const struct tg_json *head = tg_json_get(file.root, "head");
    const double all = tg_json_number(tg_json_get(head, "memory_bytes"));
    open_run_with(worker, run_directory, "\"memory_share\":1e-6},\"parts\":{\"node-a\":3");
    char *answer = ask_round(worker, 0, CELL);
    const char *reason = strstr(answer, "memory are needed, ");
    if (!reason || sscanf(reason, "memory are needed, %lf", &available) != 1)
        fail_msg("%s", answer);
    assert_true(all > 0 && fabs(available - 1e-6 * all / 3) < 1);
    free(answer);
    tg_json_release(&file);
    assert_bye(worker);
    tg_serve_close(worker);
}

/* A model that is not there says nothing of the device that would have run it. */
static void a_device_is_left_out_only_for_what_was_begun_on_it(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"probe=model kernel=fake_product model=gguf profile=decode_32", "cannot open model"},
        {"probe=kernel kernel=fake_product layer=16x128", "there is no fake device"},
        {"probe=kernel kernel=fake_product layer=16x128", "left out: 1 rounds on its device"},
    };
    char message[5000];
    struct tg_worker *worker = start();
    snprintf(message, sizeof message,
             "{\"do\":\"announce\",\"head\":\"%s\",\"base\":\"\",\"model\":\"/nowhere\"}",
             kernel_library());
    struct tg_json_file file = ask(worker, message);
    tg_json_release(&file);
    open_run_with(worker, run_directory, "\"broken_most\":1");
    setenv("TRITGATE_FAKE_GPU", "absent=1", 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *answer = ask_round(worker, (int)i, rows[i][0]);
        if (!strstr(answer, rows[i][1])) fail_msg("%zu: %s", i, answer);
        free(answer);
    }
    unsetenv("TRITGATE_FAKE_GPU");
    assert_bye(worker);
    tg_serve_close(worker);
}

static void a_seat_is_taken_once(void **state)
{
    (void)state;
    struct tg_worker *worker = start();
    announce_for(worker, "cache");
    announce_for(worker, "cache");
    static const char *const others[] = {"core", "socket"};
    for (int i = 0; i < 2; i++) {
        char message[100];
        snprintf(message, sizeof message, "{\"do\":\"announce\",\"exclusive\":\"%s\"}", others[i]);
        struct tg_json_file file = ask(worker, message);
        assert_memory_equal(text_of(&file, "error"), "a worker cannot be placed anew", 30);
        tg_json_release(&file);
    }
    tg_serve_close(worker);
}

static int clean(void **state)
{
    return run_remove(state) < 0 || has_children() ? -1 : 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, run_make, clean)

int main(int argc, char **argv)
{
    if (is_cell(argc, argv)) return play_cell(argv);
    const struct CMUnitTest tests[] = {
        TEST(a_worker_announces_its_node_and_its_libraries),
        TEST(a_worker_announces_its_gpu),
        TEST(rounds_are_stored_and_told_with_the_same_rows),
        TEST(a_worker_without_rounds_leaves_no_file),
        TEST(a_round_that_cannot_be_stored_is_lost),
        TEST(a_round_that_is_no_block_is_lost),
        TEST(an_order_that_means_nothing_is_lost),
        TEST(a_message_that_means_nothing_is_refused),
        TEST(a_worker_without_a_place_is_none),
        TEST(two_runs_on_one_memory_domain_wait_for_each_other),
        TEST(a_round_holds_its_part_and_shares_what_is_around_it),
        TEST(a_block_has_its_part_of_the_memory),
        TEST(a_device_is_left_out_only_for_what_was_begun_on_it),
        TEST(a_seat_is_taken_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
