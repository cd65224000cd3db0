/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernel.h"

/* stub_wrong: the scalar product, off by one in the last row of the call's first column. */
void tg_kernel_stub_wrong(const struct tg_problem *p)
{
    tg_kernel_i2s_scalar(p);
    if (p->row_begin < p->row_end) ((int32_t *)p->results)[p->row_end - 1] += 1;
}
