/* SPDX-License-Identifier: Apache-2.0 */
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cuda_runtime.h>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/peak_cuda.cuh"

extern "C" {
#include "base/clock.h"
#include "worker/gpu.h"
#include "worker/probe/device.h"
}

/*
 * The first CUDA device that this process may use.
 *
 * A sample is one graph between two spinning kernels:
 *
 *   spin 5 ms | untimed call | event | calls ... | event | spin 1 ms
 *
 * The first keeps the device at work while the host puts the graph behind it, so that no launch of
 * the host is waited for, and its clock is up when the calls begin. Both count the cycles of one
 * multiprocessor against the device's nanoseconds: that is the clock of the sample.
 */

#define BUSY_BEFORE_NS 5000000
#define BUSY_AFTER_NS  1000000
#define SPIN_THREADS   128
#define LATE_NS        200000 /* many times what a launch takes */
#define LATE_BLOCKS    16     /* so few that what begins beside them finds room */
#define ROOF_TIMES     4
#define ROOF_BYTES     (INT64_C(1) << 31)
#define DOT_PASSES     4000
#define BLOCKS_MOST    64 /* of memory that one process allocates */

struct spun {
    unsigned long long cycles, nanoseconds;
};

struct cuda {
    cudaStream_t stream;
    cudaEvent_t begin, end;
    struct spun *spun; /* two, of the device */
    void *memory[BLOCKS_MOST];
    int count, multiprocessors, cache_bytes;
    char uuid[TG_TEXT_SIZE];
    struct tg_gpu_look seen; /* the look before */
    bool is_seen;
};

/* What ends the process: see device.h. */
static void must(cudaError_t error, const char *what)
{
    if (error == cudaSuccess) return;
    fprintf(stderr, "CUDA: cannot %s: %s\n", what, cudaGetErrorString(error));
    abort();
}

static int failed(cudaError_t error, const char *what, struct tg_error *err)
{
    if (error == cudaSuccess) return 0;
    (void)cudaGetLastError();
    return tg_fail(err, "CUDA: cannot %s: %s", what, cudaGetErrorString(error));
}

static void cuda_close(void *opaque)
{
    struct cuda *c = (struct cuda *)opaque;
    for (int i = 0; i < c->count; i++) cudaFree(c->memory[i]);
    if (c->spun) cudaFree(c->spun);
    if (c->begin) cudaEventDestroy(c->begin);
    if (c->end) cudaEventDestroy(c->end);
    if (c->stream) cudaStreamDestroy(c->stream);
    free(c);
}

/*
 * The name without blanks, as facts have it; the UUID by which the process was given the device,
 * else as NVML writes that of a whole one.
 */
static void name_device(struct tg_facts *facts)
{
    cudaDeviceProp p;
    char *to = facts->gpu_uuid;
    const char *own = tg_gpu_own();
    if (cudaGetDeviceProperties(&p, 0) != cudaSuccess) return;
    snprintf(facts->gpu, sizeof facts->gpu, "%.*s", (int)sizeof facts->gpu - 1, p.name);
    for (char *c = facts->gpu; *c; c++)
        if (*c == ' ') *c = '_';
    if (*own) {
        snprintf(to, sizeof facts->gpu_uuid, "%s", own);
        return;
    }
    to += snprintf(to, sizeof facts->gpu_uuid, "GPU");
    for (int i = 0; i < 16; i++)
        to += snprintf(to, (size_t)(facts->gpu_uuid + sizeof facts->gpu_uuid - to), "%s%02x",
                       i == 0 || i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                       (unsigned char)p.uuid.bytes[i]);
}

