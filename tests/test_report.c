/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/report.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/decided_run.h"

/*
 * Reports are compared with tests/data/golden_*, byte for byte. After a wanted change:
 * TG_GOLDEN=write in the environment writes them anew, to be read before they are kept.
 */

static const char matrix[] = "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"],"
                             " \"kernel\": [\"i2s_scalar\", \"i2s_avx2\", \"i2s_avx512vnni\","
                             " \"i2s_scalar_unpack\", \"i2s_avx2_unpack\"], \"model\": "
                             "[\"bitnet-2b\"], \"layer\": [\"attn_k\"],"
                             " \"batch\": [1, 8]}, \"exclude\": [\"kernel=*unpack batch=8\"]}";
static const char policy[] =
    "{\"tritgate_policy\": 1, \"flow\": \"review\", \"limits\": {\"rounds_max\": 16}, \"rules\": ["
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"where\": \"kernel=i2s_*\","
    " \"axis\": \"build\", \"of\": \"head\", \"to\": \"base\", \"tolerance\": 0.02,"
    " \"margin\": 0.05, \"major\": 0.1, \"critical\": 0.15},"
    "{\"rule\": \"ratio\", \"metric\": \"call_time\", \"where\": \"op=product batch=1\","
    " \"axis\": \"kernel\", \"of\": \"i2s_avx*\", \"to\": \"i2s_scalar\", \"limit\": 1.5},"
    "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"where\": \"op=product batch=1\","
    " \"limit\": 0.998},"
    "{\"rule\": \"ceiling\", \"metric\": \"call_time\", \"where\": \"kernel=i2s_avx2 batch=8\","
    " \"limit\": 0.002},"
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"where\": \"kernel=i2s_avx2 batch=1\","
    " \"axis\": \"build\", \"of\": \"head\", \"to\": \"base\", \"tolerance\": 0.02,"
    " \"margin\": 0.05, \"effect\": \"throughput\"},"
    "{\"rule\": \"floor\", \"metric\": \"codec_exact\", \"where\": \"batch=32\", \"limit\": 1}]}";

static void begin(struct tg_capability worker)
{
    made_plan(matrix, policy, &worker, 1, &made_asked, &plan);
    run.is_sealed = 1;
    memset(run.evidence, 'e', 64);
}

