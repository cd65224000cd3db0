/* SPDX-License-Identifier: Apache-2.0 */
#include "matrix/spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/known_words.h"

#define HEAD "{\"tritgate_matrix\": 1, "

static int parse(const char *text, struct tg_spec *spec, struct tg_error *err)
{
    struct tg_json_file file;
    if (tg_json_parse(text, &file, err) < 0) return -1;
    int rc = tg_spec_parse(&file, &known, spec, err);
    tg_json_release(&file);
    return rc;
}

static struct tg_spec spec_of(const char *text)
{
    struct tg_spec spec;
    struct tg_error err;
    if (parse(text, &spec, &err) < 0) fail_msg("%s", err.text);
    return spec;
}

/* The texts of all cells, a line each. */
static const char *cells(const struct tg_spec *spec)
{
    static char text[8192];
    size_t used = 0;
    *text = 0;
    for (size_t i = 0; i < spec->cell_count && used < sizeof text; i++) {
        char cell[TG_CELL_TEXT_SIZE];
        used += (size_t)snprintf(text + used, sizeof text - used, "%s\n",
                                 tg_cell_text(&spec->cells[i], cell));
    }
    return text;
}

static void assert_cells(const char *matrix, const char *wanted)
{
    struct tg_spec spec = spec_of(matrix);
    assert_string_equal(cells(&spec), wanted);
    tg_spec_release(&spec);
}

static void axes_are_multiplied_the_last_fastest(void **state)
{
    (void)state;
    assert_cells(HEAD "\"axes\": {\"batch\": [1, 8], \"probe\": [\"kernel\"],"
                      "\"layer\": [\"attn_q\", \"640x2560\"]}}",
                 "probe=kernel layer=attn_q\n"
                 "probe=kernel layer=640x2560\n"
                 "probe=kernel layer=attn_q batch=8\n"
                 "probe=kernel layer=640x2560 batch=8\n");
}

static void a_list_of_axes_is_their_union_without_repeats(void **state)
{
    (void)state;
    assert_cells(HEAD "\"axes\": ["
                      "{\"probe\": [\"kernel\"], \"batch\": [1, 2, 2, 1]},"
                      "{\"probe\": [\"kernel\"], \"batch\": [2, 3], \"threads\": [1]},"
                      "{\"probe\": [\"kernel\"]}]}",
                 "probe=kernel\n"
                 "probe=kernel batch=2\n"
                 "probe=kernel batch=3\n");
}

static void a_pattern_stands_for_the_words_that_match(void **state)
{
    (void)state;
    assert_cells(HEAD "\"axes\": {\"probe\": [\"*\"],"
                      "\"kernel\": [\"i2s_scalar\", \"i2s_*\", \"*unpack\"]}}",
                 "probe=kernel kernel=i2s_scalar\n"
                 "probe=kernel kernel=i2s_avx2\n"
                 "probe=kernel kernel=i2s_scalar_unpack\n");
}

static void a_pattern_that_matches_nothing_stays_as_a_cell(void **state)
{
    (void)state;
    assert_cells(HEAD "\"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"tl9_*\", \"i2s_a*\"]}}",
                 "probe=kernel kernel=tl9_*\n"
                 "probe=kernel kernel=i2s_avx2\n");
}

static void what_is_excluded_is_left_out(void **state)
{
    (void)state;
    assert_cells(HEAD "\"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_*\"],"
                      "\"batch\": [1, 8]},"
                      "\"exclude\": [\"op=unpack batch=8\", \"kernel=*avx2 batch=1\"]}",
                 "probe=kernel kernel=i2s_scalar\n"
                 "probe=kernel kernel=i2s_scalar batch=8\n"
                 "probe=kernel kernel=i2s_avx2 batch=8\n"
                 "probe=kernel kernel=i2s_scalar_unpack\n");
}

static void a_filter_keeps_what_matches(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_spec spec = spec_of(HEAD "\"axes\": {\"probe\": [\"kernel\"],"
                                       "\"kernel\": [\"i2s_*\"], \"batch\": [1, 8]}}");
    assert_int_equal(tg_spec_filter(&spec, "isa=scalar batch=8", &known, &err), 0);
    assert_string_equal(cells(&spec), "probe=kernel kernel=i2s_scalar batch=8\n"
                                      "probe=kernel kernel=i2s_scalar_unpack batch=8\n");
    assert_int_equal(tg_spec_filter(&spec, "isa=neon", &known, &err), -1);
    assert_string_equal(err.text, "no isa 'neon' is known, in 'isa=neon'");
    assert_int_equal(spec.cell_count, 2);
    assert_int_equal(tg_spec_filter(&spec, "batch=3", &known, &err), -1);
    assert_string_equal(err.text, "no cell of the matrix matches 'batch=3'");
    tg_spec_release(&spec);
}

