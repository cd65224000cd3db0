/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/kernel.h"

/*
 * stub_recalls: the scalar product the first time, then a copy of it, as long as it is called for
 * the same memory. Its results are right, and no one can be that fast who reads the weights.
 */

enum { BYTES_MOST = 1 << 20 };

void tg_kernel_stub_recalls(const struct tg_problem *p)
{
    static struct tg_problem before;
    static char kept[BYTES_MOST];
    const size_t bytes = (size_t)(p->batch * p->rows) * sizeof(int32_t);
    const int is_same = p->weights == before.weights && p->activations == before.activations &&
                        p->results == before.results && p->rows == before.rows &&
                        p->cols == before.cols && p->batch == before.batch;

    if (is_same) {
        memcpy(p->results, kept, bytes);
        return;
    }
    tg_kernel_i2s_scalar(p);
    if (bytes > BYTES_MOST || p->row_begin != 0 || p->row_end != p->rows) return;
    memcpy(kept, p->results, bytes);
    before = *p;
}
