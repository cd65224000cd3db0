/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/run_directory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/made_run.h"
#include "tests/run_directory.h"

static const char matrix[] =
    "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\"],"
    " \"layer\": [\"640x2560\"]}}";
static char policy[] = "{\"tritgate_policy\": 1, \"flow\": \"strict\", \"rules\": ["
                       "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.99}]}";
static const char lax[] =
    "{\"tritgate_policy\": 1, \"flow\": \"lax\", \"rules\": ["
    "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9}]}";

static char parent[3000];

/* A directory for this test; what is in it is a run at run_directory. */
static int begin(void **state)
{
    (void)state;
    const char *temporary = getenv("TMPDIR");
    snprintf(parent, sizeof parent, "%s/tritgate-dir-XXXXXX", temporary ? temporary : "/tmp");
    if (!mkdtemp(parent)) return -1;
    snprintf(run_directory, sizeof run_directory, "%.2980s/run", parent);
    return 0;
}

static int end(void **state)
{
    run_remove(state);
    return rmdir(parent);
}

/* The texts of a run of one worker; plan is the caller's to free. */
static struct tg_run texts(void)
{
    struct tg_capability worker = made_worker("a", NULL);
    struct tg_run run = {.policy = policy, .matrix = (char *)(uintptr_t)matrix};
    run.plan = tg_plan_text(&made_asked, &worker, 1);
    tg_plan_capability_release(&worker);
    return run;
}

/* Makes the run, with two rounds of this accuracy in it, and seals it. */
static void make_run(double accuracy)
{
    char path[4096];
    struct tg_error err;
    struct tg_run asked = texts(), rows = {0};
    struct tg_plan plan;
    struct tg_store *store;
    struct tg_capability worker = made_worker("a", NULL);
    if (tg_run_directory_make(run_directory, &asked, path, sizeof path, &err) < 0)
        fail_msg("%s", err.text);
    made_plan(matrix, policy, &worker, 1, &made_asked, &plan);
    const struct tg_store_plan plan_texts = {matrix, policy, asked.plan};
    if (tg_store_create(run_path("worker-0001.1.h5"), &plan_texts, &store, &err) < 0)
        fail_msg("%s", err.text);
    for (int64_t round = 0; round < 2; round++) {
        made_fixed(&rows, &plan, 0, round, accuracy);
        assert_int_equal(tg_store_append(store, &rows.rows[round], &err), 0);
    }
    assert_int_equal(tg_store_close(store, &err), 0);
    assert_int_equal(tg_store_seal(run_directory, &err), 0);
    tg_store_release(&rows);
    tg_plan_release(&plan);
    free(asked.plan);
}

static void a_new_run_has_its_three_texts(void **state)
{
    (void)state;
    char path[4096];
    size_t size;
    struct tg_error err;
    struct tg_run asked = texts();
    if (tg_run_directory_make(run_directory, &asked, path, sizeof path, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(*path == '/');
    const char *const names[] = {"matrix.json", "policy.json", "plan.json"};
    const char *const wanted[] = {matrix, policy, asked.plan};
    for (int i = 0; i < 3; i++) {
        char *bytes = run_bytes(names[i], &size);
        assert_int_equal(size, strlen(wanted[i]));
        assert_memory_equal(bytes, wanted[i], size);
        free(bytes);
    }
    free(asked.plan);
}

static void a_directory_that_exists_is_not_used(void **state)
{
    (void)state;
    char path[4096] = "kept", wanted[3500];
    struct tg_error err;
    struct tg_run asked = texts();
    assert_int_equal(mkdir(run_directory, 0777), 0);
    assert_int_equal(tg_run_directory_make(run_directory, &asked, path, sizeof path, &err), -1);
    snprintf(wanted, sizeof wanted, "'%s' exists; --resume goes on with a run, --out names a new",
             run_directory);
    assert_non_null(strstr(err.text, wanted));
    snprintf(wanted, sizeof wanted, "%s/no/run", run_directory);
    assert_int_equal(tg_run_directory_make(wanted, &asked, path, sizeof path, &err), -1);
    assert_true(strncmp(err.text, "cannot make '", 13) == 0);
    assert_string_equal(path, "kept");
    free(asked.plan);
}

static void a_directory_can_be_pasted(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"/runs/20270101-1.2", "/runs/20270101-1.2"},
                                          {"/für/a_b", "/für/a_b"},
                                          {"/my runs/a", "'/my runs/a'"},
                                          {"/it's", "'/it'\\''s'"},
                                          {"/$HOME", "'/$HOME'"}};
    char word[64], less[12];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(tg_run_directory_word(rows[i][0], word, sizeof word), rows[i][1]);
    assert_string_equal(tg_run_directory_word("/a b/and more", less, sizeof less), "'/a b/'");
}

