/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/import.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/made_run.h"
#include "tests/run_directory.h"

#define CELL  "probe=kernel kernel=i2s_avx2 layer=64x256"
#define BLOCK CELL " | probe=kernel kernel=i2s_avx2 build=base layer=64x256"
#define TIME  "{\"metric\":\"call_time\",\"samples\":[1,2],\"turn\":[0,1],\"begun\":[0,0]}"

/* A line of this cell, block, attempt, facts and series; 32 of them are kept. */
static const char *line(const char *cell, const char *block, int attempt, const char *facts,
                        const char *series)
{
    static char lines[32][2000];
    static int turn;
    char *text = lines[turn++ % 32];
    snprintf(text, sizeof lines[0],
             "{\"tritgate_measurement\":1,\"cell\":\"%s\",\"block\":\"%s\",\"round\":0,"
             "\"attempt\":%d,\"outcome\":\"measured\",\"unpaired\":0,\"reason\":\"\","
             "\"facts\":{%s},\"series\":[%s]}",
             cell, block, attempt, facts, series);
    return text;
}

/* Reads these lines (up to the first NULL). Returns what tg_import_read does. */
static int read_these(const char *const texts[], struct tg_lines *lines, struct tg_error *err)
{
    FILE *f = tmpfile();
    assert_non_null(f);
    for (size_t i = 0; texts[i]; i++) fprintf(f, "%s\n", texts[i]);
    rewind(f);
    int rc = tg_import_read(f, lines, err);
    fclose(f);
    return rc;
}

static struct tg_lines taken(const char *const texts[])
{
    struct tg_lines lines;
    struct tg_error err;
    if (read_these(texts, &lines, &err) < 0) fail_msg("%s", err.text);
    return lines;
}

/* The plan that import makes of lines; matrix is NULL to make that of them, too. */
static void plan_of(const struct tg_lines *lines, const char *matrix, const char *policy,
                    struct tg_plan *plan)
{
    struct tg_error err;
    char *seen = matrix ? NULL : tg_import_matrix(lines, &err);
    if (!matrix && !seen) fail_msg("%s", err.text);
    char *text = tg_import_plan(lines, seen ? seen : matrix, !matrix, &err);
    if (!text) fail_msg("%s", err.text);
    if (tg_plan_make(seen ? seen : matrix, "a.json", policy, text, plan, &err) < 0)
        fail_msg("%s", err.text);
    free(text);
    free(seen);
}

static const char policy[] =
    "{\"tritgate_policy\": 1, \"flow\": \"review\", \"rules\": [{\"rule\": \"noninferior\","
    " \"metric\": \"call_time\", \"axis\": \"build\", \"of\": \"head\", \"to\": \"base\","
    " \"tolerance\": 0.02, \"margin\": 0.05}]}";

