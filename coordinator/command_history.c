/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "coordinator/command.h"
#include "coordinator/history.h"
#include "coordinator/history_plot.h"
#include "coordinator/history_report.h"
#include "coordinator/join.h"

/* history: keeps decided runs, and looks over all of them for what no single run shows. */

struct options {
    const char *store, *plot, *json, *test, *watch;
    char **runs; /* run_count of them, behind the store on the command line */
    size_t run_count;
};

enum { PLOT = 256, JSON, TEST, WATCH };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case PLOT: o->plot = arg; return 0;
    case JSON: o->json = arg; return 0;
    case TEST: o->test = arg; return 0;
    case WATCH: o->watch = arg; return 0;
    case ARGP_KEY_ARG:
        if (!o->store)
            o->store = arg;
        else
            o->runs[o->run_count++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (!o->store) argp_failure(state, TG_STATUS_USAGE, 0, "a history's directory is missing");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option argp_options[] = {
    {"plot", PLOT, "FILE", 0, "draw the series into this SVG file", 0},
    {"json", JSON, "FILE", 0, "write what was found here", 0},
    {"test", TEST, "PATTERN", 0, "only series with this in their title (a shell pattern)", 0},
    {"watch", WATCH, "NUMBERS", 0,
     "watch with these numbers, as 'level=0.05 creep_min=8' (tritgate list watch)", 0},
    {0}};

static const struct argp history_argp = {
    argp_options,
    parse,
    "STORE [RUN...]",
    "Adds decided runs to the history in the directory STORE, one file for each class of hardware, "
    "and names what all runs together show: steps, slow creep, and how often the gate was wrong "
    "where a build was compared with itself. Nothing is gated by it.\v"
    "A run that is none to keep is named and passed over. Exit status: 0, or 3 for an unusable "
    "history or pattern, for what is no run, and if no run that is named can be kept.",
    NULL,
    NULL,
    NULL};

/* What became of a run that was named. */
enum fate { ADDED, KNOWN, NOT_KEPT, NO_RUN, FATES };

/* Adds what a decided run says to the history of each class of its hardware. */
static int add_decided(const char *store, const struct tg_plan *plan, const struct tg_run *run,
                       const struct tg_decision *decision, enum fate *fate, struct tg_error *err)
{
    *fate = KNOWN;
    for (size_t c = 0; c < plan->class_count; c++) {
        struct tg_history taken;
        size_t count = 0;
        if (tg_history_take(plan, run, decision, c, &taken, err) < 0) return -1;
        int rc = taken.run_count ? tg_store_history_add(store, &taken, &count, err) : 0;
        tg_store_history_release(&taken);
        if (rc < 0) return -1;
        if (count) *fate = ADDED;
    }
    return 0;
}

/* Adds a run if it is one to keep; `why` says why it is not. Fails if it cannot be added. */
static int add_run(const char *store, const char *directory, enum fate *fate, struct tg_error *why,
                   struct tg_error *err)
{
    struct tg_run run;
    struct tg_plan plan;
    struct tg_decision decision;
    int rc = 0;
    *fate = NO_RUN;
    if (tg_join_open(&directory, 1, NULL, &run, &plan, why) < 0) return 0;
    if (tg_history_accept(&plan, &run, why) < 0) {
        tg_fail_in(why, "run '%s' is not kept", directory);
        *fate = NOT_KEPT;
    } else {
        rc = tg_gate_decide(&plan, &run, &decision, err);
        if (rc == 0) {
            rc = add_decided(store, &plan, &run, &decision, fate, err);
            tg_gate_release(&decision);
        }
    }
    tg_plan_release(&plan);
    tg_store_release(&run);
    return rc;
}

/* Who leaves STORE out names a run in its place, or what merge made, which nothing may be added to.
 */
static int check_store(const char *store, struct tg_error *err)
{
    char path[4096 + 16], **parts;
    size_t count;
    snprintf(path, sizeof path, "%s/plan.json", store);
    if (tg_join_expand(&store, 1, &parts, &count, err) < 0) return -1;
    const bool is_run = access(path, F_OK) == 0 || strcmp(parts[0], store) != 0;
    tg_join_forget(parts, count);
    return is_run ? tg_fail(err, "'%s' is a run, and no history", store) : 0;
}

/* Adds the runs that can be kept, names the others, and counts what became of them. */
static int add_runs(const struct options *o, size_t counts[FATES], struct tg_error *err)
{
    for (size_t i = 0; i < o->run_count; i++) {
        enum fate fate;
        struct tg_error why;
        if (add_run(o->store, o->runs[i], &fate, &why, err) < 0) return -1;
        if (fate == NOT_KEPT || fate == NO_RUN) tg_log(TG_WARN, "%s", why.text);
        counts[fate]++;
    }
    if (counts[ADDED] + counts[KNOWN] == 0) return 0;
    printf("%zu run%s added or gone on with, %zu known already or without an estimate",
           counts[ADDED], counts[ADDED] == 1 ? "" : "s", counts[KNOWN]);
    if (counts[NOT_KEPT] + counts[NO_RUN] > 0)
        printf(", %zu not kept", counts[NOT_KEPT] + counts[NO_RUN]);
    puts("\n");
    return 0;
}

/* The reports of all classes, with their histories. */
struct shown {
    struct tg_history *histories;
    struct tg_history_report *reports;
    size_t count;
};

static void release(struct shown *shown)
{
    for (size_t i = 0; i < shown->count; i++) {
        tg_history_report_release(&shown->reports[i]);
        tg_store_history_release(&shown->histories[i]);
    }
    free(shown->reports);
    free(shown->histories);
}

static int read_all(const struct options *o, const struct tg_watch *watch, struct shown *shown,
                    struct tg_error *err)
{
    char(*classes)[TG_TEXT_SIZE];
    size_t count;
    int rc = 0;
    *shown = (struct shown){0};
    if (tg_store_history_classes(o->store, &classes, &count, err) < 0) return -1;
    shown->histories = calloc(count + 1, sizeof *shown->histories);
    shown->reports = calloc(count + 1, sizeof *shown->reports);
    if (!shown->histories || !shown->reports) rc = tg_fail(err, "out of memory");
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = tg_store_history_read(o->store, classes[i], &shown->histories[i], err);
        if (rc == 0) {
            shown->count++;
            rc = tg_history_report_make(&shown->histories[i], o->test, watch, &shown->reports[i],
                                        err);
        }
    }
    free(classes);
    return rc;
}

