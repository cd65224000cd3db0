/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/conduct.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "kernels/fill.h"
#include "kernels/kernel.h"
#include "results/stats.h"
#include "worker/child.h"
#include "worker/host.h"
#include "worker/probe/device.h"
#include "worker/probe/probe.h"
#include "worker/sampler.h"
#include "worker/supply.h"
#include "worker/turns.h"
#include "worker/unrest.h"

#define EXIT_WITHIN_S 1
#define PADDING_MOST  4096
#define OFFSETS       64 /* cache lines of a page */
#define SPARE_BYTES   (INT64_C(1) << 29)

/* One cell of the block: its process, and what is known of it so far. */
struct side {
    struct tg_child *child; /* NULL once it is done or dead */
    struct tg_measurement *m;
};

struct round {
    const struct tg_bench *bench;
    const struct tg_order *order;
    struct side sides[2];
    int count, first; /* cells; the side that starts and makes the operands */
    int64_t padding[2], offset, private_bytes;
    char models[2][4096]; /* files of whole models, "" for none */
    uint64_t draws;
    int operands;
    struct tg_turns *turns;
};

/* What the conductor knows of a side, over what the child said. */
static void fill_facts(struct round *r, struct side *s)
{
    const struct tg_order *order = r->order;
    struct tg_measurement *m = s->m;
    struct tg_facts *facts = &m->facts;
    m->cell = order->block.cells[s - r->sides];
    snprintf(m->block, sizeof m->block, "%s", order->block.text);
    m->round = order->round;
    m->attempt = order->attempt;
    snprintf(facts->host, sizeof facts->host, "%s", r->bench->host);
    if (*r->bench->hardware)
        snprintf(facts->hardware, sizeof facts->hardware, "%s", r->bench->hardware);
    facts->rank = r->bench->rank;
    snprintf(facts->domain, sizeof facts->domain, "%s", r->bench->place.domain);
    const struct tg_place *place = &r->bench->place;
    if (*place->shares[place->exclusive])
        memcpy(facts->share, place->shares[place->exclusive], sizeof facts->share);
    facts->shared_core = order->is_apart || m->cell.threads > r->bench->place.unshared;
    snprintf(facts->seed, sizeof facts->seed, "%" PRIu64, order->seed);
    snprintf(facts->draws, sizeof facts->draws,
             "first=%d,padding=%" PRId64 ":%" PRId64 ",offset=%" PRId64, r->first, r->padding[0],
             r->padding[1], r->offset);
    tg_host_read(r->bench->place.core, facts);
}

static void skip_side(struct side *s, const char *reason)
{
    s->m->outcome = TG_SKIPPED;
    snprintf(s->m->reason, sizeof s->m->reason, "%s", reason);
}

/* Ends a child that did not answer and says why: that is the outcome. */
static void bury(struct side *s, enum tg_child_answer answer, double waited_s)
{
    struct tg_child_end end;
    struct tg_measurement *m = s->m;
    tg_child_stop(s->child, &end);
    s->child = NULL;
    m->outcome = answer == TG_CHILD_LATE ? TG_LATE : TG_CRASHED;
    m->facts.peak_bytes = end.peak_bytes;
    m->facts.end_signal = answer == TG_CHILD_DIED && end.by_us ? 0 : end.signal;
    const char *said = *end.tail ? "; it said: " : "";
    char held[48] = "";
    if (end.peak_bytes >= 0)
        snprintf(held, sizeof held, ", at most %" PRId64 " MiB held", end.peak_bytes >> 20);
    if (answer == TG_CHILD_LATE)
        snprintf(m->reason, sizeof m->reason, "killed after %.15g s%s%s", waited_s, said, end.tail);
    else if (end.by_us)
        snprintf(m->reason, sizeof m->reason, "it stopped answering%s%s", said, end.tail);
    else if (end.signal)
        snprintf(m->reason, sizeof m->reason, "signal %d (%s)%s%s%s", end.signal,
                 strsignal(end.signal), held, said, end.tail);
    else
        snprintf(m->reason, sizeof m->reason, "exit status %d%s%s", end.status, said, end.tail);
}