/* What a report writes; the caller frees. */
static char *written(const struct tg_report *report)
{
    static char *text;
    static size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    report->write(out, &plan, &decision);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void assert_has(const char *report, const char *wanted)
{
    char *text = written(tg_report_find(report));
    if (!strstr(text, wanted)) fail_msg("'%s' is not in:\n%s", wanted, text);
    free(text);
}

/* A new version is no change of a report. */
static void hide_version(char *text)
{
    const size_t length = strlen(TRITGATE_VERSION);
    const char *found;
    while ((found = strstr(text, TRITGATE_VERSION))) {
        size_t at = (size_t)(found - text);
        text[at] = 'V';
        memmove(text + at + 1, text + at + length, strlen(text + at + length) + 1);
    }
}

static void assert_golden(const char *name, const char *kind, const char *report)
{
    char path[4096], wanted[1 << 16];
    char *text = written(tg_report_find(report));
    const char *how = getenv("TG_GOLDEN");
    hide_version(text);
    snprintf(path, sizeof path, TG_TEST_DATA "/golden_%s.%s", name, kind);
    if (how && strcmp(how, "write") == 0) {
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
    }
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("no file '%s'", path);
    size_t size = fread(wanted, 1, sizeof wanted - 1, file);
    fclose(file);
    wanted[size] = 0;
    size_t line = 1, i = 0;
    for (; text[i] && text[i] == wanted[i]; i++) line += text[i] == '\n';
    if (strcmp(text, wanted) != 0) fail_msg("line %zu differs from '%s'", line, path);
    free(text);
}

static void assert_goldens(const char *name)
{
    assert_golden(name, "md", "markdown");
    assert_golden(name, "json", "receipt");
    assert_golden(name, "txt", "terminal");
}

/* A base, a slowed head, and every kind of verdict that there is. */
static void make_failing_run(void)
{
    struct tg_capability worker = made_worker("node-1", MADE_BASE);
    worker.head.injected_percent = 7;
    made_lose(&worker.base, "i2s_scalar_unpack");
    made_lose(&worker.head, "i2s_avx2_unpack");
    begin(worker);
    size_t avx2 = made_test(&plan, 0, "i2s_avx2", 1), avx2_8 = made_test(&plan, 0, "i2s_avx2", 8);
    size_t scalar = made_test(&plan, 0, "i2s_scalar", 1);
    size_t scalar_8 = made_test(&plan, 0, "i2s_scalar", 8);
    made_rounds(&run, &plan, avx2, 0, 12, 0.0712, 0.004);
    made_rounds(&run, &plan, avx2_8, 0, 12, 0.0955, 0.02);
    made_rounds(&run, &plan, scalar, 0, 16, 0.046, 0.012);
    made_rounds(&run, &plan, scalar_8, 0, 4, 0.0003, 0.001);
    made_rounds(&run, &plan, made_test(&plan, 1, "i2s_avx2", 1), 0, 6, -log(11.3), 0.03);
    made_broken(&run, &plan, made_test(&plan, 1, "i2s_avx2", 1), 6, TG_CRASHED, TG_MEASURED,
                "signal 11 (Segmentation fault), at most 9 MiB held; it said: <b>|oh\\ no");
    for (int64_t r = 0; r < 2; r++) {
        made_fixed(&run, &plan, made_test(&plan, 2, "i2s_avx2", 1), r, 0.9971234567);
        made_fixed(&run, &plan, made_test(&plan, 2, "i2s_scalar", 1), r, 0.999956123);
    }
    struct tg_measurement *m = made_row(&run, &plan, made_test(&plan, 3, "i2s_avx2", 8), 0, 0,
                                        TG_WRONG);
    snprintf(m->reason, sizeof m->reason, "results[0][5] is 17, not 16 (1 of 640 differ)");
    decide_run();
}

/* No base: shadows, and the rest passes. */
static void make_passing_run(void)
{
    begin(made_worker("node-1", NULL));
    made_rounds(&run, &plan, made_test(&plan, 0, "i2s_avx2", 1), 0, 5, 0.0021, 0.003);
    made_rounds(&run, &plan, made_test(&plan, 0, "i2s_scalar", 8), 0, 3, -0.001, 0.002);
    made_rounds(&run, &plan, made_test(&plan, 1, "i2s_avx2", 1), 0, 5, -log(25.3), 0.01);
    for (int64_t r = 0; r < 2; r++) {
        made_fixed(&run, &plan, made_test(&plan, 2, "i2s_avx2", 1), r, 0.999956123);
        made_fixed(&run, &plan, made_test(&plan, 2, "i2s_scalar", 1), r, 0.999956123);
    }
    for (int64_t r = 0; r < 5; r++)
        made_samples(made_row(&run, &plan, made_test(&plan, 3, "i2s_avx2", 8), 0, r, TG_MEASURED),
                     "call_time", 0, 9.996e-4 + 1e-6 * (double)r);
    decide_run();
}

static void a_failing_run_reads_like_the_files(void **state)
{
    (void)state;
    make_failing_run();
    assert_int_equal(decision.answer, TG_FAIL);
    assert_goldens("fail");
}

static void a_passing_run_reads_like_the_files(void **state)
{
    (void)state;
    make_passing_run();
    assert_int_equal(decision.answer, TG_PASS);
    assert_goldens("pass");
}

static void the_order_of_rows_changes_no_byte(void **state)
{
    (void)state;
    make_failing_run();
    char *before[8], *after;
    for (size_t i = 0; i < tg_report_count(); i++) before[i] = written(tg_report_at(i));
    for (size_t i = 0; i < run.count / 2; i++) {
        struct tg_measurement m = run.rows[i];
        run.rows[i] = run.rows[run.count - 1 - i];
        run.rows[run.count - 1 - i] = m;
    }
    decide_run();
    for (size_t i = 0; i < tg_report_count(); i++) {
        after = written(tg_report_at(i));
        if (strcmp(tg_report_at(i)->name, "lines") != 0) /* which are the rows */
            assert_string_equal(after, before[i]);
        free(after);
        free(before[i]);
    }
}

static void the_lines_of_a_run_are_its_rows(void **state)
{
    (void)state;
    make_failing_run();
    char *text = written(tg_report_find("lines")), *rest = text;
    for (size_t i = 0; i < run.count; i++) {
        char *wanted = tg_measurement_to_json(&run.rows[i]);
        size_t length = strlen(wanted);
        assert_memory_equal(rest, wanted, length);
        assert_int_equal(rest[length], '\n');
        rest += length + 1;
        free(wanted);
    }
    assert_int_equal(*rest, 0);
    free(text);
}

static void no_line_of_a_report_ends_with_a_blank(void **state)
{
    (void)state;
    make_passing_run();
    for (size_t i = 0; i < tg_report_count(); i++) {
        char *text = written(tg_report_at(i));
        assert_null(strstr(text, " \n"));
        assert_true(*text && text[strlen(text) - 1] == '\n');
        free(text);
    }
}

/* Ranges are never narrower than what they stand for. */
static void what_passed_and_is_no_pass_says_why(void **state)
{
    (void)state;
    char text[1000];
    struct tg_decision d = {.answer = TG_INCONCLUSIVE, .required = 2, .passed = 2};
    snprintf(d.notes[d.note_count++], sizeof *d.notes, "not compared with an earlier build");
    snprintf(d.notes[d.note_count++], sizeof *d.notes, "cannot pass: it was not ended");
    assert_string_equal(tg_report_summary(&d, text, sizeof text),
                        "2 required tests: 2 passed; cannot pass: it was not ended");
    d.inconclusive = 1;
    assert_null(strstr(tg_report_summary(&d, text, sizeof text), "cannot pass"));
}

static void what_is_needed_is_a_range(void **state)
{
    (void)state;
    static const struct {
        double low, high, cost_s;
        const char *text;
    } rows[] = {
        {NAN, NAN, 0.3, ""},
        {INFINITY, INFINITY, 0.3, ""},
        {1, 1, 0.35, "1 round more (0.35 s) would probably decide"},
        {2, 2, 0.352, "2 rounds more (0.71 s) would probably decide"},
        {4, 23, 0.3, "4 to 23 rounds more (1.2 to 6.9 s) would probably decide"},
        {12, 1381, 1.03, "12 to 1400 rounds more (12 to 1500 s) would probably decide"},
        {189, 189.5e3, 0.1, "180 to 190000 rounds more (18 to 19000 s) would probably decide"},
        {1, INFINITY, 0.0021, "at least 1 round more (0.0021 s) would be needed"},
        {41, INFINITY, 0.3, "at least 41 rounds more (13 s) would be needed"},
        {4, 23, NAN, "4 to 23 rounds more would probably decide"},
        {1, 1, NAN, "1 round more would probably decide"},
        {41, INFINITY, NAN, "at least 41 rounds more would be needed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[160];
        struct tg_verdict v = tg_rule_no_verdict();
        v.rounds_left = (struct tg_interval){rows[i].low, rows[i].high};
        v.rounds_needed = 7;
        v.seconds_needed = 7 * rows[i].cost_s;
        assert_string_equal(tg_report_needed(&v, text, sizeof text), rows[i].text);
    }
}

/* A kernel's last words are text, not markup. */
static void what_a_process_said_cannot_break_a_table(void **state)
{
    (void)state;
    make_failing_run();
    assert_has("markdown", "it said: \\<b\\>\\|oh\\\\ no; 1 round more (0.35 s) would ");
}

static void a_report_states_the_error_rates_that_hold(void **state)
{
    (void)state;
    make_failing_run();
    plan.policy.limits.family_watch = plan.policy.limits.family_fail = 1;
    assert_has("markdown", "; at most 1.25 % of runs without a slow-down fail, over 7 ");
    plan.asked.baseline_count = 1;
    assert_has("markdown", " is called clean in at most 2 %\n");
    plan.has_base = false;
    assert_has("markdown", " is called clean in at most 1 %\n");
    plan.asked.baseline_count = 0;
}

static void a_receipt_is_json_that_agrees_with_the_decision(void **state)
{
    (void)state;
    struct tg_json_file file;
    struct tg_error err;
    make_failing_run();
    char *text = written(tg_report_find("receipt"));
    if (tg_json_parse(text, &file, &err) < 0) fail_msg("%s", err.text);
    free(text);
    assert_string_equal(tg_json_text(tg_json_get(file.root, "answer")), "fail");
    assert_true(tg_json_number(tg_json_get(file.root, "status")) == 1);
    const struct tg_json *counts = tg_json_get(file.root, "counts");
    assert_true(tg_json_number(tg_json_get(counts, "failed")) == (double)decision.failed);
    assert_true(tg_json_number(tg_json_get(counts, "required")) == (double)decision.required);
    const struct tg_json *list = tg_json_get(file.root, "verdicts");
    assert_int_equal(tg_json_count(list), decision.verdict_count);
    for (size_t i = 0; i < decision.verdict_count; i++) {
        const struct tg_verdict *v = &decision.verdicts[i];
        const struct tg_json *item = tg_json_at(list, i);
        assert_string_equal(tg_json_text(tg_json_get(item, "answer")), tg_gate_word(v->answer));
        assert_true(tg_json_number(tg_json_get(item, "rounds")) == (double)v->rounds);
        const struct tg_json *estimate = tg_json_get(item, "estimate");
        assert_int_equal(tg_json_kind(estimate) == TG_JSON_NULL, isnan(v->estimate));
    }
    tg_json_release(&file);
}

/* Such as a text that was cut within a letter has: JSON is UTF-8. */
static void bytes_of_no_letter_are_question_marks_in_a_receipt(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"caf\xc3\xa9 \xe2\x86\x92 \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x86\x92 \xf0\x9f\x98\x80"},
        {"cut \xc3", "cut ?"},
        {"cut \xf0\x9f\x98", "cut ???"},
        {"\xe9\xff\x80 latin", "??? latin"},
        {"\xc0\xaf long", "?? long"},
        {"\xe0\x80\xaf long", "??? long"},
        {"\xed\xa0\x80 half", "??? half"},
        {"\xf4\x90\x80\x80 beyond", "???? beyond"},
    };
    make_failing_run();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char wanted[100];
        snprintf(decision.verdicts[0].reason, sizeof decision.verdicts[0].reason, "%s",
                 texts[i][0]);
        snprintf(wanted, sizeof wanted, "\"reason\": \"%s\"", texts[i][1]);
        assert_has("receipt", wanted);
    }
}

