/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_CUDA_PEAK_CUDA_CUH
#define TG_KERNELS_CUDA_PEAK_CUDA_CUH

#include <cstdint>

/*
 * What a CUDA device can do at most, for its roofline: read, write, and multiply-add int8 in tensor
 * cores. Each only launches, on a stream; pointers are the device's, at multiples of 16 bytes. Who
 * times them has the limits; the program times its own, never those of a library under test.
 */

/*
 * Reads so many bytes, `passes` times in one launch: more than one keeps a few megabytes in the
 * cache. `sink` are 4 bytes that might be written.
 */
void tg_peak_cuda_read(const void *from, int64_t bytes, int64_t passes, void *sink, void *stream);

/* Writes bytes 0x5a, likewise. */
void tg_peak_cuda_write(void *to, int64_t bytes, int64_t passes, void *stream);

/* Multiply-adds int8 into int32 on every multiprocessor. Returns how many that will be. */
double tg_peak_cuda_dot(int64_t passes, void *sink, void *stream);

#endif
