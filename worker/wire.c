/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/wire.h"

#include <math.h>
#include <mpi.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pulse.h"
#include "worker/host.h"
#include "worker/ulfm.h"

#define PAUSE_LEAST_NS 100000
#define PAUSE_MOST_NS  8000000 /* about 0.5 % of a core where probing is dear */
#define BEAT_EVERY_S   1
#define LEAVE_WITHIN_S 10
#define SHORT_BYTES    16384

enum { TEXT, BEAT, LEAVE }; /* tags of messages */

/* A text under way, before which others were sent to the same rank. */
struct letter {
    MPI_Request request;
    char *text;
    struct letter *before;
};

struct tg_wire {
    bool has_mpi;
    int rank, size;
    int index, count; /* among the workers of its node */
    double patience_s;
    double beat_s;           /* when it last said that it is alive */
    double listened_s;       /* its clock of listening then */
    double *heard_s;         /* on that clock, when something last came of each rank */
    MPI_Request *beats;      /* under way to each rank */
    struct letter **letters; /* likewise; what has left may still be there */
    bool *is_dead;           /* each rank; NULL where MPI ends all when one dies */
    bool has_ended;          /* rank 0 has closed its end */
    bool is_alone;           /* rank 0 was lost, for good: what it wanted was given up */
};

/* A launcher leaves these variables; without them this is one process by itself. */
static bool is_launched(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i])) return true;
    return false;
}

/* What the launcher says of this process's rank, or NULL without one. */
static const char *launched_rank(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
    const char *text = NULL;
    for (size_t i = 0; !text && i < sizeof names / sizeof *names; i++) text = getenv(names[i]);
    return text;
}

int tg_wire_launched_rank(void)
{
    const char *text = launched_rank();
    return text ? (int)strtol(text, NULL, 10) : 0;
}

bool tg_wire_is_launched(void)
{
    return launched_rank() != NULL;
}

/* Sleeps a little, longer each time. */
static void pause_for(long *nanoseconds)
{
    const struct timespec pause = {.tv_nsec = *nanoseconds};
    nanosleep(&pause, NULL);
    *nanoseconds = 2 * *nanoseconds > PAUSE_MOST_NS ? PAUSE_MOST_NS : 2 * *nanoseconds;
}

/* Counts the workers on its node, and those before this one: every rank says to all which node it
 * is on. */
static int meet(struct tg_wire *w, struct tg_error *err)
{
    char own[TG_TEXT_SIZE] = "";
    char(*nodes)[TG_TEXT_SIZE] = calloc((size_t)w->size, sizeof *nodes);
    if (!nodes) return tg_fail(err, "out of memory");
    tg_host_name(own);
    int rc = 0;
    if (MPI_Allgather(own, TG_TEXT_SIZE, MPI_CHAR, nodes, TG_TEXT_SIZE, MPI_CHAR, MPI_COMM_WORLD) !=
        MPI_SUCCESS)
        rc = tg_fail(err, "cannot hear the other ranks");
    for (int i = 1; i < w->size && rc == 0; i++) {
        bool is_here = strcmp(nodes[i], own) == 0;
        w->index += is_here && i < w->rank;
        w->count += is_here;
    }
    free(nodes);
    return rc;
}

/* Whether a call of MPI failed of something else than the death of a rank. */
static bool has_failed(struct tg_wire *w, int rc)
{
    if (rc == MPI_SUCCESS) return false;
    if (!w->is_dead || !tg_ulfm_is_death(rc)) return true;
    tg_ulfm_look(w->is_dead);
    return false;
}

double tg_wire_listened(const struct tg_wire *wire)
{
    /* A beat that is overdue says that this rank was stopped, or had something else to do. */
    return wire->listened_s + fmin(tg_now() - wire->beat_s, 2 * BEAT_EVERY_S);
}