static void each_kind_of_rule_says_its_numbers_in_their_units(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *metric;
        double estimate, low, high;
        const char *demand, *measured;
    } rows[] = {
        {"parity", "kernel_accuracy", 2.5e-7, 0, 0, "within 4", "2.5e-07"},
        {"determinism", "kernel_accuracy", 0.998, 0, 0, "kernel_accuracy the same every time",
         "99.8 %"},
        {"slope", "call_time", 65536, 65000, 66000, "call_time worse by less than 4 s a sample",
         "+65536 s [+65000, +66000]"},
        {"slope", "held_memory", 65536, 65000, 66000, "held_memory worse by less than 4 B a sample",
         "+65536 B [+65000, +66000]"},
        {"noninferior", "call_time", 0.07, 0.06, 0.08, "not 5 % slower", "+7.00 % [+6.00, +8.00]"},
        {"noninferior", "peak_memory", 0.07, 0.06, 0.08, "not 5 % more memory",
         "+7.00 % [+6.00, +8.00]"},
        {"ceiling", "peak_memory", 3.5 * 1024 * 1024, NAN, NAN, "peak_memory at most 4 B",
         "3.5 MiB"},
        {"ceiling", "gpu_memory", 8589934592, NAN, NAN, "gpu_memory at most 4 B", "8 GiB"},
        {"ratio", "call_time", 1388.7, 3.456, 12799, "at least 4x", "1390x [4.46, 12800]"},
        {"scaling", "call_time", 0.3, 0.2, 0.4, "not 5 % out of proportion",
         "+30.00 % [+20.00, +40.00]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_rule rule;
        struct tg_verdict v = {.estimate = rows[i].estimate,
                               .interval = {rows[i].low, rows[i].high}};
        char text[TG_REPORT_TEXT_SIZE];
        tg_record_init(&tg_rule_type, &rule);
        snprintf(rule.rule, sizeof rule.rule, "%s", rows[i].rule);
        snprintf(rule.metric, sizeof rule.metric, "%s", rows[i].metric);
        rule.limit = 4;
        rule.margin = 0.05;
        assert_string_equal(tg_report_demand(&rule, text, sizeof text), rows[i].demand);
        assert_string_equal(tg_report_measured(&rule, &v, text, sizeof text), rows[i].measured);
    }
}

