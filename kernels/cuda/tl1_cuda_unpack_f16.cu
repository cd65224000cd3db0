/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cuda/unpack_tl1.cuh"

/* tl1_cuda_unpack_f16: results[r][c] = weight[r][c]; see the header of its layout. */
extern "C" void tg_kernel_tl1_cuda_unpack_f16(const struct tg_problem *p)
{
    tg_unpack_tl1<uint16_t>(p);
}
