/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/pulse.h"
#include "results/digest.h"
#include "results/store.h"
#include "results/telegram.h"
#include "worker/host.h"
#include "worker/library.h"
#include "worker/parcel.h"
#include "worker/probe/probe.h"
#include "worker/seat.h"
#include "worker/survey.h"

struct tg_worker {
    struct tg_bench bench;
    struct tg_node node;
    struct tg_place_wish wish;
    struct tg_seat seat;
    bool is_seated;
    char directory[4096];
    int64_t attempt;
    char *matrix, *policy, *plan;
    char digests[2][TG_DIGEST_SIZE]; /* of head and base, as they were announced */
    struct tg_store *store;          /* created by the first round */
    bool is_closed;                  /* it said bye */
    int64_t broken;                  /* rounds on its device that broke one after the other */
    char left_out[300];   /* why it leaves out what is left for its device, "" while it does not */
    bool has_waited;      /* for another run, and said so */
    double begin_by_s;    /* of the round that was ordered, however long another run is there */
    bool is_over;         /* and this time is */
    struct tg_wire *wire; /* to the coordinator, NULL if that is this process */
};

int tg_serve_open(int rank, int index, int count, const struct tg_identity *identity,
                  struct tg_worker **worker, struct tg_error *err)
{
    struct tg_worker *w = calloc(1, sizeof *w);
    if (!w) return tg_fail(err, "out of memory");
    w->bench.rank = rank;
    w->wish = (struct tg_place_wish){index, count, TG_EXCLUSIVE_MEMORY};
    w->node = (struct tg_node){identity->topology, identity->gpus};
    if (identity->host)
        snprintf(w->bench.host, sizeof w->bench.host, "%s", identity->host);
    else
        tg_host_name(w->bench.host);
    *worker = w;
    return 0;
}

/* Takes the worker's seat, once. */
static int sit_down(struct tg_worker *w, const char *exclusive, struct tg_error *err)
{
    struct tg_error why;
    enum tg_exclusive asked = *exclusive ? tg_policy_exclusive(exclusive) : TG_EXCLUSIVE_MEMORY;
    if (w->is_seated && asked == w->wish.exclusive) return 0;
    if (w->is_seated || asked == TG_EXCLUSIVE_COUNT)
        return tg_fail(err, "a worker cannot be placed anew: '%s'", exclusive);
    w->wish.exclusive = asked;
    if (tg_seat_find(&w->node, &w->wish, &w->seat, err) < 0 ||
        tg_hardware_class(&w->seat.machine, w->bench.hardware, err) < 0)
        return -1;
    w->bench.place = w->seat.place;
    /* A recorded topology names cores that this machine may not have. */
    if (w->node.topology)
        w->bench.place.core = -1;
    else if (tg_place_leave(asked, &why) < 0)
        tg_log(TG_WARN, "%s", why.text);
    w->is_seated = true;
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
    char machine[TG_HARDWARE_TEXT_SIZE], build[TG_DIGEST_SIZE];
    if (sit_down(w, tg_json_text(tg_json_get(message, "exclusive")), &why) < 0 ||
        tg_digest_file("/proc/self/exe", build, &why) < 0) {
        tg_json_add_text(root, "error", why.text);
        return printed(root);
    }
    tg_record_format(&tg_hardware_type, &w->seat.machine, machine, sizeof machine);
    tg_model_source_init(&w->bench.models, tg_json_text(tg_json_get(message, "model_cache")),
                         tg_json_text(tg_json_get(message, "model")));
    tg_json_add_text(root, "program", TG_SERVE_PROGRAM);
    tg_json_add_text(root, "build", build);
    tg_json_add_text(root, "host", w->bench.host);
    tg_json_add_text(root, "domain", w->bench.place.domain);
    tg_json_add_text(root, "share", w->bench.place.shares[w->wish.exclusive]);
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
        memcpy(w->digests[i], survey.digest, sizeof w->digests[i]);
        tg_seat_mark(&w->seat, &survey);
        w->bench.memory_bytes = survey.memory_bytes; /* until open_run divides it */
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
    if (tg_json_read_record(file, tg_json_get(message, "limits"), &tg_limits_type, &w->bench.limits,
                            err) < 0)
        return -1;
    double parts = tg_json_number(tg_json_get(tg_json_get(message, "parts"), w->bench.host));
    w->bench.memory_bytes = parts > 1 ? w->bench.memory_bytes / (int64_t)parts : 0;
    if (w->wire) tg_wire_set_patience(w->wire, w->bench.limits.silence_s);
    return 0;
}