static void the_policy_lies_beside_its_matrix(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"a.json", "{\"policy\": \"policy/review.json\"}", "policy/review.json"},
        {"/x/y/a.json", "{\"policy\": \"policy/review.json\"}", "/x/y/policy/review.json"},
        {"x/a.json", "{\"policy\": \"../review.json\"}", "x/../review.json"},
        {"x/a.json", "{\"policy\": \"/etc/review.json\"}", "/etc/review.json"},
        {"x/a.json", "{\"policy\": 5}", ""},
        {"x/a.json", "{}", ""},
        {"x/a.json", "[1]", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_json_file file;
        char path[100];
        assert_int_equal(tg_json_parse(rows[i][1], &file, NULL), 0);
        tg_spec_policy_path(&file, rows[i][0], path, sizeof path);
        assert_string_equal(path, rows[i][2]);
        tg_json_release(&file);
    }
}

static void what_is_no_matrix_is_refused(void **state)
{
    (void)state;
#define PROBE "\"probe\": [\"kernel\"]"
    static const char *const rows[][2] = {
        {"[]", "line 1: not a matrix: \"tritgate_matrix\": 1 is missing"},
        {"{\"tritgate_matrix\": 2, \"axes\": {}}",
         "line 1: not a matrix: \"tritgate_matrix\": 1 is missing"},
        {HEAD "\n\"axis\": {}}", "line 2: axis: unknown key 'axis'"},
        {HEAD "\"exclude\": []}", "line 1: 'axes' is missing"},
        {HEAD "\"axes\": []}", "line 1: the matrix has no cells"},
        {HEAD "\n\"axes\": {}}", "line 2: axes: an object of axes is expected"},
        {HEAD "\n\"axes\": 5}", "line 2: axes: an object of axes is expected"},
        {HEAD "\n\"axes\": [5]}", "line 2: axes[0]: an object of axes is expected"},
        {HEAD "\"axes\": {" PROBE ",\n\"colour\": [1]}}",
         "line 2: axes.colour: unknown axis 'colour'"},
        {HEAD "\"axes\": {" PROBE ",\n\"op\": [\"unpack\"]}}",
         "line 2: axes.op: unknown axis 'op'"},
        {HEAD "\"axes\": {" PROBE ", \"batch\": []}}",
         "line 1: axes.batch: a list of at least one value is expected"},
        {HEAD "\"axes\": {\"probe\": \"kernel\"}}",
         "line 1: axes.probe: a list of at least one value is expected"},
        {HEAD "\"axes\": {" PROBE ", \"batch\": [1,\n\"8\"]}}",
         "line 2: axes.batch[1]: a whole number is expected"},
        {HEAD "\"axes\": {" PROBE ", \"batch\": [1.5]}}",
         "line 1: axes.batch[0]: a whole number is expected"},
        {HEAD "\"axes\": {" PROBE ", \"kernel\": [8]}}",
         "line 1: axes.kernel[0]: a name is expected"},
        {HEAD "\"axes\": {" PROBE ",\n\"batch\": [0]}}",
         "line 1: axes: axis 'batch': unusable value '0', it is less than 1"},
        {HEAD "\"axes\": {" PROBE ",\n\"batch\": [-8]}}",
         "line 1: axes: axis 'batch': unusable value '-8', it is less than 1"},
        {HEAD "\"axes\": {" PROBE ", \"kernel\": [\"tl9\"]}}",
         "line 1: axes: no such kernel 'tl9'"},
        {HEAD "\"axes\": {" PROBE ", \"layer\": [\"-1x8\"]}}",
         "line 1: axes: no such layer '-1x8'"},
        {HEAD "\"axes\": {\"batch\": [1]}}", "line 1: axes: axis 'probe' is missing"},
        {HEAD "\"axes\": {" PROBE "}, \"exclude\": \"batch=1\"}",
         "line 1: exclude: a list of patterns of cells is expected"},
        {HEAD "\"axes\": {" PROBE "}, \"exclude\": [\n5]}",
         "line 2: exclude[0]: a pattern of cells is expected"},
        {HEAD "\"axes\": {" PROBE "}, \"exclude\": [\"\"]}",
         "line 1: exclude[0]: a pattern of cells is expected"},
        {HEAD "\"axes\": {" PROBE "}, \"exclude\": [\"colour=*\"]}",
         "line 1: exclude[0]: unknown axis 'colour' in 'colour=*'"},
        {HEAD "\"axes\": {" PROBE "}, \"exclude\": [\"probe=*\"]}",
         "line 1: the matrix has no cells"},
        {HEAD "\"policy\": 5, \"axes\": {" PROBE "}}", "line 1: policy: a file is expected"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_spec spec = {.cell_count = 77};
        struct tg_error err;
        if (parse(rows[i][0], &spec, &err) == 0) fail_msg("taken: %s", rows[i][0]);
        assert_string_equal(err.text, rows[i][1]);
        assert_int_equal(spec.cell_count, 77);
    }
}

/* A matrix of `count` batches and as many threads. */
static char *square(int count)
{
    size_t size = 100 + 20 * (size_t)count, used = 0;
    char *text = malloc(size);
    assert_non_null(text);
    for (int axis = 0; axis < 2; axis++) {
        used += (size_t)snprintf(text + used, size - used,
                                 axis ? "], \"threads\": ["
                                      : HEAD "\"axes\": {" PROBE ", \"batch\": [");
        for (int i = 1; i <= count; i++)
            used += (size_t)snprintf(text + used, size - used, i > 1 ? ",%d" : "%d", i);
    }
    snprintf(text + used, size - used, "]}}");
    return text;
}

static void too_many_cells_are_refused(void **state)
{
    (void)state;
    struct tg_spec spec;
    struct tg_error err;
    char *text = square(5000);
    assert_int_equal(parse(text, &spec, &err), -1);
    assert_string_equal(err.text, "line 1: axes: more than 20000 cells");
    free(text);
}

/* Also in one list, before its values are compared with each other. */
static void too_many_values_are_refused(void **state)
{
    (void)state;
    const int count = 500000;
    size_t size = 8 * (size_t)count + 200, used;
    struct tg_spec spec;
    struct tg_error err;
    char *text = malloc(size);
    assert_non_null(text);
    used = (size_t)snprintf(text, size, HEAD "\"axes\": {" PROBE ", \"batch\": [1");
    for (int i = 2; i <= count; i++) used += (size_t)snprintf(text + used, size - used, ",%d", i);
    snprintf(text + used, size - used, "]}}");
    assert_int_equal(parse(text, &spec, &err), -1);
    assert_string_equal(err.text, "line 1: axes.batch: more than 20000 cells");
    free(text);
}

static struct tg_policy policy_of(const char *rules)
{
    char text[2000];
    struct tg_json_file file;
    struct tg_policy policy;
    struct tg_error err;
    snprintf(text, sizeof text, "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": [%s]}",
             rules);
    if (tg_json_parse(text, &file, &err) < 0 || tg_policy_parse(&file, &known, &policy, &err) < 0)
        fail_msg("%s", err.text);
    tg_json_release(&file);
    return policy;
}

