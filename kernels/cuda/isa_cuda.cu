/* SPDX-License-Identifier: Apache-2.0 */
#include <cuda_runtime.h>

#include "kernels/isa.h"

int tg_isa_cuda(int least, int below)
{
    int count = 0, major = 0, minor = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
        (void)cudaGetLastError();
        return 0;
    }
    if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) != cudaSuccess ||
        cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0) != cudaSuccess)
        return 0;
    int capability = 10 * major + minor;
    return capability >= least && capability < below;
}
