/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fill.h"
#include "kernels/format.h"
#include "results/digest.h"
#include "worker/library.h"
#include "worker/model/model.h"
#include "worker/probe/accuracy.h"
#include "worker/probe/executed.h"
#include "worker/probe/operands.h"
#include "worker/probe/pool.h"
#include "worker/probe/probe.h"
#include "worker/probe/roof.h"
#include "worker/probe/upload.h"

/*
 * Calls of one kernel on operands from a seed: packed weights and activations (operands.h). A
 * kernel of a device reads copies of them there (upload.h); what is compared is always in the
 * host's memory.
 */

#define PAGE       4096
#define POISON     0x5a
#define DETECTIONS 20
#define SOME_ROWS  32 /* more than any kernel takes at once */

struct state {
    struct tg_setup setup;
    const struct tg_library *library;
    const struct tg_kernel *kernel;
    const struct tg_op *op;
    struct tg_problem problem;
    struct tg_pool *pool;
    int8_t *ternary; /* rows x cols */
    int64_t result_bytes;
    struct tg_operands operands;
    struct tg_upload upload; /* its device is NULL where the kernel is the host's */
    void *wanted;            /* results of the reference */
    void *kept;              /* results of the call that was checked */
    void *results_block;     /* as allocated; problem.results lies in it */
};

static uint64_t seed_of(const struct state *s)
{
    return strtoull(s->setup.seed, NULL, 10);
}

static size_t whole_pages(int64_t bytes)
{
    return ((size_t)bytes + PAGE - 1) / PAGE * PAGE;
}

static void kernel_close(void *opaque)
{
    struct state *s = opaque;
    tg_pool_destroy(s->pool);
    tg_operands_close(&s->operands);
    tg_upload_close(&s->upload);
    free(s->ternary);
    free(s->results_block);
    free(s->wanted);
    free(s->kept);
    free(s);
}

static int open_kernel(struct state *s, struct tg_measurement *m, struct tg_error *err)
{
    const struct tg_cell *cell = &s->setup.cell;
    if (tg_library_open_kernel(s->setup.library, cell->kernel, &m->facts, &s->library, &s->kernel,
                               err) < 0)
        return -1;
    s->op = tg_op_find(s->kernel->op);
    if (!s->op) return tg_fail(err, "no operation '%s' in this program", s->kernel->op);
    /* By its own row this program bounds a process; and two clocks do not compare. */
    const struct tg_kernel *own = tg_kernel_find(cell->kernel);
    if (own && strcmp(own->device, s->kernel->device) != 0)
        return tg_fail(err, "kernel '%s' runs on '%s' in this library, and on '%s' in this program",
                       cell->kernel, s->kernel->device, own->device);
    struct tg_problem *p = &s->problem;
    if (tg_model_shape(cell->model, cell->layer, &p->rows, &p->cols, err) < 0) return -1;
    if (p->cols > TG_COLUMNS_MOST)
        return tg_fail(err, "%" PRId64 " columns are more than %d", p->cols, TG_COLUMNS_MOST);
    if (p->cols % s->kernel->column_multiple != 0)
        return tg_fail(err, "%" PRId64 " columns are not a multiple of %" PRId64, p->cols,
                       s->kernel->column_multiple);
    p->batch = cell->batch;
    if (!s->op->has_weights) { /* each token is a row */
        if (strcmp(cell->cache, "stream") == 0)
            return tg_fail(err, "operation '%s' reads no weights: there is no set to stream",
                           s->op->name);
        p->rows = cell->batch;
        p->batch = 1;
    }
    p->row_begin = 0;
    p->row_end = p->rows;
    return 0;
}

/* Bytes that the matrices called in turn are to be more than, where the kernel finds them. */
static int64_t set_bytes(const struct state *s)
{
    const struct tg_upload *u = &s->upload;
    return tg_probe_set_bytes(&s->setup.cell,
                              u->device ? u->device->cache_bytes(u->state) : s->setup.cache_bytes,
                              s->setup.stream_bytes);
}

