/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What one call of tg_log writes to standard error. */
static const char *logged(enum tg_level level, const char *text)
{
    static char line[4096];
    FILE *caught = tmpfile();
    int kept = dup(STDERR_FILENO);

    assert_non_null(caught);
    fflush(stderr);
    dup2(fileno(caught), STDERR_FILENO);
    tg_log(level, "%s", text);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    rewind(caught);
    size_t length = fread(line, 1, sizeof line - 1, caught);
    line[length] = 0;
    fclose(caught);
    return line;
}

static void a_line_says_how_grave_it_is(void **state)
{
    (void)state;
    tg_log_open(-1, TG_INFO);
    assert_string_equal(logged(TG_ERROR, "a"), "tritgate: error: a\n");
    assert_string_equal(logged(TG_WARN, "b"), "tritgate: warning: b\n");
    assert_string_equal(logged(TG_INFO, "c"), "tritgate: c\n");
}

/* A name out of a file may hold anything. */
static void a_line_stays_one_line(void **state)
{
    (void)state;
    tg_log_open(-1, TG_INFO);
    assert_string_equal(logged(TG_ERROR, "no 'a\nb\033[2J\x7f'"),
                        "tritgate: error: no 'a?b?[2J?'\n");
    assert_string_equal(logged(TG_INFO, "→ b"), "tritgate: → b\n");
}

static void a_worker_names_its_rank(void **state)
{
    (void)state;
    tg_log_open(3, TG_INFO);
    assert_string_equal(logged(TG_WARN, "a"), "tritgate[3]: warning: a\n");
    assert_string_equal(logged(TG_INFO, "b"), "tritgate[3]: info: b\n");
    tg_log_open(0, TG_INFO);
    assert_string_equal(logged(TG_INFO, "c"), "tritgate: c\n");
}

static void what_is_below_the_level_is_left_out(void **state)
{
    (void)state;
    tg_log_open(-1, TG_WARN);
    assert_string_equal(logged(TG_INFO, "a"), "");
    assert_string_equal(logged(TG_ERROR, "c"), "tritgate: error: c\n");
}

static void a_long_line_is_cut_and_ends(void **state)
{
    (void)state;
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    tg_log_open(-1, TG_INFO);
    const char *line = logged(TG_INFO, text);
    assert_in_range(strlen(line), 1000, 2100);
    assert_int_equal(line[strlen(line) - 1], '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_says_how_grave_it_is),
        cmocka_unit_test(a_line_stays_one_line),
        cmocka_unit_test(a_worker_names_its_rank),
        cmocka_unit_test(what_is_below_the_level_is_left_out),
        cmocka_unit_test(a_long_line_is_cut_and_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
