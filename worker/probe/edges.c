/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/edges.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fill.h"
#include "worker/probe/device.h"

#define POISON 0x5a

struct shape {
    int64_t rows, multiples, batch, row_begin, row_end;
};

/* Of these, integers have the first eight: what comes after is of floating-point numbers. */
enum values {
    RANDOM,
    ALL_PLUS,
    ALL_MINUS,
    OPPOSITE,
    CHECKERBOARD,
    SINGLE,
    ZEROS,
    ALIKE,
    HALVES,
    TINY,
    NOT_FINITE,
    VALUES,
    INTEGER_VALUES = HALVES
};

static const char *const value_names[VALUES] = {
    "random",           "all +1 with 127",
    "all -1 with -127", "all +1 with -127",
    "checkerboard",     "one weight that is not 0",
    "runs of zeros",    "all alike",
    "halves",           "tiny",
    "not finite",
};

/*
 * Multiples below COLUMNS_LEAST are of the format's least number of columns, others are columns,
 * or the most below them that the format can have: those of layers.
 */
#define COLUMNS_LEAST 1000

static const struct shape shapes[] = {
    {1, 1, 1, 0, 1},
    {3, 1, 1, 0, 3},
    {5, 3, 2, 0, 5},
    {17, 2, 3, 0, 17},
    {16, 5, 1, 5, 11},
    {33, 1, 7, 1, 32},
    {64, 20, 1, 0, 64},
    {64, 20, 9, 13, 50},
    {4, 14336, 1, 0, 4},
    {7, 14336, 5, 0, 7},
    {37, 2560, 2, 0, 37},
    {5, 2560, 33, 0, 5},
    {19, 6912, 1, 0, 19},
    {3, 6912, 7, 0, 3},
    {5, 1003, 31, 0, 5},
    {18, 3, 32, 0, 18},
    {35, 1, 33, 16, 35},
    {2, 7, 128, 0, 2},
    {7, 77, 2, 0, 7},
    {9, 2, 141, 0, 9},
    /* random, and the largest sums: more tokens than any kernel takes at a time, on long rows */
    {3, 2560, 131, 0, 3},
    /* of TL1 and TL2: published shapes, whose tiles are larger; products have all values in one */
    {1536, 1536, 2, 37, 150},
    {1024, 4096, 9, 240, 272},
    /* of a device: rows for all its multiprocessors, in all widths that a row may have */
    {1000, 4096, 1, 1, 999},
    {8000, 2304, 1, 0, 8000},
    {9000, 2560, 1, 7, 9000},
    {9000, 3072, 1, 0, 9000},
    {11000, 2816, 1, 0, 11000},
    {300, 8192, 1, 0, 300},
    {2500, 8192, 1, 0, 2499},
    {1000, 9216, 1, 0, 1000},
    {1000, 12416, 1, 3, 1000},
    {300, 24576, 1, 0, 300},
    {70, 33024, 1, 0, 70},
};

enum { SHAPES = sizeof shapes / sizeof *shapes, LARGE = 11, PUBLISHED = 2, MANY = 1 };

struct edge {
    struct tg_problem problem;
    int8_t *ternary;
    uint8_t *packed;
    void *activations;
    uint8_t *results, *wanted;
    size_t result_bytes;
};

static void free_edge(struct edge *e)
{
    free(e->ternary);
    free(e->packed);
    free(e->activations);
    free(e->results);
    free(e->wanted);
}

static void *lines(int64_t bytes)
{
    return aligned_alloc(64, ((size_t)bytes + 63) / 64 * 64);
}

static void fill_weights(struct edge *e, enum values values, uint64_t seed)
{
    const struct tg_problem *p = &e->problem;
    const size_t weights = (size_t)(p->rows * p->cols);

    if (values == CHECKERBOARD) {
        for (size_t i = 0; i < weights; i++) e->ternary[i] = (i + i / (size_t)p->cols) % 2 ? 1 : -1;
    } else if (values == SINGLE) {
        memset(e->ternary, 0, weights);
        e->ternary[p->row_end * p->cols - 1] = -1;
    } else if (values == ALL_PLUS || values == ALL_MINUS || values == OPPOSITE || values == ALIKE) {
        memset(e->ternary, values == ALL_MINUS ? -1 : 1, weights);
    } else {
        tg_fill_ternary(seed + 1, e->ternary, weights);
    }
}

