/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/token_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static struct tg_gguf_text text(const char *bytes)
{
    return (struct tg_gguf_text){bytes, strlen(bytes)};
}

static void a_text_has_the_number_that_it_was_given(void **state)
{
    (void)state;
    static char names[5000][8];
    struct tg_error err;
    struct tg_token_table *t = tg_token_table_create(5000, &err);
    assert_non_null(t);
    assert_int_equal(tg_token_table_find(t, text("x")), -1);
    for (int i = 0; i < 5000; i++) {
        snprintf(names[i], sizeof names[i], "t%d", i);
        tg_token_table_add(t, text(names[i]), i);
    }
    for (int i = 0; i < 5000; i++) assert_int_equal(tg_token_table_find(t, text(names[i])), i);
    assert_int_equal(tg_token_table_find(t, text("t5000")), -1);
    assert_int_equal(tg_token_table_find(t, text("t")), -1);
    tg_token_table_destroy(t);
}

static void of_equal_texts_the_later_one_counts(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_token_table *t = tg_token_table_create(1, &err);
    tg_token_table_add(t, text("a"), 1);
    tg_token_table_add(t, text("a"), 2);
    assert_int_equal(tg_token_table_find(t, text("a")), 2);
    tg_token_table_destroy(t);
    tg_token_table_destroy(NULL);
}

static void a_pair_is_found_where_it_is_divided_so(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_token_table *t = tg_token_table_create(2, &err);
    tg_token_table_add(t, text("ab c"), 5);
    tg_token_table_add(t, text("a bc"), 6);
    assert_int_equal(tg_token_table_find_pair(t, text("ab"), text("c")), 5);
    assert_int_equal(tg_token_table_find_pair(t, text("a"), text("bc")), 6);
    assert_int_equal(tg_token_table_find_pair(t, text("b"), text("c")), -1);
    assert_int_equal(tg_token_table_find_pair(t, text("ab c"), text("")), -1);
    tg_token_table_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_has_the_number_that_it_was_given),
        cmocka_unit_test(of_equal_texts_the_later_one_counts),
        cmocka_unit_test(a_pair_is_found_where_it_is_divided_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
