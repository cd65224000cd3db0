/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/host.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Reads the first line of a file without its end. Returns line, or NULL. */
static char *first_line(const char *path, char *line, int size)
{
    FILE *f = fopen(path, "r");
    char *got = f ? fgets(line, size, f) : NULL;
    if (f) fclose(f);
    if (got) got[strcspn(got, "\n")] = 0;
    return got;
}

/* As a name: without blanks. */
static void to_name(char *to, const char *from)
{
    size_t used = 0;
    for (; *from && used < TG_TEXT_SIZE - 1; from++)
        to[used++] = isgraph((unsigned char)*from) ? *from : '_';
    to[used] = 0;
}

void tg_host_name(char *name)
{
    char text[256];
    const char *slurm = getenv("SLURMD_NODENAME");
    if (slurm && *slurm)
        to_name(name, slurm);
    else if (gethostname(text, sizeof text) == 0 && *text)
        to_name(name, text);
    else
        to_name(name, "unknown");
}

static void read_cpu(struct tg_facts *facts)
{
    char line[4096];
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (!f) return;
    while (fgets(line, sizeof line, f)) {
        char *value = strchr(line, ':');
        if (!value) continue;
        value += strspn(value, ": \t");
        value[strcspn(value, "\n")] = 0;
        if (strncmp(line, "model name", 10) == 0 && *value) to_name(facts->cpu, value);
        if (strncmp(line, "flags", 5) != 0) continue;
        facts->virtualised = strstr(value, " hypervisor") != NULL;
        break;
    }
    fclose(f);
}

void tg_host_read(int core, struct tg_facts *facts)
{
    char path[128], line[256];
    struct tm utc;
    time_t now = time(NULL);
    read_cpu(facts);
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", core);
    if (first_line(path, line, sizeof line) && *line) to_name(facts->governor, line);
    if (first_line("/proc/loadavg", line, sizeof line)) facts->load = strtod(line, NULL);
    if (gmtime_r(&now, &utc)) strftime(facts->date, sizeof facts->date, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

double tg_host_steal(void)
{
    char line[512];
    unsigned long long ticks[8];
    if (!first_line("/proc/stat", line, sizeof line)) return NAN;
    if (sscanf(line, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &ticks[0], &ticks[1], &ticks[2],
               &ticks[3], &ticks[4], &ticks[5], &ticks[6], &ticks[7]) != 8)
        return NAN;
    return (double)ticks[7] / (double)sysconf(_SC_CLK_TCK);
}

static int64_t number_in(const char *path)
{
    char line[64], *end;
    if (!first_line(path, line, sizeof line)) return -1;
    long long number = strtoll(line, &end, 10);
    return end == line ? -1 : number;
}

/* What a memory cgroup leaves: files of version 2 or of version 1, as seen from inside. */
static int64_t cgroup_memory(void)
{
    static const char *const files[][2] = {
        {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
        {"/sys/fs/cgroup/memory/memory.limit_in_bytes",
         "/sys/fs/cgroup/memory/memory.usage_in_bytes"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        int64_t limit = number_in(files[i][0]), used = number_in(files[i][1]);
        if (limit > 0 && used >= 0) return limit > used ? limit - used : 0;
    }
    return -1;
}

int64_t tg_host_memory(void)
{
    char line[256];
    long long kilobytes = -1;
    FILE *f = fopen("/proc/meminfo", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %lld kB", &kilobytes) == 1) break;
    if (f) fclose(f);
    int64_t available = kilobytes < 0 ? -1 : kilobytes * 1024, cgroup = cgroup_memory();
    if (available < 0 || (cgroup >= 0 && cgroup < available)) return cgroup;
    return available;
}
