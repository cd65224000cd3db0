/* SPDX-License-Identifier: Apache-2.0 */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "coordinator/command.h"
#include "worker/child.h"
#include "worker/library.h"
#include "worker/probe/edges.h"
#include "worker/probe/executed.h"
#include "worker/probe/probe.h"
#include "worker/seat.h"
#include "worker/survey.h"

/* Each kernel is checked in a process of its own: one that crashes or hangs spoils its line only.
 */

struct options {
    const char *pattern, *library, *one;
    double deadline_s;
};

enum { LIBRARY = 256, ONE, DEADLINE, TIED };

static const struct argp_option option_list[] = {
    {"library", LIBRARY, "LIB", 0, "whose kernels (default: those beside this program)", 0},
    {"deadline", DEADLINE, "SECONDS", 0, "for one kernel (default: 60)", 0},
    {"one", ONE, "NAME", OPTION_HIDDEN, "check in this process, answer on descriptor 4", 0},
    {"tied", TIED, "PID", OPTION_HIDDEN, "die with that parent", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case LIBRARY: o->library = arg; return 0;
    case ONE: o->one = arg; return 0;
    case TIED: tg_command_tie(state, arg); return 0;
    case DEADLINE: o->deadline_s = tg_command_seconds(state, "deadline", arg); return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_failure(state, TG_STATUS_USAGE, 0, "one pattern is expected, '%s' is a second",
                         arg);
        o->pattern = arg;
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_list,
    parse,
    "[PATTERN]",
    "Compares every kernel (or those whose name matches) with its exact reference, at the edges of "
    "shapes and values, on every instruction set that this machine has.\v"
    "Exit status: 0 all right, 1 one is not, 2 none could be run, 3 no kernel matches.",
    NULL,
    NULL,
    NULL};

/* Checks the kernel, and that its calls were counted as those of its instruction set. */
static int check_edges(const struct tg_library *library, const struct tg_kernel *kernel,
                       struct tg_pool *alone, char *reason, size_t size)
{
    struct tg_measurement m;
    tg_measurement_init(&m);
    m.outcome = TG_MEASURED;
    snprintf(m.facts.isa_requested, sizeof m.facts.isa_requested, "%s", kernel->isa);
    tg_executed_forget(library, alone);
    int shapes = tg_edges_check(kernel, reason, size);
    if (shapes > 0) tg_executed_look(library, alone, &m);
    if (m.outcome == TG_WRONG) {
        snprintf(reason, size, "%s", m.reason);
        shapes = -1;
    }
    tg_measurement_free(&m);
    return shapes;
}

static int answer(const struct options *o, struct tg_error *err)
{
    const struct tg_library *library;
    struct tg_pool *alone;
    char reason[400];
    if (tg_library_open(o->library, &library, err) < 0) return -1;
    const struct tg_kernel *kernel = tg_library_find(library, o->one);
    if (!kernel) return tg_fail(err, "no kernel '%s'", o->one);
    if (tg_pool_create(1, NULL, &alone, err) < 0) return -1;
    int shapes = check_edges(library, kernel, alone, reason, sizeof reason);
    tg_pool_destroy(alone);
    if (shapes < 0)
        dprintf(TG_ANSWER, "wrong: %s\n", reason);
    else
        dprintf(TG_ANSWER, "right on %d edges\n", shapes);
    return 0;
}

/* One kernel's line. Returns 0 when it is right, 1 when not. */
static int check_one(const struct options *o, const char *path, const char *name, int width)
{
    char parent[32];
    const char *const argv[] = {"/proc/self/exe", "check", "--one", name, "--library", path,
                                "--tied",         parent,  NULL};
    struct tg_child *child;
    struct tg_child_end end;
    struct tg_error err;
    const char *line = "";
    char text[600];
    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    if (tg_child_start(argv, NULL, 0, 0, &child, &err) < 0) {
        printf("%-*s  %s\n", width, name, err.text);
        return 1;
    }
    enum tg_child_answer got = tg_child_receive(child, tg_now() + o->deadline_s, &line);
    snprintf(text, sizeof text, "%s", got == TG_CHILD_LINE ? line : "");
    tg_child_stop(child, &end);
    if (got == TG_CHILD_LATE)
        snprintf(text, sizeof text, "late: killed after %.15g s", o->deadline_s);
    else if (got == TG_CHILD_DIED && end.signal)
        snprintf(text, sizeof text, "crashed: signal %d (%s)", end.signal, strsignal(end.signal));
    else if (got == TG_CHILD_DIED)
        snprintf(text, sizeof text, "crashed: exit status %d; %.400s", end.status, end.tail);
    printf("%-*s  %s\n", width, name, text);
    return strncmp(text, "right", 5) != 0;
}

/* The letters of the longest name that matches. */
static int longest(const struct tg_survey *survey, const char *pattern)
{
    size_t most = 0;
    for (size_t i = 0; i < survey->count; i++) {
        const char *name = survey->kernels[i].name;
        if (fnmatch(pattern, name, 0) == 0 && strlen(name) > most) most = strlen(name);
    }
    return (int)most;
}

static int check_all(const struct options *o, struct tg_error *err)
{
    char path[4096];
    const struct tg_node here = {NULL, NULL};
    struct tg_seat seat;
    struct tg_survey survey;
    size_t matched = 0, run = 0, bad = 0;
    if (o->library)
        snprintf(path, sizeof path, "%s%s", strchr(o->library, '/') ? "" : "./", o->library);
    else if (tg_library_own_path(path, sizeof path, err) < 0)
        return TG_STATUS_USAGE;
    if (tg_seat_find(&here, &tg_place_alone, &seat, err) < 0 ||
        tg_survey_take(path, &survey, err) < 0)
        return TG_STATUS_USAGE;
    const int width = longest(&survey, o->pattern);
    for (size_t i = 0; i < survey.count; i++) {
        const struct tg_survey_kernel *k = &survey.kernels[i];
        if (fnmatch(o->pattern, k->name, 0) != 0) continue;
        matched++;
        if (k->built && strcmp(k->device, "cuda") == 0 && *seat.no_gpu) {
            printf("%-*s  skipped: %s\n", width, k->name, seat.no_gpu);
            continue;
        }
        if (!k->here) {
            printf("%-*s  skipped: instruction set %s is not %s\n", width, k->name, k->isa,
                   k->built ? "on this machine" : "in this build");
            continue;
        }
        run++;
        bad += (size_t)check_one(o, path, k->name, width);
        fflush(stdout);
    }
    tg_survey_release(&survey);
    if (matched == 0) {
        tg_fail(err, "no kernel matches '%s'", o->pattern);
        return TG_STATUS_USAGE;
    }
    printf("%zu of %zu kernels right, %zu skipped\n", run - bad, run, matched - run);
    return bad ? 1 : run ? 0 : 2;
}

int tg_command_check(int argc, char **argv)
{
    struct options options = {.pattern = "*", .deadline_s = 60};
    struct tg_error err = {""};
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    int status = options.one ? (answer(&options, &err) < 0 ? TG_STATUS_USAGE : 0)
                             : check_all(&options, &err);
    if (status == TG_STATUS_USAGE) tg_log(TG_ERROR, "%s", err.text);
    return status;
}