static void lines_that_cannot_be_are_refused_by_their_number(void **state)
{
    (void)state;
    const struct {
        const char *line, *sentence;
    } rows[] = {
        {"", "line 2: not JSON"},
        {"{\"tritgate_measurement\":2}", "line 2: not a measurement"},
        {line(CELL, BLOCK, 0, "", TIME), "line 2: its attempt is less than 1"},
        {line(CELL, BLOCK, 1, "", TIME),
         "line 2: block, round, attempt and cell are those of line 1"},
        {line("kernel=i2s_avx2", "kernel=i2s_avx2", 1, "", ""), "line 2: axis 'probe' is missing"},
        {line(CELL " build=new", CELL " build=new", 1, "", ""), "line 2: no such build 'new'"},
        {line(CELL " batch=0", CELL " batch=0", 1, "", ""), "line 2: axis 'batch' is less than 1"},
        {line("probe=kernel kernel=a-b", "probe=kernel kernel=a-b", 1, "", ""),
         "line 2: kernel 'a-b': a name has letters, digits and _"},
        {line("probe=kernel model=x';touch${IFS}pwn;'", CELL, 1, "", ""),
         "line 2: axis 'model' has a quote, ' or `"},
        {line(CELL, CELL " | probe=kernel kernel=i2s_avx2 layer=`id`", 1, "", TIME),
         "line 2: block: axis 'layer' has a quote, ' or `"},
        {line(CELL " colour=red", BLOCK, 1, "", ""), "unknown axis 'colour'"},
        {line(CELL, "of | to", 1, "", TIME), "line 2: block: cell 'of'"},
        {line(CELL, CELL " | " CELL, 1, "", TIME), "line 2: both cells of its block are the same"},
        {line(CELL " batch=2", BLOCK, 1, "", TIME), "line 2: its cell is not in its block"},
        {line(CELL, CELL, 1, "\"colour\":1", TIME), "line 2: facts.colour: unknown fact 'colour'"},
        {line(CELL, CELL, 1, "\"date\":\"05.08.2027\"", TIME),
         "line 2: date '05.08.2027' is of no day: as 2026-12-31T00:00:00Z, or unknown"},
        {line(CELL, CELL, 1, "\"date\":\"\"", TIME), "line 2: date '' is of no day"},
        {line(CELL, CELL, 1, "\"library\":\"\"", TIME),
         "line 2: its library is empty: one that is not known is 'unknown'"},
        {line(CELL, CELL, 1, "",
              "{\"metric\":\"call_time\",\"samples\":[-1],\"turn\":[0],\"begun\":[0]}"),
         "line 2: metric 'call_time' has a sample that is not above 0"},
        {line(CELL, CELL, 1, "",
              "{\"metric\":\"codec_exact\",\"samples\":[1,1],\"turn\":[0,0],\"begun\":[0,0]}"),
         "line 2: metric 'codec_exact' is fixed: it has one sample"},
        {line(CELL, CELL, 1, "",
              "{\"metric\":\"parity_numeric\",\"samples\":[-0.1],\"turn\":[0],"
              "\"begun\":[0]}"),
         "line 2: metric 'parity_numeric' has a sample below 0"},
        {line(CELL, CELL, 1, "",
              "{\"metric\":\"codec_exact\",\"samples\":[87.5],\"turn\":[0],\"begun\":[0]}"),
         "line 2: metric 'codec_exact' has a sample above 1: 0.99 stands for 99 %"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const texts[] = {line(CELL, BLOCK, 1, "", TIME), rows[i].line, NULL};
        struct tg_lines lines = {.count = 77};
        struct tg_error err;
        if (read_these(texts, &lines, &err) == 0) fail_msg("taken, without: %s", rows[i].sentence);
        if (!strstr(err.text, rows[i].sentence))
            fail_msg("'%s' is not in: %s", rows[i].sentence, err.text);
        assert_int_equal(lines.count, 77);
    }
}

static void a_line_needs_no_facts_and_no_canonical_text(void **state)
{
    (void)state;
    const char *const texts[] = {line("layer=64x256 kernel=i2s_avx2 probe=kernel batch=1",
                                      "layer=64x256 probe=kernel kernel=i2s_avx2", 1, "", ""),
                                 NULL};
    struct tg_lines lines = taken(texts);
    assert_string_equal(lines.rows[0].block, CELL);
    assert_string_equal(lines.rows[0].facts.hardware, "unknown");
    assert_int_equal(lines.rows[0].facts.rank, -1);
    tg_import_release(&lines);
}

static void unnamed_hardware_is_the_processor(void **state)
{
    (void)state;
    const char *const texts[] = {line(CELL, BLOCK, 1, "\"cpu\":\"A\"", TIME),
                                 line(CELL, BLOCK, 2, "\"cpu\":\"B\",\"hardware\":\"h\"", TIME),
                                 NULL};
    struct tg_lines lines = taken(texts);
    assert_string_equal(lines.rows[0].facts.hardware, "A");
    assert_string_equal(lines.rows[1].facts.hardware, "h");
    tg_import_release(&lines);
}

static void the_plan_has_a_worker_for_each_place(void **state)
{
    (void)state;
    const char *const places[] = {"\"host\":\"a\",\"cpu\":\"A\"", "\"host\":\"b\",\"cpu\":\"A\"",
                                  "\"host\":\"a\",\"cpu\":\"A\"",
                                  "\"host\":\"a\",\"domain\":\"numa1\",\"cpu\":\"A\"",
                                  "\"host\":\"a\",\"cpu\":\"B\""};
    const char *texts[6] = {NULL};
    size_t numbers[5];
    struct tg_plan plan;
    for (int i = 0; i < 5; i++) texts[i] = line(CELL, BLOCK, i + 1, places[i], TIME);
    struct tg_lines lines = taken(texts);
    assert_int_equal(tg_import_workers(&lines, numbers), 4);
    assert_true(numbers[0] == 0 && numbers[1] == 1 && numbers[2] == 0 && numbers[4] == 3);
    plan_of(&lines, NULL, policy, &plan);
    assert_int_equal(plan.worker_count, 4);
    assert_string_equal(plan.workers[2].domain, "numa1");
    assert_int_equal(plan.class_count, 2);
    assert_true(plan.has_base && plan.asked.is_imported && plan.asked.is_matrix_seen);
    assert_int_equal(plan.required_count, 2); /* one for each class of hardware */
    tg_plan_release(&plan);
    tg_import_release(&lines);
}

static void libraries_are_what_their_rows_say(void **state)
{
    (void)state;
    const char *const texts[] = {
        line(CELL, BLOCK, 1, "\"library\":\"1111\",\"injected_percent\":7", TIME),
        line("probe=kernel kernel=i2s_avx2 build=base layer=64x256", BLOCK, 1,
             "\"library\":\"2222\",\"is_debug\":1", TIME),
        NULL};
    struct tg_lines lines = taken(texts);
    struct tg_plan plan;
    plan_of(&lines, NULL, policy, &plan);
    assert_string_equal(plan.workers[0].head.digest, "1111");
    assert_string_equal(plan.workers[0].base.digest, "2222");
    assert_int_equal(plan.workers[0].head.injected_percent, 7);
    assert_true(plan.workers[0].base.is_debug && !plan.workers[0].head.is_debug);
    assert_false(plan.asked.is_same);
    tg_plan_release(&plan);
    tg_import_release(&lines);
}

static void only_libraries_that_are_known_are_the_same(void **state)
{
    (void)state;
    const struct {
        const char *facts;
        bool is_same;
    } rows[] = {{"\"library\":\"1111\"", true}, {"", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const texts[] = {line(CELL, BLOCK, 1, rows[i].facts, TIME),
                                     line("probe=kernel kernel=i2s_avx2 build=base layer=64x256",
                                          BLOCK, 1, rows[i].facts, TIME),
                                     NULL};
        struct tg_lines lines = taken(texts);
        struct tg_plan plan;
        plan_of(&lines, NULL, policy, &plan);
        assert_true(plan.has_base);
        assert_int_equal(plan.asked.is_same, rows[i].is_same);
        tg_plan_release(&plan);
        tg_import_release(&lines);
    }
}

static void a_kernel_that_we_do_not_have_is_what_its_name_and_facts_say(void **state)
{
    (void)state;
    static const char *const rows[][6] = {
        /* name, isa_requested, op, format, isa, device */
        {"i2s_scalar_unpack", "wrong", "unpack", "i2s", "scalar", "cpu"},
        {"tl2_neon_lut16", "unknown", "product", "tl2", "neon", "cpu"},
        {"tl2_neon_unpack", "unknown", "unpack", "tl2", "neon", "cpu"},
        {"tl2_sm90", "unknown", "product", "tl2", "sm90", "cuda"},
        {"own", "unknown", "product", "own", "unknown", "cpu"},
        {"own_fast", "avx10", "product", "own", "avx10", "cpu"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char cell[200], facts[200];
        struct tg_plan plan;
        snprintf(cell, sizeof cell, "probe=kernel kernel=%s layer=64x256", rows[i][0]);
        snprintf(facts, sizeof facts, "\"isa_requested\":\"%s\"", rows[i][1]);
        const char *const texts[] = {line(cell, cell, 1, facts, TIME), NULL};
        struct tg_lines lines = taken(texts);
        plan_of(&lines, NULL, policy, &plan);
        const struct tg_survey_kernel *k = &plan.workers[0].head.kernels[0];
        assert_string_equal(k->name, rows[i][0]);
        assert_string_equal(k->op, rows[i][2]);
        assert_string_equal(k->format, rows[i][3]);
        assert_string_equal(k->isa, rows[i][4]);
        assert_string_equal(k->device, rows[i][5]);
        tg_plan_release(&plan);
        tg_import_release(&lines);
    }
}

/* How many tests of the plan have this fate. */
static size_t fated(const struct tg_plan *plan, int fate)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->spec.test_count; i++)
        count += (int)plan->prospects[i].fate == fate;
    return count;
}

static void what_a_matrix_asks_is_never_skipped(void **state)
{
    (void)state;
    static const char matrix[] =
        "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\", \"engine\"], \"kernel\":"
        " [\"i2s_avx2\", \"theirs\", \"x_*\"], \"layer\": [\"64x256\", \"theirs\"]}}";
    const char *const texts[] = {line(CELL, BLOCK, 1, "\"cpu\":\"A\"", TIME),
                                 line("probe=kernel kernel=i2s_scalar",
                                      "probe=kernel kernel=i2s_scalar", 1, "\"cpu\":\"B\"", TIME),
                                 NULL};
    struct tg_lines lines = taken(texts);
    struct tg_plan plan;
    plan_of(&lines, matrix, policy, &plan);
    assert_int_equal(plan.spec.test_count, 2 * 12); /* of two classes */
    assert_int_equal(fated(&plan, TG_TO_MEASURE), 2 * 12);
    tg_plan_release(&plan);
    /* What was only seen is asked of the hardware where it was. */
    plan_of(&lines, NULL, policy, &plan);
    assert_int_equal(fated(&plan, TG_TO_MEASURE), 2);
    assert_int_equal(fated(&plan, TG_TO_SKIP), 2);
    assert_non_null(strstr(plan.prospects[1].reason, "has no line from this hardware"));
    tg_plan_release(&plan);
    tg_import_release(&lines);
}

/* But for what a run skips by name, too: there are not two builds of a whole model on a device. */
static void two_builds_of_a_model_on_a_device_are_none(void **state)
{
    (void)state;
    static const char matrix[] =
        "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"model\"], \"kernel\":"
        " [\"i2s_cuda\", \"i2s_avx2\"], \"model\": [\"bitnet-2b\"], \"profile\": "
        "[\"decode_128\"]}}";
    static const char rates[] =
        "{\"tritgate_policy\": 1, \"flow\": \"review\", \"rules\": [{\"rule\": \"noninferior\","
        " \"metric\": \"decode_rate\", \"axis\": \"build\", \"of\": \"head\", \"to\": \"base\","
        " \"tolerance\": 0.02, \"margin\": 0.05}]}";
    const char *const texts[] = {line(CELL, BLOCK, 1, "\"cpu\":\"A\"", TIME), NULL};
    struct tg_lines lines = taken(texts);
    struct tg_plan plan;
    plan_of(&lines, matrix, rates, &plan);
    assert_int_equal(plan.spec.test_count, 2);
    assert_int_equal(fated(&plan, TG_TO_MEASURE), 1);
    size_t test = plan.prospects[0].fate == TG_TO_SKIP ? 0 : 1;
    assert_string_equal(plan.spec.tests[test].of.kernel, "i2s_cuda");
    assert_string_equal(plan.prospects[test].reason,
                        "build 'base' is of kernels: whole models on a device are this program's "
                        "own");
    tg_plan_release(&plan);
    tg_import_release(&lines);
}

/* A cell says of which build it is: the order in a block is that of the test, whatever it is. */
static void a_block_may_name_its_cells_in_either_order(void **state)
{
    (void)state;
    static const char turned_policy[] =
        "{\"tritgate_policy\": 1, \"flow\": \"review\", \"rules\": [{\"rule\": \"noninferior\","
        " \"metric\": \"call_time\", \"axis\": \"build\", \"of\": \"base\", \"to\": \"head\","
        " \"tolerance\": 0.02, \"margin\": 0.05}]}";
    static const char base[] = "probe=kernel kernel=i2s_avx2 build=base layer=64x256";
    static const char turned[] = "probe=kernel kernel=i2s_avx2 build=base layer=64x256 | " CELL;
    static const char matrix[] =
        "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\"],"
        " \"build\": [\"base\"], \"layer\": [\"64x256\"]}}";
    const char *const texts[] = {line(base, turned, 1, "", TIME), line(CELL, turned, 1, "", TIME),
                                 NULL};
    const char *const both[] = {texts[0], line(base, BLOCK, 1, "", TIME), NULL};
    struct tg_lines lines = taken(texts);
    struct tg_plan plan;
    struct tg_error err;
    plan_of(&lines, matrix, turned_policy, &plan);
    assert_int_equal(tg_import_order(&lines, &plan, &err), 0);
    for (int i = 0; i < 2; i++) assert_string_equal(lines.rows[i].block, turned);
    tg_plan_release(&plan);
    plan_of(&lines, NULL, policy, &plan);
    assert_int_equal(tg_import_order(&lines, &plan, &err), 0);
    for (int i = 0; i < 2; i++) assert_string_equal(lines.rows[i].block, BLOCK);
    tg_import_release(&lines);
    lines = taken(both);
    assert_int_equal(tg_import_order(&lines, &plan, &err), -1);
    assert_string_equal(err.text, "line 2: block, round, attempt and cell are those of line 1");
    tg_plan_release(&plan);
    tg_import_release(&lines);
}

/* Rounds that were copied would narrow every interval. */
static void a_measurement_does_not_stand_in_two_rounds(void **state)
{
    (void)state;
    static const char *const facts[] = {"\"pid\":7,\"date\":\"2026-01-02T03:04:05Z\"", "\"pid\":7",
                                        "\"pid\":8,\"date\":\"2026-01-02T03:04:05Z\""};
    struct tg_error err;
    struct tg_lines lines;
    const char *const twice[] = {line(CELL, BLOCK, 1, facts[0], TIME),
                                 line(CELL, BLOCK, 2, facts[0], TIME), NULL};
    const char *const unlike[] = {twice[0], line(CELL, BLOCK, 2, facts[2], TIME), NULL};
    const char *const unplaced[] = {line(CELL, BLOCK, 1, facts[1], TIME),
                                    line(CELL, BLOCK, 2, facts[1], TIME), NULL};
    assert_int_equal(read_these(twice, &lines, &err), -1);
    assert_string_equal(err.text, "line 2: it is line 1 with another round");
    lines = taken(unlike);
    tg_import_release(&lines);
    lines = taken(unplaced); /* nobody knows */
    tg_import_release(&lines);
}

/* A head that crashed and left no line would be as if it had never been tried. */
static void a_side_of_a_round_is_not_alone(void **state)
{
    (void)state;
    static const char base[] = "probe=kernel kernel=i2s_avx2 build=base layer=64x256";
    const char *const whole[] = {line(base, BLOCK, 1, "", TIME), line(CELL, BLOCK, 2, "", ""),
                                 line(CELL, BLOCK, 1, "", TIME), line(base, BLOCK, 2, "", TIME),
                                 line(CELL, CELL, 3, "", TIME),  NULL};
    const char *const alone[] = {whole[0], whole[2], whole[3], whole[4], NULL};
    struct tg_error err;
    struct tg_lines lines = taken(whole);
    assert_int_equal(tg_import_check_pairs(&lines, &err), 0);
    tg_import_release(&lines);
    lines = taken(alone);
    assert_int_equal(tg_import_check_pairs(&lines, &err), -1);
    assert_string_equal(err.text, "line 3: the other cell of its block has no line in this round; "
                                  "one that broke has a line, too");
    tg_import_release(&lines);
}

static void lines_without_a_head_make_no_matrix(void **state)
{
    (void)state;
    const char *const texts[] = {line(CELL " build=base", CELL " build=base", 1, "", TIME), NULL};
    struct tg_lines lines = taken(texts);
    struct tg_error err;
    assert_null(tg_import_matrix(&lines, &err));
    assert_string_equal(err.text, "no line names a cell of head");
    tg_import_release(&lines);
}

static void what_is_stored_is_what_was_read(void **state)
{
    (void)state;
    const char *texts[6] = {NULL};
    struct tg_error err;
    struct tg_run run, asked = {0};
    for (int i = 0; i < 5; i++)
        texts[i] = line(CELL, BLOCK, i + 1,
                        i % 2 ? "\"host\":\"b\",\"hardware\":\"h\"" : "\"hardware\":\"h\"", TIME);
    struct tg_lines lines = taken(texts);
    asked.matrix = (char *)(uintptr_t)run_plan.matrix;
    asked.policy = (char *)(uintptr_t)run_plan.policy;
    asked.plan = (char *)(uintptr_t)run_plan.plan;
    if (tg_import_store(&lines, &asked, run_directory, &err) < 0) fail_msg("%s", err.text);
    if (tg_store_read(run_directory, &run, &err) < 0) fail_msg("%s", err.text);
    assert_true(run.is_sealed);
    assert_int_equal(run.count, 5);
    static const size_t order[] = {0, 2, 4, 1, 3}; /* by worker */
    for (size_t i = 0; i < 5; i++) {
        char *was = tg_measurement_to_json(&lines.rows[order[i]]);
        char *is = tg_measurement_to_json(&run.rows[i]);
        assert_string_equal(is, was);
        free(was);
        free(is);
    }
    tg_store_release(&run);
    assert_int_equal(tg_import_store(&lines, &asked, run_directory, &err),
                     -1); /* never over another */
    tg_import_release(&lines);
}

static void the_policy_without_a_policy_is_that_of_kernels(void **state)
{
    (void)state;
    struct tg_json_file file;
    struct tg_error err;
    if (tg_json_read(TG_TEST_DATA "/../../matrix/policy/kernels.json", &file, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal((const char *)tg_import_policy, file.text);
    tg_json_release(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_that_cannot_be_are_refused_by_their_number),
        cmocka_unit_test(a_line_needs_no_facts_and_no_canonical_text),
        cmocka_unit_test(unnamed_hardware_is_the_processor),
        cmocka_unit_test(the_plan_has_a_worker_for_each_place),
        cmocka_unit_test(libraries_are_what_their_rows_say),
        cmocka_unit_test(only_libraries_that_are_known_are_the_same),
        cmocka_unit_test(a_kernel_that_we_do_not_have_is_what_its_name_and_facts_say),
        cmocka_unit_test(what_a_matrix_asks_is_never_skipped),
        cmocka_unit_test(two_builds_of_a_model_on_a_device_are_none),
        cmocka_unit_test(a_block_may_name_its_cells_in_either_order),
        cmocka_unit_test(a_measurement_does_not_stand_in_two_rounds),
        cmocka_unit_test(a_side_of_a_round_is_not_alone),
        cmocka_unit_test(lines_without_a_head_make_no_matrix),
        cmocka_unit_test_setup_teardown(what_is_stored_is_what_was_read, run_make, run_remove),
        cmocka_unit_test(the_policy_without_a_policy_is_that_of_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
