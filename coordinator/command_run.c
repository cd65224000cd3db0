/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "coordinator/begin.h"
#include "coordinator/budget.h"
#include "coordinator/command.h"
#include "coordinator/dispatch.h"
#include "coordinator/gather.h"
#include "coordinator/launcher.h"
#include "coordinator/report.h"
#include "coordinator/retry.h"
#include "coordinator/run_directory.h"

enum {
    HOST = 256,
    TOPOLOGY,
    GPUS,
    BASE,
    BASELINE,
    HEAD,
    MODEL,
    MODEL_CACHE,
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
    STEP,
    HISTORY,
    SHARD,
    MARK,
    TIED
};

static const struct argp_option option_list[] = {
    {"policy", 'p', "FILE", 0,
     "what is demanded, a file or a name (default: the one that the matrix names)", 0},
    {"step", STEP, "NAME", 0, "of the policy's flow (default: the last that writes its gate)", 0},
    {"out", 'o', "DIR", 0, "where the evidence goes; must not exist (default: runs/<date>)", 0},
    {"base", BASE, "LIB", 0, "the older build's libtritgate-kernels.so to compare with", 0},
    {"baseline", BASELINE, "DIR", 0, "a store of baselines to compare with (tritgate baseline)", 0},
    {"head", HEAD, "LIB", 0, "the build to judge (default: the one beside this program)", 0},
    {"model", MODEL, "FILE", 0, "the file of the model 'gguf' (default: BITNET_GGUF)", 0},
    {"model-cache", MODEL_CACHE, "DIR", 0,
     "absolute path on each node, for synthetic models (default: TRITGATE_MODEL_CACHE, or "
     "/var/tmp/tritgate-<uid>/models)",
     0},
    {"same", SAME, NULL, 0, "base and head are meant to be the same file (A/A)", 0},
    {"fail-fast", FAIL_FAST, NULL, 0, "measure no more once a test has failed the run", 0},
    {"budget", BUDGET, "SECONDS", 0, "measure no longer than this (default: the policy's)", 0},
    {"filter", FILTER, "PATTERN", 0, "only cells that match, as 'kernel=i2s_* batch=1'", 0},
    {"changed", CHANGED, "FILE", 0, "only cells of these changed paths, one a line", 0},
    {"inherit", INHERIT, "RUN", 0, "a run of an earlier flow, whose result counts; repeatable", 0},
    {"accept", ACCEPT, "FILE", 0, "losses that are accepted, with reason, owner and last day", 0},
    {"history", HISTORY, "STORE", 0, "whose false alarms the reports tell (default: history)", 0},
    {"shard", SHARD, "I/N", 0, "only this part of N; tritgate merge joins them", 0},
    {"seed", SEED, "N", 0, "draw the same operands and orders again", 0},
    {"json", JSON, "FILE", 0, "write the receipt here too", 0},
    {"resume", RESUME, "DIR", 0, "go on with a run that was ended; takes no matrix", 0},
    {"mark", MARK, "FILE", OPTION_HIDDEN, "where tritgate launch looks how far it is", 0},
    {"host", HOST, "NAME", OPTION_HIDDEN, "this worker's node name, in tests", 0},
    {"topology", TOPOLOGY, "XML", OPTION_HIDDEN, "this worker's recorded topology, in tests", 0},
    {"gpus", GPUS, "FILE", OPTION_HIDDEN, "this worker's recorded GPUs, in tests", 0},
    {"tied", TIED, "PID", OPTION_HIDDEN, "die with that parent", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct tg_wishes *o = state->input;
    switch (key) {
    case 'p': o->policy = arg; return 0;
    case 'o': o->out = arg; return 0;
    case BASE: o->base = arg; return 0;
    case BASELINE: o->baseline = arg; return 0;
    case HEAD: o->head = arg; return 0;
    case MODEL: o->model = arg; return 0;
    case MODEL_CACHE: o->model_cache = arg; return 0;
    case SAME: o->is_same = true; return 0;
    case FAIL_FAST: o->is_fail_fast = true; return 0;
    case FILTER: tg_command_take(state, "filter", &o->filter, arg); return 0;
    case JSON: o->json = arg; return 0;
    case RESUME: o->resume = arg; return 0;
    case ACCEPT: o->accept = arg; return 0;
    case CHANGED: o->changed = arg; return 0;
    case STEP: o->step = arg; return 0;
    case HISTORY: o->history = arg; return 0;
    case SHARD: o->shard = arg; return 0;
    case INHERIT:
        if (o->inherit_count == TG_INHERIT_MOST)
            argp_failure(state, TG_STATUS_USAGE, 0, "at most %d runs are inherited",
                         TG_INHERIT_MOST);
        o->inherit[o->inherit_count++] = arg;
        return 0;
    case MARK: o->mark = arg; return 0;
    case TIED: tg_command_tie(state, arg); return 0;
    case HOST: o->identity.host = arg; return 0;
    case TOPOLOGY: o->identity.topology = arg; return 0;
    case GPUS: o->identity.gpus = arg; return 0;
    case SEED: o->seed = tg_command_seed(state, arg); return 0;
    case BUDGET: o->budget_s = tg_command_seconds(state, "budget", arg); return 0;
    case ARGP_KEY_ARG: tg_command_take(state, "matrix", &o->matrix, arg); return 0;
    case ARGP_KEY_END:
        if (o->resume && (o->matrix || o->policy || o->out || o->base || o->head || o->filter ||
                          o->seed || o->is_same || o->is_fail_fast || o->accept || o->changed ||
                          o->inherit_count || o->step || o->history || o->baseline || o->shard))
            argp_failure(state, TG_STATUS_USAGE, 0,
                         "--resume goes on as the run was begun; only --budget, --json, --model and"
                         " --model-cache may be given with it");
        if (o->base && o->baseline)
            argp_failure(state, TG_STATUS_USAGE, 0,
                         "either --base or --baseline: head is compared with one build");
        if (o->shard && o->baseline)
            argp_failure(state, TG_STATUS_USAGE, 0,
                         "either --shard or --baseline: only a whole run is held against numbers");
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

/*
 * Where the evidence is, and what goes on, if the run is open, more rounds could change that, and
 * the policy's step allows them: a run that lost something always may.
 */
static void say_where(const struct tg_work *w, bool is_lost, const struct tg_decision *decision)
{
    bool wants_more = false;
    char word[4200];
    struct tg_retry retry;
    struct tg_error why;
    for (size_t i = 0; i < decision->verdict_count; i++) {
        const struct tg_verdict *v = &decision->verdicts[i];
        wants_more |= v->answer == TG_INCONCLUSIVE && v->wants_more &&
                      tg_gate_counts(&w->plan, i, v);
    }
    printf("evidence in %s", w->directory);
    if (decision->answer == TG_INCONCLUSIVE && wants_more &&
        (is_lost || tg_retry_ask(&w->plan, decision, &retry, &why) == 0))
        printf("; to go on measuring: tritgate run --resume %s",
               tg_run_directory_word(w->directory, word, sizeof word));
    printf("\n");
}

/* From the closed files: the decision, its reports, the table. Returns the exit status. */
static int conclude(struct tg_work *w, bool all_left, const struct tg_dispatched *dispatched,
                    struct tg_error *err)
{
    struct tg_run run;
    struct tg_decision decision;
    /* A run that lost something, or whose files are not all closed, is not sealed: it cannot pass
     * before it goes on. */
    bool is_lost = dispatched->is_lost || !all_left;
    if (!is_lost && tg_store_seal(w->directory, err) < 0) return TG_STATUS_STOPPED;
    if (tg_store_read(w->directory, &run, err) < 0) return TG_STATUS_STOPPED;
    int status = TG_STATUS_STOPPED;
    if (tg_gate_decide(&w->plan, &run, &decision, err) == 0) {
        if (tg_report_write_all(w->directory, &w->plan, &decision, err) == 0 &&
            tg_run_directory_copy_receipt(w->wishes->json, &w->plan, &decision, err) == 0)
            status = tg_gate_status(&decision);
        tg_report_find("terminal")->write(stdout, &w->plan, &decision);
        say_where(w, is_lost, &decision);
        tg_gate_release(&decision);
    }
    tg_store_release(&run);
    if (status != TG_STATUS_STOPPED && is_lost) {
        char word[4200];
        tg_fail(err, "%.600s; --resume %s goes on",
                *dispatched->reason ? dispatched->reason : "a worker did not leave",
                tg_run_directory_word(w->directory, word, sizeof word));
        status = TG_STATUS_STOPPED;
    }
    return status;
}

/*
 * Tests that count and shadows, workers, budget, and where the evidence goes; and whether so much
 * can be measured in the budget, but where earlier attempts may have done a part.
 */
static void say_what_comes(const struct tg_work *w)
{
    char text[400];
    size_t required = 0, shadows = 0;
    for (size_t i = 0; i < w->plan.spec.test_count; i++) {
        required += tg_gate_is_required(&w->plan, i) && w->plan.prospects[i].fate != TG_TO_MISS;
        shadows += w->plan.spec.tests[i].is_shadow && w->plan.prospects[i].fate == TG_TO_MEASURE;
    }
    tg_log(TG_INFO, "%zu test%s and %zu shadow%s, %zu worker%s, at most %.6g s; evidence in %s",
           required, required == 1 ? "" : "s", shadows, shadows == 1 ? "" : "s", w->worker_count,
           w->worker_count == 1 ? "" : "s", w->plan.asked.budget_s, w->directory);
    if (!w->wishes->resume && *tg_budget_say(&w->plan, text, sizeof text))
        tg_log(TG_WARN, "%s", text);
}

/* Rank 0 keeps off what its node's workers time on; alone it is a worker, which has done so. */
static void leave_timed_cores(const struct tg_work *w)
{
    struct tg_error why;
    if (tg_place_leave(tg_policy_exclusive(w->exclusive), &why) < 0)
        tg_log(TG_WARN, "%s", why.text);
}

/* Where launch is on another host, and shares no disk with this one, it would look in vain. */
static bool can_launch_see(const struct tg_wishes *wishes)
{
    return !wishes->mark || access(wishes->mark, F_OK) == 0 || errno != ENOENT;
}

static void leave_mark(const struct tg_wishes *wishes, int mark)
{
    struct tg_error why;
    if (can_launch_see(wishes) && tg_launcher_mark(wishes->mark, mark, &why) < 0)
        tg_log(TG_WARN, "%s", why.text);
}

/* Counts the rows of each worker that this try has stored. */
static void count_rows(const struct tg_work *w, bool has_ranks, const struct tg_run *run,
                       size_t *here)
{
    for (size_t i = 0; i < run->count; i++) {
        int64_t worker = run->rows[i].facts.rank - has_ranks;
        if (run->rows[i].attempt == w->attempt && 0 <= worker && worker < (int64_t)w->worker_count)
            here[worker]++;
    }
}

/* Fails where something is missing here that a worker said it has stored. */
static int look_for_rows(const struct tg_work *w, bool has_ranks, const size_t *told,
                         struct tg_error *err)
{
    int rc = 0;
    struct tg_run run;
    size_t *here = calloc(w->worker_count + 1, sizeof *here);
    if (!here) return tg_fail(err, "out of memory");
    if (tg_store_read(w->directory, &run, err) < 0) {
        free(here);
        return -1;
    }
    count_rows(w, has_ranks, &run, here);
    for (size_t i = 0; i < w->worker_count && told && rc == 0; i++)
        if (here[i] < told[i])
            rc = tg_fail(err, "of %zu rows of worker %zu%s, %zu are here", told[i], i + 1,
                         tg_crew_is_dead(w->crew, i) ? ", which is dead" : "", here[i]);
    tg_store_release(&run);
    free(here);
    return rc;
}

static void add_loss(struct tg_dispatched *dispatched, const char *why)
{
    size_t length = strlen(dispatched->reason); /* of what came first */
    dispatched->is_lost = true;
    snprintf(dispatched->reason + length, sizeof dispatched->reason - length, "%s%.400s",
             length ? "; " : "", why);
}

/* The workers' files, where they wrote them elsewhere. */
static void gather(struct tg_work *w, bool has_ranks, struct tg_dispatched *dispatched)
{
    size_t count;
    struct tg_error why;
    const struct tg_store_plan asked = {w->run.matrix, w->run.policy, w->run.plan};
    int rc = tg_gather(w->crew, w->directory, &asked, &count, &why);
    if (count) tg_log(TG_INFO, "%zu file%s brought here", count, count == 1 ? "" : "s");
    if (rc == 0) rc = look_for_rows(w, has_ranks, dispatched->rows, &why);
    if (rc < 0) add_loss(dispatched, why.text);
    if (*w->missing) add_loss(dispatched, w->missing);
}

static bool has_dead(const struct tg_work *w)
{
    for (size_t i = 0; i < tg_crew_count(w->crew); i++)
        if (tg_crew_is_dead(w->crew, i)) return true;
    return false;
}

/* That the flow's guard stopped the run, which is in scope of another one. */
static int tell_guard(const struct tg_work *w, struct tg_error *err)
{
    const struct tg_guard_word *g = &w->guard;
    puts(g->line);
    if (tg_run_directory_skip(w->wishes->json, g->flow, g->reason, g->status, err) < 0)
        return TG_STATUS_USAGE;
    return g->status;
}

static int begin(struct tg_work *w, struct tg_error *err)
{
    if (!can_launch_see(w->wishes))
        return tg_fail(err,
                       "the mark '%s' of tritgate launch is not on this host: start launch on the "
                       "first host, or keep the run where both see it",
                       w->wishes->mark);
    return w->wishes->resume ? tg_begin_again(w, err) : tg_begin(w, err);
}

static int coordinate(struct tg_work *w, bool has_ranks, bool *all_left, struct tg_error *err)
{
    struct tg_dispatched dispatched;
    int status = TG_STATUS_USAGE;
    if (begin(w, err) == 0) {
        leave_mark(w->wishes, TG_MARK_BEGUN);
        say_what_comes(w);
        if (has_ranks) leave_timed_cores(w);
        tg_crew_set_patience(w->crew, w->plan.policy.limits.silence_s);
        int rc = tg_dispatch(w->crew, w->workers, &w->plan, &w->run, w->directory, w->attempt,
                             &dispatched, err);
        gather(w, has_ranks, &dispatched);
        *all_left = tg_crew_dismiss(w->crew);
        status = rc < 0 ? TG_STATUS_STOPPED : conclude(w, *all_left, &dispatched, err);
        free(dispatched.rows);
    } else {
        *all_left = tg_crew_dismiss(w->crew);
        if (!*all_left || has_dead(w)) status = TG_STATUS_STOPPED;
        if (w->is_idle) status = 0;
        if (*w->guard.line) status = tell_guard(w, err);
    }
    tg_begin_release(w);
    return status;
}

int tg_command_read_run(int argc, char **argv, bool is_silent, struct tg_wishes *wishes)
{
    return argp_parse(&argp, argc, argv, is_silent ? ARGP_SILENT : 0, NULL, wishes);
}

static int work_as_rank(struct tg_wire *wire, const struct tg_wishes *o, struct tg_error *err)
{
    struct tg_worker *worker;
    if (tg_serve_open(tg_wire_rank(wire), tg_wire_worker_index(wire), tg_wire_worker_count(wire),
                      &o->identity, &worker, err) < 0)
        return -1;
    int rc = tg_serve(wire, worker, err);
    tg_serve_close(worker);
    return rc < 0 ? rc : tg_wire_await_end(wire, err);
}

int tg_command_run(int argc, char **argv)
{
    struct tg_wishes options = {0};
    struct tg_work work = {.wishes = &options};
    struct tg_wire *wire;
    struct tg_error err = {""};
    bool all_left = false;
    /* What is wrong with the command line is said once, by rank 0. */
    bool is_silent = tg_wire_launched_rank() > 0;
    for (int i = 1; i < argc && is_silent; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "--usage") == 0) return 0;
    if (tg_command_read_run(argc, argv, is_silent, &options) != 0) return TG_STATUS_USAGE;
    if (tg_wire_launched_rank() <= 0) tg_run_directory_empty_receipt(options.json);
    if (tg_wire_open(&wire, &err) < 0) {
        tg_log(TG_ERROR, "%s", err.text);
        return TG_STATUS_STOPPED;
    }
    int status = TG_STATUS_STOPPED;
    tg_log_open(tg_wire_rank(wire), TG_INFO);
    if (tg_wire_rank(wire) > 0) {
        status = work_as_rank(wire, &options, &err) == 0 ? 0 : TG_STATUS_STOPPED;
    } else if (tg_crew_open(wire, &options.identity, &work.crew, &err) == 0) {
        struct tg_limits usual; /* until the policy is known */
        tg_record_init(&tg_limits_type, &usual);
        tg_crew_set_patience(work.crew, usual.silence_s);
        status = coordinate(&work, tg_wire_size(wire) > 1, &all_left, &err);
    }
    if (status >= TG_STATUS_USAGE) tg_log(TG_ERROR, "%s", err.text);
    if (tg_wire_rank(wire) > 0) all_left = status == 0;
    tg_crew_close(work.crew);
    fflush(stdout);
    if (tg_wire_rank(wire) == 0) leave_mark(&options, status);
    if (!all_left && tg_wire_size(wire) > 1) tg_wire_abort(wire, status);
    tg_wire_close(wire, status);
    return status;
}
