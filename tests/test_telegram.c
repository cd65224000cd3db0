/* SPDX-License-Identifier: Apache-2.0 */
#include "results/telegram.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const double awkward[] = {0.1,     1.0 / 3, 1e-300,   DBL_TRUE_MIN, 1 + DBL_EPSILON,
                                 DBL_MAX, 1e22,    2.5e-310, 1e-5,         -0.0};
#define AWKWARD_COUNT (sizeof awkward / sizeof *awkward)

static void fill(struct tg_measurement *m)
{
    tg_measurement_init(m);
    assert_int_equal(tg_cell_parse("probe=kernel kernel=i2s_avx2 batch=8", &m->cell, NULL), 0);
    snprintf(m->block, sizeof m->block, "probe=kernel kernel=i2s_avx2 batch=8 | b");
    snprintf(m->reason, sizeof m->reason, "died: \"signal 11\"\n\ttail {of its} \\ \xc3\xa9 \n");
    m->round = 7;
    m->attempt = INT64_MAX;
    m->outcome = TG_CRASHED;
    m->unpaired = 1;
    struct tg_series *s = tg_measurement_add(m, "call_time", AWKWARD_COUNT);
    assert_non_null(s);
    for (size_t i = 0; i < AWKWARD_COUNT; i++) {
        s->samples[i] = awkward[i];
        s->turns[i] = (int64_t)(AWKWARD_COUNT - i);
        s->begun[i] = INT64_C(9007199254740993) + (int64_t)i; /* which no double can hold */
    }
    s = tg_measurement_add(m, "kernel_accuracy", 1);
    assert_non_null(s);
    s->samples[0] = -0.99999999999999989;
    assert_non_null(tg_measurement_add(m, "codec_exact", 0));
}

/* Every fact different from its default, from the others, and from what another call knows. */
static void know_facts(struct tg_facts *facts, size_t salt)
{
    for (size_t i = 0; i < tg_facts_type.field_count; i++) {
        const struct tg_field *field = &tg_facts_type.fields[i];
        char value[64];
        if (field->kind == TG_TEXT)
            snprintf(value, sizeof value, "a=%zu:\xc3\xa9\"%zu\\", i, salt);
        else if (field->kind == TG_COUNT)
            snprintf(value, sizeof value, "%zu%018zu", 1 + salt, i + 2);
        else
            snprintf(value, sizeof value, "%.17g", (double)(i + 2) / (3 + (double)salt));
        assert_int_equal(tg_record_set(&tg_facts_type, facts, field->name, value, NULL), 0);
    }
}

/* Reads a telegram that is alone in its message. */
static int read_one(const char *text, struct tg_measurement *m, struct tg_error *err)
{
    const size_t size = strlen(text) + 32;
    char *message = malloc(size), *at = message;
    assert_non_null(message);
    snprintf(message, size, "%zu %s\n", strlen(text), text);
    struct tg_measurement *read = tg_telegrams_next(&at, NULL, err);
    if (read) {
        assert_string_equal(at, "");
        *m = *read;
    }
    free(read);
    free(message);
    return read ? 0 : -1;
}

static struct tg_measurement sent(const struct tg_measurement *m)
{
    struct tg_measurement back;
    struct tg_error err;
    char *text = tg_telegram_text(m, NULL);
    assert_non_null(text);
    if (read_one(text, &back, &err) < 0) fail_msg("%s", err.text);
    free(text);
    return back;
}

static void a_measurement_comes_back_to_the_last_bit(void **state)
{
    (void)state;
    for (size_t salt = 0; salt < 3; salt++) {
        struct tg_measurement m;
        fill(&m);
        if (salt) know_facts(&m.facts, salt);
        struct tg_measurement back = sent(&m);
        assert_memory_equal(&back.cell, &m.cell, sizeof m.cell);
        assert_memory_equal(&back.facts, &m.facts, sizeof m.facts);
        assert_string_equal(back.block, m.block);
        assert_string_equal(back.reason, m.reason);
        assert_true(back.round == 7 && back.attempt == INT64_MAX && back.unpaired == 1);
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
        char *line = tg_measurement_to_json(&m), *again = tg_measurement_to_json(&back);
        assert_string_equal(line, again);
        free(line);
        free(again);
        tg_measurement_free(&m);
        tg_measurement_free(&back);
    }
}

