/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_BULK_CUH
#define TG_KERNELS_CUDA_BULK_CUH

#include <cuda_fp16.h>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"

/* kernels/cuda/bulk.cuh on a processor, without clusters. */

static inline void tg_prefetch(const void *)
{
}

#endif
