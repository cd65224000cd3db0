/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "results/store.h"
#include "worker/host.h"
#include "worker/seat.h"
#include "worker/survey.h"

struct tg_worker {
    struct tg_bench bench;
    struct tg_seat seat;
    char directory[4096];
    int64_t attempt;
    char *matrix, *policy, *plan;
    struct tg_store *store; /* created by the first round */
    bool is_closed;         /* it said bye */
    bool has_waited;        /* for another run, and said so */
};

int tg_serve_open(int rank, int index, const struct tg_identity *identity,
                  struct tg_worker **worker, struct tg_error *err)
{
    struct tg_worker *w = calloc(1, sizeof *w);
    struct tg_error why;
    if (!w) return tg_fail(err, "out of memory");
    w->bench.rank = rank;
    const struct tg_node node = {identity->topology, identity->gpus};
    if (tg_seat_find(&node, index, &w->seat, err) < 0 ||
        tg_hardware_class(&w->seat.machine, w->bench.hardware, err) < 0) {
        free(w);
        return -1;
    }
    w->bench.place = w->seat.place;
    /* A recorded topology names cores that this machine may not have. */
    if (identity->topology) w->bench.place.core = -1;
    if (identity->host)
        snprintf(w->bench.host, sizeof w->bench.host, "%s", identity->host);
    else
        tg_host_name(w->bench.host);
    if (!identity->topology && tg_place_leave(&why) < 0) tg_log(TG_WARN, "%s", why.text);
    *worker = w;
    return 0;
}

static char *printed(struct tg_json *root)
{
    char *text = tg_json_print(root, false);
    tg_json_free(root);
    return text;
}

/* The GPU that this worker has, or a part of; "" for none. */
static const char *own_gpu(const struct tg_worker *w)
{
    const struct tg_gpu *gpu = &w->seat.gpu;
    if (w->bench.place.gpu < 0) return "";
    return strcmp(gpu->parent, "none") == 0 ? gpu->uuid : gpu->parent;
}

/* What this worker can do: its node, and what each library holds of use here. */
static char *announce(struct tg_worker *w, const struct tg_json *message)
{
    static const char *const builds[] = {"head", "base"};
    char *const paths[] = {w->bench.head, w->bench.base};
    struct tg_json *root = tg_json_object(NULL, NULL);
    struct tg_error why;
    char machine[TG_HARDWARE_TEXT_SIZE];
    tg_record_format(&tg_hardware_type, &w->seat.machine, machine, sizeof machine);
    tg_model_source_init(&w->bench.models, tg_json_text(tg_json_get(message, "model_cache")),
                         tg_json_text(tg_json_get(message, "model")));
    tg_json_add_text(root, "host", w->bench.host);
    tg_json_add_text(root, "domain", w->bench.place.domain);
    tg_json_add_text(root, "hardware", w->bench.hardware);
    tg_json_add_text(root, "machine", machine);
    tg_json_add_number(root, "core", w->bench.place.core);
    if (*own_gpu(w)) tg_json_add_text(root, "gpu", own_gpu(w));
    for (int i = 0; i < 2; i++) {
        struct tg_survey survey = {0};
        snprintf(paths[i], sizeof w->bench.head, "%s",
                 tg_json_text(tg_json_get(message, builds[i])));
        if (!*paths[i]) continue;
        if (tg_survey_take(paths[i], &survey, &why) < 0) {
            tg_json_add_text(root, "error", why.text);
            break;
        }
        tg_seat_mark(&w->seat, &survey);
        tg_survey_mark_model(&survey, &w->bench.models);
        tg_survey_add(root, builds[i], &survey);
        tg_survey_release(&survey);
    }
    return printed(root);
}

static char *copied(const struct tg_json *message, const char *key)
{
    return strdup(tg_json_text(tg_json_get(message, key)));
}

static int open_run(struct tg_worker *w, const struct tg_json_file *file, struct tg_error *err)
{
    const struct tg_json *message = file->root;
    snprintf(w->directory, sizeof w->directory, "%s",
             tg_json_text(tg_json_get(message, "directory")));
    w->attempt = (int64_t)tg_json_number(tg_json_get(message, "attempt"));
    if (w->matrix) return tg_fail(err, "the run is open already");
    w->matrix = copied(message, "matrix");
    w->policy = copied(message, "policy");
    w->plan = copied(message, "plan");
    if (!w->matrix || !w->policy || !w->plan) return tg_fail(err, "out of memory");
    tg_record_init(&tg_limits_type, &w->bench.limits);
    return tg_json_read_record(file, tg_json_get(message, "limits"), &tg_limits_type,
                               &w->bench.limits, err);
}

static int open_store(struct tg_worker *w, struct tg_error *err)
{
    char path[4096 + 64];
    const struct tg_store_plan plan = {w->matrix, w->policy, w->plan};
    if (w->store) return 0;
    if (mkdir(w->directory, 0777) < 0 && errno != EEXIST)
        return tg_fail(err, "cannot make '%s': %s", w->directory, strerror(errno));
    snprintf(path, sizeof path, "%s/worker-%04d.%lld.h5", w->directory, w->bench.rank,
             (long long)w->attempt);
    return tg_store_create(path, &plan, &w->store, err);
}

/*
 * Two runs on one memory domain, or on one GPU, would disturb each other: the second waits, and
 * says so once. Returns a descriptor to be closed, or -1.
 */
