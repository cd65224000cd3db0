/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/begin.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "coordinator/changed.h"
#include "coordinator/command.h"
#include "coordinator/gate.h"
#include "coordinator/gather.h"
#include "coordinator/history.h"
#include "coordinator/lookout.h"
#include "coordinator/run_directory.h"
#include "coordinator/shard.h"
#include "results/digest.h"
#include "worker/library.h"
#include "worker/model/model_source.h"
#include "worker/model/profile.h"

#define PROGRAM "/proc/self/exe" /* as it was started, also where its file was replaced since */

/* Has every worker say what it can do with the libraries. */
static int hear_announcements(struct tg_work *w, struct tg_error *err)
{
    w->worker_count = tg_crew_count(w->crew);
    if (!w->workers) w->workers = calloc(w->worker_count, sizeof *w->workers);
    if (!w->workers) return tg_fail(err, "out of memory");
    const struct tg_summons summons = {w->head, w->base, w->model, w->model_cache, w->exclusive};
    if (tg_crew_announce(w->crew, &summons, w->workers, err) < 0) return -1;
    for (size_t i = 0; i < w->worker_count; i++) w->workers[i].shard = w->shard;
    return 0;
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

int tg_begin_find_model(const char *named, char path[4096], struct tg_error *err)
{
    char *resolved = named ? realpath(named, NULL) : NULL;
    if (named && !resolved)
        return tg_fail(err, "cannot open model '%s': %s", named, strerror(errno));
    snprintf(path, 4096, "%s", resolved ? resolved : "");
    free(resolved);
    return 0;
}

/* The paths of models that the command line names, absolute; "" where it does not. */
static int find_models(struct tg_work *w, struct tg_error *err)
{
    const struct tg_wishes *o = w->wishes;
    if (tg_begin_find_model(o->model, w->model, err) < 0) return -1;
    if (o->model_cache && *o->model_cache != '/')
        return tg_fail(err, "the model cache '%s' is no absolute path", o->model_cache);
    snprintf(w->model_cache, sizeof w->model_cache, "%s", o->model_cache ? o->model_cache : "");
    return 0;
}

static int find_libraries(struct tg_work *w, struct tg_error *err)
{
    const struct tg_wishes *o = w->wishes;
    if (o->head ? absolute(o->head, w->head, err) < 0
                : tg_library_own_path(w->head, sizeof w->head, err) < 0)
        return -1;
    if (o->base && absolute(o->base, w->base, err) < 0) return -1;
    if (o->is_same && !o->base) return tg_fail(err, "--same needs --base");
    return 0;
}

static int draw_seed(const struct tg_wishes *o, char *seed, struct tg_error *err)
{
    uint64_t drawn;
    const char *given = o->seed;
    if (!given && tg_command_environment_seed(&given, err) < 0) return -1;
    if (given) {
        snprintf(seed, TG_TEXT_SIZE, "%s", given);
        return 0;
    }
    if (getrandom(&drawn, sizeof drawn, 0) != sizeof drawn)
        return tg_fail(err, "no randomness: %s", strerror(errno));
    snprintf(seed, TG_TEXT_SIZE, "%" PRIu64, drawn % 1000000000000000u);
    return 0;
}

/* The policy's text: the one given, or the one that the matrix names. */
static int read_texts(struct tg_work *w, struct tg_error *err)
{
    const struct tg_wishes *o = w->wishes;
    char path[4096];
    struct tg_json_file matrix, policy;
    if (tg_json_read(o->matrix, &matrix, err) < 0) return tg_fail_in(err, "matrix");
    int rc = 0;
    if (tg_command_policy(o->policy, &matrix, o->matrix, path, sizeof path, err) < 0)
        rc = -1;
    else if (tg_json_read(path, &policy, err) < 0)
        rc = tg_fail_in(err, "policy");
    if (rc == 0) {
        rc = tg_policy_read_exclusive(&policy, w->exclusive, err);
        w->run.matrix = strdup(matrix.text);
        w->run.policy = strdup(policy.text);
        tg_json_release(&policy);
        if (rc == 0 && (!w->run.matrix || !w->run.policy)) rc = tg_fail(err, "out of memory");
    }
    tg_json_release(&matrix);
    return rc;
}

/* The text of the acceptance file, if one is given, and its digest. */
static int read_acceptance(struct tg_work *w, char digest[TG_DIGEST_SIZE], struct tg_error *err)
{
    struct tg_json_file file;
    if (!w->wishes->accept) return 0;
    if (tg_json_read(w->wishes->accept, &file, err) < 0) return tg_fail_in(err, "acceptance");
    w->run.acceptance = strdup(file.text);
    tg_json_release(&file);
    if (!w->run.acceptance) return tg_fail(err, "out of memory");
    return tg_digest_text(w->run.acceptance, digest, err);
}

/* Fails if the flow's guard stops the run. */
static int ask_guard(struct tg_work *w, struct tg_error *err)
{
    if (!tg_guard_stops(w->run.policy, &w->guard)) return 0;
    return tg_fail(err, "%s", w->guard.line);
}

/* Whether there is a GPU that the library can use: the driver may know of one, and CUDA not. */
static bool has_gpu(const struct tg_survey *survey)
{
    size_t i = 0;
    while (i < survey->count && !(strcmp(survey->kernels[i].device, "cuda") == 0 &&
                                  survey->kernels[i].built && survey->kernels[i].here))
        i++;
    return !*survey->no_gpu && i < survey->count;
}

/*
 * Fails if all blocks of the shard need a device, and there is none here: it would measure nothing,
 * and yet be there for the gate. A check may be made on another machine than measures, and what is
 * not in the build is measured by nobody.
 */
static int find_device(const struct tg_work *w, struct tg_error *err)
{
    const struct tg_plan *plan = &w->plan;
    const struct tg_survey *head = &plan->workers[0].head;
    bool is_built = false;
    char why[400];
    if (w->only_checks) return 0;
    for (size_t i = 0; i < plan->worker_count; i++)
        if (has_gpu(&plan->workers[i].head)) return 0;
    for (size_t b = 0; b < plan->spec.block_count; b++) {
        const struct tg_block *block = &plan->spec.blocks[b];
        if (block->shard != w->shard) continue;
        if (!tg_plan_needs_device(plan, block)) return 0;
        for (size_t i = 0; i < block->cell_count; i++) {
            const struct tg_survey_kernel *k = tg_survey_find(head, block->cells[i].kernel);
            is_built = is_built || (k && k->built);
        }
        for (size_t i = 0; i < plan->worker_count; i++) /* devices may be others than GPUs */
            if (tg_plan_can_run(plan, &plan->workers[i], block, why, sizeof why)) return 0;
    }
    if (!is_built) return 0;
    return tg_fail(err, "shard %s is for a GPU, and this machine has none: %s", w->wishes->shard,
                   *head->no_gpu ? head->no_gpu : "the driver knows one, and CUDA does not");
}

/* Makes the plan; without a budget on the command line it is the policy's, of its step. */
static int make_plan(struct tg_work *w, struct tg_asked *asked, struct tg_error *err)
{
    asked->budget_s = w->wishes->budget_s;
    w->run.plan = tg_plan_text(asked, w->workers, w->worker_count);
    if (tg_plan_make(w->run.matrix, w->wishes->matrix, w->run.policy, w->run.plan, &w->plan, err) <
        0)
        return -1;
    bool needs_device;
    if (w->shard && tg_shard_blocks(&w->plan, w->shard, &needs_device) == 0)
        return tg_fail(err,
                       "nothing is left for shard %s: the matrix has %zu blocks; split it into "
                       "fewer (a smaller N in --shard I/N)",
                       w->wishes->shard, w->plan.spec.block_count);
    if (w->shard && find_device(w, err) < 0) return -1;
    asked->budget_s = w->plan.asked.budget_s = w->plan.policy.limits.budget_s;
    memcpy(asked->flow, w->plan.policy.flow, sizeof asked->flow);
    memcpy(w->plan.asked.flow, w->plan.policy.flow, sizeof asked->flow);
    free(w->run.plan);
    w->run.plan = tg_plan_text(asked, w->workers, w->worker_count);
    return tg_run_directory_accept(NULL, &w->run, &w->plan, err);
}

static int read_changed(struct tg_work *w, const struct tg_policy *policy,
                        struct tg_changed *changed, struct tg_error *err)
{
    const char *path = w->wishes->changed;
    if (!path) return 0;
    if (tg_changed_read_file(path, &policy->process, changed, err) < 0) return -1;
    if (!tg_changed_is_nothing(changed)) return 0;
    int rc = w->only_checks ? 0 : tg_changed_say_nothing(policy, stdout, w->wishes->json, err);
    w->is_idle = rc == 0;
    return rc;
}

/* A plan that is made only to read it: what else is asked depends on it. */
static int plan_plainly(const struct tg_work *w, const struct tg_asked *asked, struct tg_plan *plan,
                        struct tg_error *err)
{
    char *text = tg_plan_text(asked, w->workers, w->worker_count);
    int rc = tg_plan_make(w->run.matrix, w->wishes->matrix, w->run.policy, text, plan, err);
    free(text);
    return rc;
}

/* What the policy's flow makes of the change and of earlier runs; a plan is made only to read it.
 */
static int read_flow(struct tg_work *w, struct tg_asked *asked, struct tg_error *err)
{
    const struct tg_wishes *o = w->wishes;
    struct tg_plan plan;
    if (!o->changed && o->inherit_count == 0) return 0;
    if (plan_plainly(w, asked, &plan, err) < 0) return -1;
    int rc = read_changed(w, &plan.policy, &asked->changed, err);
    for (size_t i = 0; rc == 0 && !w->is_idle && i < o->inherit_count; i++)
        rc = tg_inherit_take(o->inherit[i], &plan.policy, &asked->inherit, err);
    tg_plan_release(&plan);
    return rc;
}

/* Looks for a baseline of what is asked; its library becomes base, which workers must look at. */
static int find_baseline(struct tg_work *w, struct tg_asked *asked,
                         struct tg_lookout_choice *choice, struct tg_error *err)
{
    struct tg_plan plan;
    char now[TG_TEXT_SIZE];
    if (tg_command_date(0, now, err) < 0 || plan_plainly(w, asked, &plan, err) < 0) return -1;
    int rc = tg_lookout_choose(&plan, w->wishes->baseline, now, choice, err);
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

/*
 * The false alarms of the history that is named, as a line for the reports; without one, of the
 * folder "history" beside the run if it is there.
 */
static int read_alarms(const struct tg_wishes *o, struct tg_asked *asked, struct tg_error *err)
{
    struct tg_alarms alarms;
    const char *store = o->history ? o->history : "history";
    if (!o->history && access(store, F_OK) != 0) return 0;
    if (tg_history_alarms(store, &alarms, err) < 0) return tg_fail_in(err, "history");
    tg_history_alarms_text(&alarms, asked->alarms, sizeof asked->alarms);
    return 0;
}

int tg_begin_check_model(const struct tg_plan *plan, const char *file, struct tg_error *err)
{
    struct tg_model_source source;
    char path[sizeof source.file];
    bool has_text = false, is_there;
    for (size_t b = 0; b < plan->spec.block_count; b++)
        for (size_t i = 0; i < plan->spec.blocks[b].cell_count; i++) {
            const struct tg_cell *cell = &plan->spec.blocks[b].cells[i];
            const struct tg_profile *profile = tg_profile_find(cell->profile);
            has_text = has_text || (strcmp(cell->model, TG_MODEL_FILE) == 0 && profile &&
                                    profile->call == TG_CALL_TEXT);
        }
    tg_model_source_init(&source, "", file);
    if (!tg_spec_has_model(&plan->spec, TG_MODEL_FILE) ||
        tg_model_source_find(&source, TG_MODEL_FILE, path, sizeof path, &is_there, NULL) < 0)
        return 0; /* its tests are skipped, with why */
    return is_there ? tg_model_source_check(path, has_text, err) : 0;
}

int tg_begin(struct tg_work *w, struct tg_error *err)
{
    const struct tg_wishes *o = w->wishes;
    struct tg_asked asked = {.is_same = o->is_same, .is_fail_fast = o->is_fail_fast};
    if (tg_run_directory_can_write(o->json, err) < 0 ||
        tg_digest_file(PROGRAM, asked.program, err) < 0 ||
        (o->shard && tg_shard_parse(o->shard, &w->shard, &asked.shard_count, err) < 0))
        return -1;
    if (read_texts(w, err) < 0 || ask_guard(w, err) < 0 || draw_seed(o, asked.seed, err) < 0 ||
        find_libraries(w, err) < 0 || find_models(w, err) < 0 || hear_announcements(w, err) < 0)
        return -1;
    if (o->is_same && strcmp(w->workers[0].head.digest, w->workers[0].base.digest) != 0)
        return tg_fail(err, "--same compares a file with itself; base and head are two");
    if ((o->filter && strlen(o->filter) >= sizeof asked.filter) ||
        (o->step && strlen(o->step) >= sizeof asked.step))
        return tg_fail(err, "the filter or the step is too long");
    snprintf(asked.step, sizeof asked.step, "%s", o->step ? o->step : "");
    snprintf(asked.filter, sizeof asked.filter, "%s", o->filter ? o->filter : "");
    if (read_acceptance(w, asked.acceptance, err) < 0 || read_alarms(o, &asked, err) < 0) return -1;
    if (read_flow(w, &asked, err) < 0 || w->is_idle) return -1;
    w->attempt = 1;
    struct tg_lookout_choice choice = {0};
    int rc = o->baseline ? find_baseline(w, &asked, &choice, err) : 0;
    if (rc == 0) rc = make_plan(w, &asked, err);
    tg_lookout_release(&choice);
    if (rc < 0 || tg_changed_check(&w->plan.asked.changed, err) < 0 ||
        tg_begin_check_model(&w->plan, w->model, err) < 0 ||
        tg_crew_check_builds(w->workers, w->worker_count, &w->plan, err) < 0)
        return -1;
    if (w->only_checks) return tg_run_directory_is_free(o->out, err);
    return tg_run_directory_make(o->out, &w->run, w->directory, sizeof w->directory, err);
}

/* The classes of hardware of which a test that counts did not pass: more may be measured there. */
static int find_open(struct tg_work *w, const struct tg_decision *decision, struct tg_error *err)
{
    w->open = calloc(w->plan.class_count + 1, sizeof *w->open);
    if (!w->open) return tg_fail(err, "out of memory");
    for (size_t i = 0; i < decision->verdict_count; i++) {
        const struct tg_verdict *v = &decision->verdicts[i];
        if (v->answer != TG_PASS && tg_gate_counts(&w->plan, i, v))
            w->open[w->plan.spec.tests[i].hardware] = true;
    }
    return 0;
}

/* Why a run that has a decision is gone on with, if its policy allows it. */
static int ask_once_more(struct tg_work *w, struct tg_retry *retry, struct tg_error *err)
{
    struct tg_decision decision;
    if (tg_gate_decide(&w->plan, &w->run, &decision, err) < 0) return -1;
    int rc = tg_retry_ask(&w->plan, &decision, retry, err);
    if (rc == 0) rc = find_open(w, &decision, err);
    tg_gate_release(&decision);
    return rc;
}

/*
 * Rows that earlier attempts left on nodes with file systems of their own. Where they cannot be had
 * others may be measured, but the run is not whole.
 */
static int bring_rows(struct tg_work *w, struct tg_error *err)
{
    size_t count;
    struct tg_error why;
    const struct tg_store_plan asked = {w->run.matrix, w->run.policy, w->run.plan};
    if (w->run.is_sealed) return 0; /* it has all */
    if (tg_gather(w->crew, w->directory, &asked, &count, &why) < 0)
        snprintf(w->missing, sizeof w->missing, "%.599s", why.text);
    if (count == 0) return 0;
    tg_store_release(&w->run);
    return tg_store_read(w->directory, &w->run, err);
}

/* What measures whole models is of this program: one run has one build of it. */
static int check_program(const struct tg_work *w, struct tg_error *err)
{
    char program[TG_DIGEST_SIZE];
    if (tg_digest_file(PROGRAM, program, err) < 0) return -1;
    if (strcmp(program, w->plan.asked.program) == 0) return 0;
    return tg_fail(err,
                   "run '%s' was begun by another build of tritgate: put that build back, or begin "
                   "a new run",
                   w->wishes->resume);
}

/* Its libraries must be what they were, on each node, and its model where a cell is of it. */
static int check_files(const struct tg_work *w, struct tg_error *err)
{
    const struct tg_capability *first = &w->plan.workers[0];
    const size_t skipped = tg_spec_has_model(&w->plan.spec, TG_MODEL_FILE) ? 0 : 1;
    for (size_t i = 0; i < w->worker_count; i++) {
        const struct tg_capability *now = &w->workers[i];
        const struct {
            const char *what, *path, *was, *is;
        } files[] = {{"model", w->model, first->head.model_digest, now->head.model_digest},
                     {"head", w->head, first->head.digest, now->head.digest},
                     {"base", w->base, first->base.digest, now->base.digest}};
        for (size_t k = skipped; k < sizeof files / sizeof *files; k++)
            if (strcmp(files[k].was, files[k].is) != 0)
                return tg_fail(err,
                               "%s '%s' on node '%s' was changed since the run was begun: put that "
                               "file back, or begin a new run",
                               files[k].what, files[k].path, now->host);
    }
    return 0;
}

/*
 * A class of hardware is measured by machines of it alone. Where none of those whose tests are open
 * is here, an attempt would measure nothing and yet count; but one that was not ended may only want
 * its seal.
 */
static int check_hardware(const struct tg_work *w, struct tg_error *err)
{
    char missing[400] = "";
    size_t here = 0;
    for (size_t c = 0, i; c < w->plan.class_count; c++) {
        const size_t used = strlen(missing);
        if (w->open && !w->open[c]) continue;
        for (i = 0; i < w->worker_count; i++)
            if (strcmp(w->workers[i].hardware, w->plan.classes[c]) == 0) break;
        here += i < w->worker_count;
        if (i == w->worker_count)
            snprintf(missing + used, sizeof missing - used, "%s%s", used ? ", " : "",
                     w->plan.classes[c]);
    }
    if (!*missing) return 0;
    if (here == 0 && w->run.is_sealed)
        return tg_fail(err,
                       "no machine here is of the hardware that run '%s' was begun on (%s): go on "
                       "with it there",
                       w->wishes->resume, missing);
    tg_log(TG_WARN,
           "no machine here is of hardware that run '%s' was begun on (%s): its tests stay as they "
           "are",
           w->wishes->resume, missing);
    return 0;
}

/* Reads the run that is to be gone on with, and why it is. */
static int read_again(struct tg_work *w, struct tg_retry *retry, struct tg_error *err)
{
    const struct tg_wishes *o = w->wishes;
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
    if (check_program(w, err) < 0 || find_models(w, err) < 0) return -1;
    *retry = (struct tg_retry){.kind = TG_TRY_ENDED, .reason = "it was not ended in order"};
    return w->run.is_sealed ? ask_once_more(w, retry, err) : 0;
}

int tg_begin_again(struct tg_work *w, struct tg_error *err)
{
    struct tg_retry retry;
    if (read_again(w, &retry, err) < 0) return -1;
    const struct tg_capability *first = &w->plan.workers[0];
    memcpy(w->exclusive, w->plan.policy.limits.exclusive, sizeof w->exclusive);
    w->shard = first->shard;
    snprintf(w->head, sizeof w->head, "%s", first->head.path);
    if (first->has_base) snprintf(w->base, sizeof w->base, "%s", first->base.path);
    if (!*w->model) snprintf(w->model, sizeof w->model, "%s", first->head.model_path);
    if (hear_announcements(w, err) < 0 ||
        tg_crew_check_builds(w->workers, w->worker_count, &w->plan, err) < 0 ||
        check_files(w, err) < 0 || check_hardware(w, err) < 0)
        return -1;
    if (w->wishes->budget_s > 0) w->plan.asked.budget_s = w->wishes->budget_s;
    if (bring_rows(w, err) < 0) return -1;
    if (tg_run_directory_go_on(w->directory, &w->run, &retry, err) < 0) return -1;
    w->attempt = retry.attempt;
    return 0;
}

int tg_begin_check(const struct tg_wishes *wishes, struct tg_error *err)
{
    struct tg_work w = {.wishes = wishes, .only_checks = true};
    struct tg_retry retry;
    struct tg_wire *wire;
    if (tg_wire_open(&wire, err) < 0) return -1;
    int rc = tg_crew_open(wire, &wishes->identity, &w.crew, err);
    if (rc == 0) rc = wishes->resume ? read_again(&w, &retry, err) : tg_begin(&w, err);
    if (w.is_idle || *w.guard.line) rc = 0; /* which the run says itself */
    tg_begin_release(&w);
    tg_crew_close(w.crew);
    tg_wire_close(wire, 0);
    return rc;
}

void tg_begin_release(struct tg_work *w)
{
    tg_plan_release(&w->plan);
    tg_store_release(&w->run);
    free(w->open);
    for (size_t i = 0; w->workers && i < w->worker_count; i++)
        tg_plan_capability_release(&w->workers[i]);
    free(w->workers);
}
