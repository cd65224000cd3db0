/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/join.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/candidate.h"
#include "coordinator/run_directory.h"
#include "coordinator/shard.h"
#include "results/digest.h"

/* One of the runs, as it was read. */
struct session {
    const char *path;
    struct tg_run run;
    struct tg_plan plan;
    char begun[TG_TEXT_SIZE]; /* date of the first row */
};

static int by_beginning(const void *a, const void *b)
{
    const struct session *x = a, *y = b;
    int begun = strcmp(x->begun, y->begun);
    return begun ? begun : strcmp(x->run.evidence, y->run.evidence);
}

static int read_session(const char *path, struct session *s, struct tg_error *err)
{
    if (tg_run_directory_open(path, NULL, &s->run, &s->plan, err) < 0) return -1;
    s->path = path;
    snprintf(s->begun, sizeof s->begun, "unknown");
    for (size_t i = 0; i < s->run.count; i++)
        if (strcmp(s->run.rows[i].facts.date, s->begun) < 0)
            memcpy(s->begun, s->run.rows[i].facts.date, sizeof s->begun);
    return 0;
}

static int check_same(const struct session *first, const struct session *s, struct tg_error *err)
{
    const struct tg_capability *a = &first->plan.workers[0], *b = &s->plan.workers[0];
    const struct tg_asked *asked = &first->plan.asked, *other = &s->plan.asked;
    char shards[32], other_shards[32];
    bool is_sharded = asked->shard_count > 0,
         has_file = *tg_candidate_model(&first->plan) && *tg_candidate_model(&s->plan);
    const char *program = is_sharded ? asked->program : tg_candidate_program(&first->plan);
    const char *other_program = is_sharded ? other->program : tg_candidate_program(&s->plan);
    snprintf(shards, sizeof shards, "%zu", asked->shard_count);
    snprintf(other_shards, sizeof other_shards, "%zu", other->shard_count);
    const struct {
        const char *what, *of, *to;
    } parts[] = {
        {"matrix", first->plan.matrix_digest, s->plan.matrix_digest},
        {"policy", first->plan.policy_digest, s->plan.policy_digest},
        {"step", asked->step, other->step},
        {"filter", asked->filter, other->filter},
        {"acceptance", asked->acceptance, other->acceptance},
        {"baseline", first->plan.baseline_digest, s->plan.baseline_digest},
        {"number of shards", shards, other_shards},
        {"version of the program", is_sharded ? first->plan.version : "",
         is_sharded ? s->plan.version : ""},
        {"build of the program", program, other_program},
        {"model", has_file ? a->head.model_digest : "", has_file ? b->head.model_digest : ""},
        {"head", a->head.digest, b->head.digest},
        {"base", a->has_base ? a->base.digest : "", b->has_base ? b->base.digest : ""}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strcmp(parts[i].of, parts[i].to) != 0)
            return tg_fail(err, "runs '%s' and '%s' cannot be judged together: another %s",
                           first->path, s->path, parts[i].what);
    if (memcmp(&asked->changed, &other->changed, sizeof asked->changed) != 0)
        return tg_fail(err, "runs '%s' and '%s' cannot be judged together: another change",
                       first->path, s->path);
    if (memcmp(&asked->inherit, &other->inherit, sizeof asked->inherit) != 0)
        return tg_fail(err, "runs '%s' and '%s' cannot be judged together: they inherit otherwise",
                       first->path, s->path);
    return 0;
}

/* A row's digest, and the session that it is from. */
struct seen {
    char digest[TG_DIGEST_SIZE];
    size_t session;
};

static int by_digest(const void *a, const void *b)
{
    return strcmp(((const struct seen *)a)->digest, ((const struct seen *)b)->digest);
}

/*
 * Whether a row is like no other: it holds times, or says which process it is from. Of others, rows
 * of a fixed value may well be alike.
 */
static bool is_unique(const struct tg_measurement *m)
{
    if (m->facts.pid > 0 && strcmp(m->facts.date, "unknown") != 0) return true;
    for (size_t i = 0; i < m->series_count; i++)
        if (m->series[i].count > 1) return true;
    return false;
}