/* Weights and results, by the seed; the results begin a cache line at the drawn offset. */
static int make_memory(struct state *s, struct tg_error *err)
{
    struct tg_problem *p = &s->problem;
    size_t weights = (size_t)p->rows * (size_t)p->cols;
    s->operands = (struct tg_operands){
        .packed_bytes = s->kernel->packed_bytes(p->rows, p->cols),
        .activation_bytes = tg_op_activation_bytes(s->op, p),
        .offset = s->setup.offset,
        .over_bytes = s->upload.device ? 0 : set_bytes(s),
        .most_bytes = s->setup.stream_bytes,
        .seed = seed_of(s) + 3,
    };
    s->result_bytes = s->op->result_bytes(p);
    s->ternary = malloc(weights);
    s->results_block = aligned_alloc(PAGE, whole_pages(s->result_bytes + s->setup.offset));
    s->wanted = malloc((size_t)s->result_bytes);
    s->kept = malloc((size_t)s->result_bytes);
    if (!s->ternary || !s->results_block || !s->wanted || !s->kept)
        return tg_fail(err, "not enough memory for %" PRId64 " x %" PRId64 " weights", p->rows,
                       p->cols);
    p->results = (char *)s->results_block + s->setup.offset;
    tg_fill_ternary(seed_of(s), s->ternary, weights);
    return 0;
}

/* Packs once and digests what the weights became; and fills the activations. */
static int pack(struct state *s, uint8_t *packed, int8_t *activations, struct tg_facts *facts,
                struct tg_error *err)
{
    const struct tg_problem *p = &s->problem;
    char digest[TG_DIGEST_SIZE];
    s->kernel->pack(s->ternary, p->rows, p->cols, packed);
    s->op->activations->fill(seed_of(s) + 1, activations, (size_t)tg_op_activation_count(s->op, p));
    if (tg_digest_bytes(packed, (size_t)s->operands.packed_bytes, digest, err) < 0) return -1;
    memcpy(facts->operands_digest, digest, sizeof digest);
    return 0;
}

/* What is known of the memory that calls read. */
static void describe(const struct state *s, bool is_shared, struct tg_facts *facts)
{
    const struct tg_operands *o = &s->operands;
    const struct tg_upload *u = &s->upload;
    int64_t cache = u->device ? u->device->cache_bytes(u->state) : s->setup.cache_bytes;
    snprintf(facts->operands, sizeof facts->operands, "%s",
             is_shared && !u->device ? "shared" : "own");
    facts->packed_bytes = o->packed_bytes;
    facts->set_bytes = o->packed_bytes * (u->device ? u->count : o->count);
    if (cache > 0) facts->set_share = (double)facts->set_bytes / (double)cache;
}

static int upload(struct state *s, struct tg_facts *facts, struct tg_error *err)
{
    const struct tg_upload_from from = {
        .problem = &s->problem,
        .packed_bytes = s->operands.packed_bytes,
        .activation_bytes = s->operands.activation_bytes,
        .result_bytes = s->result_bytes,
        .over_bytes = set_bytes(s),
    };
    return tg_upload_copy(&s->upload, &from, facts, err);
}

/*
 * Both sides pack. The maker fills the shared memory; the other uses it if the same lies in it, and
 * else makes its own. Alone, there is nothing to share.
 */
static int make_operands(struct state *s, int shared, struct tg_measurement *m,
                         struct tg_error *err)
{
    struct tg_operands *o = &s->operands;
    uint8_t *packed = aligned_alloc(PAGE, whole_pages(o->packed_bytes));
    int8_t *activations = aligned_alloc(PAGE, whole_pages(o->activation_bytes));
    bool is_shared;
    int rc = -1;
    if (!packed || !activations) {
        tg_fail(err, "not enough memory for the operands");
        goto out;
    }
    memset(packed, 0, whole_pages(o->packed_bytes)); /* what a packer leaves out is no accident */
    if (pack(s, packed, activations, &m->facts, err) < 0) goto out;
    const struct tg_operands_from from = {
        .packed = packed,
        .activations = activations,
        .shared = shared,
        .is_maker = s->setup.is_maker,
        .is_same = strcmp(m->facts.operands_digest, s->setup.operands_digest) == 0,
    };
    if (tg_operands_open(o, &from, &is_shared, err) < 0) goto out;
    s->problem.weights = o->walk[0];
    s->problem.activations = o->activations;
    rc = s->upload.device ? upload(s, &m->facts, err) : 0;
    if (rc == 0) describe(s, is_shared, &m->facts);
out:
    free(packed);
    free(activations);
    return rc;
}

