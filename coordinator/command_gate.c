/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "coordinator/command.h"
#include "coordinator/join.h"
#include "coordinator/report.h"
#include "coordinator/run_directory.h"

/* gate and report: what a stored run says. Neither measures, nor writes into the run. */

struct options {
    const char **directories;
    size_t count;
    const char *policy, *accept, *json, *format, *out, *step;
    bool accepts_imported;
};

enum { JSON = 256, FORMAT, IMPORTED, ACCEPT, STEP };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'p': o->policy = arg; return 0;
    case JSON: o->json = arg; return 0;
    case FORMAT: o->format = arg; return 0;
    case IMPORTED: o->accepts_imported = true; return 0;
    case ACCEPT: o->accept = arg; return 0;
    case STEP: o->step = arg; return 0;
    case 'o': o->out = strcmp(arg, "-") == 0 ? NULL : arg; return 0;
    case ARGP_KEY_ARG: o->directories[o->count++] = arg; return 0;
    case ARGP_KEY_END:
        if (!o->count) argp_failure(state, TG_STATUS_USAGE, 0, "a run's directory is missing");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option gate_options[] = {
    {"policy", 'p', "FILE", 0,
     "decide under this policy, a file or a name (default: the run's own)", 0},
    {"step", STEP, "NAME", 0, "decide as this step of the flow (default: the run's own)", 0},
    {"imported", IMPORTED, NULL, 0, "decide on imported evidence, too", 0},
    {"accept", ACCEPT, "FILE", 0, "losses that are accepted (default: the run's own)", 0},
    {"json", JSON, "FILE", 0, "write the receipt here", 0},
    {0}};

static const struct argp gate_argp = {
    gate_options,
    parse,
    "DIR...",
    "Decides again from a stored run, without measuring anything. The same files and policy give "
    "the same bytes. Several runs of the same matrix, policy and libraries are judged "
    "together.\vExit status: 0 pass, 1 fail, 2 inconclusive, 3 unusable run or policy.",
    NULL,
    NULL,
    NULL};

static const struct argp_option report_options[] = {
    {"format", FORMAT, "NAME", 0, "which report (tritgate list reports; default: markdown)", 0},
    {"imported", IMPORTED, NULL, 0, "decide on imported evidence, too", 0},
    {"out", 'o', "FILE", 0, "write it here (default, and '-': standard output)", 0},
    {"policy", 'p', "FILE", 0,
     "decide under this policy, a file or a name (default: the run's own)", 0},
    {"step", STEP, "NAME", 0, "decide as this step of the flow (default: the run's own)", 0},
    {"accept", ACCEPT, "FILE", 0, "losses that are accepted (default: the run's own)", 0},
    {0}};

static const struct argp report_argp = {
    report_options,
    parse,
    "DIR...",
    "Prints one report of a stored run, or of several that are judged together.\vExit status: 0, "
    "or 3 for an unusable run.",
    NULL,
    NULL,
    NULL};

static int fail(const struct tg_error *err)
{
    tg_log(TG_ERROR, "%s", err->text);
    return TG_STATUS_USAGE;
}

/* Room for as many directories as there are arguments. */
static void take_arguments(const struct argp *argp, int argc, char **argv, struct options *o)
{
    o->directories = calloc((size_t)argc, sizeof *o->directories);
    if (!o->directories) exit(TG_STATUS_STOPPED);
    argp_parse(argp, argc, argv, 0, NULL, o);
}

/* Where it is asked for, or to standard output; what is there stays until there is a decision. */
static int write_report(const struct options *o, const struct tg_report *report,
                        const struct tg_plan *plan, const struct tg_decision *decision,
                        struct tg_error *err)
{
    if (o->out) return tg_report_write(report, o->out, plan, decision, err);
    report->write(stdout, plan, decision);
    return 0;
}

/* Reads, plans and decides; prints the report, and gives the decision's status. */
static int decide(const struct options *o, const struct tg_report *report)
{
    struct tg_error err;
    struct tg_run run;
    struct tg_plan plan;
    struct tg_decision decision;
    char path[4096];
    if (tg_command_policy(o->policy, NULL, NULL, path, sizeof path, &err) < 0 ||
        tg_join_open(o->directories, o->count, o->policy ? path : NULL, &run, &plan, &err) < 0)
        return fail(&err);
    int status = TG_STATUS_USAGE;
    plan.accepts_imported = o->accepts_imported;
    if ((!o->step ||
         tg_run_directory_take_step(o->step, o->policy ? path : NULL, &run, &plan, &err) == 0) &&
        (!o->accept || tg_run_directory_accept(o->accept, &run, &plan, &err) == 0) &&
        tg_gate_decide(&plan, &run, &decision, &err) == 0) {
        if (write_report(o, report, &plan, &decision, &err) == 0 &&
            tg_run_directory_copy_receipt(o->json, &plan, &decision, &err) == 0)
            status = tg_gate_status(&decision);
        tg_gate_release(&decision);
    }
    tg_plan_release(&plan);
    tg_store_release(&run);
    return status == TG_STATUS_USAGE ? fail(&err) : status;
}

int tg_command_gate(int argc, char **argv)
{
    struct options options = {0};
    take_arguments(&gate_argp, argc, argv, &options);
    tg_run_directory_empty_receipt(options.json);
    int status = decide(&options, tg_report_find("terminal"));
    free(options.directories);
    return status;
}

static int print_report(const struct options *o)
{
    struct tg_error err;
    const struct tg_report *report = tg_report_find(o->format);
    if (!report) {
        tg_fail(&err, "no such report '%s'; see tritgate list reports", o->format);
        return fail(&err);
    }
    int status = decide(o, report);
    return status == TG_STATUS_USAGE ? status : 0;
}

int tg_command_report(int argc, char **argv)
{
    struct options options = {.format = "markdown"};
    take_arguments(&report_argp, argc, argv, &options);
    int status = print_report(&options);
    free(options.directories);
    return status;
}
