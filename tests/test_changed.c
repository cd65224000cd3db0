/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/changed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/made_run.h"
#include "tests/own_policy.h"

static const char *i2s_paths[] = {"kernels/cpu/i2s_*", "kernels/format_i2s.c"};
static const char *unpack_paths[] = {"kernels/op_unpack.c"};
static const char *all_paths[] = {"kernels/*"};
static const char *surface[] = {"kernels/*", "worker/*", "CMakeLists.txt"};
static struct tg_flow_component components[] = {
    {{i2s_paths, 2}, "format=i2s isa=avx*"},
    {{unpack_paths, 1}, "op=unpack"},
    {{all_paths, 1}, "probe=*"},
};
static const struct tg_flow flow = {
    .surface = {surface, 3}, .components = components, .component_count = 3};

static struct tg_changed changed;

static int try_paths(const struct tg_flow *of, const char *paths, struct tg_error *err)
{
    FILE *lines = *paths ? fmemopen((char *)(uintptr_t)paths, strlen(paths), "r")
                         : fopen("/dev/null", "r");
    assert_non_null(lines);
    int rc = tg_changed_read(lines, of, &changed, err);
    fclose(lines);
    return rc;
}

/* What the reports say of these paths. */
static const char *note(const struct tg_flow *of, const char *paths)
{
    static char text[400];
    struct tg_error err;
    if (try_paths(of, paths, &err) < 0) fail_msg("%s", err.text);
    return tg_changed_note(&changed, text, sizeof text);
}

static void a_path_concerns_the_first_component_that_has_it(void **state)
{
    (void)state;
    assert_string_equal(note(&flow, "kernels/cpu/i2s_avx2.c\n"),
                        "only cells of what was changed: 'format=i2s isa=avx*'");
    assert_string_equal(note(&flow, "kernels/cpu/i2s_avx2.c\nkernels/format_i2s.c\n"
                                    "kernels/op_unpack.c\nREADME.md\n"),
                        "only cells of what was changed: 'format=i2s isa=avx*', 'op=unpack'");
    assert_int_equal(changed.path_count, 4);
    assert_string_equal(note(&flow, "kernels/fill.c"), "only cells of what was changed: 'probe=*'");
    assert_false(tg_changed_is_nothing(&changed));
}

static void a_path_on_the_surface_without_a_component_concerns_everything(void **state)
{
    (void)state;
    assert_string_equal(note(&flow, "docs/a.md\nworker/probe/probe.c\nCMakeLists.txt\n"),
                        "all cells: changed path 'worker/probe/probe.c' belongs to no component");
    assert_string_equal(note(&flow, "kernels/op_unpack.c\nCMakeLists.txt\n"),
                        "all cells: changed path 'CMakeLists.txt' belongs to no component");
    static const struct tg_flow silent = {0},
                                no_surface = {.components = components, .component_count = 3};
    assert_string_equal(note(&silent, "docs/a.md\n"),
                        "all cells: changed path 'docs/a.md' belongs to no component");
    assert_string_equal(note(&no_surface, "docs/a.md\n"),
                        "all cells: changed path 'docs/a.md' belongs to no component");
}