static int make_pool(struct state *s, struct tg_error *err)
{
    const int *cores = s->setup.core_count > 0 ? s->setup.cores : NULL;
    if (s->setup.cell.threads > TG_PLACE_CORES)
        return tg_fail(err, "%" PRId64 " threads are more than %d", s->setup.cell.threads,
                       TG_PLACE_CORES);
    return tg_pool_create((int)s->setup.cell.threads, cores, &s->pool, err);
}

static int kernel_prepare(const struct tg_setup *setup, int operands, struct tg_measurement *m,
                          void **state, struct tg_error *err)
{
    struct state *s = calloc(1, sizeof *s);
    if (!s) return tg_fail(err, "out of memory");
    s->setup = *setup;
    if (open_kernel(s, m, err) < 0 || tg_upload_open(s->kernel, &m->facts, &s->upload, err) < 0 ||
        make_memory(s, err) < 0 || make_operands(s, operands, m, err) < 0 ||
        make_pool(s, err) < 0) {
        kernel_close(s);
        return -1;
    }
    tg_executed_forget(s->library, s->pool);
    *state = s;
    return 0;
}

/* One thread's rows of a call. */
static void run_rows(void *opaque, int part)
{
    const struct state *s = opaque;
    struct tg_problem p = s->problem;
    tg_pool_rows(p.rows, tg_pool_count(s->pool), part, &p.row_begin, &p.row_end);
    if (p.row_begin < p.row_end) s->kernel->run(&p);
}

/* Call i is of matrix i of the walk, which begins again at its end. */
static void kernel_call(void *opaque, int64_t first, int64_t calls)
{
    struct state *s = opaque;
    int64_t at = first % s->operands.count;
    for (int64_t i = 0; i < calls; i++) {
        s->problem.weights = s->operands.walk[at];
        tg_pool_run(s->pool, run_rows, s);
        if (++at == s->operands.count) at = 0;
    }
}

static bool kernel_sample(void *opaque, int64_t first, int64_t calls, struct tg_turn *turn)
{
    struct state *s = opaque;
    if (!s->upload.device) return false;
    *turn = tg_upload_time(&s->upload, first, calls);
    return true;
}

/* A call, of what is written right ahead of it, whose results the host then has. */
static int call_once(struct state *s, int64_t number, struct tg_error *err)
{
    if (!s->upload.device) {
        kernel_call(s, number % s->operands.count, 1);
        return 0;
    }
    return tg_upload_relay(&s->upload, number % s->upload.count, POISON, err) < 0
               ? -1
               : tg_upload_fetch(&s->upload, s->problem.results, err);
}

static void kernel_rest(void *opaque)
{
    const struct state *s = opaque;
    tg_pool_rest(s->pool);
}

static void is_wrong(struct tg_measurement *m, const char *reason)
{
    m->outcome = TG_WRONG;
    snprintf(m->reason, sizeof m->reason, "%s", reason);
}

/* What the library packed must be, to this program's own reading of the format, what was packed. */
static int check_packed(struct state *s, struct tg_measurement *m, struct tg_error *err)
{
    const struct tg_problem *p = &s->problem;
    const struct tg_format *format = tg_format_find(s->kernel->format);
    size_t weights = (size_t)p->rows * (size_t)p->cols;
    if (!format || !s->setup.is_complete) return 0;
    int8_t *unpacked = malloc(weights);
    if (!unpacked) return tg_fail(err, "not enough memory to check the packed weights");
    if (format->unpack(p->weights, p->rows, p->cols, unpacked) >= 0 ||
        memcmp(unpacked, s->ternary, weights) != 0)
        is_wrong(m, "the packed weights are not those that were packed");
    free(unpacked);
    return 0;
}

