/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "coordinator/begin.h"
#include "coordinator/command.h"
#include "coordinator/join.h"
#include "coordinator/launcher.h"
#include "coordinator/report.h"
#include "coordinator/run_directory.h"
#include "coordinator/terminal.h"
#include "worker/ulfm.h"

#define ARGUMENTS_MOST 256 /* of mpirun */
#define START_TIMES    10  /* more patience for a start than for an end */
#define RANK_ENDS_S    20  /* in which the first rank of a lost try ends */

extern char **environ;

struct options {
    const char *ranks, *host, *hostfile;
    double tries, patience_s;
    bool only_checks;
    int argc; /* of run */
    char **argv;
};

/* A launch in the making. */
struct launch {
    const struct options *options;
    struct tg_wishes wishes; /* of run */
    char mpirun[4096], program[4096], directory[4096], mark[4096 + 32], budget[32];
    bool is_bundled; /* mpirun lies beside the program, with settings of its own */
    const char *argv[ARGUMENTS_MOST];
    size_t argc;
};

enum { HOST = 256, HOSTFILE, TRIES, PATIENCE, CHECK };

static const struct argp_option option_list[] = {
    {"ranks", 'n', "N", 0, "ranks: one coordinates, the others measure (default: 3)", 0},
    {"host", HOST, "LIST", 0, "nodes, as a:2,b,c: given to mpirun", 0},
    {"hostfile", HOSTFILE, "FILE", 0, "the same as a file", 0},
    {"tries", TRIES, "N", 0, "begin, and go on, at most so many times (default: 3)", 0},
    {"patience", PATIENCE, "SECONDS", 0,
     "end an mpirun that stays for so long behind the run's end, or begins none in ten times that "
     "(default: 20)",
     0},
    {"check", CHECK, NULL, OPTION_HIDDEN, "check what is asked of run, and start nothing", 0},
    {0}};

static double number_above_0(struct argp_state *state, const char *what, const char *arg)
{
    char *end;
    long number = strtol(arg, &end, 10);
    if (end == arg || *end || number < 1 || number > 100000)
        argp_failure(state, TG_STATUS_USAGE, 0, "unusable %s '%s': a number above 0", what, arg);
    return (double)number;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'n':
        number_above_0(state, "ranks", arg);
        o->ranks = arg;
        return 0;
    case HOST: o->host = arg; return 0;
    case HOSTFILE:
        if (access(arg, R_OK) < 0)
            argp_failure(state, TG_STATUS_USAGE, 0, "cannot read '%s': %s", arg, strerror(errno));
        o->hostfile = arg;
        return 0;
    case TRIES: o->tries = number_above_0(state, "tries", arg); return 0;
    case PATIENCE: o->patience_s = tg_command_seconds(state, "patience", arg); return 0;
    case CHECK: o->only_checks = true; return 0;
    case ARGP_KEY_ARG:
        o->argc = state->argc - state->next + 1;
        o->argv = state->argv + state->next - 1;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_END:
        if (!o->argv || strcmp(o->argv[0], "run") != 0)
            argp_failure(state, TG_STATUS_USAGE, 0, "what is launched is 'run', behind --");
        if (o->argc > ARGUMENTS_MOST / 2)
            argp_failure(state, TG_STATUS_USAGE, 0, "too many arguments");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_list,
    parse,
    "-- run ARGUMENT...",
    "Starts `tritgate run` under mpirun with the options that it needs. When a rank or a node is "
    "lost, which ends all ranks, the run is gone on with, by --resume, on what is left. Where MPI "
    "has ULFM, a lost worker ends none: the others go on in place. Start it on the first host of "
    "the list, or where that host sees the run's directory, too.\v"
    "The mpirun beside the program is used if there is one, else that of the PATH; what is set in "
    "OMPI_MCA_... stays. Exit status: that of the run; 4 if it was stopped, or if no try came to "
    "its end.",
    NULL,
    NULL,
    NULL};