static void every_outcome_is_told_and_what_is_not_known_stays_so(void **state)
{
    (void)state;
    for (int o = TG_MEASURED; o <= TG_SKIPPED; o++) {
        struct tg_measurement m;
        tg_measurement_init(&m);
        m.outcome = (enum tg_outcome)o;
        struct tg_measurement back = sent(&m);
        assert_int_equal(back.outcome, o);
        assert_memory_equal(&back.cell, &m.cell, sizeof m.cell);
        assert_memory_equal(&back.facts, &m.facts, sizeof m.facts);
        assert_true(!*back.block && !*back.reason && back.round == 0 && back.attempt == 1);
        assert_true(back.session == 0 && back.unpaired == 0);
        assert_true(!back.series && back.series_count == 0);
    }
}

static void a_fact_that_is_not_finite_is_none_as_in_a_line(void **state)
{
    (void)state;
    struct tg_measurement m;
    tg_measurement_init(&m);
    m.facts.load = INFINITY;
    struct tg_measurement back = sent(&m);
    assert_true(isnan(back.facts.load));
}

static void a_text_that_was_cut_is_refused(void **state)
{
    (void)state;
    struct tg_measurement m, back;
    fill(&m);
    know_facts(&m.facts, 1);
    char *text = tg_telegram_text(&m, NULL);
    assert_non_null(text);
    size_t end = strlen(text) - strlen(m.reason);
    for (size_t length = 0; length < end; length++) {
        struct tg_error err;
        char *cut = strndup(text, length);
        if (read_one(cut, &back, &err) == 0) fail_msg("taken: %s", cut);
        if (strncmp(err.text, "telegram: ", 10) != 0) fail_msg("%s", err.text);
        free(cut);
    }
    text[end] = 0;
    assert_int_equal(read_one(text, &back, NULL), 0);
    assert_string_equal(back.reason, "");
    tg_measurement_free(&back);
    tg_measurement_free(&m);
    free(text);
}

#define FRONT   "probe=kernel\nb\n"
#define NUMBERS FRONT "0 1 0 0 1\n\n"
#define ONE     "3ff0000000000000"

static void assert_refused(const char *text, const char *why)
{
    struct tg_measurement m;
    struct tg_error err;
    if (read_one(text, &m, &err) == 0) fail_msg("taken: %s", text);
    assert_int_equal(strncmp(err.text, "telegram: ", 10), 0);
    assert_string_equal(err.text + 10, why);
}

static void what_is_unusable_is_refused_with_its_reason(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "its block is missing"},
        {"colour=red\nb\n0 1 0 0 0\n\n", "cell 'colour=red': unknown axis 'colour'"},
        {FRONT "0 1 0 0\n\n", "its numbers are not five counts"},
        {FRONT "0 1 0 0 0 0\n\n", "its numbers are not five counts"},
        {FRONT "-1 1 0 0 0\n\n", "its numbers are not five counts"},
        {FRONT "0 1 0 9223372036854775808 0\n\n", "its numbers are not five counts"},
        {FRONT "0 1 5 0 0\n\n", "no such outcome '5'"},
        {FRONT "0 1 0 0 0\n", "its facts are missing"},
        {FRONT "0 1 0 0 0\nhost=a host=b\n", "fact 'host' is unknown, or not in its place"},
        {FRONT "0 1 0 0 0\nhue=1\n", "fact 'hue' is unknown, or not in its place"},
        {FRONT "0 1 0 0 0\nrank=1 host=a\n", "fact 'host' is unknown, or not in its place"},
        {FRONT "0 1 0 0 0\nhost\n", "'host' is not of the form fact=value"},
        {FRONT "0 1 0 0 0\nrank=\n", "fact 'rank': unusable value ''"},
        {FRONT "0 1 0 0 0\nrank=1x\n", "fact 'rank': unusable value '1x'"},
        {FRONT "0 1 0 0 0\nload=1.5\n", "fact 'load': unusable value '1.5'"},
        {FRONT "0 1 0 0 0\nload=7ff0000000000000\n",
         "fact 'load': unusable value '7ff0000000000000'"},
        {FRONT "0 1 0 0 0\nload=3ff00000000000000\n",
         "fact 'load': unusable value '3ff00000000000000'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_refused(rows[i][0], rows[i][1]);
}

