/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cuda/cublaslt.cuh"

/* f32_cublaslt: dense product of f32 by cuBLASLt, summed in f32; see cublaslt.cuh. */

extern "C" void tg_kernel_f32_cublaslt(const struct tg_problem *p)
{
    tg_cublaslt_product(p, TG_CUBLASLT_F32);
}
