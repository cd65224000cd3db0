/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernel.h"

/*
 * stub_column: a product of a batch whose last column is not always written.
 *
 * Batches up to eight have a loop of their own, one column at a time. Larger ones are done in tiles
 * of two columns, and nothing comes after the tiles: of 9 columns, or 31, the last is left as it
 * was. A test expects that the check finds it.
 */

static void some_columns(const struct tg_problem *p, int64_t first, int64_t columns)
{
    struct tg_problem some = *p;

    some.activations = p->activations + first * p->cols;
    some.results = (int32_t *)p->results + first * p->rows;
    some.batch = columns;
    tg_kernel_i2s_scalar(&some);
}

void tg_kernel_stub_column(const struct tg_problem *p)
{
    if (p->batch <= 8) {
        some_columns(p, 0, p->batch);
        return;
    }
    for (int64_t b = 0; b + 2 <= p->batch; b += 2) some_columns(p, b, 2);
}
