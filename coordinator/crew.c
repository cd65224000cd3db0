/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/crew.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "coordinator/candidate.h"

struct tg_crew {
    struct tg_wire *wire;
    struct tg_worker *own; /* in a run of one rank */
    char *answer;          /* of the own worker, not yet heard */
    double patience_s;
};

int tg_crew_open(struct tg_wire *wire, const struct tg_identity *identity, struct tg_crew **crew,
                 struct tg_error *err)
{
    struct tg_crew *c = calloc(1, sizeof *c);
    if (!c) return tg_fail(err, "out of memory");
    c->wire = wire;
    c->patience_s = INFINITY;
    if (tg_wire_size(wire) == 1 && tg_serve_open(0, 0, 1, identity, &c->own, err) < 0) {
        free(c);
        return -1;
    }
    *crew = c;
    return 0;
}

size_t tg_crew_count(const struct tg_crew *crew)
{
    return crew->own ? 1 : (size_t)tg_wire_size(crew->wire) - 1;
}

int tg_crew_tell(struct tg_crew *crew, size_t worker, const char *message, struct tg_error *err)
{
    if (!crew->own) return tg_wire_send(crew->wire, (int)worker + 1, message, err);
    free(crew->answer);
    crew->answer = NULL;
    return tg_serve_answer(crew->own, message, &crew->answer, err);
}

int tg_crew_tell_all(struct tg_crew *crew, const char *message, struct tg_error *err)
{
    for (size_t i = 0; i < tg_crew_count(crew); i++)
        if (tg_crew_tell(crew, i, message, err) < 0) return -1;
    return 0;
}

int tg_crew_hear(struct tg_crew *crew, double deadline_s, size_t *worker, char **answer,
                 struct tg_error *err)
{
    int rank;
    if (crew->own) {
        if (!crew->answer) return 0;
        *worker = 0;
        *answer = crew->answer;
        crew->answer = NULL;
        return 1;
    }
    int rc = tg_wire_receive(crew->wire, deadline_s, &rank, answer, err);
    if (rc == 1) *worker = (size_t)rank - 1;
    return rc;
}

void tg_crew_set_patience(struct tg_crew *crew, double silence_s)
{
    crew->patience_s = silence_s;
    tg_wire_set_patience(crew->wire, silence_s);
}

bool tg_crew_is_lost(const struct tg_crew *crew, size_t worker)
{
    return !crew->own && tg_wire_is_lost(crew->wire, (int)worker + 1);
}

bool tg_crew_is_dead(const struct tg_crew *crew, size_t worker)
{
    return !crew->own && tg_wire_is_dead(crew->wire, (int)worker + 1);
}

void tg_crew_loss(const struct tg_crew *crew, size_t worker, char *text, size_t size)
{
    if (tg_crew_is_dead(crew, worker))
        snprintf(text, size, "is dead");
    else
        snprintf(text, size, "has said nothing for %.15g s", crew->patience_s);
}

double tg_crew_now(const struct tg_crew *crew)
{
    return crew->own ? tg_now() : tg_wire_listened(crew->wire);
}

/* Whether an answer is the one that is waited for; then it is parsed. */
static bool is_answer(const char *text, const char *key, struct tg_json_file *answer)
{
    if (tg_json_parse(text, answer, NULL) < 0) return false;
    if (tg_json_get(answer->root, key) || tg_json_get(answer->root, "error")) return true;
    tg_json_release(answer);
    return false;
}

int tg_crew_ask(struct tg_crew *crew, size_t worker, const char *message, const char *key,
                struct tg_json_file *answer, struct tg_error *err)
{
    if (tg_crew_tell(crew, worker, message, err) < 0) return -1;
    for (bool is_there = false; !is_there;) {
        size_t from;
        char *text;
        int heard = tg_crew_hear(crew, tg_now() + 1, &from, &text, err);
        if (heard < 0) return -1;
        if (heard == 0 && (crew->own || tg_crew_is_lost(crew, worker)))
            return tg_fail(err, "worker %zu does not answer", worker + 1);
        if (heard == 0) continue;
        is_there = from == worker && is_answer(text, key, answer);
        free(text);
    }
    const char *error = tg_json_text(tg_json_get(answer->root, "error"));
    if (!*error) return 0;
    tg_fail(err, "%s", error);
    tg_json_release(answer);
    return -1;
}

/* All ranks must run one version, or they would misunderstand each other. */
static int check_program(const struct tg_json *announced, size_t worker, struct tg_error *err)
{
    const char *program = tg_json_text(tg_json_get(announced, "program"));
    if (strcmp(program, TG_SERVE_PROGRAM) == 0) return 0;
    return tg_fail(err,
                   "worker %zu on '%s' runs tritgate %s, but the coordinator " TG_SERVE_PROGRAM
                   ": all ranks must run one version",
                   worker + 1, tg_json_text(tg_json_get(announced, "host")),
                   *program ? program : "0/1");
}

