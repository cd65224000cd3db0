/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/history_report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/made_history.h"

static struct tg_history h;

/* Twenty heads against one base, the last eight of them slower, and one test of one cell. */
static int begin(void **state)
{
    (void)state;
    made_history(&h);
    for (int i = 0; i < 20; i++)
        made_past(&h, 100 + i, 1, 0.002 * made_noise(i) + (i < 12 ? 0 : 0.03), 0.01, 1e-4);
    h.tests[1] = (struct tg_history_test){"floor", "kernel_accuracy", "kernel=i2s_scalar", ""};
    h.tests[2] = (struct tg_history_test){"ratio", "call_time", "probe=kernel kernel=a",
                                          "probe=kernel kernel=b"};
    h.test_count = 3;
    for (int64_t t = 1; t < 3; t++) {
        h.verdicts[h.verdict_count] = h.verdicts[0];
        h.verdicts[h.verdict_count].test = t;
        h.verdicts[h.verdict_count].run = 4;
        h.verdicts[h.verdict_count++].estimate = t == 1 ? 0.9998 : 1.5;
    }
    h.verdicts[h.verdict_count] = h.verdicts[h.verdict_count - 1]; /* as a second rule asks it */
    h.verdict_count++;
    return 0;
}

static int end(void **state)
{
    (void)state;
    tg_store_history_release(&h);
    return 0;
}

static void make(const char *pattern, struct tg_history_report *report)
{
    struct tg_watch watch;
    struct tg_error err;
    tg_record_init(&tg_watch_type, &watch);
    if (tg_history_report_make(&h, pattern, &watch, report, &err) < 0) fail_msg("%s", err.text);
}

/* What is printed; the caller frees. */
static char *printed(const struct tg_history_report *report)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    tg_history_report_print(report, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void a_step_is_named_with_its_run_and_the_rest_is_quiet(void **state)
{
    (void)state;
    struct tg_history_report report;
    struct tg_watch watch;
    tg_record_init(&tg_watch_type, &watch);
    make(NULL, &report);
    assert_int_equal(report.count, 3);
    assert_int_equal(tg_history_report_found(&report), 1);
    assert_int_equal(tg_history_report_looks(&report, &watch), 4); /* of 20 runs, not of one */
    char *text = printed(&report);
    const char wanted[] =
        "hardware class-a (A_Processor), 20 runs\n"
        "  changed  noninferior call_time, i2s_avx2, m, attn_q: head vs base\n"
        "    20 runs, 2026-01-01T03:04:05Z to 2026-01-20T03:04:05Z\n"
        "    head against base, slower by: +3.09 %, 19 runs ago +0.06 %\n"
        "      step   +3.11 % [+2.88, +3.27] from 2026-01-13T03:04:05Z on, head 38453d700000\n"
        "    call_time: 100 us, 19 runs ago 100 us\n"
        "  quiet    floor kernel_accuracy, i2s_scalar\n"
        "    1 run, 2026-01-05T03:04:05Z\n"
        "    kernel_accuracy: 99.98 %\n"
        "  quiet    ratio call_time, a vs b\n"
        "    1 run, 2026-01-05T03:04:05Z\n"
        "    a against b: 2.5x\n"
        "    call_time: 100 us\n";
    assert_string_equal(text, wanted);
    free(text);
    tg_history_report_release(&report);
}

static void a_pattern_chooses_series(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        size_t count;
    } rows[] = {{"attn_q", 1}, {"call_time", 2}, {", ? vs ?", 1}, {"nothing", 0}, {"*", 3}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_history_report report;
        make(rows[i].pattern, &report);
        assert_int_equal(report.count, rows[i].count);
        tg_history_report_release(&report);
    }
}

static void json_has_every_point_and_what_was_found(void **state)
{
    (void)state;
    struct tg_history_report report;
    struct tg_json *list = tg_json_array(NULL, NULL);
    make(NULL, &report);
    tg_history_report_json(&report, list);
    char *text = tg_json_print(list, true);
    struct tg_json_file file;
    struct tg_error err;
    if (tg_json_parse(text, &file, &err) < 0) fail_msg("%s", err.text);
    free(text);
    const struct tg_json *series = tg_json_get(tg_json_at(file.root, 0), "series");
    assert_int_equal(tg_json_count(series), 3);
    const struct tg_json *courses = tg_json_get(tg_json_at(series, 0), "courses");
    assert_int_equal(tg_json_count(courses), 2);
    const struct tg_json *course = tg_json_at(courses, 0);
    assert_string_equal(tg_json_text(tg_json_get(course, "kind")), "compared");
    assert_int_equal(tg_json_count(tg_json_get(course, "points")), 20);
    assert_int_equal(tg_json_count(tg_json_get(course, "steps")), 1);
    const struct tg_json *step = tg_json_at(tg_json_get(course, "steps"), 0);
    assert_string_equal(tg_json_text(tg_json_get(step, "date")), "2026-01-13T03:04:05Z");
    assert_string_equal(tg_json_text(tg_json_get(step, "head")), h.runs[12].head);
    assert_float_equal(tg_json_number(tg_json_get(step, "size")), 0.0311, 1e-4);
    assert_null(tg_json_get(course, "creep"));
    assert_string_equal(tg_json_text(tg_json_get(tg_json_at(courses, 1), "kind")), "absolute");
    assert_int_equal(tg_json_count(tg_json_get(tg_json_at(series, 1), "courses")), 1);
    tg_json_release(&file);
    tg_json_free(list);
    tg_history_report_release(&report);
}

static void creep_is_named(void **state)
{
    (void)state;
    struct tg_history_report report;
    for (int i = 0; i < 20; i++) h.verdicts[i].estimate = 0.005 * i + 0.001 * made_noise(i);
    make("head vs base", &report);
    char *text = printed(&report);
    assert_non_null(strstr(text, "      creep  +9."));
    assert_non_null(strstr(text, "over 20 runs, from 2026-01-01T03:04:05Z on, head "));
    free(text);
    tg_history_report_release(&report);
}

/* What a foreign file may say: cells that are none, rules and metrics that nobody knows. */
static void unknown_words_are_printed_as_they_are(void **state)
{
    (void)state;
    struct tg_history_report report;
    h.tests[0] = (struct tg_history_test){"new_rule", "new_metric", "no cell", "none either"};
    make("new_metric", &report);
    assert_int_equal(report.count, 1);
    char *text = printed(&report);
    assert_non_null(strstr(text, "  quiet    new_rule new_metric, no cell\n"));
    free(text);
    tg_history_report_release(&report);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_step_is_named_with_its_run_and_the_rest_is_quiet),
        TEST(a_pattern_chooses_series),
        TEST(json_has_every_point_and_what_was_found),
        TEST(creep_is_named),
        TEST(unknown_words_are_printed_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
