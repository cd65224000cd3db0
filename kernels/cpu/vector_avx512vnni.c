/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/cpu/ahead.h"
#include "kernels/cpu/q6k_avx512.h"
#include "kernels/isa.h"
#include "kernels/lanes.h"
#include "kernels/vector.h"

/*
 * kernels/vector.h in registers of sixteen floats; four of them are the 64 lanes of a sum. What is
 * left at an end is loaded under a mask, as zeros. Rows of float16 are prefetched: the head comes
 * from memory, in pages that the hardware does not look beyond. Limits come first in min and max,
 * which give the second number where one is a NaN.
 */

enum { LANES = 16, PARTS = 4, STEP = LANES * PARTS, TOGETHER = 4 };

/* Functions that are compiled anew for each of their first argument, a constant. */
#define UNROLLED static inline __attribute__((always_inline)) void

struct sums {
    __m512 of[PARTS];
};

static inline struct sums nothing(void)
{
    const __m512 zero = _mm512_setzero_ps();
    return (struct sums){{zero, zero, zero, zero}};
}

static inline __m512 product(__m512 sum, __m512 a, __m512 b)
{
    return _mm512_add_ps(sum, _mm512_mul_ps(a, b));
}

/* The lanes of the sixteen from i on that are below n. */
static inline __mmask16 below(int64_t i, int64_t n)
{
    return n - i >= LANES ? 0xffff : n > i ? (__mmask16)((1 << (n - i)) - 1) : 0;
}

/* The four parts of a sum, added. */
static inline __m512 folded(struct sums s)
{
    return _mm512_add_ps(_mm512_add_ps(s.of[0], s.of[1]), _mm512_add_ps(s.of[2], s.of[3]));
}

static inline float total(struct sums s)
{
    const __m512d all = _mm512_castps_pd(folded(s));
    const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(all, 1));
    const __m256 eight = _mm256_add_ps(_mm256_castpd_ps(_mm512_castpd512_pd256(all)), high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

static inline struct sums add_products(struct sums s, const float *a, const float *b, int64_t n)
{
    int64_t i = 0;
    for (; i + STEP <= n; i += STEP)
        for (int k = 0; k < PARTS; k++)
            s.of[k] = product(s.of[k], _mm512_loadu_ps(a + i + LANES * k),
                              _mm512_loadu_ps(b + i + LANES * k));
    for (int k = 0; k < PARTS && i < n; k++, i += LANES) {
        const __mmask16 mask = below(i, n);
        s.of[k] = product(s.of[k], _mm512_maskz_loadu_ps(mask, a + i),
                          _mm512_maskz_loadu_ps(mask, b + i));
    }
    return s;
}

static inline __m512 exponential(__m512 x)
{
    const __m512 magic = _mm512_set1_ps(12582912.0f);
    const __m512 least = _mm512_set1_ps(-87.3f), most = _mm512_set1_ps(88.3f);
    const __m512 clipped = _mm512_min_ps(most, _mm512_max_ps(least, x));
    const __m512 t = _mm512_mul_ps(clipped, _mm512_set1_ps(1.44269504f));
    const __m512 n = _mm512_sub_ps(_mm512_add_ps(t, magic), magic);
    const __m512 high = _mm512_mul_ps(n, _mm512_set1_ps(0.693359375f));
    const __m512 low = _mm512_mul_ps(n, _mm512_set1_ps(-2.12194440e-4f));
    const __m512 r = _mm512_sub_ps(_mm512_sub_ps(clipped, high), low);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);

    p = product(_mm512_set1_ps(1.3981999507e-3f), p, r);
    p = product(_mm512_set1_ps(8.3334519073e-3f), p, r);
    p = product(_mm512_set1_ps(4.1665795894e-2f), p, r);
    p = product(_mm512_set1_ps(1.6666665459e-1f), p, r);
    p = product(_mm512_set1_ps(5.0000001201e-1f), p, r);
    p = _mm512_add_ps(_mm512_mul_ps(p, _mm512_mul_ps(r, r)), r);
    p = _mm512_add_ps(p, _mm512_set1_ps(1.0f));
    const __m512i power = _mm512_slli_epi32(
        _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23);
    return _mm512_mul_ps(p, _mm512_castsi512_ps(power));
}

static void norm(const float *x, const float *weight, float epsilon, int64_t n, float *out)
{
    const float sum = total(add_products(nothing(), x, x, n));
    const __m512 factor = _mm512_set1_ps(1.0f / sqrtf(sum / (float)n + epsilon));
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 mask = below(i, n);
        const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), factor);
        _mm512_mask_storeu_ps(out + i, mask,
                              _mm512_mul_ps(scaled, _mm512_maskz_loadu_ps(mask, weight + i)));
    }
}