/* No run may be there twice, and no shard. */
static int check_runs(const struct session *sessions, size_t count, struct tg_error *err)
{
    for (size_t s = 1; s < count; s++) {
        size_t shard = sessions[s].plan.workers[0].shard;
        for (size_t k = 0; k < s; k++) {
            if (sessions[s].run.count > 0 &&
                strcmp(sessions[s].run.evidence, sessions[k].run.evidence) == 0)
                return tg_fail(err, "'%s' and '%s' are the same run", sessions[k].path,
                               sessions[s].path);
            if (shard && shard == sessions[k].plan.workers[0].shard)
                return tg_fail(err, "'%s' and '%s' are both shard %zu/%zu", sessions[k].path,
                               sessions[s].path, shard, sessions[s].plan.asked.shard_count);
        }
    }
    return 0;
}

/* No row may be in two runs. */
static int check_once(const struct session *sessions, size_t count, struct tg_error *err)
{
    size_t total = 0, seen_count = 0;
    for (size_t s = 0; s < count; s++) total += sessions[s].run.count;
    struct seen *seen = calloc(total + 1, sizeof *seen);
    int rc = seen ? 0 : tg_fail(err, "out of memory");
    for (size_t s = 0; s < count; s++) {
        for (size_t i = 0; i < sessions[s].run.count && rc == 0; i++) {
            if (!is_unique(&sessions[s].run.rows[i])) continue;
            char *line = tg_measurement_to_json(&sessions[s].run.rows[i]);
            seen[seen_count].session = s;
            rc = tg_digest_text(line, seen[seen_count++].digest, err);
            free(line);
        }
    }
    if (rc == 0) qsort(seen, seen_count, sizeof *seen, by_digest);
    for (size_t i = 1; i < seen_count && rc == 0; i++)
        if (seen[i - 1].session != seen[i].session && by_digest(&seen[i - 1], &seen[i]) == 0)
            rc = tg_fail(err, "runs '%s' and '%s' have a measurement in common",
                         sessions[seen[i - 1].session].path, sessions[seen[i].session].path);
    free(seen);
    return rc;
}

/* Moves the rows of all sessions into one run, and says of each which it is from. */
static int join_rows(struct session *sessions, size_t count, struct tg_run *run,
                     struct tg_error *err)
{
    size_t total = 0;
    for (size_t s = 0; s < count; s++) total += sessions[s].run.count;
    run->rows = calloc(total + 1, sizeof *run->rows);
    struct tg_digest *digest = tg_digest_create(err);
    int rc = !digest ? -1 : run->rows ? 0 : tg_fail(err, "out of memory");
    run->is_sealed = 1;
    for (size_t s = 0; s < count && rc == 0; s++) {
        struct tg_run *from = &sessions[s].run;
        size_t used = strlen(run->dropped);
        for (size_t i = 0; i < from->count; i++) {
            from->rows[i].session = (int)s;
            run->rows[run->count++] = from->rows[i];
        }
        from->count = 0;
        run->is_sealed = run->is_sealed && from->is_sealed;
        snprintf(run->dropped + used, sizeof run->dropped - used, "%s%s",
                 used && *from->dropped ? "; " : "", from->dropped);
        tg_digest_update(digest, from->evidence, sizeof from->evidence);
    }
    if (rc == 0) rc = tg_digest_finish(digest, run->evidence, err);
    tg_digest_destroy(digest);
    return rc;
}

/* Whether there is as much of something as there was; of what is not known, 0, there is enough. */
static bool is_enough(int64_t now, int64_t then)
{
    return now <= 0 || (then > 0 && now >= then);
}

static bool has_kernels(const struct tg_survey *a, const struct tg_survey *b)
{
    for (size_t i = 0; i < b->count; i++) {
        const struct tg_survey_kernel *k = tg_survey_find(a, b->kernels[i].name);
        if (!k || k->built < b->kernels[i].built || k->here < b->kernels[i].here) return false;
    }
    return true;
}

/* Whether one announcement says that all can be run that the other does. */
static bool can_stand_for(const struct tg_capability *a, const struct tg_capability *b)
{
    const struct tg_survey *now = &a->head, *then = &b->head;
    bool has_gpu = *then->no_gpu || (!*now->no_gpu && is_enough(now->gpu_bytes, then->gpu_bytes));
    bool has_model = *then->no_model || !*now->no_model;
    return has_gpu && has_model && is_enough(now->cores, then->cores) &&
           is_enough(now->memory_bytes, then->memory_bytes) && has_kernels(now, then) &&
           has_kernels(&a->base, &b->base);
}

