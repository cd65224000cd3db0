/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/gpu.h"

#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/host.h"

/*
 * NVML's published interface, as far as it is used here: names, numbers and layouts of its API
 * Reference Guide. Most of it is younger than some driver: what a driver lacks stays unknown.
 */
enum { FINE = 0, NOT_SUPPORTED = 3, NO_PERMISSION = 4, TOO_SMALL = 7, NOT_LOADED = 9 };
enum { CLOCK_SM = 1, CLOCK_MEMORY = 2 };
enum { SENSOR_GPU = 0 };
enum { HELD_BY_POWER = 0, HELD_BY_HEAT = 1 };
enum { MIG_ON = 1 };
enum { MODE_DEFAULT = 0, MODE_PROHIBITED = 2 };

struct device; /* NVML's own */

struct address {
    char legacy[16];
    unsigned domain, bus, device, identity, subsystem;
    char text[32];
};

struct memory {
    unsigned long long total, free, used;
};

struct held {
    unsigned long long reference, time_ns;
};

struct library {
    int (*start)(void);
    int (*count)(unsigned *);
    int (*by_index)(unsigned, struct device **);
    int (*by_uuid)(const char *, struct device **);
    int (*uuid)(struct device *, char *, unsigned);
    const char *(*error)(int);
    int (*driver)(char *, unsigned);
    int (*name)(struct device *, char *, unsigned);
    int (*address)(struct device *, struct address *);
    int (*memory)(struct device *, struct memory *);
    int (*capability)(struct device *, int *, int *);
    int (*clock_most)(struct device *, int, unsigned *);
    int (*power_limit)(struct device *, unsigned *);
    int (*power)(struct device *, unsigned *);
    int (*ecc)(struct device *, int *, int *);
    int (*mig)(struct device *, unsigned *, unsigned *);
    int (*mig_most)(struct device *, unsigned *);
    int (*mig_at)(struct device *, unsigned, struct device **);
    int (*mig_parent)(struct device *, struct device **);
    int (*mode)(struct device *, int *);
    int (*reasons)(struct device *, unsigned long long *);
    int (*persistence)(struct device *, int *);
    int (*processes)(struct device *, unsigned *, void *);
    int (*temperature)(struct device *, int, unsigned *);
    int (*held)(struct device *, int, struct held *);
};

/* The first rows, up to the uuid, must be there. A later row of the same member is its old name. */
#define ROW(member, name)                                                                          \
    {                                                                                              \
        offsetof(struct library, member), name                                                     \
    }
static const struct {
    size_t offset;
    const char *name;
} functions[] = {ROW(start, "nvmlInit_v2"),
                 ROW(count, "nvmlDeviceGetCount_v2"),
                 ROW(by_index, "nvmlDeviceGetHandleByIndex_v2"),
                 ROW(by_uuid, "nvmlDeviceGetHandleByUUID"),
                 ROW(uuid, "nvmlDeviceGetUUID"),
                 ROW(error, "nvmlErrorString"),
                 ROW(driver, "nvmlSystemGetDriverVersion"),
                 ROW(name, "nvmlDeviceGetName"),
                 ROW(address, "nvmlDeviceGetPciInfo_v3"),
                 ROW(address, "nvmlDeviceGetPciInfo_v2"),
                 ROW(memory, "nvmlDeviceGetMemoryInfo"),
                 ROW(capability, "nvmlDeviceGetCudaComputeCapability"),
                 ROW(clock_most, "nvmlDeviceGetMaxClockInfo"),
                 ROW(power_limit, "nvmlDeviceGetEnforcedPowerLimit"),
                 ROW(power_limit, "nvmlDeviceGetPowerManagementLimit"),
                 ROW(power, "nvmlDeviceGetPowerUsage"),
                 ROW(ecc, "nvmlDeviceGetEccMode"),
                 ROW(mig, "nvmlDeviceGetMigMode"),
                 ROW(mig_most, "nvmlDeviceGetMaxMigDeviceCount"),
                 ROW(mig_at, "nvmlDeviceGetMigDeviceHandleByIndex"),
                 ROW(mig_parent, "nvmlDeviceGetDeviceHandleFromMigDeviceHandle"),
                 ROW(mode, "nvmlDeviceGetComputeMode"),
                 ROW(reasons, "nvmlDeviceGetCurrentClocksEventReasons"),
                 ROW(reasons, "nvmlDeviceGetCurrentClocksThrottleReasons"),
                 ROW(persistence, "nvmlDeviceGetPersistenceMode"),
                 ROW(processes, "nvmlDeviceGetComputeRunningProcesses_v3"),
                 ROW(processes, "nvmlDeviceGetComputeRunningProcesses_v2"),
                 ROW(temperature, "nvmlDeviceGetTemperature"),
                 ROW(held, "nvmlDeviceGetViolationStatus")};
