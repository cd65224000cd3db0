/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_BASE_CLOCK_H
#define TG_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* The host's monotonic clock, which no one sets. */

/* Nanoseconds since some moment before this machine's boot. */
static inline int64_t tg_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The same in seconds. */
static inline double tg_now(void)
{
    return (double)tg_now_ns() * 1e-9;
}

#endif