/*
 * Adds a worker to `count` others; returns how many they are then. What is there again, with more
 * or less of its machine free for it, is there once, as it can run the most; where neither can run
 * all that the other can, both are.
 */
static size_t add_worker(struct tg_capability *workers, size_t count, const struct tg_capability *w)
{
    size_t kept = 0;
    bool is_there = false;
    for (size_t i = 0; i < count; i++) {
        const struct tg_capability *other = &workers[i];
        bool is_same = strcmp(other->host, w->host) == 0 && strcmp(other->domain, w->domain) == 0 &&
                       strcmp(other->hardware, w->hardware) == 0 && other->shard == w->shard;
        if (is_same && can_stand_for(other, w)) return count; /* before any was taken out */
        bool is_less = is_same && can_stand_for(w, other);
        if (!is_less || !is_there) workers[kept++] = is_less ? *w : *other;
        is_there = is_there || is_less;
    }
    if (!is_there) workers[kept++] = *w;
    return kept;
}

/* The text of a plan of all workers; they are borrowed. */
static char *join_plans(const struct session *sessions, size_t count, struct tg_error *err)
{
    size_t total = 0, joined = 0;
    struct tg_asked asked = sessions[0].plan.asked;
    snprintf(asked.seed, sizeof asked.seed, "several");
    for (size_t s = 0; s < count; s++) {
        const char *obstacle = sessions[s].plan.asked.baseline_note;
        if (!*asked.baseline_note)
            memcpy(asked.baseline_note, obstacle, sizeof asked.baseline_note);
        total += sessions[s].plan.worker_count;
        asked.is_same = asked.is_same || sessions[s].plan.asked.is_same;
        asked.is_imported = asked.is_imported || sessions[s].plan.asked.is_imported;
        asked.is_matrix_seen = asked.is_matrix_seen || sessions[s].plan.asked.is_matrix_seen;
    }
    struct tg_capability *workers = calloc(total, sizeof *workers);
    if (!workers) {
        tg_fail(err, "out of memory");
        return NULL;
    }
    for (size_t s = 0; s < count; s++)
        for (size_t i = 0; i < sessions[s].plan.worker_count; i++)
            joined = add_worker(workers, joined, &sessions[s].plan.workers[i]);
    char *text = tg_plan_text(&asked, workers, joined);
    free(workers);
    return text;
}

static int plan_sessions(const struct session *sessions, size_t count, const char *policy,
                         struct tg_run *run, struct tg_plan *plan, struct tg_error *err)
{
    struct tg_json_file other = {0};
    run->matrix = strdup(sessions[0].run.matrix);
    run->policy = strdup(sessions[0].run.policy);
    run->acceptance = sessions[0].run.acceptance ? strdup(sessions[0].run.acceptance) : NULL;
    run->plan = join_plans(sessions, count, err);
    const char **tries = calloc(count, sizeof *tries);
    for (size_t s = 0; tries && s < count; s++) tries[s] = sessions[s].run.tries;
    struct tg_session *list = calloc(count, sizeof *list);
    int rc = run->plan ? 0 : -1;
    if (rc == 0)
        rc = tries ? tg_retry_join(tries, count, &run->tries, err) : tg_fail(err, "out of memory");
    free(tries);
    if (!list || !run->matrix || !run->policy) rc = tg_fail(err, "out of memory");
    if (rc == 0 && policy && tg_json_read(policy, &other, err) < 0) rc = tg_fail_in(err, "policy");
    if (rc == 0)
        rc = tg_plan_make(run->matrix, "matrix.json", policy ? other.text : run->policy, run->plan,
                          plan, err);
    if (rc == 0 && tg_run_directory_accept(NULL, run, plan, err) < 0) {
        tg_plan_release(plan);
        rc = -1;
    }
    if (rc < 0) {
        free(list);
    } else {
        if (policy) plan->is_own_policy = plan->is_own_text = strcmp(other.text, run->policy) == 0;
        for (size_t s = 0; s < count; s++) {
            memcpy(list[s].evidence, sessions[s].run.evidence, sizeof list[s].evidence);
            memcpy(list[s].seed, sessions[s].plan.asked.seed, sizeof list[s].seed);
            list[s].row_count = sessions[s].run.count;
            list[s].shard = sessions[s].plan.workers[0].shard;
            list[s].is_sealed = sessions[s].run.is_sealed;
        }
        plan->sessions = list;
        plan->session_count = count;
    }
    tg_json_release(&other);
    return rc;
}

