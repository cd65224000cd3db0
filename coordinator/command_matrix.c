/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/log.h"
#include "coordinator/begin.h"
#include "coordinator/budget.h"
#include "coordinator/changed.h"
#include "coordinator/command.h"
#include "coordinator/coverage.h"
#include "coordinator/job_matrix.h"
#include "coordinator/plan.h"
#include "coordinator/report.h"
#include "worker/host.h"
#include "worker/library.h"
#include "worker/model/model_source.h"
#include "worker/seat.h"

struct options {
    const char *matrix, *policy, *base, *filter, *step, *model, *changed;
    char file[4096]; /* of --model, absolute; "" without it */
    size_t shards;   /* 0: as many as the policy's budget asks for */
    bool json, github;
};

enum { BASE = 256, MODEL, FILTER, CHANGED, JSON, STEP, GITHUB, SHARDS };

static const struct argp_option option_list[] = {
    {"policy", 'p', "FILE", 0,
     "the rules, a file or a name (default: the policy that the matrix names)", 0},
    {"step", STEP, "NAME", 0, "of the policy's flow (default: the last that writes its gate)", 0},
    {"base", BASE, "LIB", 0, "an older build to compare with", 0},
    {"model", MODEL, "FILE", 0, "the file of the model 'gguf' (default: BITNET_GGUF)", 0},
    {"filter", FILTER, "PATTERN", 0, "only cells that match, as 'kernel=i2s_* batch=1'", 0},
    {"changed", CHANGED, "FILE", 0, "only cells of these changed paths, one a line", 0},
    {"json", JSON, NULL, 0, "as JSON", 0},
    {"github", GITHUB, NULL, 0, "as a job matrix of shards for GitHub Actions, one line", 0},
    {"shards", SHARDS, "N", 0, "how many, with --github (default: as the budget asks for)", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    char *end;
    switch (key) {
    case 'p': o->policy = arg; return 0;
    case BASE: o->base = arg; return 0;
    case FILTER: tg_command_take(state, "filter", &o->filter, arg); return 0;
    case MODEL: o->model = arg; return 0;
    case CHANGED: o->changed = arg; return 0;
    case JSON: o->json = true; return 0;
    case GITHUB: o->github = true; return 0;
    case SHARDS:
        o->shards = strtoul(arg, &end, 10);
        if (!isdigit((unsigned char)*arg) || *end || !o->shards || o->shards > TG_JOB_MATRIX_MOST)
            argp_failure(state, TG_STATUS_USAGE, 0, "unusable number of shards '%s': 1 to %d", arg,
                         TG_JOB_MATRIX_MOST);
        return 0;
    case STEP: o->step = arg; return 0;
    case ARGP_KEY_ARG: tg_command_take(state, "matrix", &o->matrix, arg); return 0;
    case ARGP_KEY_END:
        if (!o->matrix) argp_failure(state, TG_STATUS_USAGE, 0, "a matrix is missing");
        if (o->shards && !o->github)
            argp_failure(state, TG_STATUS_USAGE, 0, "--shards goes with --github");
        if (o->json && o->github)
            argp_failure(state, TG_STATUS_USAGE, 0, "either --json or --github");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_list,
    parse,
    "MATRIX",
    "Lists what a matrix asks: every cell, and why this machine could not run it where that is so; "
    "the tests that its policy makes of them; and how many there are, how long they take at least, "
    "and whether the budget covers that. Nothing is measured.\v"
    "Exit status: 0, or 3 for an unusable matrix, policy, model or list of paths.",
    NULL,
    NULL,
    NULL};

static bool here(const struct tg_plan *plan, const struct tg_cell *cell, char *reason, size_t size)
{
    const struct tg_block one = {.cells = {*cell}, .cell_count = 1};
    return tg_plan_can_run(plan, &plan->workers[0], &one, reason, size);
}

/* What a test can find with the noise that is expected, as it is planned; "" if it cannot be said.
 */
static char *planned(const struct tg_plan *plan, size_t test, char *out, size_t size)
{
    struct tg_rows *rows;
    struct tg_verdict v;
    out[0] = 0;
    if (tg_rows_create(plan, &rows, NULL) < 0) return out;
    if (plan->prospects[test].fate == TG_TO_MEASURE &&
        tg_judge_test(plan, test, rows, NULL, &v, NULL) == 0) {
        tg_judge_foresee(plan, &v);
        v.detectable = v.detectable_planned;
        tg_report_detectable(&plan->policy.rules[plan->spec.tests[test].rule], &v, out, size);
    }
    tg_rows_destroy(rows);
    return out;
}

/* Why cells cannot be run here, each reason once. */
struct lack {
    char reason[400];
    size_t cells;
};

/* Counts a cell that cannot be run for a reason, among `count` others; returns how many are known.
 */
static size_t count_lack(struct lack *lacks, size_t count, const char *reason)
{
    size_t i = 0;
    while (i < count && strcmp(lacks[i].reason, reason) != 0) i++;
    if (i == count) snprintf(lacks[count++].reason, sizeof lacks->reason, "%s", reason);
    lacks[i].cells++;
    return count;
}

/*
 * Every cell, and what is not so of it: the reasons are counted into `lacks`, and at `unasked`, of
 * which there are so many, no rule asks for it.
 */
static size_t print_cells(const struct tg_plan *plan, const size_t *unasked, size_t unasked_count,
                          struct lack *lacks)
{
    char text[TG_CELL_TEXT_SIZE], reason[400];
    size_t count = 0, next = 0;
    for (size_t i = 0; i < plan->spec.cell_count; i++) {
        const struct tg_cell *cell = &plan->spec.cells[i];
        printf("cell  %s\n", tg_cell_text(cell, text));
        if (next < unasked_count && unasked[next] == i) {
            puts("      no rule asks for it");
            next++;
        }
        if (here(plan, cell, reason, sizeof reason)) continue;
        printf("      nobody here: %s\n", reason);
        count = count_lack(lacks, count, reason);
    }
    return count;
}

static void print_tests(const struct tg_plan *plan)
{
    char text[TG_CELL_TEXT_SIZE], demand[128], finds[64];
    for (size_t i = 0; i < plan->spec.test_count; i++) {
        const struct tg_prospect *prospect = &plan->prospects[i];
        const struct tg_test *test = &plan->spec.tests[i];
        const struct tg_rule *rule = &plan->policy.rules[test->rule];
        printf("test  %s %s: %s%s%s\n", rule->rule, rule->metric,
               tg_report_subject(plan, i, text, sizeof text),
               test->is_shadow ? " (shadow, not counted)" : ", ",
               test->is_shadow ? "" : tg_report_demand(rule, demand, sizeof demand));
        if (*planned(plan, i, finds, sizeof finds)) printf("      can find %s\n", finds);
        if (prospect->fate != TG_TO_MEASURE)
            printf("      %s: %s\n", prospect->fate == TG_TO_SKIP ? "skipped" : "fails",
                   prospect->reason);
    }
}

static int print_text(const struct tg_plan *plan, struct tg_error *err)
{
    char text[400];
    size_t unable = 0, unasked_count = 0;
    struct lack *lacks = calloc(plan->spec.cell_count + 1, sizeof *lacks);
    size_t *unasked = calloc(plan->spec.cell_count + 1, sizeof *unasked);
    if (!lacks || !unasked || tg_coverage_find_unasked(plan, unasked, &unasked_count, err) < 0) {
        free(lacks);
        free(unasked);
        return tg_fail(err, "out of memory");
    }
    size_t count = print_cells(plan, unasked, unasked_count, lacks);
    free(unasked);
    print_tests(plan);
    for (size_t i = 0; i < count; i++) unable += lacks[i].cells;
    printf("\n%zu cells, %zu of them can be run here; %zu tests in %zu blocks, %zu statistical; "
           "about %.0f s for the least number of rounds, the budget is %.0f s\n",
           plan->spec.cell_count, plan->spec.cell_count - unable, plan->spec.test_count,
           plan->spec.block_count, plan->required_count, ceil(tg_budget_least_s(plan)),
           plan->asked.budget_s);
    for (size_t i = 0; i < count; i++)
        printf("%zu cell%s: nobody here: %s\n", lacks[i].cells, lacks[i].cells == 1 ? "" : "s",
               lacks[i].reason);
    if (unasked_count)
        printf("%zu cell%s: no rule asks for %s\n", unasked_count, unasked_count == 1 ? "" : "s",
               unasked_count == 1 ? "it" : "them");
    if (*tg_changed_note(&plan->asked.changed, text, sizeof text)) printf("%s\n", text);
    if (*tg_budget_say(plan, text, sizeof text)) printf("%s\n", text);
    free(lacks);
    return 0;
}

static void print_json(const struct tg_plan *plan)
{
    char text[TG_CELL_TEXT_SIZE], reason[400];
    struct tg_json *root = tg_json_object(NULL, NULL);
    struct tg_json *cells = tg_json_array(root, "cells");
    for (size_t i = 0; i < plan->spec.cell_count; i++) {
        struct tg_json *item = tg_json_object(cells, NULL);
        bool can = here(plan, &plan->spec.cells[i], reason, sizeof reason);
        tg_json_add_text(item, "cell", tg_cell_text(&plan->spec.cells[i], text));
        tg_json_add_boolean(item, "can_run", can);
        tg_json_add_text(item, "reason", can ? "" : reason);
    }
    struct tg_json *tests = tg_json_array(root, "tests");
    for (size_t i = 0; i < plan->spec.test_count; i++) {
        const struct tg_test *test = &plan->spec.tests[i];
        struct tg_json *item = tg_json_object(tests, NULL);
        tg_json_add_text(item, "rule", plan->policy.rules[test->rule].rule);
        tg_json_add_text(item, "metric", plan->policy.rules[test->rule].metric);
        tg_json_add_text(item, "block", plan->spec.blocks[test->block].text);
        tg_json_add_boolean(item, "is_shadow", test->is_shadow);
        tg_json_add_boolean(item, "can_run", plan->prospects[i].fate == TG_TO_MEASURE);
        tg_json_add_text(item, "reason", plan->prospects[i].reason);
        tg_json_add_text(item, "can_find", planned(plan, i, text, sizeof text));
    }
    tg_json_add_number(root, "statistical", (double)plan->required_count);
    tg_json_add_number(root, "expected_s", tg_budget_least_s(plan));
    tg_json_add_number(root, "budget_s", plan->asked.budget_s);
    char *line = tg_json_print(root, true);
    puts(line);
    free(line);
    tg_json_free(root);
}

/* This machine as the one worker of a run with that policy. */
static int survey_here(const struct options *o, const struct tg_json_file *policy,
                       struct tg_capability *worker, struct tg_error *err)
{
    char path[4096];
    const struct tg_node here = {NULL, NULL};
    struct tg_place_wish wish = tg_place_alone;
    struct tg_seat seat;
    char exclusive[TG_TEXT_SIZE];
    tg_host_name(worker->host);
    snprintf(worker->domain, sizeof worker->domain, "any");
    if (tg_policy_read_exclusive(policy, exclusive, err) < 0) return -1;
    wish.exclusive = tg_policy_exclusive(exclusive);
    if (tg_seat_find(&here, &wish, &seat, err) < 0) return -1;
    tg_record_format(&tg_hardware_type, &seat.machine, worker->machine, sizeof worker->machine);
    if (tg_hardware_class(&seat.machine, worker->hardware, err) < 0 ||
        tg_library_own_path(path, sizeof path, err) < 0 ||
        tg_survey_take(path, &worker->head, err) < 0)
        return -1;
    tg_seat_mark(&seat, &worker->head);
    if (!o->base) return 0;
    char *base = realpath(o->base, NULL);
    if (!base) return tg_fail(err, "cannot open library '%s': %s", o->base, strerror(errno));
    int rc = tg_survey_take(base, &worker->base, err);
    if (rc == 0) tg_seat_mark(&seat, &worker->base);
    worker->has_base = rc == 0;
    free(base);
    return rc;
}

/* What these texts ask of this machine, in the place of what was planned as less was known. */
static int plan_here(const struct tg_asked *asked, const struct tg_capability *worker,
                     const struct options *o, const struct tg_json_file *matrix,
                     const struct tg_json_file *policy, struct tg_plan *plan, struct tg_error *err)
{
    tg_plan_release(plan);
    char *text = tg_plan_text(asked, worker, 1);
    int rc = tg_plan_make(matrix->text, o->matrix, policy->text, text, plan, err);
    free(text);
    if (rc == 0) plan->asked.budget_s = plan->policy.limits.budget_s;
    return rc;
}

/*
 * The plan that a run would make: with the file of the model `gguf` if a cell asks for it, of what
 * was changed, and in shards. Where that is nothing, the plan is of all.
 */
static int plan_run(struct tg_asked *asked, struct tg_capability *worker, const struct options *o,
                    const struct tg_json_file *matrix, const struct tg_json_file *policy,
                    struct tg_plan *plan, struct tg_error *err)
{
    if (plan_here(asked, worker, o, matrix, policy, plan, err) < 0) return -1;
    if (o->changed &&
        tg_changed_read_file(o->changed, &plan->policy.process, &asked->changed, err) < 0)
        return -1;
    if (tg_changed_is_nothing(&asked->changed)) return 0;
    bool has_file = tg_spec_has_model(&plan->spec, TG_MODEL_FILE);
    if (has_file) {
        struct tg_model_source models;
        tg_model_source_init(&models, "", o->file);
        tg_survey_mark_model(&worker->head, &models);
    }
    if ((has_file || o->changed) && plan_here(asked, worker, o, matrix, policy, plan, err) < 0)
        return -1;
    if (tg_changed_check(&plan->asked.changed, err) < 0 ||
        tg_begin_check_model(plan, o->file, err) < 0)
        return -1;
    if (!o->github) return 0;
    asked->shard_count = o->shards ? o->shards : tg_job_matrix_shards(plan);
    worker->shard = 1;
    return plan_here(asked, worker, o, matrix, policy, plan, err);
}

static int print(const struct options *o, const struct tg_plan *plan, struct tg_error *err)
{
    struct utsname here = {.machine = ""};
    if (o->github && uname(&here) == 0)
        tg_job_matrix_write(stdout, plan, here.machine);
    else if (o->json)
        print_json(plan);
    else
        return print_text(plan, err);
    return 0;
}

/* That a run would measure nothing: in its words, or as empty lists. */
static int print_nothing(const struct options *o, const struct tg_plan *plan, struct tg_error *err)
{
    struct tg_plan none = *plan;
    if (!o->json && !o->github) return tg_changed_say_nothing(&plan->policy, stdout, NULL, err);
    none.spec.cell_count = none.spec.test_count = none.spec.block_count = none.required_count = 0;
    return print(o, &none, err);
}

static int list(struct options *o, struct tg_error *err)
{
    struct tg_capability worker = {0};
    struct tg_asked asked = {.seed = "0", .is_same = true};
    struct tg_json_file matrix = {0}, policy = {0};
    struct tg_plan plan = {0};
    char path[4096];
    int rc = -1;
    if (tg_json_read(o->matrix, &matrix, err) < 0) {
        tg_fail_in(err, "matrix");
        goto out;
    }
    if (tg_command_policy(o->policy, &matrix, o->matrix, path, sizeof path, err) < 0) goto out;
    if (tg_json_read(path, &policy, err) < 0) {
        tg_fail_in(err, "policy");
        goto out;
    }
    if (tg_begin_find_model(o->model, o->file, err) < 0 ||
        survey_here(o, &policy, &worker, err) < 0)
        goto out;
    snprintf(asked.filter, sizeof asked.filter, "%s", o->filter ? o->filter : "");
    snprintf(asked.step, sizeof asked.step, "%s", o->step ? o->step : "");
    if (plan_run(&asked, &worker, o, &matrix, &policy, &plan, err) < 0) goto out;
    rc = tg_changed_is_nothing(&asked.changed) ? print_nothing(o, &plan, err)
                                               : print(o, &plan, err);
out:
    tg_plan_release(&plan);
    tg_json_release(&matrix);
    tg_json_release(&policy);
    tg_plan_capability_release(&worker);
    return rc;
}

int tg_command_matrix(int argc, char **argv)
{
    struct options options = {0};
    struct tg_error err;
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    if (list(&options, &err) == 0) return 0;
    tg_log(TG_ERROR, "%s", err.text);
    return TG_STATUS_USAGE;
}
