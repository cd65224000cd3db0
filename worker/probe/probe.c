/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/probe.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "kernels/kernel.h"
#include "results/metric.h"
#include "results/stats.h"
#include "worker/host.h"
#include "worker/place.h"
#include "worker/probe/device.h"
#include "worker/probe/roof.h"
#include "worker/turns.h"

#define CACHES 4 /* as large as these is a set of which nothing is left when it comes again */

static const struct tg_probe *const probes[] = {
#define PROBE(name) &tg_probe_##name,
#include "worker/probe/probes.def"
#undef PROBE
};

const struct tg_probe *tg_probe_find(const char *name)
{
    for (size_t i = 0; i < tg_probe_count(); i++)
        if (strcmp(probes[i]->name, name) == 0) return probes[i];
    return NULL;
}

size_t tg_probe_count(void)
{
    return sizeof probes / sizeof *probes;
}

const struct tg_probe *tg_probe_at(size_t i)
{
    return probes[i];
}

bool tg_probe_is_on_device(const struct tg_cell *cell)
{
    const struct tg_kernel *kernel = tg_kernel_find(cell->kernel);
    return kernel && strcmp(kernel->device, "cpu") != 0;
}

int64_t tg_probe_bytes(const struct tg_cell *cell, const char *file)
{
    const struct tg_probe *probe = tg_probe_find(cell->probe);
    return probe ? probe->bytes(cell, file) : -1;
}

const char *tg_probe_metric(const struct tg_cell *cell)
{
    const struct tg_probe *probe = tg_probe_find(cell->probe);
    double done;
    return probe ? probe->metric(cell, &done) : NULL;
}

double tg_probe_value(const struct tg_cell *cell, double call_s)
{
    double done = 1;
    const char *name = tg_probe_find(cell->probe)->metric(cell, &done);
    const struct tg_metric *metric = tg_metric_find(name);
    return metric->better == TG_HIGHER ? done / call_s : call_s;
}

int64_t tg_probe_set_bytes(const struct tg_cell *cell, int64_t cache_bytes, int64_t stream_bytes)
{
    if (strcmp(cell->cache, "stream") != 0) return 0;
    return cache_bytes > 0 && cache_bytes < stream_bytes / CACHES ? CACHES * cache_bytes
                                                                  : stream_bytes;
}

double tg_probe_call_s(const struct tg_cell *cell, const char *metric, double value)
{
    const char *own = tg_probe_metric(cell);
    /* A rate and its seconds are each the other's inverse. */
    return own && strcmp(own, metric) == 0 ? tg_probe_value(cell, value) : NAN;
}

void tg_probe_setup_init(struct tg_setup *setup)
{
    memset(setup, 0, sizeof *setup);
    tg_record_init(&tg_cell_type, &setup->cell);
    snprintf(setup->seed, sizeof setup->seed, "1");
    setup->is_complete = setup->is_maker = setup->is_fixed = true;
    setup->stream_bytes = INT64_C(1) << 31;
    setup->warmup_min_s = 0.05;
    setup->warmup_max_s = 1;
    setup->sample_s = 0.00025;
}

void tg_probe_setup_add(struct tg_json *object, const struct tg_setup *setup)
{
    char text[TG_CELL_TEXT_SIZE];
    tg_json_add_text(object, "cell", tg_cell_text(&setup->cell, text));
    tg_json_add_text(object, "library", setup->library);
    tg_json_add_text(object, "model_path", setup->model_path);
    tg_json_add_text(object, "seed", setup->seed);
    tg_json_add_text(object, "operands_digest", setup->operands_digest);
    tg_json_add_boolean(object, "is_complete", setup->is_complete);
    tg_json_add_boolean(object, "is_maker", setup->is_maker);
    tg_json_add_boolean(object, "is_fixed", setup->is_fixed);
    tg_json_add_number(object, "offset", (double)setup->offset);
    struct tg_json *cores = tg_json_array(object, "cores");
    for (int i = 0; i < setup->core_count; i++) tg_json_add_number(cores, NULL, setup->cores[i]);
    tg_json_add_number(object, "cache_bytes", (double)setup->cache_bytes);
    tg_json_add_number(object, "stream_bytes", (double)setup->stream_bytes);
    tg_json_add_number(object, "data_bytes", (double)setup->data_bytes);
    tg_json_add_number(object, "warmup_min_s", setup->warmup_min_s);
    tg_json_add_number(object, "warmup_max_s", setup->warmup_max_s);
    tg_json_add_number(object, "sample_s", setup->sample_s);
}

