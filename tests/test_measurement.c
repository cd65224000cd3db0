/* SPDX-License-Identifier: Apache-2.0 */
#include "results/measurement.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const double awkward[] = {
    0.1,     0.1 + 0.2,          1.0 / 3,  1e-300, DBL_TRUE_MIN, DBL_MIN, 1 + DBL_EPSILON, 1e22,
    DBL_MAX, 9007199254740992.0, 2.5e-310, 1e-5,   -0.0};
#define AWKWARD_COUNT (sizeof awkward / sizeof *awkward)

static void fill(struct tg_measurement *m)
{
    tg_measurement_init(m);
    assert_int_equal(tg_cell_parse("probe=kernel kernel=i2s_avx2 batch=8", &m->cell, NULL), 0);
    snprintf(m->block, sizeof m->block, "probe=kernel kernel=i2s_avx2 batch=8 | b");
    snprintf(m->reason, sizeof m->reason,
             "died: \"signal 11\"\n\ttail {of its} output \\ \xc3\xa9");
    m->round = 7;
    m->attempt = 2;
    m->outcome = TG_CRASHED;
    m->unpaired = 1;
    snprintf(m->facts.host, sizeof m->facts.host, "node-1");
    m->facts.load = 0.1 + 0.2;
    m->facts.peak_bytes = INT64_C(8999999999999999);
    struct tg_series *s = tg_measurement_add(m, "call_time", AWKWARD_COUNT);
    assert_non_null(s);
    for (size_t i = 0; i < AWKWARD_COUNT; i++) {
        s->samples[i] = awkward[i];
        s->turns[i] = (int64_t)(AWKWARD_COUNT - i);
        s->begun[i] = INT64_C(9007199254740992) - (int64_t)i;
    }
    s = tg_measurement_add(m, "kernel_accuracy", 1);
    assert_non_null(s);
    s->samples[0] = -0.99999999999999989;
    assert_non_null(tg_measurement_add(m, "codec_exact", 0));
}

static void a_line_comes_back_to_the_last_bit(void **state)
{
    (void)state;
    struct tg_measurement m, back;
    struct tg_error err;
    fill(&m);
    char *line = tg_measurement_to_json(&m);
    assert_null(strchr(line, '\n'));
    if (tg_measurement_from_json(line, &back, &err) < 0) fail_msg("%s", err.text);
    assert_memory_equal(&back.cell, &m.cell, sizeof m.cell);
    assert_memory_equal(&back.facts.load, &m.facts.load, sizeof m.facts.load);
    assert_string_equal(back.facts.host, "node-1");
    assert_true(back.facts.peak_bytes == m.facts.peak_bytes);
    assert_true(isnan(back.facts.steal_s));
    assert_string_equal(back.block, m.block);
    assert_string_equal(back.reason, m.reason);
    assert_true(back.round == 7 && back.attempt == 2 && back.unpaired == 1);
    assert_int_equal(back.outcome, TG_CRASHED);
    assert_int_equal(back.series_count, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct tg_series *a = &m.series[i], *b = &back.series[i];
        assert_string_equal(a->metric, b->metric);
        assert_int_equal(a->count, b->count);
        if (!a->count) continue;
        assert_memory_equal(a->samples, b->samples, a->count * sizeof *a->samples);
        assert_memory_equal(a->turns, b->turns, a->count * sizeof *a->turns);
        assert_memory_equal(a->begun, b->begun, a->count * sizeof *a->begun);
    }
    char *again = tg_measurement_to_json(&back);
    assert_string_equal(line, again);
    free(line);
    free(again);
    tg_measurement_free(&m);
    tg_measurement_free(&back);
}

static void a_copy_is_whole_and_its_own(void **state)
{
    (void)state;
    struct tg_measurement m;
    fill(&m);
    char *line = tg_measurement_to_json(&m);
    struct tg_measurement *copy = tg_measurement_copy(&m);
    assert_non_null(copy);
    for (size_t i = 0; i < m.series_count; i++) {
        if (m.series[i].count) m.series[i].samples[0] = 5;
        assert_string_equal(copy->series[i].metric, m.series[i].metric);
    }
    tg_measurement_free(&m);
    char *copied = tg_measurement_to_json(copy);
    assert_string_equal(copied, line);
    free(line);
    free(copied);
    tg_measurement_free(copy);
    free(copy);
}

