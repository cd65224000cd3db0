/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/probe/edges.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fill.h"

#define POISON 0x5a

struct shape {
    int64_t rows, multiples, batch, row_begin, row_end;
};

enum values { RANDOM, ALL_PLUS, ALL_MINUS, VALUES };

static const char *const value_names[VALUES] = {"random", "all +1 with 127", "all -1 with -127"};

/* multiples is of the format's least number of columns; 0 stands for long rows. */
static const struct shape shapes[] = {{1, 1, 1, 0, 1},    {3, 1, 1, 0, 3},     {5, 3, 2, 0, 5},
                                      {17, 2, 3, 0, 17},  {16, 5, 1, 5, 11},   {33, 1, 7, 1, 32},
                                      {64, 20, 1, 0, 64}, {64, 20, 9, 13, 50}, {4, 0, 1, 0, 4},
                                      {7, 0, 8, 0, 7}};

#define LONG_COLUMNS 14336

struct edge {
    struct tg_problem problem;
    int8_t *ternary;
    uint8_t *packed;
    int8_t *activations;
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

static bool make(const struct tg_kernel *kernel, const struct tg_op *op, const struct shape *shape,
                 enum values values, struct edge *e)
{
    struct tg_problem *p = &e->problem;
    int64_t multiple = kernel->column_multiple;
    p->rows = shape->rows;
    p->cols = shape->multiples ? shape->multiples * multiple : LONG_COLUMNS / multiple * multiple;
    p->batch = shape->batch;
    p->row_begin = shape->row_begin;
    p->row_end = shape->row_end;
    size_t weights = (size_t)(p->rows * p->cols), inputs = (size_t)(p->batch * p->cols);
    e->result_bytes = (size_t)op->result_bytes(p);
    e->ternary = malloc(weights);
    e->packed = lines(kernel->packed_bytes(p->rows, p->cols));
    e->activations = lines((int64_t)inputs);
    e->results = lines((int64_t)e->result_bytes);
    e->wanted = lines((int64_t)e->result_bytes);
    if (!e->ternary || !e->packed || !e->activations || !e->results || !e->wanted) return false;
    tg_fill_ternary((uint64_t)(shape - shapes) + 1, e->ternary, weights);
    tg_fill_int8((uint64_t)(shape - shapes) + 100, e->activations, inputs);
    if (values != RANDOM) {
        memset(e->ternary, values == ALL_PLUS ? 1 : -1, weights);
        memset(e->activations, values == ALL_PLUS ? 127 : -127, inputs);
    }
    kernel->pack(e->ternary, p->rows, p->cols, e->packed);
    p->weights = e->packed;
    p->activations = e->activations;
    return true;
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
    kernel->run(&e->problem);
    for (int64_t column = 0; column < op->columns(&wanted); column++) {
        op->reference(e->ternary, &wanted, column);
        int64_t row = op->differs(&e->problem, wanted.results, column);
        if (row < 0) continue;
        snprintf(reason, size, "row %" PRId64 " of column %" PRId64 " differs", row, column);
        return false;
    }
    if (memcmp(e->results, e->wanted, e->result_bytes) == 0) return true;
    snprintf(reason, size, "it wrote outside its rows");
    return false;
}

int tg_edges_check(const struct tg_kernel *kernel, char *reason, size_t size)
{
    const struct tg_op *op = tg_op_find(kernel->op);
    int done = 0;
    if (!op) {
        snprintf(reason, size, "no operation '%s' in this program", kernel->op);
        return -1;
    }
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (int values = RANDOM; values < VALUES; values++, done++) {
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
