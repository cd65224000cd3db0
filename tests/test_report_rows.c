/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/decided_run.h"

/* Which test a line of a report is about, and how many there are of a kind. */

static const char matrix[] =
    "{\"tritgate_matrix\": 1, \"axes\": [{\"probe\": [\"engine\"], \"kernel\": [\"i2s_avx2\"],"
    " \"model\": [\"bitnet-2b\"]}, {\"probe\": [\"build\"]}, {\"probe\": [\"kernel\"], \"kernel\":"
    " [\"i2s_avx2\"], \"layer\": [\"640x2560\"]}]}";

/* Compared are three metrics of an engine's cell, two of a kernel's, and one of a build. */
static const char *const rules[][3] = {
    {"decode_rate", "engine", "throughput"}, {"first_token_time", "engine", "time"},
    {"load_time", "engine", "time"},         {"build_time", "build", "time"},
    {"call_time", "kernel", "time"},         {"peak_memory", "kernel", "time"}};

enum { RULES = sizeof rules / sizeof *rules };

/* An imported run in which all of head but the build crashed twice, and a route that gives this. */
static void decide(const char *when, const char *context)
{
    struct tg_capability worker = made_worker("a", MADE_BASE);
    struct tg_asked asked = made_asked;
    char policy[2048];
    int used = snprintf(policy, sizeof policy,
                        "{\"tritgate_policy\": 1, \"flow\": \"review\", \"agent\": \"me\","
                        " \"writes\": [\"perf\"], \"targets\": [\"NEXT → a\"], \"steps\":"
                        " [{\"name\": \"one\", \"routes\": [{\"condition\": \"so\", \"when\":"
                        " \"%s\", \"to\": \"NEXT → a\", \"context\": [%s]}]}], \"rules\": [",
                        when, context);
    for (size_t i = 0; i < RULES; i++)
        used += snprintf(
            policy + used, sizeof policy - (size_t)used,
            "%s{\"rule\": \"noninferior\", \"metric\": \"%s\", \"where\": \"probe=%s\","
            " \"axis\": \"build\", \"of\": \"head\", \"to\": \"base\", \"tolerance\":"
            " 0.02, \"margin\": 0.1, \"effect\": \"%s\"}%s",
            i ? ", " : "", rules[i][0], rules[i][1], rules[i][2], i + 1 == RULES ? "]}" : "");
    asked.is_imported = asked.is_matrix_seen = true;
    end(NULL);
    made_plan(matrix, policy, &worker, 1, &asked, &plan);
    plan.accepts_imported = true;
    run.is_sealed = 1;
    assert_int_equal(plan.spec.test_count, RULES);
    for (int64_t r = 0; r < 2; r++) {
        made_broken(&run, &plan, 0, r, TG_CRASHED, TG_MEASURED, "signal 11");
        made_broken(&run, &plan, 4, r, TG_CRASHED, TG_MEASURED, "signal 11");
    }
    decide_run();
}

/* The Markdown report from these words on; the caller frees the whole. */
static char *written(const char *words, char **from)
{
    static char *text;
    static size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    tg_report_markdown(out, &plan, &decision);
    assert_int_equal(fclose(out), 0);
    *from = strstr(text, words);
    if (!*from) fail_msg("no '%s' in: %s", words, text);
    return text;
}

/* How many lines that hold these words there are, of which no two are alike. */
static size_t count_unlike(const char *from, const char *words)
{
    const char *lines[16];
    size_t lengths[16], count = 0;
    for (const char *line = from; *line; line += strcspn(line, "\n") + 1) {
        const char *found = strstr(line, words);
        size_t length = strcspn(line, "\n");
        if (!found || found >= line + length) continue;
        for (size_t i = 0; i < count; i++)
            if (lengths[i] == length && memcmp(lines[i], line, length) == 0)
                fail_msg("twice: %.*s", (int)length, line);
        assert_in_range(count, 0, 15);
        lines[count] = line;
        lengths[count++] = length;
    }
    return count;
}