#define NONINFERIOR(where)                                                                         \
    "{\"rule\": \"noninferior\", \"metric\": \"call_time\", \"where\": \"" where "\","             \
    "\"axis\": \"build\", \"of\": \"head\", \"to\": \"base\","                                     \
    "\"tolerance\": 0.02, \"margin\": 0.05}"
#define FLOOR "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9}"
#define RATIO(axis, of, to)                                                                        \
    "{\"rule\": \"ratio\", \"metric\": \"call_time\", \"axis\": \"" axis "\", \"of\": \"" of "\"," \
    "\"to\": \"" to "\", \"limit\": 1.5}"

static struct tg_spec planned(const char *matrix, const char *rules, bool has_base)
{
    struct tg_error err;
    struct tg_spec spec = spec_of(matrix);
    struct tg_policy policy = policy_of(rules);
    if (tg_spec_plan(&spec, &policy, &known, has_base, 1, &err) < 0) fail_msg("%s", err.text);
    tg_policy_release(&policy);
    return spec;
}

#define TWO_BATCHES HEAD "\"axes\": {" PROBE ", \"kernel\": [\"i2s_avx2\"], \"batch\": [1, 8]}}"

static void a_rule_along_build_pairs_head_with_base(void **state)
{
    (void)state;
    struct tg_spec spec = planned(TWO_BATCHES, NONINFERIOR("batch=8"), true);
    assert_int_equal(spec.test_count, 1);
    assert_int_equal(spec.block_count, 1);
    assert_true(spec.tests[0].has_to);
    assert_false(spec.tests[0].is_shadow);
    assert_string_equal(spec.blocks[0].text, "probe=kernel kernel=i2s_avx2 batch=8 | "
                                             "probe=kernel kernel=i2s_avx2 build=base batch=8");
    assert_int_equal(spec.blocks[0].cell_count, 2);
    assert_true(spec.blocks[0].is_timed);
    assert_false(spec.blocks[0].is_fixed);
    assert_string_equal(spec.blocks[0].cells[1].build, "base");
    assert_memory_equal(&spec.blocks[0].cells[0], &spec.tests[0].of, sizeof(struct tg_cell));
    assert_memory_equal(&spec.blocks[0].cells[1], &spec.tests[0].to, sizeof(struct tg_cell));
    tg_spec_release(&spec);
}