static void a_new_measurement_has_its_defaults(void **state)
{
    (void)state;
    struct tg_measurement m;
    tg_measurement_init(&m);
    assert_int_equal(m.attempt, 1);
    assert_int_equal(m.round, 0);
    assert_int_equal(m.outcome, TG_MEASURED);
    assert_string_equal(m.cell.build, "head");
    assert_string_equal(m.facts.host, "unknown");
    assert_int_equal(m.facts.rank, -1);
    assert_true(isnan(m.facts.load));
    assert_null(tg_measurement_series(&m, "call_time"));
    tg_measurement_free(&m);
    tg_measurement_free(&m);
}

static void every_outcome_has_its_word(void **state)
{
    (void)state;
    static const char *const words[] = {"measured", "wrong", "crashed", "late", "skipped"};
    for (int o = TG_MEASURED; o <= TG_SKIPPED; o++) {
        struct tg_measurement m, back;
        tg_measurement_init(&m);
        m.outcome = (enum tg_outcome)o;
        assert_string_equal(tg_measurement_outcome(m.outcome), words[o]);
        char *line = tg_measurement_to_json(&m);
        assert_int_equal(tg_measurement_from_json(line, &back, NULL), 0);
        assert_int_equal(back.outcome, o);
        free(line);
        tg_measurement_free(&back);
    }
}

static void a_sample_that_is_no_number_does_not_come_in(void **state)
{
    (void)state;
    static const double numbers[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        struct tg_measurement m, back;
        struct tg_error err;
        tg_measurement_init(&m);
        struct tg_series *s = tg_measurement_add(&m, "call_time", 1);
        assert_non_null(s);
        s->samples[0] = numbers[i];
        char *line = tg_measurement_to_json(&m);
        assert_int_equal(tg_measurement_from_json(line, &back, &err), -1);
        assert_string_equal(err.text,
                            "measurement: line 1: series[0].samples[0]: a number is expected");
        free(line);
        tg_measurement_free(&m);
    }
}

/* clang-format off */
#define FRONT "{\"tritgate_measurement\": 1, \"cell\": \"probe=kernel\", \"block\": \"b\", "
#define HEAD FRONT "\"round\": 0, \"attempt\": 1, \"outcome\": \"measured\", \"unpaired\": 0, "
#define TAIL "\"reason\": \"\", \"facts\": {}, \"series\": []}"
#define SERIES(series) HEAD "\"reason\": \"\", \"facts\": {}, \"series\": [" series "]}"
/* clang-format on */

static void the_least_line_is_taken(void **state)
{
    (void)state;
    struct tg_measurement m;
    struct tg_error err;
    if (tg_measurement_from_json(HEAD TAIL, &m, &err) < 0) fail_msg("%s", err.text);
    assert_string_equal(m.cell.probe, "kernel");
    assert_int_equal(m.series_count, 0);
    tg_measurement_free(&m);
}

static void assert_refused(const char *line, const char *sentence)
{
    struct tg_measurement m;
    struct tg_error err;
    if (tg_measurement_from_json(line, &m, &err) == 0) fail_msg("taken: %s", line);
    assert_memory_equal(err.text, "measurement: ", 13);
    assert_string_equal(err.text + 13, sentence);
}