int tg_probe_setup_read(const struct tg_json_file *file, struct tg_setup *setup,
                        struct tg_error *err)
{
    const struct tg_json *object = file->root;
    tg_probe_setup_init(setup);
    if (tg_cell_parse(tg_json_text(tg_json_get(object, "cell")), &setup->cell, err) < 0) return -1;
    snprintf(setup->library, sizeof setup->library, "%s",
             tg_json_text(tg_json_get(object, "library")));
    snprintf(setup->model_path, sizeof setup->model_path, "%s",
             tg_json_text(tg_json_get(object, "model_path")));
    snprintf(setup->seed, sizeof setup->seed, "%s", tg_json_text(tg_json_get(object, "seed")));
    snprintf(setup->operands_digest, sizeof setup->operands_digest, "%s",
             tg_json_text(tg_json_get(object, "operands_digest")));
    setup->is_complete = tg_json_number(tg_json_get(object, "is_complete")) != 0;
    setup->is_maker = tg_json_number(tg_json_get(object, "is_maker")) != 0;
    setup->is_fixed = tg_json_number(tg_json_get(object, "is_fixed")) != 0;
    setup->offset = (int64_t)tg_json_number(tg_json_get(object, "offset"));
    const struct tg_json *cores = tg_json_get(object, "cores");
    size_t count = tg_json_count(cores);
    setup->core_count = count < TG_PLACE_CORES ? (int)count : TG_PLACE_CORES;
    for (int i = 0; i < setup->core_count; i++)
        setup->cores[i] = (int)tg_json_number(tg_json_at(cores, (size_t)i));
    setup->cache_bytes = (int64_t)tg_json_number(tg_json_get(object, "cache_bytes"));
    setup->stream_bytes = (int64_t)tg_json_number(tg_json_get(object, "stream_bytes"));
    setup->data_bytes = (int64_t)tg_json_number(tg_json_get(object, "data_bytes"));
    setup->warmup_min_s = tg_json_number(tg_json_get(object, "warmup_min_s"));
    setup->warmup_max_s = tg_json_number(tg_json_get(object, "warmup_max_s"));
    setup->sample_s = tg_json_number(tg_json_get(object, "sample_s"));
    return 0;
}

/* A cell's process: what it was told, its probe, what it has seen. */
struct process {
    struct tg_setup setup;
    const struct tg_probe *probe;
    void *state;
    int64_t next; /* number of the next call */
    struct tg_measurement m;
};

/*
 * One sample: an untimed call, which wakes what rested, then `calls` timed as one interval. Its
 * first call is number p->next of all.
 */
static struct tg_turn take_sample(struct process *p, int64_t calls)
{
    int64_t first = p->next;
    struct tg_turn turn;
    p->next += calls + 1;
    if (p->probe->sample(p->state, first, calls, &turn)) return turn;
    p->probe->call(p->state, first, 1);
    int64_t begun = tg_now_ns();
    p->probe->call(p->state, first + 1, calls);
    int64_t ended = tg_now_ns();
    p->probe->rest(p->state);
    return (struct tg_turn){.seconds = (double)(ended - begun) * 1e-9 / (double)calls,
                            .begun = begun};
}

/* A sanitizer reserves more memory than any limit allows. */
static int limit_data(int64_t bytes, struct tg_error *err)
{
#ifdef TG_SANITIZED
    (void)bytes, (void)err;
#else
    struct rlimit limit = {(rlim_t)bytes, (rlim_t)bytes};
    if (bytes > 0 && setrlimit(RLIMIT_DATA, &limit) < 0)
        return tg_fail(err, "cannot limit memory: %s", strerror(errno));
#endif
    return 0;
}

