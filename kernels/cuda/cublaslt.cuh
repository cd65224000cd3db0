/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_CUBLASLT_CUH
#define TG_KERNELS_CUDA_CUBLASLT_CUH

#include "kernels/kernel.h"

/*
 * Dense products as NVIDIA's cuBLASLt has them: not ours, but what ours are held beside. The
 * library is the machine's: it is opened when the first such kernel is asked for, and neither
 * linked nor shipped.
 *
 * What a process needs is made by its first call and kept: a handle and a workspace, and for each
 * shape what the library's heuristics choose for it. Later calls of the shape allocate nothing and
 * can be captured into a graph. The calls of a process follow each other: in one stream, or waited
 * for, as they all have the one workspace.
 */

enum tg_cublaslt_number { TG_CUBLASLT_F32, TG_CUBLASLT_F16, TG_CUBLASLT_BF16 };

/* The product of weights and activations of that type, with sums and results of f32. */
void tg_cublaslt_product(const struct tg_problem *p, enum tg_cublaslt_number number);

#endif
