/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/wire.h"

#include <mpi.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "worker/host.h"

#define PAUSE_LEAST_NS 100000
#define PAUSE_MOST_NS  8000000 /* about 0.5 % of a core where probing is dear */

struct tg_wire {
    bool has_mpi;
    int rank, size;
    int index, count; /* among the workers of its node */
};

/* A launcher leaves these variables; without them this is one process by itself. */
static bool is_launched(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i])) return true;
    return false;
}

int tg_wire_launched_rank(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        if (text) return (int)strtol(text, NULL, 10);
    }
    return 0;
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

int tg_wire_open(struct tg_wire **wire, struct tg_error *err)
{
    struct tg_wire *w = calloc(1, sizeof *w);
    if (!w) return tg_fail(err, "out of memory");
    w->size = 1;
    if (is_launched()) {
        w->has_mpi = true;
        if (MPI_Init(NULL, NULL) != MPI_SUCCESS) {
            free(w);
            return tg_fail(err, "MPI cannot be started");
        }
        MPI_Comm_rank(MPI_COMM_WORLD, &w->rank);
        MPI_Comm_size(MPI_COMM_WORLD, &w->size);
        if (meet(w, err) < 0) {
            tg_wire_close(w);
            return -1;
        }
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

int tg_wire_send(struct tg_wire *wire, int rank, const char *text, struct tg_error *err)
{
    MPI_Request request;
    int done = 0;
    long pause = PAUSE_LEAST_NS;
    if (!wire->has_mpi) return tg_fail(err, "there is no other rank");
    if (MPI_Isend(text, (int)strlen(text) + 1, MPI_CHAR, rank, 0, MPI_COMM_WORLD, &request) !=
        MPI_SUCCESS)
        return tg_fail(err, "cannot send to rank %d", rank);
    for (;;) {
        if (MPI_Test(&request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS)
            return tg_fail(err, "cannot send to rank %d", rank);
        if (done) return 0;
        pause_for(&pause);
    }
}

int tg_wire_receive(struct tg_wire *wire, double deadline_s, int *rank, char **text,
                    struct tg_error *err)
{
    long pause = PAUSE_LEAST_NS;
    int there = 0, length;
    MPI_Message message;
    MPI_Status status;
    if (!wire->has_mpi) return tg_fail(err, "there is no other rank");
    for (;;) {
        if (MPI_Improbe(MPI_ANY_SOURCE, 0, MPI_COMM_WORLD, &there, &message, &status) !=
            MPI_SUCCESS)
            return tg_fail(err, "cannot receive");
        if (there) break;
        if (tg_now() >= deadline_s) return 0;
        pause_for(&pause);
    }
    MPI_Get_count(&status, MPI_CHAR, &length);
    char *received = malloc((size_t)length + 1);
    if (!received) return tg_fail(err, "out of memory");
    MPI_Mrecv(received, length, MPI_CHAR, &message, MPI_STATUS_IGNORE);
    received[length] = 0;
    *rank = status.MPI_SOURCE;
    *text = received;
    return 1;
}

void tg_wire_close(struct tg_wire *wire)
{
    if (wire && wire->has_mpi) MPI_Finalize();
    free(wire);
}

_Noreturn void tg_wire_abort(struct tg_wire *wire, int status)
{
    if (wire->has_mpi) MPI_Abort(MPI_COMM_WORLD, status);
    exit(status);
}