#undef ROW

/* The library of this process, once it was opened and started. */
static struct library library;
static bool is_open;

static const char *said(int code)
{
    static char number[32];
    if (library.error) return library.error(code);
    snprintf(number, sizeof number, "error %d", code);
    return number;
}

static int open_library(struct tg_error *err)
{
    if (is_open) return 0;
    void *handle = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!handle) return tg_fail(err, "no NVIDIA driver: %s", dlerror());
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        char *member = (char *)&library + functions[i].offset;
        void *before, *found = dlsym(handle, functions[i].name);
        memcpy(&before, member, sizeof before);
        if (!before) memcpy(member, &found, sizeof found);
        if (!found && functions[i].offset <= offsetof(struct library, uuid))
            return tg_fail(err, "the NVIDIA driver is too old: it has no '%s'", functions[i].name);
    }
    int code = library.start();
    if (code == NOT_LOADED) return tg_fail(err, "the NVIDIA driver is not loaded");
    if (code != FINE) return tg_fail(err, "the NVIDIA driver does not answer: %s", said(code));
    is_open = true;
    return 0;
}

static void set(char *to, const char *text)
{
    snprintf(to, TG_TEXT_SIZE, "%s", text);
}

/* What disturbs what will run on a GPU. */
static void read_unrest(struct device *device, struct tg_gpu *gpu)
{
    unsigned count = 0;
    unsigned long long reasons;
    int is_on;
    if (library.persistence && library.persistence(device, &is_on) == FINE)
        set(gpu->persistence, is_on ? "on" : "off");
    /* Without room for them, it says how many there are. */
    int code = library.processes ? library.processes(device, &count, NULL) : NOT_SUPPORTED;
    if (code == FINE || code == TOO_SMALL) gpu->processes = count;
    if (library.reasons && library.reasons(device, &reasons) == FINE)
        gpu->throttle = (int64_t)reasons;
}

/* What is the same for a GPU and its instances. */
static void read_whole(struct device *device, struct tg_gpu *gpu)
{
    unsigned number, pending;
    int one, other;
    struct address address = {{0}};
    if (library.address && library.address(device, &address) == FINE) {
        snprintf(gpu->pci, sizeof gpu->pci, "%04x:%02x:%02x.0", address.domain, address.bus,
                 address.device);
        tg_gpu_locate("", gpu);
    }
    if (library.driver) {
        char driver[TG_TEXT_SIZE];
        if (library.driver(driver, sizeof driver) == FINE) tg_host_to_name(gpu->driver, driver);
    }
    if (library.clock_most && library.clock_most(device, CLOCK_MEMORY, &number) == FINE)
        gpu->memory_clock_hz = number * INT64_C(1000000);
    if (library.clock_most && library.clock_most(device, CLOCK_SM, &number) == FINE)
        gpu->sm_clock_hz = number * INT64_C(1000000);
    if (library.power_limit && library.power_limit(device, &number) == FINE)
        gpu->power_limit_w = number / 1000.0;
    int code = library.ecc ? library.ecc(device, &one, &other) : NO_PERMISSION;
    if (code == FINE || code == NOT_SUPPORTED)
        set(gpu->ecc, code == NOT_SUPPORTED ? "none" : one ? "on" : "off");
    if (library.mode && library.mode(device, &one) == FINE)
        set(gpu->compute_mode, one == MODE_DEFAULT      ? "default"
                               : one == MODE_PROHIBITED ? "prohibited"
                                                        : "exclusive");
    read_unrest(device, gpu);
    code = library.mig ? library.mig(device, &number, &pending) : NOT_SUPPORTED;
    if (code == FINE || code == NOT_SUPPORTED)
        set(gpu->mig, code == FINE && number == MIG_ON ? "on" : "off");
}

