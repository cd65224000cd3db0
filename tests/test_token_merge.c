/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/model/token_merge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* Goodness of pairs of equal letters: later letters are better; of "xy": 1000. */
static bool good(const void *context, struct tg_gguf_text left, struct tg_gguf_text right,
                 double *goodness)
{
    (void)context;
    if (left.size != 1 || right.size != 1) return false;
    *goodness = left.bytes[0] == 'x' && right.bytes[0] == 'y' ? 1000 : left.bytes[0];
    return *goodness == 1000 || left.bytes[0] == right.bytes[0];
}

/* The longest merge of all, so that many pairs get out of date. */
static bool always(const void *context, struct tg_gguf_text left, struct tg_gguf_text right,
                   double *goodness)
{
    (void)context;
    *goodness = (double)(left.size + right.size);
    return true;
}

static size_t merged(const char *text, tg_token_merge_fn fn, struct tg_gguf_text *pieces)
{
    size_t count = strlen(text);
    struct tg_error err;
    for (size_t i = 0; i < count; i++) pieces[i] = (struct tg_gguf_text){text + i, 1};
    assert_int_equal(tg_token_merge_all(pieces, &count, fn, NULL, &err), 0);
    return count;
}

static void the_best_pair_goes_first_and_of_equal_ones_the_leftmost(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted;
    } rows[] = {{"aaa", "aa a"},      {"aabb", "aa bb"}, {"xxy", "x xy"},
                {"aaaaa", "aa aa a"}, {"abc", "a b c"},  {"a", "a"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_gguf_text pieces[8];
        char got[32] = "";
        size_t at = 0;
        const size_t count = merged(rows[i].text, good, pieces);
        for (size_t k = 0; k < count; k++)
            at += (size_t)snprintf(got + at, sizeof got - at, "%s%.*s", k ? " " : "",
                                   (int)pieces[k].size, pieces[k].bytes);
        assert_string_equal(got, rows[i].wanted);
    }
}

static void what_may_always_be_merged_becomes_one(void **state)
{
    (void)state;
    static char text[20001];
    static struct tg_gguf_text pieces[20000];
    memset(text, 'q', 20000);
    assert_int_equal(merged(text, always, pieces), 1);
    assert_int_equal(pieces[0].size, 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_pair_goes_first_and_of_equal_ones_the_leftmost),
        cmocka_unit_test(what_may_always_be_merged_becomes_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