static void tests_of_one_cell_have_unlike_rows(void **state)
{
    (void)state;
    static const char *const contexts[] = {"\"reasons\"", "\"thresholds\", \"reasons\"",
                                           "\"deltas\""};
    for (size_t i = 0; i < sizeof contexts / sizeof *contexts; i++) {
        char *from;
        decide("fail", contexts[i]);
        char *text = written("\n| fail |", &from);
        assert_int_equal(count_unlike(from, "| i2s_avx2, bitnet-2b: head vs base |"), 3);
        assert_non_null(strstr(from, "| load_time: not 10 % slower |"));
        from = strstr(from, "\n## Next\n");
        assert_non_null(from);
        assert_int_equal(count_unlike(from, "- i2s_avx2, bitnet-2b: head vs base"), 3);
        free(text);
    }
}

static void tests_of_what_was_skipped_have_unlike_lines(void **state)
{
    (void)state;
    char *from;
    decide("always", "\"skipped\"");
    for (size_t i = 0; i < decision.verdict_count; i++) decision.verdicts[i].answer = TG_SKIP;
    char *text = written("\n## Next\n", &from);
    assert_int_equal(count_unlike(from, "- skipped ("), RULES);
    free(text);
}

/* An engine's cell has no probe here. */
static void a_command_that_works_is_told_once_for_each_cell(void **state)
{
    (void)state;
    char *from;
    decide("fail", "\"commands\"");
    char *text = written("\n## Next\n", &from);
    assert_int_equal(count_unlike(from, "- i2s_avx2"), 5);
    assert_int_equal(count_unlike(from, "`tritgate cell "), 1);
    assert_non_null(strstr(from, "HEAD 'probe=kernel kernel=i2s_avx2 layer=640x2560'`\n"));
    free(text);
}

/* Of whatever no axis is set but the probe. */
static void a_cell_that_is_only_a_probe_is_called_so(void **state)
{
    (void)state;
    char text[TG_REPORT_TEXT_SIZE];
    decide("fail", "");
    assert_string_equal(tg_report_subject(&plan, made_test(&plan, 3, "", 1), text, sizeof text),
                        "build: head vs base");
}

/* Lines from elsewhere may have any library, and any letters behind the day. */
static void what_was_imported_is_no_markup(void **state)
{
    (void)state;
    char *at;
    decide("fail", "");
    snprintf(decision.date, sizeof decision.date, "2026-11-28</li>**PASS**@team");
    snprintf(plan.workers[0].head.digest, sizeof plan.workers[0].head.digest, "`**@team**<b>");
    free(written(", the last of 2026-11-28\\</li\\>\\*\\*PASS\\*\\*&#64;team, SHA-256 ", &at));
    free(written("\n- head: ` **@team**<b>`, ", &at));
}

/* Nobody is to look for a test that needs attention among those that do not. */
static void optional_tests_are_counted_apart(void **state)
{
    (void)state;
    static const struct {
        size_t attention, optional, optional_attention, optional_open;
        const char *wanted;
    } rows[] = {
        {0, 3, 2, 0, "4 required tests: 4 passed, 3 optional: 2 need attention"},
        {2, 1, 0, 0, "4 required tests: 4 passed, 2 of the passed need attention, 1 optional"},
        {1, 4, 1, 1,
         "4 required tests: 4 passed, 1 of the passed needs attention, 4 optional: 1 needs "
         "attention and 1 inconclusive"},
        {0, 2, 0, 2, "4 required tests: 4 passed, 2 optional: 2 inconclusive"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[TG_REPORT_TEXT_SIZE];
        struct tg_decision d = {.required = 4,
                                .passed = 4,
                                .attention = rows[i].attention,
                                .optional = rows[i].optional,
                                .optional_attention = rows[i].optional_attention,
                                .optional_open = rows[i].optional_open};
        assert_string_equal(tg_report_summary(&d, text, sizeof text), rows[i].wanted);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        TEST(tests_of_one_cell_have_unlike_rows),
        TEST(tests_of_what_was_skipped_have_unlike_lines),
        TEST(a_cell_that_is_only_a_probe_is_called_so),
        TEST(a_command_that_works_is_told_once_for_each_cell),
        TEST(what_was_imported_is_no_markup),
        cmocka_unit_test(optional_tests_are_counted_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
