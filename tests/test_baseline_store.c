/* SPDX-License-Identifier: Apache-2.0 */
#include "results/baseline_store.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/made_baseline.h"

#define NOW   "2026-03-05T00:00:00Z"
#define LATER "2026-04-03T12:00:00Z"

static char root[64], store[100], library[100];

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int make(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/tritgate-baselines-XXXXXX");
    if (!mkdtemp(root)) return -1;
    snprintf(store, sizeof store, "%s/store", root);
    snprintf(library, sizeof library, "%s/library.so", root);
    put(library, "code");
    return 0;
}

static int remove_one(const char *path, const struct stat *seen, int kind, struct FTW *where)
{
    (void)seen;
    (void)kind;
    (void)where;
    return remove(path);
}

static int clear(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Of the library that make wrote. */
static struct tg_baseline made_of(char first, char second)
{
    struct tg_baseline b = made_baseline();
    assert_int_equal(tg_digest_file(library, b.library, NULL), 0);
    made_session(&b, first, log(1e-4));
    made_session(&b, second, log(1.01e-4));
    return b;
}

static void promote(struct tg_baseline b)
{
    struct tg_error err;
    if (tg_baseline_store_promote(store, &b, library, NOW, &err) < 0) fail_msg("%s", err.text);
    tg_baseline_release(&b);
}

static struct tg_baseline_entries read_all(void)
{
    struct tg_baseline_entries entries;
    struct tg_error err;
    if (tg_baseline_store_read(store, &entries, &err) < 0) fail_msg("%s", err.text);
    return entries;
}

static char *path_of(const char *name, char path[300])
{
    snprintf(path, 300, "%s/entries/%s.json", store, name);
    return path;
}

/* Changes the first such piece of an entry's file. */
static void edit(const char *name, const char *piece, const char *other)
{
    char path[300], text[9000];
    FILE *f = fopen(path_of(name, path), "r");
    assert_non_null(f);
    size_t length = fread(text, 1, sizeof text - 1, f);
    text[length] = 0;
    fclose(f);
    char *at = strstr(text, piece);
    assert_non_null(at);
    assert_int_equal(strlen(piece), strlen(other));
    memcpy(at, other, strlen(other));
    put(path, text);
}

static void what_was_promoted_is_found_with_its_library(void **state)
{
    (void)state;
    struct tg_baseline wanted = made_of('c', 'd');
    char why[900], path[300];
    struct tg_error err;
    promote(made_of('c', 'd'));
    struct tg_baseline_entries entries = read_all();
    assert_int_equal(entries.count, 1);
    assert_string_equal(entries.list[0].error, "");
    const struct tg_baseline *found = tg_baseline_store_choose(&entries, &wanted.key, NOW, why,
                                                               sizeof why);
    assert_ptr_equal(found, &entries.list[0].baseline);
    assert_int_equal(found->session_count, 2);
    if (tg_baseline_store_library(store, found->library, path, sizeof path, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(access(path, R_OK), 0);

    put(path, "other code");
    assert_int_equal(tg_baseline_store_library(store, found->library, path, sizeof path, &err), -1);
    assert_non_null(strstr(err.text, "was changed"));
    unlink(path);
    assert_int_equal(tg_baseline_store_library(store, found->library, path, sizeof path, &err), -1);
    assert_non_null(strstr(err.text, "is not in the store"));
    tg_baseline_store_release(&entries);
    tg_baseline_release(&wanted);
}

static void a_later_promotion_adds_its_sessions(void **state)
{
    (void)state;
    struct tg_baseline later = made_of('d', 'e');
    promote(made_of('c', 'd'));
    snprintf(later.created, sizeof later.created, "2026-03-20T12:00:00Z");
    snprintf(later.expires, sizeof later.expires, "2026-04-20T12:00:00Z");
    promote(later);
    struct tg_baseline_entries entries = read_all();
    assert_int_equal(entries.count, 1);
    assert_int_equal(entries.list[0].baseline.session_count, 3);
    assert_string_equal(entries.list[0].baseline.expires, "2026-04-20T12:00:00Z");
    tg_baseline_store_release(&entries);
}

static void an_expired_one_is_replaced(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_baseline b = made_of('e', 'f');
    promote(made_of('c', 'd'));
    if (tg_baseline_store_promote(store, &b, library, LATER, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(b.session_count, 2);
    tg_baseline_release(&b);
}

static void sessions_that_do_not_agree_with_the_stored_change_nothing(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_baseline b = made_of('e', 'f');
    promote(made_of('c', 'd'));
    b.cells[0].values[0].value = log(1.18e-4);
    b.cells[0].values[1].value = log(1.19e-4);
    assert_int_equal(tg_baseline_store_promote(store, &b, library, NOW, &err), -1);
    assert_non_null(strstr(err.text, "the runs do not agree"));
    tg_baseline_release(&b);
    struct tg_baseline_entries entries = read_all();
    assert_int_equal(entries.list[0].baseline.session_count, 2);
    tg_baseline_store_release(&entries);
}

static void a_library_of_other_content_is_not_taken(void **state)
{
    (void)state;
    struct tg_error err;
    char path[300];
    struct tg_baseline b = made_of('c', 'd');
    put(library, "rebuilt code");
    assert_int_equal(tg_baseline_store_promote(store, &b, library, NOW, &err), -1);
    assert_non_null(strstr(err.text, "is not the one that the runs measured"));
    assert_int_equal(tg_baseline_store_promote(store, &b, "/nowhere.so", NOW, &err), -1);
    assert_non_null(strstr(err.text, "cannot read library '/nowhere.so'"));
    struct tg_baseline_entries entries = read_all();
    assert_int_equal(entries.count, 0);
    tg_baseline_store_release(&entries);
    snprintf(path, sizeof path, "%s/libraries", store);
    assert_int_equal(rmdir(path), 0); /* nothing was left in it */
    tg_baseline_release(&b);
}

static void promotions_at_once_lose_nothing(void **state)
{
    (void)state;
    enum { PROMOTERS = 8 };
    pid_t children[PROMOTERS];
    for (int i = 0; i < PROMOTERS; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] > 0) continue;
        struct tg_baseline b = made_of((char)('A' + 2 * i), (char)('B' + 2 * i));
        int rc = tg_baseline_store_promote(store, &b, library, NOW, NULL);
        tg_baseline_release(&b);
        _exit(rc == 0 ? 0 : 1);
    }
    for (int i = 0; i < PROMOTERS; i++) {
        int status = -1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    struct tg_baseline_entries entries = read_all();
    assert_int_equal(entries.count, 1);
    assert_int_equal(entries.list[0].baseline.session_count, 2 * PROMOTERS);
    assert_int_equal(entries.list[0].baseline.cells[0].count, 2 * PROMOTERS);
    tg_baseline_store_release(&entries);
}

/* They do wait for each other: the lock is what the test above rests on. */
static void a_promotion_waits_for_the_lock(void **state)
{
    (void)state;
    char path[300];
    int status;
    promote(made_of('c', 'd'));
    snprintf(path, sizeof path, "%s/lock", store);
    int lock = open(path, O_RDWR | O_CLOEXEC);
    assert_true(lock >= 0);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct tg_baseline b = made_of('e', 'f');
        close(lock);
        int rc = tg_baseline_store_promote(store, &b, library, NOW, NULL);
        tg_baseline_release(&b);
        _exit(rc == 0 ? 0 : 1);
    }
    usleep(200000);
    struct tg_baseline_entries entries = read_all();
    assert_int_equal(entries.list[0].baseline.session_count, 2);
    tg_baseline_store_release(&entries);
    close(lock);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    entries = read_all();
    assert_int_equal(entries.list[0].baseline.session_count, 4);
    tg_baseline_store_release(&entries);
}

/* Asserts that no baseline is chosen, and that the reason has these words. */
static void assert_none(const struct tg_baseline_key *key, const char *now, const char *words)
{
    char why[900];
    struct tg_baseline_entries entries = read_all();
    assert_null(tg_baseline_store_choose(&entries, key, now, why, sizeof why));
    if (!strstr(why, words)) fail_msg("'%s' is not in: %s", words, why);
    tg_baseline_store_release(&entries);
}

static void what_cannot_be_used_is_named_with_its_reason(void **state)
{
    (void)state;
    struct tg_baseline b = made_of('c', 'd');
    struct tg_baseline_key key = b.key;
    char name[TG_TEXT_SIZE], words[300], path[300], moved[300];
    assert_int_equal(tg_baseline_name(&b, name, NULL), 0);
    promote(b);
    snprintf(words, sizeof words, "%s expired on " LATER, name);
    assert_none(&key, LATER, words);

    snprintf(key.hardware, sizeof key.hardware, "fedcba9876543210");
    snprintf(key.machine, sizeof key.machine, "microcode=0x2b000590 cores=32");
    snprintf(words, sizeof words, "%s differs: microcode 0x2b000590 here, 0x2b000461 there", name);
    assert_none(&key, NOW, words);

    edit(name, "\"rounds\": 5", "\"rounds\": 6");
    snprintf(words, sizeof words, "%s: it was edited", name);
    assert_none(&key, NOW, words);
    b = made_of('e', 'f');
    struct tg_error err;
    assert_int_equal(tg_baseline_store_promote(store, &b, library, NOW, &err), -1);
    assert_non_null(strstr(err.text, "cannot be added to; remove it first"));
    tg_baseline_release(&b);

    edit(name, "\"rounds\": 6", "\"rounds\": 5");
    assert_int_equal(rename(path_of(name, path), path_of("0000000000000000", moved)), 0);
    assert_none(&key, NOW, "0000000000000000: it was renamed: what it holds is '");
    unlink(moved);
    assert_none(&key, NOW, "the store is empty");
}

/* Whole models are measured by the program's own code, and one may be any file. */
static void one_of_another_model_or_program_is_not_chosen(void **state)
{
    (void)state;
    struct tg_baseline b = made_of('c', 'd');
    memset(b.key.program, 'd', sizeof b.key.program - 1);
    memset(b.key.model, 'e', sizeof b.key.model - 1);
    struct tg_baseline_key key = b.key;
    promote(b);
    key.model[0] = '0';
    assert_none(&key, NOW, " differs: model 0eeeeeeeeeeeeeee here, eeeeeeeeeeeeeeee there");
    key.model[0] = 'e';
    key.program[0] = '0';
    assert_none(&key, NOW, " differs: program 0ddddddddddddddd here, dddddddddddddddd there");
}

/* As those are that were stored before keys had them. */
static void one_that_names_no_program_is_not_of_whole_models(void **state)
{
    (void)state;
    struct tg_baseline b = made_of('c', 'd');
    struct tg_baseline_key key = b.key;
    promote(b);
    memset(key.program, 'd', sizeof key.program - 1);
    assert_none(&key, NOW, " differs: program dddddddddddddddd here, none there");
}

static void of_several_the_newest_is_chosen(void **state)
{
    (void)state;
    char why[900];
    struct tg_baseline old = made_of('c', 'd'), new;
    struct tg_baseline_key key = old.key;
    promote(old);
    put(library, "newer code");
    new = made_of('e', 'f');
    snprintf(new.created, sizeof new.created, "2026-03-04T13:00:00Z");
    promote(new);
    struct tg_baseline_entries entries = read_all();
    assert_int_equal(entries.count, 2);
    const struct tg_baseline *found = tg_baseline_store_choose(&entries, &key, NOW, why,
                                                               sizeof why);
    assert_non_null(found);
    assert_int_equal(found->sessions[0].run[0], 'e');
    tg_baseline_store_release(&entries);
}

static void a_store_that_is_not_there_is_said_so(void **state)
{
    (void)state;
    struct tg_baseline_entries entries = {.count = 77};
    struct tg_error err;
    assert_int_equal(tg_baseline_store_read(store, &entries, &err), -1);
    assert_non_null(strstr(err.text, "no store of baselines at"));
    assert_int_equal(entries.count, 77);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, clear)
    const struct CMUnitTest tests[] = {
        TEST(what_was_promoted_is_found_with_its_library),
        TEST(a_later_promotion_adds_its_sessions),
        TEST(an_expired_one_is_replaced),
        TEST(sessions_that_do_not_agree_with_the_stored_change_nothing),
        TEST(a_library_of_other_content_is_not_taken),
        TEST(promotions_at_once_lose_nothing),
        TEST(a_promotion_waits_for_the_lock),
        TEST(what_cannot_be_used_is_named_with_its_reason),
        TEST(one_of_another_model_or_program_is_not_chosen),
        TEST(one_that_names_no_program_is_not_of_whole_models),
        TEST(of_several_the_newest_is_chosen),
        TEST(a_store_that_is_not_there_is_said_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