static void a_run_without_a_name_is_named_for_its_date(void **state)
{
    (void)state;
    char path[4096], here[4096];
    struct tg_error err;
    struct tg_run asked = texts();
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(parent), 0);
    char *made[2];
    for (int i = 0; i < 2; i++) {
        if (tg_run_directory_make(NULL, &asked, path, sizeof path, &err) < 0)
            fail_msg("%s", err.text);
        made[i] = strdup(path);
    }
    assert_int_equal(chdir(here), 0);
    assert_string_not_equal(made[0], made[1]);
    for (int i = 0; i < 2; i++) {
        assert_non_null(strstr(made[i], "/runs/20"));
        snprintf(run_directory, sizeof run_directory, "%s", made[i]);
        assert_int_equal(run_remove(state), 0);
        free(made[i]);
    }
    snprintf(run_directory, sizeof run_directory, "%.2980s/runs", parent);
    free(asked.plan);
}

static int64_t next_attempt(const struct tg_run *before)
{
    struct tg_error err;
    struct tg_retry retry = {.kind = TG_TRY_ENDED, .reason = "why"};
    if (tg_run_directory_go_on(run_directory, before, &retry, &err) < 0) fail_msg("%s", err.text);
    return retry.attempt;
}

static void the_next_attempt_is_after_the_last_of_any_worker(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_run before = {0};
    struct tg_retry retry = {.kind = TG_TRY_ENDED, .reason = "why"};
    assert_int_equal(tg_run_directory_go_on(run_directory, &before, &retry, &err), -1);
    assert_int_equal(mkdir(run_directory, 0777), 0);
    assert_int_equal(next_attempt(&before), 2); /* the first may have left files on other nodes */
    run_write("worker-0001.3.h5", "", 0);
    run_write("worker-0002.11.h5", "", 0);
    run_write("worker-0003.2.h5", "", 0);
    run_write("digests.json", "{}", 2);
    assert_int_equal(next_attempt(&before), 12);
    assert_int_equal(access(run_path("digests.json"), F_OK), -1); /* the seal is broken */
    /* Files of the last attempt that are on other hosts have its number, too. */
    const struct tg_retry tries[] = {{.attempt = 15, .kind = TG_TRY_ENDED, .reason = "x"}};
    before.tries = tg_retry_text(tries, 1);
    assert_int_equal(next_attempt(&before), 16);
    free(before.tries);
}

/* As where the disk is full: a list that cannot be written leaves what it would have replaced. */
static void a_seal_is_not_broken_by_an_attempt_that_cannot_be_written(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_run before = {0};
    struct tg_retry retry = {.kind = TG_TRY_ENDED, .reason = "why"};
    assert_int_equal(mkdir(run_directory, 0777), 0);
    assert_int_equal(mkdir(run_path("tries.json.new"), 0777), 0);
    run_write("digests.json", "{}", 2);
    run_write("report.md", "", 0);
    assert_int_equal(tg_run_directory_go_on(run_directory, &before, &retry, &err), -1);
    assert_non_null(strstr(err.text, "tries.json': "));
    assert_int_equal(access(run_path("digests.json"), F_OK), 0);
    assert_int_equal(access(run_path("report.md"), F_OK), 0);
    assert_int_equal(rmdir(run_path("tries.json.new")), 0);
    assert_int_equal(next_attempt(&before), 2);
    assert_int_equal(access(run_path("digests.json"), F_OK), -1);
    assert_int_equal(access(run_path("report.md"), F_OK), -1);
    assert_int_equal(access(run_path("tries.json"), F_OK), 0);
}

