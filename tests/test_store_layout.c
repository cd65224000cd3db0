/* SPDX-License-Identifier: Apache-2.0 */
#include "results/store_layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tg_measurement example(void)
{
    struct tg_measurement m;
    tg_measurement_init(&m);
    assert_int_equal(tg_cell_parse("probe=kernel batch=8", &m.cell, NULL), 0);
    snprintf(m.block, sizeof m.block, "a | b");
    snprintf(m.reason, sizeof m.reason, "killed");
    snprintf(m.facts.host, sizeof m.facts.host, "node");
    m.outcome = TG_LATE;
    m.round = 3;
    m.attempt = 2;
    m.unpaired = 1;
    return m;
}

static const struct tg_store_columns *all(void)
{
    static struct tg_store_columns columns;
    tg_store_layout_columns(-1, &columns);
    return &columns;
}

static void a_row_is_its_measurement(void **state)
{
    (void)state;
    struct tg_measurement m = example(), back;
    struct tg_store_row row;
    char digest[TG_DIGEST_SIZE] = "d";
    tg_store_layout_to_row(&m, digest, &row);
    assert_ptr_equal(row.block, m.block);
    assert_string_equal(row.outcome, "late");
    assert_string_equal(row.digest, "d");
    assert_int_equal(tg_store_layout_from_row(&row, all(), &back, NULL), 0);
    char *line = tg_measurement_to_json(&m), *again = tg_measurement_to_json(&back);
    assert_string_equal(line, again);
    free(line);
    free(again);
}

static void a_row_of_a_foreign_file_is_read_with_care(void **state)
{
    (void)state;
    struct tg_measurement m = example(), back;
    struct tg_store_row row;
    struct tg_error err;
    char digest[TG_DIGEST_SIZE] = "d";
    tg_store_layout_to_row(&m, digest, &row);
    row.block = row.reason = NULL;
    memset(row.cell.kernel, 'k', sizeof row.cell.kernel);
    memcpy(row.facts.host, "node\0hidden", 11);
    assert_int_equal(tg_store_layout_from_row(&row, all(), &back, &err), 0);
    assert_string_equal(back.block, "");
    assert_int_equal(strlen(back.cell.kernel), TG_TEXT_SIZE - 1);
    assert_memory_equal(back.facts.host, "node\0\0\0\0\0\0\0", 11);

    memset(row.outcome, 'x', sizeof row.outcome);
    assert_int_equal(tg_store_layout_from_row(&row, all(), &back, &err), -1);
    assert_string_equal(err.text, "no such outcome 'xxxxxxxxxxxxxxx'");
}

static void the_chain_begins_with_all_that_was_asked(void **state)
{
    (void)state;
    static const struct tg_store_plan plans[] = {
        {"a", "b", "c"}, {"x", "b", "c"}, {"a", "x", "c"}, {"a", "b", "x"},
        {"ab", "", "c"}, {"", "ab", "c"}, {"a", "bc", ""},
    };
    enum { COUNT = sizeof plans / sizeof *plans };
    char digests[COUNT][TG_DIGEST_SIZE];
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(tg_store_layout_plan_digest(&plans[i], digests[i], NULL), 0);
        for (size_t k = 0; k < i; k++) assert_string_not_equal(digests[i], digests[k]);
    }
}

static void a_digest_is_of_the_row_before_and_of_the_whole_row(void **state)
{
    (void)state;
    struct tg_measurement m = example();
    struct tg_series *s = tg_measurement_add(&m, "call_time", 2);
    char digests[8][TG_DIGEST_SIZE];
    assert_non_null(s);
    tg_store_layout_row_digest("before", &m, &tg_facts_type, digests[0], NULL);
    tg_store_layout_row_digest("Before", &m, &tg_facts_type, digests[1], NULL);
    s->samples[1] = 5e-324;
    tg_store_layout_row_digest("before", &m, &tg_facts_type, digests[2], NULL);
    s->turns[1] = 1;
    tg_store_layout_row_digest("before", &m, &tg_facts_type, digests[3], NULL);
    s->begun[0] = 1;
    tg_store_layout_row_digest("before", &m, &tg_facts_type, digests[4], NULL);
    m.unpaired = 0;
    tg_store_layout_row_digest("before", &m, &tg_facts_type, digests[5], NULL);
    m.reason[0] = 'K';
    tg_store_layout_row_digest("before", &m, &tg_facts_type, digests[6], NULL);
    m.facts.switches = 0;
    tg_store_layout_row_digest("before", &m, &tg_facts_type, digests[7], NULL);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(strlen(digests[i]), TG_DIGEST_SIZE - 1);
        for (size_t k = 0; k < i; k++) assert_string_not_equal(digests[i], digests[k]);
    }
    tg_measurement_free(&m);
}

static void a_fact_that_a_file_does_not_have_is_not_in_its_digests(void **state)
{
    (void)state;
    struct tg_measurement m = example();
    char with[2][TG_DIGEST_SIZE], without[2][TG_DIGEST_SIZE];
    struct tg_record_type less = tg_facts_type;
    const char *last = less.fields[--less.field_count].name;
    for (int i = 0; i < 2; i++) {
        tg_store_layout_row_digest("before", &m, &tg_facts_type, with[i], NULL);
        tg_store_layout_row_digest("before", &m, &less, without[i], NULL);
        assert_int_equal(tg_record_set(&tg_facts_type, &m.facts, last, "100", NULL), 0);
    }
    assert_string_not_equal(with[0], with[1]);
    assert_string_equal(without[0], without[1]);
    assert_string_not_equal(with[0], without[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_its_measurement),
        cmocka_unit_test(a_row_of_a_foreign_file_is_read_with_care),
        cmocka_unit_test(the_chain_begins_with_all_that_was_asked),
        cmocka_unit_test(a_digest_is_of_the_row_before_and_of_the_whole_row),
        cmocka_unit_test(a_fact_that_a_file_does_not_have_is_not_in_its_digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
