/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/unrest.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "worker/host.h"

static bool is_own(int core, const int *cores, int count)
{
    for (int i = 0; i < count; i++)
        if (cores[i] == core) return true;
    return false;
}

/* The eighth number behind "cpu" (all cores) and behind "cpu3" is what was stolen, in ticks. */
static void read_steal(const char *root, const int *cores, int count, struct tg_unrest *look)
{
    char line[4096];
    const double tick_s = 1 / (double)sysconf(_SC_CLK_TCK);
    snprintf(line, sizeof line, "%s/proc/stat", root);
    FILE *f = fopen(line, "r");
    while (f && fgets(line, sizeof line, f) && strncmp(line, "cpu", 3) == 0) {
        char *at;
        bool is_all = line[3] == ' ';
        int core = (int)strtol(line + 3, &at, 10);
        unsigned long long ticks = 0;
        if (is_all) at = line + 3;
        for (int i = 0; i < 8 && at; i++) {
            char *end;
            ticks = strtoull(at, &end, 10);
            at = end == at ? NULL : end;
        }
        if (!at) break;
        if (is_all)
            look->steal_s = (double)ticks * tick_s;
        else if (is_own(core, cores, count))
            look->own_steal_s = (isnan(look->own_steal_s) ? 0 : look->own_steal_s) +
                                (double)ticks * tick_s;
    }
    if (f) fclose(f);
}

/* Seconds in which some process waited: "some avg10=0.00 avg60=0.00 avg300=0.00 total=12", in us.
 */
static double read_wait(const char *root, const char *path)
{
    char line[256];
    unsigned long long microseconds;
    const char *some = tg_host_line_of(root, path, "some ", line, sizeof line);
    const char *total = some ? strstr(some, " total=") : NULL;
    if (!total || sscanf(total, " total=%llu", &microseconds) != 1) return NAN;
    return (double)microseconds * 1e-6;
}

static int64_t read_throttles(const char *root, const int *cores, int count)
{
    int64_t sum = -1;
    for (int i = 0; i < count; i++) {
        char path[128];
        snprintf(path, sizeof path,
                 "/sys/devices/system/cpu/cpu%d/thermal_throttle/core_throttle_count", cores[i]);
        const double times = tg_host_number(root, path);
        if (!isnan(times)) sum = (sum < 0 ? 0 : sum) + (int64_t)times;
    }
    return sum;
}

void tg_unrest_look(const char *root, const int *cores, int count, struct tg_unrest *look)
{
    *look = (struct tg_unrest){.at_s = tg_now(), .steal_s = NAN, .own_steal_s = NAN};
    read_steal(root, cores, count, look);
    look->cpu_wait_s = read_wait(root, "/proc/pressure/cpu");
    look->memory_wait_s = read_wait(root, "/proc/pressure/memory");
    look->io_wait_s = read_wait(root, "/proc/pressure/io");
    look->throttles = read_throttles(root, cores, count);
}

/* A counter that went back was begun anew: nothing is known. */
static double passed(double before, double after)
{
    return after >= before ? after - before : NAN;
}

void tg_unrest_between(const struct tg_unrest *before, const struct tg_unrest *after,
                       struct tg_facts *facts)
{
    facts->sampled_s = passed(before->at_s, after->at_s);
    facts->steal_s = passed(before->steal_s, after->steal_s);
    facts->own_steal_s = passed(before->own_steal_s, after->own_steal_s);
    facts->cpu_wait_s = passed(before->cpu_wait_s, after->cpu_wait_s);
    facts->memory_wait_s = passed(before->memory_wait_s, after->memory_wait_s);
    facts->io_wait_s = passed(before->io_wait_s, after->io_wait_s);
    bool is_known = before->throttles >= 0 && after->throttles >= before->throttles;
    facts->core_throttles = is_known ? after->throttles - before->throttles : -1;
}