/* The folder of a path, in place; "" if it has none. */
static char *folder_of(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash) *slash = 0;
    return path;
}

/* In a bundle mpirun and the program that ranks are lie above the program that this is. */
static int find_programs(struct launch *l, struct tg_error *err)
{
    ssize_t length = readlink("/proc/self/exe", l->program, sizeof l->program - 1);
    if (length <= 0) return tg_fail(err, "no path to this program: %s", strerror(errno));
    l->program[length] = 0;
    char root[sizeof l->program];
    memcpy(root, l->program, sizeof root);
    folder_of(folder_of(folder_of(root)));
    snprintf(l->mpirun, sizeof l->mpirun, "%.4080s/mpirun", root);
    l->is_bundled = *root && access(l->mpirun, X_OK) == 0;
    if (l->is_bundled)
        snprintf(l->program, sizeof l->program, "%.4080s/tritgate", root);
    else
        snprintf(l->mpirun, sizeof l->mpirun, "mpirun");
    return 0;
}

/* What is not set already; and how wide the terminal is that the ranks do not see, if it is one. */
static int set_environment(const struct launch *l, struct tg_error *err)
{
    char columns[32];
    size_t width = tg_terminal_width(stdout);
    snprintf(columns, sizeof columns, "%zu", width);
    if (setenv(TG_TERMINAL_LAUNCHED, width ? columns : "", 1) < 0)
        return tg_fail(err, "out of memory");
    for (size_t i = 0; !l->is_bundled && tg_launcher_settings[i]; i++) {
        char name[64];
        const char *equals = strchr(tg_launcher_settings[i], '=');
        snprintf(name, sizeof name, "%.*s", (int)(equals - tg_launcher_settings[i]),
                 tg_launcher_settings[i]);
        if (setenv(name, equals + 1, 0) < 0) return tg_fail(err, "out of memory");
    }
    return 0;
}

/*
 * Where the run will be; its mark lies beside it, hidden, since it stays where this is killed, and
 * is no run or shard. Of a new name it keeps that for this launch; of one that was given others may
 * have been told, too, and each has a mark of its own.
 */
static int name_run(struct launch *l, struct tg_error *err)
{
    const char *wanted = l->wishes.resume ? l->wishes.resume : l->wishes.out;
    char own[24] = "";
    if (wanted) snprintf(own, sizeof own, ".%ld", (long)getpid());
    for (int i = 0; i < 100; i++) {
        if (wanted)
            snprintf(l->directory, sizeof l->directory, "%s", wanted);
        else if (tg_run_directory_date(i, l->directory, sizeof l->directory, err) < 0)
            return -1;
        size_t length = strlen(l->directory);
        while (length > 1 && l->directory[length - 1] == '/') l->directory[--length] = 0;
        if (!wanted && access(l->directory, F_OK) == 0) continue;
        const char *slash = strrchr(l->directory, '/');
        int folder = slash ? (int)(slash + 1 - l->directory) : 0;
        snprintf(l->mark, sizeof l->mark, "%.*s.%s%s.mark", folder, l->directory,
                 l->directory + folder, own);
        int mark = open(l->mark, O_WRONLY | O_CREAT | O_CLOEXEC | (wanted ? 0 : O_EXCL), 0666);
        if (mark >= 0) {
            close(mark);
            return 0;
        }
        if (wanted || errno != EEXIST) break;
    }
    return tg_fail(err, "cannot %s '%s': %s", l->wishes.resume ? "write beside" : "make",
                   l->directory, strerror(errno));
}

static void add(struct launch *l, const char *argument)
{
    if (l->argc + 1 < ARGUMENTS_MOST) l->argv[l->argc++] = argument;
    l->argv[l->argc] = NULL;
}

static void add_option(struct launch *l, const char *name, const char *value)
{
    if (!value) return;
    add(l, name);
    add(l, value);
}

