/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pulse.h"
#include "worker/host.h"

#define LINE_USUAL    (1u << 20)
#define READ_MOST     (1u << 20) /* of what is printed, at once: as much as a pipe may hold */
#define CHILDREN_MOST 8
#define FIRST_PASSED  5 /* descriptors 0..2 standard, 3 and 4 the talk, from 5 on what is passed */

extern char **environ;

static char gpu_given[128]; /* "CUDA_VISIBLE_DEVICES=..." of every child, "" if nothing was said */

struct tg_child {
    pid_t pid;
    int to, from, printed; /* write end of its 3, read ends of its 4 and of its 1 and 2 */
    char *buffer;          /* what came on `from`, not yet received */
    size_t room, used;     /* bytes of the buffer, and in it */
    size_t taken, ended;   /* where the line handed out last ends, and the last one that is whole */
    char tail[1024];
    size_t tail_used;
    bool closed;
};

void tg_child_give_gpu(const char *uuid)
{
    snprintf(gpu_given, sizeof gpu_given, "CUDA_VISIBLE_DEVICES=%s", uuid);
}

/*
 * A copy of the environment with its padding and its GPU, without the launcher's variables and what
 * somebody's shell says of CUDA; the caller frees.
 */
static char **child_environment(char *padding)
{
    static const char *const left_out[] = {"OMPI_",
                                           "PMIX_",
                                           "ORTE_",
                                           "PRTE_",
                                           "PMI_",
                                           "CUDA_MODULE_LOADING=",
                                           "CUDA_LAUNCH_BLOCKING="};
    size_t count = 0, kept = 0;
    while (environ[count]) count++;
    char **list = calloc(count + 3, sizeof *list);
    if (!list) return NULL;
    for (size_t i = 0; i < count; i++) {
        bool keep = true;
        for (size_t k = 0; k < sizeof left_out / sizeof *left_out; k++)
            if (strncmp(environ[i], left_out[k], strlen(left_out[k])) == 0) keep = false;
        if (*gpu_given && strncmp(environ[i], gpu_given, strcspn(gpu_given, "=") + 1) == 0)
            keep = false;
        if (keep) list[kept++] = environ[i];
    }
    if (*gpu_given) list[kept++] = gpu_given;
    list[kept] = padding;
    return list;
}

/* Puts *fd out of the way of the descriptors that a child is given. */
static int move_up(int *fd)
{
    int moved = fcntl(*fd, F_DUPFD_CLOEXEC, 64);
    if (moved < 0) return -1;
    close(*fd);
    *fd = moved;
    return 0;
}

static int make_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) < 0) return -1;
    return move_up(&ends[0]) < 0 || move_up(&ends[1]) < 0 ? -1 : 0;
}

static int spawn(const char *const argv[], char **environment, int to, int from, int printed,
                 const int *descriptors, size_t count, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, printed, 1);
    posix_spawn_file_actions_adddup2(&actions, printed, 2);
    posix_spawn_file_actions_adddup2(&actions, to, 3);
    posix_spawn_file_actions_adddup2(&actions, from, 4);
    for (size_t i = 0; i < count; i++)
        posix_spawn_file_actions_adddup2(&actions, descriptors[i], FIRST_PASSED + (int)i);
    posix_spawn_file_actions_addclosefrom_np(&actions, FIRST_PASSED + (int)count);
    int rc = posix_spawnp(pid, argv[0], &actions, &attributes, (char *const *)(uintptr_t)argv,
                          environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return rc;
}

static void free_child(struct tg_child *child)
{
    if (child->to >= 0) close(child->to);
    if (child->from >= 0) close(child->from);
    if (child->printed >= 0) close(child->printed);
    free(child->buffer);
    free(child);
}

