/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/kernel.h"
#include "kernels/tokens.h"

/*
 * f32_scalar_quantise: tokens to int8, one number at a time.
 *
 *   scale[r] = 127 / max(1e-5, most[r])     most[r] = max over c of |x[r][c]|
 *   q[r][c]  = x[r][c] * scale[r] to the nearest integer, halfway to even;  sum[r] = sum of them
 *
 * Magnitudes are compared as integers, by their bits without the sign: these are in the order of
 * the numbers, with infinity above all of them and NaN above infinity. So one comparison at the end
 * finds a token that is not finite; it has the scale NaN, and q and sum are 0.
 */

static uint32_t magnitude(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x7fffffff;
}

void tg_kernel_f32_scalar_quantise(const struct tg_problem *p)
{
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const float *x = p->activations_f32 + r * p->cols;
        int8_t *q = (int8_t *)p->results + r * p->cols;
        uint32_t bits = 0;
        float most, scale;
        int32_t sum = 0;
        for (int64_t c = 0; c < p->cols; c++) {
            if (magnitude(x[c]) > bits) bits = magnitude(x[c]);
        }
        memcpy(&most, &bits, sizeof most);
        scale = most > 1e-5f ? 127.0f / most : TG_TOKENS_LARGEST_SCALE;
        for (int64_t c = 0; c < p->cols; c++) {
            q[c] = isfinite(most) ? (int8_t)rintf(x[c] * scale) : 0;
            sum += q[c];
        }
        tg_tokens_scales(p)[r] = isfinite(most) ? scale : NAN;
        tg_tokens_sums(p)[r] = sum;
    }
}
