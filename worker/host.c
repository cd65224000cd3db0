/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/host.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void tg_host_to_name(char *name, const char *text)
{
    size_t used = 0;
    for (; *text && used < TG_TEXT_SIZE - 1; text++)
        name[used++] = isgraph((unsigned char)*text) ? *text : '_';
    name[used] = 0;
}

void tg_host_name(char *name)
{
    char text[256];
    const char *slurm = getenv("SLURMD_NODENAME");
    if (slurm && *slurm)
        tg_host_to_name(name, slurm);
    else if (gethostname(text, sizeof text) == 0 && *text)
        tg_host_to_name(name, text);
    else
        tg_host_to_name(name, "unknown");
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
        if (strncmp(line, "model name", 10) == 0 && *value) tg_host_to_name(facts->cpu, value);
        if (strncmp(line, "flags", 5) != 0) continue;
        facts->virtualised = strstr(value, " hypervisor") != NULL;
        break;
    }
    fclose(f);
}

char *tg_host_line(const char *root, const char *path, char *line, int size)
{
    char whole[4096];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    FILE *f = fopen(whole, "r");
    char *got = f ? fgets(line, size, f) : NULL;
    if (f) fclose(f);
    if (got) got[strcspn(got, "\n")] = 0;
    return got;
}

char *tg_host_line_of(const char *root, const char *path, const char *word, char *line, int size)
{
    char whole[4096], *found = NULL;
    snprintf(whole, sizeof whole, "%s%s", root, path);
    FILE *f = fopen(whole, "r");
    while (f && !found && fgets(line, size, f))
        if (strncmp(line, word, strlen(word)) == 0) found = line + strlen(word);
    if (f) fclose(f);
    if (found) found[strcspn(found, "\n")] = 0;
    return found;
}

double tg_host_number(const char *root, const char *path)
{
    char line[4096], *end;
    if (!tg_host_line(root, path, line, sizeof line)) return NAN;
    double number = strtod(line, &end);
    return end == line ? NAN : number;
}

/* What a cgroup and those around it say. */
static double least_around(const char *root, char *path, bool is_unified,
                           double (*ask)(const char *root, const char *path, bool is_unified))
{
    double least = NAN;
    for (;;) {
        least = fmin(least, ask(root, path, is_unified));
        char *slash = strrchr(path, '/');
        if (!slash) return least;
        *slash = 0;
    }
}

double tg_host_cgroup_least(const char *root, const char *controller,
                            double (*ask)(const char *root, const char *path, bool is_unified))
{
    char line[4096], whole[4096];
    double least = fmin(ask(root, "", true), ask(root, "", false));
    snprintf(whole, sizeof whole, "%s/proc/self/cgroup", root);
    FILE *f = fopen(whole, "r");
    /* "0::/path" of version 2, "4:cpu,cpuacct:/path" of version 1. */
    while (f && fgets(line, sizeof line, f)) {
        char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        if (!path) continue;
        *path++ = 0;
        path[strcspn(path, "\n")] = 0;
        const bool is_unified = !names[1];
        if (is_unified || strstr(names, controller))
            least = fmin(least, least_around(root, path, is_unified, ask));
    }
    if (f) fclose(f);
    return least;
}

/* Leaves it as it is where nobody says. */
static void read_turbo(const char *root, char turbo[TG_TEXT_SIZE])
{
    char line[64];
    if (tg_host_line(root, "/sys/devices/system/cpu/intel_pstate/no_turbo", line, sizeof line))
        snprintf(turbo, TG_TEXT_SIZE, "%s", *line == '0' ? "on" : "off");
    else if (tg_host_line(root, "/sys/devices/system/cpu/cpufreq/boost", line, sizeof line))
        snprintf(turbo, TG_TEXT_SIZE, "%s", *line == '1' ? "on" : "off");
}