/* Takes what other ranks have said of being alive. */
static void hear_beats(struct tg_wire *w)
{
    char sign;
    int there = 0;
    MPI_Message message;
    MPI_Status status;
    while (MPI_Improbe(MPI_ANY_SOURCE, BEAT, MPI_COMM_WORLD, &there, &message, &status) ==
               MPI_SUCCESS &&
           there) {
        MPI_Mrecv(&sign, 1, MPI_CHAR, &message, MPI_STATUS_IGNORE);
        w->heard_s[status.MPI_SOURCE] = w->listened_s;
    }
}

/* Says so to the others, but not to one that has not yet taken what was said before. */
static void say_beats(struct tg_wire *w)
{
    static const char sign = 0;
    int left = 0;
    for (int i = 0; i < (w->rank == 0 ? w->size : 1); i++)
        if (i != w->rank && !tg_wire_is_dead(w, i) &&
            MPI_Test(&w->beats[i], &left, MPI_STATUS_IGNORE) == MPI_SUCCESS && left)
            MPI_Isend(&sign, 1, MPI_CHAR, i, BEAT, MPI_COMM_WORLD, &w->beats[i]);
}

/* Whether to go on with what is waited for: rank 0 wants it. */
static bool beat(void *wire)
{
    struct tg_wire *w = wire;
    double now = tg_now();
    if (now - w->beat_s >= BEAT_EVERY_S) {
        w->listened_s = tg_wire_listened(w);
        w->beat_s = now;
        if (w->is_dead) tg_ulfm_look(w->is_dead);
        hear_beats(w);
        say_beats(w);
    }
    if (w->rank > 0 && tg_wire_is_lost(w, 0)) w->is_alone = true;
    return !w->is_alone;
}

static int open_mpi(struct tg_wire *w, struct tg_error *err)
{
    w->has_mpi = true;
    if (MPI_Init(NULL, NULL) != MPI_SUCCESS) return tg_fail(err, "MPI cannot be started");
    MPI_Comm_rank(MPI_COMM_WORLD, &w->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &w->size);
    w->heard_s = calloc((size_t)w->size, sizeof *w->heard_s);
    w->beats = calloc((size_t)w->size, sizeof(MPI_Request));
    w->letters = calloc((size_t)w->size, sizeof(struct letter *));
    if (!w->heard_s || !w->beats || !w->letters) return tg_fail(err, "out of memory");
    for (int i = 0; i < w->size; i++) w->beats[i] = MPI_REQUEST_NULL;
    if (meet(w, err) < 0) return -1;
    if (tg_ulfm_open() && !(w->is_dead = calloc((size_t)w->size, sizeof *w->is_dead)))
        return tg_fail(err, "out of memory");
    w->beat_s = tg_now();
    tg_pulse_set(beat, w);
    return 0;
}

int tg_wire_open(struct tg_wire **wire, struct tg_error *err)
{
    struct tg_wire *w = calloc(1, sizeof *w);
    if (!w) return tg_fail(err, "out of memory");
    w->size = 1;
    w->patience_s = INFINITY;
    if (is_launched() && open_mpi(w, err) < 0) {
        free(w->heard_s);
        free(w->beats);
        free(w->letters);
        free(w->is_dead);
        free(w);
        return -1;
    }
    *wire = w;
    return 0;
}

int tg_wire_rank(const struct tg_wire *wire)
{
    return wire->rank;
}

int tg_wire_size(const struct tg_wire *wire)
{
    return wire->size;
}

int tg_wire_worker_index(const struct tg_wire *wire)
{
    return wire->index;
}

int tg_wire_worker_count(const struct tg_wire *wire)
{
    return wire->has_mpi ? wire->count : 1;
}

void tg_wire_set_patience(struct tg_wire *wire, double silence_s)
{
    wire->patience_s = silence_s;
}

bool tg_wire_is_dead(const struct tg_wire *wire, int rank)
{
    return wire->is_dead && wire->is_dead[rank];
}