static int prepare(struct process *p, int operands, struct tg_error *err)
{
    struct tg_facts *facts = &p->m.facts;
    p->m.cell = p->setup.cell;
    facts->pid = getpid();
    p->probe = tg_probe_find(p->setup.cell.probe);
    if (!p->probe) return tg_fail(err, "no such probe '%s'", p->setup.cell.probe);
    if (p->setup.core_count > 0) {
        int64_t threads = p->setup.cell.threads;
        if (threads > p->setup.core_count)
            return tg_fail(err, "%" PRId64 " threads need as many cores, there are %d", threads,
                           p->setup.core_count);
        if (tg_place_bind(p->setup.cores[0], err) < 0) return -1;
        tg_place_text(p->setup.cores, (int)threads, facts->cores);
    }
    if (!tg_probe_is_on_device(&p->setup.cell) && limit_data(p->setup.data_bytes, err) < 0)
        return -1;
    return p->probe->prepare(&p->setup, operands, &p->m, &p->state, err);
}

/* Samples until two in succession differ by less than 5 %, within the limits of the setup. */
static void warm_up(struct process *p)
{
    double begun = tg_now(), before = 0, passed = 0;
    int64_t calls = 1;
    bool settled = false;
    do {
        double call_s = take_sample(p, calls).seconds;
        double enough = call_s > 0 ? ceil(p->setup.sample_s / call_s) : 1e6;
        settled = before > 0 && fabs(call_s - before) < 0.05 * before;
        calls = enough < 1 ? 1 : enough > 1e6 ? 1000000 : (int64_t)enough;
        before = call_s;
        passed = tg_now() - begun;
    } while (passed < p->setup.warmup_min_s || (!settled && passed < p->setup.warmup_max_s));
    p->m.facts.warmup_s = passed;
    p->m.facts.call_s = before;
}

static int check_and_warm(struct process *p, struct tg_error *err)
{
    if (p->probe->check(p->state, &p->m, err) < 0) return -1;
    if (p->m.outcome != TG_MEASURED || !tg_probe_metric(&p->setup.cell)) return 0;
    tg_roof_time_canaries(&p->m.facts);
    warm_up(p);
    p->probe->roof(p->state, p->next, &p->m.facts);
    p->next = 0;
    return 0;
}

static void read_usage(struct process *p)
{
    struct rusage usage;
    int64_t held;
    tg_host_process_memory(&held, &p->m.facts.peak_bytes);
    if (getrusage(RUSAGE_SELF, &usage) != 0) return;
    p->m.facts.switches = usage.ru_nivcsw;
    p->m.facts.faults = usage.ru_majflt;
}

/* Whether a thread of this process sleeps, or comes to within a second: it may just be about to. */
static bool is_asleep(const char *thread)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    char path[300], line[512];
    for (int looks = 0; looks < 1000; looks++) {
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", thread);
        FILE *f = fopen(path, "r");
        const char *name = f && fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
        bool sleeps = !name || name[2] == 'S';
        if (f) fclose(f);
        if (sleeps) return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* What is not as it must be with the threads of this process, or NULL; adds up their cores. */
static const char *look_at_threads(const struct process *p, cpu_set_t *together)
{
    const bool is_on_device = tg_probe_is_on_device(&p->setup.cell);
    const char *what = NULL;
    int64_t threads = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *e = tasks ? readdir(tasks) : NULL; e; e = readdir(tasks)) {
        cpu_set_t bound;
        pid_t thread = (pid_t)strtol(e->d_name, NULL, 10);
        if (thread <= 0) continue;
        threads++;
        if (thread != getpid() && !is_asleep(e->d_name))
            what = "its threads do not sleep beside the timed calls";
        if (p->setup.core_count == 0 || (is_on_device && thread != getpid()) ||
            sched_getaffinity(thread, sizeof bound, &bound) != 0)
            continue;
        if (CPU_COUNT(&bound) != 1) what = "it left the core that it was bound to";
        CPU_OR(together, together, &bound);
    }
    if (tasks) closedir(tasks);
    return threads > p->setup.cell.threads && !is_on_device
               ? "it left threads running beside the timed calls"
               : what;
}