static void a_line_with_another_head_is_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "line 1: not JSON"},
        {"[]", "line 1: an object is expected"},
        {"{}", "line 1: not a measurement"},
        {"{\"tritgate_measurement\": 2}", "line 1: not a measurement"},
        {HEAD TAIL " {}", "line 1: text after the end"},
        {HEAD "\"speed\": 1, " TAIL, "line 1: speed: unknown key 'speed'"},
        {HEAD "\"round\": 1, " TAIL, "line 1: round: key 'round' is given twice"},
        {"{\"tritgate_measurement\": 1}", "line 1: 'cell' is a text"},
        {"{\"tritgate_measurement\": 1, \"cell\": 5}", "line 1: cell: 'cell' is a text"},
        {FRONT "\"outcome\": \"fine\", \"reason\": \"\"}", "line 1: 'round' is a count"},
        {FRONT "\"outcome\": \"fine\", \"attempt\": 1, \"unpaired\": 0, \"round\": 0, " TAIL,
         "line 1: no such outcome 'fine'"},
        {FRONT "\"outcome\": \"a word that is too long\", " TAIL,
         "line 1: outcome: 'outcome' is a text"},
        {FRONT "\"outcome\": \"late\", \"round\": -1, " TAIL, "line 1: round: 'round' is a count"},
        {FRONT "\"outcome\": \"late\", \"round\": 0.5, " TAIL, "line 1: round: 'round' is a count"},
        {FRONT "\"outcome\": \"late\", \"round\": 1e300, " TAIL,
         "line 1: round: 'round' is a count"},
        {FRONT "\"outcome\": \"late\", \"round\": \"0\", " TAIL,
         "line 1: round: 'round' is a count"},
        {FRONT "\"outcome\": \"late\", \"round\": true, " TAIL,
         "line 1: round: 'round' is a count"},
        {FRONT "\"outcome\": \"late\", \"round\": 0, \"attempt\": -2, " TAIL,
         "line 1: attempt: 'attempt' is a count"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_refused(rows[i][0], rows[i][1]);
}