static int cuda_open(struct tg_facts *facts, void **state, struct tg_error *err)
{
    static double started_s = 0;
    int count = 0;
    const double began = tg_now();
    if (failed(cudaGetDeviceCount(&count), "find a device", err) < 0) return -1;
    if (count == 0) return tg_fail(err, "CUDA: there is no device");
    struct cuda *c = (struct cuda *)calloc(1, sizeof *c);
    if (!c) return tg_fail(err, "out of memory");
    if (failed(cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking), "open the device",
               err) < 0 ||
        failed(cudaEventCreate(&c->begin), "make an event", err) < 0 ||
        failed(cudaEventCreate(&c->end), "make an event", err) < 0 ||
        failed(cudaMalloc((void **)&c->spun, 2 * sizeof *c->spun), "allocate memory", err) < 0 ||
        failed(cudaDeviceGetAttribute(&c->multiprocessors, cudaDevAttrMultiProcessorCount, 0),
               "ask the device", err) < 0 ||
        failed(cudaDeviceGetAttribute(&c->cache_bytes, cudaDevAttrL2CacheSize, 0), "ask the device",
               err) < 0) {
        cuda_close(c);
        return -1;
    }
    if (!(started_s > 0)) started_s = tg_now() - began;
    facts->driver_s = started_s;
    name_device(facts);
    snprintf(c->uuid, sizeof c->uuid, "%s", facts->gpu_uuid);
    *state = c;
    return 0;
}

static void cuda_detect(void *opaque, double *seconds, size_t count)
{
    (void)opaque;
    for (size_t i = 0; i < count; i++) {
        int devices = 0, major = 0;
        const int64_t began = tg_now_ns();
        must(cudaGetDeviceCount(&devices), "count devices");
        must(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "ask a device");
        seconds[i] = (double)(tg_now_ns() - began) * 1e-9;
    }
}

static void *cuda_stream(void *opaque)
{
    return ((struct cuda *)opaque)->stream;
}

static int64_t cuda_cache_bytes(void *opaque)
{
    return ((struct cuda *)opaque)->cache_bytes;
}

static int cuda_allocate(void *opaque, int64_t bytes, void **memory, struct tg_error *err)
{
    struct cuda *c = (struct cuda *)opaque;
    if (c->count == BLOCKS_MOST) return tg_fail(err, "more blocks of memory than %d", BLOCKS_MOST);
    cudaError_t error = cudaMalloc(memory, (size_t)bytes);
    if (error != cudaSuccess) {
        (void)cudaGetLastError();
        return tg_fail(err, "CUDA: cannot allocate %lld bytes: %s", (long long)bytes,
                       cudaGetErrorString(error));
    }
    c->memory[c->count++] = *memory;
    return 0;
}

static void wait_for(struct cuda *c)
{
    must(cudaStreamSynchronize(c->stream), "run a kernel");
}

/*
 * In the stream, and waited for: a plain copy from memory that is not pinned may return before the
 * device has it, and would then run beside the next kernel (CUDA runtime API, "API synchronization
 * behavior").
 */
static int copy(struct cuda *c, void *to, const void *from, int64_t bytes, cudaMemcpyKind kind,
                struct tg_error *err)
{
    int rc = failed(cudaMemcpyAsync(to, from, (size_t)bytes, kind, c->stream), "copy memory", err);
    if (rc == 0) wait_for(c);
    return rc;
}

static int cuda_put(void *opaque, void *to, const void *from, int64_t bytes, struct tg_error *err)
{
    return copy((struct cuda *)opaque, to, from, bytes, cudaMemcpyHostToDevice, err);
}

static int cuda_get(void *opaque, void *to, const void *from, int64_t bytes, struct tg_error *err)
{
    return copy((struct cuda *)opaque, to, from, bytes, cudaMemcpyDeviceToHost, err);
}

static int cuda_fill(void *opaque, void *to, uint8_t byte, int64_t bytes, struct tg_error *err)
{
    struct cuda *c = (struct cuda *)opaque;
    int rc = failed(cudaMemsetAsync(to, byte, (size_t)bytes, c->stream), "fill memory", err);
    if (rc == 0) wait_for(c);
    return rc;
}

