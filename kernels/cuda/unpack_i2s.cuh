/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_UNPACK_I2S_CUH
#define TG_KERNELS_CUDA_UNPACK_I2S_CUH

#include "kernels/cuda/unpack.cuh"

/*
 * I2_S to numbers, 16 weights a thread: four bytes of a group of 128 columns are four neighbouring
 * columns of each of its four fields. Eight threads have a group, and each time write 32 columns of
 * it in a row. Limits: cols a multiple of 128; codes 0..2.
 */

template <typename number>
__global__ static void unpack_i2s(const uint32_t *weights, number *results, int64_t first,
                                  int64_t words)
{
    const int64_t i = (int64_t)blockIdx.x * TG_UNPACK_THREADS + threadIdx.x, word = first + i;
    tg_cuda_let_next();
    if (i >= words) return;
    const uint32_t four = weights[word];
    number *to = results + word / 8 * 128 + word % 8 * 4;
    tg_cuda_wait();
    for (int field = 0; field < 4; field++) {
        const uint32_t codes = four >> (6 - 2 * field) & 0x03030303u;
        tg_unpack_store(to + 32 * field, __vsub4(codes, 0x01010101u));
    }
}

template <typename number> static void tg_unpack_i2s(const struct tg_problem *p)
{
    const int64_t first = p->row_begin * p->cols / 16, words = p->row_end * p->cols / 16 - first;
    const dim3 grid((unsigned)((words + TG_UNPACK_THREADS - 1) / TG_UNPACK_THREADS));
    if (words <= 0) return;
    tg_cuda_launch(unpack_i2s<number>, grid, dim3(TG_UNPACK_THREADS), 0, p->stream,
                   (const uint32_t *)p->weights, (number *)p->results, first, words);
}

#endif