/* Magnitudes are compared as integers; a NaN times anything ends as the lowest byte of -2^31. */
static float quantise(const float *x, int64_t n, int8_t *out)
{
    __m512i most = _mm512_setzero_si512();
    for (int64_t i = 0; i < n; i += LANES)
        most = _mm512_max_epi32(
            most, _mm512_castps_si512(_mm512_abs_ps(_mm512_maskz_loadu_ps(below(i, n), x + i))));
    const float scale = tg_lanes_scale((uint32_t)_mm512_reduce_max_epi32(most));
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 mask = below(i, n);
        const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i),
                                            _mm512_set1_ps(scale));
        _mm512_mask_cvtepi32_storeu_epi8(out + i, mask, _mm512_cvtps_epi32(scaled));
    }
    return scale;
}

/*
 * Whether x / by, for whole x, can be had of inverse = 1 / by, rounded: with two corrections the
 * quotient is that of a division, but for a divisor with ones only. It takes a third of the time.
 * Source: Muller et al., Handbook of Floating-Point Arithmetic, 2nd edition, Birkhauser 2018,
 * section 4.7 (Markstein's theorem).
 */
static inline bool has_inverse(float by)
{
    uint32_t bits;
    memcpy(&bits, &by, sizeof bits);
    return by > 0x1p-60f && by < 0x1p60f && (bits & 0x7fffff) != 0x7fffff;
}

static inline __m512 quotient(__m512 x, __m512 by, __m512 inverse)
{
    __m512 q = _mm512_mul_ps(x, inverse);
    q = _mm512_fmadd_ps(_mm512_fnmadd_ps(q, by, x), inverse, q);
    return _mm512_fmadd_ps(_mm512_fnmadd_ps(q, by, x), inverse, q);
}

static void rescale(const int32_t *sums, float activation, float weight, int64_t n, float *out)
{
    const __m512 by = _mm512_set1_ps(activation), times = _mm512_set1_ps(weight);
    const __m512 inverse = _mm512_set1_ps(1 / activation);
    const bool is_quick = has_inverse(activation);
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 mask = below(i, n);
        const __m512 sum = _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(mask, sums + i));
        const __m512 q = is_quick ? quotient(sum, by, inverse) : _mm512_div_ps(sum, by);
        _mm512_mask_storeu_ps(out + i, mask, _mm512_mul_ps(q, times));
    }
}

static void gate_silu(float *gate, const float *up, int64_t n)
{
    const __m512 one = _mm512_set1_ps(1.0f), zero = _mm512_setzero_ps();
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 mask = below(i, n);
        const __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
        const __m512 e = exponential(_mm512_sub_ps(zero, g));
        const __m512 silu = _mm512_div_ps(g, _mm512_add_ps(one, e));
        _mm512_mask_storeu_ps(gate + i, mask,
                              _mm512_mul_ps(silu, _mm512_maskz_loadu_ps(mask, up + i)));
    }
}

static void gate_squared_relu(float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 mask = below(i, n);
        const __m512 g = _mm512_max_ps(_mm512_setzero_ps(), _mm512_maskz_loadu_ps(mask, gate + i));
        _mm512_mask_storeu_ps(
            gate + i, mask,
            _mm512_mul_ps(_mm512_mul_ps(g, g), _mm512_maskz_loadu_ps(mask, up + i)));
    }
}

static void softmax(float *x, int64_t n)
{
    struct sums s = nothing();
    __m512 largest = _mm512_set1_ps(x[0]);
    for (int64_t i = 0; i < n; i += LANES)
        largest = _mm512_mask_max_ps(largest, below(i, n), largest,
                                     _mm512_maskz_loadu_ps(below(i, n), x + i));
    const __m512 most = _mm512_set1_ps(_mm512_reduce_max_ps(largest));
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 mask = below(i, n);
        const __m512 e = _mm512_maskz_mov_ps(
            mask, exponential(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), most)));
        _mm512_mask_storeu_ps(x + i, mask, e);
        s.of[i / LANES % PARTS] = _mm512_add_ps(s.of[i / LANES % PARTS], e);
    }
    const __m512 factor = _mm512_set1_ps(1.0f / total(s));
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 mask = below(i, n);
        _mm512_mask_storeu_ps(x + i, mask,
                              _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), factor));
    }
}