static void cuda_run(void *opaque, const struct tg_device_work *work, int64_t first, int64_t calls)
{
    struct cuda *c = (struct cuda *)opaque;
    work->put(work->state, first, calls);
    must(cudaGetLastError(), "launch a kernel");
    wait_for(c);
}

/* Every multiprocessor works for so long; one of them counts its cycles. */
__global__ static void spin(unsigned long long nanoseconds, struct spun *spun)
{
    unsigned long long begun, now, cycles = clock64();
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(begun));
    do asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    while (now - begun < nanoseconds);
    cycles = clock64() - cycles;
    if (blockIdx.x != 0 || threadIdx.x != 0) return;
    spun->cycles = cycles;
    spun->nanoseconds = now - begun;
}

/* Lets the next kernel begin, and only then, and late, writes what that is to read. */
__global__ static void write_late(const uint8_t *from, uint8_t *to, int64_t bytes,
                                  unsigned long long nanoseconds)
{
    unsigned long long begun, now;
    tg_cuda_let_next();
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(begun));
    do asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    while (now - begun < nanoseconds);
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < bytes;
         i += (int64_t)gridDim.x * blockDim.x)
        to[i] = from[i];
}

static void cuda_relay(void *opaque, void *to, const void *from, int64_t bytes,
                       const struct tg_device_work *work, int64_t first)
{
    struct cuda *c = (struct cuda *)opaque;
    write_late<<<LATE_BLOCKS, SPIN_THREADS, 0, c->stream>>>((const uint8_t *)from, (uint8_t *)to,
                                                            bytes, LATE_NS);
    must(cudaGetLastError(), "launch a kernel");
    cuda_run(c, work, first, 1);
}

/* The untimed call, and the calls between two events, as one graph. */
static cudaGraphExec_t capture(struct cuda *c, const struct tg_device_work *work, int64_t first,
                               int64_t calls)
{
    cudaGraph_t graph;
    cudaGraphExec_t ready;
    must(cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeRelaxed), "begin a graph");
    work->put(work->state, first, 1);
    must(cudaEventRecordWithFlags(c->begin, c->stream, cudaEventRecordExternal), "time a graph");
    work->put(work->state, first + 1, calls);
    must(cudaEventRecordWithFlags(c->end, c->stream, cudaEventRecordExternal), "time a graph");
    must(cudaStreamEndCapture(c->stream, &graph), "end a graph");
    must(cudaGraphInstantiate(&ready, graph, 0), "make a graph");
    must(cudaGraphDestroy(graph), "end a graph");
    must(cudaGraphUpload(ready, c->stream), "upload a graph");
    return ready;
}

static void cuda_rehearse(void *opaque, const struct tg_device_work *work)
{
    struct cuda *c = (struct cuda *)opaque;
    cudaGraphExec_t graph = capture(c, work, 0, 1);
    must(cudaDeviceSynchronize(), "wait for the device");
    must(cudaGraphExecDestroy(graph), "end a graph");
}

static double clock_of(const struct spun *s)
{
    return s->nanoseconds > 0 ? (double)s->cycles / (double)s->nanoseconds * 1e9 : 0;
}

static struct tg_turn cuda_time(void *opaque, const struct tg_device_work *work, int64_t first,
                                int64_t calls)
{
    struct cuda *c = (struct cuda *)opaque;
    struct tg_turn turn = {};
    struct spun spun[2];
    float milliseconds;
    cudaGraphExec_t graph = capture(c, work, first, calls);
    turn.begun = tg_now_ns();
    spin<<<c->multiprocessors, SPIN_THREADS, 0, c->stream>>>(BUSY_BEFORE_NS, c->spun);
    must(cudaGraphLaunch(graph, c->stream), "launch a graph");
    spin<<<c->multiprocessors, SPIN_THREADS, 0, c->stream>>>(BUSY_AFTER_NS, c->spun + 1);
    must(cudaGetLastError(), "launch a kernel");
    must(cudaDeviceSynchronize(), "run a kernel"); /* nor is anything left for the next turn */
    must(cudaEventElapsedTime(&milliseconds, c->begin, c->end), "read the time of a graph");
    must(cudaMemcpy(spun, c->spun, sizeof spun, cudaMemcpyDeviceToHost), "read the clock");
    must(cudaGraphExecDestroy(graph), "end a graph");
    turn.seconds = (double)milliseconds * 1e-3 / (double)calls;
    turn.clock_hz = (clock_of(&spun[0]) + clock_of(&spun[1])) / 2;
    return turn;
}

