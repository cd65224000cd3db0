/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cuda/unpack_tl2.cuh"

/* tl2_cuda_unpack_f32: results[r][c] = weight[r][c]; see the header of its layout. */
extern "C" void tg_kernel_tl2_cuda_unpack_f32(const struct tg_problem *p)
{
    tg_unpack_tl2<float>(p);
}