void tg_host_read(int core, struct tg_facts *facts)
{
    char path[128], line[256];
    struct tm utc;
    time_t now = time(NULL);
    read_cpu(facts);
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", core);
    if (tg_host_line("", path, line, sizeof line) && *line) tg_host_to_name(facts->governor, line);
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq", core);
    if (tg_host_line("", path, line, sizeof line) && strtod(line, NULL) > 0)
        facts->core_hz = 1000 * strtod(line, NULL);
    read_turbo("", facts->turbo);
    if (tg_host_line("", "/proc/loadavg", line, sizeof line)) facts->load = strtod(line, NULL);
    if (gmtime_r(&now, &utc)) strftime(facts->date, sizeof facts->date, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

/*
 * What a memory cgroup of version 2 or of version 1 leaves, NAN without a limit. Pages of files
 * count as used, but the kernel takes them back before it kills.
 */
static double cgroup_memory(const char *root, const char *path, bool is_unified)
{
    static const struct version {
        const char *folder, *limit, *used, *files[2];
    } unified = {"", "memory.max", "memory.current", {"inactive_file ", "active_file "}},
      first = {"/memory",
               "memory.limit_in_bytes",
               "memory.usage_in_bytes",
               {"total_inactive_file ", "total_active_file "}};
    const struct version *v = is_unified ? &unified : &first;
    char folder[4096 + 32], file[4096 + 64], line[128];
    snprintf(folder, sizeof folder, "/sys/fs/cgroup%s%s", v->folder, path);
    snprintf(file, sizeof file, "%s/%s", folder, v->limit);
    double limit = tg_host_number(root, file);
    snprintf(file, sizeof file, "%s/%s", folder, v->used);
    double used = tg_host_number(root, file);
    if (isnan(limit) || isnan(used)) return NAN;
    snprintf(file, sizeof file, "%s/memory.stat", folder);
    for (int i = 0; i < 2; i++) {
        const char *of_files = tg_host_line_of(root, file, v->files[i], line, sizeof line);
        if (of_files) used -= strtod(of_files, NULL);
    }
    return fmax(limit - fmax(used, 0), 0);
}

int64_t tg_host_memory(const char *root)
{
    char line[256];
    const char *kilobytes = tg_host_line_of(root, "/proc/meminfo", "MemAvailable:", line,
                                            sizeof line);
    double available = kilobytes ? 1024 * strtod(kilobytes, NULL) : NAN;
    available = fmin(available, tg_host_cgroup_least(root, "memory", cgroup_memory));
    return isnan(available) ? -1 : (int64_t)available;
}

void tg_host_process_memory(int64_t *held, int64_t *peak)
{
    char line[256];
    long long kilobytes;
    FILE *f = fopen("/proc/self/status", "r");
    *held = *peak = -1;
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "VmHWM: %lld kB", &kilobytes) == 1) *peak = kilobytes * 1024;
        if (sscanf(line, "RssAnon: %lld kB", &kilobytes) == 1) *held = kilobytes * 1024;
    }
    if (f) fclose(f);
}

/* How many numbers a list as "0-3,8" has; -1 if there is none. */
static int64_t list_count(const char *root, const char *path)
{
    char line[4096], *at = line;
    int64_t count = 0;
    if (!tg_host_line(root, path, line, sizeof line)) return -1;
    while (*at) {
        char *end;
        long first = strtol(at, &end, 10), last = first;
        if (end == at) break;
        if (*end == '-') last = strtol(end + 1, &end, 10);
        if (last >= first) count += last - first + 1;
        at = end + (*end == ',');
    }
    return count > 0 ? count : -1;
}

/* What /proc/cpuinfo says of the first processor, by the names of x86 and of Arm. */
static void read_processor(const char *root, struct tg_hardware *hardware)
{
    char variant[TG_TEXT_SIZE] = "";
    const struct {
        const char *name;
        char *field;
    } rows[] = {{"vendor_id", hardware->vendor},        {"CPU implementer", hardware->vendor},
                {"model name", hardware->cpu},          {"cpu family", hardware->family},
                {"CPU architecture", hardware->family}, {"model", hardware->model},
                {"CPU part", hardware->model},          {"stepping", hardware->stepping},
                {"CPU revision", hardware->stepping},   {"CPU variant", variant},
                {"microcode", hardware->microcode}};
    char line[4096];
    snprintf(line, sizeof line, "%s/proc/cpuinfo", root);
    FILE *f = fopen(line, "r");
    while (f && fgets(line, sizeof line, f) && *line != '\n') {
        char *value = strchr(line, ':');
        if (!value) continue;
        size_t length = (size_t)(value - line);
        while (length > 0 && isspace((unsigned char)line[length - 1])) length--;
        value += strspn(value, ": \t");
        value[strcspn(value, "\n")] = 0;
        if (strncmp(line, "flags", 5) == 0 && length == 5)
            snprintf(hardware->hypervisor, TG_TEXT_SIZE, "%s",
                     strstr(value, " hypervisor") ? "unnamed" : "none");
        for (size_t i = 0; i < sizeof rows / sizeof *rows && *value; i++)
            if (strlen(rows[i].name) == length && strncmp(line, rows[i].name, length) == 0)
                tg_host_to_name(rows[i].field, value);
    }
    if (f) fclose(f);
    size_t used = strlen(hardware->model);
    if (*variant) snprintf(hardware->model + used, TG_TEXT_SIZE - used, ".%s", variant);
}