/* Takes the child's answer: its measurement so far, whose outcome may already be the last. */
static void take_answer(struct round *r, struct side *s, double deadline_s)
{
    const char *line;
    struct tg_measurement said;
    struct tg_error why;
    enum tg_child_answer answer = tg_child_receive(s->child, deadline_s, &line);
    if (answer != TG_CHILD_LINE) {
        bury(s, answer, r->bench->limits.deadline_s);
    } else if (tg_measurement_from_json(line, &said, &why) < 0) {
        bury(s, TG_CHILD_DIED, 0);
        snprintf(s->m->reason, sizeof s->m->reason, "an answer that cannot be read: %s", why.text);
    } else {
        /* Times are taken from the table of turns. */
        const char *metric = tg_probe_metric(&r->order->block.cells[s - r->sides]);
        if (metric) tg_measurement_drop(&said, metric);
        tg_measurement_drop(&said, "call_cycles");
        tg_measurement_free(s->m);
        *s->m = said;
    }
    if (s->m->outcome != TG_MEASURED && s->child) {
        tg_child_stop(s->child, NULL);
        s->child = NULL;
    }
    fill_facts(r, s);
}

static void ask(struct side *s, const char *what, const struct tg_setup *setup, int number)
{
    struct tg_json *root = tg_json_object(NULL, NULL);
    tg_json_add_text(root, "do", what);
    tg_json_add_number(root, "side", number);
    if (setup) tg_probe_setup_add(root, setup);
    char *line = tg_json_print(root, false);
    tg_child_send(s->child, line);
    free(line);
    tg_json_free(root);
}

/* The device that a cell's kernel runs on, NULL for the host. */
static const struct tg_device *device_of(const struct tg_cell *cell)
{
    const struct tg_kernel *kernel = tg_kernel_find(cell->kernel);
    return kernel ? tg_device_find(kernel->device) : NULL;
}

static double deadline(const struct round *r)
{
    return tg_now() + r->bench->limits.deadline_s;
}

static void start_side(struct round *r, int number)
{
    char parent[32];
    struct side *s = &r->sides[number];
    struct tg_error why;
    const struct tg_kernel *kernel = tg_kernel_find(r->order->block.cells[number].kernel);
    const char *device = kernel && strcmp(kernel->device, "cpu") != 0 ? kernel->device : NULL;
    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    const char *const argv[] = {"/proc/self/exe",           "cell", "--conducted", parent,
                                device ? "--device" : NULL, device, NULL};
    const int descriptors[] = {r->operands, tg_turns_descriptor(r->turns)};
    if (tg_child_start(argv, descriptors, 2, (size_t)r->padding[number], &s->child, &why) < 0) {
        skip_side(s, why.text);
    }
}

/* Bytes of the last-level caches that the cores of a cell see, 0 if that is not known. */
static int64_t cache_of(const struct round *r, const struct tg_cell *cell)
{
    const struct tg_place *place = &r->bench->place;
    return cell->threads <= place->core_count ? place->cache_bytes[cell->threads - 1] : 0;
}

/*
 * The cores of a block's cells. One that is apart leaves the last to what else is timed in the
 * domain, and each GPU there begins at another of the cores before it, as far as they go.
 */
static void choose_cores(const struct round *r, struct tg_setup *setup)
{
    const struct tg_place *place = &r->bench->place;
    int count = place->core_count, first = 0;
    if (place->core < 0) return;
    if (r->order->is_apart && count > 1) first = 1 + place->gpus_before % (count - 1);
    for (int i = 0; i < count; i++) setup->cores[i] = place->cores[(first + i) % count];
    setup->core_count = count;
}

/* Has a side make its operands; `digest` is that of the maker's, or "" for the maker. */
static void prepare_side(struct round *r, int number, bool is_maker, const char *digest)
{
    struct side *s = &r->sides[number];
    const struct tg_bench *bench = r->bench;
    struct tg_setup setup;
    if (!s->child) return;
    tg_probe_setup_init(&setup);
    setup.cell = r->order->block.cells[number];
    bool is_base = strcmp(setup.cell.build, "base") == 0;
    snprintf(setup.library, sizeof setup.library, "%s", is_base ? bench->base : bench->head);
    snprintf(setup.model_path, sizeof setup.model_path, "%s", r->models[number]);
    snprintf(setup.seed, sizeof setup.seed, "%" PRIu64, r->order->seed);
    snprintf(setup.operands_digest, sizeof setup.operands_digest, "%s", digest);
    setup.is_complete = r->order->is_complete;
    setup.is_maker = is_maker;
    setup.is_fixed = r->order->block.is_fixed;
    setup.offset = r->offset;
    choose_cores(r, &setup);
    setup.cache_bytes = cache_of(r, &setup.cell);
    setup.stream_bytes = bench->limits.stream_bytes;
    setup.data_bytes = r->private_bytes + SPARE_BYTES;
    setup.warmup_min_s = bench->limits.warmup_min_s;
    setup.warmup_max_s = bench->limits.warmup_max_s;
    setup.sample_s = bench->limits.sample_s;
    ask(s, "prepare", &setup, number);
    take_answer(r, s, deadline(r));
}