static void what_is_worse_is_said_once_in_words_of_the_metric(void **state)
{
    (void)state;
    static const char *const rows[][4] = {
        {"noninferior", "call_time", "7 % slower", "slower, minor"},
        {"noninferior", "peak_memory", "7 % more memory", "more memory, minor"},
        {"scaling", "peak_memory", "7 % out of proportion", NULL}};
    char text[TG_REPORT_TEXT_SIZE];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_rule rule;
        struct tg_verdict v = {.answer = TG_FAIL, .detectable = log1p(0.07), .also = NAN};
        tg_record_init(&tg_rule_type, &rule);
        snprintf(rule.rule, sizeof rule.rule, "%s", rows[i][0]);
        snprintf(rule.metric, sizeof rule.metric, "%s", rows[i][1]);
        assert_string_equal(tg_report_detectable(&rule, &v, text, sizeof text), rows[i][2]);
        if (!rows[i][3]) continue;
        snprintf(v.word, sizeof v.word, "%s", rows[i][3]);
        snprintf(v.reason, sizeof v.reason, "by 7.25 %%");
        assert_string_equal(tg_report_why(&v, text, sizeof text), rows[i][3]);
    }
}

static void every_report_with_a_file_is_written(void **state)
{
    (void)state;
    char directory[] = "/tmp/tritgate-report-XXXXXX", path[128];
    struct tg_error err;
    make_passing_run();
    assert_non_null(mkdtemp(directory));
    if (tg_report_write_all(directory, &plan, &decision, &err) < 0) fail_msg("%s", err.text);
    for (size_t i = 0; i < tg_report_count(); i++) {
        const struct tg_report *report = tg_report_at(i);
        assert_ptr_equal(tg_report_find(report->name), report);
        if (!*report->file) continue;
        snprintf(path, sizeof path, "%s/%s", directory, report->file);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(directory), 0);
    assert_int_equal(tg_report_write_all(directory, &plan, &decision, &err), -1);
    assert_non_null(strstr(err.text, "No such file"));
    assert_null(tg_report_find("html"));
}

