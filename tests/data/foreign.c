/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/kernel.h"

/* A library that is not of this program, for tests: what is wrong with it is told by TG_FOREIGN. */

static int is(const char *manner)
{
    const char *told = getenv("TG_FOREIGN");
    return told && strcmp(told, manner) == 0;
}

__attribute__((constructor)) static void load(void)
{
    if (is("crashes")) abort();
    if (is("exits")) _exit(5);
    while (is("hangs")) pause();
}

const struct tg_library *tritgate_kernels_v1(void)
{
    static struct tg_library library;

    library.abi = is("newer") ? TG_LIBRARY_ABI + 1 : TG_LIBRARY_ABI;
    library.problem_bytes = sizeof(struct tg_problem);
    library.kernel_bytes = is("larger") ? sizeof(struct tg_kernel) + 8 : sizeof(struct tg_kernel);
    library.build = "foreign";
    library.is_debug = 1;
    library.injected_percent = 7;
    return is("empty") ? NULL : &library;
}
