/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_failure_is_minus_one_and_a_sentence(void **state)
{
    (void)state;
    struct tg_error err;
    assert_int_equal(tg_fail(&err, "cannot open '%s': %s", "a.json", "no such file"), -1);
    assert_string_equal(err.text, "cannot open 'a.json': no such file");
}

static void a_caller_puts_where_in_front(void **state)
{
    (void)state;
    struct tg_error err;
    tg_fail(&err, "unusable value '%s'", "many");
    tg_fail_in(&err, "axis '%s'", "threads");
    assert_int_equal(tg_fail_in(&err, "matrix '%s'", "a.json"), -1);
    assert_string_equal(err.text, "matrix 'a.json': axis 'threads': unusable value 'many'");
}

static void nobody_has_to_listen(void **state)
{
    (void)state;
    assert_int_equal(tg_fail(NULL, "%d", 1), -1);
    assert_int_equal(tg_fail_in(NULL, "%d", 1), -1);
}

static void a_long_sentence_is_cut_and_ends(void **state)
{
    (void)state;
    struct tg_error err;
    char word[2000];
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = 0;

    tg_fail(&err, "%s", word);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    tg_fail_in(&err, "here");
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_memory_equal(err.text, "here: xxx", 9);
    tg_fail_in(&err, "%s", word);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_memory_equal(err.text, "xxx", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_is_minus_one_and_a_sentence),
        cmocka_unit_test(a_caller_puts_where_in_front),
        cmocka_unit_test(nobody_has_to_listen),
        cmocka_unit_test(a_long_sentence_is_cut_and_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
