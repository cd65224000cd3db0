/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernel.h"

/* stub_twice: the scalar product, done twice: right, and half as fast. A test expects it slower. */
void tg_kernel_stub_twice(const struct tg_problem *p)
{
    tg_kernel_i2s_scalar(p);
    tg_kernel_i2s_scalar(p);
}
