/* SPDX-License-Identifier: Apache-2.0 */
#include <cstdint>

#include "kernels/cuda/launch.cuh"
#include "kernels/kernel.h"

/* The ternary product with one warp a row: dp4a on fields of four codes, minus the activations. */

#define WARP  32
#define WARPS 8 /* of a block */

__global__ static void product(const uint8_t *weights, const int8_t *activations, int32_t *results,
                               int64_t rows, int64_t cols, int64_t row_begin, int64_t row_end)
{
    const int lane = threadIdx.x % WARP;
    const int64_t row = row_begin + (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP;
    tg_cuda_let_next();
    if (row >= row_end) return;
    const uint32_t *codes = (const uint32_t *)(weights + row * cols / 4);
    const int8_t *column = activations + blockIdx.y * cols;
    int32_t sum = 0;
    tg_cuda_wait();
    for (int64_t word = lane; word < cols / 16; word += WARP) {
        const int32_t *x = (const int32_t *)(column + word / 8 * 128 + word % 8 * 4);
        const uint32_t four = codes[word];
        for (int field = 0; field < 4; field++) {
            const int32_t code = (int32_t)(four >> (6 - 2 * field) & 0x03030303u);
            sum = __dp4a(code, x[field * 8], sum);
            sum = __dp4a((int32_t)0xffffffff, x[field * 8], sum);
        }
    }
    for (int step = WARP / 2; step > 0; step /= 2) sum += __shfl_down_sync(~0u, sum, step);
    if (lane == 0) results[blockIdx.y * rows + row] = sum;
}

extern "C" void tg_kernel_i2s_cuda(const struct tg_problem *p)
{
    const dim3 grid((unsigned)((p->row_end - p->row_begin + WARPS - 1) / WARPS),
                    (unsigned)p->batch);
    tg_cuda_launch(product, grid, WARPS * WARP, 0, p->stream, p->weights, p->activations,
                   (int32_t *)p->results, p->rows, p->cols, p->row_begin, p->row_end);
}
