/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cuda/unpack_i2s.cuh"

/* i2s_cuda_unpack_f16: results[r][c] = weight[r][c]; see the header of its layout. */
extern "C" void tg_kernel_i2s_cuda_unpack_f16(const struct tg_problem *p)
{
    tg_unpack_i2s<uint16_t>(p);
}
