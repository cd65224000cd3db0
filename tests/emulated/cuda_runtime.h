/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_EMULATED_CUDA_RUNTIME_H
#define TG_TESTS_EMULATED_CUDA_RUNTIME_H

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>

/*
 * As much of CUDA C++ as our kernels use, on a processor: they are compiled as C++ with this folder
 * ahead of the real headers, and run where there is no GPU, under sanitizers if wanted.
 *
 * Blocks run one after the other. The threads of a block are fibers of one thread: each goes on
 * until it meets others, at a barrier or in an exchange of its warp, now in one order, now in the
 * other. What __shared__ declares is static, so its bounds are watched like those of any array.
 * kernels/cuda/ptx.cuh, bulk.cuh and shelf.cuh have instructions of a chip: they are in this
 * folder, too.
 *
 * This shows that results are right and that nothing outside of arrays is touched. It shows nothing
 * of time, and little of races.
 */

#define __device__
#define __global__
#define __shared__   static
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)

struct uint2 {
    unsigned x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct float2 {
    float x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct char4 {
    signed char x, y, z, w;
};
struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

#define make_uint2(...)  (uint2{__VA_ARGS__})
#define make_uint4(...)  (uint4{__VA_ARGS__})
#define make_float4(...) (float4{__VA_ARGS__})
#define make_char4(...)  (char4{__VA_ARGS__})

using std::max;
using std::min;

/* Of the fiber that runs; and as many bytes of shared memory as the launch said. */
extern dim3 threadIdx, blockIdx, blockDim, gridDim;
extern uint8_t *emulated_shared;

/* Waits for all threads of the block, or of the warp, that have not ended. */
void emulated_meet_block(void);
void emulated_meet_warp(void);

/*
 * An exchange of the lanes of a warp: all offer something, look at what others offer, and end it.
 */
void emulated_offer(const void *mine);
const void *emulated_offered_by(unsigned lane);
void emulated_end_offer(void);

/* Runs `kernel` for every thread of every block. */
void emulated_launch(dim3 grid, dim3 block, size_t shared_bytes,
                     const std::function<void()> &kernel);

#define __syncthreads()   emulated_meet_block()
#define __syncwarp()      emulated_meet_warp()
#define __ldcs(from)      (*(from))
#define __ldcg(from)      (*(from))
#define __fadd_rn(a, b)   ((float)(a) + (float)(b))
#define rsqrtf(x)         (1.0f / sqrtf(x))
#define __fmul_rn(a, b)   ((float)(a) * (float)(b))
#define __fdiv_rn(a, b)   ((float)(a) / (float)(b))
#define __float2int_rn(x) ((int)nearbyintf(x))

template <class T> static inline T __shfl_xor_sync(unsigned, T value, int apart)
{
    emulated_offer(&value);
    const T theirs = *(const T *)emulated_offered_by(threadIdx.x % 32 ^ (unsigned)apart);
    emulated_end_offer();
    return theirs;
}

static inline uint32_t __reduce_max_sync(unsigned mask, uint32_t value)
{
    for (int step = 16; step > 0; step /= 2) value = max(value, __shfl_xor_sync(mask, value, step));
    return value;
}

static inline int __reduce_add_sync(unsigned mask, int value)
{
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(mask, value, step);
    return value;
}

static inline int atomicAdd(int *to, int value)
{
    const int was = *to;
    *to += value;
    return was;
}

static inline uint32_t __float_as_uint(float x)
{
    uint32_t word;
    memcpy(&word, &x, sizeof word);
    return word;
}

static inline float __uint_as_float(uint32_t word)
{
    float x;
    memcpy(&x, &word, sizeof x);
    return x;
}

static inline int __dp4a(int a, int b, int sum)
{
    for (int i = 0; i < 4; i++) sum += (int8_t)(a >> 8 * i) * (int8_t)(b >> 8 * i);
    return sum;
}

static inline uint32_t __funnelshift_r(uint32_t low, uint32_t high, int by)
{
    return (uint32_t)(((uint64_t)high << 32 | low) >> (by & 31));
}

/* Bytes of four, the next four if a digit of the selection is above 3. */
static inline uint32_t __byte_perm(uint32_t a, uint32_t b, uint32_t selection)
{
    const uint64_t eight = (uint64_t)b << 32 | a;
    uint32_t four = 0;
    for (int i = 0; i < 4; i++)
        four |= (uint32_t)(eight >> 8 * (selection >> 4 * i & 7) & 255) << 8 * i;
    return four;
}

/* Four differences of bytes, each modulo 256. */
static inline uint32_t __vsub4(uint32_t a, uint32_t b)
{
    uint32_t four = 0;
    for (int i = 0; i < 32; i += 8) four |= ((a >> i) - (b >> i) & 255) << i;
    return four;
}

/* The chip: few multiprocessors, so that small matrices fill it. */
enum {
    cudaDevAttrMultiProcessorCount,
    cudaDevAttrMaxSharedMemoryPerBlockOptin,
    cudaDevAttrComputeCapabilityMajor
};

#ifndef __CUDA_ARCH__
#define __CUDA_ARCH__ 900
#endif

typedef int cudaError_t;
typedef void *cudaStream_t;

enum { cudaSuccess, cudaErrorInvalidValue, cudaFuncAttributeMaxDynamicSharedMemorySize };
enum { EMULATED_MULTIPROCESSORS = 2, EMULATED_SHARED = (__CUDA_ARCH__ < 900 ? 64 : 227) * 1024 };

static inline const char *cudaGetErrorString(cudaError_t)
{
    return "invalid value";
}

static inline cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cudaSuccess;
}

static inline cudaError_t cudaDeviceGetAttribute(int *value, int attribute, int)
{
    *value = attribute == cudaDevAttrMultiProcessorCount            ? EMULATED_MULTIPROCESSORS
             : attribute == cudaDevAttrMaxSharedMemoryPerBlockOptin ? EMULATED_SHARED
                                                                    : __CUDA_ARCH__ / 100;
    return cudaSuccess;
}

template <class Kernel> static inline cudaError_t cudaFuncSetAttribute(Kernel, int, int bytes)
{
    return bytes <= EMULATED_SHARED ? cudaSuccess : cudaErrorInvalidValue;
}

enum { cudaLaunchAttributeProgrammaticStreamSerialization, cudaLaunchAttributeClusterDimension };

struct cudaLaunchAttribute {
    int id;
    struct {
        int programmaticStreamSerializationAllowed;
        dim3 clusterDim;
    } val;
};

struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
    cudaLaunchAttribute *attrs;
    unsigned numAttrs;
};

template <typename... Parameters, typename... Arguments>
static inline cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *c,
                                             void (*kernel)(Parameters...), Arguments... arguments)
{
    if (c->dynamicSmemBytes > EMULATED_SHARED || c->blockDim.x > 1024) return cudaErrorInvalidValue;
    emulated_launch(c->gridDim, c->blockDim, c->dynamicSmemBytes,
                    [&] { kernel(Parameters(arguments)...); });
    return cudaSuccess;
}

#endif
