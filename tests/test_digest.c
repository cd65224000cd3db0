/* SPDX-License-Identifier: Apache-2.0 */
#include "results/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* The examples that NIST gives with FIPS 180-4, and the empty message. */
static const char OF_NOTHING[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char OF_ABC[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char OF_TWO_BLOCKS[] =
    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";
static const char OF_MILLION_A[] =
    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static void check(const char *text, const char *wanted)
{
    char hex[TG_DIGEST_SIZE];

    assert_int_equal(tg_digest_bytes(text, strlen(text), hex, NULL), 0);
    assert_string_equal(hex, wanted);
}

static void published_digests_come_out(void **state)
{
    (void)state;
    check("", OF_NOTHING);
    check("abc", OF_ABC);
    check("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", OF_TWO_BLOCKS);
}

/* A million letters, in portions of every size up to 1000. */
static void portions_do_not_matter(void **state)
{
    (void)state;
    struct tg_digest *digest = tg_digest_create(NULL);
    char letters[1000], hex[TG_DIGEST_SIZE];
    size_t left = 1000000;

    assert_non_null(digest);
    memset(letters, 'a', sizeof letters);
    for (size_t size = 0; left > 0; size = (size + 1) % (sizeof letters + 1)) {
        const size_t portion = size < left ? size : left;
        tg_digest_update(digest, letters, portion);
        left -= portion;
    }
    assert_int_equal(tg_digest_finish(digest, hex, NULL), 0);
    assert_string_equal(hex, OF_MILLION_A);
    tg_digest_destroy(digest);
}

static void a_finished_digest_begins_anew(void **state)
{
    (void)state;
    struct tg_digest *digest = tg_digest_create(NULL);
    char hex[TG_DIGEST_SIZE];

    assert_non_null(digest);
    tg_digest_update(digest, "abc", 3);
    assert_int_equal(tg_digest_finish(digest, hex, NULL), 0);
    assert_int_equal(tg_digest_finish(digest, hex, NULL), 0);
    assert_string_equal(hex, OF_NOTHING);
    tg_digest_update(digest, NULL, 0);
    tg_digest_update(digest, "abc", 3);
    assert_int_equal(tg_digest_finish(digest, hex, NULL), 0);
    assert_string_equal(hex, OF_ABC);
    tg_digest_destroy(digest);
}

static void a_file_has_the_digest_of_its_bytes(void **state)
{
    (void)state;
    char path[] = "/tmp/tritgate-digest-XXXXXX";
    char hex[TG_DIGEST_SIZE];
    struct tg_error err = {""};
    const int descriptor = mkstemp(path);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "wb");

    assert_non_null(file);
    assert_int_equal(fflush(file), 0);
    assert_int_equal(tg_digest_file(path, hex, &err), 0);
    assert_string_equal(hex, OF_NOTHING);
    for (int i = 0; i < 1000000; i++) fputc('a', file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(tg_digest_file(path, hex, &err), 0);
    assert_string_equal(hex, OF_MILLION_A);
    assert_string_equal(err.text, "");
    unlink(path);
}

static void a_file_that_cannot_be_read_is_a_sentence(void **state)
{
    (void)state;
    char hex[TG_DIGEST_SIZE] = "untouched";
    struct tg_error err = {""};

    assert_int_equal(tg_digest_file("/nowhere/at/all", hex, &err), -1);
    assert_string_equal(err.text, "cannot open '/nowhere/at/all': No such file or directory");
    assert_int_equal(tg_digest_file("/", hex, &err), -1);
    assert_string_equal(err.text, "cannot read '/': Is a directory");
    assert_int_equal(tg_digest_file("/nowhere/at/all", hex, NULL), -1);
    assert_string_equal(hex, "untouched");
}

static void a_pipe_that_nobody_writes_is_not_waited_for(void **state)
{
    (void)state;
    char folder[] = "/tmp/tg_digest_XXXXXX", path[64], hex[TG_DIGEST_SIZE];
    struct tg_error err = {""};

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/pipe", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(20); /* it would be for ever */
    const int rc = tg_digest_file(path, hex, &err);
    alarm(0);
    unlink(path);
    rmdir(folder);
    assert_int_equal(rc, -1);
    assert_non_null(strstr(err.text, "/pipe' is no file"));
}

static void destroying_nothing_is_allowed(void **state)
{
    (void)state;
    tg_digest_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_digests_come_out),
        cmocka_unit_test(portions_do_not_matter),
        cmocka_unit_test(a_finished_digest_begins_anew),
        cmocka_unit_test(a_file_has_the_digest_of_its_bytes),
        cmocka_unit_test(a_file_that_cannot_be_read_is_a_sentence),
        cmocka_unit_test(a_pipe_that_nobody_writes_is_not_waited_for),
        cmocka_unit_test(destroying_nothing_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
