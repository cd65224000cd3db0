/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

static const char policy[] =
    "{\"tritgate_policy\": 1, \"flow\": \"generative\", \"guard\": {\"env\": \"TG_TEST_FLOW\","
    " \"equals\": \"generative\", \"else\": \"skipped (out-of-scope)\", \"gate\": \"guard\","
    " \"exit\": 2}}";

static char reason[TG_TEXT_SIZE];

static bool stops(const char *text, const char *value, char *line, int *status)
{
    line[0] = 0;
    if (value)
        setenv("TG_TEST_FLOW", value, 1);
    else
        unsetenv("TG_TEST_FLOW");
    struct tg_guard_word word;
    if (!tg_guard_stops(text, &word)) return false;
    memcpy(line, word.line, 200);
    *status = word.status;
    snprintf(reason, sizeof reason, "%s", word.reason);
    return true;
}

static void another_flow_stops_the_run_and_its_own_does_not(void **state)
{
    (void)state;
    char line[200];
    int status = 7;
    assert_false(stops(policy, NULL, line, &status));
    assert_false(stops(policy, "", line, &status));
    assert_false(stops(policy, "generative", line, &status));
    assert_string_equal(line, "");
    assert_int_equal(status, 7);
    assert_true(stops(policy, "review", line, &status));
    assert_string_equal(line, "generative:gate:guard = skipped (out-of-scope)");
    assert_int_equal(status, 2);
    assert_string_equal(reason, "out-of-scope");
    assert_true(stops(policy, "generativ", line, &status));
}

static void a_text_without_a_guard_stops_nothing(void **state)
{
    (void)state;
    char line[200];
    int status;
    assert_false(stops("{\"tritgate_policy\": 1, \"flow\": \"f\"}", "review", line, &status));
    assert_false(stops("{", "review", line, &status));
    assert_false(stops("[]", "review", line, &status));
}

/* What is measured nowhere has not passed, whatever a policy calls it. */
static void a_guard_that_is_not_sound_stops_nothing(void **state)
{
    (void)state;
#define GUARD(otherwise, status)                                                                   \
    "{\"flow\": \"f\", \"guard\": {\"env\": \"TG_TEST_FLOW\", \"equals\": \"a\", \"else\": "       \
    "\"" otherwise "\", \"gate\": \"g\", \"exit\": " status "}}"
    char line[200];
    int status = 7;
    assert_true(stops(GUARD("skipped", "0"), "b", line, &status));
    assert_string_equal(reason, "guard");
    status = 7;
    assert_false(stops(GUARD("pass", "0"), "b", line, &status));
    assert_false(stops(GUARD("skipped", "256"), "b", line, &status));
    assert_false(stops(GUARD("skipped", "0.5"), "b", line, &status));
    assert_false(stops(GUARD("skipped", "\"0\""), "b", line, &status));
    assert_false(stops("{\"guard\": {\"env\": \"TG_TEST_FLOW\"}}", "b", line, &status));
    assert_int_equal(status, 7);
}

static void the_generative_flow_has_the_guard_of_its_document(void **state)
{
    (void)state;
    struct tg_json_file file;
    struct tg_error err;
    struct tg_guard_word word;
    if (tg_json_read(TG_TEST_DATA "/../../matrix/policy/generative.json", &file, &err) < 0)
        fail_msg("%s", err.text);
    setenv("CURRENT_FLOW", "review", 1);
    assert_true(tg_guard_stops(file.text, &word));
    assert_string_equal(word.line, "generative:gate:guard = skipped (out-of-scope)");
    assert_string_equal(word.flow, "generative");
    assert_int_equal(word.status, 0);
    tg_json_release(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_flow_stops_the_run_and_its_own_does_not),
        cmocka_unit_test(a_text_without_a_guard_stops_nothing),
        cmocka_unit_test(a_guard_that_is_not_sound_stops_nothing),
        cmocka_unit_test(the_generative_flow_has_the_guard_of_its_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
