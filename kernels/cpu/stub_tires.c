/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernel.h"

#define RIGHT_CALLS 100

/* stub_tires: the scalar product, right a hundred times; then the last row is off by one. */
void tg_kernel_stub_tires(const struct tg_problem *p)
{
    static int calls;
    tg_kernel_i2s_scalar(p);
    if (calls < RIGHT_CALLS)
        calls++;
    else if (p->row_begin < p->row_end)
        ((int32_t *)p->results)[p->row_end - 1] += 1;
}
