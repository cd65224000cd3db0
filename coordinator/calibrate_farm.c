/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "coordinator/calibrate.h"
#include "coordinator/run_directory.h"
#include "worker/child.h"
#include "worker/library.h"

/* Calibration on this machine: real runs of this program, whose truth is known. */

/* What is run, and where. */
struct farm {
    const struct tg_farm_options *options;
    struct tg_calibration *calibration;
    char library[4096];   /* of this program: the base of every run */
    char directory[4096]; /* that holds the runs */
    char process[32];     /* the id of this one */
    double began_s;
};

static volatile sig_atomic_t is_stopped;

static void stop(int signal)
{
    (void)signal;
    is_stopped = 1;
}

static int remove_one(const char *path, const struct stat *is, int type, struct FTW *place)
{
    (void)is;
    (void)type;
    (void)place;
    return remove(path);
}

static void remove_all(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The command line of a run; ends with NULL. */
static void command_line(const struct farm *farm, const char *head, const char *directory,
                         const char *argv[16])
{
    const struct tg_farm_options *o = farm->options;
    size_t n = 0;
    argv[n++] = "/proc/self/exe";
    argv[n++] = "run";
    argv[n++] = o->matrix;
    argv[n++] = "--base";
    argv[n++] = farm->library;
    if (o->policy) argv[n++] = "--policy";
    if (o->policy) argv[n++] = o->policy;
    argv[n++] = head ? "--head" : "--same";
    if (head) argv[n++] = head;
    argv[n++] = "--out";
    argv[n++] = directory;
    argv[n++] = "--tied";
    argv[n++] = farm->process;
    argv[n] = NULL;
}

/* Makes one run, and waits for its end. Its answer is in its files. */
static int run(const struct farm *farm, const char *head, const char *directory,
               struct tg_error *err)
{
    const char *argv[16], *line;
    struct tg_child *child;
    struct tg_child_end end;
    command_line(farm, head, directory, argv);
    if (tg_child_start(argv, NULL, 0, 0, &child, err) < 0) return -1;
    while (!is_stopped && tg_child_receive(child, tg_now() + 1, &line) == TG_CHILD_LATE) {
    }
    tg_child_stop(child, &end);
    if (is_stopped) return tg_fail(err, "stopped by a signal");
    if (end.signal) return tg_fail(err, "a run was killed by signal %d: %s", end.signal, end.tail);
    if (end.status > 2) return tg_fail(err, "a run ended with %d: %s", end.status, end.tail);
    return 0;
}

void tg_calibrate_count(struct tg_calibration *c, const struct tg_plan *plan,
                        const struct tg_decision *d, struct tg_point *p)
{
    struct tg_tally own = {.gates = 1};
    const int64_t percent = plan->workers[0].head.injected_percent;
    p->effect = (double)percent / 100;
    for (size_t i = 0; i < d->verdict_count; i++) {
        const struct tg_rule *rule = &plan->policy.rules[plan->spec.tests[i].rule];
        if (strcmp(rule->rule, "noninferior") != 0 || !tg_gate_is_required(plan, i)) continue;
        const struct tg_verdict *v = &d->verdicts[i];
        const bool is_decided = v->answer == TG_PASS ||
                                tg_stats_is_over(v->log_fail, v->log_fail_line);
        tg_tally_count(&own, rule, v, v->rounds, is_decided ? v->rounds : 0, percent ? NAN : 0);
    }
    own.families_over = d->families_over > 0;
    tg_tally_end_gate(&own, &plan->policy.limits);
    tg_tally_add(&p->seen, &own);
    c->required_count = plan->required_count;
}

/* Adds a run to the history, for each class of hardware that it was measured on. */
static int keep(const char *store, const struct tg_plan *plan, const struct tg_run *stored,
                struct tg_error *err)
{
    struct tg_decision decision;
    if (tg_history_accept(plan, stored, err) < 0) return tg_fail_in(err, "a run cannot be kept");
    int rc = tg_gate_decide(plan, stored, &decision, err);
    if (rc < 0) return -1;
    for (size_t i = 0; rc == 0 && i < plan->class_count; i++) {
        struct tg_history taken = {0};
        size_t added;
        rc = tg_history_take(plan, stored, &decision, i, &taken, err);
        if (rc == 0 && taken.run_count) rc = tg_store_history_add(store, &taken, &added, err);
        tg_store_history_release(&taken);
    }
    tg_gate_release(&decision);
    return rc;
}

/*
 * Adds a stored run to the history if there is one, as its policy decides it, and counts it, as if
 * no failure were held: a run by itself is one session.
 */
static int read_run(struct tg_calibration *c, const char *directory, const char *history,
                    struct tg_point *p, struct tg_error *err)
{
    struct tg_run stored;
    struct tg_plan plan;
    struct tg_decision decision;
    if (tg_run_directory_open(directory, NULL, &stored, &plan, err) < 0) return -1;
    int rc = history ? keep(history, &plan, &stored, err) : 0;
    plan.policy.limits.min_sessions = c->limits.min_sessions;
    if (rc == 0) rc = tg_gate_decide(&plan, &stored, &decision, err);
    if (rc == 0) {
        tg_calibrate_count(c, &plan, &decision, p);
        tg_gate_release(&decision);
    }
    tg_plan_release(&plan);
    tg_store_release(&stored);
    return rc;
}

/* All runs of one kind. */
static int run_kind(struct farm *farm, const char *name, const char *head, struct tg_error *err)
{
    const struct tg_farm_options *o = farm->options;
    struct tg_calibration *c = farm->calibration;
    struct tg_point *p = &c->points[c->point_count++];
    *p = (struct tg_point){.part = "farm", .name = name, .effect = NAN, .sd = NAN, .sigma = NAN};
    for (size_t i = 0; i < o->runs; i++) {
        char directory[4200];
        double now = tg_now();
        if (o->budget_s > 0 && now - farm->began_s > o->budget_s) break;
        snprintf(directory, sizeof directory, "%s/%s.%zu", farm->directory,
                 head ? "slower" : "same", i + 1);
        int rc = run(farm, head, directory, err);
        p->seconds += tg_now() - now;
        if (rc == 0) rc = read_run(c, directory, head ? NULL : o->history, p, err);
        if (!o->out) remove_all(directory);
        if (rc < 0) return -1;
        p->is_done = p->seen.tests > 0;
        tg_log(TG_INFO, "%s, run %zu of %zu: %zu of %zu failed, %.1f s", name, i + 1, o->runs,
               p->seen.gates_failed, p->seen.gates, tg_now() - now);
    }
    return 0;
}

static void promise_all(struct tg_calibration *c)
{
    const double alpha = c->limits.alpha_fail;
    const double sure = tg_simulate_theta(c->rule, tg_calibrate_sure(c->rule));
    for (size_t i = 0; i < c->point_count; i++) {
        const struct tg_tally *t = &c->points[i].seen;
        const char *name = c->points[i].name;
        if (!c->points[i].is_done) continue;
        if (c->points[i].effect <= c->rule->tolerance) {
            tg_calibrate_promise(c, false, tg_policy_alpha(&c->limits), t->gates_failed, t->gates,
                                 "%s: a run fails", name);
            tg_calibrate_promise(c, false, alpha / (double)c->required_count, t->over, t->tests,
                                 "%s: a test is over", name);
            tg_calibrate_promise(c, true, c->limits.confidence, t->covered, t->intervals,
                                 "%s: the interval holds the truth", name);
        } else if (log1p(c->points[i].effect) >= sure - 1e-9) {
            /* What the budget left open was not missed. */
            tg_calibrate_promise(c, true, 1 - c->limits.alpha_miss, t->gates_failed,
                                 t->gates_failed + t->gates_passed,
                                 "%s by %.3g %%: a run that comes to an answer fails", name,
                                 100 * c->points[i].effect);
        } else {
            tg_log(TG_WARN, "%s by %.3g %%: what must fail begins at a call %.3g %% slower", name,
                   100 * c->points[i].effect, 100 * expm1(sure));
        }
    }
}

static int open_directory(struct farm *farm, struct tg_error *err)
{
    const char *out = farm->options->out, *base = getenv("TMPDIR");
    if (out && mkdir(out, 0777) < 0)
        return tg_fail(err, "cannot make directory '%s': %s", out, strerror(errno));
    snprintf(farm->directory, sizeof farm->directory, "%s", out ? out : "");
    if (out) return 0;
    snprintf(farm->directory, sizeof farm->directory, "%s/tritgate_XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(farm->directory))
        return tg_fail(err, "cannot make directory '%s': %s", farm->directory, strerror(errno));
    return 0;
}

int tg_calibrate_farm(const struct tg_farm_options *options, struct tg_calibration *calibration,
                      struct tg_error *err)
{
    const struct sigaction action = {.sa_handler = stop, .sa_flags = (int)SA_RESETHAND};
    /* Not after all the runs that come before its own. */
    if (options->head && access(options->head, R_OK) < 0)
        return tg_fail(err, "cannot open library '%s': %s", options->head, strerror(errno));
    struct farm *farm = calloc(1, sizeof *farm);
    if (!farm) return tg_fail(err, "out of memory");
    farm->options = options;
    farm->calibration = calibration;
    farm->began_s = tg_now();
    snprintf(farm->process, sizeof farm->process, "%ld", (long)getpid());
    int rc = tg_library_own_path(farm->library, sizeof farm->library, err);
    if (rc == 0) rc = open_directory(farm, err);
    if (rc == 0) {
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        rc = run_kind(farm, "A/A", NULL, err);
        if (rc == 0 && options->head) rc = run_kind(farm, "slower", options->head, err);
        if (!options->out) remove_all(farm->directory);
    }
    if (rc == 0 && options->history)
        rc = tg_history_alarms(options->history, &calibration->alarms, err);
    calibration->has_alarms = rc == 0 && options->history;
    if (rc == 0) promise_all(calibration);
    free(farm);
    return rc;
}