/* The f32 below 1e-5, and every second token the next one, which is above, or zeros. */
static float largest_tiny(size_t token)
{
    return token % 3 == 2 ? 0 : token % 3 == 1 ? nextafterf(1e-5f, 1) : 1e-5f;
}

/*
 * Small numbers among runs of 32 zeros, and of 256. Every third token is all zeros, or has but one
 * number, 1/3: no order of summation rounds it, and it has all bits of its type.
 */
static float sparse(size_t token, size_t at, size_t cols)
{
    if (token % 6 == 1 && at == token * 37 % cols) return 1 / 3.0f;
    if (token % 3 == 1 || at / 32 % 2 == 1 || at / 256 % 2 == 1) return 0;
    return (float)((int)(at * 37 % 31) - 15);
}

/*
 * Numbers of which sums of two or three have the largest low halves (kernels/cpu/tables_avx2.h):
 * 7 twice is 14, 23 twice and 5 or 36 three times are 15 above a multiple of 31, 70 twice 15 below.
 */
static float alike(size_t token)
{
    static const float numbers[] = {7, 23, 5, 36, 70};
    return numbers[token % 5];
}

/* Every fourth token has a NaN: one at its end, the next at a third of it, the next at its
 * beginning. */
static bool is_none(size_t token, size_t at, size_t cols)
{
    return token % 4 == 0 && at == (token % 12 == 0 ? cols - 1 : token % 12 == 4 ? cols / 3 : 0);
}

/* Number i of the activations, whose tokens have `cols` each. */
static float value_of(enum values values, size_t i, size_t cols)
{
    const size_t token = i / cols, at = i % cols;
    switch (values) {
    case ALL_PLUS: return 127;
    case ALL_MINUS:
    case OPPOSITE: return -127;
    case CHECKERBOARD: return i % 2 ? 127 : -127;
    case ZEROS: return sparse(token, at, cols);
    case ALIKE: return alike(token);
    case HALVES: return at == 0 ? 127 : (float)((int)(i * 37 % 255) - 127) / 2;
    case TINY: return at == 0 ? largest_tiny(token) : (float)((int)(i % 7) - 3) * 1e-40f;
    case NOT_FINITE:
        if (is_none(token, at, cols)) return NAN;
        if (token % 4 == 1 && at == cols / 2) return INFINITY;
        if (token % 4 == 2 && at == 0) return -INFINITY;
        return (float)((int)(i % 9) - 4);
    default: return 0;
    }
}

static void fill_activations(struct edge *e, const struct tg_op *op, enum values values,
                             uint64_t seed)
{
    const size_t cols = (size_t)e->problem.cols;
    const size_t count = (size_t)tg_op_activation_count(op, &e->problem);

    if (values == RANDOM || values == SINGLE) {
        op->activations->fill(seed + 100, e->activations, count);
        /* Shapes that have random values only have their runs of zeros among these. */
        for (size_t i = 0; seed >= SHAPES - LARGE - PUBLISHED && i < count; i++)
            if (i % cols / 32 % 8 == 7) op->activations->put(e->activations, i, 0);
        return;
    }
    /* Single tokens, too, have all that others have. */
    const size_t before = values == ZEROS || values == ALIKE ? seed * cols : 0;
    for (size_t i = 0; i < count; i++)
        op->activations->put(e->activations, i, value_of(values, before + i, cols));
}

static bool make(const struct tg_kernel *kernel, const struct tg_op *op, const struct shape *shape,
                 enum values values, struct edge *e)
{
    struct tg_problem *p = &e->problem;
    int64_t multiple = kernel->column_multiple;
    p->rows = shape->rows;
    p->cols = shape->multiples < COLUMNS_LEAST ? shape->multiples * multiple
                                               : shape->multiples / multiple * multiple;
    p->batch = shape->batch;
    p->row_begin = shape->row_begin;
    p->row_end = shape->row_end;
    size_t weights = (size_t)(p->rows * p->cols);
    e->result_bytes = (size_t)op->result_bytes(p);
    e->ternary = malloc(weights);
    e->packed = lines(kernel->packed_bytes(p->rows, p->cols));
    e->activations = lines(tg_op_activation_bytes(op, p));
    e->results = lines((int64_t)e->result_bytes);
    e->wanted = lines((int64_t)e->result_bytes);
    if (!e->ternary || !e->packed || !e->activations || !e->results || !e->wanted) return false;
    fill_weights(e, values, (uint64_t)(shape - shapes));
    fill_activations(e, op, values, (uint64_t)(shape - shapes));
    kernel->pack(e->ternary, p->rows, p->cols, e->packed);
    p->weights = e->packed;
    p->activations = e->activations;
    return true;
}

