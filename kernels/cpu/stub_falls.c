/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernel.h"

/* stub_falls: right, but by the scalar kernel. Its instruction set must not be said to have run. */
void tg_kernel_stub_falls(const struct tg_problem *p)
{
    tg_kernel_i2s_scalar(p);
}