/* The command of a try: as asked, or, once the run is begun, to go on with it. */
static void make_command(struct launch *l, bool goes_on)
{
    const struct options *o = l->options;
    l->argc = 0;
    add(l, l->mpirun);
    if (tg_ulfm_is_built()) add_option(l, "--with-ft", "ulfm");
    add_option(l, "-n", o->ranks);
    add_option(l, "--host", o->host);
    add_option(l, "--hostfile", o->hostfile);
    if (o->host || o->hostfile) add_option(l, "--map-by", "node");
    add(l, l->program);
    add(l, "run");
    add_option(l, "--mark", l->mark);
    if (!goes_on) {
        if (!l->wishes.resume && !l->wishes.out) add_option(l, "--out", l->directory);
        for (int i = 1; i < o->argc; i++) add(l, o->argv[i]);
        return;
    }
    add_option(l, "--resume", l->directory);
    add_option(l, "--json", l->wishes.json);
    add_option(l, "--model", l->wishes.model);
    add_option(l, "--model-cache", l->wishes.model_cache);
    if (l->wishes.resume && l->wishes.budget_s > 0) {
        snprintf(l->budget, sizeof l->budget, "%.17g", l->wishes.budget_s);
        add_option(l, "--budget", l->budget);
    }
    add_option(l, "--host", l->wishes.identity.host);
    add_option(l, "--topology", l->wishes.identity.topology);
    add_option(l, "--gpus", l->wishes.identity.gpus);
}

/*
 * Whether there is a run to go on with, or it cannot be seen. What a try left that was ended before
 * it began is removed.
 */
static bool is_begun(const struct launch *l)
{
    char path[sizeof l->directory + 32];
    snprintf(path, sizeof path, "%s/plan.json", l->directory);
    if (access(path, F_OK) == 0 || errno != ENOENT) return true;
    tg_run_directory_unmake(l->directory);
    return false;
}

/*
 * Whether the try that was lost had sealed its run: it has a seal that is not of an earlier one,
 * which is renamed where a run is gone on with.
 */
static bool is_sealed(const struct launch *l, int mark, bool was_there)
{
    char path[sizeof l->directory + 32];
    bool has_begun = mark == TG_MARK_BEGUN ||
                     (mark >= TG_STATUS_USAGE && !l->wishes.resume && !was_there);
    snprintf(path, sizeof path, "%s/digests.json", l->directory);
    return has_begun && access(path, F_OK) == 0;
}

/* Decides a run that has all its rows as the run would have, and writes its reports. */
static int decide(struct launch *l, struct tg_error *err)
{
    const char *directories[] = {l->directory};
    struct tg_run run;
    struct tg_plan plan;
    struct tg_decision decision;
    int status = TG_STATUS_STOPPED;
    if (tg_join_open(directories, 1, NULL, &run, &plan, err) < 0) return status;
    if (tg_gate_decide(&plan, &run, &decision, err) == 0) {
        if (tg_report_write_all(l->directory, &plan, &decision, err) == 0 &&
            tg_run_directory_copy_receipt(l->wishes.json, &plan, &decision, err) == 0)
            status = tg_gate_status(&decision);
        tg_report_find("terminal")->write(stdout, &plan, &decision);
        printf("evidence in %s\n", l->directory);
        tg_gate_release(&decision);
    }
    tg_plan_release(&plan);
    tg_store_release(&run);
    return status;
}

/*
 * Whether a status is the launch's. To refuse what a try of it has begun is none: a rank that dies
 * slowly has its lock, or the disk is full, and later it may be gone on with.
 */
static bool is_answer(int status, bool has_begun)
{
    return status >= 0 && status < (has_begun ? TG_STATUS_USAGE : TG_STATUS_STOPPED);
}

