/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PROBE_EDGES_H
#define TG_WORKER_PROBE_EDGES_H

#include <stddef.h>

#include "kernels/kernel.h"

/* A kernel against its exact reference, where kernels go wrong: at the edges of shapes and values.
 */

/*
 * Runs the kernel in this process on every edge: few rows and odd ones, smallest and odd multiples
 * of columns and those of layers (2560, 6912, 14336), a range of rows in the middle, batches of 1
 * to 141; random operands, all +1 with 127 and with -127, all -1 with -127, a checkerboard, one
 * weight that is not 0, the last, small activations among runs of zeros, with some tokens that are
 * all zeros or, but for integers, have 1/3 and else zeros, and all +1 with tokens of one number, of
 * which the halves of looked up sums are the largest. Where activations are floating-point numbers,
 * also halves of integers, numbers around 1e-5 among denormal ones, and NaN or infinities in some
 * tokens. A batch of 131 on 2560 columns has random operands, and all +1 with 127. TL1 and TL2 also
 * on two published shapes, whose tiles are larger. Products of a device also on eleven matrices of
 * up to 31 million weights, of 70 to 11000 rows and 2304 to 33024 columns. These, and the published
 * shapes but the first of products, have random operands only, with runs of 32 zeros among the
 * activations. Returns the number of edges compared, or -1 and the first difference in `reason`.
 */
int tg_edges_check(const struct tg_kernel *kernel, char *reason, size_t size);

#endif