/* A submodule, or a directory that became a link: nobody knows what in it was changed. */
static void a_folder_concerns_everything_if_something_in_it_is_measured(void **state)
{
    (void)state;
    static const char *foreign_paths[] = {"3rdparty/*/src/*", "lib/?/*"};
    static struct tg_flow_component foreign[] = {{{foreign_paths, 2}, "format=i2s"}};
    static const struct tg_flow others = {
        .surface = {surface, 3}, .components = foreign, .component_count = 1};
    static const struct {
        const struct tg_flow *flow;
        const char *line, *path; /* NULL: it concerns nothing */
    } rows[] = {{&flow, "kernels", "kernels"},
                {&flow, "kernels/", "kernels"},
                {&flow, "kernels/cpu", "kernels/cpu"}, /* also where a later component has it */
                {&flow, "docs/a.md\nworker\n", "worker"},
                {&others, "3rdparty", "3rdparty"},
                {&others, "lib/a", "lib/a"},
                {&flow, "kernel\nkernels.md\nworkers\ndocs/kernels\n", NULL},
                {&others, "3rdparty.md\nlib/ab\n", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        note(rows[i].flow, rows[i].line);
        assert_string_equal(changed.unknown, rows[i].path ? rows[i].path : "");
        assert_int_equal(changed.cell_count, 0);
        assert_int_equal(tg_changed_is_nothing(&changed), !rows[i].path);
    }
}

/* Such a list would name nothing that is on the surface, and nothing would be measured. */
static void a_list_of_another_kind_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *lines, *message;
    } wrong[] = {
        {"docs/a.md\nM\tkernels/fill.c\n",
         "line 2: it has a tab: paths only, as git diff --name-only gives them"},
        {"docs/a.md\nkernels\\cpu\\i2s_avx2.c\n",
         "line 2: it has a backslash: paths with '/', as git diff --name-only gives them"},
        {" M kernels/fill.c\n", "line 1: it has a state: paths only"},
        {"?? kernels/fill.c\n", "line 1: it has a state: paths only"},
        {"/home/me/kernels/fill.c", "line 1: a path from the top of the sources is expected"},
        {"docs/../kernels/fill.c\n", "line 1: '.' and '..' are no directories of a list"},
        {"././kernels/fill.c\n", "line 1: '.' and '..' are no directories of a list"},
        {"\"\\056\\056/kernels/fill.c\"\n", "line 1: '.' and '..' are no directories of a list"},
        {" kernels/fill.c\n", "line 1: it begins or ends with a blank"},
        {"docs/a.md\nCMakeLists.txt \r\n", "line 2: it begins or ends with a blank"},
        {"docs/a.md\rkernels/fill.c\r", "line 1: it has a carriage return within"},
        {"docs/a.md kernels/fill.c\n", "line 1: it has several paths: one on each line"},
        {"kernels/cpu/i2s_avx2.c  kernels/fill.c",
         "line 1: it has several paths: one on each line"},
        {"docs/a.md b.md ./CMakeLists.txt", "line 1: it has several paths: one on each line"},
        {"\"docs/a.md\" \"CMakeLists.txt\"\n", "line 1: it has several paths: one on each line"},
        {"docs/a.md,kernels/fill.c\n", "line 1: it has several paths: one on each line"},
        {"docs/a.md;kernels/fill.c\n", "line 1: it has several paths: one on each line"},
        {"['docs/a.md', 'kernels/fill.c']", "line 1: it has several paths: one on each line"},
        {"\xef\xbb\xbfkernels/fill.c\r\n", "line 1: it begins with a byte order mark"}};
    struct tg_error err;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(try_paths(&flow, wrong[i].lines, &err), -1);
        assert_string_equal(err.text, wrong[i].message);
    }
    FILE *wide = tmpfile();
    assert_non_null(wide);
    assert_int_equal(fwrite("k\0e\0\n\0", 1, 6, wide), 6);
    rewind(wide);
    assert_int_equal(tg_changed_read(wide, &flow, &changed, &err), -1);
    assert_string_equal(err.text, "line 1: it has a zero byte");
    fclose(wide);
    note(&flow, ".github/a\n..a/b\nM a\n");
    assert_int_equal(changed.path_count, 3);
}

static void what_is_not_on_the_surface_concerns_nothing(void **state)
{
    (void)state;
    note(&flow, "docs/a.md\nREADME.md\nworkers.txt\nnot/kernels/x.c\ndocs/a kernel/b  c.md\n");
    assert_true(tg_changed_is_nothing(&changed));
    static const struct tg_changed not_asked;
    char text[80];
    assert_false(tg_changed_is_nothing(&not_asked));
    assert_string_equal(tg_changed_note(&not_asked, text, sizeof text), "");
}

/* What the kernels are made of and by, in the policies that name a surface. */
static void what_builds_the_kernels_is_on_every_surface(void **state)
{
    (void)state;
    static const char *const names[] = {"generative", "integrative", "review"};
    static const char *const inputs[] = {
        "kernels/isa.def",   "kernels/fill.c",     "base/clock.c",         "CMakeLists.txt",
        "cmake/flags.cmake", "CMakePresets.json",  "cmake/bundle/make.sh", "dev",
        "Cargo.lock",        ".cargo/config.toml", "rust-toolchain.toml",  "crates/a/build.rs"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tg_policy policy;
        own_policy(names[i], &policy);
        for (size_t k = 0; k < sizeof inputs / sizeof *inputs; k++) {
            note(&policy.process, inputs[k]);
            if (tg_changed_is_nothing(&changed)) fail_msg("%s: %s", names[i], inputs[k]);
        }
        note(&policy.process, "README.md");
        assert_true(tg_changed_is_nothing(&changed));
        tg_policy_release(&policy);
    }
}