/* Tries until one has come to its end. Returns the exit status. */
static int launch(struct launch *l, struct tg_error *err)
{
    const struct options *o = l->options;
    struct tg_launcher each = {.argv = l->argv,
                               .environment = environ,
                               .mark = l->mark,
                               .begin_s = START_TIMES * o->patience_s,
                               .end_s = o->patience_s,
                               .kill_s = o->patience_s / 2};
    struct tg_launched launched;
    char word[4200];
    bool was_there = access(l->directory, F_OK) == 0; /* run refuses it, if it is to make it */
    bool has_begun = false; /* in a try that was lost: what is gone on with was seen to be usable */
    for (int i = 1; i <= (int)o->tries; i++) {
        bool goes_on = i > 1 && (l->wishes.resume || (!was_there && is_begun(l)));
        has_begun = goes_on && (has_begun || !l->wishes.resume);
        make_command(l, goes_on);
        if (tg_launcher_try(&each, &launched, err) < 0) return TG_STATUS_STOPPED;
        if (is_answer(launched.mark, has_begun)) return launched.mark;
        if (launched.signal) break;
        /* It was refused where this mark cannot be seen, by a sentence of rank 0. */
        if (!has_begun && launched.mark == TG_MARK_NONE && launched.status == TG_STATUS_USAGE)
            return TG_STATUS_USAGE;
        if (l->wishes.resume || !was_there) {
            /* On another host its first rank may still be ending, and even come to its end. */
            tg_run_directory_await(l->directory, RANK_ENDS_S);
            launched.mark = tg_launcher_read_mark(l->mark);
            if (is_answer(launched.mark, has_begun)) return launched.mark;
        }
        if (is_sealed(l, launched.mark, was_there)) {
            tg_log(TG_WARN, "try %d of %g was lost (mpirun ended with %s) when all was measured", i,
                   o->tries, launched.how);
            return decide(l, err);
        }
        has_begun = has_begun || launched.mark != TG_MARK_NONE;
        /* What could not even begin, since a node is away, may be able to somewhat later. */
        each.wait_s = launched.mark == TG_MARK_NONE || launched.mark == TG_STATUS_USAGE
                          ? o->patience_s
                          : 0;
        if (i < (int)o->tries)
            tg_log(TG_WARN, "try %d of %g was lost (mpirun ended with %s); going on", i, o->tries,
                   launched.how);
    }
    bool has_run = l->wishes.resume || (!was_there && is_begun(l));
    tg_run_directory_word(l->directory, word, sizeof word);
    if (launched.signal && has_run)
        tg_fail(err, "stopped by a signal; --resume %s goes on", word);
    else if (launched.signal)
        tg_fail(err, "stopped by a signal before anything was measured");
    else if (has_run)
        tg_fail(err, "no try came to its end (mpirun ended with %s); --resume %s goes on",
                launched.how, word);
    else
        tg_fail(err, "no try came to its end (mpirun ended with %s), and nothing was measured",
                launched.how);
    return TG_STATUS_STOPPED;
}

static int check(const struct tg_wishes *wishes)
{
    struct tg_error err;
    tg_run_directory_empty_receipt(wishes->json);
    if (tg_begin_check(wishes, &err) == 0) return 0;
    tg_log(TG_ERROR, "%s", err.text);
    return TG_STATUS_USAGE;
}

int tg_command_launch(int argc, char **argv)
{
    struct options options = {.ranks = "3", .tries = 3, .patience_s = 20};
    struct launch l = {.options = &options};
    struct tg_error err = {""};
    char *run_argv[ARGUMENTS_MOST], name[] = "tritgate run";
    int status = TG_STATUS_USAGE;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &options);
    memcpy(run_argv, options.argv, (size_t)options.argc * sizeof *run_argv);
    run_argv[0] = name;
    run_argv[options.argc] = NULL;
    if (tg_command_read_run(options.argc, run_argv, false, &l.wishes) != 0) return status;
    if (options.only_checks) return check(&l.wishes);
    tg_run_directory_empty_receipt(l.wishes.json);
    if (find_programs(&l, &err) == 0 && set_environment(&l, &err) == 0 && name_run(&l, &err) == 0) {
        status = launch(&l, &err);
        unlink(l.mark);
    }
    if (status >= TG_STATUS_USAGE && *err.text) tg_log(TG_ERROR, "%s", err.text);
    return status;
}
