/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cuda/peak_cuda.cuh"

#include "kernels/cuda/launch.cuh"

/*
 * Reading and writing: 16 bytes a thread and four of them in flight, by as many threads as the
 * multiprocessors hold. Multiplying: mma of 16 x 8 x 32 (16 x 8 x 16 by two of 8 x 8 x 16 before
 * 8.0) with operands that stay in registers, eight sums a warp.
 */

#define THREADS 512
#define BLOCKS  4 /* a multiprocessor */
#define FLIGHT  4
#define SUMS    8

static int multiprocessors(void)
{
    static int count = 0;
    int device = 0;
    if (count > 0) return count;
    tg_cuda_launched(cudaGetDevice(&device));
    tg_cuda_launched(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device));
    return count;
}

__global__ static void read_bytes(const uint4 *from, int64_t count, int64_t passes, uint32_t *sink)
{
    const int64_t step = (int64_t)gridDim.x * THREADS * FLIGHT;
    uint4 all = make_uint4(0, 0, 0, 0);
    for (int64_t pass = 0; pass < passes; pass++) {
        int64_t i = (int64_t)blockIdx.x * THREADS * FLIGHT + threadIdx.x;
        for (; i + (FLIGHT - 1) * THREADS < count; i += step) {
            uint4 v[FLIGHT];
#pragma unroll
            for (int k = 0; k < FLIGHT; k++) v[k] = __ldcg(from + i + k * THREADS);
#pragma unroll
            for (int k = 0; k < FLIGHT; k++) {
                all.x ^= v[k].x;
                all.y ^= v[k].y;
                all.z ^= v[k].z;
                all.w ^= v[k].w;
            }
        }
        for (; i < count; i += THREADS) all.x ^= __ldcg(from + i).x;
    }
    const uint32_t found = all.x ^ all.y ^ all.z ^ all.w;
    if (found == 0x9e3779b9u && passes < 0) *sink = found; /* never: but it has to be computed */
}

void tg_peak_cuda_read(const void *from, int64_t bytes, int64_t passes, void *sink, void *stream)
{
    read_bytes<<<BLOCKS * multiprocessors(), THREADS, 0, (cudaStream_t)stream>>>(
        (const uint4 *)from, bytes / 16, passes, (uint32_t *)sink);
    tg_cuda_launched(cudaGetLastError());
}

__global__ static void write_bytes(uint4 *to, int64_t count, int64_t passes)
{
    const uint32_t four = 0x5a5a5a5au;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < count * passes;
         i += (int64_t)gridDim.x * THREADS)
        __stcg(to + i % count, make_uint4(four, four, four, four)); /* all blocks at a few bytes */
}

void tg_peak_cuda_write(void *to, int64_t bytes, int64_t passes, void *stream)
{
    write_bytes<<<BLOCKS * multiprocessors(), THREADS, 0, (cudaStream_t)stream>>>(
        (uint4 *)to, bytes / 16, passes);
    tg_cuda_launched(cudaGetLastError());
}

__global__ static void multiply(int64_t passes, int32_t *sink)
{
    const uint32_t a = 0x01020102u + threadIdx.x, b = a * 77u;
    int32_t sums[SUMS][4] = {};
    for (int64_t pass = 0; pass < passes; pass++) {
#pragma unroll
        for (int i = 0; i < SUMS; i++) {
            int32_t *s = sums[i];
#if __CUDA_ARCH__ >= 800
            asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, "
                         "{%4,%5,%4,%5}, {%5,%4}, {%0,%1,%2,%3};"
                         : "+r"(s[0]), "+r"(s[1]), "+r"(s[2]), "+r"(s[3])
                         : "r"(a), "r"(b));
#else
            for (int k = 0; k < 4; k++)
                asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, "
                             "{%0,%1};"
                             : "+r"(s[k % 2 * 2]), "+r"(s[k % 2 * 2 + 1])
                             : "r"(a), "r"(b));
#endif
        }
    }
    int32_t found = 0;
    for (int i = 0; i < SUMS; i++) found ^= sums[i][0] ^ sums[i][1] ^ sums[i][2] ^ sums[i][3];
    if (found == 1 && passes < 0) *sink = found;
}

double tg_peak_cuda_dot(int64_t passes, void *sink, void *stream)
{
    const int blocks = 2 * multiprocessors();
    multiply<<<blocks, THREADS, 0, (cudaStream_t)stream>>>(passes, (int32_t *)sink);
    tg_cuda_launched(cudaGetLastError());
    return (double)passes * SUMS * 16 * 8 * 32 * (THREADS / 32.0) * blocks;
}
