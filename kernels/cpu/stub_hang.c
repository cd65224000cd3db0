/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "kernels/kernel.h"

/* stub_hang: never returns, and sleeps meanwhile. A test expects it to be killed at its deadline.
 */
void tg_kernel_stub_hang(const struct tg_problem *p)
{
    (void)p;
    for (;;) pause();
}