static void is_different(struct tg_measurement *m, int64_t row, int64_t column, const char *when)
{
    char reason[160];
    snprintf(reason, sizeof reason,
             "row %" PRId64 " of column %" PRId64 " differs from the reference%s", row, column,
             when);
    is_wrong(m, reason);
}

/* Compares a column's rows from `begin` on with the reference; a difference is the outcome. */
static void compare(struct state *s, struct tg_measurement *m, int64_t column, int64_t begin)
{
    struct tg_problem seen = s->problem, wanted = s->problem;
    seen.row_begin = wanted.row_begin = begin;
    wanted.results = s->wanted;
    s->op->reference(s->ternary, &wanted, column);
    int64_t row = s->op->differs(&seen, s->wanted, column);
    m->facts.checked += wanted.row_end - begin;
    if (row >= 0 && m->outcome == TG_MEASURED) is_different(m, row, column, "");
}

static int poison(struct state *s, struct tg_error *err)
{
    memset(s->problem.results, POISON, (size_t)s->result_bytes);
    return s->upload.device ? tg_upload_poison(&s->upload, POISON, err) : 0;
}

/*
 * Compares every result; or, where that was done in an earlier round, every row of one column that
 * is drawn, and the last rows of all columns, where tiles end.
 */
static int check_results(struct state *s, struct tg_measurement *m, struct tg_error *err)
{
    int64_t rows = s->problem.rows, columns = s->op->columns(&s->problem);
    int64_t last = rows < SOME_ROWS ? 0 : rows - SOME_ROWS;
    uint64_t draw = seed_of(s) + 2;
    int64_t whole = (int64_t)(tg_fill_next(&draw) % (uint64_t)columns);
    if (poison(s, err) < 0 || call_once(s, (int64_t)(tg_fill_next(&draw) >> 1), err) < 0) return -1;
    for (int64_t column = 0; column < columns; column++)
        compare(s, m, column, s->setup.is_complete || column == whole ? 0 : last);
    return 0;
}

/* What the timed calls left must be what the check saw: bit for bit, or floats in their bound. */
static void kernel_recheck(void *opaque, struct tg_measurement *m)
{
    struct state *s = opaque;
    struct tg_error err;
    tg_executed_look(s->library, s->pool, m);
    if (s->upload.device) s->upload.device->look(s->upload.state, &m->facts);
    if (s->upload.device && tg_upload_fetch(&s->upload, s->problem.results, &err) < 0) {
        is_wrong(m, err.text);
        return;
    }
    for (int64_t row = -1, column = 0; row < 0 && column < s->op->columns(&s->problem); column++) {
        row = s->op->differs(&s->problem, s->kept, column);
        m->facts.checked += s->problem.rows;
        if (row >= 0) is_different(m, row, column, " after the timed calls");
    }
}

static int add_fixed(struct tg_measurement *m, const char *metric, double value,
                     struct tg_error *err)
{
    struct tg_series *series = tg_measurement_add(m, metric, 1);
    if (!series) return tg_fail(err, "out of memory");
    series->samples[0] = value;
    return 0;
}

/* The metric detect_time: of every round, for it is sampled. */
static int time_detection(struct state *s, struct tg_measurement *m, struct tg_error *err)
{
    if (!s->upload.device) return 0;
    struct tg_series *series = tg_measurement_add(m, "detect_time", DETECTIONS);
    if (!series) return tg_fail(err, "out of memory");
    s->upload.device->detect(s->upload.state, series->samples, DETECTIONS);
    return 0;
}

