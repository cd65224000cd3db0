/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "coordinator/command.h"
#include "coordinator/crew.h"
#include "coordinator/dispatch.h"
#include "coordinator/guard.h"
#include "coordinator/lookout.h"
#include "coordinator/report.h"
#include "coordinator/run_directory.h"
#include "results/digest.h"
#include "worker/library.h"

#define CLOSE_WITHIN_S 60

/* What the command line says. */
struct options {
    const char *matrix, *policy, *out, *base, *head, *filter, *seed, *json, *resume, *accept,
        *changed, *step;
    const char *inherit[TG_INHERIT_MOST];
    size_t inherit_count;
    const char *baseline; /* a store */
    struct tg_identity identity;
    double budget_s; /* 0: the policy's */
    bool is_same, is_fail_fast;
};

enum {
    HOST = 256,
    TOPOLOGY,
    BASE,
    BASELINE,
    HEAD,
    SAME,
    FAIL_FAST,
    BUDGET,
    SEED,
    FILTER,
    JSON,
    RESUME,
    ACCEPT,
    CHANGED,
    INHERIT,
    STEP
};

static const struct argp_option option_list[] = {
    {"policy", 'p', "FILE", 0,
     "what is demanded, a file or a name (default: the one that the matrix names)", 0},
    {"step", STEP, "NAME", 0, "of the policy's flow (default: the last that writes its gate)", 0},
    {"out", 'o', "DIR", 0, "where the evidence goes; must not exist (default: runs/<date>)", 0},
    {"base", BASE, "LIB", 0, "the older build's libtritgate-kernels.so to compare with", 0},
    {"baseline", BASELINE, "DIR", 0, "a store of baselines to compare with (tritgate baseline)", 0},
    {"head", HEAD, "LIB", 0, "the build to judge (default: the one beside this program)", 0},
    {"same", SAME, NULL, 0, "base and head are meant to be the same file (A/A)", 0},
    {"fail-fast", FAIL_FAST, NULL, 0, "measure no more once a test has failed the run", 0},
    {"budget", BUDGET, "SECONDS", 0, "measure no longer than this (default: the policy's)", 0},
    {"filter", FILTER, "PATTERN", 0, "only cells that match, as 'kernel=i2s_* batch=1'", 0},
    {"changed", CHANGED, "FILE", 0, "only cells of these changed paths, one a line", 0},
    {"inherit", INHERIT, "RUN", 0, "a run of an earlier flow, whose result counts; repeatable", 0},
    {"accept", ACCEPT, "FILE", 0, "losses that are accepted, with reason, owner and last day", 0},
    {"seed", SEED, "N", 0, "draw the same operands and orders again", 0},
    {"json", JSON, "FILE", 0, "write the receipt here too", 0},
    {"resume", RESUME, "DIR", 0, "go on with a run that was ended; takes no matrix", 0},
    {"host", HOST, "NAME", OPTION_HIDDEN, "this worker's node name, in tests", 0},
    {"topology", TOPOLOGY, "XML", OPTION_HIDDEN, "this worker's recorded topology, in tests", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'p': o->policy = arg; return 0;
    case 'o': o->out = arg; return 0;
    case BASE: o->base = arg; return 0;
    case BASELINE: o->baseline = arg; return 0;
    case HEAD: o->head = arg; return 0;
    case SAME: o->is_same = true; return 0;
    case FAIL_FAST: o->is_fail_fast = true; return 0;
    case FILTER: o->filter = arg; return 0;
    case JSON: o->json = arg; return 0;
    case RESUME: o->resume = arg; return 0;
    case ACCEPT: o->accept = arg; return 0;
    case CHANGED: o->changed = arg; return 0;
    case STEP: o->step = arg; return 0;
    case INHERIT:
        if (o->inherit_count == TG_INHERIT_MOST)
            argp_failure(state, TG_STATUS_USAGE, 0, "at most %d runs are inherited",
                         TG_INHERIT_MOST);
        o->inherit[o->inherit_count++] = arg;
        return 0;
    case HOST: o->identity.host = arg; return 0;
    case TOPOLOGY: o->identity.topology = arg; return 0;
    case SEED: o->seed = tg_command_seed(state, arg); return 0;
    case BUDGET: o->budget_s = tg_command_seconds(state, "budget", arg); return 0;
    case ARGP_KEY_ARG: tg_command_take(state, "matrix", &o->matrix, arg); return 0;
    case ARGP_KEY_END:
        if (o->resume && (o->matrix || o->policy || o->out || o->base || o->head || o->filter ||
                          o->seed || o->is_same || o->is_fail_fast || o->accept || o->changed ||
                          o->inherit_count || o->step || o->baseline))
            argp_failure(state, TG_STATUS_USAGE, 0,
                         "--resume goes on as the run was begun; only --budget and --json may"
                         " be given with it");
        if (o->base && o->baseline)
            argp_failure(state, TG_STATUS_USAGE, 0,
                         "either --base or --baseline: head is compared with one build");
        if (!o->resume && !o->matrix)
            argp_failure(state, TG_STATUS_USAGE, 0, "a matrix is missing");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_list,
    parse,
    "MATRIX\n--resume DIR",
    "Measures a matrix and decides. Under mpirun or srun rank 0 coordinates and the others work; "
    "alone it does both.\v"
    "Every sample is stored in DIR before it decides anything; `tritgate gate DIR` decides again "
    "from there. Exit status: 0 pass, 1 fail, 2 inconclusive, 3 unusable input, 4 stopped.",
    NULL,
    NULL,
    NULL};

/* A run in the making, on rank 0. */
struct work {
    const struct options *options;
    struct tg_crew *crew;
    struct tg_capability *workers;
    size_t worker_count;
    char directory[4096], head[4096], base[4096];
    struct tg_run run; /* texts, and the rows of earlier attempts */
    struct tg_plan plan;
    int64_t attempt;
    bool is_idle;    /* nothing that can be measured was changed */
    char guard[256]; /* what the flow's guard says, if it stops the run */
    int guard_status;
};

/* Has every worker say what it can do with the libraries. */
static int hear_announcements(struct work *w, struct tg_error *err)
{
    w->worker_count = tg_crew_count(w->crew);
    if (!w->workers) w->workers = calloc(w->worker_count, sizeof *w->workers);
    if (!w->workers) return tg_fail(err, "out of memory");
    return tg_crew_announce(w->crew, w->head, w->base, w->workers, err);
}

/* An absolute path, so that workers with another working directory find it. */
static int absolute(const char *path, char *out, struct tg_error *err)
{
    char *resolved = realpath(path, NULL);
    if (!resolved) return tg_fail(err, "cannot open library '%s': %s", path, strerror(errno));
    snprintf(out, 4096, "%s", resolved);
    free(resolved);
    return 0;
}

static int find_libraries(struct work *w, struct tg_error *err)
{
    const struct options *o = w->options;
    if (o->head ? absolute(o->head, w->head, err) < 0
                : tg_library_own_path(w->head, sizeof w->head, err) < 0)
        return -1;
    if (o->base && absolute(o->base, w->base, err) < 0) return -1;
    if (o->is_same && !o->base) return tg_fail(err, "--same needs --base");
    return 0;
}

static int draw_seed(const struct options *o, char *seed, struct tg_error *err)
{
    uint64_t drawn;
    if (o->seed) {
        snprintf(seed, TG_TEXT_SIZE, "%s", o->seed);
        return 0;
    }
    if (getrandom(&drawn, sizeof drawn, 0) != sizeof drawn)
        return tg_fail(err, "no randomness: %s", strerror(errno));
    snprintf(seed, TG_TEXT_SIZE, "%" PRIu64, drawn % 1000000000000000u);
    return 0;
}

/* The policy's text: the one given, or the one that the matrix names. */
static int read_texts(struct work *w, struct tg_error *err)
{
    const struct options *o = w->options;
    char path[4096];
    struct tg_json_file matrix, policy;
    if (tg_json_read(o->matrix, &matrix, err) < 0) return tg_fail_in(err, "matrix");
    tg_command_policy(o->policy, &matrix, o->matrix, path, sizeof path);
    int rc = 0;
    if (tg_json_number(tg_json_get(matrix.root, "tritgate_matrix")) != 1)
        rc = tg_fail(err, "'%s' is not a matrix: \"tritgate_matrix\": 1 is missing", o->matrix);
    else if (!*path)
        rc = tg_fail(err, "matrix '%s' names no policy; give one with --policy", o->matrix);
    else if (tg_json_read(path, &policy, err) < 0)
        rc = tg_fail_in(err, "policy");
    if (rc == 0) {
        w->run.matrix = strdup(matrix.text);
        w->run.policy = strdup(policy.text);
        tg_json_release(&policy);
        if (!w->run.matrix || !w->run.policy) rc = tg_fail(err, "out of memory");
    }
    tg_json_release(&matrix);
    return rc;
}

/* The text of the acceptance file, if one is given, and its digest. */
static int read_acceptance(struct work *w, char digest[TG_DIGEST_SIZE], struct tg_error *err)
{
    struct tg_json_file file;
    if (!w->options->accept) return 0;
    if (tg_json_read(w->options->accept, &file, err) < 0) return tg_fail_in(err, "acceptance");
    w->run.acceptance = strdup(file.text);
    tg_json_release(&file);
    if (!w->run.acceptance) return tg_fail(err, "out of memory");
    return tg_digest_text(w->run.acceptance, digest, err);
}

/* Fails if the flow's guard stops the run. */
static int ask_guard(struct work *w, struct tg_error *err)
{
    if (!tg_guard_stops(w->run.policy, w->guard, sizeof w->guard, &w->guard_status)) return 0;
    return tg_fail(err, "%s", w->guard);
}

/* Makes the plan; without a budget on the command line it is the policy's, of its step. */
static int make_plan(struct work *w, struct tg_asked *asked, struct tg_error *err)
{
    asked->budget_s = w->options->budget_s;
    w->run.plan = tg_plan_text(asked, w->workers, w->worker_count);
    if (tg_plan_make(w->run.matrix, w->options->matrix, w->run.policy, w->run.plan, &w->plan, err) <
        0)
        return -1;
    asked->budget_s = w->plan.asked.budget_s = w->plan.policy.limits.budget_s;
    memcpy(asked->flow, w->plan.policy.flow, sizeof asked->flow);
    memcpy(w->plan.asked.flow, w->plan.policy.flow, sizeof asked->flow);
    free(w->run.plan);
    w->run.plan = tg_plan_text(asked, w->workers, w->worker_count);
    return tg_run_directory_accept(NULL, &w->run, &w->plan, err);
}

static int read_changed(struct work *w, const struct tg_policy *policy, struct tg_changed *changed,
                        struct tg_error *err)
{
    const char *path = w->options->changed;
    if (!path) return 0;
    FILE *lines = fopen(path, "r");
    int rc = lines ? tg_changed_read(lines, &policy->process, changed, err)
                   : tg_fail(err, "%s", strerror(errno));
    if (lines) fclose(lines);
    if (rc < 0) return tg_fail_in(err, "'%s'", path);
    if (!tg_changed_is_nothing(changed)) return 0;
    rc = tg_changed_say_nothing(policy, stdout, w->options->json, err);
    w->is_idle = rc == 0;
    return rc;
}

/* What the policy's flow makes of the change and of earlier runs; a plan is made only to read it.
 */
static int read_flow(struct work *w, struct tg_asked *asked, struct tg_error *err)
{
    const struct options *o = w->options;
    struct tg_plan plan;
    if (!o->changed && o->inherit_count == 0) return 0;
    char *text = tg_plan_text(asked, w->workers, w->worker_count);
    int rc = tg_plan_make(w->run.matrix, o->matrix, w->run.policy, text, &plan, err);
    free(text);
    if (rc < 0) return -1;
    rc = read_changed(w, &plan.policy, &asked->changed, err);
    for (size_t i = 0; rc == 0 && !w->is_idle && i < o->inherit_count; i++)
        rc = tg_inherit_take(o->inherit[i], &plan.policy, &asked->inherit, err);
    tg_plan_release(&plan);
    return rc;
}

/* The plan of a run for which no baseline was looked for. */
static int plan_plainly(const struct work *w, const struct tg_asked *asked, struct tg_plan *plan,
                        struct tg_error *err)
{
    char *text = tg_plan_text(asked, w->workers, w->worker_count);
    int rc = tg_plan_make(w->run.matrix, w->options->matrix, w->run.policy, text, plan, err);
    free(text);
    return rc;
}

/* Looks for a baseline of what is asked; its library becomes base, which workers must look at. */
static int find_baseline(struct work *w, struct tg_asked *asked, struct tg_lookout_choice *choice,
                         struct tg_error *err)
{
    struct tg_plan plan;
    char now[TG_TEXT_SIZE];
    if (tg_command_date(0, now, err) < 0 || plan_plainly(w, asked, &plan, err) < 0) return -1;
    int rc = tg_lookout_choose(&plan, w->options->baseline, now, choice, err);
    tg_plan_release(&plan);
    if (rc < 0) return -1;
    asked->baselines = choice->baselines;
    asked->baseline_count = choice->count;
    memcpy(asked->baseline_note, choice->note, sizeof asked->baseline_note);
    if (!*choice->library) return 0;
    if (absolute(choice->library, w->base, err) < 0) return -1;
    if (hear_announcements(w, err) < 0) return -1;
    asked->is_same = strcmp(w->workers[0].head.digest, w->workers[0].base.digest) == 0;
    if (strcmp(w->workers[0].base.digest, choice->baselines[0].library) != 0)
        return tg_fail(err, "the library of the baseline was changed");
    return 0;
}

/* A new run: everything that can be wrong with what was asked is found before anything is made. */
static int begin(struct work *w, struct tg_error *err)
{
    const struct options *o = w->options;
    struct tg_asked asked = {.is_same = o->is_same, .is_fail_fast = o->is_fail_fast};
    if (tg_run_directory_can_write(o->json, err) < 0) return -1;
    if (read_texts(w, err) < 0 || ask_guard(w, err) < 0 || draw_seed(o, asked.seed, err) < 0 ||
        find_libraries(w, err) < 0 || hear_announcements(w, err) < 0)
        return -1;
    if ((o->filter && strlen(o->filter) >= sizeof asked.filter) ||
        (o->step && strlen(o->step) >= sizeof asked.step))
        return tg_fail(err, "the filter or the step is too long");
    snprintf(asked.step, sizeof asked.step, "%s", o->step ? o->step : "");
    snprintf(asked.filter, sizeof asked.filter, "%s", o->filter ? o->filter : "");
    if (read_acceptance(w, asked.acceptance, err) < 0) return -1;
    if (read_flow(w, &asked, err) < 0 || w->is_idle) return -1;
    w->attempt = 1;
    struct tg_lookout_choice choice = {0};
    int rc = o->baseline ? find_baseline(w, &asked, &choice, err) : 0;
    if (rc == 0) rc = make_plan(w, &asked, err);
    tg_lookout_release(&choice);
    if (rc < 0) return -1;
    return tg_run_directory_make(o->out, &w->run, w->directory, sizeof w->directory, err);
}

/* A run that was ended: asked as it was, by workers that have the same libraries. */
static int go_on(struct work *w, struct tg_error *err)
{
    const struct options *o = w->options;
    if (tg_run_directory_can_write(o->json, err) < 0) return -1;
    if (!realpath(o->resume, w->directory))
        return tg_fail(err, "cannot read run '%s': %s", o->resume, strerror(errno));
    if (tg_run_directory_lock(w->directory, err) < 0) return -1;
    if (tg_store_read(w->directory, &w->run, err) < 0 || ask_guard(w, err) < 0) return -1;
    if (tg_plan_make(w->run.matrix, "matrix.json", w->run.policy, w->run.plan, &w->plan, err) < 0 ||
        tg_run_directory_accept(NULL, &w->run, &w->plan, err) < 0)
        return -1;
    if (w->plan.asked.is_imported)
        return tg_fail(err, "run '%s' was imported: there is nothing to go on with", o->resume);
    const struct tg_capability *first = &w->plan.workers[0];
    snprintf(w->head, sizeof w->head, "%s", first->head.path);
    if (first->has_base) snprintf(w->base, sizeof w->base, "%s", first->base.path);
    if (hear_announcements(w, err) < 0) return -1;
    for (size_t i = 0; i < w->worker_count; i++)
        if (strcmp(w->workers[i].head.digest, first->head.digest) != 0 ||
            strcmp(w->workers[i].base.digest, first->base.digest) != 0)
            return tg_fail(err, "a library of the run was changed since it was begun");
    if (o->budget_s > 0) w->plan.asked.budget_s = o->budget_s;
    return tg_run_directory_attempt(w->directory, &w->attempt, err);
}

/* Has every worker close its file. Returns how many said that all was well. */
static size_t close_workers(struct work *w)
{
    struct tg_error why;
    size_t well = 0;
    if (tg_crew_tell_all(w->crew, "{\"do\":\"close\"}", &why) < 0) return 0;
    double deadline_s = tg_now() + CLOSE_WITHIN_S;
    for (size_t i = 0; i < tg_crew_count(w->crew); i++) {
        size_t from;
        char *answer;
        struct tg_json_file file;
        if (tg_crew_hear(w->crew, deadline_s, &from, &answer, &why) <= 0) break;
        if (tg_json_parse(answer, &file, NULL) == 0) {
            const struct tg_json *bye = tg_json_get(file.root, "bye");
            if (!bye)
                i--; /* an answer that was still under way */
            else
                well++;
            tg_json_release(&file);
        }
        free(answer);
    }
    return well;
}

/* From the closed files: the decision, its reports, the table. Returns the exit status. */
static int conclude(struct work *w, const struct tg_dispatched *dispatched, struct tg_error *err)
{
    struct tg_run run;
    struct tg_decision decision;
    /* A run that lost something is not sealed: it cannot pass before it goes on. */
    if (!dispatched->is_lost && tg_store_seal(w->directory, err) < 0) return TG_STATUS_STOPPED;
    if (tg_store_read(w->directory, &run, err) < 0) return TG_STATUS_STOPPED;
    int status = TG_STATUS_STOPPED;
    if (tg_gate_decide(&w->plan, &run, &decision, err) == 0) {
        if (tg_report_write_all(w->directory, &w->plan, &decision, err) == 0 &&
            tg_run_directory_copy_receipt(w->options->json, &w->plan, &decision, err) == 0)
            status = tg_gate_status(&decision);
        tg_report_find("terminal")->write(stdout, &w->plan, &decision);
        printf("evidence in %s\n", w->directory);
        tg_gate_release(&decision);
    }
    tg_store_release(&run);
    if (status != TG_STATUS_STOPPED && dispatched->is_lost) {
        tg_fail(err, "%s", dispatched->reason);
        status = TG_STATUS_STOPPED;
    }
    return status;
}

/* Tests that count and shadows, workers, budget, and where the evidence goes. */
static void say_what_comes(const struct work *w)
{
    size_t required = 0, shadows = 0;
    for (size_t i = 0; i < w->plan.spec.test_count; i++) {
        required += tg_gate_is_required(&w->plan, i);
        shadows += w->plan.spec.tests[i].is_shadow && w->plan.prospects[i].fate == TG_TO_MEASURE;
    }
    tg_log(TG_INFO, "%zu test%s and %zu shadow%s, %zu worker%s, at most %.3g s; evidence in %s",
           required, required == 1 ? "" : "s", shadows, shadows == 1 ? "" : "s", w->worker_count,
           w->worker_count == 1 ? "" : "s", w->plan.asked.budget_s, w->directory);
}

static int coordinate(struct work *w, size_t *well, struct tg_error *err)
{
    struct tg_dispatched dispatched;
    int status = TG_STATUS_USAGE;
    if ((w->options->resume ? go_on(w, err) : begin(w, err)) == 0) {
        say_what_comes(w);
        int rc = tg_dispatch(w->crew, w->workers, &w->plan, &w->run, w->directory, w->attempt,
                             &dispatched, err);
        *well = close_workers(w);
        status = rc < 0 ? TG_STATUS_STOPPED : conclude(w, &dispatched, err);
    } else {
        *well = close_workers(w);
        if (w->is_idle) status = 0;
        if (*w->guard) {
            puts(w->guard);
            status = w->guard_status;
        }
    }
    tg_plan_release(&w->plan);
    tg_store_release(&w->run);
    for (size_t i = 0; i < w->worker_count; i++) tg_plan_capability_release(&w->workers[i]);
    free(w->workers);
    return status;
}

static int work_as_rank(struct tg_wire *wire, const struct options *o, struct tg_error *err)
{
    struct tg_worker *worker;
    if (tg_serve_open(tg_wire_rank(wire), tg_wire_local_rank(wire), &o->identity, &worker, err) < 0)
        return -1;
    int rc = tg_serve(wire, worker, err);
    tg_serve_close(worker);
    return rc;
}

int tg_command_run(int argc, char **argv)
{
    struct options options = {0};
    struct work work = {.options = &options};
    struct tg_wire *wire;
    struct tg_error err = {""};
    size_t well = 0;
    /* What is wrong with the command line is said once, by rank 0. */
    unsigned flags = tg_wire_launched_rank() > 0 ? ARGP_SILENT : 0;
    for (int i = 1; i < argc && flags; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "--usage") == 0) return 0;
    if (argp_parse(&argp, argc, argv, flags, NULL, &options) != 0) return TG_STATUS_USAGE;
    if (tg_wire_open(&wire, &err) < 0) {
        tg_log(TG_ERROR, "%s", err.text);
        return TG_STATUS_STOPPED;
    }
    int status = TG_STATUS_STOPPED;
    tg_log_open(tg_wire_rank(wire), TG_INFO);
    if (tg_wire_rank(wire) > 0) {
        status = work_as_rank(wire, &options, &err) == 0 ? 0 : TG_STATUS_STOPPED;
    } else if (tg_crew_open(wire, &options.identity, &work.crew, &err) == 0) {
        struct tg_error why;
        if (tg_wire_size(wire) > 1 && tg_place_leave(&why) < 0) tg_log(TG_WARN, "%s", why.text);
        status = coordinate(&work, &well, &err);
    }
    if (status >= TG_STATUS_USAGE) tg_log(TG_ERROR, "%s", err.text);
    bool all_left = tg_wire_rank(wire) > 0 ? status == 0 : well == tg_crew_count(work.crew);
    tg_crew_close(work.crew);
    fflush(stdout);
    if (!all_left && tg_wire_size(wire) > 1) tg_wire_abort(wire, status);
    tg_wire_close(wire);
    return status;
}
