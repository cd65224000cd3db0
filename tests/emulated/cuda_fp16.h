/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_EMULATED_CUDA_FP16_H
#define TG_TESTS_EMULATED_CUDA_FP16_H

#include <cuda_runtime.h>

#include "kernels/number.h"

/* Numbers in f16, as cuda_runtime.h here says. */

typedef uint16_t __half;

struct __half2_raw {
    uint16_t x, y;
};
typedef __half2_raw __half2;

#define __ushort_as_half(x) (x)
#define __half2float(x)     tg_number_of_f16(x)

static inline float2 __half22float2(__half2 two)
{
    return {tg_number_of_f16(two.x), tg_number_of_f16(two.y)};
}

#endif
