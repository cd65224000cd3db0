/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

/*
 * A clock that somebody sets all the time, for tests, by LD_PRELOAD: each reading of the wall clock
 * in a process is an hour later than the one before, or earlier with TG_STEPPING=back. With
 * TG_STEPPING=all it is the monotonic clock that goes on so, which no run survives.
 */

#define STEP_S 3600

typedef int (*clock_fn)(clockid_t, struct timespec *);

static _Atomic long readings;

static int read_true(clockid_t clock, struct timespec *t)
{
    static _Atomic(clock_fn) found;
    clock_fn next = found;
    if (!next) {
        *(void **)&next = dlsym(RTLD_NEXT, "clock_gettime");
        found = next;
    }
    return next(clock, t);
}

static bool is_told(const char *manner)
{
    const char *told = getenv("TG_STEPPING");
    return told && strcmp(told, manner) == 0;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    bool is_wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    int rc = read_true(clock, t);
    if (is_wall || (clock == CLOCK_MONOTONIC && is_told("all")))
        t->tv_sec += is_told("back") ? -STEP_S * ++readings : STEP_S * ++readings;
    return rc;
}

time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out) *out = t.tv_sec;
    return t.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    *out = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
    return 0;
}