static void a_cell_or_fact_that_is_unknown_is_refused(void **state)
{
    (void)state;
    static const char rest[] = "\"block\": \"b\", \"round\": 0, \"attempt\": 1, \"unpaired\": 0, "
                               "\"outcome\": \"late\", \"reason\": \"\", \"series\": [], ";
    static const char *const rows[][2] = {
        {"\"cell\": \"\", \"facts\": {\"colour\": 1}",
         "line 1: facts.colour: unknown fact 'colour'"},
        {"\"cell\": \"\", \"facts\": {\"host\": 1}", "line 1: facts.host: a name is expected"},
        {"\"cell\": \"\", \"facts\": {\"rank\": 0.5}",
         "line 1: facts.rank: a whole number is expected"},
        {"\"cell\": \"\", \"facts\": []", "line 1: facts: an object is expected"},
        {"\"cell\": \"\"", "line 1: an object is expected"},
        {"\"cell\": \"colour=red\", \"facts\": {}", "cell 'colour=red': unknown axis 'colour'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char line[600];
        snprintf(line, sizeof line, "{\"tritgate_measurement\": 1, %s%s}", rest, rows[i][0]);
        assert_refused(line, rows[i][1]);
    }
}

static void series_that_do_not_fit_are_refused(void **state)
{
    (void)state;
#define TIME "\"metric\": \"call_time\""
    static const char *const rows[][2] = {
        {SERIES("{\"metric\": \"speed\", \"samples\": [], \"turn\": [], \"begun\": []}"),
         "line 1: series[0]: no such metric 'speed'"},
        {SERIES("{" TIME ", \"samples\": [1, 2], \"turn\": [0], \"begun\": [0, 0]}"),
         "line 1: series[0].turn: 'turn' is a list of 2 numbers"},
        {SERIES("{" TIME ", \"samples\": [1], \"turn\": [0], \"begun\": [0, 0]}"),
         "line 1: series[0].begun: 'begun' is a list of 1 numbers"},
        {SERIES("{" TIME ", \"samples\": [1], \"turn\": [0]}"),
         "line 1: series[0]: 'begun' is a list of 1 numbers"},
        {SERIES("{" TIME ", \"turn\": [], \"begun\": []}"),
         "line 1: series[0]: 'samples' is a list of 0 numbers"},
        {SERIES("{" TIME ", \"samples\": 5, \"turn\": [], \"begun\": []}"),
         "line 1: series[0].samples: 'samples' is a list of 0 numbers"},
        {SERIES("{" TIME ", \"samples\": [\"1\"], \"turn\": [0], \"begun\": [0]}"),
         "line 1: series[0].samples[0]: a number is expected"},
        {SERIES("{" TIME ", \"samples\": [1e999], \"turn\": [0], \"begun\": [0]}"),
         "line 1: series[0].samples[0]: number out of range"},
        {SERIES("{" TIME ", \"samples\": [1], \"turn\": [-1], \"begun\": [0]}"),
         "line 1: series[0].turn[0]: a count is expected"},
        {SERIES("{" TIME ", \"samples\": [1], \"turn\": [0.5], \"begun\": [0]}"),
         "line 1: series[0].turn[0]: a count is expected"},
        {SERIES("{" TIME ", \"samples\": [1], \"turn\": [0], \"begun\": [1e300]}"),
         "line 1: series[0].begun[0]: a count is expected"},
        {SERIES("{" TIME ", \"samples\": [], \"turn\": [], \"begun\": [], \"mean\": 1}"),
         "line 1: series[0].mean: unknown key 'mean'"},
        {SERIES("{" TIME ", \"samples\": [], \"turn\": [], \"begun\": []},"
                "{" TIME ", \"samples\": [], \"turn\": [], \"begun\": []}"),
         "line 1: series[1]: metric 'call_time' is given twice"},
        {SERIES("5"), "line 1: series[0]: an object is expected"},
        {HEAD "\"reason\": \"\", \"facts\": {}}", "line 1: 'series' is a list"},
        {HEAD "\"reason\": \"\", \"facts\": {}, \"series\": 5}",
         "line 1: series: 'series' is a list"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_refused(rows[i][0], rows[i][1]);
}

static void an_uptime_of_half_a_year_is_no_reason_to_fail(void **state)
{
    (void)state;
    struct tg_measurement m;
    struct tg_error err;
    const char *line = SERIES("{" TIME ", \"samples\": [1], \"turn\": [0],"
                              " \"begun\": [15552000000000001]}");
    if (tg_measurement_from_json(line, &m, &err) < 0) fail_msg("%s", err.text);
    assert_true(m.series[0].begun[0] >= INT64_C(15552000000000000));
    tg_measurement_free(&m);
}

static void only_what_was_begun_and_not_ended_from_outside_broke(void **state)
{
    (void)state;
    static const struct {
        enum tg_outcome outcome;
        int64_t pid, signal;
        bool broke, was_killed;
        double call_s; /* 0: unknown */
    } rows[] = {
        {TG_MEASURED, 7, 0, false, false},     {TG_WRONG, 7, 0, false, false},
        {TG_CRASHED, 7, SIGSEGV, true, false}, {TG_CRASHED, -1, 0, true, false},
        {TG_CRASHED, 7, SIGKILL, false, true}, {TG_CRASHED, -1, SIGTERM, false, true},
        {TG_CRASHED, 7, SIGINT, false, true},  {TG_CRASHED, 7, SIGHUP, false, true},
        {TG_LATE, 7, SIGKILL, true, false}, /* its deadline was ours */
        {TG_SKIPPED, 7, 0, true, false},       {TG_SKIPPED, -1, 0, false, false},
        {TG_SKIPPED, 7, 0, false, false, 0.6}, /* called, and too slow for its round */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_measurement m;
        tg_measurement_init(&m);
        m.outcome = rows[i].outcome;
        m.facts.pid = rows[i].pid;
        m.facts.end_signal = rows[i].signal;
        if (rows[i].call_s > 0) m.facts.call_s = rows[i].call_s;
        assert_int_equal(tg_measurement_broke(&m), rows[i].broke);
        assert_int_equal(tg_measurement_was_killed(&m), rows[i].was_killed);
        tg_measurement_free(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_comes_back_to_the_last_bit),
        cmocka_unit_test(a_copy_is_whole_and_its_own),
        cmocka_unit_test(a_new_measurement_has_its_defaults),
        cmocka_unit_test(every_outcome_has_its_word),
        cmocka_unit_test(a_sample_that_is_no_number_does_not_come_in),
        cmocka_unit_test(the_least_line_is_taken),
        cmocka_unit_test(a_line_with_another_head_is_refused),
        cmocka_unit_test(a_cell_or_fact_that_is_unknown_is_refused),
        cmocka_unit_test(series_that_do_not_fit_are_refused),
        cmocka_unit_test(an_uptime_of_half_a_year_is_no_reason_to_fail),
        cmocka_unit_test(only_what_was_begun_and_not_ended_from_outside_broke),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