/*
 * What runs beside the timed calls would run in the other side's turns, too: this process must have
 * the threads of its cell and no others (but those of a device's driver), which are asleep but for
 * this one, no child, and still be bound to its cores, a thread each.
 */
static void check_alone(struct process *p)
{
    char path[64], children[64] = "";
    cpu_set_t together, wanted;
    CPU_ZERO(&together);
    CPU_ZERO(&wanted);
    const char *what = look_at_threads(p, &together);
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *list = fopen(path, "r");
    if (list) {
        if (!fgets(children, sizeof children, list)) children[0] = 0;
        fclose(list);
    }
    if (!what && *children) what = "it left a process running beside the timed calls";
    for (int i = 0; i < p->setup.core_count && i < p->setup.cell.threads; i++)
        CPU_SET((size_t)p->setup.cores[i], &wanted);
    if (!what && !CPU_EQUAL(&together, &wanted)) what = "it left the core that it was bound to";
    if (!what || p->m.outcome != TG_MEASURED) return;
    p->m.outcome = TG_WRONG;
    snprintf(p->m.reason, sizeof p->m.reason, "%s", what);
}

static int take_turns(struct process *p, int side, struct tg_error *err)
{
    struct tg_turns *turns;
    int64_t calls;
    if (tg_turns_attach(TG_TURNS, &turns, err) < 0) return -1;
    struct rusage before = {0}, after = {0};
    bool is_known = getrusage(RUSAGE_SELF, &before) == 0;
    /* Calls are numbered over both sides: one would find in the cache what the other just read. */
    while (tg_turns_await(turns, side, &calls, &p->next)) {
        struct tg_turn taken = take_sample(p, calls);
        if (p->probe->note) p->probe->note(p->state, tg_turns_now(turns), &taken);
        tg_turns_pass(turns, taken);
    }
    is_known = is_known && getrusage(RUSAGE_SELF, &after) == 0;
    tg_turns_close(turns);
    if (is_known) {
        p->m.facts.turn_switches = after.ru_nivcsw - before.ru_nivcsw;
        p->m.facts.turn_yields = after.ru_nvcsw - before.ru_nvcsw;
        p->m.facts.turn_faults = after.ru_majflt - before.ru_majflt;
    }
    read_usage(p);
    p->probe->recheck(p->state, &p->m);
    check_alone(p);
    return 0;
}

static void answer(const struct process *p)
{
    char *line = tg_measurement_to_json(&p->m);
    dprintf(TG_ANSWER, "%s\n", line);
    free(line);
}

/* One line of the conductor. */
static int obey(struct process *p, const char *line, struct tg_error *err)
{
    struct tg_json_file file;
    if (tg_json_parse(line, &file, err) < 0) return -1;
    const char *what = tg_json_text(tg_json_get(file.root, "do"));
    int side = (int)tg_json_number(tg_json_get(file.root, "side"));
    int rc;
    if (strcmp(what, "prepare") == 0)
        rc = tg_probe_setup_read(&file, &p->setup, err) < 0 ? -1 : prepare(p, TG_OPERANDS, err);
    else if (strcmp(what, "warm") == 0 && p->state)
        rc = check_and_warm(p, err);
    else if (strcmp(what, "turns") == 0 && p->state)
        rc = take_turns(p, side, err);
    else
        rc = tg_fail(err, "cannot do '%s' now", what);
    tg_json_release(&file);
    return rc;
}

