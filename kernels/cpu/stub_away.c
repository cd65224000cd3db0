/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <math.h>

#include "kernels/kernel.h"
#include "kernels/tokens.h"

/*
 * stub_away: quantised tokens, halfway rounded away from zero.
 *
 * roundf where rintf is meant: of numbers that are no multiples of 1/2 in steps of the scale, which
 * is almost all that is ever tried, each is right. A test expects that the check finds it.
 */
void tg_kernel_stub_away(const struct tg_problem *p)
{
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const float *x = p->activations_f32 + r * p->cols;
        int8_t *q = (int8_t *)p->results + r * p->cols;
        float most = 0, scale;
        int32_t sum = 0;
        int is_finite = 1;
        for (int64_t c = 0; c < p->cols; c++) {
            is_finite &= isfinite(x[c]) != 0;
            most = fmaxf(most, fabsf(x[c]));
        }
        scale = most > 1e-5f ? 127.0f / most : TG_TOKENS_LARGEST_SCALE;
        for (int64_t c = 0; c < p->cols; c++) {
            q[c] = is_finite ? (int8_t)roundf(x[c] * scale) : 0;
            sum += q[c];
        }
        tg_tokens_scales(p)[r] = is_finite ? scale : NAN;
        tg_tokens_sums(p)[r] = sum;
    }
}
