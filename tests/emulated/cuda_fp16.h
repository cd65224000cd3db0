/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_TESTS_EMULATED_CUDA_FP16_H
#define TG_TESTS_EMULATED_CUDA_FP16_H

#include "kernels/number.h"

/* Numbers in f16, as cuda_runtime.h here says. */

#define __ushort_as_half(x) (x)
#define __half2float(x)     tg_number_of_f16(x)

#endif