/* The same policy with a flow of one step, and head so much slower. */
static void decide_in_flow(double d)
{
    struct tg_capability worker = made_worker("a", MADE_BASE);
    char text[sizeof policy + 1024];
    snprintf(
        text, sizeof text,
        "{\"agent\": \"me\", \"writes\": [\"perf\"], \"targets\": [\"NEXT → a\", \"NEXT → b\"],"
        " \"steps\": [{\"name\": \"one\", \"routes\": [{\"condition\": \"slow\", \"when\":"
        " \"fail\", \"to\": \"NEXT → a\", \"advice\": [\"look\"], \"context\": [\"deltas\","
        " \"thresholds\", \"commands\", \"reasons\", \"machines\"]}, {\"condition\": \"rest\","
        " \"when\": \"always\", \"to\": \"NEXT → b\"}], \"texts\": {\"evidence\":"
        " [\"perf: {answer}\", \"codec: {codec_exact}\"]}}], %s",
        policy + 1);
    made_plan(matrix, text, &worker, 1, &made_asked, &plan);
    run.is_sealed = 1;
    made_rounds(&run, &plan, made_test(&plan, 0, "i2s_avx2", 1), 0, 16, d, 1e-4);
    decide_run();
}

static void reports_end_with_the_lines_of_the_flow_and_its_route(void **state)
{
    (void)state;
    decide_in_flow(0.12);
    assert_int_equal(decision.answer, TG_FAIL);
    assert_has("terminal", "\nperf: fail\nNEXT → a (slow)\n");
    assert_has("markdown", "\n## Next\n\n**NEXT → a** (slow)\n\n- look\n"
                           "- i2s_avx2, bitnet-2b, attn_k: head vs base: +12.75 % [");
    assert_has("markdown", "; demanded: call_time: not 5 % slower; slower, major\n  `tritgate");
    assert_has("markdown", " HEAD 'probe=kernel kernel=i2s_avx2 model=bitnet-2b layer=attn_k'`\n");
    assert_has("markdown", "- machines: A_Processor\n");
    assert_has("markdown", "\n## Evidence\n\n```text\nperf: fail\n```\n\n- measured on:");
    assert_has("receipt", "\"conclusion\": \"failure\"");
    assert_has("receipt", "\"evidence_lines\": [\"perf: fail\"]");
    assert_has("receipt", "\"to\": \"NEXT → a\"");
}

static void a_route_without_tests_says_only_where(void **state)
{
    (void)state;
    decide_in_flow(0);
    assert_int_equal(decision.answer, TG_INCONCLUSIVE);
    assert_has("terminal", "perf: skipped (inconclusive: ");
    assert_has("markdown", "**NEXT → b** (rest)\n\n## Evidence\n");
    assert_has("receipt", "\"conclusion\": \"neutral\"");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
    const struct CMUnitTest tests[] = {
        TEST(a_failing_run_reads_like_the_files),
        TEST(a_passing_run_reads_like_the_files),
        TEST(the_order_of_rows_changes_no_byte),
        TEST(the_lines_of_a_run_are_its_rows),
        TEST(no_line_of_a_report_ends_with_a_blank),
        cmocka_unit_test(what_passed_and_is_no_pass_says_why),
        cmocka_unit_test(what_is_needed_is_a_range),
        TEST(what_a_process_said_cannot_break_a_table),
        TEST(a_report_states_the_error_rates_that_hold),
        TEST(a_receipt_is_json_that_agrees_with_the_decision),
        TEST(bytes_of_no_letter_are_question_marks_in_a_receipt),
        TEST(each_kind_of_rule_says_its_numbers_in_their_units),
        TEST(what_is_worse_is_said_once_in_words_of_the_metric),
        TEST(every_report_with_a_file_is_written),
        TEST(reports_end_with_the_lines_of_the_flow_and_its_route),
        TEST(a_route_without_tests_says_only_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
