/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_WORKER_PROBE_ACCURACY_H
#define TG_WORKER_PROBE_ACCURACY_H

#include <stdint.h>

#include "base/error.h"
#include "kernels/kernel.h"

/*
 * How near a kernel comes to what it stands for. Both numbers are the same in every round and on
 * every machine: their inputs are fixed, and the sums are taken in one order.
 */

/*
 * The metric kernel_accuracy: the cosine between y and z over at most 128 rows and all batch
 * columns, where y = W x in float64 with x unrounded (close to normal, seed 42), and z is the
 * kernel's result for q = round-half-even(x * 127 / max|x|) per column, divided by 127 / max|x|.
 * Shapes as in `like`, of which only rows, cols and batch are read.
 *
 * Source: the activation quantisation of BitNet b1.58, arXiv:2402.17764.
 */
int tg_accuracy_product(const struct tg_kernel *kernel, const struct tg_problem *like,
                        double *accuracy, struct tg_error *err);

/* The metric codec_exact: the share of `count` weights that are equal. */
double tg_accuracy_codec(const int8_t *packed, const int8_t *unpacked, int64_t count);

#endif
