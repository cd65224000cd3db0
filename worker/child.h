/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_CHILD_H
#define TG_WORKER_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * Runs a program apart from this one, so that a kernel that crashes or hangs costs one cell and not
 * the run. The life of a child: it is spawned in a process group of its own (never forked: a CUDA
 * context does not survive that, and MPI promises nothing), it is asked and answers by lines on its
 * descriptors 3 and 4, and at the end its whole group is killed and reaped.
 *
 * What it prints to standard output and error is kept at its end, as the reason if it dies. The
 * launcher's variables (OMPI_*, PMIX_*, ORTE_*, PRTE_*) do not reach it, nor those that would
 * change how CUDA loads or launches kernels. It is not of its parent's group, so what ends that,
 * as Ctrl-C does, spares it: whatever is started here is told its parent, and calls tg_child_tie.
 */

/*
 * The longest line, with its end: what a policy may ask for at most is 4 * quads_max = 400,000
 * samples, of which an answer has seven series. One that is longer is no answer: whoever sends it
 * counts as dead.
 */
#define TG_CHILD_LINE_MOST (1u << 28)

struct tg_child; /* a running program, its descriptors, its last words */

enum tg_child_answer { TG_CHILD_LINE, TG_CHILD_DIED, TG_CHILD_LATE };

/* How a child ended. */
struct tg_child_end {
    int signal;         /* that killed it, or 0 */
    int status;         /* its exit status, if no signal did */
    bool by_us;         /* the signal was ours */
    int64_t peak_bytes; /* the most memory it held; -1 if no more than this process ever did */
    char tail[1024];    /* the end of what it printed, on one line */
};

/*
 * Gives children that are started from then on this GPU and no other, by its uuid (worker/gpu.h);
 * "": none. Until then they see what this process sees.
 */
void tg_child_give_gpu(const char *uuid);

/*
 * Starts argv (ends with NULL). descriptors[i] becomes the child's descriptor 5 + i. `padding`
 * bytes are added to its environment, which moves its stack.
 *
 * Fails only when it could not be started, and then *child is untouched.
 */
int tg_child_start(const char *const argv[], const int *descriptors, size_t descriptor_count,
                   size_t padding, struct tg_child **child, struct tg_error *err);

/* Sends a line (without its end). A child that is gone takes it without error: ask it. */
void tg_child_send(struct tg_child *child, const char *line);

/*
 * Waits until one of the children has a line or is dead, or until *deadline_s (monotonic seconds),
 * which is put off by the time in which this process was stopped, and they with it: with all of its
 * job, or its machine. Returns its index, or -1 when it is late, or nobody wants it any more
 * (pulse.h).
 */
int tg_child_wait(struct tg_child *const children[], size_t count, double *deadline_s);

/*
 * Receives one line, waiting likewise until deadline_s. How it went is the result: a child that
 * died or is late is an outcome, not an error. *line is borrowed until the next call for this
 * child.
 */
enum tg_child_answer tg_child_receive(struct tg_child *child, double deadline_s, const char **line);

/* Kills the whole group, reaps it, frees the child, and says how it ended. Accepts NULL. */
void tg_child_stop(struct tg_child *child, struct tg_child_end *end);

/* Waits until deadline_s for it to exit by itself, then as tg_child_stop. */
void tg_child_finish(struct tg_child *child, double deadline_s, struct tg_child_end *end);

/*
 * In the child: makes it die with its parent, whose process id it was given, and not of a request
 * to end that went to all processes at once (SIGTERM, SIGINT, SIGHUP): the parent ends its round.
 * Fails if the parent is gone already.
 */
int tg_child_tie(long parent, struct tg_error *err);

#endif