int tg_child_start(const char *const argv[], const int *descriptors, size_t descriptor_count,
                   size_t padding, struct tg_child **child, struct tg_error *err)
{
    int to[2] = {-1, -1}, from[2] = {-1, -1}, printed[2] = {-1, -1}, passed[4] = {-1, -1, -1, -1};
    int rc = -1;
    char pad[4096 + 16] = "TRITGATE_PAD=";
    char **environment = NULL;
    struct tg_child *made = calloc(1, sizeof *made);

    assert(descriptor_count <= sizeof passed / sizeof *passed && padding <= 4096);
    memset(pad + strlen(pad), '.', padding);
    if (!made || !(made->buffer = malloc(LINE_USUAL)) || !(environment = child_environment(pad))) {
        tg_fail(err, "out of memory");
        goto out;
    }
    made->room = LINE_USUAL;
    bool good = make_pipe(to) == 0 && make_pipe(from) == 0 && make_pipe(printed) == 0;
    for (size_t i = 0; i < descriptor_count && good; i++)
        good = (passed[i] = fcntl(descriptors[i], F_DUPFD_CLOEXEC, 64)) >= 0;
    if (!good) {
        tg_fail(err, "cannot start '%s': %s", argv[0], strerror(errno));
        goto out;
    }
    int why = spawn(argv, environment, to[0], from[1], printed[1], passed, descriptor_count,
                    &made->pid);
    if (why) {
        tg_fail(err, "cannot start '%s': %s", argv[0], strerror(why));
        goto out;
    }
    made->to = to[1];
    made->from = from[0];
    made->printed = printed[0];
    to[1] = from[0] = printed[0] = -1;
    fcntl(made->from, F_SETFL, O_NONBLOCK);
    fcntl(made->printed, F_SETFL, O_NONBLOCK);
    *child = made;
    made = NULL;
    rc = 0;
out:
    for (int i = 0; i < 2; i++) {
        if (to[i] >= 0) close(to[i]);
        if (from[i] >= 0) close(from[i]);
        if (printed[i] >= 0) close(printed[i]);
    }
    for (size_t i = 0; i < descriptor_count; i++)
        if (passed[i] >= 0) close(passed[i]);
    free(environment);
    if (made) free(made->buffer);
    free(made);
    return rc;
}

void tg_child_send(struct tg_child *child, const char *line)
{
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    dprintf(child->to, "%s\n", line);
    signal(SIGPIPE, before);
}

/* Adds to the last bytes of what it printed. */
static void keep_last(struct tg_child *child, const char *bytes, size_t count)
{
    const size_t most = sizeof child->tail - 1;
    if (count > most) {
        bytes += count - most;
        count = most;
    }
    const size_t kept = child->tail_used < most - count ? child->tail_used : most - count;
    memmove(child->tail, child->tail + child->tail_used - kept, kept);
    for (size_t i = 0; i < count; i++)
        child->tail[kept + i] = bytes[i] < ' ' || bytes[i] > '~' ? ' ' : bytes[i];
    child->tail_used = kept + count;
    child->tail[child->tail_used] = 0;
}

/* Not until there is no more: whoever prints for ever would be read for ever. */
static void read_printed(struct tg_child *child)
{
    char bytes[1 << 14];
    for (size_t left = READ_MOST; left > 0;) {
        ssize_t got = read(child->printed, bytes, left < sizeof bytes ? left : sizeof bytes);
        if (got <= 0) return;
        keep_last(child, bytes, (size_t)got);
        left -= (size_t)got;
    }
}

static bool has_line(const struct tg_child *child)
{
    return child->ended > child->taken;
}

/* Moves what was not taken to the front; returns whether there is room for more. */
static bool make_room(struct tg_child *child)
{
    if (child->taken > 0) {
        memmove(child->buffer, child->buffer + child->taken, child->used - child->taken);
        child->used -= child->taken;
        child->ended -= child->ended < child->taken ? child->ended : child->taken;
        child->taken = 0;
    }
    if (child->used < child->room) return true;
    if (has_line(child) || child->room == TG_CHILD_LINE_MOST) return false;
    char *larger = realloc(child->buffer, 2 * child->room);
    if (!larger) return false;
    child->buffer = larger;
    child->room *= 2;
    return true;
}

static void read_talk(struct tg_child *child)
{
    while (make_room(child)) {
        ssize_t got = read(child->from, child->buffer + child->used, child->room - child->used);
        if (got > 0) {
            const char *end = memrchr(child->buffer + child->used, '\n', (size_t)got);
            if (end) child->ended = (size_t)(end + 1 - child->buffer);
            child->used += (size_t)got;
            continue;
        }
        if (got == 0 || errno != EAGAIN) child->closed = true;
        return;
    }
    /* A line for which there is no room is no answer: such a child counts as dead. */
    if (!has_line(child)) child->closed = true;
}

