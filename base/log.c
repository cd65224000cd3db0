/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static int log_rank = -1;
static enum tg_level log_most = TG_INFO;

void tg_log_open(int rank, enum tg_level most)
{
    log_rank = rank;
    log_most = most;
}

void tg_log(enum tg_level level, const char *format, ...)
{
    static const char *const names[] = {"error", "warning", "info"};
    if (level > log_most) return;

    char line[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127) *p = '?';
    if (log_rank > 0)
        fprintf(stderr, "tritgate[%d]: %s: %s\n", log_rank, names[level], line);
    else if (level == TG_INFO)
        fprintf(stderr, "tritgate: %s\n", line);
    else
        fprintf(stderr, "tritgate: %s: %s\n", names[level], line);
}
