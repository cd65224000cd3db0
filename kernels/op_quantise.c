/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/op.h"
#include "kernels/tokens.h"

/*
 * quantise: each token of f32 to int8, by its own largest magnitude, with its sum. Rows are tokens.
 *
 *   scale[r] = 127 / max(1e-5, max over c of |x[r][c]|), rounded to f32
 *   q[r][c]  = x[r][c] * scale[r], rounded to f32, and then to the nearest integer, halfway to even
 *   sum[r]   = sum over c of q[r][c]
 *
 *   results: q (int8, rows x cols), scales (f32), sums (int32), laid out as tokens.h says
 *
 * There is no tolerance: each step is one rounding that IEEE 754 fixes, so that all machines agree.
 * The limits of it:
 *
 *   - |x * scale| is at most 127 * (1 + 2^-24)^2, which rounds to 127: q is -127..127 by itself.
 *   - A token of zeros has the scale 127 / 1e-5 and q of 0; so has one of denormal numbers, whose
 *     products are below 1/2 whether or not the processor takes denormals for zeros.
 *   - 1e-5 is not a number of f32: a largest magnitude of the f32 next to it, which is below, has
 *     the scale 12700000 as all smaller ones have, not 127 / that.
 *   - The quotient may be formed in f32 or in f64 and then rounded: 53 bits are more than twice 24
 *     and two, for which that is the same (Figueroa, SIGNUM Newsletter 30(3), 1995).
 *   - A token with a NaN or an infinity has no scale: it is the NaN 0x7fc00000, q and sum are 0.
 *     So what is computed from it is NaN, and does not look like a number.
 *
 * Source: the activation quantisation of BitNet b1.58, arXiv:2402.17764, equation 4, per token.
 */

static int32_t round_half_to_even(float value)
{
    const float below = floorf(value), rest = value - below;
    const int32_t whole = (int32_t)below;

    if (rest == 0.5f) return whole + (whole & 1);
    return whole + (rest > 0.5f);
}

static void quantise_token(const float *x, int64_t cols, int8_t *q, float *scale, int32_t *sum)
{
    double most = 1e-5;

    *sum = 0;
    *scale = NAN;
    memset(q, 0, (size_t)cols);
    for (int64_t c = 0; c < cols; c++) {
        if (!isfinite(x[c])) return;
        if (fabs((double)x[c]) > most) most = fabs((double)x[c]);
    }
    *scale = (float)(127.0 / most);
    for (int64_t c = 0; c < cols; c++) {
        const float scaled = x[c] * *scale;
        q[c] = (int8_t)round_half_to_even(scaled);
        *sum += q[c];
    }
}

int64_t tg_op_quantise_result_bytes(const struct tg_problem *p)
{
    return tg_tokens_scales_at(p) + p->rows * (int64_t)(sizeof(float) + sizeof(int32_t));
}

void tg_op_quantise_reference(const int8_t *ternary, const struct tg_problem *p, int64_t column)
{
    assert(column == 0 && p->cols < 1 << 24);
    (void)ternary;
    (void)column;
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        quantise_token(p->activations_f32 + r * p->cols, p->cols,
                       (int8_t *)p->results + r * p->cols, tg_tokens_scales(p) + r,
                       tg_tokens_sums(p) + r);
    }
}

int64_t tg_op_quantise_differs(const struct tg_problem *p, const void *wanted, int64_t column)
{
    struct tg_problem other = *p;
    const float *scales = tg_tokens_scales(p);
    const int32_t *sums = tg_tokens_sums(p);

    assert(column == 0);
    (void)column;
    other.results = (void *)(uintptr_t)wanted; /* read only */
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const int8_t *ours = (const int8_t *)p->results + r * p->cols;
        const int8_t *theirs = (const int8_t *)wanted + r * p->cols;
        if (memcmp(ours, theirs, (size_t)p->cols) != 0) return r;
        if (memcmp(scales + r, tg_tokens_scales(&other) + r, sizeof *scales) != 0) return r;
        if (sums[r] != tg_tokens_sums(&other)[r]) return r;
    }
    return -1;
}

int64_t tg_op_quantise_columns(const struct tg_problem *p)
{
    (void)p;
    return 1;
}

double tg_op_quantise_weight_bytes(const struct tg_problem *p, int64_t packed_bytes)
{
    (void)p;
    (void)packed_bytes;
    return 0;
}

/* A multiplication and an addition each. */
double tg_op_quantise_operations(const struct tg_problem *p)
{
    return 2.0 * (double)(p->row_end - p->row_begin) * (double)p->cols;
}
