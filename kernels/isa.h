/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_ISA_H
#define TG_KERNELS_ISA_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Instruction sets: what a kernel is compiled for, and whether this machine has it. */

struct tg_isa {
    const char *name;
    const char *device;    /* cpu, cuda or fake */
    const char *processor; /* any, or the one whose compiler can build it */
    const char *flags;     /* of the compiler */
    int is_built;          /* this build has its kernels */
    int (*here)(void);     /* this machine can run it; 0 where it is not built */
};

/* The row of isa.def of that name, or NULL. */
const struct tg_isa *tg_isa_find(const char *name);

/* The rows in order; tg_isa_at(i) for i < tg_isa_count(). */
size_t tg_isa_count(void);
const struct tg_isa *tg_isa_at(size_t i);

/*
 * Whether the first CUDA device that this process may use has a compute capability of `least` or
 * more and less than `below`, as 10 times the major number plus the minor one. 0 without a driver
 * or a device. Starts the driver in this process, which takes a second. It is in cuda/isa_cuda.cu.
 */
int tg_isa_cuda(int least, int below);

/*
 * Whether cuBLASLt is on this machine: libcublasLt.so.13, else .12, where the loader looks or in
 * /usr/local/cuda/lib64, made for a CUDA that the driver has. Opens it in this process, for good.
 * It is in cuda/cublaslt.cu.
 */
int tg_isa_cublaslt(void);

/* Whether this processor converts f16, which not all compilers know how to ask; 0 but on x86-64. */
int tg_isa_f16c(void);

/* The same of dpbusd without AVX-512: clang 14 does not know its name. */
int tg_isa_avxvnni(void);

/* The `here` of each row. */
#define ISA(NAME, name, device, processor, flags, test) int tg_isa_here_##NAME(void);
#include "kernels/isa.def"
#undef ISA

#ifdef __cplusplus
}
#endif
#endif
