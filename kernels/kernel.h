/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_KERNEL_H
#define TG_KERNELS_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The kernels, one row each, and the table by which a build of them is opened from outside.
 *
 * This room is built twice: into the program, and as libtritgate-kernels.so, whose one exported
 * symbol tritgate_kernels_v1 gives this table. A process asked for another build's kernels opens
 * that build's library, so that two builds can be compared while both are alive.
 */

typedef void (*tg_kernel_fn)(const struct tg_problem *p);
typedef void (*tg_pack_fn)(const int8_t *ternary, int64_t rows, int64_t cols, uint8_t *packed);
typedef int64_t (*tg_packed_bytes_fn)(int64_t rows, int64_t cols);
typedef int (*tg_here_fn)(void);

struct tg_kernel {
    const char *name;
    const char *op;
    const char *format;
    const char *isa;
    const char *device; /* cpu, cuda or fake */
    const char *source; /* where the idea comes from */
    tg_kernel_fn run;   /* NULL when this build left it out */
    tg_here_fn here;    /* whether this machine can run it */
    tg_pack_fn pack;
    tg_packed_bytes_fn packed_bytes;
    int64_t column_multiple;
};

/* The version of the table, and the oldest that this program reads. */
#define TG_LIBRARY_ABI    2u
#define TG_LIBRARY_OLDEST 1u
#define TG_LIBRARY_EXPORT __attribute__((visibility("default")))

/* Calls of functions that were compiled for an instruction set, by one thread. */
struct tg_calls {
    const char *isa;
    uint64_t count;
};

/*
 * A build of the kernels. `abi`, `problem_bytes` and `kernel_bytes` are checked before anything
 * else is read. `injected_percent` is not 0 in a library that was slowed on purpose, `is_debug` not
 * 0 in one built with assertions: reports name both.
 */
struct tg_library {
    uint32_t abi;
    uint32_t problem_bytes;
    uint32_t kernel_bytes;
    uint32_t injected_percent;
    uint32_t is_debug;
    const char *build; /* compiler, version and flags */
    const struct tg_kernel *kernels;
    uint64_t kernel_count;

    /*
     * Since version 2: the `isa_count` counts of the calling thread. They are made in the dispatch:
     * every function of a kernel, whoever calls it, is entered through a few instructions that
     * count its instruction set. So a row that leads to another kernel's function, or a kernel
     * that has its work done by another one, shows. They may be set to 0.
     */
    uint64_t isa_count;
    struct tg_calls *(*calls)(void);
};

/* The table of this build: in the program its own, in a library opened by path the library's. */
TG_LIBRARY_EXPORT const struct tg_library *tritgate_kernels_v1(void);

typedef const struct tg_library *(*tg_library_fn)(void);

/* The row of that name of this build, or NULL. */
const struct tg_kernel *tg_kernel_find(const char *name);

/*
 * The function of each row, in <device>/<name>.c or .cu; absent where it is not built. There, and
 * only there, the build gives it the name tg_body_<name>: what others call is the dispatch.
 */
#define KERNEL(name, op, format, isa, source) void tg_kernel_##name(const struct tg_problem *p);
#include "kernels/kernels.def"
#undef KERNEL

#ifdef __cplusplus
}
#endif
#endif