static void without_a_base_head_is_paired_with_its_copy_as_a_shadow(void **state)
{
    (void)state;
    struct tg_spec spec = planned(TWO_BATCHES, NONINFERIOR("") ", " RATIO("batch", "8", "1"),
                                  false);
    assert_int_equal(spec.test_count, 3);
    assert_true(spec.tests[0].is_shadow && spec.tests[1].is_shadow);
    assert_false(spec.tests[2].is_shadow);
    assert_string_equal(spec.tests[0].to.build, "copy");
    assert_string_equal(spec.blocks[0].text, "probe=kernel kernel=i2s_avx2 | "
                                             "probe=kernel kernel=i2s_avx2 build=copy");
    assert_string_equal(spec.blocks[2].text, "probe=kernel kernel=i2s_avx2 batch=8 | "
                                             "probe=kernel kernel=i2s_avx2");
    tg_spec_release(&spec);
}

static void a_rule_along_kernel_pairs_those_that_match_with_one(void **state)
{
    (void)state;
    struct tg_spec spec = planned(HEAD "\"axes\": {" PROBE
                                       ", \"kernel\": [\"i2s_*\"]}, \"exclude\": [\"op=unpack\"]}",
                                  RATIO("kernel", "i2s_*", "i2s_scalar"), true);
    assert_int_equal(spec.test_count, 1);
    assert_string_equal(spec.blocks[0].text, "probe=kernel kernel=i2s_avx2 | "
                                             "probe=kernel kernel=i2s_scalar");
    tg_spec_release(&spec);
}

#define AGAINST(pattern)                                                                           \
    "{\"rule\": \"ratio\", \"metric\": \"call_time\", \"where\": \"threads=1\", \"axis\": "        \
    "\"kernel\","                                                                                  \
    "\"of\": \"i2s_avx*\", \"against\": \"" pattern "\", \"limit\": 2}"
#define CROWD                                                                                      \
    HEAD "\"axes\": {" PROBE ", \"kernel\": [\"i2s_*\"], \"batch\": [1, 8], \"threads\": [1, 2]}}"

/* Cells that are else alike, and in the axes that the pattern names whatever it says. */
static void rivals_are_the_cells_of_the_matrix_that_match(void **state)
{
    (void)state;
    struct tg_spec spec = planned(CROWD, AGAINST("op=product isa=s*"), true);
    assert_int_equal(spec.test_count, 2);
    assert_string_equal(spec.blocks[1].text, "probe=kernel kernel=i2s_avx2 batch=8 | "
                                             "probe=kernel kernel=i2s_scalar batch=8");
    assert_true(spec.blocks[1].is_timed && !spec.tests[1].is_shadow);
    tg_spec_release(&spec);
    spec = planned(CROWD, AGAINST("op=product threads=*"), true);
    assert_int_equal(spec.test_count, 4);
    assert_string_equal(spec.blocks[1].text, "probe=kernel kernel=i2s_avx2 | "
                                             "probe=kernel kernel=i2s_scalar threads=2");
    tg_spec_release(&spec);
    spec = planned(CROWD, AGAINST("op=product threads=2"), true);
    assert_int_equal(spec.test_count, 2);
    tg_spec_release(&spec);
}

