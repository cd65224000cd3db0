/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/operands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/canary.h"
#include "kernels/fill.h"
#include "kernels/kernel.h"
#include "worker/model/model.h"
#include "worker/probe/pool.h"

#define PAGE 4096
#define LINE 64

static int64_t up_to(int64_t bytes, int64_t multiple)
{
    return (bytes + multiple - 1) / multiple * multiple;
}

static int64_t stride(const struct tg_operands *o)
{
    return up_to(o->packed_bytes, LINE);
}

static int64_t activations_at(const struct tg_operands *o)
{
    return up_to(o->offset + stride(o) * o->count, PAGE) + o->offset;
}

/*
 * How many matrices the set has: no fewer than two, or it would be none. A matrix smaller than a
 * cache line fills one all the same.
 */
static int64_t count_of(const struct tg_operands *o)
{
    if (o->over_bytes <= 0) return 1;
    int64_t each = o->packed_bytes > LINE ? o->packed_bytes : LINE;
    int64_t wanted = o->over_bytes / each + 1, most = o->most_bytes / each;
    int64_t count = wanted < most ? wanted : most;
    return count < 2 ? 2 : count;
}

static int map(struct tg_operands *o, int descriptor, int protection, struct tg_error *err)
{
    int flags = descriptor < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void *mapped = mmap(NULL, o->mapped_bytes, protection, flags, descriptor, 0);
    if (mapped == MAP_FAILED)
        return tg_fail(err, "cannot map %zu bytes of operands: %s", o->mapped_bytes,
                       strerror(errno));
    o->mapped = mapped;
    o->activations = (const int8_t *)mapped + activations_at(o);
    return 0;
}

static void unmap(struct tg_operands *o)
{
    if (o->mapped) munmap(o->mapped, o->mapped_bytes);
    o->mapped = NULL;
}

/*
 * Maps a file for reading only. The descriptor is opened anew for that: a mapping through one that
 * could write counts as a writer, and a sealed file has none.
 */
static int map_file(struct tg_operands *o, int descriptor, struct tg_error *err)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    int reader = open(path, O_RDONLY | O_CLOEXEC);
    if (reader < 0) return tg_fail(err, "cannot open the operands: %s", strerror(errno));
    int rc = map(o, reader, PROT_READ, err);
    close(reader);
    return rc;
}

/* Fills a file, or memory of this process alone, and leaves it mapped for reading only. */
static int make(struct tg_operands *o, const struct tg_operands_from *from, int descriptor,
                struct tg_error *err)
{
    if (descriptor >= 0 && ftruncate(descriptor, (off_t)o->mapped_bytes) < 0)
        return tg_fail(err, "cannot make %zu bytes of operands: %s", o->mapped_bytes,
                       strerror(errno));
    if (map(o, descriptor, PROT_READ | PROT_WRITE, err) < 0) return -1;
    char *to = o->mapped;
    for (int64_t i = 0; i < o->count; i++)
        memcpy(to + o->offset + stride(o) * i, from->packed, (size_t)o->packed_bytes);
    memcpy(to + activations_at(o), from->activations, (size_t)o->activation_bytes);
    if (descriptor < 0) {
        mprotect(o->mapped, o->mapped_bytes, PROT_READ);
        return 0;
    }
    unmap(o);
    return map_file(o, descriptor, err);
}

/* Whether the maker's file is as this side's own would be; then it is mapped. */
static bool take(struct tg_operands *o, const struct tg_operands_from *from)
{
    struct stat status;
    if (fstat(from->shared, &status) < 0 || (size_t)status.st_size != o->mapped_bytes ||
        map_file(o, from->shared, NULL) < 0)
        return false;
    if (memcmp((const char *)o->mapped + o->offset, from->packed, (size_t)o->packed_bytes) == 0 &&
        memcmp(o->activations, from->activations, (size_t)o->activation_bytes) == 0)
        return true;
    unmap(o);
    return false;
}

