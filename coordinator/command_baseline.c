/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "coordinator/candidate.h"
#include "coordinator/command.h"
#include "coordinator/run_directory.h"
#include "results/baseline_store.h"

/* The store of baselines: the only command that writes one. */

enum { RUNS_MOST = 64, DAYS_MOST = 3660, DAY_S = 86400 };

struct options {
    const char *verb, *store, *library, *names[RUNS_MOST];
    size_t name_count;
    long days;
};

enum { STORE = 256, EXPIRES, LIBRARY };

static const struct argp_option option_list[] = {
    {"store", STORE, "DIR", 0, "the store (default: baselines)", 0},
    {"expires", EXPIRES, "DAYS", 0, "days after which it is used no more (default: 30)", 0},
    {"library", LIBRARY, "LIB", 0, "the library of the runs, if it is not where it was", 0},
    {0}};

static long days_of(struct argp_state *state, const char *arg)
{
    char *end;
    long days = strtol(arg, &end, 10);
    if (end == arg || *end || days < 1 || days > DAYS_MOST)
        argp_failure(state, TG_STATUS_USAGE, 0, "unusable days '%s': from 1 to %d", arg, DAYS_MOST);
    return days;
}

static void check_count(struct argp_state *state, const struct options *o)
{
    if (!o->verb)
        argp_failure(state, TG_STATUS_USAGE, 0, "promote, list or show is expected");
    else if (strcmp(o->verb, "promote") == 0 && o->name_count < 2)
        argp_failure(state, TG_STATUS_USAGE, 0, "promote needs two runs that agree");
    else if (strcmp(o->verb, "list") == 0 && o->name_count > 0)
        argp_failure(state, TG_STATUS_USAGE, 0, "list takes no name");
    else if (strcmp(o->verb, "show") == 0 && o->name_count != 1)
        argp_failure(state, TG_STATUS_USAGE, 0, "show needs the name of one baseline");
    else if (strcmp(o->verb, "promote") != 0 && strcmp(o->verb, "list") != 0 &&
             strcmp(o->verb, "show") != 0)
        argp_failure(state, TG_STATUS_USAGE, 0, "no such verb '%s': promote, list or show",
                     o->verb);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case STORE: o->store = arg; return 0;
    case EXPIRES: o->days = days_of(state, arg); return 0;
    case LIBRARY: o->library = arg; return 0;
    case ARGP_KEY_ARG:
        if (!o->verb)
            o->verb = arg;
        else if (o->name_count < RUNS_MOST)
            o->names[o->name_count++] = arg;
        else
            argp_failure(state, TG_STATUS_USAGE, 0, "more than %d runs", RUNS_MOST);
        return 0;
    case ARGP_KEY_END: check_count(state, o); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_list,
    parse,
    "promote RUN RUN...\nlist\nshow NAME",
    "Keeps what runs measured, and the kernel library that they measured, for `tritgate run "
    "--baseline` to compare with. Only runs that were ended in order, neither failed nor would by "
    "a second one (min_sessions), and agree with each other within three of their policy's margins "
    "are promoted; no other command writes a store.\v"
    "Promote runs without --base: rounds of head alone or beside its copy are what is kept. "
    "A baseline holds for one class of hardware, whichever machine of it measures, and one policy, "
    "matrix and way of building, one of whole models also "
    "for one build of tritgate and one --model file, and it expires. To take it back, remove its "
    "file in the store. Exit status: 0, or 3 for what cannot be promoted or read.",
    NULL,
    NULL,
    NULL};

/* A run that was read, and what it measured on each class of hardware. */
struct candidate {
    const char *path;
    struct tg_baseline *baselines;
    size_t count;
    char library[4096]; /* where the library was */
    char evidence[TG_DIGEST_SIZE], beginning[TG_DIGEST_SIZE];
};

static void release(struct candidate *c)
{
    for (size_t i = 0; i < c->count; i++) tg_baseline_release(&c->baselines[i]);
    free(c->baselines);
    *c = (struct candidate){0};
}

static int take_classes(const struct tg_plan *plan, const struct tg_run *run,
                        const struct tg_decision *decision, struct candidate *c,
                        struct tg_error *err)
{
    struct tg_rows *rows = NULL;
    c->baselines = calloc(plan->class_count, sizeof *c->baselines);
    if (!c->baselines) return tg_fail(err, "out of memory");
    int rc = tg_rows_create(plan, &rows, err);
    for (size_t i = 0; rc == 0 && i < run->count; i++) rc = tg_rows_add(rows, &run->rows[i], err);
    for (size_t h = 0; rc == 0 && h < plan->class_count; h++) {
        rc = tg_candidate_baseline(plan, rows, h, run->beginning, decision->date, &c->baselines[h],
                                   err);
        if (rc == 0) c->count++;
        if (rc == 0 && c->baselines[h].cell_count == 0)
            rc = tg_candidate_why_none(plan, rows, h, err);
    }
    tg_rows_destroy(rows);
    snprintf(c->library, sizeof c->library, "%s", plan->workers[0].head.path);
    memcpy(c->evidence, run->evidence, sizeof c->evidence);
    memcpy(c->beginning, run->beginning, sizeof c->beginning);
    return rc;
}

static int read_run(const char *path, struct candidate *candidate, struct tg_error *err)
{
    struct candidate c = {.path = path};
    struct tg_run run;
    struct tg_plan plan;
    struct tg_decision decision;
    if (tg_run_directory_open(path, NULL, &run, &plan, err) < 0) return -1;
    int rc = tg_gate_decide(&plan, &run, &decision, err);
    if (rc == 0) {
        rc = tg_candidate_accept(&plan, &run, &decision, err);
        if (rc == 0) rc = take_classes(&plan, &run, &decision, &c, err);
        tg_gate_release(&decision);
    }
    tg_plan_release(&plan);
    tg_store_release(&run);
    if (rc < 0) {
        release(&c);
        return tg_fail_in(err, "run '%s' cannot be promoted", path);
    }
    *candidate = c;
    return 0;
}