bool tg_wire_is_lost(const struct tg_wire *wire, int rank)
{
    if (tg_wire_is_dead(wire, rank)) return true;
    return wire->has_mpi && wire->listened_s - wire->heard_s[rank] > wire->patience_s;
}

/* Forgets what has left for a rank. Returns 1 if that was all, 0 if not, -1 on failure. */
static int look_after_letters(struct tg_wire *w, int rank)
{
    for (struct letter **l = &w->letters[rank], *done; *l;) {
        int left = 0, rc = MPI_Test(&(*l)->request, &left, MPI_STATUS_IGNORE);
        if (has_failed(w, rc)) return -1;
        if (rc == MPI_SUCCESS && !left) {
            l = &(*l)->before;
            continue;
        }
        done = *l;
        *l = done->before;
        free(done->text);
        free(done);
    }
    return w->letters[rank] == NULL;
}

/* Waits until all has left for a rank; not for one that is lost: that is MPI's until the end. */
static int let_leave(struct tg_wire *w, int rank, struct tg_error *err)
{
    int all;
    long pause = PAUSE_LEAST_NS;
    while ((all = look_after_letters(w, rank)) == 0 && !tg_wire_is_lost(w, rank)) {
        pause_for(&pause);
        beat(w);
    }
    return all < 0 ? tg_fail(err, "cannot send to rank %d", rank) : 0;
}

/* Gives a text to MPI. */
static int post_letter(struct tg_wire *w, int rank, const char *text, struct tg_error *err)
{
    size_t size = strlen(text) + 1;
    struct letter *l = malloc(sizeof *l);
    char *copy = l ? malloc(size) : NULL;
    if (!copy) {
        free(l);
        return tg_fail(err, "out of memory");
    }
    memcpy(copy, text, size);
    *l = (struct letter){MPI_REQUEST_NULL, copy, w->letters[rank]};
    int rc = MPI_Isend(copy, (int)size, MPI_CHAR, rank, TEXT, MPI_COMM_WORLD, &l->request);
    if (rc != MPI_SUCCESS) {
        free(copy);
        free(l);
        return has_failed(w, rc) ? tg_fail(err, "cannot send to rank %d", rank) : 0;
    }
    w->letters[rank] = l;
    return 0;
}

int tg_wire_send(struct tg_wire *wire, int rank, const char *text, struct tg_error *err)
{
    if (!wire->has_mpi) return tg_fail(err, "there is no other rank");
    if (tg_wire_is_dead(wire, rank)) return 0;
    if (let_leave(wire, rank, err) < 0 || post_letter(wire, rank, text, err) < 0) return -1;
    /*
     * In shared memory it leaves when the other rank wakes: all others would wait for that. Of long
     * texts, which come at the begin and the end, there is one copy at a time.
     */
    bool goes_on = wire->rank == 0 && strnlen(text, SHORT_BYTES) < SHORT_BYTES;
    return goes_on ? 0 : let_leave(wire, rank, err);
}

/* Takes a text that is there. Returns 0 if its sender died in the middle of it. */
static int take_text(struct tg_wire *w, MPI_Message *message, const MPI_Status *status, char **text,
                     struct tg_error *err)
{
    int length;
    MPI_Get_count(status, MPI_CHAR, &length);
    char *received = malloc((size_t)length + 1);
    if (!received) return tg_fail(err, "out of memory");
    int rc = MPI_Mrecv(received, length, MPI_CHAR, message, MPI_STATUS_IGNORE);
    if (rc != MPI_SUCCESS) {
        free(received);
        return has_failed(w, rc) ? tg_fail(err, "cannot receive") : 0;
    }
    received[length] = 0;
    *text = received;
    return 1;
}