static void a_floor_reads_one_cell(void **state)
{
    (void)state;
    struct tg_spec spec = planned(TWO_BATCHES, FLOOR, true);
    assert_int_equal(spec.test_count, 2);
    assert_false(spec.tests[0].has_to);
    assert_int_equal(spec.blocks[1].cell_count, 1);
    assert_string_equal(spec.blocks[1].text, "probe=kernel kernel=i2s_avx2 batch=8");
    assert_true(spec.blocks[1].is_fixed);
    assert_false(spec.blocks[1].is_timed);
    tg_spec_release(&spec);
}

static void tests_of_the_same_cells_share_a_block(void **state)
{
    (void)state;
    struct tg_spec spec = planned(
        TWO_BATCHES,
        FLOOR ", " FLOOR ", {\"rule\": \"ceiling\", \"metric\": \"call_time\","
              "\"where\": \"batch=8\", \"limit\": 1}, " NONINFERIOR("") ", " NONINFERIOR(""),
        true);
    assert_int_equal(spec.test_count, 9);
    assert_int_equal(spec.block_count, 4);
    static const size_t rules[] = {0, 0, 1, 1, 2, 3, 3, 4, 4};
    static const size_t blocks[] = {0, 1, 0, 1, 1, 2, 3, 2, 3};
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(spec.tests[i].rule, rules[i]);
        assert_int_equal(spec.tests[i].block, blocks[i]);
    }
    assert_true(spec.blocks[0].is_fixed && !spec.blocks[0].is_timed);
    assert_true(spec.blocks[1].is_fixed && spec.blocks[1].is_timed);
    assert_true(!spec.blocks[2].is_fixed && spec.blocks[2].is_timed);
    tg_spec_release(&spec);
}

static void rules_that_select_nothing_at_all_are_refused(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_spec spec = spec_of(TWO_BATCHES);
    struct tg_policy policy = policy_of(
        NONINFERIOR("op=unpack") ", " RATIO("model", "small", "large"));
    assert_int_equal(tg_spec_plan(&spec, &policy, &known, true, 1, &err), -1);
    assert_string_equal(err.text, "no rule of policy 'f' selects a cell of the matrix");
    tg_policy_release(&policy);

    policy = policy_of(NONINFERIOR("op=unpack") ", " NONINFERIOR("op=product"));
    assert_int_equal(tg_spec_plan(&spec, &policy, &known, true, 1, &err), 0);
    assert_int_equal(spec.test_count, 2);
    assert_int_equal(spec.tests[0].rule, 1);
    tg_policy_release(&policy);
    tg_spec_release(&spec);
}

static void thousands_of_cells_are_planned(void **state)
{
    (void)state;
    char *text = square(60);
    struct tg_spec spec = planned(text, NONINFERIOR("") ", " NONINFERIOR("batch=1"), true);
    assert_int_equal(spec.test_count, 60 * 61);
    assert_int_equal(spec.block_count, 60 * 60);
    tg_spec_release(&spec);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(axes_are_multiplied_the_last_fastest),
        cmocka_unit_test(a_list_of_axes_is_their_union_without_repeats),
        cmocka_unit_test(a_pattern_stands_for_the_words_that_match),
        cmocka_unit_test(a_pattern_that_matches_nothing_stays_as_a_cell),
        cmocka_unit_test(what_is_excluded_is_left_out),
        cmocka_unit_test(a_filter_keeps_what_matches),
        cmocka_unit_test(the_policy_lies_beside_its_matrix),
        cmocka_unit_test(what_is_no_matrix_is_refused),
        cmocka_unit_test(too_many_cells_are_refused),
        cmocka_unit_test(too_many_values_are_refused),
        cmocka_unit_test(a_rule_along_build_pairs_head_with_base),
        cmocka_unit_test(without_a_base_head_is_paired_with_its_copy_as_a_shadow),
        cmocka_unit_test(a_rule_along_kernel_pairs_those_that_match_with_one),
        cmocka_unit_test(rivals_are_the_cells_of_the_matrix_that_match),
        cmocka_unit_test(a_floor_reads_one_cell),
        cmocka_unit_test(tests_of_the_same_cells_share_a_block),
        cmocka_unit_test(rules_that_select_nothing_at_all_are_refused),
        cmocka_unit_test(thousands_of_cells_are_planned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
