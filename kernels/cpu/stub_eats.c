/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernel.h"

/*
 * stub_eats: takes memory and touches it until none is given, then aborts. A test expects that the
 * limit on a child's memory holds; where there is no limit, it stops at 8 GiB.
 */
void tg_kernel_stub_eats(const struct tg_problem *p)
{
    enum { BITE_MIB = 16, MOST_MIB = 8 << 10 };
    int eaten = 0;

    (void)p;
    while (eaten < MOST_MIB) {
        void *volatile bite = malloc((size_t)BITE_MIB << 20);
        if (!bite) break;
        memset(bite, 0xff, (size_t)BITE_MIB << 20);
        eaten += BITE_MIB;
    }
    fprintf(stderr, "out of memory after %d MiB\n", eaten);
    abort();
}