static int lock(struct tg_worker *w, const char *what, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "/tmp/tritgate-%ld-%s-%s.lock", (long)getuid(), w->bench.host,
             name);
    for (char *c = path + strlen("/tmp/"); *c; c++)
        if (*c == '/') *c = '_';
    int held = open(path, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (held < 0) {
        tg_log(TG_WARN, "cannot keep other runs away: '%s': %s", path, strerror(errno));
        return -1;
    }
    if (flock(held, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
        if (!w->has_waited) tg_log(TG_INFO, "waiting for another run on %s %s", what, name);
        w->has_waited = true;
        while (flock(held, LOCK_EX) < 0 && errno == EINTR) {
        }
    }
    return held;
}

static int read_order(const struct tg_worker *w, const struct tg_json *message,
                      struct tg_order *order, struct tg_error *err)
{
    struct tg_block *block = &order->block;
    snprintf(block->text, sizeof block->text, "%s", tg_json_text(tg_json_get(message, "block")));
    const struct tg_json *cells = tg_json_get(message, "cells");
    block->cell_count = tg_json_count(cells);
    if (block->cell_count < 1 || block->cell_count > 2)
        return tg_fail(err, "a block of %zu cells", block->cell_count);
    for (size_t i = 0; i < block->cell_count; i++)
        if (tg_cell_parse(tg_json_text(tg_json_at(cells, i)), &block->cells[i], err) < 0) return -1;
    block->is_timed = tg_json_number(tg_json_get(message, "is_timed")) != 0;
    block->is_fixed = tg_json_number(tg_json_get(message, "is_fixed")) != 0;
    order->is_complete = tg_json_number(tg_json_get(message, "is_complete")) != 0;
    order->is_apart = tg_json_number(tg_json_get(message, "is_apart")) != 0;
    order->round = (int64_t)tg_json_number(tg_json_get(message, "round"));
    order->seed = strtoull(tg_json_text(tg_json_get(message, "seed")), NULL, 10);
    order->attempt = w->attempt;
    return 0;
}

static int run_round(struct tg_worker *w, const struct tg_json *message, struct tg_json *lines,
                     struct tg_error *err)
{
    struct tg_order order = {0};
    struct tg_measurement measurements[2];
    if (read_order(w, message, &order, err) < 0 || open_store(w, err) < 0) return -1;
    double begun_s = tg_now();
    const char *gpu = own_gpu(w);
    int gpu_lock = *gpu ? lock(w, "GPU", gpu) : -1;
    int domain_lock = order.is_apart ? -1 : lock(w, "memory domain", w->bench.place.domain);
    double waited_s = tg_now() - begun_s;
    int rc = tg_conduct(&w->bench, &order, measurements, err);
    if (domain_lock >= 0) close(domain_lock);
    if (gpu_lock >= 0) close(gpu_lock);
    if (rc < 0) return -1;
    for (size_t i = 0; i < order.block.cell_count; i++) {
        measurements[i].facts.waited_s = waited_s;
        if (rc == 0) rc = tg_store_append(w->store, &measurements[i], err);
        char *line = tg_measurement_to_json(&measurements[i]);
        tg_json_add_text(lines, NULL, line);
        free(line);
        tg_measurement_free(&measurements[i]);
    }
    return rc;
}

static char *conduct_round(struct tg_worker *w, const struct tg_json *message)
{
    struct tg_error why;
    struct tg_json *root = tg_json_object(NULL, NULL);
    struct tg_json *lines = tg_json_array(root, "done");
    if (run_round(w, message, lines, &why) < 0) tg_json_add_text(root, "lost", why.text);
    return printed(root);
}

static char *say_bye(struct tg_worker *w)
{
    struct tg_error why = {""};
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_store_close(w->store, &why);
    w->store = NULL;
    w->is_closed = true;
    tg_json_add_text(root, "bye", why.text);
    return printed(root);
}

int tg_serve_answer(struct tg_worker *worker, const char *message, char **answer,
                    struct tg_error *err)
{
    struct tg_json_file file;
    int rc = 0;
    if (tg_json_parse(message, &file, err) < 0) return -1;
    const char *what = tg_json_text(tg_json_get(file.root, "do"));
    *answer = NULL;
    if (strcmp(what, "announce") == 0)
        *answer = announce(worker, file.root);
    else if (strcmp(what, "open") == 0)
        rc = open_run(worker, &file, err);
    else if (strcmp(what, "round") == 0)
        *answer = conduct_round(worker, file.root);
    else if (strcmp(what, "close") == 0)
        *answer = say_bye(worker);
    else
        rc = tg_fail(err, "a message that means nothing: '%s'", what);
    tg_json_release(&file);
    return rc;
}

void tg_serve_close(struct tg_worker *worker)
{
    if (!worker) return;
    tg_store_close(worker->store, NULL);
    free(worker->matrix);
    free(worker->policy);
    free(worker->plan);
    free(worker);
}

int tg_serve(struct tg_wire *wire, struct tg_worker *worker, struct tg_error *err)
{
    int rc = 0;
    while (rc == 0 && !worker->is_closed) {
        char *message, *answer = NULL;
        int rank;
        if (tg_wire_receive(wire, INFINITY, &rank, &message, err) < 0) return -1;
        rc = tg_serve_answer(worker, message, &answer, err);
        free(message);
        if (rc == 0 && answer) rc = tg_wire_send(wire, rank, answer, err);
        free(answer);
    }
    return rc;
}