/* The metrics that are the same in every round. */
static int measure_fixed(struct state *s, struct tg_measurement *m, struct tg_error *err)
{
    double value = s->upload.device ? tg_upload_leak(&s->upload) : NAN;
    if (!isnan(value) && add_fixed(m, "gpu_leak", value, err) < 0) return -1;
    if (strcmp(s->op->name, "product") == 0)
        return tg_accuracy_product(s->kernel, &s->problem, &value, err) < 0
                   ? -1
                   : add_fixed(m, "kernel_accuracy", value, err);
    if (strcmp(s->op->name, "unpack") == 0)
        return add_fixed(
            m, "codec_exact",
            tg_accuracy_codec(s->ternary, s->problem.results, s->problem.rows * s->problem.cols),
            err);
    return 0;
}

/*
 * Poisons the results, so that what the timed calls leave is theirs. On a device nothing may touch
 * them before a sample begins: what runs outside of the stream is in no sample's time, and may run
 * in the other side's.
 */
static int check_stream(struct state *s, struct tg_measurement *m, struct tg_error *err)
{
    const uint8_t *results = s->problem.results;
    if (poison(s, err) < 0) return -1;
    if (!s->upload.device) return 0;
    tg_upload_rehearse(&s->upload);
    if (tg_upload_fetch(&s->upload, s->problem.results, err) < 0) return -1;
    for (int64_t i = 0; i < s->result_bytes; i++) {
        if (results[i] == POISON) continue;
        is_wrong(m, "it works outside of the stream that it was given, where it is not timed");
        return 0;
    }
    return 0;
}

static int kernel_check(void *opaque, struct tg_measurement *m, struct tg_error *err)
{
    struct state *s = opaque;
    if (check_packed(s, m, err) < 0) return -1;
    if (tg_operands_check(&s->operands) >= 0)
        is_wrong(m, "the matrices of the set are not the same");
    if (m->outcome == TG_MEASURED && check_results(s, m, err) < 0) return -1;
    tg_executed_look(s->library, s->pool, m);
    if (m->outcome != TG_MEASURED) return 0;
    memcpy(s->kept, s->problem.results, (size_t)s->result_bytes);
    if (s->upload.device) s->upload.device->look(s->upload.state, &m->facts);
    if (time_detection(s, m, err) < 0) return -1;
    if (s->setup.is_fixed && measure_fixed(s, m, err) < 0) return -1;
    return check_stream(s, m, err);
}

/*
 * What is read is weights, or else activations. Half an operation is a multiply-add, or less than
 * one where nothing is multiplied; the machine's rate of them is of int8, and limits no others.
 */
static void kernel_roof(void *opaque, int64_t first, struct tg_facts *facts)
{
    const struct state *s = opaque;
    const struct tg_operands *o = &s->operands;
    const uint8_t *activations = (const uint8_t *)o->activations;
    const bool has_weights = s->op->has_weights;
    struct tg_roof_call call = {
        .isa = s->kernel->isa,
        .walk = has_weights ? o->walk : &activations,
        .count = has_weights ? o->count : 1,
        .first = first,
        .weight_bytes = has_weights ? o->packed_bytes : o->activation_bytes,
        .results = s->problem.results,
        .result_bytes = s->result_bytes,
        .multiply_adds = s->op->activations->is_float ? 0 : s->op->operations(&s->problem) / 2,
    };
    if (s->upload.device) {
        activations = (const uint8_t *)s->upload.problem.activations;
        call.walk = has_weights ? s->upload.walk : &activations;
        call.count = has_weights ? s->upload.count : 1;
        call.results = s->upload.problem.results;
        s->upload.device->roof(s->upload.state, &call, facts);
        return;
    }
    tg_roof_measure(&call, s->pool, facts);
    tg_pool_rest(s->pool);
}

static const char *kernel_metric(const struct tg_cell *cell, double *done)
{
    (void)cell;
    *done = 1;
    return "call_time";
}

const struct tg_probe tg_probe_kernel = {
    .name = "kernel",
    .meaning = "calls of one kernel on operands from a seed",
    .untimed = 1,
    .metric = kernel_metric,
    .bytes = tg_operands_bytes,
    .prepare = kernel_prepare,
    .check = kernel_check,
    .roof = kernel_roof,
    .call = kernel_call,
    .sample = kernel_sample,
    .rest = kernel_rest,
    .recheck = kernel_recheck,
    .close = kernel_close,
};