static int draw_walk(struct tg_operands *o, struct tg_error *err)
{
    o->walk = malloc((size_t)o->count * sizeof *o->walk);
    if (!o->walk) return tg_fail(err, "out of memory");
    for (int64_t i = 0; i < o->count; i++)
        o->walk[i] = (const uint8_t *)o->mapped + o->offset + stride(o) * i;
    for (int64_t i = o->count - 1; i > 0; i--) {
        int64_t other = (int64_t)(tg_fill_next(&o->seed) % (uint64_t)(i + 1));
        const uint8_t *matrix = o->walk[i];
        o->walk[i] = o->walk[other];
        o->walk[other] = matrix;
    }
    return 0;
}

int tg_operands_open(struct tg_operands *operands, const struct tg_operands_from *from,
                     bool *is_shared, struct tg_error *err)
{
    struct tg_operands *o = operands;
    int own = -1;
    o->count = count_of(o);
    o->mapped_bytes = (size_t)up_to(activations_at(o) + o->activation_bytes, PAGE);
    bool shares = from->shared >= 0 && (from->is_maker || (from->is_same && take(o, from)));
    if (!o->mapped) {
        if (from->shared >= 0 && !from->is_maker)
            own = memfd_create("tritgate-operands", MFD_CLOEXEC);
        int rc = make(o, from, from->is_maker ? from->shared : own, err);
        if (own >= 0) close(own);
        if (rc < 0) return -1;
    }
    if (draw_walk(o, err) < 0) {
        unmap(o);
        return -1;
    }
    *is_shared = shares;
    return 0;
}

int64_t tg_operands_check(const struct tg_operands *operands)
{
    const struct tg_operands *o = operands;
    const char *first = (const char *)o->mapped + o->offset;
    for (int64_t i = 1; i < o->count; i++)
        if (memcmp(first + stride(o) * i, first, (size_t)o->packed_bytes) != 0) return i;
    return -1;
}

void tg_operands_close(struct tg_operands *operands)
{
    unmap(operands);
    free(operands->walk);
    operands->walk = NULL;
}

/* What a kernel that this program knows has beyond what a product of two bits a weight has. */
static double own_bytes(const struct tg_cell *cell, int64_t rows, int64_t cols)
{
    const struct tg_kernel *kernel = tg_kernel_find(cell->kernel);
    if (!kernel) return 0;
    const struct tg_op *op = tg_op_find(kernel->op);
    /* Columns that the format does not have are refused later, with that reason. */
    const int64_t multiple = kernel->column_multiple, whole = (cols / multiple + 1) * multiple;
    const struct tg_problem p = {.rows = op->has_weights ? rows : cell->batch,
                                 .cols = whole,
                                 .batch = op->has_weights ? cell->batch : 1};
    /* Packed and mapped; filled and mapped; results, those wanted, those kept. */
    return 2.0 * (double)kernel->packed_bytes(p.rows, whole) +
           2.0 * (double)tg_op_activation_bytes(op, &p) + 3.0 * (double)op->result_bytes(&p);
}

int64_t tg_operands_bytes(const struct tg_cell *cell, const char *file)
{
    (void)file; /* which only whole models have */
    int64_t rows, cols;
    if (tg_model_shape(cell->model, cell->layer, &rows, &cols, NULL) < 0) return -1;
    if (cell->batch > 100000000) return INT64_MAX;
    /*
     * Plain weights, unpacked ones, packed ones, results beside wanted results, the canary's, the
     * stacks of threads.
     */
    double bytes = 2.5 * (double)rows * (double)cols +
                   (double)cell->batch * ((double)cols * 9 + (double)rows * 8) +
                   2.0 * (double)rows * (double)cols + own_bytes(cell, rows, cols) +
                   TG_CANARY_BYTES + (double)(cell->threads - 1) * TG_POOL_STACK_BYTES;
    return bytes < 9e18 ? (int64_t)bytes : INT64_MAX;
}