int tg_child_wait(struct tg_child *const children[], size_t count, double *deadline_s)
{
    struct pollfd polled[2 * CHILDREN_MOST];
    assert(count <= CHILDREN_MOST);
    for (;;) {
        for (size_t i = 0; i < count; i++)
            if (has_line(children[i]) || children[i]->closed) return (int)i;
        double left = *deadline_s - tg_now();
        if (left <= 0 || !tg_pulse()) return -1;
        for (size_t i = 0; i < count; i++) {
            polled[2 * i] = (struct pollfd){.fd = children[i]->from, .events = POLLIN};
            polled[2 * i + 1] = (struct pollfd){.fd = children[i]->printed, .events = POLLIN};
        }
        /* In short naps: if one took much longer, this process was stopped, and the child too. */
        double before = tg_now(), nap_s = left < 0.5 ? left : 0.5;
        int ready = poll(polled, 2 * count, (int)(nap_s * 1000) + 1);
        double took_s = tg_now() - before;
        if (took_s > nap_s + 1) *deadline_s += took_s - nap_s;
        if (ready < 0 && errno != EINTR) return -1;
        for (size_t i = 0; i < count && ready > 0; i++) {
            if (polled[2 * i + 1].revents & POLLIN) read_printed(children[i]);
            if (polled[2 * i].revents) read_talk(children[i]);
            /* Its output may be closed while it lives on: then only the talk is waited for. */
            if ((polled[2 * i + 1].revents & (POLLHUP | POLLIN)) == POLLHUP) {
                close(children[i]->printed);
                children[i]->printed = -1;
            }
        }
    }
}

enum tg_child_answer tg_child_receive(struct tg_child *child, double deadline_s, const char **line)
{
    struct tg_child *const children[] = {child};
    if (tg_child_wait(children, 1, &deadline_s) < 0) return TG_CHILD_LATE;
    char *begin = child->buffer + child->taken;
    if (!has_line(child)) return TG_CHILD_DIED;
    char *end = memchr(begin, '\n', child->used - child->taken);
    *end = 0;
    *line = begin;
    child->taken = (size_t)(end + 1 - child->buffer);
    return TG_CHILD_LINE;
}

/* Linux counts the memory of a program from what the process held that started it: this one. */
static int64_t peak_of(const struct rusage *usage)
{
    const int64_t bytes = (int64_t)usage->ru_maxrss * 1024;
    int64_t held, own;
    tg_host_process_memory(&held, &own);
    return bytes > own ? bytes : -1;
}

static void reap(struct tg_child *child, bool by_us, struct tg_child_end *end)
{
    int status = 0;
    struct rusage usage = {0};
    while (wait4(child->pid, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    memset(end, 0, sizeof *end);
    if (WIFSIGNALED(status)) end->signal = WTERMSIG(status);
    if (WIFEXITED(status)) end->status = WEXITSTATUS(status);
    end->by_us = by_us && end->signal == SIGKILL;
    end->peak_bytes = peak_of(&usage);
    if (child->printed >= 0) read_printed(child);
    memcpy(end->tail, child->tail, sizeof end->tail);
    free_child(child);
}

/* Whether it is dead but not yet reaped, so that its process id still is its own. */
static bool is_dead(const struct tg_child *child)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid;
}

void tg_child_stop(struct tg_child *child, struct tg_child_end *end)
{
    struct tg_child_end unused;
    if (!child) return;
    /* One whose pipe broke is about to be dead by itself: a moment, so that its end is its own. */
    double deadline_s = tg_now() + (child->closed ? 1 : 0);
    bool dead = is_dead(child);
    while (!dead && tg_now() < deadline_s) {
        poll(NULL, 0, 1);
        dead = is_dead(child);
    }
    kill(-child->pid, SIGKILL);
    kill(child->pid, SIGKILL); /* it may have left its group */
    reap(child, !dead, end ? end : &unused);
}

void tg_child_finish(struct tg_child *child, double deadline_s, struct tg_child_end *end)
{
    struct tg_child *const children[] = {child};
    close(child->to);
    child->to = -1;
    while (!child->closed && tg_child_wait(children, 1, &deadline_s) >= 0 && !child->closed)
        child->taken = child->used;
    tg_child_stop(child, end);
}

int tg_child_tie(long parent, struct tg_error *err)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return tg_fail(err, "cannot be tied to the parent: %s", strerror(errno));
    if (getppid() != (pid_t)parent) return tg_fail(err, "the parent is gone");
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    return 0;
}
