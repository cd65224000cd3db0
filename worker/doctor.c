/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/doctor.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/gpu.h"
#include "worker/host.h"

#define CORES_MOST 4096
#define LINE_SIZE  4096

/* Who is looked at. */
struct patient {
    const char *root;
    const struct tg_gpu_list *gpus;
    bool online[CORES_MOST], own[CORES_MOST]; /* cores that run; those of this process */
    int online_count, own_count;
};

/* Each look writes what it sees, and returns the number that is held against the table's; NAN if it
 * cannot be known. */
typedef double (*look_fn)(const struct patient *patient, char *seen, size_t size);

static double say(double number, char *seen, size_t size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static double say(double number, char *seen, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(seen, size, format, arguments);
    va_end(arguments);
    return number;
}

/* Marks the cores of a list as "0-3,8"; returns how many there are. */
static int mark(const char *list, bool cores[CORES_MOST])
{
    int count = 0;
    while (list && *list) {
        char *end;
        long first = strtol(list, &end, 10), last = first;
        if (end == list) break;
        if (*end == '-') last = strtol(end + 1, &end, 10);
        for (long i = first; i <= last && i >= 0 && i < CORES_MOST; i++) {
            count += !cores[i];
            cores[i] = true;
        }
        list = end + (*end == ',');
    }
    return count;
}

static double look_governor(const struct patient *p, char *seen, size_t size)
{
    char path[128], line[64], odd[64] = "";
    int known = 0, others = 0;
    for (int i = 0; i < CORES_MOST; i++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", i);
        if (!p->own[i] || !tg_host_line(p->root, path, line, sizeof line)) continue;
        known++;
        if (strcmp(line, "performance") == 0) continue;
        others++;
        memcpy(odd, line, sizeof odd);
    }
    if (known == 0) return say(NAN, seen, size, "no core has one that can be read");
    if (others == 0) return say(0, seen, size, "performance on %d cores", known);
    return say(others, seen, size, "%s on %d of %d cores", odd, others, known);
}

static double look_turbo(const struct patient *p, char *seen, size_t size)
{
    struct tg_hardware hardware;
    tg_host_hardware(p->root, &hardware);
    bool is_known = strcmp(hardware.turbo, "unknown") != 0;
    return say(is_known ? strcmp(hardware.turbo, "on") == 0 : NAN, seen, size, "%s",
               hardware.turbo);
}

static double look_throttling(const struct patient *p, char *seen, size_t size)
{
    double sum = NAN;
    for (int i = 0; i < CORES_MOST; i++) {
        char path[128];
        snprintf(path, sizeof path,
                 "/sys/devices/system/cpu/cpu%d/thermal_throttle/core_throttle_count", i);
        double times = p->own[i] ? tg_host_number(p->root, path) : NAN;
        if (!isnan(times)) sum = (isnan(sum) ? 0 : sum) + times;
    }
    if (isnan(sum)) return say(NAN, seen, size, "no core counts it");
    return say(sum, seen, size, "%.0f times on all cores together", sum);
}

static double look_smt(const struct patient *p, char *seen, size_t size)
{
    double is_active = tg_host_number(p->root, "/sys/devices/system/cpu/smt/active");
    return say(is_active, seen, size, "%s",
               isnan(is_active) ? "nothing says"
               : is_active > 0  ? "on"
                                : "off");
}

/* The quota of a cgroup in cores, INFINITY without one, NAN if there is no such file. */
static double quota_of(const char *root, const char *path, bool is_unified)
{
    char file[LINE_SIZE + 64], line[128];
    double quota, period;
    snprintf(file, sizeof file, "/sys/fs/cgroup%s/cpu.max", path);
    if (is_unified && tg_host_line(root, file, line, sizeof line))
        return sscanf(line, "%lf %lf", &quota, &period) == 2 ? quota / period : INFINITY;
    if (is_unified) return NAN;
    snprintf(file, sizeof file, "/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", path);
    quota = tg_host_number(root, file);
    snprintf(file, sizeof file, "/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", path);
    period = tg_host_number(root, file);
    if (isnan(quota) || isnan(period)) return NAN;
    return quota > 0 ? quota / period : INFINITY;
}

static double look_quota(const struct patient *p, char *seen, size_t size)
{
    double least = tg_host_cgroup_least(p->root, "cpu", quota_of);
    if (isnan(least)) return say(NAN, seen, size, "no cgroup says");
    if (isinf(least)) return say(0, seen, size, "none");
    return say(1, seen, size, "the time of %.3g cores", least);
}

static double look_cpuset(const struct patient *p, char *seen, size_t size)
{
    if (p->own_count == 0 || p->online_count == 0)
        return say(NAN, seen, size, "the cores are not known");
    int missing = 0;
    for (int i = 0; i < CORES_MOST; i++) missing += p->online[i] && !p->own[i];
    return say(missing, seen, size, "%d of %d are this process's", p->online_count - missing,
               p->online_count);
}

static double look_cores(const struct patient *p, char *seen, size_t size)
{
    int count = p->own_count ? p->own_count : p->online_count;
    if (count == 0) return say(NAN, seen, size, "the cores are not known");
    return say(count < 2, seen, size, "%d", count);
}

static double look_load(const struct patient *p, char *seen, size_t size)
{
    double load = tg_host_number(p->root, "/proc/loadavg");
    if (isnan(load)) return say(NAN, seen, size, "nothing says");
    return say(load, seen, size, "%.2f", load);
}

static double look_steal(const struct patient *p, char *seen, size_t size)
{
    char line[512];
    unsigned long long t[8];
    const char *ticks = tg_host_line_of(p->root, "/proc/stat", "cpu ", line, sizeof line);
    if (!ticks || sscanf(ticks, "%llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2],
                         &t[3], &t[4], &t[5], &t[6], &t[7]) != 8)
        return say(NAN, seen, size, "nothing says");
    double all = 0;
    for (int i = 0; i < 8; i++) all += (double)t[i];
    double percent = all > 0 ? 100 * (double)t[7] / all : 0;
    return say(percent, seen, size, "%.2f %%", percent);
}

/* "some avg10=0.00 avg60=1.25 avg300=0.00 total=12" */
static double pressure(const struct patient *p, const char *path, char *seen, size_t size)
{
    char line[256];
    double percent;
    const char *some = tg_host_line_of(p->root, path, "some ", line, sizeof line);
    const char *minute = some ? strstr(some, "avg60=") : NULL;
    if (!minute || sscanf(minute, "avg60=%lf", &percent) != 1)
        return say(NAN, seen, size, "nothing says");
    return say(percent, seen, size, "%.2f %%", percent);
}

static double look_cpu_pressure(const struct patient *p, char *seen, size_t size)
{
    return pressure(p, "/proc/pressure/cpu", seen, size);
}

static double look_memory_pressure(const struct patient *p, char *seen, size_t size)
{
    return pressure(p, "/proc/pressure/memory", seen, size);
}

static double look_io_pressure(const struct patient *p, char *seen, size_t size)
{
    return pressure(p, "/proc/pressure/io", seen, size);
}

static double look_swap(const struct patient *p, char *seen, size_t size)
{
    char line[256];
    double kilobytes[2];
    static const char *const words[] = {"SwapTotal:", "SwapFree:"};
    for (int i = 0; i < 2; i++) {
        const char *text = tg_host_line_of(p->root, "/proc/meminfo", words[i], line, sizeof line);
        if (!text) return say(NAN, seen, size, "nothing says");
        kilobytes[i] = strtod(text, NULL);
    }
    return say(kilobytes[0] - kilobytes[1], seen, size, "%.0f of %.0f MiB are used",
               (kilobytes[0] - kilobytes[1]) / 1024, kilobytes[0] / 1024);
}

static double look_huge_pages(const struct patient *p, char *seen, size_t size)
{
    char line[128];
    if (!tg_host_line(p->root, "/sys/kernel/mm/transparent_hugepage/enabled", line, sizeof line))
        return say(NAN, seen, size, "nothing says");
    char *word = strchr(line, '[');
    char *end = word ? strchr(word, ']') : NULL;
    if (!end) return say(NAN, seen, size, "nothing says");
    *end = 0;
    return say(strcmp(word + 1, "always") == 0, seen, size, "%s", word + 1);
}

static double look_numa_balancing(const struct patient *p, char *seen, size_t size)
{
    struct tg_hardware hardware;
    double is_on = tg_host_number(p->root, "/proc/sys/kernel/numa_balancing");
    tg_host_hardware(p->root, &hardware);
    if (isnan(is_on)) return say(NAN, seen, size, "nothing says");
    if (hardware.domains == 1) return say(0, seen, size, "there is one memory domain");
    return say(is_on, seen, size, "%s", is_on > 0 ? "on" : "off");
}

/* How many GPUs have something of the kind asked for; NAN if none says. */
static double count_gpus(const struct patient *p, double (*ask)(const struct tg_gpu *), char *seen,
                         size_t size)
{
    double sum = NAN;
    size_t known = 0;
    for (size_t i = 0; i < p->gpus->count; i++) {
        double number = ask(&p->gpus->gpus[i]);
        if (isnan(number)) continue;
        sum = (isnan(sum) ? 0 : sum) + number;
        known++;
    }
    if (p->gpus->count == 0) return say(NAN, seen, size, "%.*s", 150, p->gpus->reason);
    if (known == 0) return say(NAN, seen, size, "no GPU says");
    return say(sum, seen, size, "%.0f on %zu GPUs", sum, known);
}

static double ask_processes(const struct tg_gpu *gpu)
{
    return gpu->processes >= 0 ? (double)gpu->processes : NAN;
}

static double ask_throttle(const struct tg_gpu *gpu)
{
    const int64_t held = TG_GPU_HARDWARE | TG_GPU_HEAT | TG_GPU_HARDWARE_HEAT | TG_GPU_POWER_BRAKE;
    return gpu->throttle >= 0 ? (gpu->throttle & held) != 0 : NAN;
}

static double ask_persistence(const struct tg_gpu *gpu)
{
    return strcmp(gpu->persistence, "unknown") == 0 ? NAN : strcmp(gpu->persistence, "on") != 0;
}

static double ask_mode(const struct tg_gpu *gpu)
{
    return strcmp(gpu->compute_mode, "unknown") == 0 ? NAN
                                                     : strcmp(gpu->compute_mode, "default") != 0;
}

static double look_gpu_processes(const struct patient *p, char *seen, size_t size)
{
    return count_gpus(p, ask_processes, seen, size);
}

static double look_gpu_throttling(const struct patient *p, char *seen, size_t size)
{
    return count_gpus(p, ask_throttle, seen, size);
}

static double look_gpu_persistence(const struct patient *p, char *seen, size_t size)
{
    return count_gpus(p, ask_persistence, seen, size);
}

static double look_gpu_mode(const struct patient *p, char *seen, size_t size)
{
    return count_gpus(p, ask_mode, seen, size);
}

static const struct {
    const char *name;
    double over;
    const char *what, *advice;
    look_fn look;
} table[] = {
#define AILMENT(name, over, what, advice) {#name, over, what, advice, look_##name},
#include "worker/ailments.def"
#undef AILMENT
};

size_t tg_doctor_count(void)
{
    return sizeof table / sizeof *table;
}

void tg_doctor_look(const char *root, const struct tg_gpu_list *gpus, struct tg_ailment *ailments)
{
    char line[LINE_SIZE];
    static struct patient p;
    p = (struct patient){.root = root, .gpus = gpus};
    if (tg_host_line(root, "/sys/devices/system/cpu/online", line, sizeof line))
        p.online_count = mark(line, p.online);
    const char *own = tg_host_line_of(root, "/proc/self/status", "Cpus_allowed_list:", line,
                                      sizeof line);
    if (own) p.own_count = mark(own + strspn(own, " \t"), p.own);
    if (p.own_count == 0) memcpy(p.own, p.online, sizeof p.own);
    for (size_t i = 0; i < tg_doctor_count(); i++) {
        struct tg_ailment *a = &ailments[i];
        *a = (struct tg_ailment){table[i].name, table[i].what, table[i].advice, TG_AILMENT_FINE,
                                 ""};
        double number = table[i].look(&p, a->seen, sizeof a->seen);
        if (isnan(number))
            a->state = TG_AILMENT_UNKNOWN;
        else if (number > table[i].over)
            a->state = TG_AILMENT_FOUND;
    }
}

const char *tg_doctor_word(enum tg_ailment_state state)
{
    static const char *const words[] = {"fine", "found", "unknown"};
    return words[state];
}