/* What an instance has for itself. False if it has no uuid. */
static bool read_own(struct device *device, struct tg_gpu *gpu)
{
    char text[TG_TEXT_SIZE];
    struct memory memory;
    int major, minor;
    if (library.uuid(device, text, sizeof text) != FINE) return false;
    tg_host_to_name(gpu->uuid, text);
    if (library.name && library.name(device, text, sizeof text) == FINE)
        tg_host_to_name(gpu->name, text);
    if (library.memory && library.memory(device, &memory) == FINE) {
        gpu->memory_bytes = (int64_t)memory.total;
        gpu->free_bytes = (int64_t)memory.free;
    }
    if (library.capability && library.capability(device, &major, &minor) == FINE)
        snprintf(gpu->capability, sizeof gpu->capability, "%d.%d", major, minor);
    return true;
}

/* Adds the instances of a divided GPU. */
static void add_instances(struct device *device, const struct tg_gpu *gpu, struct tg_gpu_list *list)
{
    unsigned most = 0;
    if (!library.mig_most || !library.mig_at || library.mig_most(device, &most) != FINE) return;
    for (unsigned i = 0; i < most && list->count < TG_GPU_MOST; i++) {
        static const char mark[] = "_MIG_";
        struct device *part;
        struct tg_gpu *to = &list->gpus[list->count];
        *to = *gpu;
        if (library.mig_at(device, i, &part) != FINE || !read_own(part, to)) continue;
        memcpy(to->parent, gpu->uuid, sizeof to->parent);
        /* Its name is that of the GPU and its profile: "... MIG 1g.10gb". */
        char *profile = strstr(to->name, mark);
        set(to->mig, profile ? profile + sizeof mark - 1 : "instance");
        memcpy(to->name, gpu->name, sizeof to->name);
        list->count++;
    }
}

static int by_address(const void *a, const void *b)
{
    const struct tg_gpu *one = a, *other = b;
    int order = strcmp(one->pci, other->pci);
    return order ? order : (int)(one->index - other->index);
}

/* Reads every GPU, in NVML's order. Returns the last failure. */
static int read_all(unsigned count, struct tg_gpu_list *list)
{
    int failure = FINE;
    for (unsigned i = 0; i < count && list->count < TG_GPU_MOST; i++) {
        struct device *device;
        struct tg_gpu *gpu = &list->gpus[list->count];
        tg_record_init(&tg_gpu_type, gpu);
        int code = library.by_index(i, &device);
        if (code != FINE) failure = code;
        if (code != FINE || !read_own(device, gpu)) continue;
        read_whole(device, gpu);
        gpu->index = (int64_t)list->count++;
    }
    return failure;
}

/* Puts GPUs in order, and the instances of a divided one in its place. */
static void divide(struct tg_gpu_list *list)
{
    struct tg_gpu_list whole = *list;
    qsort(whole.gpus, whole.count, sizeof *whole.gpus, by_address);
    list->count = 0;
    for (size_t i = 0; i < whole.count; i++) {
        struct device *device;
        struct tg_gpu *gpu = &whole.gpus[i];
        size_t before = list->count;
        gpu->index = (int64_t)i;
        if (strcmp(gpu->mig, "on") == 0 && library.by_uuid(gpu->uuid, &device) == FINE)
            add_instances(device, gpu, list);
        if (list->count == before && list->count < TG_GPU_MOST) list->gpus[list->count++] = *gpu;
    }
}

void tg_gpu_read(struct tg_gpu_list *list)
{
    unsigned count = 0;
    struct tg_error why;
    memset(list, 0, sizeof *list);
    if (open_library(&why) < 0) {
        tg_gpu_list_none(list, "%s", why.text);
        return;
    }
    int code = library.count(&count);
    int failure = code == FINE ? read_all(count, list) : code;
    if (list->count == 0 && failure == NO_PERMISSION)
        tg_gpu_list_none(list, "no GPU of this node may be used by this process");
    else if (list->count == 0 && failure != FINE)
        tg_gpu_list_none(list, "the NVIDIA driver does not answer: %s", said(failure));
    else if (list->count == 0)
        tg_gpu_list_none(list, "the NVIDIA driver has no GPU");
    else
        divide(list);
}