static void dots_f32(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                     float *out)
{
    for (int64_t r = 0; r < count; r++) {
        const void *row = (const char *)rows + r * row_bytes;
        out[r] = total(add_products(nothing(), row, x, n));
    }
}

static inline __m512 sixteen_halves(const uint8_t *from)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)from));
}

/* The last numbers of a row, fewer than a step, filled up with zeros. */
static inline struct sums add_halves(struct sums s, const uint8_t *row, const float *x, int64_t n)
{
    uint8_t halves[2 * STEP] = {0};
    memcpy(halves, row, (size_t)(2 * n));
    for (int k = 0; k < PARTS; k++)
        s.of[k] = product(s.of[k], sixteen_halves(halves + 2 * LANES * k),
                          _mm512_maskz_loadu_ps(below(LANES * k, n), x + LANES * k));
    return s;
}

static void dots_f16(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                     float *out)
{
    for (int64_t r = 0; r < count; r++) {
        const uint8_t *row = (const uint8_t *)rows + r * row_bytes;
        struct sums s = nothing();
        int64_t i = 0;
        for (; i + STEP <= n; i += STEP) {
            tg_ahead_fetch(row + 2 * i);
            tg_ahead_fetch(row + 2 * i + 64);
            for (int k = 0; k < PARTS; k++)
                s.of[k] = product(s.of[k], sixteen_halves(row + 2 * (i + LANES * k)),
                                  _mm512_loadu_ps(x + i + LANES * k));
        }
        if (i < n) s = add_halves(s, row + 2 * i, x + i, n - i);
        out[r] = total(s);
    }
}

static inline void dots_blocks(void (*decode)(const uint8_t *, int64_t, float *),
                               int64_t chunk_bytes, const void *rows, int64_t row_bytes,
                               int64_t count, const float *x, int64_t n, float *out)
{
    for (int64_t r = 0; r < count; r++) {
        const uint8_t *row = (const uint8_t *)rows + r * row_bytes;
        struct sums s = nothing();
        for (int64_t i = 0; i < n; i += TG_LANES_CHUNK, row += chunk_bytes) {
            const int64_t part = n - i < TG_LANES_CHUNK ? n - i : TG_LANES_CHUNK;
            float chunk[TG_LANES_CHUNK];
            decode(row, part, chunk);
            s = add_products(s, chunk, x + i, part);
        }
        out[r] = total(s);
    }
}

static void dots_bf16(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                      float *out)
{
    dots_blocks(tg_lanes_decode_bf16, 512, rows, row_bytes, count, x, n, out);
}

static inline float half_of(const uint8_t *from)
{
    const __m128i one = _mm_cvtsi32_si128(tg_lanes_u16(from));
    return _mm512_cvtss_f32(_mm512_cvtph_ps(_mm256_castsi128_si256(one)));
}

/* Sixteen codes times their scale: whole numbers below 2^24 times a half, so exact. */
static inline __m512 sixteen_codes(const void *codes, float scale)
{
    const __m128i bytes = _mm_loadu_si128(codes);
    return _mm512_mul_ps(_mm512_set1_ps(scale), _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)));
}

static void dots_q8_0(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                      float *out)
{
    enum { BLOCK_BYTES = 34 };
    for (int64_t r = 0; r < count; r++) {
        const uint8_t *block = (const uint8_t *)rows + r * row_bytes;
        struct sums s = nothing();
        for (int64_t i = 0; i < n; i += STEP)
            for (int k = 0; k < PARTS && i + LANES * k < n; k += 2, block += BLOCK_BYTES) {
                const float scale = half_of(block);
                const float *of = x + i + LANES * k;
                tg_ahead_fetch(block);
                s.of[k] = product(s.of[k], sixteen_codes(block + 2, scale), _mm512_loadu_ps(of));
                s.of[k + 1] = product(s.of[k + 1], sixteen_codes(block + 18, scale),
                                      _mm512_loadu_ps(of + LANES));
            }
        out[r] = total(s);
    }
}