static int join(const char *const paths[], size_t count, const char *policy,
                struct session *sessions, struct tg_run *run, struct tg_plan *plan,
                struct tg_error *err)
{
    for (size_t s = 0; s < count; s++)
        if (read_session(paths[s], &sessions[s], err) < 0) return -1;
    qsort(sessions, count, sizeof *sessions, by_beginning);
    for (size_t s = 1; s < count; s++)
        if (check_same(&sessions[0], &sessions[s], err) < 0) return -1;
    if (check_runs(sessions, count, err) < 0 || check_once(sessions, count, err) < 0) return -1;
    if (plan_sessions(sessions, count, policy, run, plan, err) < 0) return -1;
    if (join_rows(sessions, count, run, err) == 0) return 0;
    tg_plan_release(plan);
    return -1;
}

static int is_part(const struct dirent *entry)
{
    return fnmatch("shard-[0-9]*", entry->d_name, 0) == 0;
}

/* Adds the directories in a folder that merge made; returns how many, 0 if it is a run's own. */
static size_t add_parts(const char *path, char **list)
{
    char plan[4096 + 16];
    struct dirent **parts;
    snprintf(plan, sizeof plan, "%s/plan.json", path);
    int count = access(plan, F_OK) == 0 ? -1 : scandir(path, &parts, is_part, alphasort);
    if (count < 0) return 0;
    for (int i = 0; i < count; i++) {
        size_t size = strlen(path) + strlen(parts[i]->d_name) + 2;
        if (i < TG_SHARD_MOST && (list[i] = malloc(size)))
            snprintf(list[i], size, "%s/%s", path, parts[i]->d_name);
        free(parts[i]);
    }
    free(parts);
    return (size_t)(count < TG_SHARD_MOST ? count : TG_SHARD_MOST);
}

int tg_join_expand(const char *const paths[], size_t count, char ***list, size_t *found,
                   struct tg_error *err)
{
    size_t total = 0;
    char **made = calloc(count * TG_SHARD_MOST + 1, sizeof *made);
    if (!made) return tg_fail(err, "out of memory");
    for (size_t i = 0; i < count; i++) {
        size_t parts = add_parts(paths[i], made + total);
        if (parts == 0) made[total] = strdup(paths[i]);
        total += parts ? parts : 1;
    }
    *list = made;
    *found = total;
    for (size_t i = 0; i < total; i++)
        if (!made[i]) {
            tg_join_forget(made, total);
            return tg_fail(err, "out of memory");
        }
    return 0;
}

void tg_join_forget(char **list, size_t found)
{
    for (size_t i = 0; list && i < found; i++) free(list[i]);
    free(list);
}

static int open_runs(const char *const paths[], size_t count, const char *policy,
                     struct tg_run *run, struct tg_plan *plan, struct tg_error *err)
{
    if (count == 1) return tg_run_directory_open(paths[0], policy, run, plan, err);
    struct session *sessions = calloc(count, sizeof *sessions);
    struct tg_run joined = {0};
    if (!sessions) return tg_fail(err, "out of memory");
    int rc = join(paths, count, policy, sessions, &joined, plan, err);
    for (size_t s = 0; s < count; s++) {
        tg_plan_release(&sessions[s].plan);
        tg_store_release(&sessions[s].run);
    }
    free(sessions);
    if (rc < 0)
        tg_store_release(&joined);
    else
        *run = joined;
    return rc;
}

int tg_join_open(const char *const paths[], size_t count, const char *policy, struct tg_run *run,
                 struct tg_plan *plan, struct tg_error *err)
{
    char **list;
    size_t found;
    if (tg_join_expand(paths, count, &list, &found, err) < 0) return -1;
    int rc = open_runs((const char *const *)list, found, policy, run, plan, err);
    tg_join_forget(list, found);
    return rc;
}
