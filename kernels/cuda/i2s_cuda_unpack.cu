/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cuda/unpack_i2s.cuh"

/* i2s_cuda_unpack: results[r][c] = weight[r][c]; see the header of its layout. */
extern "C" void tg_kernel_i2s_cuda_unpack(const struct tg_problem *p)
{
    tg_unpack_i2s<int8_t>(p);
}