/* Of an x that is longer than what is kept of it, all is turned again for each row. */
static void dots_q6_k(const void *rows, int64_t row_bytes, int64_t count, const float *x, int64_t n,
                      float *out)
{
    enum { BLOCK = 256, BLOCK_BYTES = 210, KEPT = 16384 };
    _Alignas(64) float turned[KEPT];
    for (int64_t r = 0; r < count; r++) {
        const uint8_t *block = (const uint8_t *)rows + r * row_bytes;
        struct sums s = nothing(), all;
        for (int64_t i = 0; i < n; i += BLOCK, block += BLOCK_BYTES) {
            if (i % KEPT == 0 && (r == 0 || n > KEPT))
                tg_q6k_turn_all(x + i, n - i < KEPT ? n - i : KEPT, turned);
            for (int64_t ahead = 0; ahead < BLOCK_BYTES; ahead += 64) tg_ahead_fetch(block + ahead);
            const __m512 scales = sixteen_codes(block + 192, half_of(block + 208) * 0x1p-24f);
            tg_q6k_add_avx512(block, scales, turned + i % KEPT, s.of);
        }
        tg_q6k_turn(s.of, all.of);
        out[r] = total(all);
    }
}

static void mix_f32(const void *rows, int64_t row_bytes, int64_t count, const float *shares,
                    int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 mask = below(i, n);
        __m512 sum = _mm512_setzero_ps();
        for (int64_t r = 0; r < count; r++) {
            const void *row = (const char *)rows + r * row_bytes + 4 * i;
            sum = product(sum, _mm512_set1_ps(shares[r]), _mm512_maskz_loadu_ps(mask, row));
        }
        _mm512_mask_storeu_ps(out + i, mask, sum);
    }
}

/* So many registers of a row at once. */
UNROLLED mix_halves(int parts, const uint8_t *rows, int64_t row_bytes, int64_t count,
                    const float *shares, float *out)
{
    struct sums s = nothing();
    for (int64_t r = 0; r < count; r++)
        for (int k = 0; k < parts; k++)
            s.of[k] = product(s.of[k], _mm512_set1_ps(shares[r]),
                              sixteen_halves(rows + r * row_bytes + 2 * LANES * k));
    for (int k = 0; k < parts; k++) _mm512_storeu_ps(out + LANES * k, s.of[k]);
}

static void mix_f16(const void *rows, int64_t row_bytes, int64_t count, const float *shares,
                    int64_t n, float *out)
{
    const uint8_t *from = rows;
    int64_t i = 0;
    for (; i + STEP <= n; i += STEP)
        mix_halves(PARTS, from + 2 * i, row_bytes, count, shares, out + i);
    for (; i + LANES <= n; i += LANES)
        mix_halves(1, from + 2 * i, row_bytes, count, shares, out + i);
    for (; i < n; i++) {
        float sum = 0;
        for (int64_t r = 0; r < count; r++)
            sum += shares[r] * tg_lanes_f16(tg_lanes_u16(from + r * row_bytes + 2 * i));
        out[i] = sum;
    }
}

/* The folded products of a row and so many x, LANES apart in `left`. */
UNROLLED row_products(int many, const uint8_t *row, const float *x, int64_t n, __m512 *left)
{
    struct sums s[TOGETHER];
    int64_t i = 0;
    for (int q = 0; q < many; q++) s[q] = nothing();
    for (; i + STEP <= n; i += STEP) {
        __m512 numbers[PARTS];
        for (int k = 0; k < PARTS; k++) numbers[k] = sixteen_halves(row + 2 * (i + LANES * k));
        for (int q = 0; q < many; q++)
            for (int k = 0; k < PARTS; k++)
                s[q].of[k] = product(s[q].of[k], numbers[k],
                                     _mm512_loadu_ps(x + q * n + i + LANES * k));
    }
    for (int q = 0; q < many; q++) {
        if (i < n) s[q] = add_halves(s[q], row + 2 * i, x + q * n + i, n - i);
        left[LANES * q] = folded(s[q]);
    }
}

/* Parts of the lanes of a and of b added, those of a before those of b. */
#define ADD_QUARTERS(a, b, low, high)                                                              \
    _mm512_add_ps(_mm512_shuffle_f32x4(a, b, low), _mm512_shuffle_f32x4(a, b, high))
#define ADD_LANES(a, b, low, high)                                                                 \
    _mm512_add_ps(_mm512_shuffle_ps(a, b, low), _mm512_shuffle_ps(a, b, high))

/* The sixteen lanes of each of sixteen rows added in the order of `total`: lane r is of row r. */
static inline __m512 totals(const __m512 *left)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512 two[8], four[4], eight[2];
    for (int i = 0; i < 8; i++) two[i] = ADD_QUARTERS(left[2 * i], left[2 * i + 1], 0x44, 0xee);
    for (int i = 0; i < 4; i++) four[i] = ADD_QUARTERS(two[2 * i], two[2 * i + 1], 0x88, 0xdd);
    for (int i = 0; i < 2; i++) eight[i] = ADD_LANES(four[2 * i], four[2 * i + 1], 0x44, 0xee);
    return _mm512_permutexvar_ps(order, ADD_LANES(eight[0], eight[1], 0x88, 0xdd));
}

