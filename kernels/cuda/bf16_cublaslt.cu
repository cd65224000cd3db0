/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cuda/cublaslt.cuh"

/* bf16_cublaslt: dense product of bf16 by cuBLASLt, summed in f32; see cublaslt.cuh. */

extern "C" void tg_kernel_bf16_cublaslt(const struct tg_problem *p)
{
    tg_cublaslt_product(p, TG_CUBLASLT_BF16);
}