static int64_t cuda_taken_bytes(void *opaque)
{
    size_t left, all;
    (void)opaque;
    if (cudaMemGetInfo(&left, &all) != cudaSuccess) return -1;
    return (int64_t)(all - left);
}

/* The least seconds of several launches of one thing. */
template <typename Launch> static double best_of(struct cuda *c, Launch launch)
{
    double best = INFINITY;
    for (int i = 0; i < ROOF_TIMES; i++) {
        float milliseconds;
        must(cudaEventRecord(c->begin, c->stream), "time a kernel");
        launch();
        must(cudaEventRecord(c->end, c->stream), "time a kernel");
        wait_for(c);
        must(cudaEventElapsedTime(&milliseconds, c->begin, c->end), "read a time");
        if (milliseconds > 0) best = fmin(best, (double)milliseconds * 1e-3);
    }
    return best;
}

/* So often that a launch takes a millisecond, whose beginning and end then count for little. */
static int64_t passes_of(int64_t bytes)
{
    return bytes < ROOF_BYTES ? ROOF_BYTES / bytes : 1;
}

static void cuda_roof(void *opaque, const struct tg_roof_call *call, struct tg_facts *facts)
{
    struct cuda *c = (struct cuda *)opaque;
    const uint8_t *from = call->walk[0];
    const int64_t set = call->walk[call->count - 1] - from + call->weight_bytes;
    const int64_t reads = passes_of(set), writes = passes_of(call->result_bytes);
    double done = 0;
    facts->read_rate = (double)(set * reads) /
                       best_of(c, [=] { tg_peak_cuda_read(from, set, reads, c->spun, c->stream); });
    facts->write_rate = (double)(call->result_bytes * writes) / best_of(c, [=] {
                            tg_peak_cuda_write(call->results, call->result_bytes, writes,
                                               c->stream);
                        });
    const double seconds = best_of(
        c, [=, &done] { done = tg_peak_cuda_dot(DOT_PASSES, c->spun, c->stream); });
    facts->dot_rate = done / seconds;
    tg_roof_limit(call, facts);
}

/* Without the driver's library nothing is known. That it was idle between calls says nothing. */
static void cuda_look(void *opaque, struct tg_facts *facts)
{
    struct cuda *c = (struct cuda *)opaque;
    struct tg_gpu_look now;
    if (tg_gpu_look(c->uuid, &now, NULL) < 0) return;
    int64_t throttle = c->is_seen ? tg_gpu_throttle(&c->seen, &now) : now.throttle;
    facts->throttle = throttle < 0 ? -1 : throttle & ~(int64_t)TG_GPU_IDLE;
    facts->gpu_temperature_c = now.temperature_c;
    facts->gpu_power_w = now.power_w;
    c->seen = now;
    c->is_seen = true;
}

extern "C" const struct tg_device tg_device_cuda = {
    "cuda",
    "the first CUDA device that the process may use",
    (BUSY_BEFORE_NS + BUSY_AFTER_NS) * 1e-9,
    cuda_open,
    cuda_detect,
    cuda_stream,
    cuda_cache_bytes,
    cuda_allocate,
    cuda_put,
    cuda_get,
    cuda_fill,
    cuda_run,
    cuda_relay,
    cuda_rehearse,
    cuda_time,
    cuda_roof,
    cuda_taken_bytes,
    cuda_look,
    cuda_close,
};
