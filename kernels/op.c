/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/op.h"

#include <assert.h>
#include <string.h>

/* What a row says that its rows are, as has_weights. */
enum { ROWS_OF_TOKENS = 0, ROWS_OF_WEIGHTS = 1 };

static const struct tg_op ops[] = {
#define OP(name, numbers, rows, meaning)                                                           \
    {#name,                                                                                        \
     meaning,                                                                                      \
     &tg_number_##numbers,                                                                         \
     ROWS_OF_##rows,                                                                               \
     tg_op_##name##_result_bytes,                                                                  \
     tg_op_##name##_reference,                                                                     \
     tg_op_##name##_differs,                                                                       \
     tg_op_##name##_columns,                                                                       \
     tg_op_##name##_weight_bytes,                                                                  \
     tg_op_##name##_operations},
#include "kernels/ops.def"
#undef OP
};

size_t tg_op_count(void)
{
    return sizeof ops / sizeof ops[0];
}

const struct tg_op *tg_op_at(size_t i)
{
    assert(i < tg_op_count());
    return &ops[i];
}

const struct tg_op *tg_op_find(const char *name)
{
    for (size_t i = 0; i < tg_op_count(); i++) {
        if (strcmp(ops[i].name, name) == 0) return &ops[i];
    }
    return NULL;
}

int64_t tg_op_activation_count(const struct tg_op *op, const struct tg_problem *p)
{
    return (op->has_weights ? p->batch : p->rows) * p->cols;
}

int64_t tg_op_activation_bytes(const struct tg_op *op, const struct tg_problem *p)
{
    return tg_op_activation_count(op, p) * op->activations->bytes;
}