/* It may be the file of what failed. */
static void what_a_broken_seal_named_must_still_be_there(void **state)
{
    (void)state;
    static const char shard[] = "worker-0001.1.h5";
    struct tg_error err;
    struct tg_run run;
    make_run(0.95);
    for (int sealed = 0; sealed < 3; sealed++) { /* gone on with and killed, ended, and again */
        if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
        if (sealed != 1) assert_int_equal(next_attempt(&run), 2 + sealed / 2);
        tg_store_release(&run);
        if (sealed == 1) assert_int_equal(tg_store_seal(run_directory, &err), 0);
        assert_int_equal(rename(run_path(shard), run_path("away")), 0);
        run_assert_refused(sealed == 1 ? "'worker-0001.1.h5' was removed after the run"
                                       : "'worker-0001.1.h5' of an attempt that was sealed is "
                                         "missing");
        assert_int_equal(rename(run_path("away"), run_path(shard)), 0);
        if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
        assert_int_equal(run.is_sealed, sealed == 1);
        assert_int_equal(run.count, 2);
        tg_store_release(&run);
    }
    assert_int_equal(tg_store_seal(run_directory, &err), 0);
    unlink(run_path("sealed.json"));
    run_assert_refused("'sealed.json' was removed after the run");
    unlink(run_path("digests.json"));
    run_write("sealed.json", "no JSON", 7);
    run_assert_refused("sealed.json");
}

/* A tool that keeps data elsewhere leaves a text, a copy that was cut less than all. */
static void what_a_broken_seal_named_must_still_be_whole(void **state)
{
    (void)state;
    static const char shard[] = "worker-0001.1.h5", text[] = "oid sha256:4d7a\n";
    struct tg_error err;
    struct tg_run run;
    size_t size;
    make_run(0.95);
    if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(next_attempt(&run), 2);
    tg_store_release(&run);
    char *bytes = run_bytes(shard, &size);
    for (int sealed = 0; sealed < 2; sealed++) {
        for (size_t length = 0; length < size; length += size / 16) {
            run_write(shard, length ? bytes : text, length ? length : strlen(text));
            if (sealed) assert_int_equal(tg_store_seal(run_directory, &err), 0);
            run_assert_refused("'worker-0001.1.h5' of an attempt that was sealed is damaged: ");
        }
    }
    unlink(run_path("digests.json"));
    unlink(run_path(shard));
    assert_int_equal(mkfifo(run_path(shard), 0666), 0);
    run_assert_refused("'worker-0001.1.h5' of an attempt that was sealed is missing");
    unlink(run_path(shard));
    run_write(shard, bytes, size);
    if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(run.count, 2);
    tg_store_release(&run);
    free(bytes);
}

/* What a kill left was no more than that when it was sealed, either. */
static void what_was_damaged_under_a_seal_is_left_out_once_that_is_broken(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_run run;
    make_run(0.95);
    run_write("worker-0002.1.h5", "cut", 3);
    assert_int_equal(tg_store_seal(run_directory, &err), 0);
    if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(next_attempt(&run), 2);
    tg_store_release(&run);
    if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(run.count, 2);
    assert_string_equal(run.dropped, "'worker-0002.1.h5': not a whole HDF5 file");
    tg_store_release(&run);
}

static void a_stored_run_is_decided_again_under_either_policy(void **state)
{
    (void)state;
    struct tg_error err;
    make_run(0.95);
    run_write("other.policy", lax, strlen(lax));
    for (int other = 0; other < 2; other++) {
        struct tg_run run;
        struct tg_plan plan;
        struct tg_decision decision;
        if (tg_run_directory_open(run_directory, other ? run_path("other.policy") : NULL, &run,
                                  &plan, &err) < 0)
            fail_msg("%s", err.text);
        assert_string_equal(plan.policy.flow, other ? "lax" : "strict");
        assert_int_equal(tg_gate_decide(&plan, &run, &decision, &err), 0);
        assert_int_equal(decision.answer, other ? TG_PASS : TG_FAIL);
        assert_true(run.is_sealed);
        assert_int_equal(
            tg_run_directory_copy_receipt(run_path("copy.json"), &plan, &decision, &err), 0);
        assert_int_equal(tg_run_directory_copy_receipt(NULL, &plan, &decision, &err), 0);
        size_t size;
        char *bytes = run_bytes("copy.json", &size);
        bytes[size] = 0;
        assert_non_null(strstr(bytes, other ? "\"flow\": \"lax\"" : "\"flow\": \"strict\""));
        free(bytes);
        assert_int_equal(tg_run_directory_copy_receipt(run_path("no/copy"), &plan, &decision, &err),
                         -1);
        assert_true(strncmp(err.text, "cannot write '", 14) == 0);
        tg_gate_release(&decision);
        tg_plan_release(&plan);
        tg_store_release(&run);
    }
}