/*
 * Counts processors by their numbers, which may have gaps, and cores by the first hardware thread
 * of each: not all need have as many.
 */
static void count_cores(const char *root, struct tg_hardware *hardware)
{
    char path[128], line[64];
    long packages[1024];
    int64_t online = list_count(root, "/sys/devices/system/cpu/online"), cores = 0, sockets = 0;
    for (int64_t i = 0, seen = 0; seen < online && i < 2 * online + 64; i++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%lld/topology/thread_siblings_list",
                 (long long)i);
        if (!tg_host_line(root, path, line, sizeof line)) continue;
        seen++;
        cores += strtol(line, NULL, 10) == i;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%lld/topology/physical_package_id",
                 (long long)i);
        if (!tg_host_line(root, path, line, sizeof line)) continue;
        long package = strtol(line, NULL, 10);
        int64_t k = 0;
        while (k < sockets && packages[k] != package) k++;
        if (k == sockets && package >= 0 && sockets < 1024) packages[sockets++] = package;
    }
    if (cores > 0) hardware->cores = cores;
    if (sockets > 0) hardware->sockets = sockets;
}

static void read_cores(const char *root, struct tg_hardware *hardware)
{
    char path[128], line[64];
    count_cores(root, hardware);
    hardware->threads = list_count(root,
                                   "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list");
    hardware->domains = list_count(root, "/sys/devices/system/node/has_cpu");
    for (int i = 0; i < 8; i++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        if (tg_host_line(root, path, line, sizeof line))
            hardware->cache_kib = strtol(line, NULL, 10) * (strchr(line, 'M') ? 1024 : 1);
    }
}

/*
 * Memory as sold: the kernel keeps some for itself, not always as much. Sizes are 2^k and 3*2^(k-1)
 * GiB, and what is seen is nearest to its own.
 */
static int64_t memory_class(const char *root)
{
    char line[256];
    const char *text = tg_host_line_of(root, "/proc/meminfo", "MemTotal:", line, sizeof line);
    const long long kilobytes = text ? strtoll(text, NULL, 10) : 0;
    if (kilobytes <= 0) return -1;
    int64_t best = 1;
    double gib = (double)kilobytes / (1 << 20);
    for (int k = 0; k < 20; k++) {
        const int64_t sizes[] = {INT64_C(1) << k, k > 0 ? INT64_C(3) << (k - 1) : 1};
        for (int i = 0; i < 2; i++)
            if (fabs(log(gib / (double)sizes[i])) < fabs(log(gib / (double)best))) best = sizes[i];
    }
    return best;
}

void tg_host_hardware(const char *root, struct tg_hardware *hardware)
{
    char line[256];
    int major, minor;
    tg_record_init(&tg_hardware_type, hardware);
    read_processor(root, hardware);
    read_cores(root, hardware);
    hardware->memory_gib = memory_class(root);
    if (tg_host_line(root, "/proc/sys/kernel/osrelease", line, sizeof line) &&
        sscanf(line, "%d.%d", &major, &minor) == 2)
        snprintf(hardware->kernel, sizeof hardware->kernel, "%d.%d", major, minor);
    if (tg_host_line(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", line,
                     sizeof line) &&
        *line)
        tg_host_to_name(hardware->governor, line);
    read_turbo(root, hardware->turbo);
    if (strcmp(hardware->hypervisor, "unnamed") == 0 &&
        tg_host_line(root, "/sys/class/dmi/id/sys_vendor", line, sizeof line) && *line)
        tg_host_to_name(hardware->hypervisor, line);
}
