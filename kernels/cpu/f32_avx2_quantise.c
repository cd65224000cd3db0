/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/kernel.h"
#include "kernels/tokens.h"

/*
 * f32_avx2_quantise: tokens to int8, 32 numbers at a time.
 *
 *   scale[r] = 127 / max(1e-5, most[r])     most[r] = max over c of |x[r][c]|
 *   q[r][c]  = x[r][c] * scale[r] to the nearest integer, halfway to even;  sum[r] = sum of them
 *
 * Two passes over a token. The first compares magnitudes as integers (bits without the sign), so
 * that a NaN or an infinity is the largest and seen at the end. The second multiplies and rounds
 * four vectors and packs them to bytes; packs takes 128 bits of each operand at a time, so that one
 * permutation of dwords puts a0..3 b0..3 c0..3 d0..3 a4..7 b4..7 c4..7 d4..7 in order. The numbers
 * that 32 does not divide are done in the same way, from a copy that ends in zeros.
 *
 * Limits: rounding as the processor does without being told, to the nearest, halfway to even.
 */

enum { STEP = 32, LANES = 8 };

static inline void compare(const float *x, __m256i most[4])
{
    const __m256i size = _mm256_set1_epi32(0x7fffffff);

    for (int k = 0; k < 4; k++) {
        const __m256i bits = _mm256_loadu_si256((const __m256i *)(x + LANES * k));
        most[k] = _mm256_max_epi32(most[k], _mm256_and_si256(bits, size));
    }
}

static uint32_t largest_magnitude(const float *x, int64_t cols, const float *rest)
{
    __m256i most[4];
    int32_t lanes[LANES], largest = 0;
    int64_t c = 0;

    for (int k = 0; k < 4; k++) most[k] = _mm256_setzero_si256();
    for (; c + STEP <= cols; c += STEP) compare(x + c, most);
    if (c < cols) compare(rest, most);
    most[0] = _mm256_max_epi32(_mm256_max_epi32(most[0], most[1]),
                               _mm256_max_epi32(most[2], most[3]));
    _mm256_storeu_si256((__m256i *)lanes, most[0]);
    for (int i = 0; i < LANES; i++) largest = lanes[i] > largest ? lanes[i] : largest;
    return (uint32_t)largest;
}

/* 32 numbers to bytes in their order, which are also added to the lanes of *sum. */
static inline __m256i rounded(const float *x, __m256 scale, __m256i *sum)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7), ones = _mm256_set1_epi16(1);
    __m256i q[4], low, high;

    for (int k = 0; k < 4; k++)
        q[k] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + LANES * k), scale));
    low = _mm256_packs_epi32(q[0], q[1]);
    high = _mm256_packs_epi32(q[2], q[3]);
    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(_mm256_add_epi16(low, high), ones));
    return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
}

static int32_t round_token(const float *x, int64_t cols, const float *rest, float scale, int8_t *q)
{
    const __m256 times = _mm256_set1_ps(scale);
    __m256i sum = _mm256_setzero_si256();
    int32_t lanes[LANES], total = 0;
    int64_t c = 0;

    for (; c + STEP <= cols; c += STEP)
        _mm256_storeu_si256((__m256i *)(q + c), rounded(x + c, times, &sum));
    if (c < cols) {
        int8_t bytes[STEP];
        _mm256_storeu_si256((__m256i *)bytes, rounded(rest, times, &sum));
        memcpy(q + c, bytes, (size_t)(cols - c));
    }
    _mm256_storeu_si256((__m256i *)lanes, sum);
    for (int i = 0; i < LANES; i++) total += lanes[i];
    return total;
}

void tg_kernel_f32_avx2_quantise(const struct tg_problem *p)
{
    const int64_t whole = p->cols / STEP * STEP;

    assert(0 <= p->row_begin && p->row_begin <= p->row_end && p->row_end <= p->rows);
    for (int64_t r = p->row_begin; r < p->row_end; r++) {
        const float *x = p->activations_f32 + r * p->cols;
        int8_t *q = (int8_t *)p->results + r * p->cols;
        float most, scale = NAN, rest[STEP] = {0};
        int32_t sum = 0;
        memcpy(rest, x + whole, (size_t)(p->cols - whole) * sizeof *rest);
        const uint32_t bits = largest_magnitude(x, p->cols, rest);
        memcpy(&most, &bits, sizeof most);
        if (isfinite(most)) {
            scale = most > 1e-5f ? 127.0f / most : TG_TOKENS_LARGEST_SCALE;
            sum = round_token(x, p->cols, rest, scale, q);
        } else {
            memset(q, 0, (size_t)p->cols);
        }
        tg_tokens_scales(p)[r] = scale;
        tg_tokens_sums(p)[r] = sum;
    }
}