/* Whatever becomes of this run: what an earlier one left is not its receipt. */
static void an_older_receipt_does_not_stay(void **state)
{
    (void)state;
    struct tg_error err;
    struct stat there;
    char file[3200];
    assert_int_equal(mkdir(run_directory, 0777), 0);
    snprintf(file, sizeof file, "%s", run_path("copy.json"));
    tg_run_directory_empty_receipt(NULL);
    tg_run_directory_empty_receipt(file);
    assert_int_equal(stat(file, &there), -1);
    run_write("copy.json", "pass", 4);
    assert_int_equal(tg_run_directory_can_write(file, &err), 0);
    assert_int_equal(stat(file, &there), 0);
    assert_int_equal(there.st_size, 4);
    assert_int_equal(symlink(file, run_path("link")), 0);
    tg_run_directory_empty_receipt(run_path("link"));
    assert_int_equal(stat(file, &there), 0);
    assert_int_equal(there.st_size, 0);
    assert_int_equal(tg_run_directory_skip(NULL, "lax", "no-surface", 0, &err), 0);
    assert_int_equal(tg_run_directory_skip(file, "lax", "no-surface", 0, &err), 0);
    size_t size;
    char *bytes = run_bytes("copy.json", &size);
    bytes[size] = 0;
    assert_non_null(strstr(bytes, "\"answer\": \"skipped\""));
    assert_non_null(strstr(bytes, "\"reason\": \"no-surface\""));
    free(bytes);
    assert_int_equal(mkfifo(run_path("pipe"), 0600), 0); /* which nobody reads yet */
    tg_run_directory_empty_receipt(run_path("pipe"));
    assert_int_equal(tg_run_directory_can_write(run_path("pipe"), &err), 0);
}

static void what_cannot_be_read_is_refused(void **state)
{
    (void)state;
    struct tg_run run = {.count = 77};
    struct tg_plan plan = {.worker_count = 77};
    struct tg_error err;
    assert_int_equal(tg_run_directory_open(run_directory, NULL, &run, &plan, &err), -1);
    assert_non_null(strstr(err.text, "cannot read run '"));
    make_run(1);
    assert_int_equal(tg_run_directory_open(run_directory, run_path("none"), &run, &plan, &err), -1);
    assert_true(strncmp(err.text, "policy: ", 8) == 0);
    run_write("bad.policy", matrix, strlen(matrix));
    assert_int_equal(
        tg_run_directory_open(run_directory, run_path("bad.policy"), &run, &plan, &err), -1);
    assert_non_null(strstr(err.text, "not a policy"));
    assert_true(run.count == 77 && plan.worker_count == 77);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_new_run_has_its_three_texts),
        TEST(a_directory_that_exists_is_not_used),
        cmocka_unit_test(a_directory_can_be_pasted),
        TEST(a_run_without_a_name_is_named_for_its_date),
        TEST(the_next_attempt_is_after_the_last_of_any_worker),
        TEST(a_seal_is_not_broken_by_an_attempt_that_cannot_be_written),
        TEST(what_a_broken_seal_named_must_still_be_there),
        TEST(what_a_broken_seal_named_must_still_be_whole),
        TEST(what_was_damaged_under_a_seal_is_left_out_once_that_is_broken),
        TEST(a_stored_run_is_decided_again_under_either_policy),
        TEST(an_older_receipt_does_not_stay),
        TEST(what_cannot_be_read_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