static void series_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {NUMBERS, "a series is missing"},
        {NUMBERS "call_time\n", "a series is missing"},
        {NUMBERS "speed 1\n1\n0\n0\n", "no such metric 'speed'"},
        {NUMBERS "call_time -1\n1\n0\n0\n", "metric 'call_time': its length is no count"},
        {NUMBERS "call_time 1 1\n1\n0\n0\n", "metric 'call_time': its length is no count"},
        {NUMBERS "call_time 4611686018427387904\n1\n0\n0\n",
         "metric 'call_time': its length is no count"},
        {NUMBERS "call_time 1\n7ff8000000000000\n0\n0\n",
         "metric 'call_time' has not 1 samples, turns and begins"},
        {NUMBERS "call_time 1\nfff0000000000000\n0\n0\n",
         "metric 'call_time' has not 1 samples, turns and begins"},
        {NUMBERS "call_time 1\n3FF0000000000000\n0\n0\n",
         "metric 'call_time' has not 1 samples, turns and begins"},
        {NUMBERS "call_time 1\n3ff000000000000\n0\n0\n",
         "metric 'call_time' has not 1 samples, turns and begins"},
        {NUMBERS "call_time 1\n3ff00000000000000\n0\n0\n",
         "metric 'call_time' has not 1 samples, turns and begins"},
        {NUMBERS "call_time 1\n0x1p+0\n0\n0\n",
         "metric 'call_time' has not 1 samples, turns and begins"},
        {NUMBERS "call_time 1\n" ONE " " ONE "\n0\n0\n",
         "metric 'call_time' has not 1 samples, turns and begins"},
        {NUMBERS "call_time 2\n" ONE "\n" ONE "\n0\n0\n",
         "metric 'call_time' has not 2 samples, turns and begins"},
        {NUMBERS "call_time 1\n" ONE "\n-1\n0\n",
         "metric 'call_time' has not 1 samples, turns and begins"},
        {NUMBERS "call_time 1\n" ONE "\n\n0\n",
         "metric 'call_time' has not 1 samples, turns and begins"},
        {NUMBERS "call_time 1\n" ONE "\n0\n0x1\n",
         "metric 'call_time' has not 1 samples, turns and begins"},
        {NUMBERS "call_time 1\n" ONE "\n0\n9223372036854775808\n",
         "metric 'call_time' has not 1 samples, turns and begins"},
        {FRONT "0 1 0 0 2\n\ncall_time 0\n\n\n\ncall_time 0\n\n\n\n",
         "metric 'call_time' is given twice"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_refused(rows[i][0], rows[i][1]);
}