/* What one worker says; those without a name have not said it. */
static int hear_one(struct tg_crew *crew, struct tg_capability *workers, struct tg_error *err)
{
    size_t from;
    char *answer, why[160];
    struct tg_json_file file;
    int heard;
    while ((heard = tg_crew_hear(crew, tg_now() + 1, &from, &answer, err)) == 0)
        for (size_t i = 0; i < tg_crew_count(crew); i++)
            if (!*workers[i].host && tg_crew_is_lost(crew, i)) {
                tg_crew_loss(crew, i, why, sizeof why);
                return tg_fail(err, "worker %zu %s", i + 1, why);
            }
    if (heard < 0) return -1;
    int rc = tg_json_parse(answer, &file, err);
    if (rc == 0) {
        rc = check_program(file.root, from, err);
        if (rc == 0) rc = tg_plan_capability(&file, file.root, &workers[from], err);
        if (rc == 0)
            snprintf(workers[from].program, sizeof workers[from].program, "%s",
                     tg_json_text(tg_json_get(file.root, "build")));
        tg_json_release(&file);
    }
    free(answer);
    return rc;
}

/* The first worker of the host of another one, and of its part if that is wanted. */
static size_t first_of(const struct tg_capability workers[], size_t which, bool of_part)
{
    const struct tg_capability *w = &workers[which];
    size_t i = 0;
    while (strcmp(workers[i].host, w->host) != 0 ||
           (of_part && strcmp(workers[i].share, w->share) != 0))
        i++;
    return i;
}

void tg_crew_divide(struct tg_capability workers[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (first_of(workers, i, true) == i) workers[first_of(workers, i, false)].parts++;
    for (size_t i = 0; i < count; i++) {
        struct tg_capability *w = &workers[i];
        w->parts = workers[first_of(workers, i, false)].parts;
        w->head.memory_bytes /= (int64_t)w->parts;
        w->base.memory_bytes /= (int64_t)w->parts;
    }
}

void tg_crew_add_parts(const struct tg_capability workers[], size_t count, struct tg_json *message)
{
    struct tg_json *parts = tg_json_object(message, "parts");
    for (size_t i = 0; i < count; i++)
        if (first_of(workers, i, false) == i)
            tg_json_add_number(parts, workers[i].host, (double)workers[i].parts);
}

int tg_crew_announce(struct tg_crew *crew, const struct tg_summons *summons,
                     struct tg_capability *workers, struct tg_error *err)
{
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_text(root, "do", "announce");
    tg_json_add_text(root, "head", summons->head);
    tg_json_add_text(root, "base", summons->base);
    tg_json_add_text(root, "model", summons->model);
    tg_json_add_text(root, "model_cache", summons->model_cache);
    tg_json_add_text(root, "exclusive", summons->exclusive ? summons->exclusive : "");
    char *message = tg_json_print(root, false);
    int rc = tg_crew_tell_all(crew, message, err);
    free(message);
    tg_json_free(root);
    for (size_t i = 0; i < tg_crew_count(crew); i++) {
        tg_plan_capability_release(&workers[i]);
        workers[i] = (struct tg_capability){0};
    }
    for (size_t i = 0; i < tg_crew_count(crew) && rc == 0; i++) rc = hear_one(crew, workers, err);
    if (rc == 0) tg_crew_divide(workers, tg_crew_count(crew));
    return rc;
}

int tg_crew_check_builds(const struct tg_capability workers[], size_t count,
                         const struct tg_plan *plan, struct tg_error *err)
{
    if (plan->asked.shard_count == 0 && !*tg_candidate_program(plan)) return 0;
    for (size_t i = 0; i < count; i++)
        if (strcmp(workers[i].program, plan->asked.program) != 0)
            return tg_fail(
                err,
                "worker %zu on '%s' runs another build of tritgate than the coordinator: "
                "whole models, and shards, are of one build on all hosts",
                i + 1, workers[i].host);
    return 0;
}

/* Takes an answer; returns whether its worker leaves with it. */
static bool says_bye(const char *answer)
{
    struct tg_json_file file;
    if (tg_json_parse(answer, &file, NULL) < 0) return false;
    bool is_bye = tg_json_get(file.root, "bye") != NULL;
    tg_json_release(&file);
    return is_bye;
}

/* Hears those that leave, until all have but those that are lost. */
static void hear_byes(struct tg_crew *crew, bool *has_left)
{
    struct tg_error why;
    size_t waited_for = tg_crew_count(crew);
    double deadline_s = tg_now() + crew->patience_s;
    while (waited_for > 0 && tg_now() < deadline_s) {
        size_t from;
        char *answer;
        int heard = tg_crew_hear(crew, tg_now() + 1, &from, &answer, &why);
        if (heard < 0) return;
        if (heard == 1) {
            has_left[from] = has_left[from] || says_bye(answer); /* or one still under way */
            free(answer);
        }
        waited_for = 0;
        for (size_t i = 0; i < tg_crew_count(crew); i++)
            waited_for += !has_left[i] && !tg_crew_is_lost(crew, i);
    }
}

bool tg_crew_dismiss(struct tg_crew *crew)
{
    struct tg_error why;
    size_t count = tg_crew_count(crew);
    bool *has_left = calloc(count + 1, sizeof *has_left);
    bool all_left = has_left && tg_crew_tell_all(crew, "{\"do\":\"close\"}", &why) == 0;
    if (all_left) hear_byes(crew, has_left);
    for (size_t i = 0; i < count && all_left; i++)
        all_left = has_left[i] || tg_crew_is_dead(crew, i);
    free(has_left);
    return all_left;
}

void tg_crew_close(struct tg_crew *crew)
{
    if (!crew) return;
    tg_serve_close(crew->own);
    free(crew->answer);
    free(crew);
}
