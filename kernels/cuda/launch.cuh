/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_LAUNCH_CUH
#define TG_KERNELS_CUDA_LAUNCH_CUH

#include <cstdio>
#include <cstdlib>
#include <cuda_runtime.h>

#include "kernels/cuda/ptx.cuh"

/*
 * What the launches of all CUDA kernels share. A kernel's function only launches: all pointers of
 * its problem are the device's, and it must be fit to be captured into a graph. It cannot fail: a
 * launch that is refused is a bug or a broken device, and ends the process, which is a cell's own.
 */

static inline void tg_cuda_launched(cudaError_t error)
{
    if (error == cudaSuccess) return;
    fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(error));
    abort();
}

/*
 * Launches `kernel` so that it may begin before the one ahead of it in the stream has ended, where
 * the chip can do that (9.0 and later): the kernel then calls tg_cuda_wait before it touches what
 * others write, and may read what nobody writes (weights) before. Elsewhere the launch is a usual
 * one and tg_cuda_wait does nothing. Clusters of more than one block are of 9.0 and later.
 *
 * Source: CUDA C++ programming guide, "Programmatic dependent launch and synchronization".
 */
template <typename... Parameters, typename... Arguments>
static void tg_cuda_launch_clusters(void (*kernel)(Parameters...), dim3 grid, dim3 block,
                                    dim3 cluster, size_t shared_bytes, void *stream,
                                    const Arguments &...arguments)
{
    static int major = -1;
    if (major < 0) {
        int device = 0, found = 0;
        tg_cuda_launched(cudaGetDevice(&device));
        tg_cuda_launched(cudaDeviceGetAttribute(&found, cudaDevAttrComputeCapabilityMajor, device));
        major = found;
    }
    cudaLaunchAttribute attributes[2] = {};
    attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[0].val.programmaticStreamSerializationAllowed = 1;
    attributes[1].id = cudaLaunchAttributeClusterDimension;
    attributes[1].val.clusterDim.x = cluster.x;
    attributes[1].val.clusterDim.y = cluster.y;
    attributes[1].val.clusterDim.z = cluster.z;
    cudaLaunchConfig_t launch = {};
    launch.gridDim = grid;
    launch.blockDim = block;
    launch.dynamicSmemBytes = shared_bytes;
    launch.stream = (cudaStream_t)stream;
    launch.attrs = attributes;
    launch.numAttrs = major < 9 ? 0 : cluster.x * cluster.y * cluster.z == 1 ? 1 : 2;
    tg_cuda_launched(cudaLaunchKernelEx(&launch, kernel, Parameters(arguments)...));
}

template <typename... Parameters, typename... Arguments>
static void tg_cuda_launch(void (*kernel)(Parameters...), dim3 grid, dim3 block,
                           size_t shared_bytes, void *stream, const Arguments &...arguments)
{
    tg_cuda_launch_clusters(kernel, grid, block, dim3(1), shared_bytes, stream, arguments...);
}

#endif
