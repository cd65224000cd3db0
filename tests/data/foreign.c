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

static void do_nothing(const struct tg_problem *p)
{
    (void)p;
}

static int is_here(void)
{
    return 1;
}

const struct tg_library *tritgate_kernels_v1(void)
{
    static const struct tg_kernel kernel = {.name = "foreign_cuda",
                                            .op = "product",
                                            .format = "i2s",
                                            .isa = "cuda",
                                            .device = "cuda",
                                            .run = do_nothing,
                                            .here = is_here,
                                            .column_multiple = 128};
    /* By its name the host's. */
    static const struct tg_kernel moved = {.name = "i2s_scalar",
                                           .op = "product",
                                           .format = "i2s",
                                           .isa = "fake",
                                           .device = "fake",
                                           .run = do_nothing,
                                           .here = is_here,
                                           .column_multiple = 128};
    static struct tg_library library;

    library.abi = is("newer") ? TG_LIBRARY_ABI + 1 : is("older") ? 1 : TG_LIBRARY_ABI;
    library.problem_bytes = sizeof(struct tg_problem);
    library.kernel_bytes = is("larger") ? sizeof(struct tg_kernel) + 8 : sizeof(struct tg_kernel);
    library.build = "foreign";
    library.is_debug = 1;
    library.injected_percent = 7;
    library.kernels = is("moved") ? &moved : &kernel;
    library.kernel_count = is("cuda") || is("moved");
    return is("empty") ? NULL : &library;
}