/* The maker first; then its memory is sealed, and the other may use it. */
static void prepare(struct round *r)
{
    prepare_side(r, r->first, true, "");
    fcntl(r->operands, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
    if (r->count == 2)
        prepare_side(r, 1 - r->first, false, r->sides[r->first].m->facts.operands_digest);
}

static void warm(struct round *r)
{
    for (int k = 0; k < r->count; k++) {
        int number = k == 0 ? r->first : 1 - r->first;
        struct side *s = &r->sides[number];
        if (!s->child) continue;
        ask(s, "warm", NULL, number);
        take_answer(r, s, deadline(r));
    }
}

/*
 * Copies a side's samples from the table of turns: what the metric is of the seconds of each, or,
 * for a device with a clock, its cycles. Returns NULL if a turn has no clock, or without memory.
 */
static const struct tg_series *take_series(struct round *r, int number, const char *metric,
                                           bool in_cycles)
{
    size_t count = 0, turns = tg_turns_count(r->turns), k = 0;
    for (size_t i = 0; i < turns; i++) {
        struct tg_turn turn = tg_turns_taken(r->turns, i);
        if (tg_turns_side(r->turns, i) != number || !(turn.seconds > 0)) continue;
        if (in_cycles && !(isfinite(turn.clock_hz) && turn.clock_hz > 0)) return NULL;
        count++;
    }
    if (in_cycles && count == 0) return NULL;
    struct tg_series *s = tg_measurement_add(r->sides[number].m, metric, count);
    for (size_t i = 0; s && i < turns; i++) {
        struct tg_turn turn = tg_turns_taken(r->turns, i);
        if (tg_turns_side(r->turns, i) != number || !(turn.seconds > 0)) continue;
        s->samples[k] = in_cycles ? turn.seconds * turn.clock_hz
                                  : tg_probe_value(&r->order->block.cells[number], turn.seconds);
        s->turns[k] = (int64_t)i;
        s->begun[k++] = turn.begun;
    }
    return s;
}

/* A side's samples, and of a device with a clock also its cycles and what the clock was. */
static void take_samples(struct round *r, int number)
{
    struct tg_facts *facts = &r->sides[number].m->facts;
    const struct tg_series *cycles;
    take_series(r, number, tg_probe_metric(&r->order->block.cells[number]), false);
    if (!(cycles = take_series(r, number, "call_cycles", true))) return;
    double *clocks = malloc(cycles->count * sizeof *clocks);
    if (!clocks) return;
    for (size_t k = 0; k < cycles->count; k++)
        clocks[k] = tg_turns_taken(r->turns, (size_t)cycles->turns[k]).clock_hz;
    facts->sm_clock_hz = tg_stats_median(clocks, cycles->count);
    facts->sm_clock_min_hz = clocks[0];
    for (size_t k = 1; k < cycles->count; k++)
        facts->sm_clock_min_hz = fmin(facts->sm_clock_min_hz, clocks[k]);
    free(clocks);
}

/*
 * Waits, asleep, until all sides have answered. When one dies or the deadline comes, the others
 * wait for a turn that never comes: the one whose turn it was is to blame, the others are only
 * stopped.
 */
static void await_turns(struct round *r)
{
    double deadline_s = deadline(r);
    bool done[2] = {false, false};
    for (int left = r->count; left > 0; left--) {
        struct tg_child *waiting[2];
        int numbers[2], count = 0;
        for (int i = 0; i < r->count; i++) {
            if (done[i]) continue;
            numbers[count] = i;
            waiting[count++] = r->sides[i].child;
        }
        int ready = tg_child_wait(waiting, (size_t)count, &deadline_s);
        size_t turn = 0;
        while (turn < tg_turns_count(r->turns) && tg_turns_taken(r->turns, turn).seconds > 0)
            turn++;
        int number = ready >= 0                        ? numbers[ready]
                     : turn < tg_turns_count(r->turns) ? tg_turns_side(r->turns, turn)
                                                       : numbers[0];
        take_answer(r, &r->sides[number], ready >= 0 ? deadline_s : 0);
        done[number] = true;
        if (r->sides[number].m->outcome == TG_MEASURED) continue;
        for (int i = 0; i < r->count; i++) {
            if (done[i]) continue;
            tg_child_stop(r->sides[i].child, NULL);
            r->sides[i].child = NULL;
        }
        return;
    }
}

/* At the cores of the block's cells. */
static void look_for_unrest(const struct round *r, struct tg_unrest *look)
{
    struct tg_setup setup = {.core_count = 0};
    int64_t threads = 0;
    choose_cores(r, &setup);
    for (int i = 0; i < r->count; i++)
        if (r->order->block.cells[i].threads > threads) threads = r->order->block.cells[i].threads;
    int count = threads < setup.core_count ? (int)threads : (int)setup.core_count;
    tg_unrest_look("", setup.cores, count, look);
}

/*
 * Not one quad fits into a round. Where one side alone makes it so, it is late; else nobody is to
 * blame, and nothing was measured.
 */
static void give_up(struct round *r, double quad_s, int late)
{
    char reason[160];
    snprintf(reason, sizeof reason, "a quad of samples takes %.3g s, and a round %.3g s at most",
             quad_s, r->bench->limits.deadline_s);
    for (int i = 0; i < r->count; i++) {
        if (late < 0 || late == i) skip_side(&r->sides[i], reason);
        if (late == i) r->sides[i].m->outcome = TG_LATE;
    }
}

static void sample(struct round *r)
{
    double call_s[2] = {0, 0}, beside_s[2] = {0, 0};
    const struct tg_cell *cells = r->order->block.cells;
    for (int i = 0; i < r->count; i++)
        if (isnan(r->sides[i].m->facts.call_s)) return; /* nothing of it is timed */
    bool same = r->count == 2 && strcmp(cells[0].kernel, cells[1].kernel) == 0;
    for (int i = 0; i < r->count; i++) {
        const struct tg_device *device = device_of(&cells[i]);
        call_s[i] = r->sides[i].m->facts.call_s;
        beside_s[i] = device ? device->beside_s : 0;
    }
    const struct tg_limits *limits = &r->bench->limits;
    const int untimed = tg_probe_find(cells[0].probe)->untimed;
    struct tg_sampling plan = tg_sampler_plan(limits, call_s, beside_s, same, untimed);
    if (plan.quad_s > limits->deadline_s) {
        give_up(r, plan.quad_s, tg_sampler_blame(limits, call_s, beside_s, same, untimed));
        return;
    }
    uint8_t *order = malloc((size_t)plan.quads * 4);
    if (!order) return;
    tg_sampler_draw(&r->draws, plan.quads, r->count, order);
    tg_turns_lay(r->turns, order, (size_t)plan.quads * 4, plan.calls);
    free(order);

    struct tg_unrest before, after;
    look_for_unrest(r, &before);
    for (int i = 0; i < r->count; i++) ask(&r->sides[i], "turns", NULL, i);
    await_turns(r);
    look_for_unrest(r, &after);
    for (int i = 0; i < r->count; i++) {
        struct tg_facts *facts = &r->sides[i].m->facts;
        tg_unrest_between(&before, &after, facts);
        facts->calls = plan.calls[i];
        facts->quads = plan.quads;
        if (r->sides[i].m->outcome != TG_WRONG) take_samples(r, i); /* wrong has no speed */
    }
}

/* What a side's facts say of the other: its partner broke; nothing is shared with own pages. */
static void mark_pair(struct round *r)
{
    for (int i = 0; i < r->count && r->count == 2; i++) {
        struct tg_measurement *m = r->sides[i].m, *other = r->sides[1 - i].m;
        if (other->outcome != TG_MEASURED) m->unpaired = 1;
        if (strcmp(other->facts.operands, "own") == 0)
            snprintf(m->facts.operands, sizeof m->facts.operands, "own");
    }
}

/* The files of whole models: whether they are there; else every cell is skipped. */
static bool has_models(struct round *r)
{
    const struct tg_bench *bench = r->bench;
    const int threads = bench->place.core_count > 0 ? bench->place.core_count : 1;
    struct tg_error why;
    for (int i = 0; i < r->count; i++) {
        const struct tg_cell *cell = &r->order->block.cells[i];
        if (!tg_probe_find(cell->probe) || !tg_probe_find(cell->probe)->has_model) continue;
        if (tg_supply_model(&bench->models, cell->model, threads, bench->limits.make_s,
                            r->models[i], sizeof r->models[i], &why) == 0)
            continue;
        for (int k = 0; k < r->count; k++) skip_side(&r->sides[k], why.text);
        return false;
    }
    return true;
}

/* Whether the block's processes fit into the memory that there is; else every cell is skipped. */
static bool fits(struct round *r)
{
    int64_t available = tg_host_memory(""), part = r->bench->memory_bytes, set = 0;
    /* Blocks that begin together all see what is available before any of them has taken it. */
    if (part > 0 && part < available) available = part;
    for (int i = 0; i < r->count; i++) {
        const struct tg_cell *cell = &r->order->block.cells[i];
        int64_t bytes = tg_probe_bytes(cell, r->models[i]);
        int64_t over = tg_probe_set_bytes(cell, cache_of(r, cell), r->bench->limits.stream_bytes);
        if (device_of(cell)) over = 0; /* its set is there */
        if (bytes > r->private_bytes) r->private_bytes = bytes;
        if (over > set) set = over;
    }
    double need = ((double)r->private_bytes + (double)set) * r->count;
    if (available < 0 || need <= r->bench->limits.memory_share * (double)available) return true;
    char reason[160];
    snprintf(reason, sizeof reason,
             "%.0f bytes of memory are needed, %.0f are available to the block", need,
             r->bench->limits.memory_share * (double)available);
    for (int i = 0; i < r->count; i++) skip_side(&r->sides[i], reason);
    return false;
}

static void draw(struct round *r)
{
    r->draws = r->order->seed + 1000;
    r->first = r->count == 2 ? (int)(tg_fill_next(&r->draws) >> 63) : 0;
    for (int i = 0; i < 2; i++) r->padding[i] = (int64_t)(tg_fill_next(&r->draws) % PADDING_MOST);
    r->offset = 64 * (int64_t)(tg_fill_next(&r->draws) % OFFSETS);
}

static void conduct(struct round *r)
{
    bool all = true;
    for (int k = 0; k < r->count; k++) start_side(r, k == 0 ? r->first : 1 - r->first);
    prepare(r);
    warm(r);
    for (int i = 0; i < r->count; i++) all = all && r->sides[i].child;
    if (all && r->order->block.is_timed) sample(r);
    for (int i = 0; i < r->count; i++) {
        if (r->sides[i].child) tg_child_finish(r->sides[i].child, tg_now() + EXIT_WITHIN_S, NULL);
        r->sides[i].child = NULL;
    }
}

int tg_conduct(const struct tg_bench *bench, const struct tg_order *order,
               struct tg_measurement measurements[2], struct tg_error *err)
{
    struct round r = {.bench = bench, .order = order, .count = (int)order->block.cell_count};
    r.operands = memfd_create("tritgate-operands", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (r.operands < 0) return tg_fail(err, "cannot make operands: %s", strerror(errno));
    if (tg_turns_create((size_t)bench->limits.quads_max * 4, &r.turns, err) < 0) {
        close(r.operands);
        return -1;
    }
    draw(&r);
    for (int i = 0; i < r.count; i++) {
        tg_measurement_init(&measurements[i]);
        r.sides[i].m = &measurements[i];
        fill_facts(&r, &r.sides[i]);
    }
    for (int i = 0; order->left_out && i < r.count; i++) skip_side(&r.sides[i], order->left_out);
    double begun_s = tg_now();
    if (!order->left_out && has_models(&r)) {
        begun_s = tg_now(); /* other rounds do not wait for a model that was made */
        if (fits(&r)) conduct(&r);
    }
    for (int i = 0; i < r.count; i++) {
        fill_facts(&r, &r.sides[i]);
        r.sides[i].m->facts.took_s = tg_now() - begun_s;
    }
    mark_pair(&r);
    tg_turns_close(r.turns);
    close(r.operands);
    return 0;
}
