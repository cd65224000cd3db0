/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/kernel.h"
#include "kernels/tokens.h"

/*
 * f32_avx512vnni_quantise: tokens to int8, 64 numbers at a time.
 *
 *   scale[r] = 127 / max(1e-5, most[r])     most[r] = max over c of |x[r][c]|
 *   q[r][c]  = x[r][c] * scale[r] to the nearest integer, halfway to even;  sum[r] = sum of them
 *
 * Two passes over a token. The first compares magnitudes as integers (bits without the sign), so
 * that a NaN or an infinity is the largest and seen at the end. The second multiplies and rounds
 * four vectors, each rounding one instruction of its own, and packs them to bytes: packs takes 128
 * bits of each operand at a time, so that 16 dwords come out as
 *
 *   a0..3 b0..3 c0..3 d0..3 | a4..7 b4..7 c4..7 d4..7 | ...
 *
 * and one permutation of dwords puts them in order. dpbusd with ones sums 64 bytes at once; the
 * next token is fetched meanwhile, since the first pass alone waits for memory. The numbers that 64
 * does not divide are loaded and stored below a mask, as zeros where there are none.
 *
 * Limits: none on cols but TG_COLUMNS_MOST.
 */

enum { STEP = 64, LANES = 16 };

/* The lanes of vector k of a step that has `left` numbers. */
static inline __mmask16 lanes_of(int64_t left, int k)
{
    const int64_t here = left - LANES * k;
    return here >= LANES ? 0xffff : here > 0 ? (__mmask16)((1u << here) - 1) : 0;
}

static uint32_t largest_magnitude(const float *x, int64_t cols)
{
    const __m512i size = _mm512_set1_epi32(0x7fffffff);
    __m512i most[4];
    int64_t c = 0;

    for (int k = 0; k < 4; k++) most[k] = _mm512_setzero_si512();
    for (; c + STEP <= cols; c += STEP) {
        for (int k = 0; k < 4; k++) {
            const __m512i bits = _mm512_loadu_si512(x + c + LANES * k);
            most[k] = _mm512_max_epi32(most[k], _mm512_and_si512(bits, size));
        }
    }
    for (int k = 0; k < 4; k++) {
        const __m512i bits = _mm512_maskz_loadu_epi32(lanes_of(cols - c, k), x + c + LANES * k);
        most[k] = _mm512_max_epi32(most[k], _mm512_and_si512(bits, size));
    }
    return (uint32_t)_mm512_reduce_max_epi32(
        _mm512_max_epi32(_mm512_max_epi32(most[0], most[1]), _mm512_max_epi32(most[2], most[3])));
}

/* 64 numbers, of which those beyond `left` are zeros, to bytes in their order. */
static inline __m512i rounded(const float *x, int64_t left, __m512 scale)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i q[4];

    for (int k = 0; k < 4; k++) {
        const __m512 values = left >= STEP
                                  ? _mm512_loadu_ps(x + LANES * k)
                                  : _mm512_maskz_loadu_ps(lanes_of(left, k), x + LANES * k);
        q[k] = _mm512_cvt_roundps_epi32(_mm512_mul_ps(values, scale),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    }
    return _mm512_permutexvar_epi32(
        order, _mm512_packs_epi16(_mm512_packs_epi32(q[0], q[1]), _mm512_packs_epi32(q[2], q[3])));
}

static int32_t round_token(const float *x, int64_t cols, const float *next, float scale, int8_t *q)
{
    const __m512 times = _mm512_set1_ps(scale);
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i sum = _mm512_setzero_si512();
    int64_t c = 0;

    for (; c + STEP <= cols; c += STEP) {
        const __m512i bytes = rounded(x + c, STEP, times);
        for (int k = 0; k < 4; k++) _mm_prefetch(next + c + LANES * k, _MM_HINT_T0);
        sum = _mm512_dpbusd_epi32(sum, ones, bytes);
        _mm512_storeu_si512(q + c, bytes);
    }
    if (c < cols) {
        const __m512i bytes = rounded(x + c, cols - c, times);
        sum = _mm512_dpbusd_epi32(sum, ones, bytes);
        _mm512_mask_storeu_epi8(q + c, ~UINT64_C(0) >> (STEP - (cols - c)), bytes);
    }
    return _mm512_reduce_add_epi32(sum);
}

void tg_kernel_f32_avx512vnni_quantise(const struct tg_problem *p)
{
    assert(p->cols <= TG_COLUMNS_MOST);
    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const float *x = p->activations_f32 + r * p->cols;
        int8_t *q = (int8_t *)p->results + r * p->cols;
        const uint32_t bits = largest_magnitude(x, p->cols);
        float most, scale = NAN;
        int32_t sum = 0;
        memcpy(&most, &bits, sizeof most);
        if (isfinite(most)) {
            scale = most > 1e-5f ? 127.0f / most : TG_TOKENS_LARGEST_SCALE;
            sum = round_token(x, p->cols, r + 1 < p->row_end ? x + p->cols : x, scale, q);
        } else {
            memset(q, 0, (size_t)p->cols);
        }
        tg_tokens_scales(p)[r] = scale;
        tg_tokens_sums(p)[r] = sum;
    }
}