static void lines_are_read_as_git_prints_them(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"./worker/a.c\r\n", "worker/a.c"},
        {"\n\nworker/a b.c", "worker/a b.c"},
        {"\"worker/\\303\\244.c\"\n", "worker/\303\244.c"},
        {"\"worker/\\\"\\\\\\t.c\"", "worker/\"\\\t.c"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        note(&flow, rows[i][0]);
        assert_string_equal(changed.unknown, rows[i][1]);
        assert_int_equal(changed.path_count, 1);
    }
    struct tg_error err;
    assert_int_equal(try_paths(&flow, "", &err), -1);
    assert_string_equal(err.text, "the list of changed paths is empty");
    assert_int_equal(try_paths(&flow, "\n\r\n", &err), -1);
}

/* Through plan.json: cells are left out, and the plan made from it is the same. */
static void a_plan_keeps_what_was_changed(void **state)
{
    (void)state;
    static const char matrix[] =
        "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_scalar\","
        "\"i2s_avx2\", \"i2s_avx2_unpack\"], \"layer\": [\"640x2560\"]}}";
    static const char policy[] =
        "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": ["
        "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9}]}";
    static const char products[] =
        "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": [{\"rule\": \"floor\", \"metric\":"
        "\"kernel_accuracy\", \"limit\": 0.9, \"where\": \"op=product\"}]}";
    static const struct {
        const char *paths;
        size_t cells;
    } rows[] = {{"kernels/cpu/i2s_avx2.c", 2},
                {"kernels/op_unpack.c", 1},
                {"kernels/fill.c", 3},
                {"CMakeLists.txt\nkernels/op_unpack.c", 3},
                {"kernels/op_unpack.c\nkernels/cpu/i2s_avx2.c\nREADME.md", 2}};
    struct tg_asked asked = made_asked;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_capability worker = made_worker("a", NULL);
        struct tg_plan plan;
        char before[400], after[400];
        note(&flow, rows[i].paths);
        asked.changed = changed;
        made_plan(matrix, policy, &worker, 1, &asked, &plan);
        assert_int_equal(plan.spec.cell_count, rows[i].cells);
        assert_string_equal(tg_changed_note(&plan.asked.changed, after, sizeof after),
                            tg_changed_note(&changed, before, sizeof before));
        tg_plan_release(&plan);
    }
    struct tg_capability worker = made_worker("a", NULL);
    struct tg_plan plan;
    struct tg_error err;
    snprintf(asked.changed.cells[0], sizeof asked.changed.cells[0], "layer=attn_q");
    asked.changed.cell_count = 1;
    assert_int_equal(made_try(matrix, policy, &worker, 1, &asked, &plan, &err), -1);
    assert_string_equal(err.text, "the matrix has no cell of what was changed, 'layer=attn_q'");
    worker = made_worker("a", NULL);
    snprintf(asked.changed.cells[0], sizeof asked.changed.cells[0], "op=unpack");
    assert_int_equal(made_try(matrix, products, &worker, 1, &asked, &plan, &err), -1);
    assert_string_equal(err.text,
                        "no rule of the policy selects a cell of what was changed, 'op=unpack'");
}

/* The others have cells and tests, and would pass for it. */
static void each_component_that_was_changed_must_be_measured(void **state)
{
    (void)state;
    static const char matrix[] =
        "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_avx2\","
        "\"i2s_avx2_unpack\"], \"layer\": [\"640x2560\"]}}";
    static const char policy[] =
        "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": [{\"rule\": \"floor\", \"metric\":"
        "\"kernel_accuracy\", \"limit\": 0.9, \"where\": \"op=product\"}]}";
    static const char no_cell[] = "the matrix has no cell of what was changed, ",
                      no_rule[] = "no rule of the policy selects a cell of what was changed, ";
    static const struct {
        const char *cells[3], *why, *which;
    } rows[] = {{{"op=product", "isa=avx2", "probe=*"}, NULL, ""},
                {{"op=product", "layer=attn_q", "probe=*"}, no_cell, "'layer=attn_q'"},
                {{"isa=neon", "op=product", "layer=attn_q"}, no_cell, "'isa=neon', 'layer=attn_q'"},
                {{"op=product", "op=unpack", "isa=neon"}, no_cell, "'isa=neon'"},
                {{"op=product", "op=unpack", "probe=*"}, no_rule, "'op=unpack'"}};
    struct tg_asked asked = made_asked;
    asked.changed = (struct tg_changed){.path_count = 3, .cell_count = 3};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_capability worker = made_worker("a", NULL);
        struct tg_plan plan;
        struct tg_error err;
        for (size_t c = 0; c < 3; c++)
            snprintf(asked.changed.cells[c], sizeof *asked.changed.cells, "%s", rows[i].cells[c]);
        made_plan(matrix, policy, &worker, 1, &asked, &plan); /* as a stored run's is */
        assert_int_equal(tg_changed_check(&plan.asked.changed, &err), rows[i].why ? -1 : 0);
        tg_plan_release(&plan);
        if (!rows[i].why) continue;
        assert_memory_equal(err.text, rows[i].why, strlen(rows[i].why));
        assert_string_equal(err.text + strlen(rows[i].why), rows[i].which);
    }
}

/* A rule that compares what was changed with what was not would be asked of nothing. */
static void what_was_changed_keeps_what_it_is_compared_with(void **state)
{
    (void)state;
    static const char matrix[] =
        "{\"tritgate_matrix\": 1, \"axes\": {\"probe\": [\"kernel\"], \"kernel\": [\"i2s_scalar\","
        "\"i2s_avx2\", \"i2s_gpu\"], \"layer\": [\"640x2560\"]}}";
    static const char policy[] =
        "{\"tritgate_policy\": 1, \"flow\": \"f\", \"rules\": ["
        "{\"rule\": \"floor\", \"metric\": \"kernel_accuracy\", \"limit\": 0.9},"
        "{\"rule\": \"ratio\", \"metric\": \"call_time\", \"axis\": \"kernel\", \"limit\": 2,"
        "\"of\": \"i2s_gpu\", \"against\": \"device=cpu isa=avx*\"}]}";
    static const struct {
        const char *cells;
        size_t cell_count, test_count;
    } rows[] = {{"device=cuda", 2, 2}, /* its own, and the pair; not the floor of the rival */
                {"isa=avx2", 2, 2},    /* faster, it may be the one that is better */
                {"isa=scalar", 1, 1},
                {"isa=*", 3, 4}};
    struct tg_asked asked = made_asked;
    asked.changed = (struct tg_changed){.path_count = 1, .cell_count = 1};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tg_capability worker = made_worker("a", NULL);
        struct tg_plan plan;
        struct tg_survey_kernel *gpu = made_kernel(&worker.head, "i2s_avx512vnni");
        snprintf(gpu->name, sizeof gpu->name, "i2s_gpu");
        snprintf(gpu->device, sizeof gpu->device, "cuda");
        snprintf(asked.changed.cells[0], sizeof asked.changed.cells[0], "%s", rows[i].cells);
        made_plan(matrix, policy, &worker, 1, &asked, &plan);
        assert_int_equal(plan.spec.cell_count, rows[i].cell_count);
        assert_int_equal(plan.spec.test_count, rows[i].test_count);
        assert_int_equal(plan.spec.block_count, rows[i].test_count);
        for (size_t t = 0; t < plan.spec.test_count; t++) {
            const struct tg_test *test = &plan.spec.tests[t];
            assert_memory_equal(&plan.spec.blocks[test->block].cells[0], &test->of,
                                sizeof test->of);
        }
        tg_plan_release(&plan);
    }
}

static void nothing_to_measure_is_skipped_by_name(void **state)
{
    (void)state;
    static const char *gates[] = {"perf"};
    struct tg_policy policy = {.flow = "review", .process = {.writes = {gates, 1}}};
    char text[200] = "";
    FILE *out = fmemopen(text, sizeof text, "w");
    assert_int_equal(tg_changed_say_nothing(&policy, out, NULL, NULL), 0);
    fclose(out);
    assert_string_equal(text, "review:gate:perf = skipped (no-surface)\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_concerns_the_first_component_that_has_it),
        cmocka_unit_test(a_path_on_the_surface_without_a_component_concerns_everything),
        cmocka_unit_test(a_folder_concerns_everything_if_something_in_it_is_measured),
        cmocka_unit_test(a_list_of_another_kind_is_refused),
        cmocka_unit_test(what_is_not_on_the_surface_concerns_nothing),
        cmocka_unit_test(what_builds_the_kernels_is_on_every_surface),
        cmocka_unit_test(lines_are_read_as_git_prints_them),
        cmocka_unit_test(a_plan_keeps_what_was_changed),
        cmocka_unit_test(each_component_that_was_changed_must_be_measured),
        cmocka_unit_test(what_was_changed_keeps_what_it_is_compared_with),
        cmocka_unit_test(nothing_to_measure_is_skipped_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
