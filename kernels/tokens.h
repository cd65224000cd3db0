/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TG_KERNELS_TOKENS_H
#define TG_KERNELS_TOKENS_H

#include <stdint.h>

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Tokens quantised to int8: where the results of the operation quantise lie. Its rows are tokens,
 * of `cols` numbers each:
 *
 *   rows x cols int8 | nothing, to the next 64 bytes | rows scales, f32 | rows sums, int32
 *
 * The first part is what products take as activations: product / scale is near what it would have
 * been for the unrounded numbers. The sum of a token is what codes 0..2 for weights -1..1 count too
 * much: sum over c of (weight + 1) * q is the product plus the sum.
 */

/* The scale of a token whose numbers are all below 1e-5, as those of zeros are: 127 / 1e-5. */
#define TG_TOKENS_LARGEST_SCALE 12700000.0f

static inline int64_t tg_tokens_scales_at(const struct tg_problem *p)
{
    return (p->rows * p->cols + 63) / 64 * 64;
}

static inline float *tg_tokens_scales(const struct tg_problem *p)
{
    return (float *)(void *)((int8_t *)p->results + tg_tokens_scales_at(p));
}

static inline int32_t *tg_tokens_sums(const struct tg_problem *p)
{
    return (int32_t *)(void *)(tg_tokens_scales(p) + p->rows);
}

#ifdef __cplusplus
}
#endif
#endif