/*
 * Whether every byte that is none of the rows' is as it was. Which these are the reference shows:
 * it leaves them at either poison. Where results have a bound, the others need not be its own.
 */
static bool is_untouched(const struct tg_op *op, struct edge *e)
{
    struct tg_problem again = e->problem;
    uint8_t *other = lines((int64_t)e->result_bytes);
    bool untouched = other != NULL;
    if (!untouched) return false;
    memset(other, (uint8_t)~POISON, e->result_bytes);
    again.results = other;
    for (int64_t column = 0; column < op->columns(&again); column++)
        op->reference(e->ternary, &again, column);
    for (size_t i = 0; i < e->result_bytes && untouched; i++)
        untouched = other[i] == e->wanted[i] || e->results[i] == POISON;
    free(other);
    return untouched;
}

/* The kernel's results must be the reference's, and every byte outside the range untouched. */
static bool compare(const struct tg_kernel *kernel, const struct tg_op *op, struct edge *e,
                    char *reason, size_t size)
{
    struct tg_problem wanted = e->problem;
    memset(e->results, POISON, e->result_bytes);
    memset(e->wanted, POISON, e->result_bytes);
    e->problem.results = e->results;
    wanted.results = e->wanted;
    struct tg_error err;
    if (tg_device_call(kernel, op, &e->problem, &err) < 0) {
        snprintf(reason, size, "%s", err.text);
        return false;
    }
    for (int64_t column = 0; column < op->columns(&wanted); column++) {
        op->reference(e->ternary, &wanted, column);
        int64_t row = op->differs(&e->problem, wanted.results, column);
        if (row < 0) continue;
        snprintf(reason, size, "row %" PRId64 " of column %" PRId64 " differs", row, column);
        return false;
    }
    if (memcmp(e->results, e->wanted, e->result_bytes) == 0 || is_untouched(op, e)) return true;
    snprintf(reason, size, "it wrote outside its rows");
    return false;
}

/* Of how many kinds of values a kernel has edges of this shape; those of a device are random. */
static int kinds_of(const struct tg_kernel *kernel, const struct tg_op *op, int shape)
{
    if (shape >= SHAPES - LARGE)
        return strcmp(kernel->device, "cpu") != 0 && strcmp(kernel->op, "product") == 0;
    if (shape >= SHAPES - LARGE - PUBLISHED) {
        if (strcmp(kernel->format, "tl1") != 0 && strcmp(kernel->format, "tl2") != 0) return 0;
        const bool is_first = shape == SHAPES - LARGE - PUBLISHED;
        return is_first && strcmp(kernel->op, "product") == 0 ? INTEGER_VALUES : 1;
    }
    if (shape >= SHAPES - LARGE - PUBLISHED - MANY) return ALL_PLUS + 1;
    return op->activations->is_float ? VALUES : INTEGER_VALUES;
}

int tg_edges_check(const struct tg_kernel *kernel, char *reason, size_t size)
{
    const struct tg_op *op = tg_op_find(kernel->op);
    int done = 0;
    if (!op) {
        snprintf(reason, size, "no operation '%s' in this program", kernel->op);
        return -1;
    }
    for (int s = 0; s < SHAPES; s++) {
        const int kinds = kinds_of(kernel, op, s);
        for (int values = RANDOM; values < kinds; values++, done++) {
            struct edge e = {0};
            char why[128] = "out of memory";
            bool good = make(kernel, op, &shapes[s], (enum values)values, &e) &&
                        compare(kernel, op, &e, why, sizeof why);
            if (!good)
                snprintf(reason, size,
                         "%s (%" PRId64 "x%" PRId64 ", batch %" PRId64 ", rows %" PRId64
                         " to %" PRId64 ", %s)",
                         why, e.problem.rows, e.problem.cols, e.problem.batch, e.problem.row_begin,
                         e.problem.row_end, value_names[values]);
            free_edge(&e);
            if (!good) return -1;
        }
    }
    return done;
}
