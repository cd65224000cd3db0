/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for the driver's library (libnvidia-ml.so.1), with as much of its interface as
 * worker/gpu.c uses. What it has and how it behaves is told by TG_FAKE_NVML, words of "name=value":
 *
 *   gpus=N      GPUs (1), all of a kind; NVML's order is the reverse of the PCI addresses
 *   mig=N       instances of each (0); mig_on=1 divides them without an instance
 *   mode=N      compute mode (0)
 *   start=N     what the start answers (0); index=N what each GPU's handle answers
 *   denied=I    the I-th GPU may not be opened
 *   plain=1     none of the optional questions is supported
 *   throttle=N  mask of reasons (0)
 *   persistence=1, processes=N   as they say
 *   hang=1, crash=1   at the first question about a GPU
 *
 * Built a second time as an old driver's, with OLD_DRIVER: without what younger ones have added.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

#define MIB 1048576ULL

enum {
    FINE = 0,
    NOT_SUPPORTED = 3,
    NO_PERMISSION = 4,
    NOT_FOUND = 6,
    TOO_SMALL = 7,
    NOT_LOADED = 9
};

struct part {
    int gpu, instance; /* -1: the whole */
};

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

static struct part parts[64][9];

static int told(const char *name, int fallback)
{
    const char *text = getenv("TG_FAKE_NVML");
    size_t length = strlen(name);
    for (const char *at = text; at; at = strchr(at, ' '), at = at ? at + 1 : NULL)
        if (strncmp(at, name, length) == 0 && at[length] == '=')
            return (int)strtol(at + length + 1, NULL, 0);
    return fallback;
}

static struct part *part_of(int gpu, int instance)
{
    struct part *part = &parts[gpu][instance + 1];
    *part = (struct part){gpu, instance};
    return part;
}

static void write_uuid(const struct part *part, char *text, unsigned size)
{
    if (part->instance < 0)
        snprintf(text, size, "GPU-%d0000000-aaaa-bbbb-cccc-dddddddddddd", part->gpu);
    else
        snprintf(text, size, "MIG-%d%d000000-aaaa-bbbb-cccc-dddddddddddd", part->gpu,
                 part->instance);
}

int nvmlInit_v2(void)
{
    return told("start", FINE);
}

const char *nvmlErrorString(int code)
{
    return code == NOT_LOADED ? "Driver Not Loaded" : code == 15 ? "GPU is lost" : "Other";
}

int nvmlSystemGetDriverVersion(char *text, unsigned size)
{
    snprintf(text, size, "580.65.06");
    return FINE;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = (unsigned)told("gpus", 1);
    return FINE;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned i, struct part **part)
{
    if (told("crash", 0)) abort();
    while (told("hang", 0)) pause();
    if (told("denied", -1) == (int)i) return NO_PERMISSION;
    *part = part_of(told("gpus", 1) - 1 - (int)i, -1);
    return told("index", FINE);
}

int nvmlDeviceGetHandleByUUID(const char *uuid, struct part **part)
{
    for (int gpu = 0; gpu < told("gpus", 1); gpu++) {
        for (int instance = -1; instance < told("mig", 0); instance++) {
            char text[96];
            *part = part_of(gpu, instance);
            write_uuid(*part, text, sizeof text);
            if (strcmp(text, uuid) == 0) return FINE;
        }
    }
    return NOT_FOUND;
}

int nvmlDeviceGetUUID(struct part *part, char *text, unsigned size)
{
    write_uuid(part, text, size);
    return FINE;
}

int nvmlDeviceGetName(struct part *part, char *text, unsigned size)
{
    snprintf(text, size, "NVIDIA H100 80GB HBM3%s", part->instance < 0 ? "" : " MIG 1g.10gb");
    return FINE;
}

int nvmlDeviceGetPciInfo_v2(struct part *part, struct address *address)
{
    memset(address, 0, sizeof *address);
    address->bus = 0x1b + 0x20 * (unsigned)part->gpu;
    return FINE;
}

int nvmlDeviceGetMemoryInfo(struct part *part, struct memory *memory)
{
    memory->total = (part->instance < 0 ? 81559 : 9856) * MIB;
    memory->used = 512 * MIB;
    memory->free = memory->total - memory->used;
    return told("plain", 0) ? NOT_SUPPORTED : FINE;
}

