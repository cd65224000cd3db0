/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_COORDINATOR_LAUNCHER_H
#define TG_COORDINATOR_LAUNCHER_H

#include <stdbool.h>

#include "base/error.h"

/*
 * One try of a run under a launcher such as mpirun, whose own status is not to be trusted: it ends
 * with 1 when it is asked to end, which would be a failure, or not at all when a rank hangs. So
 * rank 0 leaves a mark, a small file: that it has begun, and then its status. What is there when
 * the launcher has ended is what came of the try. The file is made before; a rank 0 that does not
 * find it, as on a host that shares no disk with this one, refuses the run and leaves none.
 */

/* How far rank 0 came, as marks have it: a status is 0 or more. */
enum { TG_MARK_NONE = -2, TG_MARK_BEGUN = -1 };

/* Leaves a mark: TG_MARK_BEGUN or a status. `path` may be NULL: nothing is left. */
int tg_launcher_mark(const char *path, int mark, struct tg_error *err);

/* What a mark says; TG_MARK_NONE if there is none. */
int tg_launcher_read_mark(const char *path);

struct tg_launcher {
    const char *const *argv; /* ends with NULL */
    char *const *environment;
    const char *mark; /* where rank 0 leaves its marks */
    double wait_s;    /* before it is started */
    double begin_s;   /* a rank 0 that has not begun by then never will */
    double end_s;     /* ... and a launcher that goes on for longer behind rank 0's end hangs */
    double kill_s;    /* one that is asked to end, and does not, is killed after this */
};

/* How a try ended. */
struct tg_launched {
    int mark;      /* rank 0's last */
    int status;    /* the launcher's own, or -1: it ended by a signal, or was not started */
    int signal;    /* that was passed on to the launcher, or 0 */
    char how[200]; /* how the launcher ended: "status 137", "signal 9", "hung and was ended" */
};

/* What Open MPI is told, NAME=value, and why: tests/mpi.env. Ends with NULL. */
extern const char *const tg_launcher_settings[];

/*
 * Starts the launcher in a process group of its own and waits for its end. SIGINT, SIGTERM and
 * SIGHUP are passed on to it, and only end the try when it has ended; one that this process ignores
 * stays so. Fails if it cannot be started.
 */
int tg_launcher_try(const struct tg_launcher *launch, struct tg_launched *launched,
                    struct tg_error *err);

#endif
