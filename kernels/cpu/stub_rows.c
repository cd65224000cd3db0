/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernel.h"

/*
 * stub_rows: a product whose last row is not always written.
 *
 * Rows are done in tiles of eight, what is left of them in pairs, and a row by itself only where
 * there are fewer rows than a tile: of 17 rows the last is left as it was. A test expects that the
 * check finds it.
 */

static int64_t tiles(const struct tg_problem *p, int64_t first, int64_t height)
{
    struct tg_problem some = *p;

    while (first + height <= p->row_end) {
        some.row_begin = first;
        some.row_end = first += height;
        tg_kernel_i2s_scalar(&some);
    }
    return first;
}

void tg_kernel_stub_rows(const struct tg_problem *p)
{
    const int64_t first = tiles(p, p->row_begin, 8), left = tiles(p, first, 2);

    if (first == p->row_begin) tiles(p, left, 1);
}