int nvmlDeviceGetMaxClockInfo(struct part *part, int clock, unsigned *mhz)
{
    *mhz = clock == 1 ? 1980 : 2619;
    return told("plain", 0) || part->instance >= 0 ? NOT_SUPPORTED : FINE;
}

int nvmlDeviceGetPowerManagementLimit(struct part *part, unsigned *milliwatts)
{
    *milliwatts = 650000;
    return told("plain", 0) || part->instance >= 0 ? NOT_SUPPORTED : FINE;
}

int nvmlDeviceGetPowerUsage(struct part *part, unsigned *milliwatts)
{
    *milliwatts = 112345;
    return told("plain", 0) || part->instance >= 0 ? NOT_SUPPORTED : FINE;
}

int nvmlDeviceGetEccMode(struct part *part, int *now, int *pending)
{
    (void)part;
    *now = 1;
    *pending = 0;
    return told("plain", 0) ? NOT_SUPPORTED : FINE;
}

int nvmlDeviceGetComputeMode(struct part *part, int *mode)
{
    (void)part;
    *mode = told("mode", 0);
    return told("plain", 0) ? NOT_SUPPORTED : FINE;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(struct part *part, unsigned long long *mask)
{
    *mask = (unsigned long long)told("throttle", 0);
    return told("plain", 0) || part->instance >= 0 ? NOT_SUPPORTED : FINE;
}

int nvmlDeviceGetTemperature(struct part *part, int sensor, unsigned *celsius)
{
    *celsius = 41;
    return told("plain", 0) || part->instance >= 0 || sensor != 0 ? NOT_SUPPORTED : FINE;
}

#ifndef OLD_DRIVER
int nvmlDeviceGetCudaComputeCapability(struct part *part, int *major, int *minor)
{
    (void)part;
    *major = 9;
    *minor = 0;
    return FINE;
}

int nvmlDeviceGetPciInfo_v3(struct part *part, struct address *address)
{
    return nvmlDeviceGetPciInfo_v2(part, address);
}

int nvmlDeviceGetEnforcedPowerLimit(struct part *part, unsigned *milliwatts)
{
    int code = nvmlDeviceGetPowerManagementLimit(part, milliwatts);
    *milliwatts = 700000;
    return code;
}

int nvmlDeviceGetMigMode(struct part *part, unsigned *now, unsigned *pending)
{
    (void)part;
    *now = *pending = told("mig", 0) > 0 || told("mig_on", 0);
    return told("plain", 0) ? NOT_SUPPORTED : FINE;
}

int nvmlDeviceGetMaxMigDeviceCount(struct part *part, unsigned *count)
{
    (void)part;
    *count = 7;
    return FINE;
}

int nvmlDeviceGetMigDeviceHandleByIndex(struct part *part, unsigned i, struct part **to)
{
    if ((int)i >= told("mig", 0)) return NOT_FOUND;
    *to = part_of(part->gpu, (int)i);
    return FINE;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(struct part *part, struct part **to)
{
    *to = part_of(part->gpu, -1);
    return part->instance < 0 ? NOT_FOUND : FINE;
}

int nvmlDeviceGetCurrentClocksEventReasons(struct part *part, unsigned long long *mask)
{
    return nvmlDeviceGetCurrentClocksThrottleReasons(part, mask);
}

int nvmlDeviceGetPersistenceMode(struct part *part, int *is_on)
{
    *is_on = told("persistence", 0);
    return told("plain", 0) || part->instance >= 0 ? NOT_SUPPORTED : FINE;
}

int nvmlDeviceGetComputeRunningProcesses_v3(struct part *part, unsigned *count, void *processes)
{
    int running = told("processes", -1);
    (void)part;
    (void)processes;
    if (running < 0) return NOT_SUPPORTED;
    *count = (unsigned)running;
    return running > 0 ? TOO_SMALL : FINE;
}

int nvmlDeviceGetViolationStatus(struct part *part, int what, struct held *held)
{
    *held = (struct held){1, what == 0 ? 2500000000 : 0};
    return told("plain", 0) || part->instance >= 0 ? NOT_SUPPORTED : FINE;
}
#endif