/* Makes the run's directory and those that it is in: on this node there may be none of them. */
static int make_directory(const struct tg_worker *w, struct tg_error *err)
{
    char path[sizeof w->directory];
    snprintf(path, sizeof path, "%s", w->directory);
    for (char *c = *path ? strchr(path + 1, '/') : NULL; c; c = strchr(c + 1, '/')) {
        *c = 0;
        if (access(path, F_OK) < 0) mkdir(path, 0777);
        *c = '/';
    }
    if (mkdir(path, 0777) < 0 && errno != EEXIST)
        return tg_fail(err, "cannot make '%s': %s", path, strerror(errno));
    return 0;
}

/* The name of this worker's file in the run's directory. */
static void own_name(const struct tg_worker *w, char *name, size_t size)
{
    snprintf(name, size, "worker-%04d.%lld.h5", w->bench.rank, (long long)w->attempt);
}

static int open_store(struct tg_worker *w, struct tg_error *err)
{
    char name[64], path[4096 + 64];
    const struct tg_store_plan plan = {w->matrix, w->policy, w->plan};
    if (w->store) return 0;
    if (make_directory(w, err) < 0) return -1;
    own_name(w, name, sizeof name);
    snprintf(path, sizeof path, "%s/%s", w->directory, name);
    return tg_store_create(path, &plan, &w->store, err);
}

/* Waits for a lock as long as the coordinator does, and the round has time. */
static void wait_for(struct tg_worker *w, int held, int how)
{
    const struct timespec nap = {.tv_nsec = 10000000}; /* the other lets go of it between rounds */
    struct tg_error why;
    if (w->wire) tg_wire_send(w->wire, 0, "{\"waits\":\"\"}", &why);
    while (tg_pulse() && !tg_pulse_is_ending() && flock(held, how | LOCK_NB) < 0 &&
           (errno == EWOULDBLOCK || errno == EINTR) && !w->is_over) {
        nanosleep(&nap, NULL);
        w->is_over = tg_now() >= w->begin_by_s;
    }
    if (w->wire) tg_wire_send(w->wire, 0, "{\"begun\":\"\"}", &why);
}