int tg_wire_receive(struct tg_wire *wire, double deadline_s, int *rank, char **text,
                    struct tg_error *err)
{
    long pause = PAUSE_LEAST_NS;
    int there = 0, taken = 0;
    MPI_Message message;
    MPI_Status status;
    if (!wire->has_mpi) return tg_fail(err, "there is no other rank");
    for (;;) {
        int rc = MPI_Improbe(MPI_ANY_SOURCE, TEXT, MPI_COMM_WORLD, &there, &message, &status);
        if (has_failed(wire, rc)) return tg_fail(err, "cannot receive");
        if (rc == MPI_SUCCESS && there) taken = take_text(wire, &message, &status, text, err);
        if (taken != 0) break;
        if (!beat(wire) && tg_wire_is_dead(wire, 0)) return tg_fail(err, "the coordinator is dead");
        if (wire->is_alone)
            return tg_fail(err, "the coordinator has said nothing for %.15g s", wire->patience_s);
        if (tg_now() >= deadline_s) return 0;
        pause_for(&pause);
    }
    if (taken < 0) return -1;
    wire->heard_s[status.MPI_SOURCE] = wire->listened_s;
    *rank = status.MPI_SOURCE;
    return 1;
}

static volatile sig_atomic_t status_at_last;

static void end_at_last(int signal)
{
    (void)signal;
    _exit(status_at_last);
}

/* MPI may wait for ever for a rank, or a daemon, that hangs. */
static void leave_soon(int status)
{
    status_at_last = status;
    signal(SIGALRM, end_at_last);
    alarm(LEAVE_WITHIN_S);
}

/* Rank 0 says when all leave: MPI's own waiting for it would spin. */
static void say_end(struct tg_wire *w)
{
    static const char sign = 0;
    MPI_Request request;
    for (int i = 1; i < w->size; i++)
        if (!tg_wire_is_dead(w, i) &&
            MPI_Isend(&sign, 1, MPI_CHAR, i, LEAVE, MPI_COMM_WORLD, &request) == MPI_SUCCESS)
            MPI_Request_free(&request);
}

int tg_wire_await_end(struct tg_wire *wire, struct tg_error *err)
{
    int there = 0;
    long pause = PAUSE_LEAST_NS;
    while (wire->has_mpi && !wire->has_ended) {
        MPI_Iprobe(0, LEAVE, MPI_COMM_WORLD, &there, MPI_STATUS_IGNORE);
        wire->has_ended = there;
        if (there) break;
        if (wire->is_dead) tg_ulfm_look(wire->is_dead);
        if (tg_wire_is_dead(wire, 0)) return tg_fail(err, "the coordinator has died");
        if (!beat(wire))
            return tg_fail(err, "the coordinator has said nothing for %.15g s", wire->patience_s);
        pause_for(&pause);
    }
    return 0;
}

/* Waits for what is under way to ranks that are not lost, but not for ever. */
static void let_all_leave(struct tg_wire *w)
{
    long pause = PAUSE_LEAST_NS;
    double deadline_s = tg_now() + LEAVE_WITHIN_S;
    bool is_waiting = true;
    while (is_waiting && tg_now() < deadline_s) {
        is_waiting = false;
        for (int i = 0; i < w->size; i++)
            is_waiting = is_waiting || (look_after_letters(w, i) == 0 && !tg_wire_is_lost(w, i));
        if (is_waiting) pause_for(&pause);
        beat(w);
    }
}

void tg_wire_close(struct tg_wire *wire, int status)
{
    if (!wire) return;
    if (wire->has_mpi) {
        let_all_leave(wire);
        tg_pulse_set(NULL, NULL);
        wire->patience_s = INFINITY;
        if (wire->rank == 0)
            say_end(wire);
        else
            tg_wire_await_end(wire, NULL);
        leave_soon(status);
        MPI_Finalize();
        alarm(0);
    }
    free(wire->heard_s);
    free(wire->beats);
    free(wire->letters);
    free(wire->is_dead);
    free(wire);
}

_Noreturn void tg_wire_abort(struct tg_wire *wire, int status)
{
    if (wire->has_mpi) {
        leave_soon(status);
        MPI_Abort(MPI_COMM_WORLD, status);
    }
    exit(status);
}