static void the_telegrams_of_a_round_are_one_message(void **state)
{
    (void)state;
    enum { ROWS = 4 };
    struct tg_measurement rows[ROWS], *back[ROWS];
    struct tg_error err;
    for (int i = 0; i < ROWS; i++) {
        fill(&rows[i]);
        rows[i].round = 7 + i;
        if (i == 1 || i == 2) know_facts(&rows[i].facts, 1); /* and then nothing is known again */
    }
    rows[2].facts.load = NAN;
    rows[2].facts.rank = 3;
    char *message = tg_telegrams_text(rows, ROWS);
    assert_non_null(message);
    char *at = tg_telegrams_begin(message);
    assert_non_null(at);
    for (int i = 0; i < ROWS; i++) {
        back[i] = tg_telegrams_next(&at, i ? back[i - 1] : NULL, &err);
        assert_non_null(back[i]);
        assert_int_equal(back[i]->round, 7 + i);
        assert_string_equal(back[i]->reason, rows[i].reason);
        assert_memory_equal(&back[i]->facts, &rows[i].facts, sizeof rows[i].facts);
    }
    assert_string_equal(at, "");
    for (int i = 0; i < ROWS; i++) {
        tg_measurement_free(back[i]);
        free(back[i]);
        tg_measurement_free(&rows[i]);
    }
    free(message);
    char other[] = "{\"done\":[]}", cut[] = "done";
    assert_null(tg_telegrams_begin(other));
    assert_null(tg_telegrams_begin(cut));
}

static void what_is_as_in_the_telegram_before_is_not_said_again(void **state)
{
    (void)state;
    struct tg_measurement row;
    tg_measurement_init(&row);
    know_facts(&row.facts, 1);
    char *text = tg_telegram_text(&row, &row);
    assert_string_equal(text, "\n\n0 1 0 0 0\n\n");
    free(text);
}

static void a_message_that_is_not_as_long_as_it_says_is_refused(void **state)
{
    (void)state;
    static const char *const messages[] = {"1",   "9 " FRONT,
                                           "1 x", "0 x",
                                           "2 x", "-1 x\n",
                                           "x",   " 1 x\n",
                                           "1x",  "9223372036854775807 x\n",
                                           "1 ",  "18446744073709551615 x\n"};
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        struct tg_error err;
        char *message = strdup(messages[i]), *at = message;
        if (tg_telegrams_next(&at, NULL, &err)) fail_msg("taken: %s", messages[i]);
        if (!strstr(err.text, "as long as it says") && !strstr(err.text, "telegram: "))
            fail_msg("%s", err.text);
        free(message);
    }
}

static void a_name_that_is_too_long_is_refused(void **state)
{
    (void)state;
    struct tg_measurement m;
    struct tg_error err;
    char text[2 * TG_BLOCK_TEXT_SIZE + 64], name[TG_BLOCK_TEXT_SIZE + 1] = "";
    memset(name, 'b', TG_BLOCK_TEXT_SIZE);
    snprintf(text, sizeof text, "probe=kernel\n%s\n0 1 0 0 0\n\n", name);
    assert_int_equal(read_one(text, &m, &err), -1);
    snprintf(text, sizeof text, FRONT "0 1 0 0 0\n\n%.*s", (int)sizeof m.reason, name);
    assert_int_equal(read_one(text, &m, &err), -1);
    assert_string_equal(err.text, "telegram: its reason is too long");
    snprintf(text, sizeof text, FRONT "0 1 0 0 0\n\n%.*s", (int)sizeof m.reason - 1, name);
    assert_int_equal(read_one(text, &m, &err), 0);
    assert_int_equal(strlen(m.reason), sizeof m.reason - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_measurement_comes_back_to_the_last_bit),
        cmocka_unit_test(every_outcome_is_told_and_what_is_not_known_stays_so),
        cmocka_unit_test(a_fact_that_is_not_finite_is_none_as_in_a_line),
        cmocka_unit_test(a_text_that_was_cut_is_refused),
        cmocka_unit_test(what_is_unusable_is_refused_with_its_reason),
        cmocka_unit_test(series_that_do_not_fit_are_refused),
        cmocka_unit_test(the_telegrams_of_a_round_are_one_message),
        cmocka_unit_test(what_is_as_in_the_telegram_before_is_not_said_again),
        cmocka_unit_test(a_message_that_is_not_as_long_as_it_says_is_refused),
        cmocka_unit_test(a_name_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