int tg_probe_run(const char *device, struct tg_error *err)
{
    struct process p;
    char *line = NULL;
    size_t size = 0;
    int rc = 0;
    memset(&p, 0, sizeof p);
    tg_measurement_init(&p.m);
    FILE *asked = fdopen(TG_ASK, "r");
    if (!asked) return tg_fail(err, "not conducted: descriptor %d is closed", TG_ASK);
    if (device) tg_device_wake(device);
    while (rc == 0 && getline(&line, &size, asked) > 0) {
        rc = obey(&p, line, err);
        if (rc < 0) {
            p.m.outcome = TG_SKIPPED; /* we could not do it, which says nothing of the cell */
            snprintf(p.m.reason, sizeof p.m.reason, "%s", err->text);
        }
        answer(&p);
    }
    if (p.state) p.probe->close(p.state);
    tg_measurement_free(&p.m);
    free(line);
    fclose(asked);
    return rc;
}

/* The cycles of samples, where each has a clock beside it; clocks[i] is that of sample i, or 0. */
static int add_cycles(struct process *p, const char *metric, double *clocks, struct tg_error *err)
{
    const struct tg_series *times = tg_measurement_series(&p->m, metric);
    const size_t samples = times->count;
    for (size_t i = 0; i < samples; i++)
        if (!isfinite(clocks[i]) || !(clocks[i] > 0)) return 0;
    struct tg_series *c = tg_measurement_add(&p->m, "call_cycles", samples);
    if (!c) return tg_fail(err, "out of memory");
    times = tg_measurement_series(&p->m, metric);
    for (size_t i = 0; i < samples; i++) {
        c->samples[i] = tg_probe_call_s(&p->setup.cell, metric, times->samples[i]) * clocks[i];
        c->turns[i] = times->turns[i];
        c->begun[i] = times->begun[i];
    }
    p->m.facts.sm_clock_hz = tg_stats_median(clocks, samples);
    return 0;
}

/* Samples without another side, and cycles where the cell has a clock of its own. */
static int sample_alone(struct process *p, size_t samples, struct tg_error *err)
{
    const char *metric = tg_probe_metric(&p->setup.cell);
    double calls = ceil(p->setup.sample_s / p->m.facts.call_s);
    if (!metric) return 0; /* nothing of it is timed */
    struct tg_series *s = tg_measurement_add(&p->m, metric, samples);
    double *clocks = calloc(samples + 1, sizeof *clocks);
    p->m.facts.calls = calls < 1 ? 1 : calls > 1e6 ? 1000000 : (int64_t)calls;
    for (size_t i = 0; s && clocks && i < samples; i++) {
        struct tg_turn turn = take_sample(p, p->m.facts.calls);
        if (p->probe->note) p->probe->note(p->state, i, &turn);
        s->samples[i] = tg_probe_value(&p->setup.cell, turn.seconds);
        s->turns[i] = (int64_t)i;
        s->begun[i] = turn.begun;
        clocks[i] = turn.clock_hz;
    }
    int rc = s && clocks ? 0 : tg_fail(err, "out of memory");
    if (rc == 0 && samples > 0) rc = add_cycles(p, metric, clocks, err);
    free(clocks);
    if (rc < 0) return -1;
    p->probe->recheck(p->state, &p->m);
    if (p->m.outcome != TG_WRONG) return 0;
    tg_measurement_drop(&p->m, metric);
    tg_measurement_drop(&p->m, "call_cycles");
    return 0;
}

int tg_probe_run_alone(const struct tg_setup *setup, size_t samples, struct tg_measurement *m,
                       struct tg_error *err)
{
    struct process p;
    memset(&p, 0, sizeof p);
    p.setup = *setup;
    tg_measurement_init(&p.m);
    tg_cell_text(&setup->cell, p.m.block);
    snprintf(p.m.facts.seed, sizeof p.m.facts.seed, "%s", setup->seed);
    int rc = prepare(&p, -1, err);
    if (rc == 0) rc = check_and_warm(&p, err);
    if (rc == 0 && p.m.outcome == TG_MEASURED) rc = sample_alone(&p, samples, err);
    tg_host_name(p.m.facts.host);
    tg_host_read(setup->core_count > 0 ? setup->cores[0] : 0, &p.m.facts);
    read_usage(&p);
    if (p.state) p.probe->close(p.state);
    if (rc < 0)
        tg_measurement_free(&p.m);
    else
        *m = p.m;
    return rc;
}