/* A pattern that no series matches is a slip. */
static int check_chosen(const struct options *o, const struct shown *shown, struct tg_error *err)
{
    if (!o->test) return 0;
    for (size_t i = 0; i < shown->count; i++)
        if (shown->reports[i].count > 0) return 0;
    return tg_fail(err, "no series of '%s' matches '%s'", o->store, o->test);
}

static void print_all(const struct shown *shown, const struct tg_watch *watch,
                      const struct tg_alarms *alarms)
{
    size_t series = 0, found = 0, looks = 0;
    char text[256];
    for (size_t i = 0; i < shown->count; i++) {
        tg_history_report_print(&shown->reports[i], stdout);
        putchar('\n');
        series += shown->reports[i].count;
        found += tg_history_report_found(&shown->reports[i]);
        looks += tg_history_report_looks(&shown->reports[i], watch);
    }
    printf("%zu of %zu series show a change; ", found, series);
    if (looks)
        printf("of %zu looks at a level of %.3g %%, %.2g would find one by chance\n", looks,
               100 * watch->level, (double)looks * watch->level);
    else
        puts("none is long enough to be looked at");
    puts(tg_history_alarms_text(alarms, text, sizeof text));
}

static int write_json(const struct shown *shown, const struct tg_alarms *alarms, const char *path,
                      struct tg_error *err)
{
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_number(root, "tritgate_history", 1);
    struct tg_json *counted = tg_json_object(root, "alarms");
    tg_json_add_number(counted, "runs", (double)alarms->runs);
    tg_json_add_number(counted, "failed_runs", (double)alarms->failed_runs);
    tg_json_add_number(counted, "tests", (double)alarms->tests);
    tg_json_add_number(counted, "failed", (double)alarms->failed);
    struct tg_json *classes = tg_json_array(root, "classes");
    for (size_t i = 0; i < shown->count; i++) tg_history_report_json(&shown->reports[i], classes);
    int rc = tg_json_write(root, path, err);
    tg_json_free(root);
    return rc;
}

static int write_plot(const struct shown *shown, const char *path, struct tg_error *err)
{
    FILE *out = fopen(path, "w");
    if (!out) return tg_fail(err, "cannot write '%s': %s", path, strerror(errno));
    int rc = tg_history_plot_write(shown->reports, shown->count, out, err);
    int failed = ferror(out);
    if (fclose(out) != 0 || failed)
        rc = tg_fail(err, "cannot write '%s': %s", path, strerror(errno));
    return rc;
}

static int show(const struct options *o, const struct tg_watch *watch, struct tg_error *err)
{
    struct shown shown;
    struct tg_alarms alarms;
    int rc = read_all(o, watch, &shown, err);
    if (rc == 0) rc = check_chosen(o, &shown, err);
    if (rc == 0) rc = tg_history_alarms(o->store, &alarms, err);
    if (rc == 0 && o->json) rc = write_json(&shown, &alarms, o->json, err);
    if (rc == 0 && o->plot) rc = write_plot(&shown, o->plot, err);
    if (rc == 0) print_all(&shown, watch, &alarms);
    release(&shown);
    return rc;
}

int tg_command_history(int argc, char **argv)
{
    struct options options = {.runs = calloc((size_t)argc + 1, sizeof *options.runs)};
    struct tg_watch watch;
    struct tg_error err;
    size_t counts[FATES] = {0};
    int rc = -1;
    if (!options.runs) {
        tg_fail(&err, "out of memory");
    } else {
        argp_parse(&history_argp, argc, argv, 0, NULL, &options);
        tg_record_init(&tg_watch_type, &watch);
        if (!options.watch || tg_record_parse(&tg_watch_type, &watch, options.watch, &err) == 0)
            rc = tg_course_check(&watch, &err);
    }
    if (rc == 0) rc = check_store(options.store, &err);
    if (rc == 0) rc = add_runs(&options, counts, &err);
    bool has_any = options.run_count == 0 || counts[ADDED] + counts[KNOWN] > 0;
    if (rc == 0 && has_any) rc = show(&options, &watch, &err);
    if (rc < 0) tg_log(TG_ERROR, "%s", err.text);
    free(options.runs);
    return rc < 0 || !has_any || counts[NO_RUN] > 0 ? TG_STATUS_USAGE : 0;
}
