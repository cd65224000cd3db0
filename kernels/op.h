/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_OP_H
#define TG_KERNELS_OP_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/number.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What is computed: operations, each with the layout of its results, an exact reference, and the
 * bytes and operations that one call moves. A kernel is one way to compute an operation; it is
 * right when its results equal the reference's.
 *
 * The reference works on plain ternary weights (int8, -1 0 +1), never on packed ones, so that a
 * packer and a kernel that are wrong in the same way do not agree with it.
 */

/* Most columns of a problem: kernels may count on it, whoever calls one must see to it. */
#define TG_COLUMNS_MOST 131072

/*
 * One call of a kernel: caller-owned operands and the rows to compute.
 *
 *   weights      packed as the kernel's format says, 64-byte aligned
 *   activations  of the operation's type of numbers, row-major, 64-byte aligned: batch x cols, or
 *                rows x cols where the rows are tokens; int8 are -127..127
 *   results      as the operation says, 64-byte aligned; only those of rows row_begin..row_end-1
 *                are written
 */
struct tg_problem {
    const uint8_t *weights;
    union { /* one pointer; who sets any of them sets all */
        const int8_t *activations;
        const float *activations_f32;
        const uint16_t *activations_16; /* f16 or bf16 */
    };
    void *results;
    int64_t rows, cols, batch;
    int64_t row_begin, row_end;
    void *stream; /* of a device that has streams, else NULL */
};

struct tg_op {
    const char *name;
    const char *meaning;
    const struct tg_number *activations; /* the type of their numbers */

    /*
     * Whether rows are those of weights. If not, they are tokens: there are no weights to read, the
     * activations are rows x cols, batch is 1, and what is a batch elsewhere are the rows.
     */
    int has_weights;

    /* Bytes of the results of a whole problem: rows x cols x batch as in p. */
    int64_t (*result_bytes)(const struct tg_problem *p);

    /*
     * Computes batch column `column` of rows row_begin..row_end-1 into p->results exactly, from
     * plain weights (int8, rows x cols). An operation without activations has the one column 0.
     */
    void (*reference)(const int8_t *ternary, const struct tg_problem *p, int64_t column);

    /*
     * Compares batch column `column` of rows row_begin..row_end-1. Returns the first row that
     * differs, or -1 when all are equal.
     */
    int64_t (*differs)(const struct tg_problem *p, const void *wanted, int64_t column);

    /* Batch columns that a call of this problem computes. */
    int64_t (*columns)(const struct tg_problem *p);

    /* Of one call: bytes of packed weights read, and additions and multiplications done. */
    double (*weight_bytes)(const struct tg_problem *p, int64_t packed_bytes);
    double (*operations)(const struct tg_problem *p);
};

/* The row of ops.def of that name, or NULL. */
const struct tg_op *tg_op_find(const char *name);

/* The rows in order; tg_op_at(i) for i < tg_op_count(). */
size_t tg_op_count(void);
const struct tg_op *tg_op_at(size_t i);

/* Numbers of the activations of a whole problem, and their bytes. */
int64_t tg_op_activation_count(const struct tg_op *op, const struct tg_problem *p);
int64_t tg_op_activation_bytes(const struct tg_op *op, const struct tg_problem *p);

/* The functions of each row, in its op_<name>.c. */
#define OP(name, numbers, rows, meaning)                                                           \
    int64_t tg_op_##name##_result_bytes(const struct tg_problem *p);                               \
    void tg_op_##name##_reference(const int8_t *ternary, const struct tg_problem *p,               \
                                  int64_t column);                                                 \
    int64_t tg_op_##name##_differs(const struct tg_problem *p, const void *wanted,                 \
                                   int64_t column);                                                \
    int64_t tg_op_##name##_columns(const struct tg_problem *p);                                    \
    double tg_op_##name##_weight_bytes(const struct tg_problem *p, int64_t packed_bytes);          \
    double tg_op_##name##_operations(const struct tg_problem *p);
#include "kernels/ops.def"
#undef OP

#ifdef __cplusplus
}
#endif
#endif
