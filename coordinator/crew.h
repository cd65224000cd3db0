/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_CREW_H
#define TG_COORDINATOR_CREW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "coordinator/plan.h"
#include "worker/serve.h"
#include "worker/wire.h"

/*
 * The workers of a run, as the coordinator speaks with them (messages: serve.h): the other ranks,
 * or, in a run of one rank, a worker in this process, which answers before tell returns.
 */

struct tg_crew;

int tg_crew_open(struct tg_wire *wire, const struct tg_identity *identity, struct tg_crew **crew,
                 struct tg_error *err);
size_t tg_crew_count(const struct tg_crew *crew);

int tg_crew_tell(struct tg_crew *crew, size_t worker, const char *message, struct tg_error *err);
int tg_crew_tell_all(struct tg_crew *crew, const char *message, struct tg_error *err);

/* As tg_wire_receive, with the worker's number. */
int tg_crew_hear(struct tg_crew *crew, double deadline_s, size_t *worker, char **answer,
                 struct tg_error *err);

/*
 * Tells one worker something and waits for its answer, which has `key`, or "error" with what it
 * fails of; other answers are dropped. Fails also where the worker is lost.
 */
int tg_crew_ask(struct tg_crew *crew, size_t worker, const char *message, const char *key,
                struct tg_json_file *answer, struct tg_error *err);

/* A worker that is silent for longer is lost (wire.h), and so is what it waits for. */
void tg_crew_set_patience(struct tg_crew *crew, double silence_s);
bool tg_crew_is_lost(const struct tg_crew *crew, size_t worker);

/* One that is dead (wire.h) is lost for good, and so is what it ran: others may have its place. */
bool tg_crew_is_dead(const struct tg_crew *crew, size_t worker);

/* How a lost worker was lost, behind its name. */
void tg_crew_loss(const struct tg_crew *crew, size_t worker, char *text, size_t size);

/* Seconds of a clock that stands still while nobody listens to workers. */
double tg_crew_now(const struct tg_crew *crew);

/* What workers are told before they say what they can do; "" for none, or for their own choice. */
struct tg_summons {
    const char *head, *base;         /* libraries */
    const char *model, *model_cache; /* the run's own model file; the folder of synthetic ones */
    const char *exclusive;           /* what two timed blocks may not share */
};

/*
 * Has every worker take its place, and say what it can do with these libraries and models.
 * `workers` has one element a worker, all zero or what they said before, which is released.
 */
int tg_crew_announce(struct tg_crew *crew, const struct tg_summons *summons,
                     struct tg_capability *workers, struct tg_error *err);

/*
 * Fails where a worker's program is not the coordinator's file, byte for byte, and must be: what
 * measures whole models is of the program, and shards are joined by its digest.
 */
int tg_crew_check_builds(const struct tg_capability workers[], size_t count,
                         const struct tg_plan *plan, struct tg_error *err);

/*
 * Divides what memory each worker announced, all that its host had left, among the host's parts: in
 * each part, which a share is the name of, a block may be timed at once. Only who hears all can
 * count them, since ranks of one host need not be allowed the same cores. Announce does so.
 */
void tg_crew_divide(struct tg_capability workers[], size_t count);

/* Tells them how many parts each host has, as "parts" of a message. */
void tg_crew_add_parts(const struct tg_capability workers[], size_t count, struct tg_json *message);

/*
 * Has every worker close its file and leave. Returns whether all have that are not dead; others are
 * not waited for longer than one has patience.
 */
bool tg_crew_dismiss(struct tg_crew *crew);

/* Accepts NULL. Does not close the wire, nor tell the workers anything. */
void tg_crew_close(struct tg_crew *crew);

#endif
