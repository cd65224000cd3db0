/* SPDX-License-Identifier: Apache-2.0 */
#include "matrix/template.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* What the templates of these tests may name, and what fills it. */
static const struct {
    const char *name;
    struct tg_figure figure;
} figures[] = {
    {"rate", {.is_there = true, .value = 45.2}},
    {"half", {.is_there = true, .value = 45.25}},
    {"big", {.is_there = true, .value = 1234567}},
    {"share", {.is_there = true, .value = 0.998}},
    {"low", {.is_there = true, .value = 0.99796, .toward = -1}},
    {"high", {.is_there = true, .value = 10.001, .toward = 1}},
    {"up", {.is_there = true, .value = 0.12, .is_signed = true}},
    {"down", {.is_there = true, .value = -0.0057, .is_signed = true}},
    {"still", {.is_there = true, .value = -0.000004, .is_signed = true}},
    {"tiny", {.is_there = true, .value = 0.0000012}},
    {"word", {.is_there = true, .text = "pass|fail"}},
    {"nan", {.is_there = true, .value = NAN}},
    {"yes", {.is_there = true}},
    {"none", {.is_there = false, .value = 7}},
};

static int known(void *context, const struct tg_hole *hole, struct tg_error *err)
{
    (void)context;
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        if (strcmp(figures[i].name, hole->name) == 0) return 0;
    return tg_fail(err, "nothing is called '%s'", hole->name);
}

static void figure_of(void *context, const struct tg_hole *hole, struct tg_figure *figure)
{
    (void)context;
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        if (strcmp(figures[i].name, hole->name) == 0) *figure = figures[i].figure;
}

static void assert_written(const char *text, const char *wanted)
{
    char out[400];
    struct tg_error err;
    if (tg_template_check(text, known, NULL, &err) < 0) fail_msg("'%s': %s", text, err.text);
    bool is_there = tg_template_write(text, figure_of, NULL, out, sizeof out);
    if (strcmp(out, wanted) != 0) fail_msg("'%s' gives '%s', not '%s'", text, out, wanted);
    if (is_there != (*wanted != 0 || !*text)) fail_msg("'%s' says %d", text, is_there);
}

static void holes_are_filled(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"a|b", "a|b"},
        {"{rate} tok/s", "45.2 tok/s"},
        {"{half:1}", "45.2"}, /* to even, as printf does */
        {"{rate:2}", "45.20"},
        {"{big:1M}M ops/sec", "1.2M ops/sec"},
        {"{big:k}", "1235"},
        {"{tiny:u} us", "1.2 us"},
        {"{tiny}", "0.000001"},
        {"{share%}", "99.8%"},
        {"{share%:2}", "99.80%"},
        {"{low%:1}", "99.7%"},
        {"{low%}", "99.7%"},
        {"{high}", "10.1"},
        {"{high:2}", "10.01"},
        {"{up%}", "+12%"},
        {"{down%}", "-0.57%"},
        {"{still%:2}", "0.00%"},
        {"{still}", "-0.000004"},
        {"{word}", "pass|fail"},
        {"\\{\\[\\]\\|\\\\", "{[]|\\"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_written(rows[i][0], rows[i][1]);
}

static void what_cannot_be_filled_is_left_out(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{none}", ""},
        {"rate: {nan}", ""},
        {"a {rate}[, b {none}][, c {share%}]", "a 45.2, c 99.8%"},
        {"x: [a {none}][, c {share%}]", "x: c 99.8%"},
        {"[a {none}][; c {share%}]", "c 99.8%"},
        {"x ([; {share%}])", "x (99.8%)"},
        {"x: [a {none}][, b {none}]", ""},
        {"x[: [a {none}][, b {rate}]]", "x: b 45.2"},
        {"{rate}[: [a {none}][, b {none}]]", "45.2"},
        {"[{none}|{nan}|{rate}|{share}]", "45.2"},
        {"[{none}|text]", "text"},
        {"{rate}[; [x {none}|y {none}]]", "45.2"},
        {"{?yes}ok", "ok"},
        {"{?none}ok", ""},
        {"{?!none}ok", "ok"},
        {"{?!yes}ok", ""},
        {"{rate}[; {?none}fast|; slow]", "45.2; slow"},
        {"[[deep {none}] {rate}]", " 45.2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_written(rows[i][0], rows[i][1]);
}

static void a_text_of_another_form_is_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{", "no hole of a template: '{'"},
        {"{}", "no hole of a template: '{}'"},
        {"{Rate}", "no hole of a template: '{Rate}'"},
        {"{rate:}", "no hole of a template: '{rate:}'"},
        {"{rate:1x}", "no hole of a template: '{rate:1x}'"},
        {"{?rate%}", "no hole of a template: '{?rate%}'"},
        {"{rate", "no hole of a template: '{rate'"},
        {"{rate.}", "no hole of a template: '{rate.}'"},
        {"rate}", "a hole is closed that is not open"},
        {"[a", "a group is not closed"},
        {"a]", "a group is closed that is not open"},
        {"[[[[[[[a]]]]]]]", "more than 6 groups within each other"},
        {"a\\", "a template ends with a backslash"},
        {"{speed}", "nothing is called 'speed'"},
        {"[{?speed}]", "nothing is called 'speed'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_error err = {""};
        if (tg_template_check(rows[i][0], known, NULL, &err) == 0) fail_msg("'%s'", rows[i][0]);
        assert_string_equal(err.text, rows[i][1]);
    }
}

static void a_line_that_is_too_long_ends_between_two_characters(void **state)
{
    (void)state;
    char out[6];
    assert_true(tg_template_write("abcdé", figure_of, NULL, out, sizeof out));
    assert_string_equal(out, "abcd");
    assert_true(tg_template_write("abc→", figure_of, NULL, out, sizeof out));
    assert_string_equal(out, "abc");
    assert_true(tg_template_write("ab→{rate}x", figure_of, NULL, out, sizeof out));
    assert_string_equal(out, "ab→");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holes_are_filled),
        cmocka_unit_test(what_cannot_be_filled_is_left_out),
        cmocka_unit_test(a_text_of_another_form_is_refused),
        cmocka_unit_test(a_line_that_is_too_long_ends_between_two_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
