/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/launcher.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"

int tg_launcher_mark(const char *path, int mark, struct tg_error *err)
{
    char beside[4096 + 64];
    if (!path) return 0;
    snprintf(beside, sizeof beside, "%s.new", path);
    FILE *f = fopen(beside, "w");
    int good = f && fprintf(f, "%d\n", mark) > 0;
    if (f && fclose(f) != 0) good = 0;
    /* By another name, so that it is read whole or not at all. */
    if (good && rename(beside, path) == 0) return 0;
    tg_fail(err, "cannot write '%s': %s", path, strerror(errno));
    remove(beside);
    return -1;
}

int tg_launcher_read_mark(const char *path)
{
    int mark = TG_MARK_NONE;
    FILE *f = fopen(path, "r");
    if (!f) return TG_MARK_NONE;
    if (fscanf(f, "%d", &mark) != 1) mark = TG_MARK_NONE;
    fclose(f);
    return mark;
}

static int start(const struct tg_launcher *launch, pid_t *pid, struct tg_error *err)
{
    sigset_t none;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    int why = posix_spawnp(pid, launch->argv[0], &actions, &attributes,
                           (char *const *)(uintptr_t)launch->argv, launch->environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return why ? tg_fail(err, "cannot start '%s': %s", launch->argv[0], strerror(why)) : 0;
}

/* A launcher that is being watched. */
struct watch {
    const struct tg_launcher *launch;
    pid_t pid;
    double begun_s, done_s; /* when it was started, and when rank 0 was first seen to have ended */
    double asked_s;         /* when it was asked to end, or 0 */
    bool has_hung;
};

/* Asks it to end; one that was stopped must go on to hear that. */
static void ask_to_end(struct watch *w, int signal)
{
    if (w->asked_s > 0) return;
    w->asked_s = tg_now();
    kill(-w->pid, signal);
    kill(-w->pid, SIGCONT);
}

static void look(struct watch *w, int mark)
{
    double now = tg_now();
    if (mark >= 0 && w->done_s == 0) w->done_s = now;
    bool hangs = (mark == TG_MARK_NONE && now - w->begun_s > w->launch->begin_s) ||
                 (w->done_s > 0 && now - w->done_s > w->launch->end_s);
    if (hangs && w->asked_s == 0) {
        w->has_hung = true;
        ask_to_end(w, SIGTERM);
    }
    if (w->asked_s > 0 && now - w->asked_s > w->launch->kill_s) kill(-w->pid, SIGKILL);
}

/* The session of a process in /proc, by its name there; -1 if it is none, or is dead already. */
static pid_t session_of(const char *name)
{
    char path[300], text[1024], state;
    int session = -1;
    snprintf(path, sizeof path, "/proc/%s/stat", name);
    FILE *f = fopen(path, "r");
    if (!f) return -1;
    char *behind_name = fgets(text, sizeof text, f) ? strrchr(text, ')') : NULL;
    if (!behind_name || sscanf(behind_name, ") %c %*d %*d %d", &state, &session) != 2 ||
        state == 'Z')
        session = -1;
    fclose(f);
    return session;
}

/*
 * Kills what the launcher left in its session: a rank that was stopped, or does not know yet that
 * the launcher is dead, would keep the run, and its memory domain, from the next try.
 */
static void end_session(pid_t session, double within_s)
{
    const struct timespec nap = {.tv_nsec = 20000000};
    double until_s = tg_now() + within_s;
    bool is_left = true;
    while (is_left && tg_now() < until_s) {
        DIR *processes = opendir("/proc");
        if (!processes) return;
        is_left = false;
        for (struct dirent *e = readdir(processes); e; e = readdir(processes)) {
            long pid = strtol(e->d_name, NULL, 10);
            if (pid <= 0 || session_of(e->d_name) != session) continue;
            kill((pid_t)pid, SIGKILL);
            is_left = true;
        }
        closedir(processes);
        if (is_left) nanosleep(&nap, NULL);
    }
}

static void tell_end(const struct watch *w, int status, struct tg_launched *launched)
{
    const char *hung = w->has_hung ? ", as it hung and was ended" : "";
    if (WIFSIGNALED(status))
        snprintf(launched->how, sizeof launched->how, "signal %d%s", WTERMSIG(status), hung);
    else
        snprintf(launched->how, sizeof launched->how, "status %d%s", WEXITSTATUS(status), hung);
    if (WIFEXITED(status)) launched->status = WEXITSTATUS(status);
}

/* Waits before a try; false if a signal came that stops it. */
static bool wait_before(const struct tg_launcher *launch, sigset_t heeded,
                        struct tg_launched *launched)
{
    const time_t whole = (time_t)launch->wait_s;
    const struct timespec time = {whole, (long)(1e9 * (launch->wait_s - (double)whole))};
    sigdelset(&heeded, SIGCHLD);
    int signal = launch->wait_s > 0 ? sigtimedwait(&heeded, NULL, &time) : -1;
    if (signal < 0) return true;
    launched->signal = signal;
    snprintf(launched->how, sizeof launched->how, "nothing: it was not started");
    return false;
}

/*
 * That of a child, and those that stop a try, but for one that is ignored: whoever started this
 * program wants it so, as nohup does with SIGHUP. While blocked, it would come all the same.
 */
static void choose_signals(sigset_t *heeded)
{
    static const int stops[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction now;
    sigemptyset(heeded);
    sigaddset(heeded, SIGCHLD);
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++)
        if (sigaction(stops[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            sigaddset(heeded, stops[i]);
}

int tg_launcher_try(const struct tg_launcher *launch, struct tg_launched *launched,
                    struct tg_error *err)
{
    const struct timespec nap = {.tv_nsec = 200000000};
    sigset_t heeded, before;
    int status;
    struct watch w = {.launch = launch};
    *launched = (struct tg_launched){.mark = TG_MARK_NONE, .status = -1};
    FILE *f = fopen(launch->mark, "w"); /* what an earlier try left is not this one's */
    if (!f) return tg_fail(err, "cannot write '%s': %s", launch->mark, strerror(errno));
    fclose(f);
    choose_signals(&heeded);
    sigprocmask(SIG_BLOCK, &heeded, &before);
    if (!wait_before(launch, heeded, launched)) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        return 0;
    }
    w.begun_s = tg_now();
    int rc = start(launch, &w.pid, err);
    while (rc == 0 && waitpid(w.pid, &status, WNOHANG) == 0) {
        int signal = sigtimedwait(&heeded, NULL, &nap);
        if (signal > 0 && signal != SIGCHLD) {
            if (!launched->signal) launched->signal = signal;
            ask_to_end(&w, signal);
        }
        look(&w, tg_launcher_read_mark(launch->mark));
    }
    if (rc == 0) {
        end_session(w.pid, launch->kill_s);
        launched->mark = tg_launcher_read_mark(launch->mark);
        tell_end(&w, status, launched);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return rc;
}
