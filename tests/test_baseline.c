/* SPDX-License-Identifier: Apache-2.0 */
#include "results/baseline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/made_baseline.h"

static char *text_of(const struct tg_baseline *b)
{
    struct tg_error err;
    struct tg_json *json = tg_baseline_to_json(b, &err);
    if (!json) fail_msg("%s", err.text);
    char *text = tg_json_print(json, true);
    tg_json_free(json);
    return text;
}

static int read_text(const char *text, struct tg_baseline *b, struct tg_error *err)
{
    struct tg_json_file file;
    if (tg_json_parse(text, &file, err) < 0) return -1;
    int rc = tg_baseline_from_json(&file, file.root, b, err);
    tg_json_release(&file);
    return rc;
}

static void what_is_written_is_read_to_the_last_bit(void **state)
{
    (void)state;
    struct tg_baseline before = made_baseline(), after;
    struct tg_error err;
    made_session(&before, 'c', log(1e-4) + 1e-15);
    made_session(&before, 'd', -9.2 / 3);
    memset(before.key.model, 'e', sizeof before.key.model - 1);
    char *text = text_of(&before);
    if (read_text(text, &after, &err) < 0) fail_msg("%s", err.text);
    char *again = text_of(&after);
    assert_string_equal(again, text);
    assert_memory_equal(&after.key, &before.key, sizeof after.key);
    assert_true(after.cells[0].values[1].value == -9.2 / 3);
    assert_true(isnan(after.cells[0].values[1].canary_read));
    assert_string_equal(after.sessions[1].date, "2026-03-02T12:00:00Z");
    free(text);
    free(again);
    tg_baseline_release(&before);
    tg_baseline_release(&after);
}

/* Every change of a letter or digit is noticed, but for one that makes the digest's own spelling
 * wrong, which is noticed too. */
static void an_edited_one_is_refused(void **state)
{
    (void)state;
    struct tg_baseline b = made_baseline(), read = {.session_count = 77};
    struct tg_error err;
    size_t edits = 0;
    made_session(&b, 'c', -9.2);
    made_session(&b, 'd', -9.21);
    char *text = text_of(&b);
    for (size_t i = 0; text[i]; i++) {
        char was = text[i];
        if (was < '0' || was == '"' || was == '[' || was == ']' || was == '{' || was == '}')
            continue;
        text[i] = was == '5' ? '6' : '5';
        if (read_text(text, &read, &err) == 0) fail_msg("taken with an edit at byte %zu", i);
        text[i] = was;
        edits++;
    }
    assert_true(edits > 500);
    assert_int_equal(read.session_count, 77);
    char *last = strrchr(text, '}');
    memcpy(last, ",\"x\":1}", 8);
    assert_int_equal(read_text(text, &read, &err), -1);
    assert_non_null(strstr(err.text, "unknown key 'x'"));
    free(text);
    tg_baseline_release(&b);
}

static void its_name_is_of_its_key_and_its_library(void **state)
{
    (void)state;
    struct tg_baseline a = made_baseline(), b = made_baseline();
    char first[TG_TEXT_SIZE], second[TG_TEXT_SIZE];
    assert_int_equal(tg_baseline_name(&a, first, NULL), 0);
    assert_int_equal(strlen(first), 16);
    made_session(&b, 'c', -9.2);
    snprintf(b.created, sizeof b.created, "2027-01-01T00:00:00Z");
    assert_int_equal(tg_baseline_name(&b, second, NULL), 0);
    assert_string_equal(first, second);
    b.library[0] = '2';
    assert_int_equal(tg_baseline_name(&b, second, NULL), 0);
    assert_string_not_equal(first, second);
    b.library[0] = '1';
    b.key.policy[0] = 'c';
    assert_int_equal(tg_baseline_name(&b, second, NULL), 0);
    assert_string_not_equal(first, second);
    b.key.policy[0] = 'a';
    memset(b.key.program, 'd', sizeof b.key.program - 1);
    assert_int_equal(tg_baseline_name(&b, second, NULL), 0);
    assert_string_not_equal(first, second);
    tg_baseline_release(&a);
    tg_baseline_release(&b);
}

static void a_key_that_differs_is_told_with_both_values(void **state)
{
    (void)state;
    struct tg_baseline a = made_baseline(), b = made_baseline();
    char text[800];
    assert_string_equal(tg_baseline_difference(&a.key, &b.key, text, sizeof text), "");
    snprintf(b.key.hardware, sizeof b.key.hardware, "fedcba9876543210");
    snprintf(b.key.machine, sizeof b.key.machine, "microcode=0x2b000590 cores=32");
    assert_string_equal(tg_baseline_difference(&a.key, &b.key, text, sizeof text),
                        "microcode 0x2b000461 here, 0x2b000590 there");
    b.key.policy[0] = 'f';
    snprintf(b.key.models, sizeof b.key.models, "bitnet-2b,bitnet-7b");
    assert_string_equal(tg_baseline_difference(&a.key, &b.key, text, sizeof text),
                        "microcode 0x2b000461 here, 0x2b000590 there; models bitnet-2b here, "
                        "bitnet-2b,bitnet-7b there; policy aaaaaaaaaaaaaaaa here, "
                        "faaaaaaaaaaaaaaa there");
    tg_baseline_difference(&a.key, &b.key, text, 20);
    assert_int_equal(strlen(text), 19);
    tg_baseline_release(&a);
    tg_baseline_release(&b);
}