UNROLLED dots_together(int many, const uint8_t *rows, int64_t row_bytes, int64_t count,
                       const float *x, int64_t n, float *out)
{
    for (int64_t first = 0; first < count; first += LANES) {
        __m512 left[TOGETHER * LANES];
        const int64_t here = count - first < LANES ? count - first : LANES;
        for (int i = 0; here < LANES && i < many * LANES; i++) left[i] = _mm512_setzero_ps();
        for (int64_t r = 0; r < here; r++)
            row_products(many, rows + (first + r) * row_bytes, x, n, left + r);
        for (int q = 0; q < many; q++)
            _mm512_mask_storeu_ps(out + q * count + first, below(0, here),
                                  totals(left + LANES * q));
    }
}

static void dots_f16_many(const void *rows, int64_t row_bytes, int64_t count, const float *x,
                          int64_t many, int64_t n, float *out)
{
    for (; many >= TOGETHER; many -= TOGETHER, x += TOGETHER * n, out += TOGETHER * count)
        dots_together(TOGETHER, rows, row_bytes, count, x, n, out);
    if (many == 3) dots_together(3, rows, row_bytes, count, x, n, out);
    if (many == 2) dots_together(2, rows, row_bytes, count, x, n, out);
    if (many == 1) dots_together(1, rows, row_bytes, count, x, n, out);
}

/* Sixty-four numbers of the rows, shared out to so many. */
UNROLLED mix_step(int many, const uint8_t *rows, int64_t row_bytes, int64_t count,
                  const float *shares, int64_t n, float *out)
{
    struct sums s[TOGETHER];
    for (int q = 0; q < many; q++) s[q] = nothing();
    for (int64_t r = 0; r < count; r++) {
        __m512 numbers[PARTS];
        for (int k = 0; k < PARTS; k++)
            numbers[k] = sixteen_halves(rows + r * row_bytes + 2 * LANES * k);
        for (int q = 0; q < many; q++)
            for (int k = 0; k < PARTS; k++)
                s[q].of[k] = product(s[q].of[k], _mm512_set1_ps(shares[q * count + r]), numbers[k]);
    }
    for (int q = 0; q < many; q++)
        for (int k = 0; k < PARTS; k++) _mm512_storeu_ps(out + q * n + LANES * k, s[q].of[k]);
}

static void mix_f16_many(const void *rows, int64_t row_bytes, int64_t count, const float *shares,
                         int64_t many, int64_t n, float *out)
{
    const uint8_t *from = rows;
    const int64_t whole = n / STEP * STEP;
    for (; many > 0; many -= TOGETHER, shares += TOGETHER * count, out += TOGETHER * n) {
        for (int64_t i = 0; i < whole; i += STEP) {
            const uint8_t *at = from + 2 * i;
            if (many >= TOGETHER) mix_step(TOGETHER, at, row_bytes, count, shares, n, out + i);
            if (many == 3) mix_step(3, at, row_bytes, count, shares, n, out + i);
            if (many == 2) mix_step(2, at, row_bytes, count, shares, n, out + i);
            if (many == 1) mix_step(1, at, row_bytes, count, shares, n, out + i);
        }
        for (int64_t q = 0; whole < n && q < TOGETHER && q < many; q++)
            mix_f16(from + 2 * whole, row_bytes, count, shares + q * count, n - whole,
                    out + q * n + whole);
    }
}

static void to_f16(const float *x, int64_t n, uint16_t *out)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        _mm256_storeu_si256((__m256i *)(void *)(out + i),
                            _mm512_cvtps_ph(_mm512_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++) out[i] = tg_lanes_to_f16(x[i]);
}

const struct tg_vector tg_vector_avx512vnni = {"avx512vnni",
                                               "sixteen lanes, float16 by conversion",
                                               tg_isa_here_AVX512VNNI,
                                               norm,
                                               quantise,
                                               rescale,
                                               gate_silu,
                                               gate_squared_relu,
                                               softmax,
                                               dots_f32,
                                               dots_f16,
                                               dots_bf16,
                                               dots_q8_0,
                                               dots_q6_k,
                                               mix_f32,
                                               mix_f16,
                                               dots_f16_many,
                                               mix_f16_many,
                                               to_f16};