static double held_by(struct device *device, int what)
{
    struct held held;
    if (!library.held || library.held(device, what, &held) != FINE) return NAN;
    return (double)held.time_ns * 1e-9;
}

int tg_gpu_look(const char *uuid, struct tg_gpu_look *look, struct tg_error *err)
{
    struct device *device, *whole;
    unsigned number;
    unsigned long long mask;
    if (open_library(err) < 0) return -1;
    int code = library.by_uuid(uuid, &device);
    if (code != FINE) return tg_fail(err, "cannot look at GPU '%s': %s", uuid, said(code));
    if (!library.mig_parent || library.mig_parent(device, &whole) != FINE) whole = device;
    *look = (struct tg_gpu_look){.throttle = -1,
                                 .power_held_s = held_by(whole, HELD_BY_POWER),
                                 .heat_held_s = held_by(whole, HELD_BY_HEAT),
                                 .temperature_c = NAN,
                                 .power_w = NAN};
    if (library.reasons && library.reasons(whole, &mask) == FINE) look->throttle = (int64_t)mask;
    if (library.temperature && library.temperature(whole, SENSOR_GPU, &number) == FINE)
        look->temperature_c = number;
    if (library.power && library.power(whole, &number) == FINE) look->power_w = number / 1000.0;
    return 0;
}

int64_t tg_gpu_throttle(const struct tg_gpu_look *before, const struct tg_gpu_look *after)
{
    int64_t mask = -1;
    if (before->throttle >= 0) mask = before->throttle;
    if (after->throttle >= 0) mask = (mask < 0 ? 0 : mask) | after->throttle;
    if (after->power_held_s > before->power_held_s) mask = (mask < 0 ? 0 : mask) | TG_GPU_POWER_CAP;
    if (after->heat_held_s > before->heat_held_s) mask = (mask < 0 ? 0 : mask) | TG_GPU_HEAT;
    return mask;
}

char *tg_gpu_throttle_text(int64_t mask, char *out, size_t size)
{
    static const struct {
        int64_t bit;
        const char *name;
    } rows[] = {{TG_GPU_IDLE, "idle"},
                {TG_GPU_CLOCKS_SET, "clocks_set"},
                {TG_GPU_POWER_CAP, "power_cap"},
                {TG_GPU_HARDWARE, "hardware"},
                {TG_GPU_SYNC_BOOST, "sync_boost"},
                {TG_GPU_HEAT, "heat"},
                {TG_GPU_HARDWARE_HEAT, "hardware_heat"},
                {TG_GPU_POWER_BRAKE, "power_brake"},
                {TG_GPU_DISPLAY, "display"}};
    size_t used = 0;
    snprintf(out, size, "%s", mask < 0 ? "unknown" : "none");
    for (size_t i = 0; mask > 0 && i < sizeof rows / sizeof *rows; i++) {
        if (!(mask & rows[i].bit) || used >= size) continue;
        used += (size_t)snprintf(out + used, size - used, "%s%s", used ? "," : "", rows[i].name);
        mask &= ~rows[i].bit;
    }
    if (mask > 0 && used < size) snprintf(out + used, size - used, "%sother", used ? "," : "");
    return out;
}

const char *tg_gpu_own(void)
{
    const char *own = getenv("CUDA_VISIBLE_DEVICES");
    bool is_uuid = own && (strncmp(own, "GPU-", 4) == 0 || strncmp(own, "MIG-", 4) == 0);
    return is_uuid && !strchr(own, ',') ? own : "";
}

void tg_gpu_locate(const char *root, struct tg_gpu *gpu)
{
    static const char *const names[] = {"numa_node", "local_cpulist"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[256], line[4096], *end;
        snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/%s", gpu->pci, names[i]);
        if (!tg_host_line(root, path, line, sizeof line)) continue;
        long node = strtol(line, &end, 10);
        if (i == 0 && end != line) gpu->numa = node < 0 ? -1 : node;
        if (i == 0 || !*line) continue;
        char *comma = line;
        while (comma && strlen(line) >= TG_TEXT_SIZE)
            if ((comma = strrchr(line, ','))) *comma = 0; /* a list, cut short */
        if (comma) set(gpu->cores, line);
    }
}