/* Texts that differ only behind what is shown of them would be told as equal. */
static void digests_that_begin_alike_are_shown_whole(void **state)
{
    (void)state;
    struct tg_baseline a = made_baseline(), b = made_baseline();
    char text[800];
    b.key.matrix[40] = 'c';
    tg_baseline_difference(&a.key, &b.key, text, sizeof text);
    assert_non_null(strstr(text, a.key.matrix));
    assert_non_null(strstr(text, b.key.matrix));
    tg_baseline_release(&a);
    tg_baseline_release(&b);
}

static void a_session_is_taken_once(void **state)
{
    (void)state;
    struct tg_baseline a = made_baseline(), b = made_baseline();
    made_session(&a, 'c', -9.20);
    made_session(&a, 'd', -9.21);
    made_session(&b, 'd', -9.21);
    made_session(&b, 'e', -9.22);
    struct tg_baseline_cell *other = tg_baseline_add_cell(&b);
    *other = b.cells[0];
    other->values = NULL;
    other->count = 0;
    snprintf(other->block, sizeof other->block, MADE_CELL);
    *tg_baseline_add_value(other) = (struct tg_baseline_value){.session = 1, .rounds = 7};
    assert_int_equal(tg_baseline_merge(&a, &b, NULL), 0);
    assert_int_equal(a.session_count, 3);
    assert_int_equal(a.sessions[2].run[0], 'e');
    assert_int_equal(a.cell_count, 2);
    assert_int_equal(a.cells[0].count, 3);
    assert_int_equal(a.cells[0].values[2].session, 2);
    assert_true(a.cells[0].values[2].value == -9.22);
    assert_int_equal(a.cells[1].count, 1);
    assert_int_equal(a.cells[1].values[0].session, 2);
    assert_ptr_equal(tg_baseline_find(&a, MADE_CELL, "call_time", MADE_CELL), &a.cells[1]);
    assert_null(tg_baseline_find(&a, MADE_CELL, "other_time", MADE_CELL));
    tg_baseline_release(&a);
    tg_baseline_release(&b);
}

static void sessions_agree_within_three_margins(void **state)
{
    (void)state;
    struct tg_baseline b = made_baseline();
    struct tg_error err;
    made_session(&b, 'c', log(1.00e-4));
    assert_int_equal(tg_baseline_agree(&b, &err), -1);
    assert_string_equal(err.text, "a baseline needs two runs that agree");
    made_session(&b, 'd', log(1.04e-4));
    if (tg_baseline_agree(&b, &err) < 0) fail_msg("%s", err.text);
    made_session(&b, 'e', log(0.92e-4));
    if (tg_baseline_agree(&b, &err) < 0) fail_msg("%s", err.text);
    b.cells[0].values[2].value = log(0.88e-4);
    assert_int_equal(tg_baseline_agree(&b, &err), -1);
    assert_string_equal(err.text,
                        "the runs do not agree: call_time of " MADE_CELL
                        " is 0.088 in one and 0.104 in another as a multiple of its canary, 18.2 % "
                        "apart, and less than 15.8 %, 3 margins, is demanded");
    b.cells[0].values[2].value = log(1e-4) - 3 * log(1.05) + log(1.04); /* exactly three */
    assert_int_equal(tg_baseline_agree(&b, &err), -1);

    /* A machine that was slower as a whole: its canary says so. */
    b.cells[0].values[2].value = log(2.04e-4);
    b.cells[0].values[2].canary_dot = log(2e-3);
    if (tg_baseline_agree(&b, &err) < 0) fail_msg("%s", err.text);
    snprintf(b.cells[0].canary, sizeof b.cells[0].canary, "none");
    assert_int_equal(tg_baseline_agree(&b, &err), -1);
    snprintf(b.cells[0].canary, sizeof b.cells[0].canary, "read");
    assert_int_equal(tg_baseline_agree(&b, &err), -1);
    assert_non_null(strstr(err.text, "no number"));
    tg_baseline_release(&b);
}

/* As of two shards of one run, or of runs with other filters. */
static void sessions_without_a_cell_in_common_agree_on_nothing(void **state)
{
    (void)state;
    struct tg_baseline b = made_baseline();
    struct tg_error err;
    made_session(&b, 'c', log(1e-4));
    made_session(&b, 'd', log(1e-4));
    assert_int_equal(tg_baseline_agree(&b, &err), 0);
    b.cells[0].count = 1;
    assert_int_equal(tg_baseline_agree(&b, &err), -1);
    assert_string_equal(err.text, "no cell was measured in two of the runs: nothing agrees");
    tg_baseline_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_to_the_last_bit),
        cmocka_unit_test(an_edited_one_is_refused),
        cmocka_unit_test(its_name_is_of_its_key_and_its_library),
        cmocka_unit_test(a_key_that_differs_is_told_with_both_values),
        cmocka_unit_test(digests_that_begin_alike_are_shown_whole),
        cmocka_unit_test(a_session_is_taken_once),
        cmocka_unit_test(sessions_agree_within_three_margins),
        cmocka_unit_test(sessions_without_a_cell_in_common_agree_on_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