/* Returns a descriptor to be closed, or -1. */
static int hold(struct tg_worker *w, const char *name, const char *kind, int how)
{
    char path[4096];
    snprintf(path, sizeof path, "/tmp/tritgate-%ld-%s-%s.%s", (long)getuid(), w->bench.host, name,
             kind);
    for (char *c = path + strlen("/tmp/"); *c; c++)
        if (*c == '/') *c = '_';
    int held = open(path, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (held < 0) {
        tg_log(TG_WARN, "cannot keep other runs away: '%s': %s", path, strerror(errno));
        return -1;
    }
    if (flock(held, how | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
        if (!w->has_waited) tg_log(TG_INFO, "waiting for another run on %s", name);
        w->has_waited = true;
        wait_for(w, held, how);
    }
    return held;
}

/*
 * Two runs that share what they may not would disturb each other: the second waits, and says so
 * once. Who waits has the turn: nobody who comes later passes by, or one that wants for itself what
 * others always share would wait for ever. Returns a descriptor to be closed, or -1.
 */
static int lock(struct tg_worker *w, const char *name, int how)
{
    int turn = hold(w, name, "turn", how), held = hold(w, name, "lock", how);
    if (turn >= 0) close(turn);
    return held;
}

/* What a round holds, as locks. */
struct holds {
    int descriptors[1 + TG_EXCLUSIVE_COUNT + 2 * TG_PLACE_CORES];
    int count;
};

/*
 * What is timed on GPUs of a memory domain and what is timed on its cores, of runs that may not be
 * beside each other: shared by the former, for itself for the latter.
 */
static int lock_beside(struct tg_worker *w, int how)
{
    char name[TG_TEXT_SIZE + 8];
    snprintf(name, sizeof name, "%s-gpus", w->bench.place.shares[TG_EXCLUSIVE_MEMORY]);
    return lock(w, name, how);
}

/*
 * Takes what a round has for itself: its GPU; and its part of the node, within others that may hold
 * other parts. What is apart has no part, but keeps off a node or a memory domain that another run
 * has for itself. Of cores each is held, since other runs may have dealt them otherwise, within
 * each cache that they see. All take them in the same order, from the node down to cores in rising
 * order. What has the name of what it is in, as a cache that is not known has, is held once: a
 * second lock would wait for the first.
 */
static void take(struct tg_worker *w, bool is_apart, struct holds *holds)
{
    const struct tg_place *place = &w->bench.place;
    holds->count = 0;
    if (*own_gpu(w)) holds->descriptors[holds->count++] = lock(w, own_gpu(w), LOCK_EX);
    if (is_apart) {
        holds->descriptors[holds->count++] = lock(w, place->shares[TG_EXCLUSIVE_NODE], LOCK_SH);
        holds->descriptors[holds->count++] = lock_beside(w, LOCK_SH);
        return;
    }
    for (int i = 0; i <= (int)place->exclusive && i < TG_EXCLUSIVE_CORE; i++) {
        bool is_own = i == (int)place->exclusive;
        if (!is_own && strcmp(place->shares[i], place->shares[i + 1]) == 0) continue;
        holds->descriptors[holds->count++] = lock(w, place->shares[i], is_own ? LOCK_EX : LOCK_SH);
    }
    if (place->exclusive == TG_EXCLUSIVE_MEMORY && !w->bench.limits.beside_gpu)
        holds->descriptors[holds->count++] = lock_beside(w, LOCK_EX);
    if (place->exclusive != TG_EXCLUSIVE_CORE) return;
    char name[32];
    for (int i = 1; i < place->core_count; i++) {
        if (place->caches[i] < 0 || place->caches[i] == place->caches[i - 1]) continue;
        snprintf(name, sizeof name, "cache%d", place->caches[i]);
        holds->descriptors[holds->count++] = lock(w, name, LOCK_SH);
    }
    for (int i = place->core_count - 1; i >= 0; i--) {
        snprintf(name, sizeof name, "core%d", place->held[i]);
        holds->descriptors[holds->count++] = lock(w, name, LOCK_EX);
    }
}

static void let_go(struct holds *holds)
{
    while (holds->count > 0)
        if (holds->descriptors[--holds->count] >= 0) close(holds->descriptors[holds->count]);
}

/*
 * A device on which nothing runs any more is not tried with every block: once `broken_most` rounds
 * broke there, one after the other, what is left for it is left out, and says so.
 */
static void look_at_device(struct tg_worker *w, const struct tg_measurement *m, size_t count)
{
    int64_t most = w->bench.limits.broken_most;
    const struct tg_measurement *broke = NULL;
    bool has_ended = false;
    for (size_t i = 0; i < count; i++) {
        if (!tg_probe_is_on_device(&m[i].cell)) continue;
        if (m[i].outcome == TG_MEASURED || m[i].outcome == TG_WRONG) has_ended = true;
        if (tg_measurement_broke(&m[i])) broke = &m[i];
    }
    if (has_ended) w->broken = 0;
    if (!broke || has_ended || *w->left_out) return;
    w->broken++;
    if (most && w->broken >= most)
        snprintf(w->left_out, sizeof w->left_out,
                 "left out: %lld rounds on its device broke, one after the other; last: %.200s",
                 (long long)w->broken, broke->reason);
}

/* A child that broke early has not told which device it was given. */
static void name_device(const struct tg_worker *w, struct tg_measurement *m)
{
    if (strcmp(m->facts.gpu_uuid, "unknown") == 0 && w->bench.place.gpu >= 0 &&
        tg_probe_is_on_device(&m->cell))
        snprintf(m->facts.gpu_uuid, sizeof m->facts.gpu_uuid, "%s", w->seat.gpu.uuid);
}

/* What breaks while another file is put in its library's place, as by a build, was no library. */
static void look_at_library(const struct tg_worker *w, struct tg_measurement *m)
{
    const int build = strcmp(m->cell.build, "base") == 0;
    if (m->outcome == TG_MEASURED || m->outcome == TG_SKIPPED ||
        !tg_library_was_changed(build ? w->bench.base : w->bench.head, w->digests[build]))
        return;
    m->outcome = TG_SKIPPED;
    snprintf(m->reason, sizeof m->reason, "its library was changed since the run was begun");
}

static int give_up(const struct tg_worker *w, struct tg_error *err)
{
    if (w->is_over) return tg_fail(err, "its time was over while it waited for another run");
    return tg_fail(err, tg_pulse_is_ending() ? "was stopped before its round began"
                                             : "the coordinator is lost");
}

/* Has a round conducted and stored; *answer is what is said of it, to be freed. */
static int run_round(struct tg_worker *w, const char *message, char **answer, struct tg_error *err)
{
    struct tg_order order = {0};
    struct tg_measurement measurements[2];
    order.attempt = w->attempt;
    w->is_over = false;
    if (tg_serve_order_read(message, &order, err) < 0 || open_store(w, err) < 0) return -1;
    for (size_t i = 0; *w->left_out && i < order.block.cell_count; i++)
        if (tg_probe_is_on_device(&order.block.cells[i])) order.left_out = w->left_out;
    double begun_s = tg_now();
    w->begin_by_s = begun_s + order.wait_s;
    struct holds holds;
    take(w, order.is_apart, &holds);
    double waited_s = tg_now() - begun_s;
    bool may_begin = tg_pulse() && !tg_pulse_is_ending() && !w->is_over;
    int rc = may_begin ? tg_conduct(&w->bench, &order, measurements, err) : give_up(w, err);
    let_go(&holds);
    if (rc < 0) return -1;
    for (size_t i = 0; i < order.block.cell_count; i++) look_at_library(w, &measurements[i]);
    if (tg_pulse())
        look_at_device(w, measurements, order.block.cell_count);
    else
        rc = give_up(w, err); /* its children were killed: that is no measurement */
    for (size_t i = 0; i < order.block.cell_count; i++) {
        measurements[i].facts.waited_s = waited_s;
        name_device(w, &measurements[i]);
        if (rc == 0) rc = tg_store_append(w->store, &measurements[i], err);
    }
    *answer = rc == 0 ? tg_telegrams_text(measurements, order.block.cell_count) : NULL;
    for (size_t i = 0; i < order.block.cell_count; i++) tg_measurement_free(&measurements[i]);
    return rc == 0 && !*answer ? tg_fail(err, "out of memory") : rc;
}

static char *conduct_round(struct tg_worker *w, const char *message)
{
    struct tg_error why;
    char *answer;
    if (run_round(w, message, &answer, &why) == 0) return answer;
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_text(root, w->is_over ? "over" : "lost", why.text);
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

/* Tells of files that the coordinator may not have: of the run, its own alone. */
static char *tell_files(struct tg_worker *w, const struct tg_json *message)
{
    char name[64];
    struct tg_error why = {""};
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_store_close(w->store, &why);
    w->store = NULL;
    own_name(w, name, sizeof name);
    tg_parcel_list(tg_json_text(tg_json_get(message, "directory")), w->plan ? name : NULL,
                   tg_json_get(message, "have"), tg_json_array(root, "files"));
    if (*why.text) tg_json_add_text(root, "error", why.text);
    return printed(root);
}

static char *read_part(const struct tg_json *message)
{
    struct tg_error why;
    struct tg_json *root = tg_json_object(NULL, NULL);
    if (tg_parcel_read(tg_json_text(tg_json_get(message, "directory")),
                       tg_json_text(tg_json_get(message, "file")),
                       (int64_t)tg_json_number(tg_json_get(message, "at")), root, &why) < 0)
        tg_json_add_text(root, "error", why.text);
    return printed(root);
}

int tg_serve_answer(struct tg_worker *worker, const char *message, char **answer,
                    struct tg_error *err)
{
    struct tg_json_file file;
    int rc = 0;
    if (tg_serve_is_order(message)) {
        *answer = conduct_round(worker, message);
        return 0;
    }
    if (tg_json_parse(message, &file, err) < 0) return -1;
    const char *what = tg_json_text(tg_json_get(file.root, "do"));
    *answer = NULL;
    if (strcmp(what, "announce") == 0)
        *answer = announce(worker, file.root);
    else if (strcmp(what, "open") == 0)
        rc = open_run(worker, &file, err);
    else if (strcmp(what, "files") == 0)
        *answer = tell_files(worker, file.root);
    else if (strcmp(what, "read") == 0)
        *answer = read_part(file.root);
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
    worker->wire = wire;
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