/* What another run measured on the machine that a baseline is of. */
static int join(struct tg_baseline *b, const struct candidate *first, const struct candidate *other,
                struct tg_error *err)
{
    char difference[800];
    size_t h = 0;
    while (h + 1 < other->count && strcmp(other->baselines[h].key.hardware, b->key.hardware) != 0)
        h++;
    const struct tg_baseline *found = &other->baselines[h];
    tg_baseline_difference(&b->key, &found->key, difference, sizeof difference);
    if (*difference)
        return tg_fail(err, "'%s' (here) and '%s' (there) are not of the same kind: %s",
                       first->path, other->path, difference);
    if (strcmp(b->library, found->library) != 0)
        return tg_fail(err, "'%s' and '%s' measured different libraries: %.16s and %.16s",
                       first->path, other->path, b->library, found->library);
    return tg_baseline_merge(b, found, err);
}

/* Two runs are two looks at the machine; a copy of one is not, nor one that was gone on with. */
static int check_distinct(const struct candidate *runs, size_t count, struct tg_error *err)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(runs[i].evidence, runs[j].evidence) == 0)
                return tg_fail(err, "'%s' and '%s' are the same run", runs[j].path, runs[i].path);
            else if (strcmp(runs[i].beginning, runs[j].beginning) == 0)
                return tg_fail(err, "runs '%s' and '%s' have a measurement in common", runs[j].path,
                               runs[i].path);
    return 0;
}

static int promote_class(const struct options *o, struct candidate *runs, size_t class,
                         struct tg_error *err)
{
    struct tg_baseline *b = &runs[0].baselines[class];
    char name[TG_TEXT_SIZE];
    for (size_t i = 1; i < o->name_count; i++)
        if (join(b, &runs[0], &runs[i], err) < 0) return -1;
    if (tg_command_date(0, b->created, err) < 0 ||
        tg_command_date(o->days * DAY_S, b->expires, err) < 0 ||
        tg_baseline_store_promote(o->store, b, o->library ? o->library : runs[0].library,
                                  b->created, err) < 0 ||
        tg_baseline_name(b, name, err) < 0)
        return -1;
    printf("%s  %zu cell%s, %zu sessions, expires %s\n", name, b->cell_count,
           b->cell_count == 1 ? "" : "s", b->session_count, b->expires);
    return 0;
}

static int promote(const struct options *o, struct tg_error *err)
{
    struct candidate runs[RUNS_MOST] = {{0}};
    int rc = 0;
    for (size_t i = 0; i < o->name_count && rc == 0; i++) rc = read_run(o->names[i], &runs[i], err);
    if (rc == 0) rc = check_distinct(runs, o->name_count, err);
    for (size_t h = 0; rc == 0 && h < runs[0].count; h++) rc = promote_class(o, runs, h, err);
    for (size_t i = 0; i < o->name_count; i++) release(&runs[i]);
    return rc;
}

/* What a reader of the list must know: whether it can be used, and for a duet. */
static void print_entry(const struct options *o, const struct tg_baseline_entry *entry,
                        const char *now)
{
    const struct tg_baseline *b = &entry->baseline;
    char path[4096];
    struct tg_error why;
    if (*entry->error) {
        printf("%s  cannot be used: %s\n", entry->name, entry->error);
        return;
    }
    printf("%s  %s  %zu cell%s  %zu sessions  hardware %s  library %.16s  %s %s\n", entry->name,
           b->created, b->cell_count, b->cell_count == 1 ? "" : "s", b->session_count,
           b->key.hardware, b->library, strcmp(b->expires, now) <= 0 ? "expired" : "expires",
           b->expires);
    if (tg_baseline_store_library(o->store, b->library, path, sizeof path, &why) < 0)
        printf("%*s  %s\n", (int)strlen(entry->name), "", why.text);
}

/* Prints all entries, or the JSON of the one that is named. */
static int look(const struct options *o, struct tg_error *err)
{
    struct tg_baseline_entries entries;
    char now[TG_TEXT_SIZE];
    const char *wanted = o->name_count ? o->names[0] : NULL;
    if (tg_command_date(0, now, err) < 0 || tg_baseline_store_read(o->store, &entries, err) < 0)
        return -1;
    int rc = wanted ? tg_fail(err, "no baseline '%s' in '%s'", wanted, o->store) : 0;
    for (size_t i = 0; i < entries.count; i++) {
        const struct tg_baseline_entry *entry = &entries.list[i];
        if (!wanted) print_entry(o, entry, now);
        if (!wanted || strcmp(entry->name, wanted) != 0) continue;
        struct tg_json *json = *entry->error ? NULL : tg_baseline_to_json(&entry->baseline, err);
        if (*entry->error) tg_fail(err, "baseline '%s': %s", wanted, entry->error);
        if (!json) break;
        char *text = tg_json_print(json, true);
        puts(text);
        free(text);
        tg_json_free(json);
        rc = 0;
    }
    tg_baseline_store_release(&entries);
    return rc;
}

int tg_command_baseline(int argc, char **argv)
{
    struct options options = {.store = "baselines", .days = 30};
    struct tg_error err;
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    int rc = strcmp(options.verb, "promote") == 0 ? promote(&options, &err) : look(&options, &err);
    if (rc == 0) return 0;
    tg_log(TG_ERROR, "%s", err.text);
    return TG_STATUS_USAGE;
}
